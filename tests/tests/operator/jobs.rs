//! `jobs`: the imports under way.

use super::*;

#[tokio::test(start_paused = true)]
async fn jobs_shows_imports_that_are_under_way_with_what_norce_says() {
    let bundle = Bundle::new(&Options::default());
    assert_eq!(
        summary(&bundle.ask(json!({"action": "jobs"})).await.unwrap()),
        "No import is under way."
    );
    bundle
        .norce
        .inject(&[Endpoint::JobGet], When::Times(3), Effect::status(503));
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    while bundle.import_jobs.open().await.unwrap().is_empty() {
        bundle.run_for(Duration::from_millis(100)).await;
    }
    let jobs = bundle.ask(json!({"action": "jobs"})).await.unwrap();
    assert_eq!(jobs["jobs"][0]["lines"], 1, "{jobs:#}");
    assert!(
        summary(&jobs).starts_with("1 imports with 1 lines are under way"),
        "{jobs:#}"
    );
    let explained = bundle
        .ask(json!({"action": "explain", "id": anna}))
        .await
        .unwrap();
    let job = jobs["jobs"][0]["job"].clone();
    assert_eq!(explained["imports"][0]["job"], job, "{explained:#}");
    let one = bundle
        .ask(json!({"action": "jobs", "job": job}))
        .await
        .unwrap();
    assert_eq!(one["jobs"][0]["waiting"][0]["id"], anna, "{one:#}");
    bundle.run_until_quiet().await;
    let settled = bundle
        .ask(json!({"action": "jobs", "job": job}))
        .await
        .unwrap();
    assert_eq!(settled["jobs"][0]["settled"], true, "{settled:#}");
    assert!(
        refusal(&bundle, json!({"action": "jobs", "job": 987_654}))
            .await
            .contains("no import with job")
    );
}
