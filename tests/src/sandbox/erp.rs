//! The ERP of the sandbox, of any kind: the settings that the functions need for it, what people do in it, its
//! faults, and its own account of its records. Nothing here uses the integration's adapter.

mod business_central;
mod odoo;
mod tryton;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;

use self::{business_central::BusinessCentral, odoo::RealOdoo, tryton::RealTryton};
use super::SandboxError;
use crate::front::CarriedOut;

/// Which ERP the day is played with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ErpKind {
    /// A simulated Microsoft Dynamics 365 Business Central
    #[default]
    BusinessCentral,
    /// A real Odoo 19, which is fetched the first time
    Odoo,
    /// A real Tryton 8.2 behind a facade of the HTTP contract, which is fetched the first time
    Http,
}

impl ErpKind {
    /// The title of the step that opens both worlds.
    pub(super) fn opening(self) -> &'static str {
        match self {
            Self::BusinessCentral => "Starting the simulators",
            Self::Odoo => "Starting Norce's simulator and a real Odoo 19",
            Self::Http => "Starting Norce's simulator and a real Tryton 8.2 behind a facade",
        }
    }

    /// Brings one up, without customers.
    pub(super) async fn open(self) -> Result<Arc<dyn Erp>, SandboxError> {
        Ok(match self {
            Self::BusinessCentral => Arc::new(BusinessCentral::open(false).await?),
            Self::Odoo => Arc::new(RealOdoo::open().await?),
            Self::Http => Arc::new(RealTryton::open().await?),
        })
    }
}

/// How the deployed functions reach the ERP, as the template's parameters name it.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    /// `ErpKind`.
    pub(super) kind: &'static str,
    /// `ErpBaseUrl`.
    pub(super) base_url: String,
    /// `ErpTokenUrl`; empty where there is none.
    pub(super) token_url: String,
    /// The content of the secret of `ErpSecretArn`.
    pub(super) secret: Value,
    /// `ErpCompany`, for applications that have none of their own; empty where none is needed.
    pub(super) company: String,
    /// `ErpExtraBaseUrl`; empty where there is none.
    pub(super) extra_base_url: String,
    /// `ErpExtraFields`.
    pub(super) extra_fields: &'static str,
    /// `HomeCountry`.
    pub(super) home_country: &'static str,
    /// `ErpCountries`; empty where the ERP's codes of countries are the ISO codes.
    pub(super) countries: &'static str,
}

/// The fields of a record that every ERP has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) street: String,
    pub(super) postal_code: String,
    pub(super) city: String,
    /// The ERP's own code of the country.
    pub(super) country: String,
}

/// What a record stands for. It is also a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A person of their own.
    Customer,
    /// An organisation.
    Company,
    /// A person of an organisation.
    Contact,
}

/// A record of the ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The ERP's own id.
    pub(super) id: String,
    /// The number that people know it by.
    pub(super) code: String,
    /// Changes with every write.
    pub(super) version: String,
    pub(super) role: Role,
    /// The organisation of a contact, by the ERP's own name for it.
    pub(super) company: String,
    /// The VAT number of an organisation, or its organisation number where the ERP has only that.
    pub(super) vat_number: String,
    pub(super) details: Details,
}

/// A person who is put into the ERP by hand.
#[derive(Debug, Clone)]
pub(super) struct ByHand {
    /// Where the person at the ERP chooses it.
    pub(super) code: Option<String>,
    pub(super) details: Details,
}

/// A write that the ERP has carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// Whether the record came to life with it.
    pub(super) creates: bool,
    /// Whether it is a contact's.
    pub(super) of_contact: bool,
    /// The record, where the ERP tells of a write which one it was.
    pub(super) record: Option<String>,
}

impl Write {
    /// The writes that a front has seen; `contacts` has the ids of all contacts.
    fn of(carried_out: Vec<CarriedOut>, contacts: &BTreeSet<String>) -> Vec<Self> {
        let of_each = |write: CarriedOut| {
            let creates = write.creates;
            write.ids.into_iter().map(move |id| Self {
                creates,
                of_contact: contacts.contains(&id),
                record: Some(id),
            })
        };
        carried_out.into_iter().flat_map(of_each).collect()
    }
}

/// Two records that seem to be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Duplicate {
    pub(super) role: Role,
    /// What they share.
    pub(super) what: &'static str,
    /// Their codes.
    pub(super) codes: Vec<String>,
}

/// All records of a company of the ERP.
#[derive(Debug, Clone, Default)]
pub(super) struct Register(pub(super) Vec<Record>);

impl Register {
    /// The records in this role.
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(move |record| record.role == role)
    }

    /// The records with this code.
    pub(super) fn with_code(&self, code: &str) -> Vec<&Record> {
        let records = self.0.iter();
        records.filter(|record| record.code == code).collect()
    }

    /// The customer or company with this code, where there is exactly one.
    pub(super) fn customer(&self, code: Option<&str>) -> Option<&Record> {
        let mut found = self.with_code(code?);
        found.retain(|record| record.role != Role::Contact);
        match found.as_slice() {
            [record] => Some(record),
            _ => None,
        }
    }

    /// Records in the same role, and contacts of the same organisation, that share what tells who somebody is. A
    /// person may be a contact of two organisations.
    pub(super) fn duplicates(&self) -> Vec<Duplicate> {
        let mut duplicates = Vec::new();
        for role in [Role::Customer, Role::Company, Role::Contact] {
            let mut groups: BTreeMap<(&'static str, &str, String), Vec<String>> = BTreeMap::new();
            for record in self.of(role) {
                // Some ERPs hand an organisation's number down to its contacts.
                let vat_number = match role {
                    Role::Contact => "",
                    Role::Customer | Role::Company => &record.vat_number,
                };
                for (what, value) in [
                    ("code", &*record.code),
                    ("name", &record.details.name),
                    ("e-mail address", &record.details.email),
                    ("VAT number", vat_number),
                ] {
                    let value = value.trim().to_lowercase();
                    if !value.is_empty() {
                        let group = (what, &*record.company, value);
                        groups.entry(group).or_default().push(record.code.clone());
                    }
                }
            }
            let twice = groups.into_iter().filter(|(_, codes)| codes.len() > 1);
            duplicates.extend(twice.map(|((what, ..), codes)| Duplicate { role, what, codes }));
        }
        duplicates
    }
}

/// An ERP with what the sandbox needs of it.
#[async_trait]
pub(super) trait Erp: Send + Sync {
    /// The settings with which the functions reach it.
    fn remote(&self) -> Remote;

    /// Its companies as the configuration names them: one for a shop with one application, or one for each of two.
    fn companies(&self) -> &[String];

    /// The same ERP for a shop with two applications: a company for each of them, without customers.
    async fn with_two_companies(&self) -> Result<Arc<dyn Erp>, SandboxError>;

    /// All records of a company.
    async fn register(&self, company: &str) -> Result<Register, SandboxError>;

    /// The writes that it has carried out for the functions.
    async fn writes(&self) -> Result<Vec<Write>, SandboxError>;

    /// Whether a contact has an address of its own, and not its organisation's.
    fn contacts_have_addresses(&self) -> bool;

    /// Its own code of a country.
    fn country_code<'a>(&self, iso: &'a str) -> &'a str;

    /// Its number of an organisation of this country, from the digits of its organisation number.
    fn number_of(&self, country: &str, digits: &str) -> String;

    /// Whether it tells the contacts of vendors from those of customers. Where a vendor is what was bought from it, its
    /// contacts are like all others.
    fn has_vendors(&self) -> bool {
        false
    }

    /// A person at the ERP adds a vendor with a contact person. Returns the contact; `None`: this ERP has no vendors.
    async fn add_vendor_contact(
        &self,
        _company: &str,
        _contact: &Details,
    ) -> Result<Option<Record>, SandboxError> {
        Ok(None)
    }

    /// Whether it answers the filters that an earlier version of the functions relies upon, where it has such filters.
    fn answers_any_filter(&self, _answers: bool) {}

    /// A person at the ERP puts persons into it. Returns their codes.
    async fn add(&self, company: &str, people: &[ByHand]) -> Result<Vec<String>, SandboxError>;

    /// A person at the ERP gives a customer another code.
    async fn rename(&self, company: &str, record: &Record, code: &str) -> Result<(), SandboxError>;

    /// A person at the ERP gives a customer a price list; `false`: this ERP is set up without price lists.
    async fn give_price_list(
        &self,
        _company: &str,
        _record: &Record,
        _list: &str,
    ) -> Result<bool, SandboxError> {
        Ok(false)
    }

    /// Sets up a rule of the merchant's own, which refuses customers with this e-mail address. Returns its error.
    async fn refuse(&self, email: &str) -> Result<&'static str, SandboxError>;

    /// Takes those rules away.
    async fn refuse_nothing(&self) -> Result<(), SandboxError>;

    /// What happens to it at noon, for the title of that step.
    fn noon(&self) -> &'static str;

    /// Makes it unavailable.
    async fn begin_outage(&self) -> Result<(), SandboxError>;

    /// Makes it available again.
    async fn end_outage(&self) -> Result<(), SandboxError>;

    /// The next creates of customers are carried out at once and answered after this time.
    fn answer_creates_late(&self, creates: u32, after: Duration);

    /// The address and the login with which a person can open it.
    fn for_people(&self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(code: &str, role: Role, company: &str, email: &str) -> Record {
        Record {
            id: code.to_owned(),
            code: code.to_owned(),
            version: String::new(),
            role,
            company: company.to_owned(),
            vat_number: String::new(),
            details: Details {
                email: email.to_owned(),
                ..Details::default()
            },
        }
    }

    #[test]
    fn only_records_that_could_be_the_same_are_duplicates() {
        let register = Register(vec![
            record("1", Role::Customer, "", "anna@example.com"),
            record("2", Role::Customer, "", "Anna@Example.com"),
            record("3", Role::Company, "", "anna@example.com"),
            record("4", Role::Contact, "3", "bo@example.com"),
            record("5", Role::Contact, "6", "bo@example.com"),
        ]);
        let found = Duplicate {
            role: Role::Customer,
            what: "e-mail address",
            codes: vec!["1".to_owned(), "2".to_owned()],
        };
        assert_eq!(register.duplicates(), [found]);
        assert_eq!(register.customer(Some("4")), None);
        assert!(register.customer(Some("3")).is_some());
    }
}
