//! `replay`: entities are checked as if an event had arrived.

use super::*;

#[tokio::test(start_paused = true)]
async fn replay_sends_entities_again_and_goes_on_where_it_left_off() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-123 45 67".to_owned())
    });
    let plan =
        json!({"action": "replay", "entity": format!("customer/client/{anna}"), "dryRun": true});
    assert_eq!(bundle.ask(plan).await.unwrap()["sent"], 1);
    assert!(bundle.changes.is_empty());
    let replayed = bundle
        .ask(json!({"action": "replay", "entities": [format!("customer/client/{anna}")]}))
        .await
        .unwrap();
    assert_eq!(replayed["sent"], 1, "{replayed:#}");
    bundle.run_until_quiet().await;
    let record = &bundle.erp.customers(bundle.erp_company())[0];
    assert_eq!(record.phone_number, "08-123 45 67");

    for request in [
        json!({"action": "replay"}),
        json!({"action": "replay", "entity": "customer/client/1", "since": "2026-11-01T00:00:00Z"}),
    ] {
        assert!(
            refusal(&bundle, request)
                .await
                .contains("name what to replay")
        );
    }

    tokio::time::sleep(Duration::from_secs(60)).await;
    let since = bundle.clock.now();
    for number in 0..4_500 {
        bundle.norce.add_customer(person(100 + number));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let until = bundle.clock.now();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let late = bundle.norce.add_customer(person(9_999));
    let mut request =
        json!({"action": "replay", "since": since, "until": until, "cause": "ordered"});
    let mut total = 0;
    for go in 1.. {
        let replayed = bundle.ask(request.clone()).await.unwrap();
        total += replayed["sent"].as_u64().unwrap();
        match replayed.get("after") {
            Some(after) => request["after"] = after.clone(),
            None => {
                assert!(go > 2, "{go} goes");
                break;
            }
        }
    }
    assert_eq!(
        (total, bundle.changes.len()),
        (4_500, 4_500),
        "each once, none that came later ({late})"
    );
}
