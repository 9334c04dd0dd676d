use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Address, AddressDetails, ApplicationId, Code, CountryCode, EntityRef, OrganisationKey,
    OrganisationNumber, Personal, ShopFields, VatNumber,
};

/// A customer as Norce has it, read through Norce Query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The customer.
    pub entity: EntityRef,
    /// The ERP's code, once Norce knows it.
    pub code: Option<Code>,
    /// First name.
    pub first_name: Option<Personal>,
    /// Middle name.
    pub middle_name: Option<Personal>,
    /// Last name.
    pub last_name: Option<Personal>,
    /// Title, such as a role in a company.
    pub title: Option<Personal>,
    /// E-mail address as written.
    pub email: Option<Personal>,
    /// Fixed-line telephone.
    pub phone: Option<Personal>,
    /// Mobile telephone.
    pub mobile: Option<Personal>,
    /// Invoice address.
    pub invoice_address: Option<Address>,
    /// The rest of the invoice address.
    pub invoice_details: AddressDetails,
    /// Delivery addresses, the primary one first.
    pub delivery_addresses: Vec<DeliveryAddress>,
    /// The companies that it is a contact of, active ones only.
    pub companies: Vec<CompanyRelation>,
    /// Its accounts (logins), one per application at most.
    pub accounts: Vec<Account>,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Not inactivated.
    pub active: bool,
    /// When it was stopped (`StoppedDate`, norce-api §9).
    pub stopped: Option<DateTime<Utc>>,
    /// Forgotten (GDPR): P12.
    pub forgotten: bool,
    /// The customer that it was merged into in Norce, which stays in its place.
    pub merged_into: Option<EntityRef>,
    /// Fields that Norce Query refuses to show.
    pub unread: ShopFields,
    /// Norce's own note that it has ordered. `None` may only mean that Norce does not keep it.
    pub last_order: Option<DateTime<Utc>>,
}

impl Customer {
    /// First, middle and last name in one.
    pub fn full_name(&self) -> Option<Personal> {
        let parts = [&self.first_name, &self.middle_name, &self.last_name];
        let parts: Vec<&str> = parts.into_iter().flatten().map(Personal::expose).collect();
        Personal::parse(parts.join(" "))
    }

    /// Whether it is neither inactivated nor stopped.
    pub fn is_active_at(&self, now: DateTime<Utc>) -> bool {
        self.active && self.stopped.is_none_or(|stopped| now < stopped)
    }

    /// The company that it belongs to in the ERP, which knows one only: the primary one, else the oldest.
    pub fn main_company(&self) -> Option<EntityRef> {
        self.companies
            .iter()
            .min_by_key(|relation| (!relation.primary, relation.company.id))
            .map(|relation| relation.company)
    }
}

/// A delivery address, with Norce's id of it, by which it is known again when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAddress {
    /// Norce's id.
    pub id: i64,
    /// The postal parts.
    pub address: Address,
    /// The details beside the postal address.
    #[serde(default, skip_serializing_if = "AddressDetails::is_empty")]
    pub details: AddressDetails,
}

/// A customer's relation to a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyRelation {
    /// The company.
    pub company: EntityRef,
    /// The customer's main company.
    pub primary: bool,
}

/// A customer's account, with which it logs in to a shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The shop.
    pub application: Option<ApplicationId>,
    /// The name to log in with, often the e-mail address.
    pub login_name: Option<Personal>,
    /// Norce's number of its state. The numbers of Query are not documented.
    pub status: Option<i64>,
}

/// A flag of a customer or a company: a yes or no that the merchant gives a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Norce's id of the flag.
    pub id: i64,
    /// Whether the flag is set.
    pub active: bool,
}

/// A company as Norce has it, read through Norce Query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// The company.
    pub entity: EntityRef,
    /// The ERP's code, once Norce knows it.
    pub code: Option<Code>,
    /// Name. A sole trader's is a person's.
    pub name: Option<Personal>,
    /// Organisation number.
    pub organisation_number: Option<OrganisationNumber>,
    /// VAT number.
    pub vat_number: Option<VatNumber>,
    /// E-mail address as written.
    pub email: Option<Personal>,
    /// Telephone.
    pub phone: Option<Personal>,
    /// Invoice address.
    pub invoice_address: Option<Address>,
    /// The rest of the invoice address.
    pub invoice_details: AddressDetails,
    /// Delivery addresses, the primary one first.
    pub delivery_addresses: Vec<DeliveryAddress>,
    /// Its contacts.
    pub contacts: Vec<EntityRef>,
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Fields that Norce Query refuses to show.
    pub unread: ShopFields,
    /// Not inactivated.
    pub active: bool,
}

/// An order as far as it leads to a customer and a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Norce's id.
    pub id: i64,
    /// The shop.
    pub application: ApplicationId,
    /// The buyer.
    pub buyer: OrderParty,
    /// The payer.
    pub payer: OrderParty,
}

/// The buyer or the payer of an order. On one live tenant `BuyerCustomerId` was null on every order (norce-api
/// §10.3), so every part is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderParty {
    /// The customer.
    pub customer: Option<EntityRef>,
    /// The company.
    pub company: Option<EntityRef>,
    /// E-mail address in the order's own copy of the address.
    pub email: Option<Personal>,
    /// Organisation number, where the order has one.
    pub organisation_number: Option<OrganisationNumber>,
    /// VAT number, where the order has one.
    pub vat_number: Option<VatNumber>,
    /// Name of the company, where the order has one: of several companies with the number it says which is meant.
    pub company_name: Option<Personal>,
    /// Country in the order's own copy of the address.
    pub country: Option<CountryCode>,
}

impl OrderParty {
    /// The keys of the organisation that it names.
    pub fn organisation_keys(&self) -> Vec<OrganisationKey> {
        let (number, vat_number) = (self.organisation_number.as_ref(), self.vat_number.as_ref());
        OrganisationKey::all(number, vat_number, self.country)
    }

    /// Its numbers in letters and digits, whatever their country.
    pub fn bare_numbers(&self) -> Vec<&str> {
        let number = self
            .organisation_number
            .iter()
            .map(OrganisationNumber::expose);
        let vat_number = self.vat_number.iter().map(VatNumber::expose);
        number.chain(vat_number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NorceId, Scope};

    fn id(value: i64) -> NorceId {
        NorceId::try_from(value).unwrap()
    }

    fn customer(companies: Vec<CompanyRelation>) -> Customer {
        Customer {
            entity: EntityRef::customer(Scope::Client, id(1)),
            code: None,
            first_name: Personal::parse("Anna"),
            middle_name: None,
            last_name: Personal::parse("Ek"),
            title: None,
            email: None,
            phone: None,
            mobile: None,
            invoice_address: None,
            invoice_details: AddressDetails::default(),
            delivery_addresses: vec![],
            companies,
            accounts: vec![],
            flags: vec![],
            active: true,
            stopped: None,
            forgotten: false,
            unread: ShopFields::new(),
            merged_into: None,
            last_order: None,
        }
    }

    #[test]
    fn the_main_company_is_the_primary_one_else_the_oldest() {
        let company = |value| EntityRef::company(Scope::Client, id(value));
        let relation = |value, primary| CompanyRelation {
            company: company(value),
            primary,
        };
        assert_eq!(customer(vec![]).main_company(), None);
        assert_eq!(
            customer(vec![relation(9, false), relation(4, false)]).main_company(),
            Some(company(4))
        );
        assert_eq!(
            customer(vec![relation(4, false), relation(9, true)]).main_company(),
            Some(company(9))
        );
    }

    #[test]
    fn a_customer_is_active_until_it_is_inactivated_or_the_time_at_which_it_is_stopped() {
        let stop = DateTime::<Utc>::UNIX_EPOCH;
        let second = chrono::TimeDelta::seconds(1);
        let stopped = Customer {
            stopped: Some(stop),
            ..customer(vec![])
        };
        assert!(stopped.is_active_at(stop - second));
        assert!(!stopped.is_active_at(stop));
        assert!(customer(vec![]).is_active_at(stop));
        let inactive = Customer {
            active: false,
            ..customer(vec![])
        };
        assert!(!inactive.is_active_at(stop));
    }

    #[test]
    fn a_full_name_has_no_gaps() {
        assert_eq!(customer(vec![]).full_name(), Personal::parse("Anna Ek"));
    }
}
