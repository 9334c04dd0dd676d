//! The conformance suite (`cargo conformance`) against a facade that keeps to the contract, and against the same facade with each of
//! the planted faults. The targets `odoo` and `http_erp` run it against facades over Odoo and Tryton.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod planted;

use std::{future::pending, sync::Arc};

use axum::{Router, routing::post};
use conformance::{Credentials, Options, Outage, Report, Switch, Target, Unusable};
use futures_util::future::join_all;
use http::StatusCode;
use planted::Fault as Planted;
use serde_json::json;
use shared::erp::business_central::BusinessCentral;
use tests::{
    business_central_simulator::{
        BusinessCentralSimulator, CompanySettings, Fault, Settings, TaxNumberFilter,
    },
    facade::{Facade, Served, SimulatedCompany},
    in_process::InProcess,
    samples,
};

const BASE_URL: &str = "https://bc.example";
const KEY: &str = "facade-key";

/// A facade over a simulated Business Central.
fn facade() -> (BusinessCentralSimulator, Router) {
    let mut company = CompanySettings::named("Butiken AB");
    company.customer_numbers.manual = true;
    company.contact_numbers.manual = true;
    let simulator = BusinessCentralSimulator::new(Settings {
        companies: vec![company],
        requests_per_window: usize::MAX,
        tax_number_filter: TaxNumberFilter::Filters,
        ..Settings::default()
    });
    let settings = samples::business_central(&simulator, BASE_URL);
    let transport = Arc::new(InProcess::new(simulator.router()));
    let erp = BusinessCentral::new(settings, transport).unwrap();
    let removal = SimulatedCompany {
        company: simulator.companies()[0],
        simulator: simulator.clone(),
    };
    let facade = Facade::new(Arc::new(erp), KEY).with_removal(removal);
    (simulator, facade.router())
}

async fn serve(router: Router) -> (Served, Target) {
    let served = Served::open(router).await.unwrap();
    let target = Target::with_key(served.url().parse().unwrap(), KEY);
    (served, target)
}

/// An outage in which the ERP answers 503.
fn outage(simulator: &BusinessCentralSimulator) -> Outage {
    let switch = |simulator: BusinessCentralSimulator, begins: bool| -> Switch {
        Box::new(move || {
            match begins {
                true => simulator.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE)),
                false => simulator.clear_faults(),
            }
            Box::pin(async { Ok(()) })
        })
    };
    Outage {
        begin: switch(simulator.clone(), true),
        end: switch(simulator.clone(), false),
    }
}

/// The customers that were there before the run.
fn own_customers(simulator: &BusinessCentralSimulator) -> String {
    let mut customers = simulator.customers(simulator.companies()[0]);
    customers.retain(|customer| customer.number.starts_with("OWN"));
    format!("{customers:#?}")
}

/// Checks a facade, and that the suite changes no record but its own.
async fn tried(simulator: &BusinessCentralSimulator, router: Router) -> Report {
    let company = simulator.companies()[0];
    for number in ["OWN1", "OWN2", "OWN3"] {
        let own = json!({ "number": number, "displayName": "Bo Lund", "type": "Person" });
        simulator.add_customer(company, &own).unwrap();
    }
    let own = own_customers(simulator);
    let (_served, target) = serve(router).await;
    let options = Options {
        outage: Some(outage(simulator)),
        ..Options::default()
    };
    let report = conformance::run(&target, options, |_| {}, pending()).await;
    let report = report.unwrap();
    assert!(report.mistakes.is_empty(), "{:#?}", report.mistakes);
    assert_eq!(own, own_customers(simulator));
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facade_that_keeps_to_the_contract_holds() {
    let (simulator, router) = facade();
    let report = tried(&simulator, router).await;
    assert!(report.failed().is_empty(), "{}", report.failures());
    assert!(report.left.is_empty(), "{report}");
}

/// A check that depends on a missing value fails and does not panic.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_lacks_everything_is_named() {
    let (simulator, router) = facade();
    let router = planted::with_fault(router, Planted::CreateWithoutId);
    let report = tried(&simulator, router).await;
    let failures = report.failures();
    assert!(report.failed().contains(&"answers-keep-to-the-contract"));
    assert!(
        failures.contains("the new record has no `id`"),
        "{failures}"
    );
    assert!(!failures.contains("the suite itself failed"), "{failures}");
    // The clean-up finds the records in the listing.
    assert!(report.left.is_empty(), "{report}");
}

/// The token endpoint: the access token is the facade's key.
async fn token(form: String) -> (StatusCode, String) {
    let due = "grant_type=client_credentials&client_id=norce&client_secret=secret";
    match form == due {
        true => (StatusCode::OK, format!(r#"{{"access_token":"{KEY}"}}"#)),
        false => (
            StatusCode::UNAUTHORIZED,
            r#"{"error":"invalid_client"}"#.to_owned(),
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_are_traded_for_a_token() {
    let (_, router) = facade();
    let (_served, target) = serve(router.route("/token", post(token))).await;
    let of_client = |client_secret: &str| Target {
        credentials: Credentials::OAuth {
            token_url: target.url.join("/token").unwrap(),
            client_id: "norce".to_owned(),
            client_secret: client_secret.to_owned(),
        },
        ..target.clone()
    };
    let options = || Options {
        only: Some("clock".to_owned()),
        ..Options::default()
    };
    let report = conformance::run(&of_client("secret"), options(), |_| {}, pending()).await;
    let report = report.unwrap();
    let names: Vec<&str> = report.checks.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"the-clock-stamps-changes"), "{names:?}");
    assert!(report.failed().is_empty(), "{}", report.failures());
    let refused = conformance::run(&of_client("wrong"), options(), |_| {}, pending()).await;
    assert!(matches!(refused, Err(Unusable::Token(_))), "{refused:?}");
}

/// The checks that may fail for each fault. The first one always does.
const NAMED: &[(Planted, &[&str])] = &[
    (
        Planted::KeysIgnored,
        &[
            "one-record-for-each-key",
            "one-record-for-a-key-at-the-same-time",
            "one-record-where-the-answer-is-lost",
        ],
    ),
    (
        Planted::KeyStoredAfterTheRecord,
        &[
            "one-record-for-a-key-at-the-same-time",
            "one-record-where-the-answer-is-lost",
            "a-removed-record-is-created-again",
        ],
    ),
    (Planted::SinceExclusive, &["since-is-inclusive"]),
    (Planted::ZoneIgnored, &["since-is-an-instant"]),
    (Planted::PagesByOffset, &["nothing-slips-while-rows-change"]),
    (
        Planted::UnknownCursorIsTheEnd,
        &["a-cursor-that-is-none-is-gone"],
    ),
    (Planted::CodesFolded, &["codes-are-compared-as-stated"]),
    (Planted::EmailsContain, &["emails-are-compared-exactly"]),
    (
        Planted::EmailsByCase,
        &["emails-are-found-in-any-case", "all-holders-are-found"],
    ),
    (
        Planted::NumbersAsWritten,
        &["numbers-are-found-in-any-spelling"],
    ),
    (
        Planted::BlockedNotFound,
        &["all-holders-are-found", "a-blocked-record-is-closed"],
    ),
    (
        Planted::OutageIsNotFound,
        &["an-outage-is-no-answer-about-records"],
    ),
    (
        Planted::OutageIsEmpty,
        &["an-outage-is-no-answer-about-records"],
    ),
    (
        Planted::VersionIgnored,
        &[
            "a-stale-version-is-refused",
            "one-of-two-changes-at-the-same-time",
        ],
    ),
    (
        Planted::VersionComparedBefore,
        &["one-of-two-changes-at-the-same-time"],
    ),
    (Planted::NullIgnored, &["null-clears"]),
    (Planted::AddressMerged, &["an-address-is-replaced"]),
    (Planted::OtherClock, &["the-clock-stamps-changes"]),
    (Planted::ReadsWithoutKey, &["nobody-reads-without-the-key"]),
    (Planted::ErrorsRepeat, &["errors-have-no-personal-data"]),
    (
        Planted::UnknownRefused,
        &["properties-that-are-not-known-are-ignored"],
    ),
    (
        Planted::EverythingIsNotFound,
        &["an-unknown-path-is-no-missing-record"],
    ),
    (Planted::BlockNotStamped, &["a-blocked-record-is-closed"]),
    (
        Planted::ListingInACircle,
        &["nothing-slips-while-rows-change"],
    ),
    (Planted::NextLeftOut, &["answers-keep-to-the-contract"]),
    (Planted::PartNotStamped, &["every-change-is-stamped"]),
];

/// Concurrently, because a run mostly waits.
#[tokio::test(flavor = "multi_thread")]
async fn every_planted_fault_is_named() {
    let runs = NAMED.iter().map(|&(fault, checks)| async move {
        let (simulator, router) = facade();
        let report = tried(&simulator, planted::with_fault(router, fault)).await;
        let failed = report.failed();
        let is_named = failed.contains(&checks[0]);
        let only = failed.iter().all(|check| checks.contains(check));
        (!is_named || !only).then(|| format!("{fault:?}: {failed:?}\n{}", report.failures()))
    });
    let wrong: Vec<String> = join_all(runs).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
