//! The states of the page that a day of a person does not have: an ERP that is down, a hidden tab, another person, thousands of
//! records.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::queues::Inbox as _;
use tests::business_central_simulator::Fault;

use super::{acts, customers, stage, text};

/// Check 18.
#[tokio::test(flavor = "multi_thread")]
async fn an_erp_that_is_down_is_the_headline_after_one_refresh() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    assert!(text(&browser).await.contains("All is well"));
    served
        .operator
        .run(|bundle| {
            async move {
                bundle
                    .erp
                    .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
                customers(bundle, 1);
                bundle.run_for(Duration::from_secs(7_200)).await;
            }
            .boxed_local()
        })
        .await;
    browser.press("refresh").await;
    browser
        .until("document.querySelector('.headline').innerText === 'erp/client does not answer'")
        .await;
    assert!(text(&browser).await.contains("unavailable"));
}

/// Check 21. Half a minute is not waited for: the browser's timer is held, and fired by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_nobody_looks_at_asks_nothing() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    browser
        .eval("window.timers = []; window.setInterval = (fire, after) => window.timers.push([fire, after]);")
        .await;
    let timers = "return window.timers.map((timer) => timer[1])";
    assert_eq!(browser.eval(timers).await, json!([]), "off by default");
    browser.press("every").await;
    assert_eq!(browser.eval(timers).await, json!([30_000]));
    let fire = "window.timers[0][0](); await new Promise((go) => setTimeout(go, 0));";
    for (is_hidden, asked) in [(false, 1), (true, 0), (false, 1)] {
        browser.settled().await;
        served.operator.take_asked();
        browser
            .eval(&format!("Object.defineProperty(document, 'hidden', {{ configurable: true, value: {is_hidden} }}); {fire}"))
            .await;
        browser.settled().await;
        assert_eq!(served.operator.take_asked().len(), asked, "{is_hidden}");
    }
    // After half an hour it has been forgotten.
    browser
        .eval("const now = Date.now(); Date.now = () => now + 31 * 60000;")
        .await;
    served.operator.take_asked();
    browser.eval(fire).await;
    browser.settled().await;
    assert!(served.operator.take_asked().is_empty());
    let every = "return document.querySelector('[data-key=every]').checked";
    assert_eq!(browser.eval(every).await, false);
}

/// Another person was quicker: the page says so instead of counting what it has not done.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_else_has_put_right_is_not_counted() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
    served
        .operator
        .run(|bundle| {
            async move {
                let retry =
                    json!({ "action": "owed", "do": "retry", "subject": "customer/client/1" });
                bundle.ask(retry).await.unwrap();
                bundle.run_until_quiet().await;
            }
            .boxed_local()
        })
        .await;
    browser.press("all").await;
    browser.press("retry-chosen").await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("!document.querySelector('dialog button[type=submit]')")
        .await;
    let said = browser
        .eval("return document.querySelector('dialog [role=status]').innerText")
        .await;
    assert_eq!(said, "It is being tried again. One was no longer owed.");
    assert_eq!(acts(&served).len(), 2);
}

/// Ten thousand records: the list says how much of them it shows, takes no more than the operator lists, and stays usable.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_thousands_says_how_much_of_it_is_shown() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    let lines = |count: usize| -> Vec<Value> {
        let line = |number: usize| {
            json!({
                "subject": format!("customer/client/{number}"), "stage": "to-erp", "reason": "validation",
                "detail": "<script>document.title = 'owned'</script>", "first": "2026-11-25T03:00:00Z",
                "last": "2026-11-26T03:00:00Z", "attempts": 7, "correlation": "x",
            })
        };
        (1..=count).map(line).collect()
    };
    let answer = |count| json!({ "summary": "x", "found": 10_000, "owed": lines(count) });
    served.operator.script("owed", Some(answer(50)));
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
    let shown = text(&browser).await;
    assert!(shown.contains("50 of 10,000 records are shown"), "{shown}");
    assert!(shown.contains("Try all 10,000 that match again"));
    served.operator.take_asked();
    browser.press("more").await;
    browser.until("location.search === '?limit=250'").await;
    browser.settled().await;
    assert_eq!(served.operator.take_asked()[0]["limit"], 250);
    served.operator.script("owed", Some(answer(2_000)));
    browser
        .open(&served.address("/console/owed?limit=99999"))
        .await;
    let asked = served.operator.take_asked();
    assert_eq!(asked.last().unwrap()["limit"], 2_000);
    let cards = "return document.querySelectorAll('.card').length";
    assert_eq!(browser.eval(cards).await, 2_000);
    assert_ne!(browser.client.title().await.unwrap(), "owned");
    browser.press("all").await;
    let chosen = "return document.querySelector('[data-key=retry-chosen]').innerText";
    assert_eq!(browser.eval(chosen).await, "Try 2,000 again");
}

/// Check 24: what is exported opens in a spreadsheet with every letter, and runs nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_text_to_a_spreadsheet() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    let line = |detail: &str, dismissed: &str| {
        json!({
            "subject": "customer/client/1", "stage": "to-erp", "reason": "validation", "detail": detail,
            "first": "2026-11-25T03:00:00Z", "last": "2026-11-26T03:00:00Z", "attempts": 7, "correlation": "x",
            "dismissed": dismissed,
        })
    };
    let owed = [
        line("=HYPERLINK(\"https://example.com\")", "+46"),
        line("Malmö, \"Åre\"\nÄng", "@x"),
        line("-1", "\tx"),
    ];
    let answer = json!({ "summary": "x", "found": 3, "owed": owed });
    served.operator.script("owed", Some(answer));
    served
        .sign_in(&browser, "Norce.Read", "/console/owed")
        .await;
    browser
        .eval("const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.blob = blob; return make(blob); };")
        .await;
    browser.press("csv").await;
    let bytes = browser
        .eval("return [...new Uint8Array(await window.blob.arrayBuffer())]")
        .await;
    let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
    let csv = String::from_utf8(bytes).unwrap();
    let csv = csv.strip_prefix('\u{feff}').expect("the mark of UTF-8");
    assert!(csv.contains("\"Malmö, \"\"Åre\"\"\nÄng\""), "{csv}");
    for cell in [
        "\"'=HYPERLINK(\"\"",
        "\"'+46\"",
        "\"'@x\"",
        "\"'-1\"",
        "\"'\tx\"",
    ] {
        assert!(csv.contains(cell), "{cell} in {csv}");
    }
    assert_eq!(csv.matches("\r\n").count(), 4);
}

/// Dead letters: counted for everybody, shown to who may act, sent back by who may do everything.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_and_sent_back() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .operator
        .run(|bundle| {
            async move {
                let body = "<img src=x onerror=\"document.title='owned'\">";
                let reason = "not a job";
                bundle.jobs.dead_letter(body, None, reason).await.unwrap();
            }
            .boxed_local()
        })
        .await;
    served
        .sign_in(&browser, "Norce.Admin", "/console/dead-letters")
        .await;
    browser.press("show jobs").await;
    browser.until("document.querySelector('pre')").await;
    let shown = text(&browser).await;
    assert!(
        shown.contains("not a job") && shown.contains("<img src=x"),
        "{shown}"
    );
    assert_ne!(browser.client.title().await.unwrap(), "owned");
    browser.press("redrive jobs").await;
    browser
        .until("document.querySelector('dialog h2')?.innerText === 'Send 1 message back?'")
        .await;
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("!document.querySelector('dialog button[type=submit]')")
        .await;
    let asked = acts(&served);
    assert!(
        asked
            .iter()
            .any(|request| request["do"] == "redrive" && request["queue"] == "jobs")
    );
    browser
        .until("document.querySelector('main').innerText.includes('No message was set aside.')")
        .await;
}

/// Check 6: no other site can put the page into a frame of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_not_in_a_foreign_frame() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    // The provider is another site.
    let foreign = served.provider.issuer().to_owned() + "/.well-known/openid-configuration";
    browser.client.goto(&foreign).await.unwrap();
    let frame = format!(
        "const frame = document.createElement('iframe'); frame.src = {}; \
         const loaded = new Promise((go) => frame.addEventListener('load', go)); \
         document.body.append(frame); await loaded; \
         try {{ return frame.contentDocument ? 'readable' : 'closed'; }} catch {{ return 'closed'; }}",
        json!(served.address("/console/signed-out"))
    );
    assert_eq!(browser.eval(&frame).await, "closed");
    let frames = browser.client.find_all(fantoccini::Locator::Css("iframe"));
    let frame = frames.await.unwrap().remove(0);
    frame.enter_frame().await.unwrap();
    let inside = browser
        .eval("return document.body.innerText + location.protocol")
        .await;
    assert!(!inside.as_str().unwrap().contains("Signed out"), "{inside}");
}
