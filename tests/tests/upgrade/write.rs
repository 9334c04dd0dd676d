//! Writes the fixtures of the version that the workspace has: by its own code, through the same stores as in the stack.
//!
//! ```sh
//! cargo test -p tests --test upgrade -- --ignored write_the_fixtures_of_this_version
//! ```

use std::{collections::BTreeMap, fs, path::Path};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    fixtures::{TABLES, Tables, directory},
    operator,
    passes::{scenarios, slow},
    v0_2_0::{self as newest, stores},
};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn messages(messages: Vec<(&str, impl Serialize)>) -> Value {
    let messages = messages.into_iter();
    let messages: BTreeMap<&str, Value> = messages
        .map(|(name, message)| (name, json!(message)))
        .collect();
    json!(messages)
}

#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixtures_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let directory = directory(version);
    assert!(
        !directory.exists(),
        "version {version} has fixtures already, and what was landed under it does not change any more: raise the \
         version of the workspace first"
    );
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (queue, messages) in [
        ("changes", messages(newest::changes())),
        ("imports", messages(newest::imports())),
        ("jobs", messages(newest::jobs())),
        ("passes", messages(newest::passes())),
    ] {
        files.insert(format!("messages/{queue}.json"), pretty(&messages));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let tables = Tables::empty().await;
        stores::write_mappings(&tables.mappings()).await;
        stores::write_import_jobs(&tables.import_jobs()).await;
        stores::write_passes(&tables.passes()).await;
        stores::write_owed_records(&tables.owed()).await;
        stores::write_orders(&tables.orders()).await;
        stores::write_breakers(&tables.breakers()).await;
        for table in TABLES {
            let items = tables.dump(table).await;
            files.insert(format!("tables/{table}.json"), pretty(&items));
        }
    });
    // The time of the simulated days is not that of the local AWS.
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    paused.block_on(async {
        for scenario in scenarios() {
            let middles = scenario.middles().await;
            files.insert(format!("passes/{}.json", scenario.name), pretty(&middles));
        }
        let (middles, left) = slow().plan().await;
        files.insert("passes/plans.json".to_owned(), pretty(&middles));
        files.insert(
            "objects/plan-summary.json".to_owned(),
            left["summary.json"].clone(),
        );
        let lines = left.iter().filter(|(name, _)| name.starts_with("lines-"));
        files.insert(
            "objects/plan-lines.jsonl".to_owned(),
            lines.map(|(_, text)| text.as_str()).collect(),
        );
        files.insert(
            "objects/mappings.jsonl".to_owned(),
            operator::export().await,
        );
        for (function, text) in operator::logs().await {
            files.insert(format!("logs/{function}.jsonl"), text);
        }
    });
    for (name, text) in files {
        write(&directory.join(name), &text);
    }
}
