use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    Entity, Refused,
    company::{Change, Company, Write, number_for},
    fields::{self, BLANK, Changes, Record},
    validation,
};

/// A customer in the ERP: the properties of the API by name (erp-apis §1.2).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are the API's own")]
pub struct CustomerRecord {
    #[serde(rename = "@odata.etag")]
    pub etag: String,
    pub id: Uuid,
    pub number: String,
    pub display_name: String,
    pub r#type: String,
    pub address_line1: String,
    pub address_line2: String,
    pub city: String,
    pub state: String,
    pub country: String,
    pub postal_code: String,
    pub phone_number: String,
    pub email: String,
    pub website: String,
    pub tax_registration_number: String,
    pub salesperson_code: String,
    pub tax_area_id: Uuid,
    pub tax_area_display_name: String,
    pub currency_code: String,
    pub payment_terms_id: Uuid,
    pub shipment_method_id: Uuid,
    pub payment_method_id: Uuid,
    pub blocked: String,
    pub last_modified_date_time: chrono::DateTime<chrono::Utc>,
}

/// Fields that a contact takes from the customer it stands for.
const MIRRORED: &[&str] = &[
    "displayName",
    "type",
    "addressLine1",
    "addressLine2",
    "city",
    "state",
    "country",
    "postalCode",
    "phoneNumber",
    "email",
    "website",
    "taxRegistrationNumber",
];

/// Not a property of the API's customer, but a field of the table that its rules read.
const PRIVACY_BLOCKED: &str = "privacyBlocked";

impl Company {
    pub(super) fn insert_customer(
        &mut self,
        mut changes: Changes,
        write: &Write<'_>,
    ) -> Result<Uuid, Refused> {
        if !changes.has("displayName") {
            return Err(Refused::dialog("A \"displayName\" must be provided."));
        }
        let asked = take_text(&mut changes, "number");
        let mut record = Record::empty(self.customers.fields);
        validation::apply(changes.clone(), &mut record, &self.settings)?;
        self.apply_template(&mut record, &changes, write.author);
        record.set("number", asked.as_str());
        self.check_refusals(Entity::Customers, &record, write)?;
        let number = number_for(
            &asked,
            &self.customers,
            &mut self.settings.customer_numbers,
            write.author,
        )?;
        let id = Uuid::new_v4();
        record.set("id", json!(id));
        record.set("number", number);
        record.touch(self.next_revision(), write.now);
        self.customers.put(record);
        if self.settings.contact_for_new_customer {
            self.insert_contact_of(id, write)?;
        }
        Ok(id)
    }

    pub(super) fn modify_customer(
        &mut self,
        id: Uuid,
        mut changes: Changes,
        write: &Write<'_>,
    ) -> Result<(), Refused> {
        let mut record = self.customers.get(id)?.clone();
        if record.value(PRIVACY_BLOCKED) == true
            && changes.get("blocked").is_some_and(|value| value != "All")
        {
            return Err(Refused::dialog(
                "You cannot change the Blocked field to anything other than All because the customer is blocked for privacy reasons.",
            ));
        }
        let number = take_text(&mut changes, "number");
        validation::apply(changes, &mut record, &self.settings)?;
        // A number in a PATCH renames the customer; nothing warns (erp-apis §1.2).
        if !number.is_empty() && number != record.text("number") {
            self.customers.check_free(&number, write.author)?;
            record.set("number", number);
        }
        self.check_refusals(Entity::Customers, &record, write)?;
        record.touch(self.next_revision(), write.now);
        self.customers.put(record);
        self.update_contact_of(id, write)
    }

    /// The customer's contact stays; only the relation is removed.
    pub(super) fn delete_customer(&mut self, id: Uuid) -> Result<(), Refused> {
        if self.quotes.values().any(|customer| *customer == id) {
            return Err(Refused::dialog(
                "You cannot delete Customer because there is at least one outstanding Sales Quote for this customer.",
            ));
        }
        self.customers.remove(id)?;
        if let Some(contact) = self.relations.remove(&id)
            && let Ok(contact) = self.contacts.get(contact)
        {
            let mut contact = contact.clone();
            contact.set("contactBusinessRelation", "None");
            self.contacts.put(contact);
        }
        Ok(())
    }

    /// Sets "Privacy Blocked", which also blocks for everything.
    pub(super) fn block_for_privacy(&mut self, id: Uuid, write: &Write<'_>) -> Result<(), Refused> {
        let mut record = self.customers.get(id)?.clone();
        record.set(PRIVACY_BLOCKED, true);
        record.set("blocked", "All");
        record.touch(self.next_revision(), write.now);
        self.customers.put(record);
        self.changed.push((id, Change::Updated));
        Ok(())
    }

    fn insert_contact_of(&mut self, customer: Uuid, write: &Write<'_>) -> Result<(), Refused> {
        let mut contact = Record::empty(fields::CONTACT);
        let number = number_for(
            "",
            &self.contacts,
            &mut self.settings.contact_numbers,
            write.author,
        )?;
        let id = Uuid::new_v4();
        contact.set("id", json!(id));
        contact.set("number", number);
        contact.set("contactBusinessRelation", "Customer");
        self.relations.insert(customer, id);
        self.contacts.put(contact);
        self.update_contact_of(customer, write)
    }

    fn update_contact_of(&mut self, customer: Uuid, write: &Write<'_>) -> Result<(), Refused> {
        let Some(&contact) = self.relations.get(&customer) else {
            return Ok(());
        };
        let mut contact = self.contacts.get(contact)?.clone();
        let customer = self.customers.get(customer)?;
        for &name in MIRRORED {
            contact.set(name, customer.value(name).clone());
        }
        contact.set("searchName", customer.text("displayName").to_uppercase());
        self.put_contact(contact, write);
        Ok(())
    }
}

pub(super) fn take_text(changes: &mut Changes, name: &str) -> String {
    changes
        .remove(name)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl CustomerRecord {
    /// Whether the customer is open for business.
    pub fn is_open(&self) -> bool {
        self.blocked == BLANK
    }
}
