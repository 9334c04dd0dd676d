//! `operator`: how much of the activity record, the runs, a plan and the history an answer holds.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use operator::Call;
use serde_json::{Value, json};
use shared::{
    activity::{Activity, By, Entry, Outcome},
    domain::{Clock, PassMode, Scope},
    passes::{Cost, Counts, Ended, OwedSample, Passes, Run},
    reports::Reports,
};
use tests::{
    bundle::{Bundle, Options},
    limits::at_both_ends,
};
use uuid::Uuid;

async fn ask(bundle: &Bundle, request: Value) -> Value {
    bundle.ask(request).await.unwrap()
}

/// How many a list has without a limit, and with one that is too large.
const UNLIMITED: u64 = 1_000_000;

fn with_limit(mut request: Value, limit: Option<u64>) -> Value {
    request["limit"] = json!(limit);
    request
}

#[tokio::test(start_paused = true)]
async fn fifty_acts_are_listed_unless_more_are_asked_for_and_five_hundred_at_most() {
    for (limit, most) in [(None, 50), (Some(UNLIMITED), 500)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            for number in 0..count {
                let entry = Entry {
                    id: Uuid::from_u128(number as u128),
                    at: bundle.clock.now(),
                    by: By::aws(),
                    request: None,
                    did: "pass".to_owned(),
                    subjects: Vec::new(),
                    asked: None,
                    because: None,
                    outcome: Outcome::Started,
                };
                bundle.activity.start(&entry).await.unwrap();
            }
            let answer = ask(&bundle, with_limit(json!({"action": "activity"}), limit)).await;
            let listed = answer["entries"].as_array().unwrap().len();
            assert_eq!(listed < count, answer.get("cursor").is_some());
            listed < count
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_runs_are_listed_unless_more_are_asked_for_and_a_thousand_at_most() {
    for (limit, most) in [(None, 50), (Some(UNLIMITED), 1_000)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            for number in 0..count {
                let run = run(number as u128, &bundle);
                assert!(bundle.passes.save(&run).await.unwrap());
            }
            let answer = ask(&bundle, with_limit(json!({"action": "runs"}), limit)).await;
            let listed = answer["runs"].as_array().unwrap().len();
            assert_eq!(listed < count, answer.get("cursor").is_some());
            listed < count
        })
        .await;
    }
}

fn run(id: u128, bundle: &Bundle) -> Run {
    let now = bundle.clock.now();
    Run {
        id: Uuid::from_u128(id),
        mode: PassMode::Delta,
        kind: None,
        scope: Scope::Client,
        dry_run: false,
        started: now,
        progressed: now,
        ended: Some(Ended {
            at: now,
            failed: None,
        }),
        counts: Counts::default(),
        cost: Cost::default(),
        watermarks_before: BTreeMap::new(),
        watermark_after: None,
        version: 1,
        work: None,
    }
}

#[tokio::test(start_paused = true)]
async fn runs_of_thirty_days_are_listed() {
    at_both_ends(31_u32, async |days| {
        let bundle = Bundle::new(&Options::default());
        let now = bundle.clock.now();
        let run = Run {
            started: now - TimeDelta::days(days.into()),
            ..run(1, &bundle)
        };
        assert!(bundle.passes.save(&run).await.unwrap());
        ask(&bundle, json!({"action": "runs"})).await["runs"] == json!([])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fifty_lines_of_a_plan_are_shown_unless_more_are_asked_for_and_five_hundred_at_most() {
    for (limit, most) in [(None, 50), (Some(UNLIMITED), 500)] {
        at_both_ends(most + 1, async |count| {
            let bundle = Bundle::new(&Options::default());
            let run = run(7, &bundle);
            let folder = format!("plans/{}", run.id);
            let put = async |name: &str, body: String| {
                let key = format!("{folder}/{name}");
                bundle.reports.put(&key, "", body.into()).await.unwrap();
            };
            put("summary.json", serde_json::to_string(&run).unwrap()).await;
            // Over two objects.
            let line = "{\"group\":\"code\",\"kind\":\"customer\"}\n";
            put("lines-00001.jsonl", line.repeat(count / 2)).await;
            put("lines-00002.jsonl", line.repeat(count - count / 2)).await;
            let show = json!({"action": "plan", "show": run.id});
            let answer = ask(&bundle, with_limit(show, limit)).await;
            answer["lines"].as_array().unwrap().len() < count
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_owed_is_shown_of_a_day_unless_more_is_asked_for_and_of_a_month_at_most() {
    for (hours, most) in [(None, 24_u32), (Some(UNLIMITED), 31 * 24)] {
        at_both_ends(most + 1, async |ago| {
            let bundle = Bundle::new(&Options::default());
            let sample = OwedSample {
                at: bundle.clock.now() - TimeDelta::hours(ago.into()),
                owed: 1,
                dismissed: 0,
                oldest_seconds: 0,
            };
            bundle.passes.note_owed(&sample).await.unwrap();
            let request = json!({"action": "history", "hours": hours});
            ask(&bundle, request).await["samples"] == json!([])
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_names_a_hundred_subjects_at_most() {
    at_both_ends(101, async |count| {
        let bundle = Bundle::new(&Options::default());
        let names = (1..=count).map(|number| format!("customer/client/{number}"));
        let names: Vec<String> = names.collect();
        ask(&bundle, json!({"action": "replay", "entities": names})).await;
        let entries = bundle.activity.page(None).await.unwrap().entries;
        entries[0].subjects.len() < count
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_of_a_user_has_255_characters_at_most() {
    at_both_ends(256, async |length| {
        let by = json!({"user": "å".repeat(length), "role": "act"});
        Call::parse(json!({"action": "status", "by": by})).is_err()
    })
    .await;
}
