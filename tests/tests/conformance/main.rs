//! The contract of every ERP adapter, through the port alone, against the simulated Business Central. The target `odoo`
//! runs the same suite against a real Odoo. An adapter is done when the suite passes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod suite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Method, Request};
use serde_json::{Value, json};
use shared::{
    domain::{Code, ErpId, Resource},
    erp::{
        Erp,
        business_central::{BusinessCentral, BusinessCentralSettings},
    },
};
use tests::{
    business_central_simulator::{
        BusinessCentralSimulator, Clock, CompanySettings, Settings, TaxNumberFilter,
    },
    in_process::InProcess,
};
use uuid::Uuid;

use suite::{Faults, Register, Subject};

const BASE_URL: &str = "https://bc.example";
/// Less than Business Central's, so that a few records are many pages.
const PAGE_SIZE: usize = 50;
/// How long a transaction takes that takes long.
const LONG: Duration = Duration::from_secs(2);

/// A company as its own people work on it.
struct Company {
    simulator: BusinessCentralSimulator,
    id: Uuid,
    clock: Clock,
}

fn customer(code: &Code) -> Value {
    json!({ "number": code.as_str(), "displayName": "Bo Lund", "type": "Person" })
}

fn guid(id: &ErpId) -> Uuid {
    id.id.parse().unwrap()
}

#[async_trait]
impl Register for Company {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn more_than_two_pages(&self) -> usize {
        PAGE_SIZE * 5 / 2
    }

    async fn add(&self, codes: &[Code]) -> Vec<ErpId> {
        let add = |code| self.simulator.add_customer(self.id, &customer(code));
        let added = codes.iter().map(|code| ErpId {
            resource: Resource::Customer,
            id: add(code).unwrap().id.to_string(),
        });
        added.collect()
    }

    async fn add_slowly(&self, codes: &[Code]) {
        let began = self.now();
        tokio::time::sleep(LONG).await;
        let customers: Vec<Value> = codes.iter().map(customer).collect();
        let added = self
            .simulator
            .add_customers_late(self.id, began, &customers);
        added.unwrap();
    }

    async fn change_phone(&self, id: &ErpId, phone: &str) {
        let phone = json!({ "phoneNumber": phone });
        let edited = self.simulator.edit_customer(self.id, guid(id), &phone);
        edited.unwrap();
    }

    async fn salespeople(&self) -> [String; 2] {
        ["AH".to_owned(), "JD".to_owned()]
    }

    async fn salesperson(&self, of: &ErpId) -> Option<String> {
        let customers = self.simulator.customers(self.id).into_iter();
        let mut customers = customers.filter(|customer| customer.id == guid(of));
        customers.next().map(|customer| customer.salesperson_code)
    }

    async fn change_salesperson(&self, of: &ErpId, to: &str) {
        let salesperson = json!({ "salespersonCode": to });
        let edited = self
            .simulator
            .edit_customer(self.id, guid(of), &salesperson);
        edited.unwrap();
    }

    async fn remove(&self, id: &ErpId) {
        let deleted = self.simulator.delete_customer(self.id, guid(id));
        deleted.unwrap();
    }
}

fn is_write(request: &Request<Bytes>) -> bool {
    request.method() != Method::GET
}

fn subject() -> Subject {
    let mut company = CompanySettings::named("Butiken AB");
    company.customer_numbers.manual = true;
    company.contact_numbers.manual = true;
    let clock = Clock::default();
    let settings = Settings {
        clock: clock.clone(),
        companies: vec![company],
        requests_per_window: usize::MAX,
        page_size: PAGE_SIZE,
        tax_number_filter: TaxNumberFilter::Filters,
        ..Settings::default()
    };
    let simulator = BusinessCentralSimulator::new(settings);
    let transport = Arc::new(InProcess::new(simulator.router()));
    let faults = Arc::new(Faults::around(transport, is_write));
    let settings = BusinessCentralSettings {
        api_root: simulator.api_root(BASE_URL).parse().unwrap(),
        company: simulator.companies()[0],
        token_url: simulator.token_url(BASE_URL).parse().unwrap(),
        client_id: "norce-sync".to_owned(),
        client_secret: "business-central-secret".into(),
        extra_fields: shared::erp::ExtraFields::default(),
        extra_root: None,
        countries: shared::domain::Countries::default(),
    };
    let transport = faults.clone();
    let with_fixed_values = move |fixed| {
        let erp = BusinessCentral::new(settings.clone(), transport.clone()).unwrap();
        Arc::new(erp.with_fixed_values(fixed)) as Arc<dyn Erp>
    };
    let id = simulator.companies()[0];
    Subject::new(
        Box::new(with_fixed_values),
        faults,
        Arc::new(Company {
            simulator,
            id,
            clock,
        }),
    )
}

macro_rules! tests {
    ($($check:ident),+ $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $check() {
                suite::$check(&subject()).await;
            }
        )+
    };
}
suite::for_each_check!(tests);
