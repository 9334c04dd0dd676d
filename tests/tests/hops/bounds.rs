//! The bound of each chain that could go on for ever: every loop is driven past it.

use std::{collections::BTreeSet, time::Duration};

use erp_full_pass::PassSettings;
use http::StatusCode;
use serde_json::json;
use shared::{
    domain::{PassMode, PassRequest},
    owed::{Reason, Stage},
    runtime::batch::MAX_REQUEUES,
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::Fault as ErpFault,
    interruption::{Fault, Moment},
    norce_simulator::{Effect, Endpoint, Poison, PoisonMode, PoisonRows, When},
    samples::resident,
};

use crate::{
    DAY, HOUR, assert_in_step, assert_nothing_owed,
    listings::{Listings, Place},
    order, person_in_erp,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn owed(bundle: &Bundle) -> Vec<(Stage, Reason)> {
    let owed = bundle.owed.list().await.unwrap();
    owed.iter().map(|owed| (owed.stage, owed.reason)).collect()
}

/// P8 holds for seven weeks. Then the message is a dead letter that says why, and a person sends it again.
#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_months_becomes_a_dead_letter_and_its_redrive_begins_at_the_origin()
 {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(resident(0));
    bundle.run_until_quiet().await;
    let down = ErpFault::status(StatusCode::SERVICE_UNAVAILABLE);
    // Whatever it asks for.
    bundle.erp.inject(down.retry_after(2 * DAY));
    order(&bundle, id);
    bundle.run_for(49 * DAY).await;
    assert_eq!(bundle.changes.dead_letters(), []);
    assert!(!bundle.changes.is_empty());
    bundle.run_for(200 * DAY).await;
    assert!(bundle.changes.is_empty());
    let letters = bundle.changes.dead_letters();
    assert!(!letters.is_empty());
    for letter in &letters {
        let reason = letter.reason.as_deref().unwrap();
        assert!(
            reason.contains("waited for weeks") && reason.contains("redrive"),
            "{reason}"
        );
    }
    // An order leads to its customer, which is one hop, and each time that it was sent again is another one.
    assert_eq!(bundle.take_hops().changes, 2 + MAX_REQUEUES);

    bundle.erp.clear_faults();
    let request = json!({"action": "dead-letters", "do": "redrive", "queue": "changes"});
    let answer = bundle.ask(request).await.unwrap();
    assert_eq!(answer["redriven"], letters.len());
    bundle.quiet_within(DAY).await;
    assert_in_step(&bundle, id).await;
    assert_nothing_owed(&bundle).await;
    assert_eq!(bundle.take_hops().changes, 1);
}

/// A job whose log Norce refuses to show, or that never ends while its codes cannot be read back.
#[tokio::test(start_paused = true)]
async fn p9_an_import_whose_outcome_norce_never_tells_is_owed() {
    for (endpoint, job_ends) in [(Endpoint::JobGetLog, true), (Endpoint::Customers, false)] {
        let bundle = Bundle::new(&Options::default());
        let id = bundle.norce.add_customer(resident(0));
        bundle.norce.configure(|settings| {
            settings.jobs.never_finish = !job_ends;
            settings.jobs.delay = HOUR;
        });
        bundle.norce.poison(Poison {
            rows: PoisonRows::Ids([id].into()),
            mode: PoisonMode::JobFails,
            message: "the row is poison".to_owned(),
        });
        order(&bundle, id);
        bundle.run_for(MINUTE).await;
        assert_eq!(bundle.norce.imports().len(), 1);
        bundle
            .norce
            .inject(&[endpoint], When::Always, Effect::status(400));
        bundle.run_for(23 * HOUR).await;
        assert_nothing_owed(&bundle).await;
        bundle.run_for(2 * HOUR).await;
        assert_eq!(
            owed(&bundle).await,
            [(Stage::CodeToNorce, Reason::TimedOut)]
        );
        assert!(bundle.jobs.is_empty(), "{endpoint:?}");
        assert!(bundle.jobs.dead_letters().is_empty());

        // Mended, the next retry of what is owed brings the code across.
        bundle.norce.clear_faults();
        bundle.norce.clear_poison();
        bundle
            .norce
            .configure(|settings| settings.jobs.never_finish = false);
        tokio::time::sleep(HOUR).await;
        assert_eq!(bundle.retry_owed().await.retried, 1);
        bundle.quiet_within(2 * HOUR).await;
        assert_in_step(&bundle, id).await;
        assert_nothing_owed(&bundle).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p9_an_import_that_cannot_be_followed_for_two_weeks_is_owed() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(resident(0));
    bundle
        .norce
        .configure(|settings| settings.jobs.delay = HOUR);
    order(&bundle, id);
    bundle.run_for(MINUTE).await;
    let followed = [Endpoint::JobGet, Endpoint::JobGetLog];
    bundle
        .norce
        .inject(&followed, When::Always, Effect::status(503));
    bundle.run_for(13 * DAY).await;
    assert_nothing_owed(&bundle).await;
    bundle.run_for(2 * DAY).await;
    assert_eq!(
        owed(&bundle).await,
        [(Stage::CodeToNorce, Reason::TimedOut)]
    );
    assert!(bundle.jobs.is_empty() && bundle.jobs.dead_letters().is_empty());
    // All that time the same few messages waited.
    assert!(bundle.take_hops().jobs < 14);
    // Norce has the code after all.
    bundle.norce.clear_faults();
    tokio::time::sleep(HOUR).await;
    assert_eq!(bundle.retry_owed().await.retried, 1);
    bundle.run_until_quiet().await;
    assert_in_step(&bundle, id).await;
    assert_nothing_owed(&bundle).await;
}

/// The event only makes the look come early; the poll of the batch is what counts.
#[tokio::test(start_paused = true)]
async fn a_job_completed_event_is_dropped_when_the_poll_has_had_its_turn() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(resident(0));
    bundle
        .norce
        .configure(|settings| settings.jobs.delay = HOUR);
    order(&bundle, id);
    bundle.run_for(MINUTE).await;
    bundle
        .norce
        .inject(&[Endpoint::JobGet], When::For(DAY), Effect::status(503));
    bundle.quiet_within(DAY + HOUR).await;
    assert_in_step(&bundle, id).await;
    let delivered = bundle.delivered.lock().unwrap();
    let of = |kind: &str| delivered.iter().filter(|body| body.contains(kind)).count();
    assert_eq!(of(r#""type":"completed""#), 10);
    assert!(of(r#""type":"poll""#) > 50);
}

/// The ERP, or what stands before it, keeps no place in a listing.
#[tokio::test(start_paused = true)]
async fn a_pass_whose_listing_begins_anew_again_and_again_is_given_up() {
    for dry_run in [false, true] {
        let bundle = Listings::bundle(
            &Options::default(),
            10,
            Duration::from_secs(1),
            Place::Forgotten,
        );
        for number in 0..30 {
            person_in_erp(&bundle, number);
        }
        bundle.run_until_quiet().await;
        let request = PassRequest {
            mode: PassMode::Full,
            kind: None,
            application: None,
            dry_run,
        };
        let run = bundle.start(&request).await[0];
        bundle.run_for(HOUR).await;
        assert!(bundle.passes_queue.is_empty());
        assert_eq!(bundle.take_hops().passes, 1 + 10);
        if !dry_run {
            let failed = bundle.run(run).await.ended.unwrap().failed.unwrap();
            assert!(
                failed.contains("forgot the place in its listing 11 times"),
                "{failed}"
            );
        }
        assert!(bundle.reports.all().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_over_a_listing_that_stands_still_or_goes_in_circles_is_given_up() {
    for (place, days, hops) in [(Place::Same, 2, 2), (Place::InCircles, 8, 2_400)] {
        for dry_run in [false, true] {
            let bundle = Listings::bundle(&Options::default(), 10, Duration::from_secs(140), place);
            for number in 0..40 {
                person_in_erp(&bundle, number);
            }
            bundle.run_until_quiet().await;
            let request = PassRequest {
                mode: PassMode::Full,
                kind: None,
                application: None,
                dry_run,
            };
            let run = bundle.start(&request).await[0];
            bundle.run_for(days * DAY).await;
            assert!(bundle.passes_queue.is_empty(), "{place:?}");
            let taken = bundle.take_hops().passes;
            assert!((hops / 2..=hops).contains(&taken), "{place:?}: {taken}");
            if !dry_run {
                let failed = bundle.run(run).await.ended.unwrap().failed.unwrap();
                let why = match place {
                    Place::Same => "names itself as the next one",
                    _ => "it has not ended in 7 days",
                };
                assert!(failed.contains(why), "{failed}");
            }
            assert!(
                bundle
                    .reports
                    .all()
                    .keys()
                    .all(|key| !key.ends_with("report.html"))
            );
        }
    }
}

/// Something else in Norce takes each code away again, so that our import and Norce's event about it could follow each
/// other for ever, through Norce, where no header counts them.
#[tokio::test(start_paused = true)]
async fn p5_a_code_that_norce_loses_again_and_again_is_imported_once_an_hour_at_most_and_owed() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(resident(0));
    order(&bundle, id);
    let mut was_owed = false;
    for minute in 0..24 * 60 {
        bundle.run_until_quiet().await;
        was_owed |= owed(&bundle).await == [(Stage::CodeToNorce, Reason::Conflict)];
        if bundle.customer_code(id).is_some() {
            bundle
                .norce
                .change_customer(id, |record| record.row.customer_code = None);
        }
        if minute % 15 == 0 {
            bundle.retry_owed().await;
        }
        tokio::time::sleep(MINUTE).await;
    }
    assert!(was_owed);
    let imports = bundle.norce.imports().len();
    assert!((5..=24).contains(&imports), "{imports}");

    // Left alone, Norce gets it and keeps it.
    for _ in 0..3 {
        tokio::time::sleep(2 * HOUR).await;
        bundle.retry_owed().await;
        bundle.run_until_quiet().await;
    }
    assert_in_step(&bundle, id).await;
    assert_nothing_owed(&bundle).await;
}

/// Every invocation that calls Norce dies after its batch is recorded, and the poller submits the lines again: one chain
/// for each delivery of the message that began it, which are counted, and not twice as many messages every time.
#[tokio::test(start_paused = true)]
async fn p9_lines_that_kill_their_invocation_do_not_multiply() {
    /// Some fifty an hour come to be, and some of them wait behind others whose invocation dies.
    const MESSAGES_IN_AN_HOUR: usize = 100;
    let bundle = Bundle::new(&Options::default());
    bundle
        .norce
        .configure(|settings| settings.token_lifetime = 30 * DAY);
    let id = bundle.norce.add_customer(resident(0));
    order(&bundle, id);
    while bundle.imports.is_empty() {
        bundle.changes_step().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bundle
        .interruption
        .always("http POST", Fault::Cut(Moment::Before));
    for hour in 1..=6 {
        bundle.run_for(HOUR).await;
        let messages = bundle.imports.len();
        let most = hour * MESSAGES_IN_AN_HOUR;
        assert!((1..=most).contains(&messages), "hour {hour}: {messages}");
    }
    let hops = bundle.take_hops();
    println!("lines that kill their invocation for six hours: {hops:?}");
    bundle.interruption.clear();
    bundle.quiet_within(HOUR).await;
    assert_in_step(&bundle, id).await;
}

/// A pass that waits for its imports is no pass that waits for ever.
#[tokio::test(start_paused = true)]
async fn a_pass_that_waits_for_its_imports_gets_to_its_end() {
    let options = Options {
        pass: PassSettings {
            most_waiting: 0,
            ..PassSettings::default()
        },
        ..Options::default()
    };
    let bundle = Listings::bundle(&options, 5, Duration::ZERO, Place::Kept);
    let ids: BTreeSet<i64> = (0..100)
        .map(|number| {
            person_in_erp(&bundle, number);
            bundle.norce.add_customer(resident(number))
        })
        .collect();
    bundle.run_until_quiet().await;
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(run.ended.unwrap().failed, None);
    for id in ids {
        assert!(bundle.customer_code(id).is_some(), "{}", customer(id));
    }
}
