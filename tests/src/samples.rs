//! Customers, an address, orders and set-ups of the simulators, for tests to which their details do not matter.

#![allow(
    clippy::expect_used,
    reason = "for tests: what cannot be is to fail loudly"
)]

use std::{fmt::Display, sync::Arc, time::Duration};

use shared::{
    domain::{Countries, Personal, ShopFields},
    erp::{ExtraFields, Party, PartyKind, business_central::BusinessCentralSettings},
};
use uuid::Uuid;

use crate::{
    business_central_simulator::BusinessCentralSimulator,
    norce_simulator::{
        self, EventPost, JobSettings, NewAddress, NewCustomer, NewOrder, NorceSimulator,
        OauthClient,
    },
};

/// The adapter's settings for the first company of a simulated Business Central at this address.
pub fn business_central(
    simulator: &BusinessCentralSimulator,
    base_url: &str,
) -> BusinessCentralSettings {
    let url = |text: String| text.parse().expect("the simulator's addresses are URLs");
    BusinessCentralSettings {
        api_root: url(simulator.api_root(base_url)),
        company: simulator.companies()[0],
        token_url: url(simulator.token_url(base_url)),
        client_id: "norce-sync".to_owned(),
        client_secret: "business-central-secret".into(),
        extra_fields: ExtraFields::default(),
        extra_root: None,
        countries: Countries::default(),
    }
}

/// A simulated Norce without limits, whose jobs end at once and whose events reach nobody. It has the application 1, Sweden,
/// this system account and this OAuth client.
pub fn unlimited_norce(account: i64, client_id: &str, client_secret: &str) -> NorceSimulator {
    let nobody = |_: EventPost| async { Err::<u16, String>("nobody listens".to_owned()) };
    let settings = norce_simulator::Settings {
        identity_rate_limit: None,
        jobs: JobSettings {
            delay: Duration::ZERO,
            ..JobSettings::default()
        },
        ..norce_simulator::Settings::default()
    };
    let norce = NorceSimulator::new(settings, Arc::new(nobody));
    norce.add_application(1, Uuid::from_u128(1), "shop");
    norce.add_country(752, "SE");
    norce.add_system_account(account);
    norce.add_oauth_client(OauthClient {
        id: client_id.to_owned(),
        secret: client_secret.to_owned(),
        scopes: vec!["prod".to_owned()],
    });
    norce
}

/// A middle name with which a name is longer than any that the ERP takes.
pub fn endless_middle_name() -> Option<String> {
    Some("x".repeat(101))
}

/// Anna Ek, without a telephone number or an address.
pub fn anna() -> NewCustomer {
    NewCustomer {
        email: Some("anna@example.com".to_owned()),
        first_name: Some("Anna".to_owned()),
        last_name: Some("Ek".to_owned()),
        ..NewCustomer::default()
    }
}

/// One of several customers, told apart by the number. It has neither a telephone number nor an address.
pub fn person(number: impl Display) -> NewCustomer {
    NewCustomer {
        email: Some(format!("anna.{number}@example.com")),
        last_name: Some(format!("Ek {number}")),
        ..anna()
    }
}

/// The same with a telephone number and an address.
pub fn resident(number: impl Display) -> NewCustomer {
    NewCustomer {
        phone: Some("08-123 45 67".to_owned()),
        invoice_address: Some(address("Storgatan 1")),
        ..person(number)
    }
}

/// An address in Stockholm.
pub fn address(street: &str) -> NewAddress {
    NewAddress {
        line1: Some(street.to_owned()),
        zip_code: Some("114 55".to_owned()),
        city: Some("Stockholm".to_owned()),
        country_code: Some("SE".to_owned()),
        ..NewAddress::default()
    }
}

/// An order of a customer.
pub fn order_of(customer: i64) -> NewOrder {
    order(Some(customer), None)
}

/// An order of a company, without a contact.
pub fn order_of_company(company: i64) -> NewOrder {
    order(None, Some(company))
}

/// An order of a customer, a company, or a contact of a company.
pub fn order(customer: Option<i64>, company: Option<i64>) -> NewOrder {
    NewOrder {
        application_id: 1,
        customer,
        company,
        items: vec![("P1".to_owned(), 100.0)],
        ..NewOrder::default()
    }
}

/// A customer or company as an adapter of an ERP gets it, with nothing but a name.
///
/// # Panics
/// When the name is empty.
pub fn party(kind: PartyKind, name: &str) -> Party {
    Party {
        kind,
        name: Personal::parse(name).expect("a name"),
        email: None,
        phone: None,
        mobile: None,
        title: None,
        organisation_number: None,
        vat_number: None,
        address: None,
        delivery_addresses: None,
        emptied: ShopFields::new(),
        unread: ShopFields::new(),
        default_country: None,
        gln: None,
    }
}
