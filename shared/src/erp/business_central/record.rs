//! The records of `customers` and `contacts` as they are read. Business Central has no nulls (erp-apis §1.2): an empty
//! value is `""`, the zero GUID, the year 1 or `_x0020_`.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        Address, Code, Countries, ErpDetail, FieldGroup, FieldGroups, OrganisationKey,
        OrganisationNumber, Personal, VatNumber,
    },
    erp::{
        Block, CompanyKey, ErpError, ErpFields, ErpId, ErpRecord, ExtraFields, NaturalKey,
        PartyKind, Resource, Unusable, UnusableRecord, email_field,
    },
};

/// The fields of a customer that [`Row`] reads. `balanceDue` is left out because the server sums it up for each read.
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
/// The fields of a contact that [`Row`] reads.
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

/// The `type` of a party's record: a contact of an organisation is a person.
pub(super) const fn type_of(kind: &PartyKind) -> &'static str {
    match kind {
        PartyKind::Company => "Company",
        PartyKind::Person | PartyKind::Contact { .. } => "Person",
    }
}

/// The value of `blocked` that closes a customer completely; `Ship` and `Invoice` do so in part.
pub(super) const BLOCKED_ALL: &str = "All";
/// The block of a customer for orders, shipments and invoices.
pub(super) const BLOCKED_INVOICE: &str = "Invoice";

/// A record of either resource as the server returns it; fields of the other resource are `None`. It has no `Debug`
/// because it contains personal data.
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

/// A record with the fields of the merchant's own extension. Separating these from the others costs time, so that
/// listings read it only where such fields are configured.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ExtendedRow {
    #[serde(flatten)]
    row: Row,
    #[serde(flatten)]
    extra: HashMap<String, Value>,
}

/// What the merchant's own page has of a record.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ExtraRow {
    id: Option<String>,
    #[serde(flatten)]
    extra: HashMap<String, Value>,
}

impl ExtraRow {
    pub(super) fn id(&self) -> Option<Uuid> {
        guid(self.id.as_deref()?)
    }
}

impl ExtendedRow {
    /// A row of the standard page, with what the merchant's own page has of the record.
    pub(super) fn new(row: Row, extra: ExtraRow) -> Self {
        Self {
            row,
            extra: extra.extra,
        }
    }

    /// The row with what the merchant's own page has of the record.
    pub(super) fn with(self, extra: ExtraRow) -> Self {
        Self::new(self.row, extra)
    }

    /// The fields of the standard page.
    pub(super) const fn row(&self) -> &Row {
        &self.row
    }

    /// The row as a record. Of the extension, only the organisation number is read, from the field of this name.
    ///
    /// # Errors
    /// It has no usable id, number or version.
    pub(super) fn into_record(
        self,
        resource: Resource,
        organisation_number: Option<&str>,
        countries: &Countries,
    ) -> Result<ErpRecord, ErpError> {
        let number = organisation_number.and_then(|name| self.extra.get(name));
        let number = match number {
            Some(Value::String(text)) => OrganisationNumber::parse(text),
            Some(Value::Number(number)) => OrganisationNumber::parse(&number.to_string()),
            _ => None,
        };
        let mut record = self.row.into_record(resource, countries)?;
        record.fields.organisation_number = number;
        Ok(record)
    }

    /// The row as a record, or the reason why it cannot be used.
    pub(super) fn into_usable(
        self,
        resource: Resource,
        names: &ExtraFields,
        countries: &Countries,
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
        let mut record = self.row.into_usable(resource, countries)?;
        let fields = &mut record.fields;
        fields.price_lists = price_list
            .map(|code| vec![code.expose().to_owned()])
            .unwrap_or_default();
        fields.organisation_number = number
            .flatten()
            .and_then(|number| OrganisationNumber::parse(number.expose()));
        fields.gln = gln.map_or(ErpDetail::NoField, ErpDetail::Field);
        fields.flags = flags;
        fields.additional_info = additional_info;
        Ok(record)
    }
}

/// The fields that are read of every record of a listing: its type, and the values by which it can be found in Norce.
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

/// The `$select` of a listing with these groups of fields, without the merchant's own fields.
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
    pub(super) fn erp_id(&self, resource: Resource) -> Option<ErpId> {
        Some(ErpId {
            resource,
            id: self.guid()?.to_string(),
        })
    }

    /// The id, if it is usable.
    pub(super) fn guid(&self) -> Option<Uuid> {
        guid(self.id.as_deref()?)
    }

    /// The row as a record, or the reason why it cannot be used.
    pub(super) fn into_usable(
        self,
        resource: Resource,
        countries: &Countries,
    ) -> Result<ErpRecord, UnusableRecord> {
        let number = self.number.as_deref().map(str::trim);
        if number == Some("") {
            return Err(UnusableRecord {
                id: self.erp_id(resource),
                reason: Unusable::NoCode,
            });
        }
        let id = self.erp_id(resource);
        self.into_record(resource, countries)
            .map_err(|error| UnusableRecord {
                id,
                reason: Unusable::Unreadable(error.to_string()),
            })
    }

    pub(super) fn number(&self) -> Option<Code> {
        self.number.as_deref()?.parse().ok()
    }

    pub(super) fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// Whether it is closed as far as this, or further.
    pub(super) fn is_blocked(&self, block: Block) -> bool {
        let blocked = self.blocked.as_deref();
        self.privacy_blocked == Some(true)
            || blocked == Some(BLOCKED_ALL)
            || block == Block::Invoice && blocked == Some(BLOCKED_INVOICE)
    }

    pub(super) fn is_a(&self, type_name: &str) -> bool {
        self.r#type.as_deref() == Some(type_name)
    }

    /// The id as the server writes it.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The text of the field, which may hold several addresses.
    pub(super) fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    pub(super) fn tax_registration_number(&self) -> Option<&str> {
        self.tax_registration_number.as_deref()
    }

    pub(super) fn has_key(&self, key: &NaturalKey, countries: &Countries) -> bool {
        match key {
            NaturalKey::Email(email) => {
                email_field::keys(self.email().unwrap_or_default()).any(|key| key == *email)
            }
            NaturalKey::Organisation(number) => self.number_key(countries).as_ref() == Some(number),
        }
    }

    /// The key of its VAT number.
    pub(super) fn number_key(&self, countries: &Countries) -> Option<OrganisationKey> {
        let country = countries.country(self.country.as_deref().unwrap_or_default());
        self.vat_number()?.key(country)
    }

    fn vat_number(&self) -> Option<VatNumber> {
        VatNumber::parse(self.tax_registration_number.as_deref()?)
    }

    /// The row as a record.
    ///
    /// # Errors
    /// It has no usable id, number or version.
    pub(super) fn into_record(
        self,
        resource: Resource,
        countries: &Countries,
    ) -> Result<ErpRecord, ErpError> {
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
            country: None,
        };
        let country = self.country.unwrap_or_default();
        let is_blank = country.trim().is_empty() && address.is_empty();
        let address = Address {
            country: countries.country(&country).filter(|_| !is_blank),
            ..address
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
            fields: ErpFields {
                name: personal(self.display_name),
                email: personal(self.email),
                phone: personal(self.phone_number),
                mobile: personal(self.mobile_phone_number),
                title: personal(self.job_title),
                vat_number,
                default_country: countries.home,
                address: (!address.is_empty()).then_some(address),
                ..ErpFields::default()
            },
        })
    }
}

fn guid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok().filter(|id| !id.is_nil())
}

fn personal(text: Option<String>) -> Option<Personal> {
    text.and_then(Personal::parse)
}

/// A row of `customers({id})/contactsInformation`: a contact behind a customer.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContactInformation {
    contact_id: Option<String>,
    contact_number: Option<String>,
    contact_type: Option<String>,
}

impl ContactInformation {
    pub(super) const FIELDS: &'static [&'static str] =
        &["contactId", "contactNumber", "contactType"];

    /// Whether it is the company contact with this number.
    pub(super) fn is_company(&self, number: &str) -> bool {
        self.contact_type.as_deref() == Some("Company")
            && self.contact_number.as_deref() == Some(number)
    }

    /// The id of the contact.
    pub(super) fn into_id(self) -> Option<String> {
        self.contact_id
    }

    /// The id of the contact, if it is of this type.
    pub(super) fn into_id_of(self, type_name: &str) -> Option<String> {
        self.contact_id
            .filter(|_| self.contact_type.as_deref() == Some(type_name))
    }

    /// The number of the contact, if it is a company contact.
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
            .into_record(resource, &Countries::default())
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
        assert_eq!(record.fields, ErpFields::default());
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
