//! What is read: records of `customers` and `contacts`. Business Central has no nulls (erp-apis §1.2): what is empty
//! is `""`, the zero GUID, the year 1 or `_x0020_`, and all of them mean that there is nothing.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::fields::addresses;
use crate::{
    domain::{
        Address, Code, EmailKey, ErpDetail, FieldGroup, FieldGroups, OrganisationKey,
        OrganisationNumber, Personal, VatNumber,
    },
    erp::{
        CompanyKey, ErpError, ErpId, ErpImage, ErpRecord, ExtraFields, NaturalKey, PartyKind,
        Resource, Unusable, UnusableRecord,
    },
};

/// Everything of a customer that [`Row`] reads. `balanceDue` is not asked for: it is summed up anew for each read.
const CUSTOMER_FIELDS: &[&str] = &[
    "id",
    "number",
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
    "taxRegistrationNumber",
    "blocked",
    "lastModifiedDateTime",
];
/// Everything of a contact that [`Row`] reads.
const CONTACT_FIELDS: &[&str] = &[
    "id",
    "number",
    "displayName",
    "type",
    "jobTitle",
    "companyNumber",
    "addressLine1",
    "addressLine2",
    "city",
    "state",
    "country",
    "postalCode",
    "phoneNumber",
    "mobilePhoneNumber",
    "email",
    "privacyBlocked",
    "lastModifiedDateTime",
];

/// The `$select` of a resource.
pub(super) const fn selected(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Customer => CUSTOMER_FIELDS,
        Resource::Contact => CONTACT_FIELDS,
    }
}

/// The entity set of a resource.
pub(super) const fn entity_set(resource: Resource) -> &'static str {
    match resource {
        Resource::Customer => "customers",
        Resource::Contact => "contacts",
    }
}

/// The `type` of a kind's records: a contact of an organisation is a person.
pub(super) const fn type_of(kind: &PartyKind) -> &'static str {
    match kind {
        PartyKind::Company => "Company",
        PartyKind::Person | PartyKind::Contact { .. } => "Person",
    }
}

/// The one value of `blocked` that closes a customer altogether; `Ship` and `Invoice` do so in part.
pub(super) const BLOCKED_ALL: &str = "All";

/// A record of either resource as it comes; what one of them lacks is `None`. Personal data: there is no `Debug`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Row {
    #[serde(rename = "@odata.etag")]
    etag: Option<String>,
    id: Option<String>,
    number: Option<String>,
    display_name: Option<String>,
    r#type: Option<String>,
    job_title: Option<String>,
    address_line1: Option<String>,
    address_line2: Option<String>,
    city: Option<String>,
    state: Option<String>,
    country: Option<String>,
    postal_code: Option<String>,
    phone_number: Option<String>,
    mobile_phone_number: Option<String>,
    email: Option<String>,
    tax_registration_number: Option<String>,
    blocked: Option<String>,
    privacy_blocked: Option<bool>,
    company_number: Option<String>,
    last_modified_date_time: Option<String>,
}

/// A record with the fields of the merchant's own extension. Telling these from the others costs time, so that a record
/// is read like this only where there are any.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ExtendedRow {
    #[serde(flatten)]
    row: Row,
    #[serde(flatten)]
    extra: HashMap<String, Value>,
}

impl ExtendedRow {
    /// The fields of the standard page.
    pub(super) const fn row(&self) -> &Row {
        &self.row
    }

    /// The record in neutral terms, with nothing of the extension but the organisation number in the field of this name.
    ///
    /// # Errors
    /// It has no usable id, number or version.
    pub(super) fn into_record(
        self,
        resource: Resource,
        organisation_number: Option<&str>,
    ) -> Result<ErpRecord, ErpError> {
        let number = organisation_number.and_then(|name| self.extra.get(name));
        let number = match number {
            Some(Value::String(text)) => OrganisationNumber::parse(text),
            Some(Value::Number(number)) => OrganisationNumber::parse(&number.to_string()),
            _ => None,
        };
        let mut record = self.row.into_record(resource)?;
        record.image.organisation_number = number;
        Ok(record)
    }

    /// The record in neutral terms, or why it cannot be used.
    pub(super) fn into_usable(
        self,
        resource: Resource,
        names: &ExtraFields,
    ) -> Result<ErpRecord, UnusableRecord> {
        let id = self.row.erp_id(resource);
        let unreadable = |field: &str| UnusableRecord {
            id: id.clone(),
            reason: Unusable::Unreadable(format!("its field `{field}` has an unexpected type")),
        };
        let text = |field: &String| match self.extra.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Personal::parse(text)),
            Some(Value::Number(number)) => Ok(Personal::parse(number.to_string())),
            Some(_) => Err(unreadable(field)),
        };
        let price_list = names.price_list.as_ref().map(text).transpose()?.flatten();
        let number = names.organisation_number.as_ref().map(text).transpose()?;
        let gln = names.gln.as_ref().map(text).transpose()?;
        let mut flags = Vec::with_capacity(names.flags.len());
        for (code, field) in &names.flags {
            match self.extra.get(field) {
                Some(Value::Bool(set)) => flags.push((code.clone(), *set)),
                _ => return Err(unreadable(field)),
            }
        }
        let mut additional_info = Vec::with_capacity(names.additional_info.len());
        for (code, field) in &names.additional_info {
            additional_info.push((code.clone(), text(field)?));
        }
        let mut record = self.row.into_usable(resource)?;
        let image = &mut record.image;
        image.price_lists = price_list
            .map(|code| vec![code.expose().to_owned()])
            .unwrap_or_default();
        image.organisation_number = number
            .flatten()
            .and_then(|number| OrganisationNumber::parse(number.expose()));
        image.gln = gln.map_or(ErpDetail::NoField, ErpDetail::Field);
        image.flags = flags;
        image.additional_info = additional_info;
        Ok(record)
    }
}

/// What is read of every record of a listing: what it is, and what it can be found by in Norce.
const LISTED_CUSTOMER: &[&str] = &[
    "id",
    "number",
    "type",
    "email",
    // A number without letters is one of the address's country.
    "country",
    "taxRegistrationNumber",
    "blocked",
    "lastModifiedDateTime",
];
const LISTED_CONTACT: &[&str] = &[
    "id",
    "number",
    "type",
    "email",
    "companyNumber",
    "privacyBlocked",
    "lastModifiedDateTime",
];
const ADDRESS: &[&str] = &[
    "addressLine1",
    "addressLine2",
    "city",
    "state",
    "postalCode",
];

/// The `$select` of a listing that has to read these groups of fields, the merchant's own aside.
pub(super) fn listed(resource: Resource, groups: FieldGroups) -> Vec<&'static str> {
    let mut fields = match resource {
        Resource::Customer => LISTED_CUSTOMER,
        Resource::Contact => LISTED_CONTACT,
    }
    .to_vec();
    if groups.has(FieldGroup::Names) {
        fields.push("displayName");
    }
    if groups.has(FieldGroup::ContactDetails) {
        fields.push("phoneNumber");
        if resource == Resource::Contact {
            fields.push("mobilePhoneNumber");
        }
    }
    if groups.has(FieldGroup::InvoiceAddress) {
        fields.extend(ADDRESS);
        if resource == Resource::Contact {
            fields.push("country");
        }
    }
    fields
}

impl Row {
    /// Its id, if it has a usable one.
    pub(super) fn erp_id(&self, resource: Resource) -> Option<ErpId> {
        let id = self.id.as_deref()?;
        let id = Uuid::parse_str(id).ok().filter(|id| !id.is_nil())?;
        Some(ErpId {
            resource,
            id: id.to_string(),
        })
    }

    /// The record in neutral terms, or why it cannot be used.
    pub(super) fn into_usable(self, resource: Resource) -> Result<ErpRecord, UnusableRecord> {
        let number = self.number.as_deref().map(str::trim);
        if number == Some("") {
            return Err(UnusableRecord {
                id: self.erp_id(resource),
                reason: Unusable::NoCode,
            });
        }
        let id = self.erp_id(resource);
        self.into_record(resource).map_err(|error| UnusableRecord {
            id,
            reason: Unusable::Unreadable(error.to_string()),
        })
    }

    /// The number of the record, for a look-up by numbers.
    pub(super) fn number(&self) -> Option<Code> {
        self.number.as_deref()?.parse().ok()
    }

    /// The name, for a look-up by names.
    pub(super) fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// Whether the record is of this type.
    pub(super) fn is_a(&self, type_name: &str) -> bool {
        self.r#type.as_deref() == Some(type_name)
    }

    /// Its id as the server writes it.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Its e-mail addresses as they stand in the field.
    pub(super) fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Its VAT number as it stands in the field.
    pub(super) fn tax_registration_number(&self) -> Option<&str> {
        self.tax_registration_number.as_deref()
    }

    /// Whether it holds this key.
    pub(super) fn has_key(&self, key: &NaturalKey) -> bool {
        match key {
            NaturalKey::Email(email) => self.has_email(email),
            NaturalKey::Organisation(number) => self.has_number(number),
        }
    }

    /// Whether one of its e-mail addresses is this one.
    pub(super) fn has_email(&self, key: &EmailKey) -> bool {
        addresses(self.email.as_deref().unwrap_or_default())
            .any(|address| EmailKey::parse(address).as_ref() == Some(key))
    }

    /// Whether its VAT number is this organisation's.
    pub(super) fn has_number(&self, number: &OrganisationKey) -> bool {
        self.number_key().as_ref() == Some(number)
    }

    /// The key of its VAT number.
    pub(super) fn number_key(&self) -> Option<OrganisationKey> {
        let country = self.country.as_deref();
        let country = country.and_then(|country| country.parse().ok());
        self.vat_number()?.key(country)
    }

    fn vat_number(&self) -> Option<VatNumber> {
        VatNumber::parse(self.tax_registration_number.as_deref()?)
    }

    /// The record in neutral terms.
    pub(super) fn into_record(self, resource: Resource) -> Result<ErpRecord, ErpError> {
        let lacks =
            |what: &str| ErpError::Unreadable(format!("a {resource} without a usable {what}"));
        let organisation = self.is_a(type_of(&PartyKind::Company));
        let id = self.erp_id(resource).ok_or_else(|| lacks("`id`"))?;
        let code = self
            .number
            .as_deref()
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| lacks("`number`"))?;
        let vat_number = self.vat_number();
        let address = Address {
            care_of: None,
            line1: personal(self.address_line1),
            line2: personal(self.address_line2),
            postal_code: personal(self.postal_code),
            city: personal(self.city),
            region: personal(self.state),
            country: self.country.and_then(|country| country.parse().ok()),
        };
        Ok(ErpRecord {
            organisation,
            id,
            code,
            version: self
                .etag
                .filter(|etag| !etag.is_empty())
                .ok_or_else(|| lacks("`@odata.etag`"))?,
            modified: self
                .last_modified_date_time
                .and_then(|text| text.parse::<DateTime<Utc>>().ok())
                .filter(|modified| modified.year() > 1),
            company: self
                .company_number
                .filter(|number| !number.is_empty())
                .map(CompanyKey),
            blocked: self.privacy_blocked == Some(true)
                || self.blocked.as_deref() == Some(BLOCKED_ALL),
            image: ErpImage {
                name: personal(self.display_name),
                email: personal(self.email),
                phone: personal(self.phone_number),
                mobile: personal(self.mobile_phone_number),
                title: personal(self.job_title),
                vat_number,
                organisation_number: None,
                gln: ErpDetail::NoField,
                delivery_addresses: Vec::new(),
                price_lists: Vec::new(),
                flags: Vec::new(),
                additional_info: Vec::new(),
                address: (!address.is_empty()).then_some(address),
            },
        })
    }
}

fn personal(text: Option<String>) -> Option<Personal> {
    text.and_then(Personal::parse)
}

/// A row of `customers({id})/contactsInformation`: a contact that stands behind a customer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContactInformation {
    contact_number: Option<String>,
    contact_type: Option<String>,
}

impl ContactInformation {
    /// What is asked for.
    pub(super) const FIELDS: &'static [&'static str] = &["contactNumber", "contactType"];

    /// Whether it is this organisation's contact.
    pub(super) fn is_company(&self, number: &str) -> bool {
        self.contact_type.as_deref() == Some("Company")
            && self.contact_number.as_deref() == Some(number)
    }

    /// The number of the contact, if it is an organisation's.
    pub(super) fn into_company_number(self) -> Option<String> {
        self.contact_number
            .filter(|number| !number.is_empty() && self.contact_type.as_deref() == Some("Company"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(resource: Resource, row: serde_json::Value) -> Result<ErpRecord, ErpError> {
        serde_json::from_value::<Row>(row)
            .unwrap()
            .into_record(resource)
    }

    const ID: &str = "5d115c9c-44e3-ea11-bb43-000d3a2feca1";

    #[test]
    fn what_business_central_writes_for_nothing_is_nothing() {
        let row = json!({
            "@odata.etag": "W/\"1\"", "id": ID, "number": "C1", "displayName": "", "type": "Company",
            "addressLine1": "", "addressLine2": " ", "city": null, "state": "", "country": "",
            "postalCode": "", "phoneNumber": "", "email": "", "taxRegistrationNumber": "",
            "blocked": "_x0020_", "lastModifiedDateTime": "0001-01-01T00:00:00Z",
            "currencyId": "00000000-0000-0000-0000-000000000000", "fieldOfAnExtension": [1],
        });
        let record = record(Resource::Customer, row).unwrap();
        assert_eq!(record.image, ErpImage::default());
        assert_eq!((record.blocked, record.modified), (false, None));
    }

    #[test]
    fn only_a_full_block_is_one() {
        for (blocked, expected) in [
            (" ", false),
            ("_x0020_", false),
            ("Ship", false),
            ("Invoice", false),
            ("All", true),
        ] {
            let row =
                json!({ "@odata.etag": "W/\"1\"", "id": ID, "number": "C1", "blocked": blocked });
            assert_eq!(record(Resource::Customer, row).unwrap().blocked, expected);
        }
        let row =
            json!({ "@odata.etag": "W/\"1\"", "id": ID, "number": "CT1", "privacyBlocked": true });
        assert!(record(Resource::Contact, row).unwrap().blocked);
    }

    #[test]
    fn a_record_that_could_not_be_found_again_is_unreadable() {
        for row in [
            json!({ "@odata.etag": "W/\"1\"", "number": "C1" }),
            json!({ "@odata.etag": "W/\"1\"", "number": "C1", "id": Uuid::nil() }),
            json!({ "@odata.etag": "W/\"1\"", "number": "", "id": ID }),
            json!({ "number": "C1", "id": ID }),
        ] {
            let error = record(Resource::Customer, row).unwrap_err();
            assert!(matches!(error, ErpError::Unreadable(_)), "{error}");
        }
    }
}
