//! The list of owed records at any length: in groups, page by page, and acted on as it was seen.

use chrono::TimeDelta;
use console::OperatorError;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::{
    domain::Clock as _,
    owed::{NewOwed, OwedRecords as _, Reason, Stage, Subject},
};
use tests::{
    browser::{Served, WebBrowser},
    bundle::customer,
};
use uuid::Uuid;

use super::{acts, address, confirm, keep_files, saved, stage, text, toast, write};

/// Customers that are owed, with these numbers.
pub(super) async fn owe(served: &Served, numbers: std::ops::RangeInclusive<i64>) {
    served
        .operator
        .run(move |bundle| {
            async move {
                for number in numbers {
                    let (reason, detail) = match number % 6 {
                        0 => (
                            Reason::Conflict,
                            format!("customer/client/{number} has code C{number:05}: correct it."),
                        ),
                        1 | 2 => (Reason::Validation, format!("=1+1 failed in job {number}.")),
                        _ => (
                            Reason::Validation,
                            format!("Record {} does not meet a rule.", Uuid::new_v4()),
                        ),
                    };
                    let owed = NewOwed {
                        subject: Subject::Entity(customer(number)),
                        stage: Stage::ToErp,
                        reason,
                        detail,
                        code: None,
                        at: bundle.clock.now() - TimeDelta::seconds(1)
                            + TimeDelta::milliseconds(number),
                        correlation: Uuid::new_v4(),
                        cause: None,
                    };
                    bundle.owed.put(owed).await.unwrap();
                }
            }
            .boxed_local()
        })
        .await;
}

/// The numbers of the groups that are shown.
async fn counts(browser: &WebBrowser) -> Vec<u64> {
    let counts = browser
        .eval("return [...document.querySelectorAll('.group .count')].map((it) => Number(it.innerText))")
        .await;
    serde_json::from_value(counts).unwrap()
}

/// A request without what the server adds.
pub(super) fn as_sent(mut request: Value) -> Value {
    let fields = request.as_object_mut().unwrap();
    fields.remove("by");
    fields.remove("within");
    request
}

/// Check 14, and what is done with a group.
#[tokio::test(flavor = "multi_thread")]
async fn three_errors_of_many_records_are_three_groups_that_sum_up_and_are_acted_on() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=60).await;
    served.sign_in(&browser, "Norce.Act", "/console/owed").await;
    assert_eq!(counts(&browser).await, [30, 20, 10]);
    let shown = text(&browser).await;
    assert!(shown.contains("60 records · 3 groups"), "{shown}");
    for words in [
        "Record … does not meet a rule.",
        "Oldest since",
        "next attempt",
        "customer/client/3, customer/client/4, customer/client/5",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // The list of a group has what the group counts, and nothing else.
    browser
        .eval("document.querySelector('[data-key^=\"show \"]').click()")
        .await;
    browser
        .until("document.querySelectorAll('.cards .card').length === 30")
        .await;
    assert!(address(&browser).await.contains("/console/owed?group="));
    let shown = text(&browser).await;
    assert!(
        shown.contains("One group") && shown.contains("30 records"),
        "{shown}"
    );
    let others = "return [...document.querySelectorAll('.cards .said')].map((it) => it.innerText).filter((it) => !it.endsWith('does not meet a rule.') && !it.startsWith('The ERP does not accept the record')).length";
    assert_eq!(browser.eval(others).await, 0);
    browser.client.back().await.unwrap();
    browser
        .until("document.querySelectorAll('.group').length === 3")
        .await;
    browser.settled().await;
    // Few are tried again at once, with what the list said.
    served.operator.take_asked();
    browser
        .eval("document.querySelectorAll('[data-key^=\"retry-group \"]')[2].click()")
        .await;
    browser
        .until("document.querySelector('.toast').innerText.includes('10 are being tried again')")
        .await;
    let asked = acts(&served).remove(0);
    assert_eq!(
        (&asked["do"], &asked["expected"]),
        (&json!("retry"), &json!(10))
    );
    assert!(asked["asOf"].is_string() && asked["group"].is_string());
    // Of many it is asked first.
    browser.settled().await;
    browser
        .eval("document.querySelector('[data-key^=\"aside-group \"]').click()")
        .await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    let asks = browser
        .eval("return document.querySelector('dialog').innerText")
        .await;
    let asks = asks.as_str().unwrap();
    assert!(
        asks.contains("Set 30 records aside?") && asks.contains("and 27 more"),
        "{asks}"
    );
    assert!(acts(&served).is_empty());
    write(&browser, "#because", "known to the ERP team").await;
    confirm(&browser).await;
    assert!(toast(&browser).await.contains("30 were set aside."));
    browser
        .eval("document.querySelector('dialog').close()")
        .await;
    browser
        .until("document.querySelectorAll('.group').length === 2")
        .await;
    // All of them are taken back.
    browser
        .open(&served.address("/console/owed?dismissed=1"))
        .await;
    assert_eq!(counts(&browser).await, [30]);
    browser
        .eval("document.querySelector('[data-key^=\"back-group \"]').click()")
        .await;
    browser
        .until("document.querySelector('dialog h2')?.innerText === 'Take 30 records back?'")
        .await;
    confirm(&browser).await;
    assert!(toast(&browser).await.contains("30 were taken back."));
}

/// Check 15: a page is chosen first, and everything that matches in a second step; then that is what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_matches_is_chosen_in_a_second_step_and_sent_as_it_was_seen() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=90).await;
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?reason=validation")
        .await;
    let shown = text(&browser).await;
    assert!(shown.contains("50 of 75 records are shown"), "{shown}");
    let cards = "return document.querySelectorAll('.card').length";
    assert_eq!(browser.eval(cards).await, 50);
    browser.press("all").await;
    let acts_on = "return document.querySelector('[data-key=retry-chosen]').innerText";
    assert_eq!(browser.eval(acts_on).await, "Try again (50)");
    browser.press("choose-all").await;
    assert_eq!(browser.eval(acts_on).await, "Try again (75)");
    served.operator.take_asked();
    browser.press("retry-chosen").await;
    browser
        .until("document.querySelector('dialog h2')?.innerText === 'Try 75 records again?'")
        .await;
    let asks = browser
        .eval("return document.querySelector('dialog').innerText")
        .await;
    for words in ["Reason: Refused by the remote", "and 70 more"] {
        assert!(asks.as_str().unwrap().contains(words), "{asks}");
    }
    assert!(acts(&served).is_empty());
    confirm(&browser).await;
    assert!(toast(&browser).await.contains("75 are being tried again."));
    let asked: Vec<Value> = acts(&served).into_iter().map(as_sent).collect();
    assert_eq!(asked.len(), 1);
    let as_of = &asked[0]["asOf"];
    assert!(as_of.is_string());
    assert_eq!(
        asked[0],
        json!({ "action": "owed", "do": "retry", "reason": "validation", "asOf": as_of, "expected": 75 })
    );
}

/// The next page has its address, and what was chosen on one page is not acted on from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_has_pages_with_addresses() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=120).await;
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    let subjects = "return [...document.querySelectorAll('.card a')].map((it) => it.innerText)";
    let mut seen = Vec::new();
    for (page, size) in [(1, 50), (2, 50), (3, 20)] {
        browser
            .until(&format!(
                "document.querySelectorAll('.card').length === {size}"
            ))
            .await;
        let shown: Vec<String> = serde_json::from_value(browser.eval(subjects).await).unwrap();
        seen.extend(shown);
        if page == 1 {
            browser.press("all").await;
        } else {
            let chosen = "return document.querySelectorAll('.card input:checked').length";
            assert_eq!(browser.eval(chosen).await, 0);
        }
        if page < 3 {
            browser.press("next").await;
            browser.until("document.querySelector('main').getAttribute('aria-busy') === 'false' && document.querySelector('[data-key=first]')").await;
        }
    }
    let mut distinct = seen.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len()), (120, 120));
    // The address of the page alone leads to it.
    let here = address(&browser).await;
    browser.open(&here).await;
    let shown: Vec<String> = serde_json::from_value(browser.eval(subjects).await).unwrap();
    assert_eq!(shown, seen[100..]);
    browser.press("first").await;
    browser
        .until(
            "location.search === '?view=list' && document.querySelectorAll('.card').length === 50",
        )
        .await;
}

/// A list that has grown meanwhile is refused, and the way on is followed to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_has_grown_is_refused_and_listed_again() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=30).await;
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?reason=validation")
        .await;
    browser.press("all").await;
    // A page is chosen by its records, which cannot grow; a group is.
    browser
        .open(&served.address("/console/owed?view=groups&reason=validation"))
        .await;
    owe(&served, 33..=34).await;
    browser
        .eval("document.querySelector('[data-key^=\"aside-group \"]').click()")
        .await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    write(&browser, "#because", "a test").await;
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("document.querySelector('dialog .fault')?.innerText.includes('has grown')")
        .await;
    let kept = "return document.querySelector('#because').value";
    assert_eq!(browser.eval(kept).await, "a test");
    browser.press("list-again").await;
    browser.until("!document.querySelector('dialog')").await;
    browser
        .until("Number(document.querySelector('.group .count').innerText) === 17")
        .await;
    browser
        .eval("document.querySelector('[data-key^=\"aside-group \"]').click()")
        .await;
    write(&browser, "#because", "a test").await;
    confirm(&browser).await;
    assert!(toast(&browser).await.contains("17 were set aside."));
    // Of few it is not asked, and the refusal is as plain.
    browser
        .eval("document.querySelector('dialog').close()")
        .await;
    browser
        .open(&served.address("/console/owed?view=groups&reason=validation"))
        .await;
    owe(&served, 37..=38).await;
    browser
        .eval("document.querySelector('[data-key^=\"retry-group \"]').click()")
        .await;
    browser
        .until("document.querySelector('.toast').innerText.includes('has grown')")
        .await;
    browser.press("list-again").await;
    browser
        .until("Number(document.querySelector('.group .count').innerText) === 12")
        .await;
}

/// Thousands are done in the steps of the operator, each after the answer of the one before; it can be stopped between them,
/// and then it says what was done.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_are_done_in_steps_which_can_be_stopped() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    let line = |number: usize| {
        json!({
            "subject": format!("customer/client/{number}"), "stage": "to-erp", "reason": "validation",
            "detail": "<script>document.title = 'owned'</script>", "first": "2026-11-25T03:00:00Z",
            "last": "2026-11-26T03:00:00Z", "attempts": 7, "correlation": "x",
        })
    };
    let lines: Vec<Value> = (1..=50).map(line).collect();
    let place = |number: usize| json!({ "first": "2026-11-25T03:00:00Z", "subject": format!("customer/client/{number}"), "stage": "to-erp" });
    let list = json!({ "summary": "x", "found": 1_200, "asOf": "2026-11-26T03:00:00Z", "owed": lines, "cursor": place(50) });
    let step = |retried: usize, cursor: Value| json!({ "summary": "x", "found": 1_200, "retried": retried, "owed": [], "cursor": cursor });
    served.operator.script("owed", [list.clone()]);
    served
        .sign_in(
            &browser,
            "Norce.Act",
            "/console/owed?view=list&kind=customer",
        )
        .await;
    assert_ne!(browser.client.title().await.unwrap(), "owned");
    let choose = async || {
        browser.press("all").await;
        browser.press("choose-all").await;
        browser.press("retry-chosen").await;
        browser
            .until("document.querySelector('dialog h2')?.innerText === 'Try 1,200 records again?'")
            .await;
        served.operator.take_asked();
    };
    choose().await;
    let steps = [
        step(500, place(500)),
        step(500, place(1_000)),
        step(200, Value::Null),
        list.clone(),
    ];
    served.operator.script("owed", steps);
    confirm(&browser).await;
    assert!(
        toast(&browser)
            .await
            .contains("1,200 are being tried again.")
    );
    let asked = acts(&served);
    let cursors: Vec<&Value> = asked.iter().map(|request| &request["cursor"]).collect();
    assert_eq!(cursors, [&Value::Null, &place(500), &place(1_000)]);
    assert!(asked.iter().all(|request| {
        (&request["expected"], &request["asOf"]) == (&json!(1_200), &json!("2026-11-26T03:00:00Z"))
    }));
    browser
        .eval("document.querySelector('dialog').close()")
        .await;
    browser.settled().await;
    // Stopped while a step is under way: that one ends, and no other begins.
    choose().await;
    served
        .operator
        .script("owed", [step(500, place(500)), list.clone()]);
    browser
        .eval("const real = fetch; window.fetch = async (...request) => { await new Promise((go) => { window.letGo = go; }); window.fetch = real; return real(...request); }; document.querySelector('dialog form').requestSubmit();")
        .await;
    browser.until("window.letGo").await;
    browser
        .eval("document.querySelector('[data-key=cancel]').click(); window.letGo();")
        .await;
    browser
        .until("document.querySelector('dialog [role=status]').innerText.includes('700 are as they were')")
        .await;
    assert_eq!(acts(&served).len(), 1);
    let said = toast(&browser).await;
    assert!(said.contains("500 are being tried again."), "{said}");
}

/// Check 24, and what is exported is everything that matches and not the page.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_everything_that_matches_and_is_text_to_a_spreadsheet() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=90).await;
    served
        .sign_in(&browser, "Norce.Read", "/console/owed?reason=validation")
        .await;
    keep_files(&browser).await;
    browser.press("csv").await;
    let csv = saved(&browser).await;
    assert_eq!(csv.matches("\r\n").count(), 76);
    assert!(csv.contains("\"'=1+1 failed in job 7.\""), "{csv}");
    assert!(!csv.contains("conflict"), "{csv}");
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
    served.operator.script("owed", [answer]);
    browser.press("csv").await;
    let csv = saved(&browser).await;
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
    // A list of several answers is put together; where one fails, that is said and nothing is saved.
    let place = json!({ "first": "2026-11-25T03:00:00Z", "subject": "customer/client/1", "stage": "to-erp" });
    let part = |cursor: Value| json!({ "summary": "x", "found": 2, "owed": [line("x", "")], "cursor": cursor });
    served
        .operator
        .script("owed", [part(place.clone()), part(Value::Null)]);
    served.operator.take_asked();
    browser.press("csv").await;
    let csv = saved(&browser).await;
    assert_eq!(csv.matches("\r\n").count(), 3, "{csv}");
    assert_eq!(served.operator.take_asked()[1]["cursor"], place);
    assert!(toast(&browser).await.contains("2 exported."));
    let fault = OperatorError::Later("the table is busy".to_owned());
    served.operator.fail(Some(fault));
    browser.press("csv").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('the table is busy')")
        .await;
    assert_eq!(
        browser.eval("return window.blob ?? null").await,
        Value::Null
    );
}

/// Words are searched for in the address, so that the link can be sent on; an e-mail address is only ever posted.
#[tokio::test(flavor = "multi_thread")]
async fn words_are_searched_for_and_an_email_address_gets_into_no_address() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    owe(&served, 1..=30).await;
    served
        .sign_in(&browser, "Norce.Read", "/console/owed")
        .await;
    let search = async |words: &str| {
        write(&browser, "[data-key=filter-q]", words).await;
        browser.press("filter").await;
    };
    search("meet rule").await;
    browser
        .until("location.search === '?q=meet+rule' && document.querySelectorAll('.cards .card').length === 15")
        .await;
    browser.settled().await;
    served.operator.take_asked();
    search("anna.1@example.com").await;
    browser
        .until("location.search === '' && document.querySelector('[data-key=chip-q]')?.innerText.includes('anna.1@')")
        .await;
    browser.settled().await;
    let asked = served.operator.take_asked();
    assert!(
        asked
            .iter()
            .any(|request| request["q"] == "anna.1@example.com"),
        "{asked:?}"
    );
    let traces = browser
        .eval("return JSON.stringify([location.href, document.title, { ...localStorage }, { ...sessionStorage }, performance.getEntries().map((it) => it.name)])")
        .await;
    assert!(!traces.as_str().unwrap().contains("anna.1"), "{traces}");
    // It is forgotten with the screen.
    browser.press("overview").await;
    browser.settled().await;
    browser.press("owed").await;
    browser
        .until("document.querySelectorAll('.group').length === 3")
        .await;
    assert!(!text(&browser).await.contains("anna.1"));
}
