//! This version reads what an earlier version wrote: `tests/fixtures/README.md` describes what a release may change.
//!
//! ```text
//! main        the tests
//! v0_1_0      what version 0.1.0 wrote and what it means, as values of this version
//! v0_2_0      the same of version 0.2.0
//! variants    every variant of everything that is stored or sent, and since which version it is
//! passes      passes in the middle, as a killed invocation leaves them behind
//! operator    logs, exports and plans, as the operator reads them
//! fixtures    the files
//! write       writes the fixtures of a version
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod fixtures;
mod operator;
mod passes;
mod v0_1_0;
mod v0_2_0;
mod variants;
mod write;

use std::fmt::Debug;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::domain::{ChangeMessage, ImportRequest, JobMessage, PassMessage};

use crate::fixtures::{Item, Tables, versions};

/// The messages of a queue parse to the values that they were made from.
fn assert_messages<M>(version: &str, queue: &str, expected: Vec<(&str, M)>)
where
    M: DeserializeOwned + Debug + PartialEq,
{
    let stored = fixtures::messages(version, queue);
    assert_eq!(
        stored.keys().map(String::as_str).collect::<Vec<_>>(),
        {
            let mut names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names
        },
        "the fixtures of {queue} of {version}"
    );
    for (name, expected) in expected {
        let message: M = serde_json::from_value(stored[name].clone())
            .unwrap_or_else(|error| panic!("{version} {queue} {name}: {error}"));
        assert_eq!(message, expected, "{version} {queue} {name}");
    }
}

#[test]
fn messages_of_an_earlier_version_mean_what_they_meant() {
    assert_messages("0.1.0", "changes", v0_1_0::changes());
    assert_messages("0.1.0", "imports", v0_1_0::imports());
    assert_messages("0.1.0", "jobs", v0_1_0::jobs());
    assert_messages("0.1.0", "passes", v0_1_0::passes());
    assert_messages("0.2.0", "changes", v0_2_0::changes());
    assert_messages("0.2.0", "imports", v0_2_0::imports());
    assert_messages("0.2.0", "jobs", v0_2_0::jobs());
    assert_messages("0.2.0", "passes", v0_2_0::passes());
}

/// A field that an older or newer version does not know does no harm: old and new functions run side by side while a
/// stack is updated.
#[test]
fn a_message_with_a_field_of_a_later_version_is_read() {
    fn assert_read<M: DeserializeOwned + Debug + PartialEq>(queue: &str) {
        let messages = versions()
            .into_iter()
            .flat_map(|version| fixtures::messages(&version, queue));
        for (name, message) in messages {
            let mut later = message.clone();
            with_unknown_fields(&mut later);
            assert_ne!(later, message, "{queue} {name}");
            let read: M = serde_json::from_value(later)
                .unwrap_or_else(|error| panic!("{queue} {name}: {error}"));
            let expected: M = serde_json::from_value(message).unwrap();
            assert_eq!(read, expected, "{queue} {name}");
        }
    }
    assert_read::<ChangeMessage>("changes");
    assert_read::<ImportRequest>("imports");
    assert_read::<JobMessage>("jobs");
    assert_read::<PassMessage>("passes");
}

/// Adds a field to the message, and to each line in it.
fn with_unknown_fields(message: &mut Value) {
    let lines = message.get_mut("lines").and_then(Value::as_array_mut);
    for line in lines.into_iter().flatten() {
        line["ofALaterVersion"] = "x".into();
    }
    message["ofALaterVersion"] = "x".into();
}

#[test]
fn every_version_with_fixtures_is_tested() {
    assert_eq!(
        versions(),
        ["0.1.0", "0.2.0"],
        "a new version needs its values, as `v0_1_0` has those of 0.1.0, and a line in every test here"
    );
}

#[test]
fn the_version_of_the_workspace_has_fixtures() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        versions().iter().any(|known| known == version),
        "version {version} has no fixtures: see tests/fixtures/README.md"
    );
}

#[test]
fn every_variant_of_what_is_stored_or_sent_has_a_fixture() {
    variants::assert_all_are_there(env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn stores_give_the_answers_of_an_earlier_version() {
    for version in versions() {
        assert_answers(&version, &Tables::load(&version).await).await;
    }
}

/// Old and new functions share the tables while a stack is updated, and after an update that is rolled back.
#[tokio::test]
async fn items_with_an_attribute_of_a_later_version_are_read() {
    let text = AttributeValue::S("x".to_owned());
    let more = Item::from([("of_a_later_version".to_owned(), text)]);
    for version in versions() {
        assert_answers(&version, &Tables::load_with(&version, &more).await).await;
    }
}

async fn assert_answers(version: &str, tables: &Tables) {
    use v0_2_0::stores;

    match version {
        "0.1.0" => v0_1_0::stores::import_jobs_are_as_they_were(&tables.import_jobs()).await,
        _ => stores::import_jobs_are_as_they_were(&tables.import_jobs()).await,
    }
    stores::mappings_are_as_they_were(&tables.mappings()).await;
    stores::passes_are_as_they_were(&tables.passes()).await;
    stores::owed_records_are_as_they_were(&tables.owed()).await;
    stores::orders_are_as_they_were(&tables.orders()).await;
    stores::breakers_are_as_they_were(&tables.breakers()).await;
}
