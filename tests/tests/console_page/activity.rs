//! The record of who did what.

use serde_json::json;

use super::{acts, address, confirm, keep_files, saved, stage, text, write};

/// Check 20: each act is one line, a refused one too, and looking is none; and what a file has of it.
#[tokio::test(flavor = "multi_thread")]
async fn each_act_is_one_line_and_refused_ones_too() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Admin", "/console/owed?view=list")
        .await;
    browser.press("retry customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('1 is being tried again')")
        .await;
    browser.press("aside customer/client/6 to-erp").await;
    write(&browser, "#because", "=Åsa frågar säljaren").await;
    confirm(&browser).await;
    // Refused: nobody sets everything aside.
    let refused = browser
        .eval("return (await fetch('/console/api/owed', { method: 'POST', headers: { 'content-type': 'application/json', 'x-console': '1' }, body: JSON.stringify({ do: 'dismiss', because: 'all of it' }) })).status")
        .await;
    assert_ne!(refused, 200);
    assert_eq!(acts(&served).len(), 3);
    browser.open(&served.address("/console/activity")).await;
    let rows = browser
        .eval("return [...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText.replace(/\\s+/g, ' ').trim()))")
        .await;
    assert_eq!(rows.as_array().unwrap().len(), 3, "{rows:#}");
    // They began in the same moment of the bundle's time, so that their order says nothing.
    let row = |result: &str, did: &str| {
        let mut rows = rows.as_array().unwrap().iter();
        let row = rows.find(|row| {
            let starts = |cell: usize, with: &str| row[cell].as_str().unwrap().starts_with(with);
            starts(5, result) && starts(2, did)
        });
        row.unwrap_or_else(|| panic!("{did} {result}: {rows:#?}"))
    };
    let set_aside = row("done", "Set aside");
    assert_eq!(set_aside[3], "customer/client/6");
    assert_eq!(set_aside[4], "=Åsa frågar säljaren");
    assert_eq!(row("done", "Tried again")[3], "customer/client/1");
    let refused = row("refused", "Set aside");
    assert!(
        refused[5].as_str().unwrap().contains("needs a filter"),
        "{refused}"
    );
    for row in rows.as_array().unwrap() {
        assert_eq!(row[1], "Kanarine Fogelström");
    }
    // Reading it left no entry.
    browser.refresh().await;
    browser.settled().await;
    let count = "return document.querySelectorAll('tbody tr').length";
    assert_eq!(browser.eval(count).await, 3);
    keep_files(&browser).await;
    browser.press("csv").await;
    let csv = saved(&browser).await;
    assert!(csv.starts_with('\u{feff}'));
    assert_eq!(csv.matches("\r\n").count(), 4, "{csv}");
    assert!(csv.contains("\"'=Åsa frågar säljaren\""), "{csv}");
    // The filters are in the address.
    browser
        .eval("const it = document.querySelector('[data-key=filter-state]'); it.value = 'refused'; it.dispatchEvent(new Event('change'));")
        .await;
    browser
        .until("document.querySelectorAll('tbody tr').length === 1")
        .await;
    assert_eq!(
        address(&browser).await,
        served.address("/console/activity?state=refused")
    );
    browser
        .open(&served.address("/console/activity?subject=customer%2Fclient%2F1&did=retry"))
        .await;
    assert_eq!(browser.eval(count).await, 1);
    browser.press("chip-did").await;
    browser
        .until("location.search === '?subject=customer%2Fclient%2F1'")
        .await;
    browser.settled().await;
    assert!(text(&browser).await.contains("Tried again"));
}

/// A long record has pages; a person whose identifier is an e-mail address is in no address.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_activity_record_has_pages_and_names_nobody_in_an_address() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    let entry = |number: usize, user: &str| {
        json!({
            "at": "2026-11-26T03:00:00Z", "id": format!("entry {number}"), "did": "retry", "state": "started",
            "by": { "user": user, "role": "act" },
            "subjects": (1..=9).map(|it| format!("customer/client/{it}")).collect::<Vec<_>>(),
        })
    };
    let cursor = json!({ "at": "2026-11-26T03:00:00Z", "id": "x" });
    let pages = [
        json!({ "summary": "x", "entries": [entry(1, "anna@example.com"), entry(2, "u-1")], "cursor": cursor }),
        json!({ "summary": "x", "entries": [entry(3, "aws")] }),
    ];
    served.operator.script("activity", pages);
    served
        .sign_in(&browser, "Norce.Read", "/console/activity")
        .await;
    assert!(text(&browser).await.contains("and 4 more"));
    let links = browser
        .eval("return [...document.querySelectorAll('main a')].map((it) => it.href).filter((it) => it.includes('user='))")
        .await;
    assert_eq!(links, json!([served.address("/console/activity?user=u-1")]));
    served.operator.take_asked();
    browser.press("next").await;
    browser
        .until("document.querySelectorAll('tbody tr').length === 1")
        .await;
    let asked = served.operator.take_asked();
    assert_eq!(asked[0]["cursor"], cursor);
}
