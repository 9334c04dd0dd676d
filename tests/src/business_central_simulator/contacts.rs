use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Entity, Refused,
    company::{Company, Write, number_for},
    customers::take_text,
    fields::{self, Changes, Record},
    validation,
};

/// A contact in the ERP: the properties of the API by name (erp-apis §1.3).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct ContactRecord {
    #[serde(rename = "@odata.etag")]
    pub etag: String,
    pub id: Uuid,
    pub number: String,
    pub r#type: String,
    pub display_name: String,
    pub job_title: String,
    pub company_number: String,
    pub company_name: String,
    pub contact_business_relation: String,
    pub address_line1: String,
    pub address_line2: String,
    pub city: String,
    pub state: String,
    pub country: String,
    pub postal_code: String,
    pub phone_number: String,
    pub mobile_phone_number: String,
    pub email: String,
    pub website: String,
    pub privacy_blocked: bool,
    pub tax_registration_number: String,
    pub last_modified_date_time: chrono::DateTime<chrono::Utc>,
}

impl Company {
    pub(super) fn insert_contact(
        &mut self,
        mut changes: Changes,
        write: &Write<'_>,
    ) -> Result<Uuid, Refused> {
        if !changes.has("displayName") {
            return Err(Refused::dialog("A \"displayName\" must be provided."));
        }
        let asked = take_text(&mut changes, "number");
        let mut record = Record::empty(fields::CONTACT);
        self.apply_to_contact(changes, &mut record)?;
        record.set("number", asked.as_str());
        self.check_refusals(Entity::Contacts, &record, write)?;
        let number = number_for(
            &asked,
            &self.contacts,
            &mut self.settings.contact_numbers,
            write.author,
        )?;
        let id = Uuid::new_v4();
        record.set("id", json!(id));
        record.set("number", number);
        self.put_contact(record, write);
        Ok(id)
    }

    pub(super) fn modify_contact(
        &mut self,
        id: Uuid,
        mut changes: Changes,
        write: &Write<'_>,
    ) -> Result<(), Refused> {
        let mut record = self.contacts.get(id)?.clone();
        let number = take_text(&mut changes, "number");
        self.apply_to_contact(changes, &mut record)?;
        if !number.is_empty() && number != record.text("number") {
            self.contacts.check_free(&number, write.author)?;
            record.set("number", number);
        }
        self.check_refusals(Entity::Contacts, &record, write)?;
        self.put_contact(record, write);
        Ok(())
    }

    /// The persons of a company are deleted with it (`Contact.Table.al`, OnDelete).
    pub(super) fn delete_contact(&mut self, id: Uuid) -> Result<(), Refused> {
        let contact = self.contacts.remove(id)?;
        self.relations.retain(|_, related| *related != id);
        if contact.text("type") != "Company" {
            return Ok(());
        }
        let number = contact.text("number");
        let persons: Vec<Uuid> = self
            .contacts
            .iter()
            .filter(|it| it.text("type") == "Person" && it.text("companyNumber") == number)
            .map(Record::id)
            .collect();
        for person in persons {
            self.delete_contact(person)?;
        }
        Ok(())
    }

    pub(super) fn set_business_relation(
        &mut self,
        id: Uuid,
        relation: &str,
    ) -> Result<(), Refused> {
        let mut contact = self.contacts.get(id)?.clone();
        contact.set("contactBusinessRelation", relation);
        self.contacts.put(contact);
        Ok(())
    }

    /// Stores a contact and keeps what depends on it: a company is its own company, and its persons follow its number,
    /// its name and the values that they share with it.
    pub(super) fn put_contact(&mut self, mut contact: Record, write: &Write<'_>) {
        let before = self.contacts.get(contact.id()).ok().cloned();
        let is_company = contact.text("type") == "Company";
        let (number, name) = (
            contact.text("number").to_owned(),
            contact.text("displayName").to_owned(),
        );
        if is_company {
            contact.set("companyNumber", number.as_str());
            contact.set("companyName", name.as_str());
        }
        contact.touch(self.next_revision(), write.now);
        self.contacts.put(contact.clone());
        if let (true, Some(before)) = (is_company, before) {
            self.move_persons(before.text("number"), &number, &name, write);
            self.pass_on(&before, &contact, write);
        }
    }

    /// The persons of a company take over what changes there and was the same with them (`Contact.DoModify`).
    fn pass_on(&mut self, before: &Record, company: &Record, write: &Write<'_>) {
        let number = company.text("number");
        let persons: Vec<Record> = self
            .contacts
            .iter()
            .filter(|contact| {
                contact.text("type") == "Person" && contact.text("companyNumber") == number
            })
            .cloned()
            .collect();
        for mut person in persons {
            let mut changed = false;
            for fields in [
                &ADDRESS[..],
                &["country"],
                &["phoneNumber"],
                &["mobilePhoneNumber"],
                &["email"],
            ] {
                let same = |one: &Record, other: &Record| {
                    fields.iter().all(|name| one.text(name) == other.text(name))
                };
                if same(&person, before) && !same(&person, company) {
                    for name in fields {
                        person.set(name, company.text(name));
                    }
                    changed = true;
                }
            }
            if changed {
                person.touch(self.next_revision(), write.now);
                self.contacts.put(person);
            }
        }
    }

    /// `contactsInformation` of a customer: all contacts of the company contact that stands for the customer, that one
    /// included, or the person contact alone. The order is that of the contacts' ids, so the first need not be the
    /// company (BCApps, table 5049 "Contact Information Buffer").
    pub(super) fn contacts_information(&self, customer: Uuid) -> Result<Vec<Record>, Refused> {
        self.customers.get(customer)?;
        let Some(related) = self
            .relations
            .get(&customer)
            .and_then(|&contact| self.contacts.get(contact).ok())
        else {
            return Ok(Vec::new());
        };
        let mut contacts: Vec<&Record> = self
            .contacts
            .iter()
            .filter(|contact| contact.text("companyNumber") == related.text("number"))
            .collect();
        if contacts.is_empty() {
            contacts.push(related);
        }
        contacts.sort_by_key(|contact| contact.id());
        let information = contacts.into_iter().map(|contact| {
            let mut information = Record::empty(fields::CONTACT_INFORMATION);
            information.revision = contact.revision;
            information.set("contactId", contact.value("id").clone());
            information.set("contactNumber", contact.value("number").clone());
            information.set("contactName", contact.value("displayName").clone());
            information.set("contactType", contact.value("type").clone());
            information.set("relatedId", json!(customer));
            information
        });
        Ok(information.collect())
    }

    fn apply_to_contact(&self, mut changes: Changes, record: &mut Record) -> Result<(), Refused> {
        if let Some(name) = changes.text("displayName")
            && !changes.has("searchName")
        {
            let search_name = name.to_uppercase();
            changes.set("searchName", json!(search_name));
        }
        // The fields before the company's number are validated before it, the others after it.
        let mut ordinary = Changes::default();
        for (name, value) in changes {
            if name == "companyNumber" {
                validation::apply(std::mem::take(&mut ordinary), record, &self.settings)?;
                self.validate_company(value.as_str().unwrap_or_default(), record)?;
            } else {
                ordinary.set(name, value);
            }
        }
        validation::apply(ordinary, record, &self.settings)
    }

    /// "Company No.": the person inherits from its new company.
    fn validate_company(&self, number: &str, record: &mut Record) -> Result<(), Refused> {
        if record.text("type") == "Company" {
            if number == record.text("companyNumber") {
                return Ok(());
            }
            return Err(Refused::dialog(
                "Type must be equal to 'Person' to set Company No.",
            ));
        }
        if number.is_empty() {
            record.set("companyNumber", "");
            record.set("companyName", "");
            return Ok(());
        }
        let company = self
            .contacts
            .with_number(number)
            .filter(|company| company.text("type") == "Company")
            .ok_or_else(|| Refused::invalid_relation("Company No.", number))?;
        let former = self.contacts.with_number(record.text("companyNumber"));
        inherit(record, former, company);
        record.set("companyNumber", number);
        record.set("companyName", company.text("displayName"));
        Ok(())
    }

    fn move_persons(&mut self, before: &str, number: &str, name: &str, write: &Write<'_>) {
        let persons: Vec<Record> = self
            .contacts
            .iter()
            .filter(|contact| {
                contact.text("type") == "Person"
                    && contact.text("companyNumber") == before
                    && (before != number || contact.text("companyName") != name)
            })
            .cloned()
            .collect();
        for mut person in persons {
            person.set("companyNumber", number);
            person.set("companyName", name);
            person.touch(self.next_revision(), write.now);
            self.contacts.put(person);
        }
    }
}

/// The address of a contact, which passes from a company to its people as one.
const ADDRESS: [&str; 5] = [
    "addressLine1",
    "addressLine2",
    "postalCode",
    "city",
    "state",
];

/// What a person inherits from its new company, with the switches of Marketing Setup on, as they are by default (BCApps, table
/// Contact, `InheritCompanyToPersonData`).
fn inherit(person: &mut Record, former: Option<&Record>, company: &Record) {
    const PLACE: [&str; 4] = ["addressLine1", "addressLine2", "postalCode", "city"];
    const COMMUNICATION: [&str; 4] = ["phoneNumber", "mobilePhoneNumber", "email", "website"];
    let is_stale = |person: &Record, fields: &[&str]| {
        let is_empty = fields.iter().all(|name| person.text(name).is_empty());
        let is_of = |former: &Record| {
            let mut fields = fields.iter();
            fields.all(|name| person.text(name) == former.text(name))
        };
        is_empty || former.is_some_and(is_of)
    };
    person.set("country", company.text("country"));
    if is_stale(person, &PLACE) {
        for name in PLACE.into_iter().chain(["state"]) {
            person.set(name, company.text(name));
        }
    }
    for name in COMMUNICATION {
        if is_stale(person, &[name]) {
            person.set(name, company.text(name));
        }
    }
}
