use std::collections::BTreeMap;

use super::{Entity, company::Company, fields::Record};

/// Records of one company with the same value in a field that identifies a person or organisation. Business Central allows it, so
/// what must not happen is for the caller to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// Customers or contacts.
    pub entity: Entity,
    /// The property.
    pub field: &'static str,
    /// Its value, without regard to case.
    pub value: String,
    /// The numbers of the records.
    pub numbers: Vec<String>,
}

const FIELDS: &[&str] = &["displayName", "email", "taxRegistrationNumber"];

/// Among customers, and among the persons of the same company. The contact that stands for a customer is no duplicate
/// of it, and a person may be a contact of two companies.
pub(super) fn find(company: &Company) -> Vec<Duplicate> {
    let persons = company.contacts.iter().filter(|contact| {
        contact.text("type") == "Person" && !contact.text("companyNumber").is_empty()
    });
    let mut duplicates = among(Entity::Customers, company.customers.iter());
    duplicates.extend(among(Entity::Contacts, persons));
    duplicates
}

fn among<'a>(entity: Entity, records: impl Iterator<Item = &'a Record>) -> Vec<Duplicate> {
    let mut groups: BTreeMap<(&'static str, &str, String), Vec<String>> = BTreeMap::new();
    for record in records {
        for &field in FIELDS {
            let value = record.text(field).trim().to_lowercase();
            if !value.is_empty() {
                groups
                    .entry((field, record.text("companyNumber"), value))
                    .or_default()
                    .push(record.text("number").to_owned());
            }
        }
    }
    groups
        .into_iter()
        .filter(|(_, numbers)| numbers.len() > 1)
        .map(|((field, _, value), numbers)| Duplicate {
            entity,
            field,
            value,
            numbers,
        })
        .collect()
}
