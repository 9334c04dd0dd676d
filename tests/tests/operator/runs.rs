//! The passes of a month, the results of a plan, and the history of owed records.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{Clock, PassMode, Registers};
use tests::bundle::{Bundle, Options};
use uuid::Uuid;

use super::{firm, refusal, somebody_owed, summary};

const DAY: Duration = Duration::from_secs(86_400);

/// Every page of a list, put together.
async fn all(bundle: &Bundle, mut request: Value) -> Vec<Value> {
    let mut runs = Vec::new();
    loop {
        let answer = bundle.ask(request.clone()).await.unwrap();
        let page = answer["runs"].as_array().unwrap();
        let limit = request["limit"].as_u64().unwrap_or(50);
        assert!(u64::try_from(page.len()).unwrap() <= limit, "{answer:#}");
        let says_so = summary(&answer).contains("There are more");
        assert_eq!(says_so, answer.get("cursor").is_some());
        runs.extend(page.clone());
        match answer.get("cursor") {
            Some(cursor) => request["cursor"] = cursor.clone(),
            None => return runs,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_month_are_listed_from_the_newest_page_by_page_and_filtered() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    // The first one is older than a month in the end. Each is over two scopes.
    for mode in [
        PassMode::Delta,
        PassMode::Sweep,
        PassMode::Delta,
        PassMode::Full,
    ] {
        bundle.pass(mode).await;
        tokio::time::sleep(10 * DAY).await;
    }
    let listed = all(&bundle, json!({"action": "runs"})).await;
    let modes: Vec<&str> = listed
        .iter()
        .map(|it| it["mode"].as_str().unwrap())
        .collect();
    assert_eq!(modes, ["full", "full", "delta", "delta", "sweep", "sweep"]);
    assert!(
        listed[0]["found"]
            .as_str()
            .unwrap()
            .contains("full pass over app-")
    );
    for limit in [1, 2, 5, 6] {
        let pages = all(&bundle, json!({"action": "runs", "limit": limit})).await;
        assert_eq!(pages, listed, "{limit}");
    }
    for (filter, count) in [
        (json!({"action": "runs", "mode": "sweep"}), 2),
        (json!({"action": "runs", "application": 2}), 3),
        (
            json!({"action": "runs", "application": 2, "mode": "delta"}),
            1,
        ),
    ] {
        assert_eq!(all(&bundle, filter.clone()).await.len(), count, "{filter}");
    }
    let words = refusal(&bundle, json!({"action": "runs", "application": 7})).await;
    assert!(words.contains("application 7"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_was_made_shows_its_summary_and_its_first_lines() {
    let bundle = Bundle::new(&Options::default());
    for number in ["C00501", "C00502", "C00503"] {
        firm(&bundle, number);
    }
    let planned = bundle.ask(json!({"action": "plan", "mode": "full"})).await;
    let planned = planned.unwrap();
    let show = json!({"action": "plan", "show": planned["runs"][0]["run"]});
    let words = refusal(&bundle, show.clone()).await;
    assert!(words.contains("still being made"), "{words}");
    bundle.run_until_quiet().await;
    let shown = bundle.ask(show.clone()).await.unwrap();
    assert_eq!(shown["report"], planned["reports"][0]);
    assert_eq!(shown["plan"]["run"], planned["runs"][0]["run"]);
    assert!(
        summary(&shown).starts_with("plan of a full pass"),
        "{shown:#}"
    );
    let lines = shown["lines"].as_array().unwrap();
    assert!(lines.len() >= 3, "{shown:#}");
    let mut first = show.clone();
    first["limit"] = json!(1);
    let first = bundle.ask(first).await.unwrap();
    assert_eq!(first["lines"].as_array().unwrap()[..], lines[..1]);

    let unknown = json!({"action": "plan", "show": Uuid::nil()});
    assert!(refusal(&bundle, unknown).await.contains("no report"));
    for unclear in [
        json!({"action": "plan"}),
        json!({"action": "plan", "mode": "full", "show": planned["runs"][0]["run"]}),
    ] {
        let words = refusal(&bundle, unclear).await;
        assert!(
            words.contains("`mode`") && words.contains("`show`"),
            "{words}"
        );
    }
    // Reading a plan leaves no entry.
    let acts = bundle.ask(json!({"action": "activity"})).await.unwrap();
    let acts = acts["entries"].as_array().unwrap().iter();
    let acts: Vec<&str> = acts.map(|act| act["state"].as_str().unwrap()).collect();
    assert_eq!(acts, ["refused", "done"]);
}

#[tokio::test(start_paused = true)]
async fn how_much_is_owed_is_kept_for_every_quarter_of_an_hour() {
    let bundle = Bundle::new(&Options::default());
    let history = async |hours: Value| {
        let request = json!({"action": "history", "hours": hours});
        bundle.ask(request).await.unwrap()
    };
    let nothing = history(Value::Null).await;
    assert!(summary(&nothing).contains("OwedSchedule"), "{nothing:#}");
    let heartbeat = async || {
        let counts = bundle.retry_owed().await.counts;
        bundle.full_pass.heartbeat(&counts).await.unwrap();
    };
    // A quarter begins, so that two moments of it are in the same one.
    let into = u64::try_from(bundle.clock.now().timestamp()).unwrap() % 900;
    tokio::time::sleep(Duration::from_secs(901 - into)).await;
    heartbeat().await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    somebody_owed(&bundle, 1).await;
    heartbeat().await;
    // Twice in the same quarter: the later one stays.
    bundle
        .ask(json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "x"}))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    heartbeat().await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    heartbeat().await;
    let kept = history(Value::Null).await;
    let samples = kept["samples"].as_array().unwrap().iter();
    let samples: Vec<(u64, u64)> = samples
        .map(|it| {
            (
                it["owed"].as_u64().unwrap(),
                it["dismissed"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(samples, [(0, 0), (0, 1), (0, 1)], "{kept:#}");
    tokio::time::sleep(2 * DAY).await;
    assert_eq!(history(Value::Null).await["samples"], json!([]));
    assert_eq!(history(json!(72)).await["samples"], kept["samples"]);
}
