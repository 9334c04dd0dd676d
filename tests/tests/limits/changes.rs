//! `change-events`: how often it looks an entity up before it takes it for missing, and how long it waits before it
//! repeats a step.

use change_events::WaitsFor;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Method, StatusCode};
use shared::{
    domain::{ApplicationId, Cause, ChangeMessage, Clock, EntityRef, OrderKey},
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping, Mappings, Reservation},
    owed::{Reason, Stage},
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    bundle::{Bundle, Options, company, customer},
    business_central_simulator::{Entity, Fault},
    limits::at_both_ends,
    norce_simulator::{Endpoint, NewOrder},
    samples::{order_of, person},
};
use uuid::Uuid;

use crate::{HOUR, SECOND};

/// A bundle without events.
fn deaf(options: &Options) -> Bundle {
    let bundle = Bundle::new(options);
    bundle.unsubscribe();
    bundle
}

fn receiving() -> Options {
    Options {
        order_receiver: true,
        ..Options::default()
    }
}

/// Delivers a message once. Returns whether it is done.
async fn is_done(bundle: &Bundle, message: ChangeMessage, receive_count: u32) -> bool {
    let received = Received {
        message,
        receive_count,
    };
    let deadline = Deadline::after(100 * SECOND);
    let outcome = bundle.change_events.handle(received, deadline).await;
    outcome == Outcome::Done
}

fn event(entity: EntityRef, cause: Cause, received_at: DateTime<Utc>) -> ChangeMessage {
    ChangeMessage::Entity {
        entity,
        cause,
        received_at,
        ordered_at: None,
        correlation: Uuid::new_v4(),
    }
}

fn about(bundle: &Bundle, entity: EntityRef) -> ChangeMessage {
    event(entity, Cause::Changed, bundle.clock.now())
}

fn order(bundle: &Bundle, reference: &str) -> ChangeMessage {
    ChangeMessage::Order {
        order: OrderKey::ClientOrderRef(reference.to_owned()),
        application: ApplicationId::try_from(1).unwrap(),
        received_at: bundle.clock.now(),
        correlation: Uuid::new_v4(),
    }
}

async fn owed(bundle: &Bundle) -> Vec<(Stage, Reason)> {
    let owed = bundle.owed.list().await.unwrap();
    owed.iter().map(|owed| (owed.stage, owed.reason)).collect()
}

/// A customer that is the same on both sides; no more events come.
async fn in_step(bundle: &Bundle) -> i64 {
    bundle.subscribe();
    let id = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(id));
    bundle.run_until_quiet().await;
    bundle.unsubscribe();
    id
}

/// Norce no longer has the code.
fn lose_code(bundle: &Bundle, id: i64) {
    bundle
        .norce
        .change_customer(id, |record| record.row.customer_code = None);
}

/// Something that waits for this as long as nobody does anything about it, and the message that comes again and again.
async fn waiting(waits_for: WaitsFor) -> (Bundle, ChangeMessage) {
    let bundle = deaf(&receiving());
    match waits_for {
        WaitsFor::Remote => {
            let id = in_step(&bundle).await;
            let down = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
            bundle.erp.inject(down.on_entity(Entity::Customers));
            bundle.norce.change_customer(id, |record| {
                record.row.phone_number = Some("08-1".to_owned());
            });
            let message = about(&bundle, customer(id));
            (bundle, message)
        }
        WaitsFor::NorceQuery => {
            let message = order(&bundle, "4711");
            (bundle, message)
        }
        WaitsFor::CreateInErp => {
            let id = bundle.norce.add_customer(person(1));
            let unknown = Fault::status(StatusCode::GATEWAY_TIMEOUT);
            bundle
                .erp
                .inject(unknown.on(Method::POST, Entity::Customers));
            let message = event(customer(id), Cause::Ordered, bundle.clock.now());
            (bundle, message)
        }
        WaitsFor::Import => {
            let id = in_step(&bundle).await;
            lose_code(&bundle, id);
            let binding = bundle.binding(customer(id)).await.unwrap();
            let erp_id = binding.erp_id.id.parse().unwrap();
            bundle
                .erp
                .delete_customer(bundle.erp_company(), erp_id)
                .unwrap();
            let handed_over = CodeDelivery::HandedOver {
                at: bundle.clock.now(),
            };
            let unbound = bundle.mappings.unbind(customer(id), &binding.erp_id).await;
            assert!(unbound.unwrap());
            let again = Binding {
                fetched_at: None,
                ..Binding::new(binding.code, binding.erp_id, handed_over)
            };
            bundle.mappings.bind(customer(id), again).await.unwrap();
            let message = about(&bundle, customer(id));
            (bundle, message)
        }
        WaitsFor::OtherWriter => {
            let id = in_step(&bundle).await;
            let stale = Fault::status(StatusCode::PRECONDITION_FAILED);
            bundle
                .erp
                .inject(stale.on(Method::PATCH, Entity::Customers));
            bundle.norce.change_customer(id, |record| {
                record.row.phone_number = Some("08-1".to_owned());
            });
            let message = about(&bundle, customer(id));
            (bundle, message)
        }
        WaitsFor::Parties => {
            let id = bundle.norce.add_customer(person(1));
            let new = NewOrder {
                application_id: 1,
                customer: Some(id),
                items: vec![("P1".to_owned(), 9.9)],
                ..NewOrder::default()
            };
            let reference = posted(&bundle, new).await;
            let message = order(&bundle, &reference);
            (bundle, message)
        }
    }
}

/// Every wait names what ends it, and is owed at the twelfth delivery. For a remote the alarms ring instead.
#[tokio::test(start_paused = true)]
async fn no_wait_is_endless_but_the_one_for_a_remote() {
    for waits_for in WaitsFor::ALL {
        let outcome = async |deliveries| {
            let (bundle, message) = waiting(waits_for).await;
            tokio::time::sleep(SECOND * 10).await;
            let received = Received {
                message,
                receive_count: deliveries,
            };
            let deadline = Deadline::after(100 * SECOND);
            let outcome = bundle.change_events.handle(received, deadline).await;
            let owed = owed(&bundle).await.len();
            match outcome {
                Outcome::Done => assert_eq!(owed, 1, "{waits_for:?}"),
                Outcome::RetryAfter { reason, .. } => {
                    assert_eq!(owed, 0, "{waits_for:?}");
                    let named = format!("(waits for {})", waits_for.as_str());
                    assert!(reason.ends_with(&named), "{waits_for:?}: {reason}");
                    return false;
                }
            }
            true
        };
        if waits_for == WaitsFor::Remote {
            assert!(!outcome(10_000).await);
        } else {
            at_both_ends(12, outcome).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_norce_does_not_show_is_owed_at_its_twelfth_delivery() {
    at_both_ends(12, async |deliveries| {
        let bundle = deaf(&Options::default());
        let is_done = is_done(&bundle, order(&bundle, "4711"), deliveries).await;
        let owed = owed(&bundle).await;
        let expected: &[_] = match is_done {
            true => &[(Stage::ToErp, Reason::MissingPrerequisite)],
            false => &[],
        };
        assert_eq!(owed, expected);
        is_done
    })
    .await;
}

/// Norce has posted an order, which is stored.
async fn posted(bundle: &Bundle, new: NewOrder) -> String {
    let order = bundle.norce.place_order(new);
    bundle.norce.settled().await;
    order.client_order_ref
}

#[tokio::test(start_paused = true)]
async fn a_posted_order_that_norce_does_not_show_is_forwarded_or_owed_at_its_twelfth_delivery() {
    for leads_to_somebody in [true, false] {
        at_both_ends(12, async |deliveries| {
            let bundle = deaf(&receiving());
            let id = in_step(&bundle).await;
            bundle
                .norce
                .configure(|settings| settings.order_delay = 1_000 * HOUR);
            let email = match leads_to_somebody {
                true => bundle.norce.customer(id).unwrap().row.email_address,
                false => Some("stranger@example.com".to_owned()),
            };
            let before = bundle.outgoing_orders.len();
            let reference = posted(
                &bundle,
                NewOrder {
                    application_id: 1,
                    guest: true,
                    email,
                    items: vec![("P1".to_owned(), 9.9)],
                    ..NewOrder::default()
                },
            )
            .await;
            let is_done = is_done(&bundle, order(&bundle, &reference), deliveries).await;
            let forwarded = bundle.outgoing_orders.len() - before;
            assert_eq!(forwarded, usize::from(is_done && leads_to_somebody));
            assert_eq!(
                owed(&bundle).await.len(),
                usize::from(is_done && !leads_to_somebody)
            );
            is_done
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_posted_order_whose_customer_is_not_in_the_erp_is_owed_at_its_twelfth_delivery() {
    at_both_ends(12, async |deliveries| {
        let bundle = deaf(&receiving());
        let id = bundle.norce.add_customer(person(1));
        let new = NewOrder {
            application_id: 1,
            customer: Some(id),
            items: vec![("P1".to_owned(), 9.9)],
            ..NewOrder::default()
        };
        let reference = posted(&bundle, new).await;
        let is_done = is_done(&bundle, order(&bundle, &reference), deliveries).await;
        assert_eq!(owed(&bundle).await.len(), usize::from(is_done));
        assert!(bundle.outgoing_orders.is_empty());
        is_done
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_posted_order_of_an_unknown_customer_is_a_guests_at_its_fifth_delivery() {
    at_both_ends(5, async |deliveries| {
        let bundle = deaf(&receiving());
        let reference = posted(
            &bundle,
            NewOrder {
                application_id: 1,
                guest: true,
                email: Some("gunnar@example.com".to_owned()),
                items: vec![("P1".to_owned(), 9.9)],
                ..NewOrder::default()
            },
        )
        .await;
        // Norce Query shows it by now.
        tokio::time::sleep(HOUR).await;
        let is_done = is_done(&bundle, order(&bundle, &reference), deliveries).await;
        assert_eq!(bundle.outgoing_orders.len(), usize::from(is_done));
        assert_eq!(owed(&bundle).await, []);
        is_done
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_norce_does_not_have_is_gone_at_the_fourth_delivery() {
    let entities = [customer(4_711), company(4_711)];
    for entity in entities {
        at_both_ends(4, async |deliveries| {
            let bundle = deaf(&Options::default());
            let is_done = is_done(&bundle, about(&bundle, entity), deliveries).await;
            assert_eq!(owed(&bundle).await, []);
            is_done
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn p9_a_code_that_norce_imported_and_does_not_show_is_owed_at_the_fourth_delivery() {
    at_both_ends(4, async |deliveries| {
        let bundle = deaf(&Options::default());
        let id = in_step(&bundle).await;
        lose_code(&bundle, id);
        is_done(&bundle, about(&bundle, customer(id)), deliveries).await;
        assert!(bundle.imports.is_empty(), "it is not handed over at once");
        match owed(&bundle).await.as_slice() {
            [] => false,
            owed => {
                assert_eq!(owed, [(Stage::CodeToNorce, Reason::Conflict)]);
                true
            }
        }
    })
    .await;
}

/// The time of day, this long after a moment that may be some time ago.
async fn sleep_until(bundle: &Bundle, moment: DateTime<Utc>, after: TimeDelta) {
    let wait = moment + after - bundle.clock.now();
    tokio::time::sleep(wait.to_std().unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn p9_a_lost_code_is_handed_over_an_hour_after_it_was_owed_and_then_every_hour() {
    at_both_ends(TimeDelta::hours(1), async |after| {
        let bundle = deaf(&Options::default());
        let id = in_step(&bundle).await;
        lose_code(&bundle, id);
        assert!(is_done(&bundle, about(&bundle, customer(id)), 4).await);
        let mut sent = Vec::new();
        for _ in 0..3 {
            let last = bundle.owed.list().await.unwrap().remove(0).last;
            sleep_until(&bundle, last, after).await;
            assert!(is_done(&bundle, about(&bundle, customer(id)), 1).await);
            sent.push(!bundle.imports.is_empty());
            for message in bundle.imports.receive(10) {
                bundle.imports.delete(&message.receipt);
            }
            // Norce imports it, and something there removes it again.
            let binding = bundle.binding(customer(id)).await.unwrap();
            let confirmed = CodeDelivery::Confirmed {
                at: bundle.clock.now(),
            };
            let noted = bundle
                .mappings
                .record_delivery(customer(id), &binding.code, confirmed);
            assert!(noted.await.unwrap());
        }
        assert_eq!(sent, [sent[0]; 3]);
        sent[0]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_code_that_was_handed_over_and_did_not_arrive_is_handed_over_again_after_an_hour() {
    at_both_ends(TimeDelta::hours(1), async |after| {
        let bundle = deaf(&Options::default());
        let id = bundle.norce.add_customer(person(1));
        let ordered = event(customer(id), Cause::Ordered, bundle.clock.now());
        assert!(is_done(&bundle, ordered, 1).await);
        let CodeDelivery::HandedOver { at } = bundle.binding(customer(id)).await.unwrap().delivery
        else {
            panic!("not handed over");
        };
        let handed_over = bundle.imports.receive(1).remove(0);
        bundle.imports.delete(&handed_over.receipt);
        sleep_until(&bundle, at, after).await;
        assert!(is_done(&bundle, about(&bundle, customer(id)), 1).await);
        assert_eq!(owed(&bundle).await, []);
        !bundle.imports.is_empty()
    })
    .await;
}

/// How often Norce was asked for a customer.
fn fetches(bundle: &Bundle) -> u64 {
    bundle.norce.requests_to(Endpoint::Customers)
}

/// The clock of the host that took the event may be behind that of the one that fetched.
#[tokio::test(start_paused = true)]
async fn p4_an_event_that_came_two_seconds_before_the_last_fetch_or_later_leads_to_another() {
    at_both_ends(TimeDelta::milliseconds(2_001), async |before| {
        let bundle = deaf(&Options::default());
        let id = in_step(&bundle).await;
        let fetched_at = bundle
            .binding(customer(id))
            .await
            .unwrap()
            .fetched_at
            .unwrap();
        let message = event(customer(id), Cause::Changed, fetched_at - before);
        let asked = fetches(&bundle);
        assert!(is_done(&bundle, message, 1).await);
        // P5: what is fetched already costs nothing.
        fetches(&bundle) == asked
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_update_that_somebody_else_is_in_the_way_of_three_times_waits() {
    at_both_ends(3, async |times| {
        let bundle = deaf(&Options::default());
        let id = in_step(&bundle).await;
        bundle.norce.change_customer(id, |record| {
            record.row.phone_number = Some("08-765 43 21".to_owned());
        });
        let stale = Fault::status(StatusCode::PRECONDITION_FAILED);
        bundle
            .erp
            .inject(stale.on(Method::PATCH, Entity::Customers).times(times));
        let is_done = is_done(&bundle, about(&bundle, customer(id)), 1).await;
        let phone = &bundle.erp.customers(bundle.erp_company())[0].phone_number;
        assert_eq!(phone == "08-765 43 21", is_done);
        assert_eq!(owed(&bundle).await, []);
        !is_done
    })
    .await;
}

/// Business Central works on a create for ten minutes at most.
#[tokio::test(start_paused = true)]
async fn p2_a_create_that_may_still_be_under_way_is_waited_for_until_it_has_settled() {
    at_both_ends(TimeDelta::minutes(10), async |after| {
        let bundle = deaf(&Options::default());
        let id = bundle.norce.add_customer(person(1));
        // Nothing comes of the first one.
        bundle.erp.inject(
            Fault::slow_work(1_000 * HOUR)
                .on(Method::POST, Entity::Customers)
                .times(1),
        );
        let ordered = || event(customer(id), Cause::Ordered, bundle.clock.now());
        assert!(!is_done(&bundle, ordered(), 1).await);
        let Some(Mapping::Reserved(Reservation { since, .. })) =
            bundle.mappings.get(customer(id)).await.unwrap()
        else {
            panic!("not reserved");
        };
        sleep_until(&bundle, since, after).await;
        let is_done = is_done(&bundle, ordered(), 2).await;
        assert_eq!(
            bundle.erp.customers(bundle.erp_company()).len(),
            usize::from(is_done)
        );
        is_done
    })
    .await;
}
