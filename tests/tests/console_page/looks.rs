//! How the page looks: to axe-core, at 320 px, in both themes; and what it loads.

use serde_json::{Value, json};
use tests::browser::axe_core;

use super::stage;

const SCREENS: [&str; 10] = [
    "overview",
    "owed",
    "owed?view=list",
    "record?ref=customer/client/1",
    "passes",
    "imports",
    "dead-letters",
    "doctor",
    "activity",
    "mappings",
];

/// Checks 5, 10 and 11: each screen in both languages, both themes, wide and narrow.
#[tokio::test(flavor = "multi_thread")]
async fn every_screen_can_be_read_by_everybody_at_every_width() {
    let Some((browser, served)) = stage(2).await else {
        return;
    };
    let axe = axe_core().await.unwrap();
    served
        .sign_in(&browser, "Norce.Admin", "/console/overview")
        .await;
    let mut wrong = Vec::new();
    for (language, theme, width) in [
        ("en", "light", 1280),
        ("en", "dark", 320),
        ("sv", "light", 320),
        ("sv", "dark", 1280),
    ] {
        browser.resize(width).await;
        browser.eval(&format!("localStorage.setItem('console.language', '{language}'); localStorage.setItem('console.theme', '{theme}');")).await;
        for screen in SCREENS {
            browser
                .open(&served.address(&format!("/console/{screen}")))
                .await;
            let place = format!("{screen}, {language}, {theme}, {width} px");
            wrong.extend(
                browser
                    .violations(&axe)
                    .await
                    .into_iter()
                    .map(|it| format!("{place}: {it}")),
            );
            let sideways = browser.eval("return [document.documentElement.scrollWidth, innerWidth, document.documentElement.lang, document.documentElement.dataset.theme]").await;
            let of = |index: usize| sideways[index].as_u64().unwrap();
            if of(0) > of(1) {
                wrong.push(format!("{place}: {} px wide in {} px", of(0), of(1)));
            }
            assert_eq!(
                (&sideways[2], &sideways[3]),
                (&json!(language), &json!(theme))
            );
            if let Ok(directory) = std::env::var("SCREENSHOTS") {
                let name = place.replace(['/', '?', '=', ' ', ','], "_");
                let picture = browser.client.screenshot().await.unwrap();
                std::fs::write(format!("{directory}/{name}.png"), picture).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Everything came from our own origin, and the browser had nothing to complain about.
    let loaded = browser
        .eval("return performance.getEntriesByType('resource').map((it) => it.name)")
        .await;
    let loaded: Vec<&str> = loaded
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let files = ["/console.css", "/app.js", "/console/api/session"];
    for file in files {
        assert!(
            loaded.iter().any(|it| it.ends_with(file)),
            "{file}: {loaded:?}"
        );
    }
    assert!(
        loaded
            .iter()
            .all(|address| address.starts_with(&served.origin)),
        "{loaded:?}"
    );
    let kept = browser
        .eval("return Object.keys(localStorage).sort().concat(Object.keys(sessionStorage))")
        .await;
    assert_eq!(kept, json!(["console.language", "console.theme"]));
}

/// Check 5: the policy stands in the way of a script that somebody has got into the page, and the page itself breaks no rule.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_lets_no_script_in_and_the_page_needs_none_of_what_it_forbids() {
    let Some((browser, served)) = stage(1).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Admin", "/console/overview")
        .await;
    let watch = "window.broken = []; document.addEventListener('securitypolicyviolation', (event) => window.broken.push(event.effectiveDirective));";
    browser.eval(watch).await;
    for screen in [
        "owed",
        "passes",
        "imports",
        "dead-letters",
        "doctor",
        "activity",
        "mappings",
        "overview",
    ] {
        browser.press(screen).await;
        browser
            .until(&format!("location.pathname === '/console/{screen}'"))
            .await;
        browser.settled().await;
    }
    assert_eq!(browser.eval("return window.broken").await, json!([]));
    browser.eval("try { document.body.innerHTML = '<p>x'; } catch {} const it = document.createElement('script'); try { it.textContent = 'window.owned = 1'; } catch {} document.body.append(it); const far = document.createElement('img'); far.src = 'https://example.com/x.png'; document.body.append(far); await new Promise((go) => setTimeout(go, 200));").await;
    assert_eq!(
        browser.eval("return window.owned ?? null").await,
        Value::Null
    );
    let broken = browser.eval("return window.broken").await;
    for directive in ["require-trusted-types-for", "img-src"] {
        assert!(
            broken.as_array().unwrap().contains(&json!(directive)),
            "{directive}: {broken}"
        );
    }
}
