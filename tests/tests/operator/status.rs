//! `status`, and what it and the doctor report about a remote that is down.

use super::*;

#[tokio::test(start_paused = true)]
async fn status_counts_what_waits_and_what_is_owed() {
    let bundle = Bundle::new(&Options::default());
    let quiet = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        summary(&quiet),
        "Messages waiting: 0, dead letters: 0, owed: 0, imports under way: 0; no pass has run yet."
    );
    somebody_owed(&bundle, 1).await;
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    bundle
        .jobs
        .dead_letter("{}", None, "not a job")
        .await
        .unwrap();
    bundle
        .norce
        .place_order(order_of(bundle.norce.add_customer(person(2))));
    bundle.norce.settled().await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        status["owed"]["owed"],
        json!({"validation": 1}),
        "{status:#}"
    );
    let jobs = json!({"queue": "jobs", "waiting": 0, "deadLetters": 1});
    assert_eq!(status["queues"][2], jobs);
    assert!(
        status["queues"][0]["waiting"].as_u64().unwrap() >= 1,
        "{status:#}"
    );
    assert_eq!(status["lastRuns"][0]["mode"], "delta");
    let marks = status["watermarks"].as_array().unwrap();
    assert!(
        marks
            .iter()
            .any(|mark| mark["walk"] == "erp" && !mark["at"].is_null())
    );
    assert!(
        summary(&status).contains("(the oldest for 2 h"),
        "{status:#}"
    );
    assert!(
        summary(&status).ends_with("the last pass (delta) ended 2 h 0 min ago."),
        "{status:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn p8_status_and_doctor_say_which_remote_is_left_alone() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    bundle
        .erp
        .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
    let customer = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_for(2 * HOUR).await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    let breaker = status["breakers"].as_array().unwrap().iter();
    let mut breaker = breaker.filter(|breaker| breaker["remote"] == "erp/client");
    let breaker = breaker.next().unwrap();
    assert_eq!(breaker["state"], "open", "{status:#}");
    assert!(breaker["nextProbe"].is_string(), "{status:#}");
    assert!(
        summary(&status)
            .starts_with("erp/client has been unavailable for 1 h 59 min; calls are paused and retried automatically."),
        "{status:#}"
    );
    // A person sees the fault of the remote itself, and not that calls are paused.
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    let reachable = &faults(&report)[0];
    assert_eq!(reachable.0, "erp client: reachable");
    assert!(reachable.1.contains("503"), "{reachable:?}");
    bundle.erp.clear_faults();
    let (check, detail, fix) = only_fault(&bundle, "the breaker is open").await;
    assert_eq!(check, "table breakers");
    assert!(detail.contains("erp/client") && fix.contains("by itself"));

    let recovering = async || {
        let status = bundle.ask(json!({"action": "status"})).await.unwrap();
        status["breakers"].to_string()
    };
    while bundle
        .breakers
        .get("erp/client")
        .await
        .unwrap()
        .permit(bundle.clock.now())
        != Permit::Go(None)
        && !recovering().await.contains("recovering")
    {
        bundle.run_for(Duration::from_secs(30)).await;
    }
    assert!(recovering().await.contains(r#""state":"recovering""#));
    bundle.run_until_quiet().await;
    tokio::time::sleep(HOUR).await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(status["breakers"][0]["state"], "closed", "{status:#}");
    assert!(
        summary(&status).starts_with("Messages waiting: 0"),
        "{status:#}"
    );
}
