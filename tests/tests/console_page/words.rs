//! The two languages.

use std::{collections::BTreeMap, fs, path::Path};

use super::{stage, text};

fn page(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/console/page");
    fs::read_to_string(path.join(file)).unwrap()
}

/// A dictionary: a module whose one export is JSON but for a comma at its end.
fn words(language: &str) -> BTreeMap<String, String> {
    let text = page(&format!("{language}.js"));
    let text = text
        .trim()
        .trim_start_matches("export default")
        .trim_end_matches(';');
    let text = text
        .trim()
        .trim_end_matches('}')
        .trim_end()
        .trim_end_matches(',');
    serde_json::from_str(&format!("{text}}}")).unwrap()
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
    let (english, swedish) = (words("en"), words("sv"));
    assert!(english.len() > 150);
    assert_eq!(
        english.keys().collect::<Vec<_>>(),
        swedish.keys().collect::<Vec<_>>()
    );
    for (key, text) in &english {
        assert_eq!(placeholders(text), placeholders(&swedish[key]), "{key}");
        assert!(!text.is_empty() && !swedish[key].is_empty(), "{key}");
    }
}

/// Every key that a module asks for is in the dictionaries, and every word of the dictionaries is asked for.
#[test]
fn every_key_that_the_page_uses_is_a_word_of_the_dictionaries() {
    let known = words("en");
    let modules = [
        "app.js",
        "overview.js",
        "owed.js",
        "record.js",
        "operation.js",
        "dialog.js",
        "text.js",
    ]
    .map(page)
    .concat();
    let mut used = Vec::new();
    let mut before = "";
    for part in modules.split("t(\"") {
        // Not the end of another name, such as `split(`.
        let is_call = before.ends_with(|sign: char| !sign.is_alphanumeric());
        let key = part.split('"').next().unwrap();
        if is_call {
            assert!(known.contains_key(key), "{key}");
            used.push(key);
        }
        before = part;
    }
    assert!(used.len() > 80);
    // The rest is named by what comes from the server, or by an address.
    let kinds = [
        "screen", "fault", "theme", "role", "reason", "stage", "kind", "kinds", "filter",
        "breaker", "walk", "active", "mapping", "mode", "plan", "pass", "path", "step",
    ];
    for key in known.keys() {
        let base = key.trim_end_matches(".one");
        let is_named = kinds
            .iter()
            .any(|kind| base == *kind || base.starts_with(&format!("{kind}.")));
        let is_done = base.ends_with(".done");
        assert!(
            used.contains(&base) || is_named || is_done,
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
        .sign_in(&browser, "Norce.Read", "/console/owed")
        .await;
    browser.eval("const it = document.querySelector('[data-key=language]'); it.value = 'sv'; it.dispatchEvent(new Event('change'));").await;
    browser
        .until("document.querySelector('h1').innerText === 'Ogjort'")
        .await;
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
