//! Deletions in the ERP, which no listing shows, and the events of the ERP. A full pass finds deletions, and where
//! `ErpEvents` is on the ERP says so itself. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use aws_lambda_events::encodings::Body;
use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};
use shared::{
    domain::{Clock as _, PassMode, PassRequest, Scope},
    mappings::{Binding, Mapping, Mappings as _},
    owed::{Owed, Reason, Subject},
    passes::{Lease, LeaseKey, Passes as _, Run, RunFilter},
};
use tests::{
    bundle::{
        Bundle, ERP_EVENT_SECRET, ERP_EVENTS_URL, FORMER_ERP_EVENT_SECRET, Options, UNTIL_AGAIN,
        UNTIL_OWED, customer, gateway_request,
    },
    business_central_simulator::{Entity, Fault, GATHERING},
    interruption::Moment,
    samples::{order_of, person},
};
use uuid::Uuid;

/// The text of `deleted.rs` about a record that is gone.
const IS_GONE: &str = "is gone, and the ERP has no record with code";

/// Customers who have ordered and are bound.
async fn bound(options: &Options, customers: u32) -> (Bundle, Vec<i64>) {
    let bundle = Bundle::new(options);
    let mut ids = Vec::new();
    for number in 1..=customers {
        let id = bundle.norce.add_customer(person(number));
        bundle.norce.place_order(order_of(id));
        ids.push(id);
    }
    bundle.run_until_quiet().await;
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    (bundle, ids)
}

async fn binding(bundle: &Bundle, id: i64) -> Binding {
    match bundle.mappings.get(customer(id)).await.unwrap() {
        Some(Mapping::Bound(binding)) => binding,
        other => panic!("not bound: {other:?}"),
    }
}

async fn record(bundle: &Bundle, id: i64) -> Uuid {
    binding(bundle, id).await.erp_id.id.parse().unwrap()
}

async fn delete(bundle: &Bundle, id: i64) {
    let record = record(bundle, id).await;
    let company = bundle.erp_company();
    bundle.erp.delete_customer(company, record).unwrap();
}

async fn owed(bundle: &Bundle) -> Vec<Owed> {
    bundle.owed.list().await.unwrap()
}

/// That one customer is owed because its record is gone, and nothing else is.
async fn assert_owed_as_gone(bundle: &Bundle, id: i64) {
    let owed = owed(bundle).await;
    let [owed] = owed.as_slice() else {
        panic!("not one owed record: {owed:#?}");
    };
    assert_eq!(owed.subject, Subject::Entity(customer(id)));
    assert_eq!(owed.reason, Reason::Conflict);
    assert!(owed.detail.contains(IS_GONE), "{}", owed.detail);
    assert!(binding(bundle, id).await.gone_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_in_the_erp_is_owed_after_a_full_pass_and_resolved_when_it_is_corrected() {
    let (bundle, ids) = bound(&Options::default(), 3).await;
    delete(&bundle, ids[1]).await;
    // Nothing lists a deletion.
    bundle.pass(PassMode::Delta).await;
    bundle.run_until_quiet().await;
    assert_eq!(owed(&bundle).await, []);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(run.counts.gone, 1, "{:?}", run.counts);
    assert_eq!(run.counts.seen, 3);
    bundle.run_until_quiet().await;
    assert_owed_as_gone(&bundle, ids[1]).await;

    // Once it is known, it is not found again.
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(run.counts.gone, 0);

    // The record is made again, and what is owed is retried.
    let number = binding(&bundle, ids[1]).await.code;
    let properties = json!({
        "number": number.as_str(), "type": "Person", "displayName": "Anna Ek 2", "email": "anna.2@example.com",
    });
    let company = bundle.erp_company();
    bundle.erp.add_customer(company, &properties).unwrap();
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    bundle.retry_owed().await;
    bundle.quiet_within(UNTIL_OWED).await;
    assert_eq!(owed(&bundle).await, []);
    assert_eq!(binding(&bundle, ids[1]).await.gone_at, None);
}

#[tokio::test(start_paused = true)]
async fn an_erp_that_has_none_of_the_records_is_taken_for_another_one_and_nothing_is_marked() {
    let (bundle, ids) = bound(&Options::default(), 12).await;
    for id in &ids {
        delete(&bundle, *id).await;
    }
    let run = bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    let failed = format!("{:?}", run.ended);
    assert!(failed.contains("check ErpBaseUrl, ErpCompany"), "{failed}");
    assert_eq!(owed(&bundle).await, []);
    for id in ids {
        assert_eq!(binding(&bundle, id).await.gone_at, None);
    }
}

#[tokio::test(start_paused = true)]
async fn p10_a_plan_says_which_records_are_gone_and_marks_nothing() {
    let (bundle, ids) = bound(&Options::default(), 2).await;
    delete(&bundle, ids[0]).await;
    let started = bundle
        .start(&PassRequest {
            mode: PassMode::Full,
            kind: None,
            application: None,
            dry_run: true,
        })
        .await;
    bundle.run_until_quiet().await;
    assert_eq!(binding(&bundle, ids[0]).await.gone_at, None);
    assert_eq!(owed(&bundle).await, []);
    let plan = bundle
        .ask(json!({"action": "plan", "show": started[0]}))
        .await
        .unwrap();
    assert_eq!(plan["counts"]["gone"], 1, "{plan:#}");
    let lines = plan["lines"].as_array().unwrap();
    let gone: Vec<_> = lines
        .iter()
        .filter(|line| line["group"] == "gone")
        .collect();
    assert_eq!(gone.len(), 1, "{plan:#}");
    assert_eq!(gone[0]["norceId"], ids[0]);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(run.counts.gone, 1);
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Customers who are bound, and an ERP that says what happens to them.
async fn reporting(customers: u32) -> (Bundle, Vec<i64>) {
    let options = Options {
        erp_events: true,
        ..Options::default()
    };
    let (bundle, ids) = bound(&options, customers).await;
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.erp.subscriptions().len(), 1);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    (bundle, ids)
}

/// Lets the ERP post what has happened, and everything follow from that.
async fn notified(bundle: &Bundle) {
    tokio::time::sleep(GATHERING + Duration::from_secs(1)).await;
    bundle.quiet_within(UNTIL_AGAIN).await;
}

/// The runs of delta passes so far.
async fn deltas(bundle: &Bundle) -> Vec<Run> {
    let mut runs = bundle
        .passes
        .runs(&RunFilter::default(), 1_000)
        .await
        .unwrap();
    runs.retain(|run| run.mode == PassMode::Delta);
    runs
}

/// A person in the ERP changes a record.
async fn edit(bundle: &Bundle, id: i64, phone: &str) {
    let (company, record) = (bundle.erp_company(), record(bundle, id).await);
    let properties = json!({ "phoneNumber": phone });
    bundle
        .erp
        .edit_customer(company, record, &properties)
        .unwrap();
}

/// Posts something as the ERP does; returns the status and the body.
async fn post(bundle: &Bundle, query: &[(&str, &str)], body: &Value) -> (i64, String) {
    let headers: &[(&str, &str)] = &[];
    let mut request = gateway_request("/erp-events", headers, body.to_string().as_bytes());
    let query = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let query: std::collections::HashMap<String, String> = query.collect();
    request.query_string_parameters = query.into();
    let answer = bundle.receive_events.handle(&request).await;
    let body = match answer.body {
        Some(Body::Text(body)) => body,
        _ => String::new(),
    };
    (answer.status_code, body)
}

/// A notification that a customer is gone.
async fn deletion(bundle: &Bundle, id: i64, client_state: &str) -> Value {
    let (company, record) = (bundle.erp_company(), record(bundle, id).await);
    json!({ "value": [{
        "subscriptionId": "s", "clientState": client_state, "changeType": "deleted",
        "resource": format!("api/v2.0/companies({company})/customers({record})"),
    }] })
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_the_erp_reports_is_owed_within_the_minute_and_without_a_pass() {
    let (bundle, ids) = reporting(3).await;
    let passes = deltas(&bundle).await.len();
    delete(&bundle, ids[1]).await;
    tokio::time::sleep(GATHERING + Duration::from_secs(1)).await;
    bundle.quiet_within(Duration::from_secs(30)).await;
    assert_owed_as_gone(&bundle, ids[1]).await;
    assert_eq!(deltas(&bundle).await.len(), passes);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_erp_reports_starts_one_delta_pass() {
    let (bundle, ids) = reporting(3).await;
    let passes = deltas(&bundle).await.len();
    for (id, phone) in ids.iter().zip(["08-1", "08-2", "08-3"]) {
        edit(&bundle, *id, phone).await;
    }
    notified(&bundle).await;
    assert_eq!(bundle.erp.notifications().len(), 1);
    let runs = deltas(&bundle).await;
    assert_eq!(runs.len(), passes + 1);
    assert!(
        runs.iter()
            .all(|run| run.ended.as_ref().unwrap().failed.is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_can_be_named_start_one_delta_pass_as_well() {
    let (bundle, _) = reporting(1).await;
    let passes = deltas(&bundle).await.len();
    let company = bundle.erp_company();
    for number in 0..1_001 {
        let properties = json!({ "displayName": format!("Kund {number}"), "type": "Person" });
        bundle.erp.add_customer(company, &properties).unwrap();
    }
    notified(&bundle).await;
    let notifications = bundle.erp.notifications();
    assert_eq!(notifications.len(), 1);
    assert_eq!(notifications[0]["value"].as_array().unwrap().len(), 1);
    assert_eq!(notifications[0]["value"][0]["changeType"], "collection");
    let runs = deltas(&bundle).await;
    assert_eq!(runs.len(), passes + 1);
    assert!(runs[0].counts.seen >= 1_001, "{:?}", runs[0].counts);
}

#[tokio::test(start_paused = true)]
async fn an_erp_that_never_rests_starts_a_pass_a_minute_at_most_and_none_is_missing() {
    let (bundle, ids) = reporting(1).await;
    let passes = deltas(&bundle).await.len();
    for number in 0..60 {
        edit(&bundle, ids[0], &format!("08-{number}")).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        bundle.run_for(Duration::from_millis(1)).await;
    }
    let last_change = bundle.clock.now();
    notified(&bundle).await;
    let runs = deltas(&bundle).await;
    let started = runs.len() - passes;
    assert!((5..=12).contains(&started), "{started}");
    assert!(
        runs[0].started >= last_change - TimeDelta::seconds(1),
        "{:?}",
        runs[0]
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_without_the_secret_does_nothing_and_does_not_end_the_subscription() {
    let (bundle, ids) = reporting(2).await;
    let passes = deltas(&bundle).await.len();
    delete(&bundle, ids[0]).await;
    let none = json!({ "value": [] });
    for forged in [
        deletion(&bundle, ids[0], "guessed").await,
        deletion(&bundle, ids[0], "").await,
        none,
        json!({ "hello": 1 }),
    ] {
        let answer = post(&bundle, &[], &forged).await;
        // Business Central tries again after a 429, and deletes the subscription after other answers of the kind.
        assert_eq!(answer, (429, String::new()), "{forged}");
    }
    assert!(bundle.passes_queue.is_empty());
    assert_eq!(binding(&bundle, ids[0]).await.gone_at, None);
    assert_eq!(deltas(&bundle).await.len(), passes);
    // The real one, which is on its way.
    notified(&bundle).await;
    assert_owed_as_gone(&bundle, ids[0]).await;
    assert_eq!(bundle.erp.subscriptions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_secret_can_be_rotated_without_losing_an_event() {
    let (bundle, ids) = reporting(2).await;
    bundle.erp.set_client_state(FORMER_ERP_EVENT_SECRET);
    delete(&bundle, ids[0]).await;
    notified(&bundle).await;
    assert_owed_as_gone(&bundle, ids[0]).await;
    // The next delta pass gives the subscription the current one.
    bundle.pass(PassMode::Delta).await;
    let subscriptions = bundle.erp.subscriptions();
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0].client_state, ERP_EVENT_SECRET);
    // One that is neither is not believed, and comes again when the subscription has the current one.
    bundle.erp.set_client_state("from before");
    delete(&bundle, ids[1]).await;
    notified(&bundle).await;
    assert_eq!(binding(&bundle, ids[1]).await.gone_at, None);
    assert_eq!(bundle.erp.subscriptions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_is_answered_with_its_token_and_nothing_that_a_browser_would_run() {
    let (bundle, _) = reporting(1).await;
    for token in ["5f1c7e0a-1b2c", "Validation: Testing 1.2+/=~"] {
        let answer = post(&bundle, &[("validationToken", token)], &Value::Null).await;
        assert_eq!(answer, (200, token.to_owned()));
    }
    let long = "a".repeat(1_025);
    for token in ["", "<script>", "a\"b", "a\nb", "å", &long] {
        let answer = post(&bundle, &[("validationToken", token)], &Value::Null).await;
        assert_eq!(answer, (429, String::new()), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_kept_over_a_week_by_a_renewal_a_day() {
    let (bundle, ids) = reporting(1).await;
    let subscription = bundle.erp.subscriptions().remove(0);
    assert_eq!(subscription.notification_url, ERP_EVENTS_URL);
    assert_eq!(subscription.company, bundle.erp_company());
    assert_eq!(subscription.client_state, ERP_EVENT_SECRET);
    for _ in 0..7 * 24 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        bundle.pass(PassMode::Delta).await;
        let subscriptions = bundle.erp.subscriptions();
        assert_eq!(subscriptions.len(), 1);
        assert_eq!(subscriptions[0].id, subscription.id);
    }
    let renewals = bundle
        .erp
        .requests()
        .count(&Method::PATCH, Entity::Subscriptions);
    assert!((6..=8).contains(&renewals), "{renewals}");
    delete(&bundle, ids[0]).await;
    notified(&bundle).await;
    assert_owed_as_gone(&bundle, ids[0]).await;
    // Nobody renews it any more.
    tokio::time::sleep(4 * DAY).await;
    assert_eq!(bundle.erp.subscriptions(), []);
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.erp.subscriptions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_cannot_be_kept_stops_no_pass() {
    let options = Options {
        erp_events: true,
        ..Options::default()
    };
    let (bundle, _) = bound(&options, 1).await;
    for status in [403, 500] {
        let status = http::StatusCode::from_u16(status).unwrap();
        bundle
            .erp
            .inject(Fault::status(status).on(Method::POST, Entity::Subscriptions));
        let run = bundle.pass(PassMode::Delta).await;
        assert_eq!(run.ended.unwrap().failed, None);
        bundle.erp.clear_faults();
    }
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.erp.subscriptions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_the_pass_that_walks_over_its_scope_and_is_followed_by_one_pass() {
    let (bundle, ids) = reporting(2).await;
    let passes = deltas(&bundle).await.len();
    let key = LeaseKey {
        scope: Scope::Client,
        sweep: false,
    };
    let (run, invocation) = (Uuid::new_v4(), Uuid::new_v4());
    let now = bundle.clock.now();
    let lease = Lease {
        run,
        invocation: Some(invocation),
        until: now + TimeDelta::hours(1),
    };
    bundle.passes.lease(key, lease, now).await.unwrap().unwrap();
    // A deletion does not wait for it.
    delete(&bundle, ids[1]).await;
    for phone in ["08-1", "08-2"] {
        edit(&bundle, ids[0], phone).await;
        tokio::time::sleep(GATHERING + Duration::from_secs(1)).await;
        bundle.run_for(Duration::from_secs(100)).await;
    }
    assert_owed_as_gone(&bundle, ids[1]).await;
    assert_eq!(deltas(&bundle).await.len(), passes);
    assert!(!bundle.passes_queue.is_empty());
    bundle.passes.release(key, invocation, None).await.unwrap();
    bundle.quiet_within(UNTIL_AGAIN).await;
    assert_eq!(deltas(&bundle).await.len(), passes + 1);
}

/// Cut off at every call from the post on: the deletion is owed all the same, and once.
#[tokio::test(start_paused = true)]
async fn p1_p2_a_reported_deletion_survives_a_crash_anywhere() {
    let (bundle, ids) = reporting(1).await;
    delete(&bundle, ids[0]).await;
    bundle.interruption.clear();
    notified(&bundle).await;
    assert_owed_as_gone(&bundle, ids[0]).await;
    let calls = bundle.interruption.calls();
    assert!(
        calls.iter().any(|name| name == "mappings record_gone"),
        "{calls:?}"
    );
    for (call, name) in calls.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            let (bundle, ids) = reporting(1).await;
            delete(&bundle, ids[0]).await;
            bundle.interruption.plan(call, moment);
            notified(&bundle).await;
            // The ERP posts again what was not answered.
            tokio::time::sleep(Duration::from_secs(60)).await;
            bundle.quiet_within(UNTIL_AGAIN).await;
            assert!(
                !bundle.interruption.is_planned(),
                "{moment:?} {call} {name}: never came"
            );
            let owed = owed(&bundle).await;
            assert_eq!(owed.len(), 1, "{moment:?} call {call}, {name}: {owed:#?}");
            assert!(
                owed[0].detail.contains(IS_GONE),
                "{moment:?} call {call}, {name}"
            );
            assert_eq!(
                bundle.erp.subscriptions().len(),
                1,
                "{moment:?} {call} {name}"
            );
        }
    }
}

/// The same of a full pass.
#[tokio::test(start_paused = true)]
async fn p2_a_deletion_that_a_full_pass_finds_survives_a_crash_anywhere() {
    let scene = async || {
        let (bundle, ids) = bound(&Options::default(), 2).await;
        delete(&bundle, ids[0]).await;
        (bundle, ids)
    };
    let (bundle, _) = scene().await;
    bundle.start_pass(PassMode::Full).await;
    bundle.interruption.clear();
    bundle.run_until_quiet().await;
    let calls = bundle.interruption.calls();
    for (call, name) in calls.iter().enumerate() {
        for moment in [Moment::Before, Moment::After] {
            let (bundle, ids) = scene().await;
            let runs = bundle.start_pass(PassMode::Full).await;
            bundle.interruption.plan(call, moment);
            bundle.quiet_within(UNTIL_AGAIN).await;
            assert_owed_as_gone(&bundle, ids[0]).await;
            let run = bundle.run(runs[0]).await;
            assert_eq!(run.counts.gone, 1, "{moment:?} call {call}, {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_erp_events_nothing_is_received_and_nothing_is_subscribed_to() {
    let (bundle, ids) = bound(&Options::default(), 1).await;
    bundle.pass(PassMode::Delta).await;
    assert_eq!(bundle.erp.subscriptions(), []);
    assert_eq!(
        bundle
            .erp
            .requests()
            .count(&Method::GET, Entity::Subscriptions),
        0
    );
    let forged = deletion(&bundle, ids[0], ERP_EVENT_SECRET).await;
    assert_eq!(post(&bundle, &[], &forged).await.0, 404);
    let token = [("validationToken", "a")];
    assert_eq!(
        post(&bundle, &token, &Value::Null).await,
        (404, String::new())
    );
    assert!(bundle.passes_queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_doctor_says_whether_the_erp_reports_its_changes() {
    let (bundle, _) = reporting(1).await;
    let check = async || {
        let answer = bundle.ask(json!({ "action": "doctor" })).await.unwrap();
        let checks = answer["checks"].as_array().unwrap().clone();
        let mut checks = checks.into_iter();
        checks
            .find(|check| check["check"] == "erp client: events")
            .unwrap()
    };
    assert_eq!(check().await["ok"], true, "{:#}", check().await);
    tokio::time::sleep(4 * DAY).await;
    assert_eq!(check().await["ok"], false, "{:#}", check().await);
}

/// Posts a hint of the HTTP contract; returns the status.
async fn hint(bundle: &Bundle, secret: &str, body: &str) -> i64 {
    let headers: &[(&str, &str)] = &[("x-event-secret", secret)];
    let request = gateway_request("/erp-events", headers, body.as_bytes());
    bundle.receive_events.handle(&request).await.status_code
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_the_http_contract_leads_to_a_look_at_its_record() {
    let (bundle, ids) = reporting(2).await;
    bundle.erp.drop_subscriptions();
    let passes = deltas(&bundle).await.len();
    let there = record(&bundle, ids[0]).await;
    let gone = record(&bundle, ids[1]).await;
    delete(&bundle, ids[1]).await;
    let body = |id: Uuid| json!({ "resource": "customers", "id": id }).to_string();

    assert_eq!(hint(&bundle, "guessed", &body(gone)).await, 401);
    assert_eq!(hint(&bundle, ERP_EVENT_SECRET, "{}").await, 400);
    assert!(bundle.passes_queue.is_empty());

    assert_eq!(hint(&bundle, ERP_EVENT_SECRET, &body(gone)).await, 202);
    bundle.quiet_within(Duration::from_secs(30)).await;
    assert_owed_as_gone(&bundle, ids[1]).await;
    assert_eq!(deltas(&bundle).await.len(), passes);

    assert_eq!(
        hint(&bundle, FORMER_ERP_EVENT_SECRET, &body(there)).await,
        202
    );
    notified(&bundle).await;
    assert_eq!(deltas(&bundle).await.len(), passes + 1);
}
