//! The appearance of the page: axe-core, 320 px, both themes; and what it loads.

use std::time::Duration;

use console::OperatorError;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::{domain::PassMode, queues::Inbox as _};
use tests::browser::{Served, WebBrowser, axe_core};
use tokio::sync::oneshot;

use super::{customers, groups::owe, stage};

pub(super) const SCREENS: [&str; 12] = [
    "overview",
    "owed",
    "owed?view=list",
    "owed?view=list&dismissed=1",
    "record?ref=customer/client/1",
    "passes",
    "imports",
    "dead-letters",
    "dead-letters?queue=jobs",
    "doctor",
    "activity",
    "mappings",
];

/// Texts of the page that are keys of the table of words, or words of the operator's answers that have none: whatever is said
/// by a remote or names something is marked as that, or has a digit or a sign in it.
const UNTRANSLATED: &str = "const found = []; const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); while (walk.nextNode()) { const text = walk.currentNode.data.trim(); const { parentElement: parent } = walk.currentNode; if (parent.closest('[lang=en]:not(html), code, .person, q')) continue; if (/^[a-z]+([.-][a-z]+)+$/i.test(text) && !/^(to-erp|e-post)$/.test(text)) found.push(text); } return found;";

/// Something on every screen: records that are owed and set aside, a message that was given up, an import under way, passes, a
/// plan, counts of two days, and a refused act.
async fn filled() -> Option<(WebBrowser, Served, String)> {
    let (browser, served) = stage(2).await?;
    let (told, plan) = oneshot::channel();
    served
        .operator
        .run(move |bundle| {
            async move {
                for hour in 0..40 {
                    if hour != 20 {
                        let counts = bundle.retry_owed().await.counts;
                        bundle.full_pass.heartbeat(&counts).await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                }
                bundle.pass(PassMode::Delta).await;
                bundle
                    .jobs
                    .dead_letter("{\"job\":\"seven\"}", None, "not a job")
                    .await
                    .unwrap();
                let planned = bundle
                    .ask(json!({ "action": "plan", "mode": "full" }))
                    .await;
                bundle.run_for(Duration::from_secs(600)).await;
                customers(bundle, 3);
                bundle.run_for(Duration::from_secs(20)).await;
                let _ = told.send(planned.unwrap()["runs"][0]["run"].to_string());
            }
            .boxed_local()
        })
        .await;
    let plan = plan.await.unwrap().trim_matches('"').to_owned();
    owe(&served, 11..=90).await;
    served
        .operator
        .run(|bundle| {
            async move {
                let by = json!({ "user": "u-1", "name": "Anna Ek", "role": "act" });
                let aside = json!({ "action": "owed", "do": "dismiss", "subject": "customer/client/11", "because": "Asked the ERP team, who look into it", "by": by });
                bundle.ask(aside).await.unwrap();
                let refused = json!({ "action": "owed", "do": "dismiss", "because": "all", "by": by });
                bundle.ask(refused).await.unwrap_err();
            }
            .boxed_local()
        })
        .await;
    Some((browser, served, plan))
}

/// Checks 5, 10, 11 and 23: each screen in both languages, both themes, wide and narrow, with something on it; and the dialog,
/// the notice and the fault that may lie over each.
#[tokio::test(flavor = "multi_thread")]
async fn every_screen_can_be_read_by_everybody_at_every_width() {
    let Some((browser, served, plan)) = filled().await else {
        return;
    };
    let axe = axe_core().await.unwrap();
    served
        .sign_in(&browser, "Norce.Admin", "/console/overview")
        .await;
    let mut wrong = Vec::new();
    let plan = format!("passes?plan={plan}");
    for screen in SCREENS
        .into_iter()
        .chain([plan.as_str(), "dialog", "fault"])
    {
        let at = match screen {
            "dialog" | "fault" => "owed?view=list",
            screen => screen,
        };
        browser
            .open(&served.address(&format!("/console/{at}")))
            .await;
        match screen {
            "dialog" => browser.press("aside customer/client/12 to-erp").await,
            "fault" => {
                browser.press("retry customer/client/12 to-erp").await;
                browser
                    .until("document.querySelector('.toast').innerText.startsWith('1 ')")
                    .await;
                browser.settled().await;
                let fault = OperatorError::Later("Norce does not answer".to_owned());
                served.operator.fail(Some(fault));
                browser.refresh().await;
                browser.until("document.querySelector('.fault')").await;
            }
            _ => {}
        }
        for language in ["en", "sv"] {
            for (theme, width) in [
                ("light", 1280),
                ("dark", 1280),
                ("dark", 320),
                ("light", 320),
            ] {
                let at = screen.split_once("plan=").map_or(screen, |_| "plan");
                let place = format!("{at}, {language}, {theme}, {width} px");
                browser.resize(width).await;
                browser.eval(&format!("for (const [key, value] of [['language', '{language}'], ['theme', '{theme}']]) {{ const it = document.querySelector(`[data-key=${{key}}]`); if (it.value !== value) {{ it.value = value; it.dispatchEvent(new Event('change')); }} }}")).await;
                browser.settled().await;
                let found = browser.violations(&axe).await;
                wrong.extend(found.into_iter().map(|it| format!("{place}: {it}")));
                let seen = browser.eval("return [document.documentElement.scrollWidth, innerWidth, document.documentElement.lang, document.documentElement.dataset.theme]").await;
                let of = |index: usize| seen[index].as_u64().unwrap();
                if of(0) > of(1) {
                    wrong.push(format!("{place}: {} px wide in {} px", of(0), of(1)));
                }
                assert_eq!((&seen[2], &seen[3]), (&json!(language), &json!(theme)));
                let untranslated = browser.eval(UNTRANSLATED).await;
                if untranslated != json!([]) {
                    wrong.push(format!("{place}: not translated: {untranslated}"));
                }
                if let Ok(directory) = std::env::var("SCREENSHOTS") {
                    let name = place.replace(['/', '?', '=', ' ', ','], "_");
                    let picture = browser.picture().await;
                    std::fs::write(format!("{directory}/{name}.png"), picture).unwrap();
                }
            }
        }
        served.operator.fail(None);
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

/// The pictures of the README, by name and screen.
const PICTURES: [(&str, &str); 4] = [
    ("overview", "overview"),
    ("owed", "owed"),
    ("record", "record?ref=customer/client/12"),
    ("plan", "passes?plan="),
];
/// A picture that takes longer to load is none for a README.
const LARGEST_PICTURE: usize = 150 * 1024;

/// The pictures of the README are those of the page: `PICTURES=1` takes them again.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_has_pictures_of_the_page() {
    let Some((browser, served, plan)) = filled().await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Act", "/console/overview")
        .await;
    browser.resize(1_200).await;
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = manifest.join("../functions/console/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    for (name, screen) in PICTURES {
        let id = if name == "plan" { plan.as_str() } else { "" };
        let address = served.address(&format!("/console/{screen}{id}"));
        browser.open(&address).await;
        let picture = browser.client.screenshot().await.unwrap();
        assert!(
            picture.len() <= LARGEST_PICTURE,
            "{name}: {}",
            picture.len()
        );
        let file = format!("tests/pictures/{name}.png");
        if std::env::var("PICTURES").is_ok() {
            std::fs::write(manifest.join("..").join(&file), picture).unwrap();
        }
        assert!(manifest.join("..").join(&file).exists(), "{file}");
        assert!(readme.contains(&format!("/{file})")), "{file}");
    }
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
