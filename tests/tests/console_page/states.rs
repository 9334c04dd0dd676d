//! States of the page that are rare in a day of work: an ERP that is down, a hidden tab, another person, thousands of
//! records.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::json;
use shared::queues::Inbox as _;
use tests::business_central_simulator::Fault;

use super::{acts, customers, groups::owe, stage, text, toast};

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
    browser.refresh().await;
    browser
        .until("document.querySelector('.headline').innerText === 'The ERP does not answer'")
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
    for is_hidden in [false, true, false] {
        browser.settled().await;
        served.operator.take_asked();
        browser
            .eval(&format!("Object.defineProperty(document, 'hidden', {{ configurable: true, value: {is_hidden} }}); {fire}"))
            .await;
        browser.settled().await;
        assert_eq!(
            served.operator.take_asked().is_empty(),
            is_hidden,
            "{is_hidden}"
        );
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

/// New data move nothing: neither the focus, nor what is chosen, nor the place on the page; and what is being copied is not
/// taken away.
#[tokio::test(flavor = "multi_thread")]
async fn new_data_are_in_nobodys_way() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=40).await;
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    browser
        .eval("window.timers = []; window.setInterval = (fire, after) => window.timers.push([fire, after]);")
        .await;
    browser.press("every").await;
    browser.press("box customer/client/30 to-erp").await;
    browser
        .eval("scrollTo(0, 2000); document.querySelector('[data-key=\"aside customer/client/31 to-erp\"]').focus({ preventScroll: true });")
        .await;
    let seen = "return [scrollY, document.activeElement.dataset.key, document.querySelectorAll('.cards input:checked').length]";
    let before = browser.eval(seen).await;
    assert_eq!(before[0], 2_000);
    served.operator.take_asked();
    let fire = "window.timers[0][0](); await new Promise((go) => setTimeout(go, 0));";
    browser.eval(fire).await;
    browser.settled().await;
    assert!(!served.operator.take_asked().is_empty());
    assert_eq!(browser.eval(seen).await, before);
    // Somebody is marking a text.
    browser
        .eval("getSelection().selectAllChildren(document.querySelector('.card .said'))")
        .await;
    browser.eval(fire).await;
    browser.settled().await;
    assert!(served.operator.take_asked().is_empty());
    let marked = "return String(getSelection())";
    assert!(!browser.eval(marked).await.as_str().unwrap().is_empty());
    // Somebody is deciding.
    browser.eval("getSelection().removeAllRanges()").await;
    browser.press("aside customer/client/31 to-erp").await;
    browser.eval(fire).await;
    browser.settled().await;
    assert!(served.operator.take_asked().is_empty());
}

/// Another person was quicker: the page says so instead of counting what it has not done.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_else_has_put_right_is_not_counted() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
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
        .until("document.querySelector('.toast').innerText.includes('1 is being tried again')")
        .await;
    let said = toast(&browser).await;
    assert!(said.contains("1 was left out"), "{said}");
    assert_eq!(acts(&served).len(), 1);
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
        .until("document.querySelector('main').innerText.includes('No message has been given up.')")
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
