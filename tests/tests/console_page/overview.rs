//! The overview: the current state, the next steps, and the history.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{address, groups::owe, stage, text};

fn status(owed: Value, dead: u64) -> Value {
    json!({
        "summary": "x", "asOf": "2026-11-26T12:00:00Z", "owed": { "owed": owed, "dismissed": 0, "oldestSeconds": 7_200 },
        "queues": [{ "queue": "changes", "waiting": 4, "deadLetters": dead }],
        "jobs": { "open": 1, "lines": 250, "oldest": "2026-11-26T11:00:00Z" }, "breakers": [],
        "watermarks": [{ "walk": "erp", "scope": "client", "kind": "customer", "at": "2026-11-26T11:00:00Z" }],
        "lastRuns": [{ "run": "x", "mode": "delta", "scope": "client", "started": "2026-11-26T11:00:00Z", "ended": null, "failed": null, "found": "x" }],
    })
}

/// The headline counts what needs a person; what is tried again by itself has a headline of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_headline_says_how_many_need_somebody() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    for (owed, dead, headline, badges) in [
        (json!({}), 0, "All is well", ["", ""]),
        (
            json!({ "validation": 1, "conflict": 1, "remote-fault": 40 }),
            0,
            "2 need somebody",
            ["42", ""],
        ),
        (
            json!({ "missing-prerequisite": 1 }),
            3,
            "4 need somebody",
            ["1", "3"],
        ),
        (json!({ "validation": 1 }), 0, "1 needs somebody", ["1", ""]),
        (
            json!({ "remote-fault": 1_000, "timed-out": 234 }),
            0,
            "1,234 are being tried again by themselves",
            ["1,234", ""],
        ),
    ] {
        served.operator.script("status", [status(owed, dead)]);
        browser.refresh().await;
        browser
            .until(&format!(
                "document.querySelector('.headline').innerText === '{headline}'"
            ))
            .await;
        let shown = browser
            .eval("return ['owed', 'dead-letters'].map((it) => document.querySelector(`nav [data-key=${it}] .badge`).innerText)")
            .await;
        assert_eq!(shown, json!(badges));
    }
    // On every other screen they are counted as well.
    served
        .operator
        .script("status", [status(json!({ "validation": 7 }), 0)]);
    browser.open(&served.address("/console/passes")).await;
    browser
        .until("document.querySelector('nav [data-key=owed] .badge').innerText === '7'")
        .await;
}

/// The three largest groups with what to do, and the way to them.
#[tokio::test(flavor = "multi_thread")]
async fn what_to_do_is_said_of_the_largest_groups() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    let shown = text(&browser).await;
    assert!(
        shown.contains("What to do")
            && shown.contains("The ERP does not accept the record: correct what the error names")
            && shown.contains("2 need somebody"),
        "{shown}"
    );
    let asked = served.operator.take_asked();
    assert!(
        asked
            .iter()
            .any(|it| it["action"] == "owed" && it["groups"] == true && it["limit"] == 3)
    );
    browser
        .eval("document.querySelector('.group a').click()")
        .await;
    browser
        .until("document.querySelectorAll('.cards .card').length === 2")
        .await;
    assert!(address(&browser).await.contains("/console/owed?group="));
}

/// Charts are drawn from what was counted, with the numbers behind them; with nothing counted yet, that is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_drawn_with_its_numbers_behind_it() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    assert!(
        text(&browser)
            .await
            .contains("Nothing has been counted yet")
    );
    served
        .operator
        .run(|bundle| {
            async move {
                for hour in 0..29 {
                    // A time in which nothing was counted is none in which nothing was owed.
                    if !(10..20).contains(&hour) {
                        let counts = bundle.retry_owed().await.counts;
                        bundle.full_pass.heartbeat(&counts).await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                }
            }
            .boxed_local()
        })
        .await;
    owe(&served, 1..=2).await;
    served
        .operator
        .run(|bundle| {
            async move {
                let counts = bundle.retry_owed().await.counts;
                bundle.full_pass.heartbeat(&counts).await.unwrap();
            }
            .boxed_local()
        })
        .await;
    browser.refresh().await;
    browser.until("document.querySelector('svg')").await;
    let shown = text(&browser).await;
    assert!(shown.contains("Counted since"), "{shown}");
    assert!(shown.contains("At most 2, now 2"), "{shown}");
    let labels = browser
        .eval("return [...document.querySelectorAll('svg[role=img]')].map((it) => it.getAttribute('aria-label'))")
        .await;
    assert_eq!(
        labels,
        json!([
            "Last 24 hours. At most 2, now 2",
            "Last 7 days. At most 2, now 2"
        ])
    );
    // The line begins again after the gap, and rises at its end.
    let line = browser
        .eval("return document.querySelectorAll('svg .line')[1].getAttribute('d')")
        .await;
    let line = line.as_str().unwrap();
    assert_eq!(line.matches('M').count(), 2, "{line}");
    browser
        .eval("document.querySelectorAll('details')[0].open = true")
        .await;
    let rows = "return document.querySelectorAll('details')[0].querySelectorAll('tbody tr').length";
    let before = browser.eval(rows).await;
    assert!(before.as_u64().unwrap() >= 10, "{before}");
    // A refresh folds nothing up.
    browser.refresh().await;
    browser.settled().await;
    let open = "return document.querySelectorAll('details')[0].open";
    assert_eq!(browser.eval(open).await, true);
}
