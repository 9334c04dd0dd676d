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
#[path = "../conformance/suite.rs"]
mod suite;

use std::{sync::Arc, time::Duration};

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
    a_write_waits_for_those_of_people,
    a_wrong_key_and_a_foreign_cursor_are_told_apart,
    a_search_is_tried_in_a_register_that_begins_with_persons,
    many_are_found_in_several_searches,
    a_company_that_is_not_there_is_no_empty_register,
    a_rule_of_the_database_refuses_and_is_no_outage,
}

#[tokio::test]
async fn p2_one_norce_entity_is_one_party_wherever_the_work_is_cut_off() {
    if let Some(tryton) = tryton().await {
        crashes::p2_one_party_wherever_the_work_is_cut_off(&tryton).await;
        register::assert_one_party_each(&tryton).await;
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
