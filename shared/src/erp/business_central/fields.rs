//! The fields that are written: a party as the fields of a `customers` or `contacts` record, and the difference to the
//! record.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::formats::{
    ADDRESS_LINE_1, ADDRESS_LINE_2, CITY, COUNTRY, DISPLAY_NAME, EMAIL, Field, JOB_TITLE,
    MOBILE_PHONE_NUMBER, PHONE_NUMBER, POSTAL_CODE, STATE, TAX_REGISTRATION_NUMBER, address_lines,
};
use crate::{
    domain::{Address, EmailKey, Personal, ShopField, VatNumber},
    erp::{ErpError, ErpFields, Party, PartyKind, Resource},
};

/// The fields that Business Central fills from each other: a known postal code sets the city, and another country clears
/// both (erp-apis §1.4). They are written together or not at all, the country first, so that it does not clear the
/// fields after it.
const PLACE: [Field; 3] = [COUNTRY, POSTAL_CODE, CITY];

/// Names and values in the order in which they are written; an empty value clears a field. It has no `Debug` because it
/// contains personal data.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(&'static str, String)>);

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
                let phone = party.phone.as_ref().or(party.mobile.as_ref());
                fields.put_some(PHONE_NUMBER, phone, Field::fit_phone)?;
                let vat_number = vat_number(party).and_then(|vat| vat.to_personal());
                fields.put_some(TAX_REGISTRATION_NUMBER, vat_number.as_ref(), Field::fit)?;
            }
            Resource::Contact => {
                fields.put_some(PHONE_NUMBER, party.phone.as_ref(), Field::fit_phone)?;
                fields.put_some(MOBILE_PHONE_NUMBER, party.mobile.as_ref(), Field::fit_phone)?;
                if let Some(title) = &party.title {
                    fields.set(JOB_TITLE.name, JOB_TITLE.shorten(title.expose()));
                }
            }
        }
        if let Some(address) = &party.address {
            fields.put_address(address)?;
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

    /// The fields to write so that a record with the fields of `seen` gets these.
    pub(super) fn changes_to(&self, seen: &Self) -> Self {
        let differs = |name: &str, value: &str| {
            let seen = seen.get(name).unwrap_or_default();
            let same = value == seen
                // It is unknown which of several addresses came from the shop.
                || name == EMAIL.name && value.is_empty() && seen.contains(';')
                || name == EMAIL.name && is_one_of(value, seen)
                // A known postal code sets the city in the spelling of its table (erp-apis §1.4).
                || name == CITY.name && value.to_lowercase() == seen.to_lowercase();
            !same
        };
        let place = PLACE.iter().any(|field| {
            self.get(field.name)
                .is_some_and(|it| differs(field.name, it))
        });
        let mut changes = Self::default();
        for (name, value) in self.iter() {
            if !is_place(name) && differs(name, value) {
                changes.set(name, value.to_owned());
            }
        }
        if place {
            for Field { name, .. } in PLACE {
                if let Some(value) = self.get(name).or_else(|| seen.get(name)) {
                    changes.set(name, value.to_owned());
                }
            }
            // Cleared together with the city when the country changes.
            if let Some(state) = self.get(STATE.name) {
                changes.remove(STATE.name);
                changes.set(STATE.name, state.to_owned());
            }
        }
        changes
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

    /// The fields among these that the country has cleared after they were written: they are empty in the record. The
    /// order in which the server takes the fields of one request is not documented.
    pub(super) fn cleared_in(&self, seen: &Self) -> Self {
        let mut cleared = Self::default();
        for Field { name, .. } in [POSTAL_CODE, CITY, STATE] {
            let written = self.get(name).filter(|value| !value.is_empty());
            if let (Some(value), None) = (written, seen.get(name)) {
                cleared.set(name, value.to_owned());
            }
        }
        cleared
    }

    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(it, _)| *it == name)
            .map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(it, _)| *it != name);
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

    /// The lines are written together: the old second line under a new street would be a false address.
    fn put_address(&mut self, address: &Address) -> Result<(), ErpError> {
        if address.care_of.is_some() || address.line1.is_some() || address.line2.is_some() {
            let (first, second) = address_lines(address)?;
            self.set(ADDRESS_LINE_1.name, first);
            self.set(ADDRESS_LINE_2.name, second);
        }
        let country = address.country.map(|country| country.to_string());
        let country = country.and_then(Personal::parse);
        self.put_some(COUNTRY, country.as_ref(), Field::fit_code)?;
        self.put_some(POSTAL_CODE, address.postal_code.as_ref(), Field::fit_code)?;
        self.put_some(CITY, address.city.as_ref(), Field::fit)?;
        self.put_some(STATE, address.region.as_ref(), Field::fit)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn is_place(name: &str) -> bool {
    PLACE.iter().any(|field| field.name == name)
}

/// The addresses in an e-mail field, which may hold several (erp-apis §1.2).
pub(super) fn addresses(email: &str) -> impl Iterator<Item = &str> {
    email.split(';')
}

/// Whether a field with several addresses contains this one already. The others belong to the finance department.
fn is_one_of(email: &str, seen: &str) -> bool {
    let Some(key) = EmailKey::parse(email) else {
        return false;
    };
    seen.contains(';') && addresses(seen).any(|it| EmailKey::parse(it).as_ref() == Some(&key))
}

/// The VAT number of a party: the shop's, or the one that follows from a valid organisation number and the country of the
/// address. A bare organisation number in place of the VAT number is completed, because Business Central would refuse it
/// (erp-apis §1.4).
pub(super) fn vat_number(party: &Party) -> Option<VatNumber> {
    if party.kind != PartyKind::Company {
        return party.vat_number.clone();
    }
    let country = party.address.as_ref().and_then(|address| address.country);
    match &party.vat_number {
        Some(given) => Some(given.completed(country)),
        None => party.organisation_number.as_ref()?.vat_number(country?),
    }
}
