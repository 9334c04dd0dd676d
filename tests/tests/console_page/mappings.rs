//! Mappings: export, dry run and binding.

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::reports::Reports as _;

use super::{acts, confirm, customers, stage, text, write};

/// An export is checked as an import, which binds nothing before it is asked to; the second stack has lost a binding.
#[tokio::test(flavor = "multi_thread")]
async fn mappings_are_exported_checked_and_bound() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .operator
        .run(|bundle| {
            async move {
                customers(bundle, 3);
                bundle.run_until_quiet().await;
            }
            .boxed_local()
        })
        .await;
    served
        .sign_in(&browser, "Norce.Admin", "/console/mappings")
        .await;
    browser.press("export").await;
    browser
        .until("document.querySelector('main').innerText.includes('3 mappings were exported.')")
        .await;
    let into = browser
        .eval("return document.querySelector('code').innerText")
        .await;
    let into = into.as_str().unwrap();
    assert!(into.starts_with("mappings/"), "{into}");
    let prefix = into.rsplit_once('/').unwrap().0.to_owned() + "/";
    let key = prefix.clone() + "wrong.jsonl";
    served
        .operator
        .run(move |bundle| {
            async move {
                bundle
                    .reports
                    .put(&key, "", "no JSON".into())
                    .await
                    .unwrap();
                let unbind = json!({ "action": "unbind", "entity": "customer/client/1", "confirm": true, "reason": "a test" });
                bundle.ask(unbind).await.unwrap();
            }
            .boxed_local()
        })
        .await;
    acts(&served);
    write(&browser, "[data-key=from]", &prefix).await;
    browser.press("check").await;
    browser
        .until("document.querySelector('[data-key=bind]')")
        .await;
    let label = "return document.querySelector('[data-key=bind]').innerText";
    assert_eq!(browser.eval(label).await, "Bind 1…");
    let shown = text(&browser).await;
    assert!(
        shown.contains("What an import would do") && shown.contains("wrong.jsonl"),
        "{shown}"
    );
    let imports = |asked: Vec<Value>| -> Vec<Value> {
        let imports = asked.into_iter();
        imports
            .filter(|it| it["action"] == "import-mappings")
            .collect()
    };
    let asked = imports(served.operator.take_asked());
    assert!(
        !asked.is_empty() && asked.iter().all(|it| it["dryRun"] == true),
        "{asked:?}"
    );
    browser.press("bind").await;
    confirm(&browser).await;
    let done = browser
        .eval("return document.querySelector('dialog [role=status]').innerText")
        .await;
    assert!(done.as_str().unwrap().contains("Bound already"), "{done}");
    let asked = imports(served.operator.take_asked());
    assert!(asked.iter().all(|it| it.get("dryRun").is_none()));
    let explained = browser
        .eval("return (await (await fetch('/console/api/explain', { method: 'POST', headers: { 'content-type': 'application/json', 'x-console': '1' }, body: JSON.stringify({ entity: 'customer/client/1' }) })).json()).mapping.state")
        .await;
    assert_eq!(explained, "bound");
}

/// A long file takes several requests, each with where the one before stopped, and their counts are summed up.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_is_checked_in_steps_that_sum_up() {
    let Some((browser, served)) = stage(0).await else {
        return;
    };
    served
        .sign_in(&browser, "Norce.Admin", "/console/mappings")
        .await;
    let next = json!({ "key": "mappings/a", "line": 100, "kind": "company" });
    let steps = [
        json!({ "summary": "x", "bound": 90, "unchanged": 0, "conflicts": 10, "invalid": 0, "next": next }),
        json!({ "summary": "x", "bound": 30, "unchanged": 5, "conflicts": 0, "invalid": 1 }),
    ];
    served.operator.script("import-mappings", steps);
    write(&browser, "[data-key=from]", "mappings/a").await;
    browser.press("check").await;
    browser
        .until("document.querySelector('[data-key=bind]')?.innerText === 'Bind 120…'")
        .await;
    let asked = served.operator.take_asked();
    let asked: Vec<&Value> = asked
        .iter()
        .filter(|it| it["action"] == "import-mappings")
        .collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].get("next"), &asked[1]["next"]),
        (None, &next),
        "{asked:?}"
    );
    // What is wrong with the request is said, and what was typed stays.
    served.operator.script("import-mappings", []);
    write(&browser, "[data-key=from]", "plans/a").await;
    browser.press("check").await;
    browser
        .until("document.querySelector('.toast').innerText.includes('begins with mappings/')")
        .await;
}
