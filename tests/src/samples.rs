//! Customers, an address and orders, for tests to which their details do not matter.

#![allow(
    clippy::expect_used,
    reason = "for tests: what cannot be is to fail loudly"
)]

use std::fmt::Display;

use shared::{
    domain::{Personal, ShopFields},
    erp::{Party, PartyKind},
};

use crate::norce_simulator::{NewAddress, NewCustomer, NewOrder};

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
