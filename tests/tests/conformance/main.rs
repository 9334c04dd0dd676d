//! What every adapter of an ERP must do, through the port alone: run against the simulated Business Central. The target
//! `odoo` runs the same against a real Odoo. An adapter is done when the suite passes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod suite;

use std::sync::Arc;

use shared::erp::business_central::{BusinessCentral, BusinessCentralSettings};
use tests::{
    business_central_simulator::{BusinessCentralSimulator, CompanySettings, Settings},
    in_process::InProcess,
};

use suite::{Faults, Subject};

const BASE_URL: &str = "https://bc.example";

fn subject() -> Subject {
    let mut company = CompanySettings::named("Butiken AB");
    company.customer_numbers.manual = true;
    company.contact_numbers.manual = true;
    let settings = Settings {
        companies: vec![company],
        requests_per_window: usize::MAX,
        ..Settings::default()
    };
    let simulator = BusinessCentralSimulator::new(settings);
    let faults = Arc::new(Faults::around(Arc::new(InProcess::new(simulator.router()))));
    let settings = BusinessCentralSettings {
        api_root: simulator.api_root(BASE_URL).parse().unwrap(),
        company: simulator.companies()[0],
        token_url: simulator.token_url(BASE_URL).parse().unwrap(),
        client_id: "norce-sync".to_owned(),
        client_secret: "business-central-secret".into(),
        extra_fields: shared::erp::ExtraFields::default(),
    };
    let erp = BusinessCentral::new(settings, faults.clone()).unwrap();
    Subject::new(Arc::new(erp), faults)
}

#[tokio::test]
async fn business_central_does_what_every_erp_must() {
    suite::run(&subject()).await;
}
