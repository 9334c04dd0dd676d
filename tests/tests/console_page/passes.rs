//! Passes, and the results of a plan.

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::domain::PassMode;
use tests::{bundle::Bundle, norce_simulator::NewCompany};

use super::{acts, address, confirm, customers, stage, text};

/// A plan is made, waited for and read; then a pass of its mode can be started, which is not said to do exactly that.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_and_read_before_a_pass_is_started() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .operator
        .run(|bundle: &mut Bundle| {
            async move {
                customers(bundle, 2);
                // A company that the ERP has under a code that Norce does not know yet.
                let record =
                    json!({ "number": "C00501", "type": "Company", "displayName": "Bolaget AB" });
                let company = bundle.erp_company();
                bundle.erp.add_customer(company, &record).unwrap();
                bundle.norce.add_company(NewCompany {
                    name: Some("Bolaget AB".to_owned()),
                    ..NewCompany::default()
                });
                bundle.run_until_quiet().await;
            }
            .boxed_local()
        })
        .await;
    served
        .sign_in(&browser, "Norce.Admin", "/console/passes")
        .await;
    assert!(text(&browser).await.contains("No pass has run"));
    browser.press("plan").await;
    browser
        .eval("document.querySelector('#mode').value = 'full'")
        .await;
    confirm(&browser).await;
    browser.press("to-plan").await;
    browser
        .until("document.querySelector('main').innerText.includes('There is nothing to show of this plan.')")
        .await;
    assert!(address(&browser).await.contains("/console/passes?plan="));
    served
        .operator
        .run(|bundle| async move { bundle.run_until_quiet().await }.boxed_local())
        .await;
    browser.press("plan-again").await;
    browser
        .until("document.querySelector('.verdict')?.innerText.includes('plan of a full pass')")
        .await;
    let shown = text(&browser).await;
    for words in [
        "Looked at",
        "plans/",
        "report.html",
        "A pass looks again",
        "The first",
        "C00501",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("exactly"), "{shown}");
    acts(&served);
    browser.press("pass").await;
    let mode = "return document.querySelector('#mode').value";
    assert_eq!(browser.eval(mode).await, "full");
    confirm(&browser).await;
    let asked = acts(&served);
    let started: Vec<&Value> = asked
        .iter()
        .filter(|request| request["action"] == "pass")
        .collect();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0]["mode"], "full");
    served
        .operator
        .run(|bundle| async move { bundle.run_until_quiet().await }.boxed_local())
        .await;
    browser.open(&served.address("/console/passes")).await;
    assert!(text(&browser).await.contains("All records of the ERP"));
}

/// The runs of a month have filters and pages, and a failed one says why.
#[tokio::test(flavor = "multi_thread")]
async fn the_passes_of_a_month_have_filters_and_pages() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .operator
        .run(|bundle| {
            async move {
                for mode in [PassMode::Delta, PassMode::Sweep] {
                    bundle.pass(mode).await;
                }
            }
            .boxed_local()
        })
        .await;
    served
        .sign_in(&browser, "Norce.Read", "/console/passes?mode=sweep")
        .await;
    let shown = text(&browser).await;
    assert!(shown.contains("Lost changes in Norce"), "{shown}");
    let rows = "return document.querySelectorAll('tbody tr').length";
    assert_eq!(browser.eval(rows).await, 1);
    browser.press("chip-mode").await;
    browser
        .until("document.querySelectorAll('tbody tr').length === 2")
        .await;
    let run = |mode: &str, failed: Value| json!({ "run": "x", "mode": mode, "scope": "client", "started": "2026-11-26T03:00:00Z", "ended": "2026-11-26T04:00:00Z", "failed": failed, "found": "y" });
    let cursor = json!({ "started": "2026-11-26T03:00:00Z", "run": "x" });
    let pages = [
        json!({ "summary": "x", "runs": [run("delta", json!("the ERP refused the token"))], "cursor": cursor }),
        json!({ "summary": "x", "runs": [run("full", Value::Null)] }),
    ];
    served.operator.script("runs", pages);
    browser.refresh().await;
    browser
        .until("document.querySelector('td .bad')?.innerText === 'the ERP refused the token'")
        .await;
    browser.settled().await;
    served.operator.take_asked();
    browser.press("next").await;
    browser
        .until("document.querySelector('tbody').innerText.includes('All records of the ERP')")
        .await;
    assert_eq!(served.operator.take_asked()[0]["cursor"], cursor);
}
