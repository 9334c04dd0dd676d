//! Orders that Norce posts to the integration: stored before they are answered, forwarded with their codes, never lost
//! and never duplicated. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use shared::{
    domain::{ApplicationId, OrderKey, PassMode, Registers},
    orders::{OrderRef, Orders},
    owed::{Owed, OwedRecords, Reason, Stage, Subject},
    runtime::configuration::CreateInErp,
};
use tests::{
    bundle::{Bundle, Options, UNTIL_AGAIN, UNTIL_OWED},
    interruption::Moment,
    norce_simulator::{Blank, NewCompany, NewCustomer, NewOrder, PlacedOrder},
    samples::{self, address, resident},
};

const HOUR: Duration = Duration::from_secs(3_600);

fn receiving() -> Options {
    Options {
        order_receiver: true,
        ..Options::default()
    }
}

/// A customer that the ERP refuses: its name is too long.
fn refused(number: u32) -> NewCustomer {
    NewCustomer {
        middle_name: samples::endless_middle_name(),
        ..resident(number)
    }
}

fn accept(bundle: &Bundle, customer: i64) {
    bundle.norce.change_customer(customer, |record| {
        record.row.middle_name = None;
    });
}

fn order_of(customer: i64) -> NewOrder {
    NewOrder {
        items: vec![("P1".to_owned(), 100.1)],
        ..samples::order_of(customer)
    }
}

fn guest(email: &str) -> NewOrder {
    NewOrder {
        application_id: 1,
        guest: true,
        email: Some(email.to_owned()),
        name: Some("Gunnar Gäst".to_owned()),
        items: vec![("P1".to_owned(), 9.9)],
        ..NewOrder::default()
    }
}

fn reference(order: &PlacedOrder) -> OrderRef {
    OrderRef {
        application: ApplicationId::try_from(1).unwrap(),
        client_order_ref: order.client_order_ref.clone(),
    }
}

/// What was posted of an order last.
fn posted(bundle: &Bundle, order: &PlacedOrder) -> String {
    let deliveries = bundle.norce.order_deliveries();
    let mut of_order = deliveries
        .into_iter()
        .filter(|delivery| delivery.client_order_ref == order.client_order_ref);
    of_order.next_back().expect("a post").body
}

fn code_of(bundle: &Bundle, customer: i64) -> String {
    let code = bundle.norce.customer(customer).unwrap().row.customer_code;
    code.expect("a code")
}

/// The order as it was posted, with this code in the place of every person's that had none.
fn with_code(posted: &str, code: &str) -> String {
    posted.replace(
        r#""CustomerCode":null"#,
        &format!(r#""CustomerCode":"{code}""#),
    )
}

async fn owed_order(bundle: &Bundle, order: &PlacedOrder) -> Option<Owed> {
    let subject = Subject::Order {
        order: OrderKey::ClientOrderRef(order.client_order_ref.clone()),
        application: ApplicationId::try_from(1).unwrap(),
    };
    bundle.owed.get(&subject, Stage::ToErp).await.unwrap()
}

async fn assert_nothing_owed(bundle: &Bundle) {
    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.is_empty(), "{owed:#?}");
    assert!(bundle.changes.dead_letters().is_empty());
}

fn assert_all_taken(bundle: &Bundle) {
    let deliveries = bundle.norce.order_deliveries();
    assert!(!deliveries.is_empty());
    for delivery in deliveries {
        assert!(delivery.taken, "{:?}", delivery.attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_order_is_forwarded_with_the_code_and_otherwise_unchanged_to_the_byte() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    let posted = posted(&bundle, &order);
    assert!(posted.contains(r#""CustomerCode":null"#));
    assert_eq!(
        message.body,
        with_code(&posted, &code_of(&bundle, customer))
    );
    assert_eq!(
        message.group,
        Some(format!("app-1/customer/client/{customer}"))
    );
    assert_nothing_owed(&bundle).await;
    assert_all_taken(&bundle);
    let stored = bundle.orders.get(&reference(&order)).await.unwrap();
    assert!(stored.unwrap().forwarded_at.is_some());
    assert!(bundle.orders.expires(&reference(&order)).is_some());

    let again = bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert_eq!(message.body, self::posted(&bundle, &again));
    assert!(message.body.contains(&code_of(&bundle, customer)));
}

#[tokio::test(start_paused = true)]
async fn a_company_and_its_contact_get_their_codes_in_every_party() {
    let bundle = Bundle::new(&receiving());
    let firm = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        invoice_address: Some(address("Storgatan 1")),
        ..NewCompany::default()
    });
    let buyer = bundle.norce.add_customer(resident(1));
    bundle.norce.link(buyer, firm, true);
    bundle.norce.place_order(NewOrder {
        company: Some(firm),
        ..order_of(buyer)
    });
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    let order: Value = serde_json::from_str(&message.body).unwrap();
    let company = bundle.norce.company(firm).unwrap().row.company_code;
    for party in ["SellTo", "BillTo", "ShipTo"] {
        assert_eq!(
            order[party]["Company"]["Code"].as_str(),
            company.as_deref(),
            "{party}"
        );
        assert_eq!(
            order[party]["Person"]["CustomerCode"],
            code_of(&bundle, buyer),
            "{party}"
        );
    }
    assert_eq!(message.group, Some(format!("app-1/company/client/{firm}")));
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn p1_no_order_is_lost_while_the_queue_refuses() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    bundle.queues_refuse.store(true, Ordering::SeqCst);
    let order = bundle.norce.place_order(order_of(customer));
    bundle.run_for(Duration::from_secs(300)).await;
    let attempts = bundle.norce.order_deliveries()[0].attempts.clone();
    assert!(attempts.len() > 1);
    for attempt in attempts {
        assert_eq!(attempt.outcome, Ok((503, "Failed".to_owned())));
    }
    assert!(bundle.take_outgoing_orders().is_empty());
    bundle.queues_refuse.store(false, Ordering::SeqCst);
    bundle.quiet_within(HOUR).await;
    assert_all_taken(&bundle);
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    let expected = with_code(&posted(&bundle, &order), &code_of(&bundle, customer));
    assert_eq!(message.body, expected);
}

/// Norce posts the order but has no subscription for events: the order alone names its customer.
fn without_events(bundle: &Bundle) {
    bundle.unsubscribe();
}

#[tokio::test(start_paused = true)]
async fn p1_an_order_needs_no_event() {
    let bundle = Bundle::new(&receiving());
    without_events(&bundle);
    let customer = bundle.norce.add_customer(resident(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert!(message.body.contains(&code_of(&bundle, customer)));
    assert_nothing_owed(&bundle).await;
}

/// Everything that can be cut off in the life of a first order, each right before, during and right after: the order is
/// forwarded exactly once, because every invocation comes back within the five minutes in which SQS knows a message.
async fn cut_off_everywhere(set_up: impl Fn(&Bundle) -> PlacedOrder) {
    let options = Options {
        visibility: Duration::from_secs(130),
        ..receiving()
    };
    let bundle = Bundle::new(&options);
    set_up(&bundle);
    bundle.run_until_quiet().await;
    let calls = bundle.interruption.calls();
    for call in [
        "orders receive",
        "orders get",
        "orders set_parties",
        "orders set_forwarded",
    ] {
        assert!(calls.iter().any(|name| name == call), "{calls:?}");
    }
    let [undisturbed] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    for (call, name) in calls.iter().enumerate() {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            let bundle = Bundle::new(&options);
            let order = set_up(&bundle);
            bundle.interruption.plan(call, moment);
            bundle.quiet_within(UNTIL_AGAIN).await;
            let context = format!("cut off {moment:?} call {call}, {name}");
            assert!(!bundle.interruption.is_planned(), "{context}: never came");
            let bodies: Vec<String> = bundle
                .take_outgoing_orders()
                .into_iter()
                .map(|message| message.body)
                .collect();
            assert_eq!(bodies, std::slice::from_ref(&undisturbed.body), "{context}");
            let stored = bundle.orders.get(&reference(&order)).await.unwrap();
            assert!(stored.unwrap().forwarded_at.is_some(), "{context}");
            assert_eq!(bundle.owed.list().await.unwrap(), [], "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_an_order_is_forwarded_once_wherever_the_work_is_cut_off() {
    cut_off_everywhere(|bundle| {
        without_events(bundle);
        let customer = bundle.norce.add_customer(resident(1));
        bundle.norce.place_order(order_of(customer))
    })
    .await;
}

/// Also when the customer is refused until the order is owed, and then accepted.
#[tokio::test(start_paused = true)]
async fn p2_a_held_order_is_forwarded_once_wherever_its_release_is_cut_off() {
    let options = Options {
        visibility: Duration::from_secs(130),
        ..receiving()
    };
    let held = async || {
        let bundle = Bundle::new(&options);
        let customer = bundle.norce.add_customer(refused(1));
        let order = bundle.norce.place_order(order_of(customer));
        bundle.quiet_within(UNTIL_OWED).await;
        assert!(owed_order(&bundle, &order).await.is_some());
        (bundle, customer, order)
    };
    let (bundle, customer, _) = held().await;
    bundle.interruption.clear();
    accept(&bundle, customer);
    bundle.run_until_quiet().await;
    let calls = bundle.interruption.calls();
    for call in ["orders waiting_for", "orders stop_waiting"] {
        assert!(calls.iter().any(|name| name == call), "{calls:?}");
    }
    for (call, name) in calls.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            let (bundle, customer, order) = held().await;
            bundle.interruption.plan(call, moment);
            accept(&bundle, customer);
            bundle.quiet_within(UNTIL_AGAIN).await;
            let context = format!("cut off {moment:?} call {call}, {name}");
            assert!(!bundle.interruption.is_planned(), "{context}: never came");
            assert_eq!(bundle.take_outgoing_orders().len(), 1, "{context}");
            assert_eq!(owed_order(&bundle, &order).await, None, "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_an_order_that_is_posted_again_is_forwarded_once() {
    let bundle = Bundle::new(&receiving());
    bundle.norce.configure_orders(|admin| admin.copies = 3);
    let customer = bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    // Norce has the code by now, so that these posts are others than the first ones.
    bundle.norce.post_placed_order(order.id);
    let differs = posted(&bundle, &order).replace("100.1", "200.2");
    bundle.norce.post_order(&order.client_order_ref, &differs);
    bundle.run_until_quiet().await;
    assert_all_taken(&bundle);
    assert_eq!(bundle.take_outgoing_orders().len(), 1);
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_posted_again_while_it_waits_is_forwarded_in_its_last_version() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(refused(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.run_for(Duration::from_secs(60)).await;
    let last = posted(&bundle, &order).replace("100.1", "200.20");
    bundle.norce.post_order(&order.client_order_ref, &last);
    bundle.run_for(Duration::from_secs(60)).await;
    accept(&bundle, customer);
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert_eq!(message.body, with_code(&last, &code_of(&bundle, customer)));
}

#[tokio::test(start_paused = true)]
async fn p3_a_different_code_holds_the_order_and_is_never_overwritten() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    bundle.take_outgoing_orders();
    let code = code_of(&bundle, customer);
    bundle.norce.configure_orders(|admin| admin.copies = 1);
    without_events(&bundle);
    let order = bundle.norce.place_order(order_of(customer));
    // It is stored, and before anything of it is handled, the order says another code.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let wrong = posted(&bundle, &order).replace(&code, "ANOTHER");
    bundle.norce.post_order(&order.client_order_ref, &wrong);
    tokio::time::sleep(Duration::from_millis(10)).await;
    bundle.run_until_quiet().await;
    assert!(bundle.take_outgoing_orders().is_empty());
    let owed = owed_order(&bundle, &order).await.expect("owed");
    assert_eq!(owed.reason, Reason::Conflict);
    assert!(
        owed.detail.contains("SellTo.Person.CustomerCode") && owed.detail.contains(&code),
        "{}",
        owed.detail
    );
    // Corrected and posted again.
    bundle.norce.post_placed_order(order.id);
    bundle.run_until_quiet().await;
    assert_eq!(bundle.take_outgoing_orders().len(), 1);
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn p6_a_refused_customer_holds_its_order_and_nobody_elses() {
    let bundle = Bundle::new(&receiving());
    let bad = bundle.norce.add_customer(refused(1));
    let held = bundle.norce.place_order(order_of(bad));
    let good: Vec<i64> = (2..12)
        .map(|number| bundle.norce.add_customer(resident(number)))
        .collect();
    for customer in &good {
        bundle.norce.place_order(order_of(*customer));
    }
    bundle.run_for(Duration::from_secs(120)).await;
    let messages = bundle.take_outgoing_orders();
    assert_eq!(messages.len(), good.len());
    for customer in good {
        let code = code_of(&bundle, customer);
        assert!(messages.iter().any(|message| message.body.contains(&code)));
    }
    assert_eq!(
        owed_order(&bundle, &held).await,
        None,
        "it waits in the queue at first"
    );
    bundle.quiet_within(UNTIL_OWED).await;
    let owed = owed_order(&bundle, &held).await.expect("owed");
    assert_eq!(owed.reason, Reason::MissingPrerequisite);
    assert!(
        owed.detail.contains(&format!("customer/client/{bad}")),
        "{}",
        owed.detail
    );
    assert!(bundle.changes.is_empty(), "nothing waits in the queue");

    // As soon as the customer is accepted, without anybody's retry.
    accept(&bundle, bad);
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert_eq!(
        message.body,
        with_code(&posted(&bundle, &held), &code_of(&bundle, bad))
    );
    assert_nothing_owed(&bundle).await;
}

/// The order asks for its customer once and then only waits: it does not hammer the ERP with what the ERP refuses.
#[tokio::test(start_paused = true)]
async fn while_an_order_waits_its_customer_is_looked_after_once() {
    let bundle = Bundle::new(&receiving());
    without_events(&bundle);
    let bad = bundle.norce.add_customer(refused(1));
    bundle.norce.place_order(order_of(bad));
    bundle.quiet_within(UNTIL_OWED).await;
    let about_it = format!("\"id\":{bad}");
    let delivered = bundle.delivered.lock().unwrap().clone();
    let messages = delivered.iter().filter(|body| body.contains(&about_it));
    assert_eq!(messages.count(), 1);
}

/// What is owed is tried again, and nothing about the order stays in the queue, where it would be in the way.
#[tokio::test(start_paused = true)]
async fn an_order_that_is_owed_is_not_put_off_again() {
    let bundle = Bundle::new(&receiving());
    without_events(&bundle);
    let bad = bundle.norce.add_customer(refused(1));
    let order = bundle.norce.place_order(order_of(bad));
    bundle.quiet_within(UNTIL_OWED).await;
    let first = owed_order(&bundle, &order).await.expect("owed");
    tokio::time::sleep(HOUR).await;
    bundle.retry_owed().await;
    bundle.run_for(Duration::from_secs(1)).await;
    assert!(bundle.changes.is_empty());
    let again = owed_order(&bundle, &order).await.expect("owed");
    assert_eq!(
        (again.first, again.attempts),
        (first.first, first.attempts + 1)
    );
    // The same retry with a customer that is accepted by now.
    accept(&bundle, bad);
    tokio::time::sleep(HOUR).await;
    bundle.retry_owed().await;
    bundle.run_for(Duration::from_secs(60)).await;
    assert_eq!(bundle.take_outgoing_orders().len(), 1);
    bundle.run_until_quiet().await;
    assert_nothing_owed(&bundle).await;
}

/// A pass brings the code late, without an event: the owed record is retried automatically.
#[tokio::test(start_paused = true)]
async fn an_order_goes_on_when_the_code_comes_late() {
    let bundle = Bundle::new(&Options {
        create_in_erp: CreateInErp::Never,
        ..receiving()
    });
    let customer = bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.quiet_within(UNTIL_OWED).await;
    assert!(bundle.take_outgoing_orders().is_empty());
    assert!(owed_order(&bundle, &order).await.is_some());

    let by_hand = serde_json::json!({ "displayName": "Anna Ek", "type": "Person", "email": "anna.1@example.com" });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &by_hand)
        .expect("a customer");
    without_events(&bundle);
    bundle.pass(PassMode::Full).await;
    assert!(bundle.take_outgoing_orders().is_empty(), "nobody has told");
    tokio::time::sleep(HOUR).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert!(message.body.contains(&code_of(&bundle, customer)));
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_of_whom_norce_knows_nothing_is_handed_on_as_it_came() {
    let bundle = Bundle::new(&receiving());
    let order = bundle.norce.place_order(guest("gunnar@example.com"));
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert_eq!(message.body, posted(&bundle, &order));
    assert_nothing_owed(&bundle).await;
    assert!(bundle.erp.customers(bundle.erp_company()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_norce_knows_by_its_exact_address_gets_its_code() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(guest("Anna.1@Example.COM"));
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    let expected = with_code(&posted(&bundle, &order), &code_of(&bundle, customer));
    assert_eq!(message.body, expected);
}

#[tokio::test(start_paused = true)]
async fn p3_a_guest_whose_address_two_customers_have_is_not_guessed() {
    let bundle = Bundle::new(&receiving());
    let twins = [
        bundle.norce.add_customer(resident(1)),
        bundle.norce.add_customer(resident(1)),
    ];
    let order = bundle.norce.place_order(guest("anna.1@example.com"));
    bundle.run_until_quiet().await;
    assert!(bundle.take_outgoing_orders().is_empty());
    let owed = owed_order(&bundle, &order).await.expect("owed");
    assert_eq!(owed.reason, Reason::Conflict);
    // One of them turns out to be the other.
    bundle.norce.change_customer(twins[1], |record| {
        record.row.email_address = Some("another@example.com".to_owned());
    });
    tokio::time::sleep(HOUR).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert!(message.body.contains(&code_of(&bundle, twins[0])));
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_query_shows_late_or_never_is_waited_for() {
    for delay in [Duration::from_secs(90), 1_000 * HOUR] {
        let bundle = Bundle::new(&receiving());
        bundle
            .norce
            .configure(|settings| settings.order_delay = delay);
        let customer = bundle.norce.add_customer(resident(1));
        bundle.norce.place_order(order_of(customer));
        bundle.quiet_within(UNTIL_OWED).await;
        let [message] = bundle
            .take_outgoing_orders()
            .try_into()
            .expect("one message");
        assert!(message.body.contains(&code_of(&bundle, customer)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_query_never_shows_and_that_names_no_customer_is_owed() {
    let bundle = Bundle::new(&receiving());
    bundle
        .norce
        .configure(|settings| settings.order_delay = 10_000 * HOUR);
    let order = bundle.norce.place_order(guest("gunnar@example.com"));
    bundle.quiet_within(UNTIL_OWED).await;
    assert!(bundle.take_outgoing_orders().is_empty());
    let owed = owed_order(&bundle, &order).await.expect("owed");
    assert_eq!(owed.reason, Reason::MissingPrerequisite);
    assert!(owed.detail.contains("never appeared"), "{}", owed.detail);
}

#[tokio::test(start_paused = true)]
async fn p12_the_order_of_a_forgotten_customer_is_not_forwarded_and_its_copy_is_deleted() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(refused(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.quiet_within(UNTIL_OWED).await;
    assert!(owed_order(&bundle, &order).await.is_some());
    assert_eq!(bundle.orders.expires(&reference(&order)), None);
    bundle.norce.forget_customer(customer, &Blank::Null, true);
    bundle.run_until_quiet().await;
    assert!(bundle.take_outgoing_orders().is_empty());
    let owed = owed_order(&bundle, &order).await.expect("owed");
    assert_eq!(owed.reason, Reason::Forgotten);
    assert!(bundle.orders.expires(&reference(&order)).is_some());
    // When its time has come, nothing is left to be done about it.
    bundle.orders.remove(&reference(&order));
    tokio::time::sleep(24 * HOUR).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
    assert!(bundle.take_outgoing_orders().is_empty());
    assert_eq!(owed_order(&bundle, &order).await, None);
}

/// What the order's own code makes certain is not made uncertain by an e-mail address.
#[tokio::test(start_paused = true)]
async fn a_code_in_the_order_takes_precedence_over_an_address_that_two_customers_have() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    bundle.take_outgoing_orders();
    bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(guest("anna.1@example.com"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let code = code_of(&bundle, customer);
    let posted = posted(&bundle, &order).replacen(
        r#""CustomerCode":null"#,
        &format!(r#""CustomerCode":"{code}""#),
        2,
    );
    bundle.norce.post_order(&order.client_order_ref, &posted);
    tokio::time::sleep(Duration::from_millis(10)).await;
    bundle.run_until_quiet().await;
    assert_eq!(bundle.take_outgoing_orders().len(), 1);
    assert_nothing_owed(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn p14_an_order_leads_to_the_customer_of_its_own_shop() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..receiving()
    });
    let [first, second] = [1, 2].map(|application| {
        bundle.norce.add_customer(NewCustomer {
            application_id: Some(application),
            ..resident(1)
        })
    });
    bundle.norce.place_order(NewOrder {
        application_id: 2,
        ..guest("anna.1@example.com")
    });
    bundle.run_until_quiet().await;
    let [message] = bundle
        .take_outgoing_orders()
        .try_into()
        .expect("one message");
    assert_eq!(
        message.group,
        Some(format!("app-2/customer/app-2/{second}"))
    );
    assert!(message.body.contains(&code_of(&bundle, second)));
    assert_eq!(
        bundle.norce.customer(first).unwrap().row.customer_code,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn orders_of_one_buyer_stay_in_order() {
    let bundle = Bundle::new(&receiving());
    let customer = bundle.norce.add_customer(resident(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    let orders: Vec<PlacedOrder> = (0..5)
        .map(|_| bundle.norce.place_order(order_of(customer)))
        .collect();
    bundle.run_until_quiet().await;
    let messages = bundle.take_outgoing_orders();
    assert_eq!(messages.len(), 1 + orders.len());
    let groups: Vec<_> = messages.iter().map(|message| &message.group).collect();
    assert!(groups.iter().all(|group| *group == groups[0]));
}

/// With the receiver off, orders are events as ever.
#[tokio::test(start_paused = true)]
async fn without_the_receiver_nothing_is_stored_or_forwarded() {
    let bundle = Bundle::new(&Options::default());
    // Norce posts its orders all the same.
    bundle.post_orders();
    let customer = bundle.norce.add_customer(resident(1));
    let order = bundle.norce.place_order(order_of(customer));
    // Norce tries again for hours.
    bundle.quiet_within(2 * HOUR).await;
    let [delivery] = bundle.norce.order_deliveries().try_into().expect("a post");
    assert!(!delivery.taken && !delivery.attempts.is_empty());
    for attempt in delivery.attempts {
        assert_eq!(attempt.outcome, Ok((404, "Failed".to_owned())));
    }
    let stored = bundle.orders.get(&reference(&order)).await.unwrap();
    assert_eq!(stored, None);
    assert!(bundle.take_outgoing_orders().is_empty());
    // Its event names the customer, as always.
    code_of(&bundle, customer);
    assert_nothing_owed(&bundle).await;
}
