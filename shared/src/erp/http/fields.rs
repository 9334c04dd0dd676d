//! A party as the fields of the contract, and the difference to a record.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::wire::WritableField;
use crate::{
    domain::{Address, Personal, ShopField, VatNumber},
    erp::{ErpFields, Party, PartyKind, email_field},
};

/// Names and values; `null` clears a field. It has no `Debug` because it contains personal data.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Fields(Map<String, Value>);

/// The fields of the contract, for messages that name one.
const NAMES: [&str; 11] = [
    "code",
    "kind",
    "company",
    "name",
    "email",
    "phone",
    "mobile",
    "title",
    "vatNumber",
    "organisationNumber",
    "gln",
];
/// The parts of an address.
const PARTS: [&str; 7] = [
    "careOf",
    "line1",
    "line2",
    "postalCode",
    "city",
    "region",
    "country",
];

/// The field that an error names, which may be a part of an address such as `address.city`.
pub(super) fn field_name(name: &str) -> Option<&'static str> {
    if let Some(part) = name.strip_prefix("address.") {
        return PARTS.into_iter().find(|known| *known == part);
    }
    if name == "address" {
        return Some("address");
    }
    NAMES.into_iter().find(|known| *known == name)
}

impl Fields {
    /// The fields of a new record. Of a party, only what the facade takes.
    pub(super) fn of_new(party: &Party, takes: &BTreeSet<WritableField>) -> Self {
        let mut fields = Self::wanted(party, None, takes);
        fields.0.retain(|_, value| !value.is_null());
        fields.put(
            "kind",
            if party.kind.is_organisation() {
                "organisation"
            } else {
                "person"
            },
        );
        if let PartyKind::Contact {
            company: Some(company),
        } = &party.kind
        {
            fields.put("company", &company.id);
        }
        fields
    }

    /// The fields that differ from a record's.
    pub(super) fn changes(
        party: &Party,
        there: &ErpFields,
        company: Option<&str>,
        takes: &BTreeSet<WritableField>,
    ) -> Self {
        let mut fields = Self::wanted(party, Some(there), takes);
        let there = Self::of(there);
        let nothing = Value::Null;
        fields.0.retain(|name, value| {
            let there = there.0.get(name).unwrap_or(&nothing);
            let (field, wanted) = (there.as_str(), value.as_str());
            let stays = name == WritableField::Email.as_str()
                && email_field::stays(field.unwrap_or_default(), wanted.unwrap_or_default());
            there != value && !stays
        });
        if let PartyKind::Contact {
            company: Some(wanted),
        } = &party.kind
            && company != Some(wanted.id.as_str())
        {
            fields.put("company", &wanted.id);
        }
        fields
    }

    /// The values of a party. A value that the shop does not know is left out.
    fn wanted(party: &Party, there: Option<&ErpFields>, takes: &BTreeSet<WritableField>) -> Self {
        use WritableField as Field;
        let mut fields = Self::default();
        let is_contact = matches!(party.kind, PartyKind::Contact { .. });
        let mobile = party.mobile.as_ref();
        // Where there is one field for telephones, the mobile number takes the place of one that is missing.
        let phone = match takes.contains(&Field::Mobile) {
            true => party.phone.as_ref(),
            false => party.phone.as_ref().or(mobile),
        };
        let vat_number = party.vat_number.as_ref();
        let vat_number = vat_number.map(|number| number.completed(party.country()));
        let vat_number = vat_number.as_ref().and_then(VatNumber::to_personal);
        let number = party.organisation_number.as_ref();
        let number = number.and_then(|number| Personal::parse(number.expose()));
        for (field, value, emptied) in [
            (Field::Name, Some(&party.name), None),
            (Field::Email, party.email.as_ref(), Some(ShopField::Email)),
            (Field::Phone, phone, Some(ShopField::Phone)),
            (Field::Mobile, mobile, Some(ShopField::Mobile)),
            (Field::Title, party.title.as_ref(), Some(ShopField::Title)),
            (
                Field::VatNumber,
                vat_number.as_ref(),
                Some(ShopField::VatNumber),
            ),
            (
                Field::OrganisationNumber,
                number.as_ref(),
                Some(ShopField::OrganisationNumber),
            ),
            (Field::Gln, party.gln.as_ref(), Some(ShopField::Gln)),
        ] {
            let is_emptied = emptied.is_some_and(|emptied| party.emptied.contains(&emptied));
            // Numbers of a contact are its organisation's.
            let is_its_own = !is_contact
                || !matches!(
                    field,
                    Field::VatNumber | Field::OrganisationNumber | Field::Gln
                );
            if !takes.contains(&field) || !is_its_own {
                continue;
            }
            if let Some(value) = value {
                fields.put(field.as_str(), value.expose());
            } else if is_emptied {
                fields.0.insert(field.as_str().to_owned(), Value::Null);
            }
        }
        if !takes.contains(&Field::Mobile)
            && takes.contains(&Field::Phone)
            && party.emptied.contains(&ShopField::Mobile)
            && phone.is_none()
        {
            fields
                .0
                .insert(Field::Phone.as_str().to_owned(), Value::Null);
        }
        if takes.contains(&Field::Address)
            && let Some(address) = address(party, there)
        {
            let value = address_of(&address);
            fields.0.insert(Field::Address.as_str().to_owned(), value);
        }
        fields
    }

    /// The fields of a record.
    fn of(record: &ErpFields) -> Self {
        let mut fields = Self::default();
        let vat_number = record.vat_number.as_ref().and_then(VatNumber::to_personal);
        let number = record.organisation_number.as_ref();
        let number = number.and_then(|number| Personal::parse(number.expose()));
        for (name, value) in [
            ("name", record.name.as_ref()),
            ("email", record.email.as_ref()),
            ("phone", record.phone.as_ref()),
            ("mobile", record.mobile.as_ref()),
            ("title", record.title.as_ref()),
            ("vatNumber", vat_number.as_ref()),
            ("organisationNumber", number.as_ref()),
            ("gln", record.gln.value()),
        ] {
            if let Some(value) = value {
                fields.put(name, value.expose());
            }
        }
        if let Some(address) = &record.address {
            fields.0.insert("address".to_owned(), address_of(address));
        }
        fields
    }

    /// Whether a new record has the values that were sent. A number may be spelled in another way.
    pub(super) fn are_in(&self, record: &ErpFields) -> bool {
        let there = Self::of(record);
        let spelled = |value: Option<&Value>| {
            let text = value.map(Value::to_string).unwrap_or_default();
            let text = text.chars().filter(|c| c.is_alphanumeric());
            text.flat_map(char::to_lowercase).collect::<String>()
        };
        self.0
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "kind" | "company" | "code"))
            .all(|(name, value)| spelled(Some(value)) == spelled(there.0.get(name)))
    }

    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), json!(value));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body of a request.
    pub(super) fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Names and texts, for a mask; the parts of the address by their own names.
    pub(super) fn texts(&self) -> Vec<(&str, &str)> {
        let address = self.0.get("address").and_then(Value::as_object);
        let parts = address.into_iter().flatten();
        let all = self.0.iter().chain(parts);
        all.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .filter(|(name, _)| !matches!(*name, "kind" | "company" | "code" | "country"))
            .collect()
    }
}

/// The whole address of a party: an address is replaced, never merged. A part that the shop leaves out is kept if the rest of
/// the address is unchanged, and dropped if the customer has moved.
fn address(party: &Party, record: Option<&ErpFields>) -> Option<Address> {
    let there = record.and_then(|record| record.address.as_ref());
    let parts_emptied = [
        ShopField::AddressLines,
        ShopField::PostalCode,
        ShopField::City,
        ShopField::Region,
    ];
    let is_emptied = parts_emptied
        .iter()
        .any(|part| party.emptied.contains(part));
    let nothing = Address::default();
    let wanted = match &party.address {
        Some(wanted) => wanted,
        None if is_emptied => &nothing,
        None => return None,
    };
    let there = there.unwrap_or(&nothing);
    // An address without a country is in this one.
    let home = record.and_then(|record| record.default_country);
    let differs =
        |wanted: &Option<Personal>, there: &Option<Personal>| wanted.is_some() && wanted != there;
    let has_lines = wanted.care_of.is_some() || wanted.line1.is_some() || wanted.line2.is_some();
    let lines = |address: &Address| {
        (
            address.care_of.clone(),
            address.line1.clone(),
            address.line2.clone(),
        )
    };
    let moves = has_lines && lines(wanted) != lines(there)
        || differs(&wanted.postal_code, &there.postal_code)
        || differs(&wanted.city, &there.city)
        || differs(&wanted.region, &there.region)
        || wanted.country.is_some() && wanted.country != there.country.or(home);
    let stays = |part: ShopField| {
        let is_unread = party.unread.contains(&part);
        !party.emptied.contains(&part) && (is_unread || !moves)
    };
    let part = |part: ShopField, wanted: &Option<Personal>, there: &Option<Personal>| match wanted {
        Some(wanted) => Some(wanted.clone()),
        None => there.clone().filter(|_| stays(part)),
    };
    let (care_of, line1, line2) = match has_lines {
        true => lines(wanted),
        false if stays(ShopField::AddressLines) => lines(there),
        false => (None, None, None),
    };
    Some(Address {
        care_of,
        line1,
        line2,
        postal_code: part(
            ShopField::PostalCode,
            &wanted.postal_code,
            &there.postal_code,
        ),
        city: part(ShopField::City, &wanted.city, &there.city),
        region: part(ShopField::Region, &wanted.region, &there.region),
        country: wanted.country.or(there.country),
    })
}

/// An address in the contract; `null` where nothing is left of it.
fn address_of(address: &Address) -> Value {
    if address.is_empty() {
        return Value::Null;
    }
    let country = address.country.map(|country| country.to_string());
    let country = country.and_then(Personal::parse);
    let values = [
        &address.care_of,
        &address.line1,
        &address.line2,
        &address.postal_code,
        &address.city,
        &address.region,
        &country,
    ];
    let parts = PARTS.into_iter().zip(values);
    let parts = parts.filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some((name.to_owned(), json!(value.expose())))
    });
    Value::Object(parts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CountryCode, VatNumber};

    fn party(kind: PartyKind) -> Party {
        Party {
            kind,
            name: Personal::parse("Anna Ek").unwrap(),
            email: None,
            phone: Personal::parse("08-1"),
            mobile: None,
            title: None,
            organisation_number: None,
            vat_number: None,
            address: None,
            delivery_addresses: None,
            emptied: [].into(),
            unread: [].into(),
            gln: None,
            default_country: None,
        }
    }

    fn takes(fields: &[WritableField]) -> BTreeSet<WritableField> {
        fields.iter().copied().collect()
    }

    #[test]
    fn an_address_without_a_country_is_at_home_and_has_not_moved() {
        let line1 = Personal::parse("Storgatan 1");
        let there = ErpFields {
            address: Some(Address {
                line1: line1.clone(),
                region: Personal::parse("Skåne"),
                ..Address::default()
            }),
            default_country: Some(CountryCode::SE),
            ..ErpFields::default()
        };
        let party = Party {
            address: Some(Address {
                line1,
                country: Some(CountryCode::SE),
                ..Address::default()
            }),
            ..party(PartyKind::Person)
        };
        let changes = Fields::changes(&party, &there, None, &takes(&[WritableField::Address]));
        let address = &changes.to_value()["address"];
        assert_eq!(address["region"], "Skåne");
    }

    #[test]
    fn an_address_that_is_one_of_several_stays_and_another_one_takes_their_place() {
        let there = ErpFields {
            email: Personal::parse("anna@x.se, faktura@x.se"),
            ..ErpFields::default()
        };
        let changes = |email: &str| {
            let party = Party {
                email: Personal::parse(email),
                ..party(PartyKind::Person)
            };
            Fields::changes(&party, &there, None, &takes(&[WritableField::Email])).to_value()
        };
        assert_eq!(changes("Anna@x.se"), json!({}));
        assert_eq!(changes("ny@x.se"), json!({ "email": "ny@x.se" }));
    }

    #[test]
    fn the_numbers_of_a_contact_are_its_organisations_and_stay() {
        let there = ErpFields {
            vat_number: VatNumber::parse("SE556036079301"),
            ..ErpFields::default()
        };
        let party = Party {
            emptied: [ShopField::VatNumber, ShopField::Gln].into(),
            ..party(PartyKind::Contact { company: None })
        };
        let fields = takes(&[WritableField::VatNumber, WritableField::Gln]);
        assert!(Fields::changes(&party, &there, None, &fields).is_empty());
        let person = Party {
            kind: PartyKind::Person,
            ..party
        };
        let changes = Fields::changes(&person, &there, None, &fields);
        assert_eq!(changes.to_value(), json!({ "vatNumber": null }));
    }
}
