//! `dead-letters`: count, show and redrive.

use super::*;
use shared::StoreError;

#[tokio::test(start_paused = true)]
async fn dead_letters_are_counted_shown_and_sent_again() {
    let bundle = Bundle::new(&Options::default());
    let anna = bundle.norce.add_customer(person(1));
    bundle.run_until_quiet().await;
    for number in 0..12 {
        let message = ChangeMessage::Entity {
            entity: customer(anna),
            cause: Cause::Ordered,
            received_at: bundle.clock.now() + TimeDelta::seconds(number),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        };
        let body = serde_json::to_string(&message).unwrap();
        bundle
            .changes
            .dead_letter(&body, Some(&message.group()), "tried too often")
            .await
            .unwrap();
    }
    bundle
        .imports
        .dead_letter("{\"mail\":\"anna.1@example.com\"}", None, "not an import")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    let counted = bundle.ask(json!({"action": "dead-letters"})).await.unwrap();
    assert_eq!(summary(&counted), "Dead letters: 13.");

    let shown = bundle
        .ask(json!({"action": "dead-letters", "do": "show", "queue": "imports"}))
        .await
        .unwrap();
    assert_eq!(
        shown["messages"][0]["body"], "{\"mail\":\"[e-mail]\"}",
        "{shown:#}"
    );
    assert_eq!(
        (
            &shown["messages"][0]["reason"],
            &shown["messages"][0]["ageSeconds"]
        ),
        (&json!("not an import"), &json!(7_200))
    );
    let shown = bundle
        .ask(json!({"action": "dead-letters", "do": "show", "limit": 12}))
        .await
        .unwrap();
    assert_eq!(shown["messages"].as_array().unwrap().len(), 12);

    let redriven = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive", "queue": "changes", "limit": 11}))
        .await
        .unwrap();
    assert_eq!(
        (&redriven["redriven"], bundle.changes.dead_letters().len()),
        (&json!(11), 1),
        "{redriven:#}"
    );
    let message = &bundle.changes.receive(1)[0];
    assert_eq!(message.group, Some(customer(anna).to_string()));
    let rest = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive"}))
        .await
        .unwrap();
    assert_eq!(rest["redriven"], 2, "{rest:#}");
    bundle.quiet_within(UNTIL_AGAIN).await;
    assert_eq!(bundle.erp.customers(bundle.erp_company()).len(), 1);
    assert_eq!(
        bundle.imports.dead_letters().len(),
        1,
        "what cannot be handled comes back"
    );
    let refused = refusal(&bundle, json!({"action": "dead-letters", "queue": "x"})).await;
    assert!(
        refused.contains("changes, imports, jobs, passes"),
        "{refused}"
    );
}

/// A dead-letter queue to which everything comes back at once.
struct Bottomless;

#[async_trait]
impl DeadLetters for Bottomless {
    async fn count(&self) -> Result<u64, StoreError> {
        Ok(2)
    }

    async fn look(&self, _: Duration) -> Result<Vec<DeadMessage>, StoreError> {
        Ok(vec![DeadMessage {
            id: "id".to_owned(),
            receipt: "receipt".to_owned(),
            body: "{}".to_owned(),
            group: None,
            reason: None,
            age: Duration::ZERO,
        }])
    }

    async fn put_back(&self, _: &DeadMessage) -> Result<(), StoreError> {
        Ok(())
    }

    async fn redrive(&self, _: &DeadMessage) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_not_sent_round_and_round() {
    let mut bundle = Bundle::new(&Options::default());
    let stack = bundle.operator.stack.as_mut().unwrap();
    stack.queues[0].dead_letters = Arc::new(Bottomless);
    let redriven = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive"}))
        .await
        .unwrap();
    assert_eq!(redriven["redriven"], 2);
}
