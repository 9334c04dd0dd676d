//! The metrics of the functions, over the whole bundle on paused time: an operator can tell from them what happened.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use shared::{
    domain::PassMode,
    metrics::{Metric, Tally},
};
use tests::{
    bundle::{Bundle, Options, gateway_request},
    business_central_simulator::Fault,
    norce_simulator::{NewCustomer, Poison, PoisonMode, PoisonRows},
    samples::{anna, order_of},
};

const MINUTE: Duration = Duration::from_secs(60);

/// The ERP does not answer until the faults are cleared.
fn unavailable() -> Fault {
    Fault::status(StatusCode::SERVICE_UNAVAILABLE).lasting(30 * 24 * 60 * MINUTE)
}

/// What was measured since the last look.
struct Measured(Tally);

impl Measured {
    fn of(bundle: &Bundle) -> Self {
        Self(bundle.metrics.take())
    }

    /// The values of a metric.
    fn values(&self, metric: Metric, of: &'static str) -> &[u64] {
        self.0.get(&(metric, of)).map_or(&[], Vec::as_slice)
    }

    /// A sum or a maximum.
    fn value(&self, metric: Metric, of: &'static str) -> u64 {
        match self.values(metric, of) {
            [] => 0,
            [value] => *value,
            values => panic!("{metric:?} {of}: {values:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_order_is_measured_from_the_order_to_the_code() {
    let bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(anna());
    bundle.run_until_quiet().await;
    Measured::of(&bundle);
    bundle.norce.place_order(order_of(number));
    bundle.run_until_quiet().await;
    let measured = Measured::of(&bundle);
    assert!(measured.value(Metric::Posts, "accepted") >= 2);
    assert_eq!(measured.value(Metric::Changes, "created"), 1);
    assert_eq!(measured.value(Metric::ImportLines, "confirmed"), 1);
    // The import is gathered for two seconds, and first polled after two more.
    let times = measured.values(Metric::OrderToCodeSeconds, "");
    assert!(matches!(times, [4..60]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_counts_into_the_time_from_the_order_to_the_code() {
    let bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(anna());
    bundle.run_until_quiet().await;
    bundle.erp.inject(unavailable());
    bundle.norce.place_order(order_of(number));
    bundle.run_for(20 * MINUTE).await;
    let during = Measured::of(&bundle);
    assert!(during.value(Metric::Changes, "deferred") > 3);
    let waiting = during.value(Metric::WaitingSeconds, "changes");
    assert!((10 * 60..=20 * 60).contains(&waiting), "{waiting}");
    assert_eq!(during.value(Metric::OpenBreakers, ""), 1);
    let open = during.value(Metric::BreakerOpenSeconds, "");
    assert!((10 * 60..=20 * 60).contains(&open), "{open}");

    bundle.erp.clear_faults();
    bundle.quiet_within(15 * MINUTE).await;
    let after = Measured::of(&bundle);
    let times = after.values(Metric::OrderToCodeSeconds, "");
    assert!(matches!(times, [1_200..3_600]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_measured_within_a_minute() {
    let bundle = Bundle::new(&Options::default());
    for customer in 0..3 {
        let customer = bundle.norce.add_customer(NewCustomer {
            email: Some(format!("anna.{customer}@example.com")),
            ..anna()
        });
        bundle.norce.place_order(order_of(customer));
    }
    bundle.erp.inject(unavailable());
    bundle.run_for(MINUTE).await;
    assert_eq!(Measured::of(&bundle).value(Metric::OpenBreakers, ""), 1);
}

#[tokio::test(start_paused = true)]
async fn the_age_of_an_import_that_norce_does_not_finish_is_measured() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let bundle = Bundle::new(&Options::default());
    bundle
        .norce
        .configure(|settings| settings.jobs.delay = 6 * HOUR);
    let customer = bundle.norce.add_customer(anna());
    bundle.norce.place_order(order_of(customer));
    bundle.run_for(4 * HOUR).await;
    let _ = Measured::of(&bundle);
    bundle.run_for(HOUR / 2).await;
    let age = Measured::of(&bundle).value(Metric::OpenBatchSeconds, "");
    assert!((4 * 3_600..=4 * 3_600 + 1_800).contains(&age), "{age} s");
    bundle.quiet_within(3 * HOUR).await;
    let _ = Measured::of(&bundle);
    bundle.run_for(HOUR).await;
    let measured = Measured::of(&bundle);
    assert!(measured.values(Metric::OpenBatchSeconds, "").is_empty());
}

#[tokio::test(start_paused = true)]
async fn posts_are_counted_by_their_answer() {
    let bundle = Bundle::new(&Options::default());
    let secret = ("x-event-secret", tests::bundle::EVENT_SECRET);
    let post_to = async |path: &str, secret: (&str, &str), body: &str| {
        let request = gateway_request(path, &[secret], body.as_bytes());
        bundle.receive_events.handle(&request).await;
    };
    let post = async |secret, body| post_to("/events/customer-changed", secret, body).await;
    let event = r#"{"ClientId":1,"CustomerId":5,"EntityChanged":"tClientCustomer"}"#;
    post(secret, event).await;
    post(secret, "{").await;
    post(("x-event-secret", "wrong"), event).await;
    post(("x-event-secret", "wrong"), event).await;
    for path in [
        "order-cancelled",
        "SkuChangedNotification",
        "basket-changed",
    ] {
        post_to(&format!("/events/{path}"), secret, "anything").await;
    }
    bundle.queues_refuse.store(true, Ordering::SeqCst);
    post(secret, event).await;
    let measured = Measured::of(&bundle);
    let counts = ["accepted", "refused", "unauthorised", "failed", "ignored"]
        .map(|answer| measured.value(Metric::Posts, answer));
    assert_eq!(counts, [1, 1, 2, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_line_and_what_is_owed_are_measured() {
    let bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(anna());
    bundle.norce.poison(Poison {
        rows: PoisonRows::Ids([number].into()),
        mode: PoisonMode::RowFails,
        message: "the row is poison".to_owned(),
    });
    bundle.norce.place_order(order_of(number));
    bundle.run_until_quiet().await;
    assert_eq!(
        Measured::of(&bundle).value(Metric::ImportLines, "refused"),
        1
    );
    let counts = bundle.retry_owed().await.counts;
    bundle.full_pass.heartbeat(&counts).await.unwrap();
    let heartbeat = Measured::of(&bundle);
    assert_eq!(heartbeat.value(Metric::OwedRecords, ""), 1);
    assert_eq!(
        heartbeat.value(Metric::OwedRecordsByReason, "validation"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_that_norce_imports_with_a_warning_is_measured() {
    let bundle = Bundle::new(&Options::default());
    let people = [1, 2].map(|number| {
        bundle.norce.add_customer(NewCustomer {
            email: Some(format!("anna.{number}@example.com")),
            ..anna()
        })
    });
    for (person, mode) in people
        .into_iter()
        .zip([PoisonMode::RowWarns, PoisonMode::RowFails])
    {
        bundle.norce.poison(Poison {
            rows: PoisonRows::Ids([person].into()),
            mode,
            message: "the price list is unknown".to_owned(),
        });
    }
    for person in people {
        bundle.norce.place_order(order_of(person));
    }
    bundle.run_until_quiet().await;
    let measured = Measured::of(&bundle);
    let counts = ["confirmed", "warned", "refused"]
        .map(|result| measured.value(Metric::ImportLines, result));
    assert_eq!(counts, [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_says_that_all_is_well_and_how_old_the_watermarks_are() {
    let bundle = Bundle::new(&Options::default());
    let heartbeat = async || {
        let counts = bundle.retry_owed().await.counts;
        bundle.full_pass.heartbeat(&counts).await.unwrap();
        Measured::of(&bundle)
    };
    let first = heartbeat().await;
    assert_eq!(first.values(Metric::OwedRecords, ""), [0]);
    assert_eq!(first.values(Metric::OpenBreakers, ""), [0]);
    assert_eq!(first.values(Metric::BreakerOpenSeconds, ""), [0]);
    // No pass has run, and the age of what is not there is not 0.
    assert!(first.values(Metric::PassAgeSeconds, "erp").is_empty());

    bundle.pass(PassMode::Delta).await;
    tokio::time::advance(100 * MINUTE).await;
    bundle.pass(PassMode::Sweep).await;
    Measured::of(&bundle);
    let later = heartbeat().await;
    let age = later.value(Metric::PassAgeSeconds, "erp");
    assert!((6_000..6_060).contains(&age), "{age}");
    assert!(later.value(Metric::PassAgeSeconds, "sweep") < 60);
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_measured_once_with_what_it_saw_and_changed() {
    let bundle = Bundle::new(&Options::default());
    let number = bundle.norce.add_customer(anna());
    bundle.norce.place_order(order_of(number));
    bundle.run_until_quiet().await;
    Measured::of(&bundle);
    bundle.pass(PassMode::Delta).await;
    let measured = Measured::of(&bundle);
    assert_eq!(measured.value(Metric::PassesStarted, "delta"), 1);
    assert_eq!(measured.value(Metric::PassesEnded, "delta"), 1);
    assert_eq!(measured.value(Metric::PassesFailed, "delta"), 0);
    assert_eq!(measured.values(Metric::PassSeconds, "delta").len(), 1);
    let seen = measured.value(Metric::PassRecordsSeen, "delta");
    assert!(seen >= 1);
    assert_eq!(measured.value(Metric::PassRecordsChanged, "delta"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_given_up_counts_as_failed() {
    let bundle = Bundle::new(&Options::default());
    bundle.erp.inject(unavailable());
    bundle.start_pass(PassMode::Full).await;
    bundle.run_for(Duration::from_secs(30 * 3_600)).await;
    let measured = Measured::of(&bundle);
    assert_eq!(measured.value(Metric::PassesFailed, "full"), 1);
    assert_eq!(measured.value(Metric::PassesEnded, "full"), 0);
}
