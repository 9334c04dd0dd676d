//! `erp-full-pass`: how long a step works and others wait for it, when a run is given up, and when owed records are
//! retried.

use std::time::Duration;

use chrono::TimeDelta;
use http::StatusCode;
use serde_json::json;
use shared::{
    domain::{Clock, EntityKind, ErpId, ImportLine, PassMessage, PassMode, Resource, Scope},
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping, Mappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
    passes::{Lease, LeaseKey, Passes, Run},
    queues::Queue,
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    bundle::{Bundle, Options, customer, id},
    business_central_simulator::Fault,
    interruption::Moment,
    limits::at_both_ends,
    samples::person,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{HOUR, SECOND, request_of};

/// As an invocation has it.
const TIME: Duration = Duration::from_secs(297);
const KEY: LeaseKey = LeaseKey {
    scope: Scope::Client,
    sweep: false,
};

fn deaf() -> Bundle {
    let bundle = Bundle::new(&Options::default());
    bundle.unsubscribe();
    bundle
}

fn start(run: Uuid, mode: PassMode) -> PassMessage {
    PassMessage::Start {
        run,
        scope: Scope::Client,
        mode,
        kind: None,
        dry_run: false,
    }
}

async fn step_within(bundle: &Bundle, message: PassMessage, time: Duration) -> Outcome {
    let received = Received {
        message,
        receive_count: 1,
    };
    bundle
        .full_pass
        .handle(received, Deadline::after(time))
        .await
}

async fn step(bundle: &Bundle, message: PassMessage) -> Outcome {
    step_within(bundle, message, TIME).await
}

/// One step of a new run.
async fn first_step(bundle: &Bundle, mode: PassMode, time: Duration) -> Run {
    let run = Uuid::new_v4();
    let outcome = step_within(bundle, start(run, mode), time).await;
    assert_eq!(outcome, Outcome::Done);
    bundle.run(run).await
}

/// The holder of the lease, if there is one: another run asks for it.
async fn holder(bundle: &Bundle) -> Option<Lease> {
    let now = bundle.clock.now();
    let wanted = Lease {
        run: Uuid::new_v4(),
        invocation: Some(Uuid::new_v4()),
        until: now,
    };
    bundle.passes.lease(KEY, wanted, now).await.unwrap().err()
}

#[tokio::test(start_paused = true)]
async fn p13_a_step_goes_on_while_thirty_seconds_are_left() {
    at_both_ends(30 * SECOND, async |left| {
        let bundle = deaf();
        let run = first_step(&bundle, PassMode::Full, left).await;
        // Otherwise a message goes on with it, at once.
        assert_eq!(bundle.passes_queue.len(), usize::from(run.ended.is_none()));
        run.ended.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_keeps_its_register_for_half_an_hour_between_two_steps() {
    at_both_ends(30 * 60 * SECOND, async |after| {
        let bundle = deaf();
        let run = first_step(&bundle, PassMode::Full, 10 * SECOND).await;
        tokio::time::sleep(after).await;
        let holder = holder(&bundle).await;
        assert!(holder.is_none_or(|holder| holder.run == run.id));
        holder.is_none()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_step_that_dies_ends_five_seconds_after_its_invocation() {
    let bundle = deaf();
    let begin = bundle.clock.now();
    // After the lease was taken.
    bundle.interruption.plan(4, Moment::Before);
    let work = step(&bundle, start(Uuid::new_v4(), PassMode::Full));
    assert_eq!(bundle.interruption.invocation(work).await, None);
    let until = begin + TIME + 5 * SECOND;
    assert_eq!(
        holder(&bundle).await.map(|holder| holder.until),
        Some(until)
    );
    at_both_ends(until - bundle.clock.now(), async |after| {
        let now = bundle.clock.now() + after;
        let wanted = Lease {
            run: Uuid::new_v4(),
            invocation: Some(Uuid::new_v4()),
            until: now,
        };
        bundle.passes.lease(KEY, wanted, now).await.unwrap().is_ok()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_a_minute_for_another_one_over_its_register() {
    let bundle = deaf();
    first_step(&bundle, PassMode::Full, 10 * SECOND).await;
    let outcome = step(&bundle, start(Uuid::new_v4(), PassMode::Delta)).await;
    let Outcome::RetryAfter { at_least, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(at_least, Some(60 * SECOND));
}

/// A person of the ERP who is in Norce without a code.
fn twin(bundle: &Bundle, number: i64) -> (i64, String) {
    let new = json!({
        "displayName": format!("Anna Ek {number}"), "type": "Person",
        "email": format!("anna.{number}@example.com"),
    });
    let record = bundle.erp.add_customer(bundle.erp_company(), &new).unwrap();
    (bundle.norce.add_customer(person(number)), record.number)
}

#[tokio::test(start_paused = true)]
async fn p8_a_run_waits_a_minute_while_more_than_two_hundred_imports_wait() {
    at_both_ends(200, async |waiting: usize| {
        let bundle = deaf();
        let line = ImportLine::code(id(4_711), "X".parse().unwrap(), Uuid::new_v4());
        let request = request_of(EntityKind::Customer, vec![line]);
        let requests = vec![request; waiting];
        bundle
            .imports
            .send(&requests, Duration::ZERO)
            .await
            .unwrap();
        // And its own.
        twin(&bundle, 1);
        let run = first_step(&bundle, PassMode::Full, TIME).await;
        let due = bundle.passes_queue.next_visible_at();
        let wait = due.map(|due| due - Instant::now());
        let expected = run.ended.is_none().then_some(60 * SECOND);
        assert_eq!((wait, bundle.imports.len()), (expected, waiting + 1));
        wait.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_gets_nothing_done_for_a_day_is_given_up() {
    // In minutes: what is repeated within a call takes seconds.
    at_both_ends(24 * 60_u64, async |minutes| {
        let bundle = deaf();
        let run = first_step(&bundle, PassMode::Full, 10 * SECOND).await;
        assert_eq!(run.progressed, bundle.clock.now());
        bundle
            .erp
            .inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        step(&bundle, PassMessage::Continue { run: run.id }).await;
        let run = bundle.run(run.id).await;
        assert!(
            run.ended
                .as_ref()
                .is_none_or(|ended| ended.failed.is_some())
        );
        run.ended.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_is_given_up_after_a_week_whatever_it_gets_done() {
    at_both_ends(7 * 24 * HOUR, async |age| {
        let bundle = deaf();
        let run = first_step(&bundle, PassMode::Full, 10 * SECOND).await;
        tokio::time::sleep(age - (bundle.clock.now() - run.started).to_std().unwrap()).await;
        let outcome = step(&bundle, PassMessage::Continue { run: run.id }).await;
        assert_eq!(outcome, Outcome::Done);
        let ended = bundle.run(run.id).await.ended.expect("an end");
        ended.failed.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pass_hands_a_code_over_again_an_hour_after_the_last_time() {
    at_both_ends(HOUR, async |after| {
        let bundle = deaf();
        let (number, _) = twin(&bundle, 1);
        first_step(&bundle, PassMode::Full, TIME).await;
        let Some(Mapping::Bound(Binding {
            delivery: CodeDelivery::HandedOver { at },
            ..
        })) = bundle.mappings.get(customer(number)).await.unwrap()
        else {
            panic!("not handed over");
        };
        assert_eq!(at, bundle.clock.now());
        tokio::time::sleep(after).await;
        let run = first_step(&bundle, PassMode::Full, TIME).await;
        assert_eq!(
            bundle.imports.len(),
            1 + usize::try_from(run.counts.codes).unwrap()
        );
        run.counts.codes == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p4_a_sweep_has_looked_at_again_what_changed_two_seconds_before_the_last_fetch_or_later() {
    at_both_ends(TimeDelta::milliseconds(2_001), async |before| {
        let bundle = deaf();
        first_step(&bundle, PassMode::Sweep, TIME).await;
        tokio::time::sleep(HOUR).await;
        let number = bundle.norce.add_customer(person(1));
        let binding = Binding {
            fetched_at: Some(bundle.clock.now() + before),
            ..Binding::new(
                "C1".parse().unwrap(),
                ErpId {
                    resource: Resource::Customer,
                    id: "record".to_owned(),
                },
                CodeDelivery::Pending,
            )
        };
        let bound = bundle.mappings.bind(customer(number), binding).await;
        bound.unwrap();
        let run = first_step(&bundle, PassMode::Sweep, TIME).await;
        assert_eq!(run.counts.seen, 1);
        run.counts.queued == 0
    })
    .await;
}

/// A customer is owed; so many attempts have failed, the last of them now.
async fn owe(bundle: &Bundle, number: i64, attempts: usize) {
    for _ in 0..attempts {
        let owed = NewOwed {
            subject: Subject::Entity(customer(number)),
            stage: Stage::ToErp,
            reason: Reason::Validation,
            detail: "a test".to_owned(),
            code: None,
            at: bundle.clock.now(),
            correlation: Uuid::new_v4(),
            cause: None,
        };
        bundle.owed.put(owed).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_tried_again_after_waits_that_double_from_a_quarter_of_an_hour_to_a_day() {
    for (attempts, minutes) in [
        (1, 15),
        (2, 30),
        (3, 60),
        (6, 480),
        (7, 960),
        (8, 1_440),
        (9, 1_440),
        (40, 1_440),
    ] {
        at_both_ends(Duration::from_secs(minutes * 60), async |wait| {
            let bundle = deaf();
            owe(&bundle, 1, attempts).await;
            tokio::time::sleep(wait).await;
            let retried = bundle.retry_owed().await;
            assert_eq!((retried.counts.total(), retried.complete), (1, true));
            assert_eq!(
                retried.retried,
                u64::try_from(bundle.changes.len()).unwrap()
            );
            retried.retried == 1
        })
        .await;
    }
}

/// A page has twenty records in memory, and about 1,500 in DynamoDB.
#[tokio::test(start_paused = true)]
async fn two_hundred_owed_records_are_tried_again_in_one_go_at_most_and_all_are_counted() {
    at_both_ends(201, async |count: u64| {
        let bundle = deaf();
        for number in 1..=i64::try_from(count).unwrap() {
            owe(&bundle, number, 1).await;
        }
        tokio::time::sleep(HOUR).await;
        let retried = bundle.retry_owed().await;
        assert_eq!((retried.counts.total(), retried.retried), (count, 200));
        // The rest comes with the next one.
        bundle.retry_owed().await.retried == 1
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p13_what_is_owed_is_read_while_thirty_five_seconds_are_left_and_tried_again_while_ten_are()
{
    let retry = async |count: i64, time| {
        let bundle = deaf();
        for number in 1..=count {
            owe(&bundle, number, 1).await;
        }
        tokio::time::sleep(HOUR).await;
        bundle
            .full_pass
            .retry_owed(Deadline::after(time))
            .await
            .unwrap()
    };
    at_both_ends(10 * SECOND, async |time| {
        let retried = retry(3, time).await;
        assert!(retried.complete && (retried.retried == 0 || retried.retried == 3));
        retried.retried == 3
    })
    .await;
    at_both_ends(35 * SECOND, async |time| {
        let retried = retry(21, time).await;
        assert_eq!(retried.counts.total() == 21, retried.complete);
        retried.complete
    })
    .await;
}
