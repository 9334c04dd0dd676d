//! The adapter of the HTTP contract against a facade that shares no code with it, in front of a real Tryton. Where Python or
//! its packages are not available, the tests say so and pass, unless `REQUIRE_TRYTON` is set, as it is in `.ci/run`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what is skipped is to be seen"
)]

mod register;
#[path = "../conformance/suite.rs"]
mod suite;

use std::sync::Arc;

use register::{PAGE_SIZE, Parties, is_write};
use shared::{
    erp::http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    http::ReqwestTransport,
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

/// The adapter over HTTP, and an empty register behind the facade.
async fn subject() -> Option<(Subject, Arc<Tryton>)> {
    let tryton = Tryton::start(PAGE_SIZE, progress).await;
    let tryton = Arc::new(where_it_can_be_had(tryton)?);
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let faults = Arc::new(Faults::around(transport, is_write));
    let settings = HttpErpSettings {
        base_url: tryton.url().parse().unwrap(),
        company: None,
        credentials: HttpErpCredentials::Key(KEY.into()),
        home_country: None,
    };
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

/// The tests that the facade has itself, as a team would run them that writes its own.
#[tokio::test]
async fn the_facade_passes_its_own_tests() {
    let passed = test_facade(progress).await;
    if let Err(TrytonError::Unavailable { .. }) = passed {
        panic!("{}", passed.unwrap_err());
    }
    where_it_can_be_had(passed);
}
