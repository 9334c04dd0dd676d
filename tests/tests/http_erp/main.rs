//! The adapter of the HTTP contract against a facade that shares no code with it, in front of a real Tryton. Where Python or
//! its packages are not available, the tests say so and pass, unless `REQUIRE_TRYTON` is set, as it is in `.ci/run`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what is skipped is to be seen"
)]

mod answers;
mod crashes;
#[path = "../conformance/create_flow.rs"]
mod create_flow;
mod register;
mod signatures;
#[path = "../conformance/suite.rs"]
mod suite;

use std::{sync::Arc, time::Duration};

use conformance::{Options, Target};
use register::{PAGE_SIZE, Parties, is_write};
use shared::{
    erp::http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    http::{Deadline, ReqwestTransport},
};
use suite::{Faults, Subject};
use tests::tryton::{KEY, Tryton, TrytonError, test_facade};

/// What is there, or nothing where Tryton cannot be had.
fn where_it_can_be_had<T>(result: Result<T, TrytonError>) -> Option<T> {
    match result {
        Ok(there) => Some(there),
        Err(error) if std::env::var_os("REQUIRE_TRYTON").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn progress(step: &str) {
    eprintln!("{step}");
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// One with an empty register, or none.
async fn tryton() -> Option<Arc<Tryton>> {
    let tryton = Tryton::start(PAGE_SIZE, progress).await;
    where_it_can_be_had(tryton).map(Arc::new)
}

fn settings(tryton: &Tryton, credentials: HttpErpCredentials) -> HttpErpSettings {
    HttpErpSettings {
        base_url: tryton.url().parse().unwrap(),
        company: None,
        credentials,
        home_country: None,
    }
}

/// The adapter over HTTP, and an empty register behind the facade.
async fn subject() -> Option<(Subject, Arc<Tryton>)> {
    let tryton = tryton().await?;
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let faults = Arc::new(Faults::around(transport, is_write));
    let settings = settings(&tryton, HttpErpCredentials::Key(KEY.into()));
    let erp = HttpErp::new(settings, faults.clone()).unwrap();
    let parties = Parties {
        tryton: tryton.clone(),
    };
    parties.add_regions().await;
    let subject = Subject::without_fixed_values(Arc::new(erp), faults, Arc::new(parties));
    Some((subject, tryton))
}

macro_rules! tests {
    ($($check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                if let Some((subject, tryton)) = subject().await {
                    suite::$check(&subject).await;
                    register::assert_one_party_each(&tryton).await;
                }
            }
        )+
    };
}
suite::for_each_check!(tests);

macro_rules! tests_of_answers {
    ($($check:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $check() {
                if let Some(tryton) = tryton().await {
                    answers::$check(&tryton).await;
                }
            }
        )+
    };
}
tests_of_answers! {
    a_record_that_cannot_be_shown_is_no_outage,
    a_key_outlives_no_record,
    a_trial_that_was_cut_off_is_cleared_up,
    a_trial_leaves_a_record_that_is_referred_to,
    a_write_waits_for_those_of_people,
    a_wrong_key_and_a_foreign_cursor_are_told_apart,
    a_search_is_tried_in_a_register_that_begins_with_persons,
    many_are_found_in_several_searches,
    a_company_that_is_not_there_is_no_empty_register,
    a_rule_of_the_database_refuses_and_is_no_outage,
}

/// What any team can run against its facade (`cargo conformance`), here with signed requests.
#[tokio::test]
async fn the_conformance_suite_holds() {
    let signing_key = "signs-the-requests-of-the-suite-only";
    let options = tests::tryton::Options {
        page_size: PAGE_SIZE,
        company: "shop".to_owned(),
        signing_keys: signing_key.to_owned(),
    };
    let tryton = Tryton::start_with(options, progress).await;
    let Some(tryton) = where_it_can_be_had(tryton) else {
        return;
    };
    let target = Target {
        company: Some("shop".to_owned()),
        signing_key: Some(signing_key.to_owned()),
        ..Target::with_key(tryton.url().parse().unwrap(), KEY)
    };
    let report =
        conformance::run(&target, Options::default(), |_| {}, std::future::pending()).await;
    let report = report.unwrap();
    assert!(report.failed().is_empty(), "{}", report.failures());
    assert!(report.left.is_empty(), "{report}");
    // What the facade makes has a kind; parties of the database itself have none.
    let left = tryton.parties().await.unwrap();
    assert!(
        left.iter().all(|party| party["norce_kind"].is_null()),
        "{left:?}"
    );
}

#[tokio::test]
async fn p2_one_norce_entity_is_one_party_wherever_the_work_is_cut_off() {
    if let Some(tryton) = tryton().await {
        crashes::p2_one_party_wherever_the_work_is_cut_off(&tryton).await;
        register::assert_one_party_each(&tryton).await;
    }
}

#[tokio::test]
async fn a_facade_with_a_signing_key_takes_only_what_is_signed_with_it() {
    let options = tests::tryton::Options {
        company: "outlet".to_owned(),
        signing_keys: signatures::KEYS.to_owned(),
        ..Default::default()
    };
    let tryton = Tryton::start_with(options, progress).await;
    if let Some(tryton) = where_it_can_be_had(tryton) {
        signatures::only_signed_requests_are_taken(&tryton).await;
    }
}

/// The tests that the facade has itself, as a team would run them that writes its own.
#[tokio::test]
async fn the_facade_passes_its_own_tests() {
    let passed = test_facade(progress).await;
    if let Err(TrytonError::Unavailable { .. }) = passed {
        panic!("{}", passed.unwrap_err());
    }
    where_it_can_be_had(passed);
}
