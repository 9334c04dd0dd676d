//! The doctor: its parts appear as they finish.

use console::OperatorError;
use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{
    bundle::Bundle,
    business_central_simulator::{Entity, Fault},
};

use super::{acts, confirm, stage, text, write};

/// The parts are asked side by side, each within the time of an answer; faults come first, and the report has everything.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_are_asked_side_by_side_and_shown_as_they_finish() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    // Each part is held until it is let go.
    browser
        .eval("window.held = {}; const real = fetch; window.fetch = async (address, options) => { const { part } = JSON.parse(options.body); if (part) await new Promise((go) => { window.held[part] = go; }); return real(address, options); };")
        .await;
    browser.press("doctor").await;
    browser.until("Object.keys(window.held).length === 5").await;
    let well = json!({ "check": "tables", "ok": true, "detail": "all are there" });
    let faulty = json!({ "check": "schedules", "ok": false, "detail": "no pass for two days", "fix": "Set DeltaPassSchedule." });
    served.operator.take_asked();
    served.operator.script(
        "doctor",
        [json!({ "summary": "x", "checks": [well.clone()] })],
    );
    browser.eval("window.held.aws()").await;
    browser
        .until("document.querySelector('main').innerText.includes('all are there')")
        .await;
    let busy = "return document.querySelector('main').getAttribute('aria-busy')";
    assert_eq!(browser.eval(busy).await, "true");
    let shown = text(&browser).await;
    assert!(
        shown.contains("Looking…") && shown.contains("ERP: Working…"),
        "{shown}"
    );
    // A part that cannot be asked is a fault among the others.
    let fault = OperatorError::Later("the operator is busy".to_owned());
    served.operator.fail(Some(fault));
    browser.eval("window.held.erp()").await;
    browser
        .until("document.querySelector('.card')?.innerText.includes('the operator is busy')")
        .await;
    served.operator.fail(None);
    served.operator.script(
        "doctor",
        [json!({ "summary": "x", "checks": [faulty, well] })],
    );
    browser
        .eval("for (const part of ['norce', 'events', 'schedules']) window.held[part]()")
        .await;
    browser.settled().await;
    let shown = text(&browser).await;
    assert!(shown.contains("4 faults"), "{shown}");
    let first = shown.find("no pass for two days").unwrap();
    assert!(first < shown.find("all are there").unwrap(), "{shown}");
    assert!(shown.contains("What to do: Set DeltaPassSchedule."));
    let asked = served.operator.take_asked();
    let parts: Vec<&Value> = asked.iter().filter(|it| it["action"] == "doctor").collect();
    assert_eq!(parts.len(), 5);
    let mut names: Vec<&str> = parts.iter().filter_map(|it| it["part"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["aws", "erp", "events", "norce", "schedules"]);
    // The server answers each before the page would give up.
    assert!(
        parts.iter().all(|it| it["within"].as_u64().unwrap() < 29),
        "{parts:?}"
    );
    browser
        .eval("Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { window.copied = text; } } })")
        .await;
    browser.press("copy-report").await;
    browser.until("window.copied").await;
    let copied = browser.eval("return window.copied").await;
    let copied = copied.as_str().unwrap();
    assert_eq!(copied.matches("FAULT  schedules").count(), 3, "{copied}");
    assert!(
        copied.contains("FAULT  ERP: the operator is busy"),
        "{copied}"
    );
    assert_eq!(copied.matches("ok  tables").count(), 4, "{copied}");
}

/// Only the role that may try the ERP is offered it; what is to be set up is said in the dialog, and nothing stays in the ERP.
#[tokio::test(flavor = "multi_thread")]
async fn the_erp_is_tried_with_one_record_by_the_role_that_may() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    let said = "return document.querySelector('dialog').innerText";
    let offered = "return document.querySelector('[data-key=trial]') !== null";
    for (role, may) in [
        ("Norce.Read", false),
        ("Norce.Act", false),
        ("Norce.Admin", true),
    ] {
        browser.client.delete_all_cookies().await.ok();
        served.sign_in(&browser, role, "/console/doctor").await;
        let is_complete = "document.querySelector('[data-key=copy-report]')";
        browser.until(is_complete).await;
        assert_eq!(browser.eval(offered).await, may, "{role}");
    }
    served.operator.take_asked();
    browser.press("trial").await;
    let is_ready = "return !document.querySelector('dialog button[type=submit]').disabled";
    write(&browser, "#country", "N").await;
    assert_eq!(browser.eval(is_ready).await, false);
    write(&browser, "#country", "NO").await;
    assert_eq!(browser.eval(is_ready).await, true);
    assert_eq!(acts(&served), Vec::<Value>::new());
    confirm(&browser).await;
    let shown = browser.eval(said).await.to_string();
    assert!(shown.contains("can be sold to, and was deleted"), "{shown}");
    let asked = acts(&served);
    assert_eq!(asked.len(), 1, "{asked:#?}");
    assert_eq!(
        [
            &asked[0]["kind"],
            &asked[0]["country"],
            &asked[0]["confirm"]
        ],
        [&json!("customer"), &json!("NO"), &json!(true)]
    );

    // Something is to be done.
    served
        .operator
        .run(|bundle: &mut Bundle| {
            async move {
                let refused = Fault::status(StatusCode::FORBIDDEN);
                bundle
                    .erp
                    .inject(refused.on(Method::POST, Entity::SalesQuotes));
            }
            .boxed_local()
        })
        .await;
    browser.press("cancel").await;
    browser.press("trial").await;
    confirm(&browser).await;
    let shown = browser.eval(said).await.to_string();
    assert!(shown.contains("What to do:"), "{shown}");
    assert!(
        shown.contains("Whether it can be sold to was not found out"),
        "{shown}"
    );
    served
        .operator
        .run(|bundle: &mut Bundle| {
            async move {
                let company = bundle.erp_company();
                assert_eq!(bundle.erp.customers(company), []);
                assert_eq!(bundle.erp.contacts(company), []);
            }
            .boxed_local()
        })
        .await;
}
