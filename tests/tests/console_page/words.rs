//! The two languages.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use super::{stage, text};

fn page(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/console/page");
    fs::read_to_string(path.join(file)).unwrap()
}

/// The table: a module whose one export is JSON but for a comma at its end.
fn words() -> BTreeMap<String, [String; 2]> {
    let text = page("words.js");
    let (_, table) = text.split_once("export const WORDS = ").unwrap();
    let table = table.trim().trim_end_matches("};").trim_end();
    serde_json::from_str(&format!("{}}}", table.trim_end_matches(','))).unwrap()
}

/// The modules that say something.
fn modules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/console/page");
    let names = fs::read_dir(path).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let modules = names.filter(|name| name.ends_with(".js") && name != "words.js");
    modules.map(|name| page(&name)).collect()
}

/// The placeholders of a sentence.
fn placeholders(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn every_sentence_is_there_in_both_languages_with_the_same_values() {
    let words = words();
    assert!(words.len() > 250);
    for (key, [english, swedish]) in &words {
        assert_eq!(placeholders(english), placeholders(swedish), "{key}");
        assert!(!english.is_empty() && !swedish.is_empty(), "{key}");
    }
}

/// Every key that a module asks for is in the table, and every word of the table is asked for.
#[test]
fn every_key_that_the_page_uses_is_a_word_of_the_table() {
    let known = words();
    let modules = modules();
    let mut used = BTreeSet::new();
    let mut before = "";
    for part in modules.split("t(\"") {
        // Not the end of another name, such as `split(`.
        let is_call = before.ends_with(|sign: char| !sign.is_alphanumeric());
        let key = part.split('"').next().unwrap();
        if is_call {
            assert!(known.contains_key(key), "{key}");
            used.insert(key);
        }
        before = part;
    }
    assert!(used.len() > 150);
    // The rest is named by what comes from the server, or by an address: `word("reason", …)`, t(`screen.${…}`).
    let kinds: BTreeSet<&str> = known
        .keys()
        .filter_map(|key| key.split_once('.'))
        .map(|(kind, _)| kind)
        .filter(|kind| {
            modules.contains(&format!("t(`{kind}.${{"))
                || modules.contains(&format!("word(\"{kind}\""))
                || modules.contains(&format!("select(context, \"{kind}\""))
                || modules.contains(&format!("name: \"{kind}\""))
        })
        .collect();
    for key in known.keys() {
        let base = key.trim_end_matches(".one");
        let is_named = base
            .split_once('.')
            .is_some_and(|(kind, _)| kinds.contains(kind));
        // t(`${action}.text`), where an action is a word of the module.
        let is_made = base.split_once('.').is_some_and(|(name, rest)| {
            modules.contains(&format!("}}.{rest}`")) && modules.contains(&format!("\"{name}\""))
        });
        let is_conditional = modules.contains(&format!("\"{base}\""));
        assert!(
            used.contains(base) || is_named || is_made || is_conditional,
            "nothing says {key}"
        );
    }
}

/// Check 23: what is chosen is shown at once, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn the_language_that_is_chosen_is_spoken() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Read", "/console/owed?view=list")
        .await;
    browser.press("csv").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('1 exported.')")
        .await;
    browser.eval("const it = document.querySelector('[data-key=language]'); it.value = 'sv'; it.dispatchEvent(new Event('change'));").await;
    browser
        .until("document.querySelector('h1').innerText === 'Ej synkat'")
        .await;
    // The operator's advice as well, and a remote's words stay as they are.
    browser
        .until("[...document.querySelectorAll('.card .said')].some((it) => it.lang === 'sv' && it.innerText.startsWith('Affärssystemet godtar inte posten'))")
        .await;
    // No text in the other language remains.
    assert_eq!(super::toast(&browser).await, "");
    assert_eq!(
        browser.eval("return document.documentElement.lang").await,
        "sv"
    );
    browser.client.refresh().await.unwrap();
    browser.settled().await;
    let shown = text(&browser).await;
    assert!(
        shown.contains("1 post") && shown.contains("Nekad av systemet"),
        "{shown}"
    );
    // What a remote says stays in its own words, and says so.
    assert_eq!(
        browser
            .eval("return document.querySelector('.card .said').lang")
            .await,
        "en"
    );
}

/// Check 23: times are those of the browser's zone, before and after its clocks were changed.
#[tokio::test(flavor = "multi_thread")]
async fn times_are_those_of_the_browsers_zone_across_a_change_of_its_clocks() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    browser.in_zone("Europe/Stockholm").await;
    let line = |number: usize, first: &str| {
        json!({
            "subject": format!("customer/client/{number}"), "stage": "to-erp", "reason": "validation", "detail": "x",
            "first": first, "last": first, "attempts": 1, "correlation": "x",
        })
    };
    // Summer time ends on 25 October 2026 at 01:00 UTC, and begins on 28 March 2027 at 01:00 UTC.
    let times = [
        ("2026-10-24T22:30:00Z", "25 okt. 2026 00:30:00"),
        ("2026-10-25T00:59:00Z", "25 okt. 2026 02:59:00"),
        ("2026-10-25T01:01:00Z", "25 okt. 2026 02:01:00"),
        ("2026-10-25T12:00:00Z", "25 okt. 2026 13:00:00"),
        ("2027-03-28T00:59:00Z", "28 mars 2027 01:59:00"),
        ("2027-03-28T01:00:00Z", "28 mars 2027 03:00:00"),
    ];
    let lines: Vec<Value> = (1..)
        .zip(times)
        .map(|(number, (first, _))| line(number, first))
        .collect();
    let answer =
        json!({ "summary": "x", "found": 6, "asOf": "2027-03-28T02:00:00Z", "owed": lines });
    served.operator.script("owed", [answer]);
    served
        .sign_in(&browser, "Norce.Read", "/console/owed?view=list")
        .await;
    browser.eval("const it = document.querySelector('[data-key=language]'); it.value = 'sv'; it.dispatchEvent(new Event('change'));").await;
    let shown = browser
        .eval("return [...document.querySelectorAll('.card time')].map((it) => it.innerText)")
        .await;
    assert_eq!(shown, json!(times.map(|(_, shown)| shown)));
}

/// Input that was not sent yet stays, and no e-mail address gets into the address of the page, whatever it is typed
/// into (check 8).
#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_stays_until_it_is_sent_and_an_email_address_gets_into_no_address() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    let typing = |key: &str, text: &str| {
        format!(
            "const it = document.querySelector('[data-key={key}]'); it.focus(); it.value = '{text}'; it.dispatchEvent(new Event('input', {{ bubbles: true }})); document.activeElement.blur();"
        )
    };
    served
        .sign_in(&browser, "Norce.Admin", "/console/mappings")
        .await;
    let file = "mappings/seed.jsonl";
    browser.eval(&typing("from", file)).await;
    browser.eval("const it = document.querySelector('[data-key=language]'); it.value = 'sv'; it.dispatchEvent(new Event('change'));").await;
    browser
        .until("document.querySelector('h1').innerText === 'Kopplingar'")
        .await;
    browser.settled().await;
    let shown = browser
        .eval("return document.querySelector('[data-key=from]').value")
        .await;
    assert_eq!(shown, file);
    for screen in ["owed?view=list", "activity"] {
        let address = served.address(&format!("/console/{screen}"));
        browser.open(&address).await;
        browser
            .eval(&typing("filter-subject", "anna.1@example.com"))
            .await;
        browser
            .eval("document.querySelector('[data-key=filter-subject]').form.requestSubmit()")
            .await;
        browser.settled().await;
        let address = super::address(&browser).await;
        assert!(!address.contains("anna"), "{screen}: {address}");
    }
    let kept = browser
        .eval("return JSON.stringify([history.state, document.title, { ...localStorage }])")
        .await;
    assert!(!kept.as_str().unwrap().contains("anna"), "{kept}");
}
