//! `forget`: forgetting a customer by hand.

use super::*;

#[tokio::test(start_paused = true)]
async fn p12_a_customer_is_forgotten_by_hand_once_it_is_confirmed() {
    let bundle = Bundle::new(&Options {
        forgotten: ForgottenPolicy::All,
        ..Options::default()
    });
    let anna = somebody(&bundle, 1).await;
    bundle.erp.refuse_where(|_| true);
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-1".to_owned())
    });
    bundle.run_until_quiet().await;
    bundle.erp.refuse_nothing();
    assert_eq!(bundle.owed.list().await.unwrap().len(), 1);

    let before = state(&bundle);
    let asked = bundle
        .ask(json!({"action": "forget", "id": anna}))
        .await
        .unwrap();
    assert_eq!(state(&bundle), before);
    assert_eq!(asked["forgotten"], false);
    assert!(asked["would"].to_string().contains("block "), "{asked:#}");
    assert!(summary(&asked).contains("\"confirm\":true"), "{asked:#}");

    let done = bundle
        .ask(json!({"action": "forget", "email": "anna.1@example.com", "confirm": true}))
        .await
        .unwrap();
    assert_eq!(done["forgotten"], true, "{done:#}");
    assert_eq!(
        bundle.mappings.get(customer(anna)).await.unwrap(),
        Some(Mapping::Forgotten)
    );
    assert!(bundle.owed.list().await.unwrap().is_empty());
    assert_eq!(bundle.erp.customers(bundle.erp_company())[0].blocked, "All");
    let explained = bundle
        .ask(json!({"action": "explain", "id": anna}))
        .await
        .unwrap();
    assert_eq!(explained["now"]["outcome"], "nothing: it is forgotten");
    let company = json!({"action": "forget", "entity": "company/client/1", "confirm": true});
    assert!(refusal(&bundle, company).await.contains("customers only"));
}

#[tokio::test(start_paused = true)]
async fn p12_an_order_that_waits_for_a_customer_forgotten_by_hand_is_discarded() {
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    bundle.erp.refuse_where(|_| true);
    let customer = bundle.norce.add_customer(person(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.quiet_within(UNTIL_OWED).await;
    let order = OrderRef {
        application: ApplicationId::try_from(1).unwrap(),
        client_order_ref: order.client_order_ref,
    };
    assert_eq!(bundle.orders.expires(&order), None, "it waits");
    let asked = bundle
        .ask(json!({"action": "forget", "id": customer}))
        .await;
    let would = asked.unwrap()["would"].to_string();
    assert!(would.contains("check order/"), "{would}");
    let forget = json!({"action": "forget", "id": customer, "confirm": true});
    bundle.ask(forget).await.unwrap();
    bundle.run_until_quiet().await;
    assert!(bundle.orders.expires(&order).is_some());
    assert!(bundle.outgoing_orders.is_empty());
}
