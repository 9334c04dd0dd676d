//! The contract of every ERP adapter, through the port alone, against the simulated Business Central. The target `odoo`
//! runs the same suite against a real Odoo, and `http_erp` against a facade over a real Tryton. An adapter is done when the suite passes.

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
        http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    },
    http::Transport,
};
use tests::{
    business_central_simulator::{
        BusinessCentralSimulator, Clock, CompanySettings, Settings, TaxNumberFilter,
    },
    facade::{Facade, SimulatedCompany},
    in_process::InProcess,
    samples,
};
use uuid::Uuid;

use suite::{Faults, Register, Subject};

const BASE_URL: &str = "https://bc.example";
/// The key of the facade.
const KEY: &str = "facade-key";
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

/// The simulated register, and an adapter over this transport to it.
struct Simulated {
    company: Arc<Company>,
    settings: BusinessCentralSettings,
    transport: Arc<dyn Transport>,
}

fn simulated() -> Simulated {
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
    let settings = samples::business_central(&simulator, BASE_URL);
    let id = simulator.companies()[0];
    Simulated {
        company: Arc::new(Company {
            simulator,
            id,
            clock,
        }),
        settings,
        transport,
    }
}

fn subject() -> Subject {
    let Simulated {
        company,
        settings,
        transport,
    } = simulated();
    let faults = Arc::new(Faults::around(transport, is_write));
    let transport = faults.clone();
    let with_fixed_values = move |fixed| {
        let erp = BusinessCentral::new(settings.clone(), transport.clone()).unwrap();
        Arc::new(erp.with_fixed_values(fixed)) as Arc<dyn Erp>
    };
    Subject::new(Box::new(with_fixed_values), faults, company)
}

/// A look-up is a POST as well.
fn is_write_of_the_contract(request: &Request<Bytes>) -> bool {
    is_write(request) && !request.uri().path().ends_with("/search")
}

/// The same register behind a facade of the HTTP contract, which faults are in front of.
fn behind_a_facade() -> Subject {
    let Simulated {
        company,
        settings,
        transport,
    } = simulated();
    let erp = Arc::new(BusinessCentral::new(settings, transport).unwrap());
    let removal = SimulatedCompany {
        simulator: company.simulator.clone(),
        company: company.id,
    };
    let facade = Facade::new(erp, KEY).with_removal(removal);
    let facade = InProcess::new(facade.router());
    let faults = Arc::new(Faults::around(Arc::new(facade), is_write_of_the_contract));
    let settings = HttpErpSettings {
        base_url: "https://erp.example".parse().unwrap(),
        company: None,
        credentials: HttpErpCredentials::Key(KEY.into()),
        home_country: None,
    };
    let erp = HttpErp::new(settings, faults.clone()).unwrap();
    Subject::without_fixed_values(Arc::new(erp), faults, company)
}

macro_rules! tests {
    ($($check:ident),+ $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $check() {
                suite::$check(&subject()).await;
            }
        )+

        /// The same behind a facade of the HTTP contract.
        mod behind_http {
            use super::*;

            $(
                #[tokio::test(start_paused = true)]
                async fn $check() {
                    suite::$check(&behind_a_facade()).await;
                }
            )+
        }
    };
}
suite::for_each_check!(tests);
