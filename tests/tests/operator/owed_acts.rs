//! Listing, retrying and dismissing owed records.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_listed_tried_again_and_dismissed() {
    let bundle = Bundle::new(&Options::default());
    let first = somebody_owed(&bundle, 1).await;
    let second = somebody_owed(&bundle, 2).await;
    let listed = bundle
        .ask(json!({"action": "owed", "reason": "validation"}))
        .await
        .unwrap();
    assert_eq!(listed["found"], 2, "{listed:#}");
    assert_eq!(
        listed["owed"][0]["subject"],
        format!("customer/client/{first}")
    );
    for filter in [
        json!({"reason": "conflict"}),
        json!({"kind": "company"}),
        json!({"application": 7}),
    ] {
        let mut request = json!({"action": "owed"});
        request
            .as_object_mut()
            .unwrap()
            .extend(filter.as_object().unwrap().clone());
        assert_eq!(bundle.ask(request).await.unwrap()["found"], 0, "{filter}");
    }

    let without_reason = json!({"action": "owed", "do": "dismiss", "kind": "customer"});
    assert!(refusal(&bundle, without_reason).await.contains("`because`"));
    let everything = json!({"action": "owed", "do": "dismiss", "because": "tired"});
    assert!(refusal(&bundle, everything).await.contains("filter"));
    let subject = format!("customer/client/{second}");
    let dismissed = bundle
        .ask(json!({"action": "owed", "do": "dismiss", "subject": subject, "because": "a test of anna@example.com"}))
        .await
        .unwrap();
    assert_eq!(dismissed["dismissed"], 1, "{dismissed:#}");
    let left = bundle
        .ask(json!({"action": "owed", "dismissed": true}))
        .await
        .unwrap();
    assert_eq!(
        left["owed"][0]["dismissed"], "a test of [e-mail]",
        "{left:#}"
    );

    let retried = bundle
        .ask(json!({"action": "owed", "do": "retry"}))
        .await
        .unwrap();
    assert_eq!(
        retried["retried"], 1,
        "the dismissed one is not retried: {retried:#}"
    );
    // So that the schedule does not try it at once, too.
    let now = bundle.clock.now();
    for owed in bundle.owed.list().await.unwrap() {
        let expected = owed.dismissed.is_none().then_some(now);
        assert_eq!(owed.retried, expected, "{}", owed.subject);
    }
    bundle.run_until_quiet().await;
    let owed = bundle.owed.list().await.unwrap();
    assert_eq!(
        owed.len(),
        1,
        "the one that was tried again is done: {owed:#?}"
    );
    assert_eq!(owed[0].subject.to_string(), subject);
}
