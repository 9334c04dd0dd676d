//! The console's page in a real browser, over the whole bundle: the checks of its specification. Where each of them is:
//!
//! ```text
//!  1 sign-in, and the address that was asked for    main: a_person_is_signed_in_…
//!  2 wrong state, nonce, audience; cookies          console/sign_in.rs, console/sealing.rs
//!  3 what a role sees and may do                    main: a_person_sees_what_the_role_allows_…; console/roles.rs
//!  4 requests of other sites                        console/origin.rs
//!  5 policy, console, own origin                    looks: the_policy_lets_no_script_in_…, every_screen_…; console/answers.rs
//!  6 no foreign frame                               states: the_page_is_not_in_a_foreign_frame
//!  7 what is kept                                   main: a_person_is_signed_in_…; looks: every_screen_…
//!  8 search by e-mail address                       main: an_email_address_…; groups: words_are_searched_for_…
//!  9 markup of a remote is text                     work: a_record_is_set_aside_…; states: dead_letters_…
//! 10 axe on every screen                            looks: every_screen_…
//! 11 320 px                                         looks: every_screen_…
//! 12 keyboard                                       main: the_page_is_worked_with_the_keyboard_alone
//! 13 filters in the address                         work: an_address_with_a_filter_…
//! 14 groups                                         groups: three_errors_of_many_records_…
//! 15 all that match                                 groups: everything_that_matches_…; work: exactly_the_chosen_…
//! 16 set aside and take back                        work: a_record_is_set_aside_…
//! 17 a poison customer                              work: a_poison_customer_…
//! 18 an ERP that is down                            states: an_erp_that_is_down_…; console/operator.rs has the time
//! 19 forget                                         work: a_customer_is_forgotten_only_…
//! 20 activity                                       activity: each_act_is_one_line_…; operator/activity.rs
//! 21 a hidden tab                                   states: a_tab_that_nobody_looks_at_…
//! 22 old data                                       main: each_fault_has_its_state_…
//! 23 languages and times                            words: the_language_…, times_are_…; looks: every_screen_…
//! 24 files for spreadsheets                         groups: an_export_…; activity: each_act_is_one_line_…
//! 25 sizes, tags, addresses that name the content   console/page.rs
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod activity;
mod bundling;
mod doctor;
mod groups;
mod looks;
mod mappings;
mod overview;
mod passes;
mod states;
mod words;
mod work;

use std::collections::BTreeSet;

use console::OperatorError;
use fantoccini::key::Key;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tests::{
    browser::{Served, WebBrowser},
    bundle::{Bundle, Options, UNTIL_OWED},
    samples::{order_of, person},
};

/// A browser and a console with customers that are owed; nothing where there is no browser.
async fn stage(owed: usize) -> Option<(WebBrowser, Served)> {
    let browser = WebBrowser::start().await?;
    let served = Served::new(Options::default()).await;
    served
        .operator
        .run(move |bundle| {
            async move {
                bundle.erp.refuse_where(|_| true);
                customers(bundle, owed);
                bundle.run_until_quiet().await;
                bundle.erp.refuse_nothing();
            }
            .boxed_local()
        })
        .await;
    Some((browser, served))
}

/// The e-mail address of the first customer.
const EMAIL: &str = "anna.1@example.com";

/// Customers with an order each, whose events are on their way.
fn customers(bundle: &Bundle, count: usize) {
    for number in 1..=count {
        let customer = bundle.norce.add_customer(person(number));
        bundle.norce.place_order(order_of(customer));
    }
}

async fn text(browser: &WebBrowser) -> String {
    let text = browser
        .eval("return document.querySelector('main').innerText")
        .await;
    text.as_str().unwrap().to_owned()
}

/// What the page says was done.
async fn toast(browser: &WebBrowser) -> String {
    let text = browser
        .eval("return document.querySelector('.toast').innerText")
        .await;
    text.as_str().unwrap().to_owned()
}

/// Types into a field of a dialog or of the page, as a person does.
async fn write(browser: &WebBrowser, selector: &str, text: &str) {
    let (selector, text) = (json!(selector), json!(text));
    browser
        .eval(&format!("const it = document.querySelector({selector}); it.value = {text}; it.dispatchEvent(new Event('input', {{ bubbles: true }}));"))
        .await;
}

/// Sends the form of the dialog that is open, and waits until it has been done.
async fn confirm(browser: &WebBrowser) {
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("document.querySelector('dialog') && !document.querySelector('dialog button[type=submit]')")
        .await;
}

/// Keeps what the page saves as a file: its text is in `window.saved`.
async fn keep_files(browser: &WebBrowser) {
    browser
        .eval("const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.blob = blob; return make(blob); };")
        .await;
}

/// The file that the page saved last, as it was written.
async fn saved(browser: &WebBrowser) -> String {
    browser.until("window.blob").await;
    let bytes = browser
        .eval("const { blob } = window; delete window.blob; return [...new Uint8Array(await blob.arrayBuffer())]")
        .await;
    let bytes: Vec<u8> = serde_json::from_value(bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn address(browser: &WebBrowser) -> String {
    browser.client.current_url().await.unwrap().to_string()
}

/// What the operator was asked that acts.
fn acts(served: &Served) -> Vec<Value> {
    let asked = served.operator.take_asked().into_iter();
    let acts = asked.filter(|request| {
        let what = request["do"].as_str().unwrap_or("list");
        !matches!(what, "list" | "count" | "show")
            || matches!(
                request["action"].as_str(),
                Some("replay" | "forget" | "pass" | "plan" | "trial")
            )
    });
    acts.collect()
}

/// Check 1, and the session cookie of check 7: Chromium sends it to localhost although that has no TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_signed_in_and_comes_to_the_address_that_was_asked_for() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/owed?reason=validation")
        .await;
    assert_eq!(
        address(&browser).await,
        served.address("/console/owed?reason=validation")
    );
    let shell = browser
        .eval("return document.querySelector('header').innerText")
        .await;
    assert!(
        shell.as_str().unwrap().contains("Kanarine Fogelström"),
        "{shell}"
    );
    // No script gets at a cookie, and what is kept says nothing about anybody.
    assert_eq!(browser.eval("return document.cookie").await, "");
    let cookies = browser.client.get_all_cookies().await.unwrap();
    let names: Vec<_> = cookies.iter().map(|cookie| cookie.name()).collect();
    assert_eq!(names, ["__Host-session"]);
    assert_eq!(cookies[0].http_only(), Some(true));
    assert_eq!(cookies[0].secure(), Some(true));
    browser.refresh().await;
    browser.settled().await;
    assert!(text(&browser).await.contains("customer/client/1"));
}

/// Check 3: the page shows nothing that the server would refuse, and the server refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_the_role_allows_and_no_more() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    let keys = "return [...document.querySelectorAll('main [data-key]')].map((it) => it.dataset.key.split(' ')[0])";
    for (role, path, shown, hidden) in [
        (
            "Norce.Read",
            "/console/owed?view=list",
            &["csv"][..],
            &["retry", "aside", "all", "box"][..],
        ),
        (
            "Norce.Read",
            "/console/owed",
            &["show", "csv"],
            &["retry-group", "aside-group"],
        ),
        (
            "Norce.Act",
            "/console/owed",
            &["retry-group", "aside-group"],
            &[],
        ),
        (
            "Norce.Act",
            "/console/owed?view=list",
            &["retry", "aside", "all", "box"],
            &[],
        ),
        ("Norce.Read", "/console/mappings", &[], &["export", "check"]),
        ("Norce.Act", "/console/mappings", &[], &["export", "check"]),
        (
            "Norce.Admin",
            "/console/mappings",
            &["export", "check"],
            &[],
        ),
        (
            "Norce.Read",
            "/console/record?ref=customer/client/1",
            &["copy-link"],
            &["look", "create", "forget", "retry"],
        ),
        (
            "Norce.Act",
            "/console/record?ref=customer/client/1",
            &["look", "create", "retry"],
            &["forget"],
        ),
        (
            "Norce.Admin",
            "/console/record?ref=customer/client/1",
            &["look", "forget"],
            &[],
        ),
        ("Norce.Act", "/console/passes", &[], &["plan", "pass"]),
        ("Norce.Admin", "/console/passes", &["plan", "pass"], &[]),
    ] {
        browser.client.delete_all_cookies().await.ok();
        served.sign_in(&browser, role, path).await;
        let found = browser.eval(keys).await;
        let found: Vec<&str> = found
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        for key in shown {
            assert!(found.contains(key), "{role} at {path}: {key} in {found:?}");
        }
        for key in hidden {
            assert!(!found.contains(key), "{role} at {path}: {key} in {found:?}");
        }
        if role == "Norce.Read" {
            let status = browser.eval("return (await fetch('/console/api/replay', { method: 'POST', headers: { 'content-type': 'application/json', 'x-console': '1' }, body: '{\"entity\":\"customer/client/1\"}' })).status").await;
            assert_eq!(status, 403);
            // The request was refused, and no record is open.
            assert_eq!(acts(&served).len(), 1);
            let state = browser.eval("return (await (await fetch('/console/api/activity', { method: 'POST', headers: { 'content-type': 'application/json', 'x-console': '1' }, body: '{}' })).json()).entries.map((it) => it.state)").await;
            assert!(
                state.as_array().unwrap().iter().all(|it| it == "refused"),
                "{state}"
            );
            served.operator.take_asked();
        }
    }
}

/// Check 8: an e-mail address is found, and is nowhere afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_address_is_looked_up_and_is_nowhere_afterwards() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/overview")
        .await;
    // Every address that the page goes to, and be it for a moment.
    browser
        .eval("window.went = []; for (const name of ['pushState', 'replaceState']) { const real = history[name].bind(history); history[name] = (state, title, url) => { window.went.push(String(url)); real(state, title, url); }; }")
        .await;
    let length = browser.eval("return history.length").await;
    browser.eval(&format!("const it = document.querySelector('#search'); it.value = '{EMAIL}'; it.form.requestSubmit();")).await;
    browser.until("location.search.includes('ref=')").await;
    browser.settled().await;
    assert_eq!(
        address(&browser).await,
        served.address("/console/record?ref=customer%2Fclient%2F1")
    );
    assert!(text(&browser).await.contains("customer/client/1"));
    assert_eq!(
        browser.eval("return history.length").await,
        json!(length.as_i64().unwrap() + 1)
    );
    let traces = browser.eval("return JSON.stringify([window.went, location.href, document.title, { ...localStorage }, { ...sessionStorage }, document.documentElement.outerHTML, document.querySelector('#search').value, performance.getEntries().map((it) => it.name)])").await;
    let traces = traces.as_str().unwrap();
    assert!(traces.contains("/console/record"), "{traces}");
    assert!(!traces.contains("anna.1"), "{traces}");
    browser.client.back().await.unwrap();
    browser.settled().await;
    browser.client.forward().await.unwrap();
    browser.settled().await;
    assert!(text(&browser).await.contains("customer/client/1"));
}

/// Check 22, and every other way not to get an answer: what was there stays, and says how old it is.
#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_state_and_old_data_stay_marked() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    for (fault, words) in [
        (
            OperatorError::Later("Norce does not answer".to_owned()),
            "Norce does not answer",
        ),
        (OperatorError::NoAnswer, "may have been done"),
        (OperatorError::Failed, "failed"),
        (
            OperatorError::SetUp("NORCE_SCOPE: is not set".to_owned()),
            "NORCE_SCOPE",
        ),
    ] {
        served.operator.fail(Some(fault));
        browser.refresh().await;
        browser
            .until("document.querySelector('main [role=alert]')")
            .await;
        let shown = text(&browser).await;
        assert!(shown.contains(words) && shown.contains("is old"), "{shown}");
        assert!(shown.contains("customer/client/1"), "what was there stays");
        assert_eq!(
            browser
                .eval("return document.querySelectorAll('.stale').length")
                .await,
            1
        );
        served.operator.fail(None);
        browser.refresh().await;
        browser
            .until("!document.querySelector('main [role=alert]')")
            .await;
    }
    // Nothing was there before.
    served.operator.fail(Some(OperatorError::Later(
        "Norce does not answer".to_owned(),
    )));
    browser.open(&served.address("/console/doctor")).await;
    assert!(text(&browser).await.contains("Norce does not answer"));
    served.operator.fail(None);
    browser.press("again").await;
    browser.until("document.querySelector('main table')").await;
    // The session ends while a dialog is open: what was typed stays, and goes through after the sign-in in another tab.
    browser
        .open(&served.address("/console/owed?view=list"))
        .await;
    browser.press("aside customer/client/1 to-erp").await;
    browser
        .until("document.querySelector('dialog[open] textarea')")
        .await;
    browser.eval("const it = document.querySelector('#because'); it.value = 'asked the ERP team'; it.dispatchEvent(new Event('input', { bubbles: true }));").await;
    let session = browser
        .client
        .get_named_cookie("__Host-session")
        .await
        .unwrap();
    served.credentials.set_key(Some("another"));
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("document.querySelector('dialog .fault')")
        .await;
    assert_eq!(
        browser
            .eval("return document.querySelector('#because').value")
            .await,
        "asked the ERP team"
    );
    assert!(acts(&served).is_empty());
    served
        .credentials
        .set_key(Some("canary-key-of-the-cookies"));
    assert!(session.value().len() > 40);
    browser
        .eval("document.querySelector('dialog form').requestSubmit()")
        .await;
    browser
        .until("!document.querySelector('dialog button[type=submit]')")
        .await;
    assert_eq!(acts(&served).len(), 1);
}

/// Check 12: without a mouse, and a dialog gives the focus back.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_worked_with_the_keyboard_alone() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/owed?view=list")
        .await;
    let focused = "return document.activeElement.dataset.key ?? document.activeElement.tagName";
    let press = async |key: char| {
        let element = browser.client.active_element().await.unwrap();
        element.send_keys(&key.to_string()).await.unwrap();
    };
    // Every control of every screen can be reached, and shows where the focus is.
    let controls = "const all = [...document.querySelectorAll('a[href], button:enabled, input, select, summary, [tabindex=\"0\"]')]; ";
    for screen in looks::SCREENS {
        browser
            .open(&served.address(&format!("/console/{screen}")))
            .await;
        let all = browser.eval(&format!("{controls} return all.length")).await;
        let all = all.as_u64().unwrap();
        let mut reached = BTreeSet::new();
        for _ in 0..all {
            press(Key::Tab.into()).await;
            let at = browser
                .eval(&format!("{controls} return [all.indexOf(document.activeElement), getComputedStyle(document.activeElement).outlineStyle]"))
                .await;
            assert_ne!(at[1], "none", "{screen}: {at}");
            reached.insert(at[0].as_i64().unwrap());
        }
        let expected: BTreeSet<i64> = (0..i64::try_from(all).unwrap()).collect();
        assert_eq!(reached, expected, "{screen}");
    }
    browser
        .open(&served.address("/console/owed?view=list&reason=validation"))
        .await;
    // What has the focus goes away: it stays on the page.
    browser
        .eval("document.querySelector('[data-key=chip-reason]').focus()")
        .await;
    press(Key::Enter.into()).await;
    browser.until("location.search === '?view=list'").await;
    browser.settled().await;
    assert_eq!(browser.eval(focused).await, "MAIN");
    // "/" leads to the search.
    browser.eval("document.activeElement.blur()").await;
    press('/').await;
    assert_eq!(browser.eval(focused).await, "search");
    // A dialog holds the focus, ends with Escape, and gives it back.
    browser
        .eval("document.querySelector('[data-key^=\"aside \"]').focus()")
        .await;
    press(Key::Enter.into()).await;
    browser
        .until("document.querySelector('dialog[open]')")
        .await;
    for _ in 0..6 {
        let inside = "return Boolean(document.activeElement.closest('dialog')) || document.activeElement === document.body";
        assert_eq!(browser.eval(inside).await, true);
        press(Key::Tab.into()).await;
    }
    press(Key::Escape.into()).await;
    browser.until("!document.querySelector('dialog')").await;
    assert_eq!(
        browser.eval(focused).await,
        "aside customer/client/1 to-erp"
    );
    assert!(acts(&served).is_empty());
    // A refresh leaves the focus where it is.
    browser.refresh().await;
    browser.settled().await;
    assert_eq!(
        browser.eval(focused).await,
        "aside customer/client/1 to-erp"
    );
}
