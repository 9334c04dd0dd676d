//! What people do: filter, try again, set aside, forget.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};

use super::{UNTIL_OWED, acts, address, stage, text};

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
        .until("document.querySelectorAll('.card').length === 3")
        .await;
    assert_eq!(address(&browser).await, served.address("/console/owed"));
    browser.eval("const it = document.querySelector('[data-key=filter-reason]'); it.value = 'validation'; it.dispatchEvent(new Event('change'));").await;
    browser.until("location.search === '?reason=validation' && document.querySelectorAll('.card').length === 3").await;
    let all = browser
        .eval("return document.querySelector('[data-key=retry-all]').innerText")
        .await;
    assert_eq!(all, "Try all 3 that match again");
    browser.client.back().await.unwrap();
    browser
        .until("location.search === '' && document.querySelectorAll('.card').length === 3")
        .await;
}

/// Check 15: what is chosen is what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_chosen_records_are_tried_again() {
    let Some((browser, served)) = stage(3).await else {
        return;
    };
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
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
    browser.press("refresh").await;
    browser.settled().await;
    assert_eq!(
        browser
            .eval("return document.querySelectorAll('.cards input:checked').length")
            .await,
        2
    );
    browser.press("retry-chosen").await;
    browser
        .until("document.querySelector('dialog h2')?.innerText === 'Try 2 records again?'")
        .await;
    assert!(acts(&served).is_empty());
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser.until("document.querySelector('dialog [role=status]').innerText.includes('2 are being tried again')").await;
    let asked: Vec<_> = acts(&served)
        .into_iter()
        .map(|mut request| {
            request.as_object_mut().unwrap().remove("by");
            request
        })
        .collect();
    let expected = chosen.map(|key| {
        let words: Vec<&str> = key.split(' ').collect();
        json!({ "action": "owed", "do": "retry", "subject": words[1], "stage": words[2] })
    });
    assert_eq!(asked, expected);
}

/// Check 16, as far as the operator goes today: without a reason nothing is set aside, and afterwards the reason is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_set_aside_with_a_reason_only_which_is_text_whatever_it_says() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
    browser.press("aside customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    let submit = "return document.querySelector('dialog button[type=submit]').disabled";
    assert_eq!(browser.eval(submit).await, true);
    let write = |text: &str| {
        format!(
            "const it = document.querySelector('#because'); it.value = {}; it.dispatchEvent(new Event('input', {{ bubbles: true }}));",
            json!(text)
        )
    };
    browser.eval(&write("   ")).await;
    assert_eq!(browser.eval(submit).await, true);
    // Check 9: what comes back is text.
    let markup = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";
    browser.eval(&write(markup)).await;
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("document.querySelector('dialog [role=status]').innerText.includes('set aside')")
        .await;
    browser
        .open(&served.address("/console/owed?dismissed=1"))
        .await;
    assert!(text(&browser).await.contains("<b>bold</b>"));
    assert_eq!(
        browser
            .eval("return document.querySelectorAll('main img, main q b').length")
            .await,
        0
    );
    assert_ne!(browser.client.title().await.unwrap(), "owned");
    browser.open(&served.address("/console/owed")).await;
    assert!(text(&browser).await.contains("Nothing is owed"));
}

/// Check 17: a poison customer, from owed to in step, without loading the page again.
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_customer_is_found_tried_again_and_in_step() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
    browser
        .eval("window.isTheSame = true; document.querySelector('.card a').click()")
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
        .until("document.querySelector('dialog[open]')")
        .await;
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("document.querySelector('dialog [role=status]').innerText.includes('tried again')")
        .await;
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
    browser
        .eval("document.querySelector('dialog').close()")
        .await;
    browser.press("refresh").await;
    browser
        .until("document.querySelector('main').innerText.includes('Nothing of it is owed')")
        .await;
    assert!(text(&browser).await.contains("Bound"));
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
