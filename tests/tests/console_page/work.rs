//! The work of a person: filter, retry, set aside, forget.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{UNTIL_OWED, acts, address, confirm, groups::as_sent, stage, text, toast, write};

/// Check 13: the filters are in the address, whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_filter_shows_the_filter_and_what_it_leaves() {
    let Some((browser, served)) = stage(3).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?reason=conflict")
        .await;
    assert_eq!(
        browser
            .eval("return document.querySelector('[data-key=filter-reason]').value")
            .await,
        "conflict"
    );
    assert!(
        browser
            .eval("return document.querySelector('[data-key=chip-reason]').innerText")
            .await
            .as_str()
            .unwrap()
            .contains("Conflict")
    );
    assert!(
        text(&browser)
            .await
            .contains("Nothing that is owed matches the filter.")
    );
    browser.press("chip-reason").await;
    browser
        .until("document.querySelectorAll('.group').length === 1")
        .await;
    assert_eq!(address(&browser).await, served.address("/console/owed"));
    browser.eval("const it = document.querySelector('[data-key=filter-reason]'); it.value = 'validation'; it.dispatchEvent(new Event('change'));").await;
    browser.until("location.search === '?reason=validation' && document.querySelectorAll('.card').length === 3").await;
    // The button acts on as many as the list has.
    browser.press("all").await;
    let all = "return document.querySelector('[data-key=retry-chosen]').innerText";
    assert_eq!(browser.eval(all).await, "Try again (3)");
    assert!(text(&browser).await.contains("3 records"));
    browser.client.back().await.unwrap();
    browser
        .until("location.search === '' && document.querySelectorAll('.group').length === 1")
        .await;
}

/// Check 15, of records that were chosen one by one: what is chosen is what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_chosen_records_are_tried_again() {
    let Some((browser, served)) = stage(3).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    let boxes = browser
        .eval("return [...document.querySelectorAll('.cards input')].map((it) => it.dataset.key)")
        .await;
    let boxes: Vec<&str> = boxes
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(boxes.len(), 3);
    let chosen = [boxes[0], boxes[2]];
    for key in chosen {
        browser.press(key).await;
    }
    // The choice outlives a refresh.
    browser.refresh().await;
    browser.settled().await;
    assert_eq!(
        browser
            .eval("return document.querySelectorAll('.cards input:checked').length")
            .await,
        2
    );
    assert!(acts(&served).is_empty());
    browser.press("retry-chosen").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('2 are being tried again')")
        .await;
    let asked: Vec<Value> = acts(&served).into_iter().map(as_sent).collect();
    assert_eq!(asked.len(), 1, "one act, one line in the activity record");
    let subjects = chosen.map(|key| key.split(' ').nth(1).unwrap());
    assert_eq!(
        asked[0],
        json!({ "action": "owed", "do": "retry", "stage": "to-erp", "subjects": subjects })
    );
}

/// Check 16: without a reason nothing is set aside; with one it shows who, when and why; and that is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_set_aside_with_a_reason_only_which_is_text_whatever_it_says_and_taken_back() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    browser.press("aside customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    let submit = "return document.querySelector('dialog button[type=submit]').disabled";
    assert_eq!(browser.eval(submit).await, true);
    write(&browser, "#because", "   ").await;
    assert_eq!(browser.eval(submit).await, true);
    // Check 9: what comes back is text.
    let markup = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";
    write(&browser, "#because", markup).await;
    confirm(&browser).await;
    assert!(toast(&browser).await.contains("1 was set aside."));
    browser
        .open(&served.address("/console/owed?view=list&dismissed=1"))
        .await;
    let shown = text(&browser).await;
    assert!(shown.contains("<b>bold</b>"), "{shown}");
    assert!(
        shown.contains("Set aside by Kanarine Fogelström"),
        "{shown}"
    );
    assert_eq!(
        browser
            .eval("return document.querySelectorAll('main img, main q b').length")
            .await,
        0
    );
    assert_ne!(browser.client.title().await.unwrap(), "owned");
    let when = browser
        .eval("return document.querySelector('.card p:has(q) time')?.dateTime")
        .await;
    assert!(when.as_str().unwrap().ends_with('Z'), "{when}");
    browser.open(&served.address("/console/owed")).await;
    assert!(text(&browser).await.contains("Nothing is owed"));
    browser
        .open(&served.address("/console/owed?view=list&dismissed=1"))
        .await;
    browser.press("back customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('1 was taken back')")
        .await;
    browser
        .until("document.querySelectorAll('.card').length === 0")
        .await;
    browser.open(&served.address("/console/owed")).await;
    assert!(text(&browser).await.contains("1 record"));
}

/// Check 17: a poison customer, from owed to in step: the verdict turns by itself, without loading the page again. What the
/// page waits for is held, and fired by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_customer_is_found_tried_again_and_in_step() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    browser
        .eval("window.isTheSame = true; window.timers = []; window.setTimeout = (fire, after) => window.timers.push([fire, after]); document.querySelector('.card a').click()")
        .await;
    browser
        .until("location.pathname === '/console/record'")
        .await;
    browser.settled().await;
    let before = text(&browser).await;
    assert!(
        before.contains("If an event came now") && before.contains("owed"),
        "{before}"
    );
    browser.press("retry customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('1 is being tried again')")
        .await;
    browser.settled().await;
    let verdict = "return document.querySelector('.verdict').innerText";
    let verdict_before = browser.eval(verdict).await;
    served
        .operator
        .run(|bundle| {
            async move {
                bundle.run_until_quiet().await;
                bundle.run_for(UNTIL_OWED).await;
                bundle.run_for(Duration::from_secs(60)).await;
            }
            .boxed_local()
        })
        .await;
    // The browser's driver has timers of its own, which are longer.
    let waits = "return window.timers.map(([, after]) => after).filter((after) => after <= 30000)";
    assert_eq!(browser.eval(waits).await, json!([3_000, 10_000, 30_000]));
    browser
        .eval("window.timers.find(([, after]) => after === 3000)[0]()")
        .await;
    browser
        .until("document.querySelector('main').innerText.includes('Nothing of it is owed')")
        .await;
    assert_ne!(browser.eval(verdict).await, verdict_before);
    let shown = text(&browser).await;
    assert!(shown.contains("Bound"));
    // What the person did is a part of what happened.
    assert!(
        shown.contains("Kanarine Fogelström") && shown.contains("Tried again"),
        "{shown}"
    );
    assert_eq!(browser.eval("return window.isTheSame").await, true);
}

/// Check 19: nobody is forgotten by a slip of the hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_forgotten_only_after_its_id_was_typed() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(
            &browser,
            "Norce.Admin",
            "/console/record?ref=customer/client/1",
        )
        .await;
    browser.press("forget").await;
    browser.until("document.querySelector('dialog ol')").await;
    let asked = acts(&served);
    assert!(
        asked.iter().all(|request| request.get("confirm").is_none()),
        "{asked:?}"
    );
    let write = |text: &str| {
        format!(
            "const it = document.querySelector('#typed'); it.value = '{text}'; it.dispatchEvent(new Event('input', {{ bubbles: true }})); return document.querySelector('dialog button[type=submit]').disabled"
        )
    };
    for (text, is_disabled) in [
        ("", true),
        ("2", true),
        ("customer/client/1", true),
        ("11", true),
        ("1", false),
    ] {
        assert_eq!(browser.eval(&write(text)).await, is_disabled, "{text}");
    }
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser.until("document.querySelector('dialog [role=status].progress').innerText.length > 5 && !document.querySelector('dialog button[type=submit]')").await;
    let asked = acts(&served);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["confirm"], true);
    assert_eq!(asked[0]["entity"], "customer/client/1");
}
