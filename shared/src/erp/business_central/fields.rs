//! The fields that are written: a party as the fields of a `customers` or `contacts` record, and the difference to the
//! record.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::formats::{
    ADDRESS_LINE_1, ADDRESS_LINE_2, CITY, COUNTRY, DISPLAY_NAME, EMAIL, Field, JOB_TITLE,
    MOBILE_PHONE_NUMBER, PHONE_NUMBER, POSTAL_CODE, STATE, TAX_REGISTRATION_NUMBER, address_lines,
};
use crate::{
    domain::{Address, Personal, ShopField, ShopFields, VatNumber},
    erp::{ErpError, ErpFields, Party, PartyKind, Resource, email_field},
};

/// The fields that Business Central fills from each other: another country clears the others, and a known postal code brings
/// the city, the county and even the country of its table (erp-apis §1.4). They are one value, written together or not at all.
const PLACE: [Field; 4] = [COUNTRY, POSTAL_CODE, CITY, STATE];

/// The fields that a contact takes over from its organisation where it has no value of its own (`Contact.Table.al`). The
/// country is always taken over, and blank nowhere.
const INHERITED: [Field; 8] = [
    EMAIL,
    PHONE_NUMBER,
    MOBILE_PHONE_NUMBER,
    ADDRESS_LINE_1,
    ADDRESS_LINE_2,
    POSTAL_CODE,
    CITY,
    STATE,
];

/// Names and values in the order in which they are written; an empty value clears a field. It has no `Debug` because it
/// contains personal data.
#[derive(Clone, Default)]
pub(super) struct Fields {
    values: Vec<(&'static str, String)>,
    /// Parts of the address that the shop does not have. They are left as they are until the address moves, and cleared then.
    blank_when_moved: Vec<Field>,
    left_out: Vec<LeftOut>,
}

/// A value that the ERP cannot hold, in a field that identifies nobody. A new record goes without it, and another one keeps
/// its former value.
#[derive(Clone)]
pub(super) struct LeftOut {
    pub(super) field: &'static str,
    /// The reason, without the value.
    pub(super) reason: ErpError,
}

impl Fields {
    /// The fields of a party. Values that the shop does not know are left out.
    ///
    /// A customer record has no mobile number (erp-apis §1.3), which is written as the telephone number where there is no
    /// other. Only contacts have a title. The organisation number has no field; it is written as the VAT number that
    /// follows from it.
    pub(super) fn wanted(party: &Party, resource: Resource) -> Result<Self, ErpError> {
        let mut fields = Self::default();
        fields.put(DISPLAY_NAME, &party.name, Field::fit)?;
        fields.put_some(EMAIL, party.email.as_ref(), Field::fit)?;
        match resource {
            Resource::Customer => {
                fields.put_secondary(PHONE_NUMBER, party.phone.as_ref(), Field::fit_phone);
                if !fields.has(PHONE_NUMBER) {
                    fields.put_secondary(PHONE_NUMBER, party.mobile.as_ref(), Field::fit_phone);
                }
            }
            Resource::Contact => {
                fields.put_secondary(PHONE_NUMBER, party.phone.as_ref(), Field::fit_phone);
                fields.put_secondary(MOBILE_PHONE_NUMBER, party.mobile.as_ref(), Field::fit_phone);
                if let Some(title) = &party.title {
                    fields.set(JOB_TITLE.name, JOB_TITLE.shorten(title.expose()));
                }
            }
        }
        if let Some(address) = &party.address {
            fields.put_address(address, &party.unread)?;
        }
        if resource == Resource::Customer {
            // After the country, by whose formats it is checked.
            let vat_number = vat_number(party).and_then(|vat| vat.to_personal());
            fields.put_some(TAX_REGISTRATION_NUMBER, vat_number.as_ref(), Field::fit)?;
        }
        for emptied in &party.emptied {
            let names: &[Field] = match (emptied, resource) {
                (ShopField::Email, _) => &[EMAIL],
                // Either number may be the one in the field.
                (ShopField::Phone | ShopField::Mobile, Resource::Customer)
                | (ShopField::Phone, Resource::Contact) => &[PHONE_NUMBER],
                (ShopField::Mobile, Resource::Contact) => &[MOBILE_PHONE_NUMBER],
                (ShopField::Title, Resource::Contact) => &[JOB_TITLE],
                (ShopField::VatNumber, Resource::Customer) => &[TAX_REGISTRATION_NUMBER],
                (ShopField::AddressLines, _) => &[ADDRESS_LINE_1, ADDRESS_LINE_2],
                (ShopField::PostalCode, _) => &[POSTAL_CODE],
                (ShopField::City, _) => &[CITY],
                (ShopField::Region, _) => &[STATE],
                // The record has no such field.
                (ShopField::Title, Resource::Customer)
                | (ShopField::VatNumber, Resource::Contact)
                | (ShopField::OrganisationNumber | ShopField::Gln, _) => &[],
            };
            for Field { name, .. } in names {
                if fields.get(name).is_none() {
                    fields.set(name, String::new());
                }
            }
        }
        Ok(fields)
    }

    /// The fields of a record.
    pub(super) fn of(record: &ErpFields) -> Self {
        let mut fields = Self::default();
        let mut add = |field: Field, value: Option<&Personal>| {
            if let Some(value) = value {
                fields.set(field.name, value.expose().to_owned());
            }
        };
        add(DISPLAY_NAME, record.name.as_ref());
        add(EMAIL, record.email.as_ref());
        add(PHONE_NUMBER, record.phone.as_ref());
        add(MOBILE_PHONE_NUMBER, record.mobile.as_ref());
        add(JOB_TITLE, record.title.as_ref());
        let vat_number = record.vat_number.as_ref().and_then(VatNumber::to_personal);
        add(TAX_REGISTRATION_NUMBER, vat_number.as_ref());
        if let Some(address) = &record.address {
            add(ADDRESS_LINE_1, address.line1.as_ref());
            add(ADDRESS_LINE_2, address.line2.as_ref());
            add(POSTAL_CODE, address.postal_code.as_ref());
            add(CITY, address.city.as_ref());
            add(STATE, address.region.as_ref());
            let country = address.country.map(|country| country.to_string());
            add(COUNTRY, country.and_then(Personal::parse).as_ref());
        }
        fields
    }

    /// The fields to write so that a record with the fields of `seen` gets these, in the order in which they do not spoil one
    /// another: the country, which clears the place; blank parts, which a known postal code may fill in; the place; the VAT
    /// number, which is checked against the country.
    pub(super) fn changes_to(&self, seen: &Self) -> Self {
        let differs =
            |name: &str, value: &str| !is_same(name, value, seen.get(name).unwrap_or_default());
        let changed: Vec<_> = self
            .iter()
            .filter(|(name, value)| differs(name, value))
            .collect();
        let moves = changed.iter().any(|(name, _)| is_place(name));
        let mut changes = Self::default();
        let mut place: Vec<(&'static str, &str)> = Vec::new();
        let mut number = None;
        for (name, value) in changed {
            match name {
                _ if is_place(name) => {}
                _ if name == TAX_REGISTRATION_NUMBER.name => number = Some(value),
                _ => changes.set(name, value.to_owned()),
            }
        }
        if moves {
            place.extend(self.iter().filter(|(name, _)| is_place(name)));
            let blank = self.blank_when_moved.iter();
            let blank = blank.filter(|field| seen.has(**field) && !self.has(**field));
            place.extend(blank.map(|field| (field.name, "")));
            place.sort_by_key(|(name, value)| (*name != COUNTRY.name, !value.is_empty()));
        }
        for (name, value) in place
            .into_iter()
            .chain(number.map(|number| (TAX_REGISTRATION_NUMBER.name, number)))
        {
            changes.set(name, value.to_owned());
        }
        changes
    }

    /// The values that the server did not keep: another country, a lost value, or a value where there should be none. A value
    /// that the server only formats differently is not among them, because it would format it again.
    pub(super) fn spoiled_in(&self, record: &Self) -> Self {
        let is_spoiled = |(name, value): (&str, &str)| {
            let there = record.get(name).unwrap_or_default();
            let differs = !is_same(name, value, there);
            let is_lost = value.is_empty() != there.is_empty();
            // A known postal code fills in the city and the county again.
            let is_filled_in = value.is_empty()
                && (name == CITY.name || name == STATE.name)
                && self
                    .get(POSTAL_CODE.name)
                    .is_some_and(|code| !code.is_empty());
            differs && (name == COUNTRY.name || is_lost && !is_filled_in)
        };
        if self.iter().any(is_spoiled) {
            self.changes_to(record)
        } else {
            Self::default()
        }
    }

    /// Whether these changes to a record bring another country and another VAT number. The former number does not fit the new
    /// country, against which Business Central checks it first (`Customer.Table.al`).
    pub(super) fn moves_a_number_abroad(&self, seen: &Self) -> bool {
        let numbers = [self, seen].map(|fields| fields.has(TAX_REGISTRATION_NUMBER));
        let country = self.get(COUNTRY.name);
        numbers == [true, true] && country.is_some() && country != seen.get(COUNTRY.name)
    }

    /// These fields for a new record. What a new contact would inherit from its organisation is blank, where the shop has no
    /// value (`Contact.Table.al`). For a customer, the blank is left to the templates of the ERP.
    pub(super) fn of_new(&self, resource: Resource) -> Self {
        let is_named = |field: &Field| self.get(field.name).is_some_and(|value| !value.is_empty());
        let mut fields = Self::default();
        if resource == Resource::Contact {
            // Before the values, among which a known postal code may fill in the rest of the place.
            for field in INHERITED.iter().filter(|field| !is_named(field)) {
                fields.set(field.name, String::new());
            }
        }
        for (name, value) in self.iter().filter(|(_, value)| !value.is_empty()) {
            fields.set(name, value.to_owned());
        }
        fields
    }

    /// These fields, and every other field of `now` or `before` with its value in `before`, also when that was empty.
    pub(super) fn over(mut self, before: &Self, now: &Self) -> Self {
        for (name, _) in before.iter().chain(now.iter()) {
            if self.get(name).is_none() {
                let value = before.get(name).unwrap_or_default().to_owned();
                self.set(name, value);
            }
        }
        self
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.get(field.name).is_some()
    }

    /// The fields with this code in place of the ISO code of the country.
    pub(super) fn with_country(mut self, code: String) -> Self {
        for (_, value) in self
            .values
            .iter_mut()
            .filter(|(name, _)| *name == COUNTRY.name)
        {
            value.clone_from(&code);
        }
        self
    }

    /// The fields without this one.
    pub(super) fn without(mut self, field: Field) -> Self {
        self.values.retain(|(name, _)| *name != field.name);
        self
    }

    /// Logs the values that were left out.
    pub(super) fn warn_of_left_out(&self, record: &impl fmt::Display) {
        for LeftOut { field, reason } in &self.left_out {
            tracing::warn!(%record, field, %reason, "the ERP cannot store a value of the shop; a new record is created without it, and an existing record keeps its value");
        }
    }

    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.values.push((name, value));
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(it, _)| *it == name)
            .map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn put(
        &mut self,
        field: Field,
        value: &Personal,
        fit: fn(Field, &str) -> Result<String, ErpError>,
    ) -> Result<(), ErpError> {
        self.set(field.name, fit(field, value.expose())?);
        Ok(())
    }

    fn put_some(
        &mut self,
        field: Field,
        value: Option<&Personal>,
        fit: fn(Field, &str) -> Result<String, ErpError>,
    ) -> Result<(), ErpError> {
        value.map_or(Ok(()), |value| self.put(field, value, fit))
    }

    /// A field that identifies nobody: a value that the field cannot hold is left out.
    fn put_secondary(
        &mut self,
        field: Field,
        value: Option<&Personal>,
        fit: fn(Field, &str) -> Result<String, ErpError>,
    ) {
        match value.map(|value| fit(field, value.expose())) {
            Some(Ok(value)) => self.set(field.name, value),
            Some(Err(reason)) => self.left_out.push(LeftOut {
                field: field.name,
                reason,
            }),
            None => {}
        }
    }

    /// An address is one value: parts of the former address would be wrong beside parts of the new one. `unread`: parts with
    /// unknown values.
    fn put_address(&mut self, address: &Address, unread: &ShopFields) -> Result<(), ErpError> {
        let country = address.country.map(|country| country.to_string());
        let country = country.and_then(Personal::parse);
        self.put_some(COUNTRY, country.as_ref(), Field::fit_code)?;
        if address.care_of.is_some() || address.line1.is_some() || address.line2.is_some() {
            let (first, second) = address_lines(address)?;
            self.set(ADDRESS_LINE_1.name, first);
            self.set(ADDRESS_LINE_2.name, second);
        } else if !unread.contains(&ShopField::AddressLines) {
            self.blank_when_moved
                .extend([ADDRESS_LINE_1, ADDRESS_LINE_2]);
        }
        self.put_some(POSTAL_CODE, address.postal_code.as_ref(), Field::fit_code)?;
        self.put_some(CITY, address.city.as_ref(), Field::fit)?;
        self.put_some(STATE, address.region.as_ref(), Field::fit)?;
        for (field, part) in [
            (POSTAL_CODE, ShopField::PostalCode),
            (CITY, ShopField::City),
            (STATE, ShopField::Region),
        ] {
            if !self.has(field) && !unread.contains(&part) {
                self.blank_when_moved.push(field);
            }
        }
        Ok(())
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The values of a party that a message of the server may repeat.
pub(super) fn mask_of(party: &Party) -> Vec<(&'static str, &str)> {
    let address = party.address.as_ref();
    let part = |part: fn(&Address) -> Option<&Personal>| address.and_then(part);
    let texts = [
        (DISPLAY_NAME, Some(&party.name)),
        (EMAIL, party.email.as_ref()),
        (PHONE_NUMBER, party.phone.as_ref()),
        (MOBILE_PHONE_NUMBER, party.mobile.as_ref()),
        (JOB_TITLE, party.title.as_ref()),
        (ADDRESS_LINE_1, part(|it| it.care_of.as_ref())),
        (ADDRESS_LINE_1, part(|it| it.line1.as_ref())),
        (ADDRESS_LINE_2, part(|it| it.line2.as_ref())),
        (POSTAL_CODE, part(|it| it.postal_code.as_ref())),
        (CITY, part(|it| it.city.as_ref())),
    ];
    let number = party.organisation_number.as_ref();
    let numbers = [
        number.map(|number| number.expose()),
        party.vat_number.as_ref().map(|number| number.expose()),
    ];
    let numbers = numbers.into_iter().flatten();
    let texts = texts
        .into_iter()
        .filter_map(|(field, value)| Some((field.name, value?.expose())));
    texts
        .chain(numbers.map(|number| (TAX_REGISTRATION_NUMBER.name, number)))
        .collect()
}

fn is_place(name: &str) -> bool {
    PLACE.iter().any(|field| field.name == name)
}

/// Whether a field has this value already.
fn is_same(name: &str, value: &str, there: &str) -> bool {
    value == there
        || name == EMAIL.name && email_field::stays(there, value)
        || name == TAX_REGISTRATION_NUMBER.name && is_completed(value, there)
        // A known postal code sets the city in the spelling of its table (erp-apis §1.4).
        || name == CITY.name && value.to_lowercase() == there.to_lowercase()
}

/// Whether the ERP has the same number without its country, which it may keep.
fn is_completed(number: &str, there: &str) -> bool {
    let country = number.get(..2).and_then(|country| country.parse().ok());
    let there = VatNumber::parse(there).map(|there| there.completed(country));
    there.is_some() && there == VatNumber::parse(number)
}

/// The VAT number of a party: the shop's, or the one that follows from a valid organisation number and the country of the
/// address. A bare organisation number in place of the VAT number is completed, because Business Central would refuse it
/// (erp-apis §1.4).
pub(super) fn vat_number(party: &Party) -> Option<VatNumber> {
    if party.kind != PartyKind::Company {
        return party.vat_number.clone();
    }
    match &party.vat_number {
        Some(given) => Some(given.completed(party.country())),
        None => {
            let number = party.organisation_number.as_ref()?;
            number.vat_number(party.country()?)
        }
    }
}
