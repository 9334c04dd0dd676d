//! Delta passes every quarter of an hour: what one without work costs, that they do not pile up, and how long they are
//! listed. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use shared::{
    domain::{Clock, PassMode, Scope},
    passes::{Ended, Lease, LeaseKey, Passes, Run},
};
use tests::{
    bundle::{Bundle, Options},
    samples::{order_of, resident},
};
use uuid::Uuid;

const QUARTER: Duration = Duration::from_secs(15 * 60);

/// Every quarter of an hour a delta pass is due, and a run over a large register can take days.
#[tokio::test(start_paused = true)]
async fn passes_by_schedule_do_not_pile_up_behind_a_long_run_and_a_full_pass_is_not_left_out() {
    let bundle = Bundle::new(&Options::default());
    let now = bundle.clock.now();
    let holder = Lease {
        run: Uuid::from_u128(1),
        invocation: None,
        until: now + TimeDelta::minutes(30),
    };
    for sweep in [false, true] {
        let key = LeaseKey {
            scope: Scope::Client,
            sweep,
        };
        bundle
            .passes
            .lease(key, holder, now)
            .await
            .unwrap()
            .unwrap();
    }
    for (mode, expected) in [
        (PassMode::Delta, 0),
        (PassMode::Sweep, 0),
        (PassMode::Full, 1),
    ] {
        assert_eq!(bundle.start_pass(mode).await.len(), expected, "{mode}");
    }
    // The run died: its lease ends by itself.
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    assert_eq!(bundle.start_pass(PassMode::Delta).await.len(), 1);
}

/// The cost model of functions/README.md counts these.
#[tokio::test(start_paused = true)]
async fn a_delta_pass_without_work_costs_the_calls_that_the_cost_model_counts() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(resident(1));
    bundle.norce.place_order(order_of(id));
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(QUARTER).await;
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(QUARTER).await;
    bundle.interruption.clear();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!((run.counts.seen, run.cost.invocations), (0, 1));
    insta::assert_snapshot!(bundle.interruption.calls().join(", "), @"passes holder, queue send, passes lease, passes run, passes save, key-index coverage, passes watermark, key-index coverage, passes watermark, http GET, passes save, owed page, http GET, passes save, http GET, key-index cover, key-index cover, passes save, passes save, passes advance, passes advance, passes save, passes release");
    // With its checkpoint, two write units at most.
    let bytes = serde_json::to_string(&run).unwrap().len();
    assert!(bytes < 1_000, "{bytes}");
}

/// Every pass looks up the owed records of the ERP again.
#[tokio::test(start_paused = true)]
async fn each_owed_record_costs_a_pass_what_the_cost_model_counts() {
    let bundle = Bundle::new(&Options::default());
    bundle.norce.add_customer(resident(1));
    for number in ["K1", "K2"] {
        let record = json!({"number": number, "type": "Person", "displayName": "Anna", "email": "anna.1@example.com"});
        bundle
            .erp
            .add_customer(bundle.erp_company(), &record)
            .unwrap();
    }
    // The first two list the records as changed.
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(QUARTER).await;
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(QUARTER).await;
    bundle.interruption.clear();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(run.counts.conflicts, 2);
    let cost = &run.cost;
    assert_eq!((cost.mapping_reads, cost.mapping_writes), (2 * 12, 0));
    // For up to a hundred records.
    assert_eq!((cost.erp_calls, cost.query_calls), (5, 2));
    let calls = bundle.interruption.calls();
    assert_eq!(calls.iter().filter(|call| **call == "owed put").count(), 2);
}

fn run(mode: PassMode, change: impl FnOnce(&mut Run)) -> Run {
    let at = "2026-03-02T08:00:00Z".parse().unwrap();
    let mut run = Run {
        id: Uuid::from_u128(1),
        mode,
        kind: None,
        scope: Scope::Client,
        dry_run: false,
        started: at,
        progressed: at,
        ended: Some(Ended { at, failed: None }),
        counts: shared::passes::Counts {
            seen: 3,
            unchanged: 3,
            ..Default::default()
        },
        cost: shared::passes::Cost::default(),
        watermarks_before: Default::default(),
        watermark_after: None,
        version: 1,
        work: None,
    };
    change(&mut run);
    run
}

/// A request for the last runs reads the whole store.
#[test]
fn a_frequent_pass_that_had_nothing_to_do_is_kept_for_a_week_and_any_other_for_a_quarter_of_a_year()
{
    type Change = fn(&mut Run);
    let cases: [(PassMode, Change, i64); 8] = [
        (PassMode::Delta, |_| {}, 7),
        (PassMode::Sweep, |_| {}, 7),
        (PassMode::Full, |_| {}, 90),
        (PassMode::Delta, |run| run.ended = None, 90),
        (
            PassMode::Delta,
            |run| run.ended.as_mut().unwrap().failed = Some("x".to_owned()),
            90,
        ),
        (PassMode::Delta, |run| run.counts.fields = 1, 90),
        (
            PassMode::Delta,
            |run| {
                run.counts.skipped.insert("not in Norce".to_owned(), 2);
            },
            7,
        ),
        (
            PassMode::Delta,
            |run| {
                run.counts.skipped.insert("owed: validation".to_owned(), 1);
            },
            90,
        ),
    ];
    for (mode, change, days) in cases {
        let run = run(mode, change);
        assert_eq!(
            run.kept_until() - run.started,
            TimeDelta::days(days),
            "{run:?}"
        );
    }
}
