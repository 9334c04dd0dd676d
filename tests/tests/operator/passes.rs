//! `plan` and `pass`.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_plan_and_a_pass_are_started_as_the_schedules_start_them() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let planned = bundle
        .ask(json!({"action": "plan", "mode": "full", "application": 2}))
        .await
        .unwrap();
    assert_eq!(planned["runs"][0]["scope"], "app-2", "{planned:#}");
    let started = bundle
        .ask(json!({"action": "pass", "mode": "full"}))
        .await
        .unwrap();
    assert_eq!(started["runs"].as_array().unwrap().len(), 2);
    assert_eq!(started.get("reports"), None);
    bundle.run_until_quiet().await;
    let report = planned["reports"][0].as_str().unwrap();
    assert!(bundle.reports.all().contains_key(report), "{report}");
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        status["lastRuns"].as_array().unwrap().len(),
        2,
        "a plan is no run: {status:#}"
    );
    let refused = refusal(
        &bundle,
        json!({"action": "pass", "mode": "full", "application": 7}),
    )
    .await;
    assert!(refused.contains("application 7"), "{refused}");
}
