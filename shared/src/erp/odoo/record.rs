//! Partners as Odoo returns and takes them (erp-apis §2.4). An empty value is `false` on the wire, whatever its type.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::settings::OdooSettings;
use crate::{
    domain::{
        Address, CountryCode, ErpDelivery, ErpDetail, FieldGroup, FieldGroups, OrganisationKey,
        OrganisationNumber, Personal, ShopField, VatNumber,
    },
    erp::{
        CompanyKey, ErpFields, ErpId, ErpRecord, NaturalKey, Party, PartyKind, Resource, Unusable,
        UnusableRecord, email_field,
    },
};

/// Odoo's format of a time: UTC, without a zone and without fractions of a second (erp-apis §2.5).
pub(super) const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// The fields that are read of every partner: its type, and the values by which it can be found in Norce.
const LISTED: &[&str] = &[
    "active",
    "company_registry",
    // A number without letters is one of the address's country.
    "country_id",
    "email",
    "is_company",
    "parent_id",
    "type",
    "vat",
    "write_date",
];
const ADDRESS: &[&str] = &["street", "street2", "zip", "city", "state_id"];

/// The state or county, which is a record of its own.
pub(super) const STATE: &str = "state_id";

/// The fields with personal data.
const PERSONAL: &[&str] = &[
    "name",
    "email",
    "phone",
    "function",
    "street",
    "street2",
    "zip",
    "city",
    "vat",
    "company_registry",
];

/// The fields that are read. `gln`: the field with the GLN, where this database has one.
pub(super) fn fields<'a>(
    settings: &'a Names,
    gln: Option<&'a str>,
    groups: FieldGroups,
) -> Vec<&'a str> {
    let mut fields = LISTED.to_vec();
    fields.push(&settings.code);
    if groups.has(FieldGroup::Names) {
        fields.push("name");
    }
    if groups.has(FieldGroup::ContactDetails) {
        fields.extend(["phone", "function"]);
    }
    if groups.has(FieldGroup::InvoiceAddress) {
        fields.extend(ADDRESS);
        fields.extend(gln);
    }
    if let (true, Some(field)) = (groups.has(FieldGroup::PriceLists), &settings.price_list) {
        fields.push(field);
    }
    fields
}

/// The groups that are compared before a write.
pub(super) const WHOLE: FieldGroups = FieldGroups::of(&[
    FieldGroup::Names,
    FieldGroup::ContactDetails,
    FieldGroup::InvoiceAddress,
]);

/// The groups that are read of the child partner of a delivery address.
pub(super) const DELIVERY: FieldGroups =
    FieldGroups::of(&[FieldGroup::ContactDetails, FieldGroup::InvoiceAddress]);

/// The names of the fields that can be configured.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The field with the code.
    pub(super) code: String,
    /// The field with the price list, where price lists are switched on.
    pub(super) price_list: Option<String>,
    /// The field with the GLN, where it is configured.
    pub(super) gln: Option<String>,
    /// The country of numbers whose address has none.
    pub(super) home_country: Option<CountryCode>,
}

impl Names {
    pub(super) fn of(settings: &OdooSettings) -> Self {
        Self {
            code: settings.code_field.clone(),
            price_list: settings.extra_fields.price_list.clone(),
            gln: settings.extra_fields.gln.clone(),
            home_country: settings.home_country,
        }
    }
}

/// The records that the ids in a partner's fields stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Odoo's countries by their ids.
    pub(super) countries: HashMap<i64, CountryCode>,
    /// The names of states by their ids.
    pub(super) states: HashMap<i64, String>,
    /// The names of price lists by their ids.
    pub(super) price_lists: HashMap<i64, String>,
    /// The field with the GLN, where this database has one and it was read.
    pub(super) gln: Option<String>,
    /// Delivery addresses of partners by their ids.
    pub(super) deliveries: HashMap<i64, Vec<ErpDelivery>>,
}

/// A record as Odoo returns it, nearly always a partner. It has no `Debug` because it contains personal data.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Row(Map<String, Value>);

impl Row {
    pub(super) fn id(&self) -> Option<i64> {
        self.integer("id")
    }

    /// A text; `None` where it is `false` or empty.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        let text = self.0.get(field)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The personal data of the partner, which Odoo may repeat when it refuses any write: `partner [Anna Ek]`.
    pub(super) fn mask(&self) -> Vec<(&str, &str)> {
        let texts = PERSONAL.iter();
        texts
            .filter_map(|field| Some((*field, self.text(field)?)))
            .collect()
    }

    /// The id of another record: `[id, "label"]`.
    pub(super) fn reference(&self, field: &str) -> Option<i64> {
        self.0.get(field)?.as_array()?.first()?.as_i64()
    }

    pub(super) fn integer(&self, field: &str) -> Option<i64> {
        self.0.get(field)?.as_i64()
    }

    pub(super) fn is_active(&self) -> bool {
        self.is("active")
    }

    fn is(&self, field: &str) -> bool {
        self.0.get(field).and_then(Value::as_bool) == Some(true)
    }

    fn personal(&self, field: &str) -> Option<Personal> {
        Personal::parse(self.text(field)?)
    }

    /// Customers are organisations, and persons who belong to none.
    pub(super) fn resource(&self) -> Resource {
        if self.reference("parent_id").is_some() && !self.is("is_company") {
            Resource::Contact
        } else {
            Resource::Customer
        }
    }

    pub(super) fn erp_id(&self) -> Option<ErpId> {
        Some(ErpId {
            resource: self.resource(),
            id: self.id()?.to_string(),
        })
    }

    /// The ids of several other records.
    pub(super) fn integers(&self, field: &str) -> Vec<i64> {
        let ids = self.0.get(field).and_then(Value::as_array);
        let ids = ids.into_iter().flatten();
        ids.filter_map(Value::as_i64).collect()
    }

    /// The value of a field in the form in which it would be written.
    pub(super) fn written(&self, field: &str) -> Value {
        match self.0.get(field) {
            None | Some(Value::Bool(false) | Value::Null) => json!(""),
            Some(Value::Array(reference)) => reference.first().cloned().unwrap_or(json!("")),
            Some(value) => value.clone(),
        }
    }

    /// The wanted values that the partner does not have.
    pub(super) fn changes_to(&self, wanted: &Map<String, Value>) -> Map<String, Value> {
        let same = |field: &str, value: &Value| {
            let there = self.written(field);
            if *value == json!(false) {
                return there == json!("");
            }
            if field == "email" {
                let field = there.as_str().unwrap_or_default();
                let wanted = value.as_str().unwrap_or_default();
                return field == wanted || email_field::stays(field, wanted);
            }
            if field == "vat" {
                let number = |value: &Value| value.as_str().and_then(VatNumber::parse);
                return number(&there) == number(value);
            }
            there == *value
        };
        let mut changes: Map<String, Value> = wanted
            .iter()
            .filter(|(field, value)| !same(field, value))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        // A state of the former address is none of the new one. Otherwise one that the shop does not know stays.
        let moves = ["zip", "city", "country_id"]
            .iter()
            .any(|field| changes.contains_key(*field));
        if moves && !wanted.contains_key(STATE) && self.reference(STATE).is_some() {
            changes.insert(STATE.to_owned(), json!(false));
        }
        changes
    }

    /// An address, if there is anything in it.
    pub(super) fn address(&self, known: &Known) -> Option<Address> {
        let address = Address {
            care_of: None,
            line1: self.personal("street"),
            line2: self.personal("street2"),
            postal_code: self.personal("zip"),
            city: self.personal("city"),
            region: self
                .reference(STATE)
                .and_then(|id| Personal::parse(known.states.get(&id)?)),
            country: self
                .reference("country_id")
                .and_then(|id| known.countries.get(&id).copied()),
        };
        (!address.is_empty()).then_some(address)
    }

    /// The GLN of its address.
    pub(super) fn gln(&self, known: &Known) -> ErpDetail {
        let gln = known.gln.as_deref().map(|field| self.personal(field));
        gln.map_or(ErpDetail::NoField, ErpDetail::Field)
    }

    /// A child partner as a delivery address, if it has any postal part.
    pub(super) fn delivery(&self, known: &Known) -> Option<ErpDelivery> {
        Some(ErpDelivery {
            id: self.id()?.to_string(),
            address: self.address(known)?,
            gln: self.gln(known),
            phone: ErpDetail::Field(self.personal("phone")),
        })
    }

    /// The partner as a record, or the reason why it cannot be used.
    pub(super) fn into_usable(
        self,
        names: &Names,
        known: &Known,
    ) -> Result<ErpRecord, UnusableRecord> {
        let id = self.erp_id();
        let unusable = |reason| UnusableRecord {
            id: id.clone(),
            reason,
        };
        let lacks = |what: &str| unusable(Unusable::Unreadable(format!("it has no usable {what}")));
        let Some(code) = self.text(&names.code) else {
            return Err(unusable(Unusable::NoCode));
        };
        let code = code.parse().map_err(|_| lacks("code"))?;
        let version = self.text("write_date").ok_or_else(|| lacks("write_date"))?;
        let modified = NaiveDateTime::parse_from_str(version, TIME).ok();
        let number = |id: Option<i64>| id.ok_or_else(|| lacks("id"));
        let price_list = names
            .price_list
            .as_ref()
            .and_then(|field| self.reference(field))
            .and_then(|id| known.price_lists.get(&id).cloned());
        let erp_id = id.clone().ok_or_else(|| lacks("id"))?;
        Ok(ErpRecord {
            code,
            version: version.to_owned(),
            modified: modified.map(|time| time.and_utc()),
            organisation: self.is("is_company"),
            blocked: !self.is_active(),
            company: match erp_id.resource {
                Resource::Contact => self
                    .reference("parent_id")
                    .map(|parent| CompanyKey(parent.to_string())),
                Resource::Customer => None,
            },
            fields: ErpFields {
                name: self.personal("name"),
                email: self.personal("email"),
                phone: self.personal("phone"),
                title: self.personal("function"),
                vat_number: self.text("vat").and_then(VatNumber::parse),
                organisation_number: self
                    .text("company_registry")
                    .and_then(OrganisationNumber::parse),
                address: self.address(known),
                gln: self.gln(known),
                delivery_addresses: known
                    .deliveries
                    .get(&number(self.id())?)
                    .cloned()
                    .unwrap_or_default(),
                price_lists: price_list.into_iter().collect(),
                default_country: names.home_country,
                ..ErpFields::default()
            },
            id: erp_id,
        })
    }

    /// Whether it has this key. `countries`: Odoo's countries by their ids; `home`: the country of a number whose address has
    /// none.
    pub(super) fn has_key(
        &self,
        key: &NaturalKey,
        countries: &HashMap<i64, CountryCode>,
        home: Option<CountryCode>,
    ) -> bool {
        match key {
            NaturalKey::Email(email) => {
                let field = self.text("email").unwrap_or_default();
                email_field::keys(field).any(|key| key == *email)
            }
            NaturalKey::Organisation(number) => {
                let country = self.reference("country_id");
                let country = country.and_then(|id| countries.get(&id).copied()).or(home);
                let registry = self.text("company_registry");
                let registry = registry.and_then(OrganisationNumber::parse);
                let vat = self.text("vat").and_then(VatNumber::parse);
                OrganisationKey::all(registry.as_ref(), vat.as_ref(), country).contains(number)
            }
        }
    }
}

/// The VAT number of a party. A bare organisation number in its place is completed.
fn vat_number(party: &Party) -> Option<VatNumber> {
    Some(party.vat_number.as_ref()?.completed(party.country()))
}

/// The VAT number that Odoo would take: without its country, or with a wrong check digit, it refuses the whole partner
/// (erp-apis §2.4).
fn acceptable_vat_number(party: &Party) -> Option<VatNumber> {
    vat_number(party).filter(|number| {
        let country = number.expose().get(..2).unwrap_or_default();
        let checked = ["SE", "NO", "DK", "FI"].contains(&country);
        let named = country.bytes().all(|byte| byte.is_ascii_uppercase());
        named && (!checked || number.organisation_number().is_some())
    })
}

/// A party as the fields of a partner. Values that the shop does not know are left out. Odoo 19 has no field for a mobile
/// number, which is sent as the telephone where there is no other. A contact's address is never sent: Odoo 19 takes it
/// for its organisation's, and writes it there and to everybody else of the organisation (`res.partner._fields_sync`).
pub(super) fn wanted(
    party: &Party,
    gln: Option<&str>,
    country: impl Fn(CountryCode) -> Option<i64>,
) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |field: &str, value: &str| {
        fields.insert(field.to_owned(), json!(value));
    };
    put("name", party.name.expose());
    if let Some(email) = &party.email {
        put("email", email.expose());
    }
    if let Some(phone) = party.phone.as_ref().or(party.mobile.as_ref()) {
        put("phone", phone.expose());
    }
    match &party.kind {
        PartyKind::Contact { .. } => {
            if let Some(title) = &party.title {
                put("function", title.expose());
            }
        }
        PartyKind::Person | PartyKind::Company => {
            if let Some(number) = &party.organisation_number {
                put("company_registry", number.expose());
            }
            if let Some(number) = acceptable_vat_number(party) {
                put("vat", number.expose());
            }
            if let (Some(field), Some(gln)) = (gln, &party.gln) {
                put(field, gln.expose());
            }
            if let Some(address) = &party.address {
                let mut address_fields = address_fields(address, country);
                address_fields.retain(|field, _| is_known(address, field));
                fields.extend(address_fields);
            }
        }
    }
    for emptied in &party.emptied {
        for field in fields_of(*emptied, &party.kind, gln.as_slice()) {
            let nothing = if *field == STATE {
                json!(false)
            } else {
                json!("")
            };
            fields.entry(*field).or_insert(nothing);
        }
    }
    fields
}

/// The fields of a partner that hold a value of the shop.
const fn fields_of<'a>(field: ShopField, kind: &PartyKind, gln: &'a [&'a str]) -> &'a [&'a str] {
    match (field, kind) {
        (ShopField::Email, _) => &["email"],
        // One number stands for the other.
        (ShopField::Phone | ShopField::Mobile, _) => &["phone"],
        (ShopField::Title, PartyKind::Contact { .. }) => &["function"],
        // A contact's are its organisation's.
        (ShopField::Title, _) | (_, PartyKind::Contact { .. }) => &[],
        (ShopField::OrganisationNumber, _) => &["company_registry"],
        (ShopField::VatNumber, _) => &["vat"],
        (ShopField::AddressLines, _) => &["street", "street2"],
        (ShopField::PostalCode, _) => &["zip"],
        (ShopField::City, _) => &["city"],
        (ShopField::Region, _) => &[STATE],
        (ShopField::Gln, _) => gln,
    }
}

/// Whether the shop knows a part of an address. The lines are one part, and the place is another: an old second line
/// under a new street, or an old postal code beside a new town, would be a false address.
fn is_known(address: &Address, field: &str) -> bool {
    match field {
        "street" | "street2" => {
            address.care_of.is_some() || address.line1.is_some() || address.line2.is_some()
        }
        "zip" | "city" => address.postal_code.is_some() || address.city.is_some(),
        _ => true,
    }
}

/// A whole address as the fields of a partner. A country that Odoo does not list is left out.
pub(super) fn address_fields(
    address: &Address,
    country: impl Fn(CountryCode) -> Option<i64>,
) -> Map<String, Value> {
    let text = |value: &Option<Personal>| value.as_ref().map(|value| value.expose().to_owned());
    let lines = [
        text(&address.care_of),
        text(&address.line1),
        text(&address.line2),
    ];
    let mut lines = lines.into_iter().flatten();
    let first = lines.next().unwrap_or_default();
    let rest: Vec<String> = lines.collect();
    let mut fields = Map::from_iter([
        ("street".to_owned(), json!(first)),
        ("street2".to_owned(), json!(rest.join(", "))),
        (
            "zip".to_owned(),
            json!(text(&address.postal_code).unwrap_or_default()),
        ),
        (
            "city".to_owned(),
            json!(text(&address.city).unwrap_or_default()),
        ),
    ]);
    if let Some(id) = address.country.and_then(country) {
        fields.insert("country_id".to_owned(), json!(id));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ShopFields;

    fn text(text: &str) -> Option<Personal> {
        Personal::parse(text)
    }

    /// Part by part: the lines go together, and the place.
    #[test]
    fn a_part_of_the_address_that_the_shop_does_not_know_is_left_as_it_is() {
        let nothing = Address::default;
        let table: [(Address, &[&str]); 7] = [
            (nothing(), &[]),
            (
                Address {
                    care_of: text("Bo Ek"),
                    ..nothing()
                },
                &["street", "street2"],
            ),
            (
                Address {
                    line1: text("Storgatan 1"),
                    ..nothing()
                },
                &["street", "street2"],
            ),
            (
                Address {
                    line2: text("Lgh 1102"),
                    ..nothing()
                },
                &["street", "street2"],
            ),
            (
                Address {
                    postal_code: text("114 55"),
                    ..nothing()
                },
                &["city", "zip"],
            ),
            (
                Address {
                    city: text("Stockholm"),
                    ..nothing()
                },
                &["city", "zip"],
            ),
            (
                Address {
                    country: Some(CountryCode::SE),
                    ..nothing()
                },
                &["country_id"],
            ),
        ];
        for (address, expected) in table {
            for kind in [PartyKind::Person, PartyKind::Company] {
                let party = Party {
                    kind,
                    name: text("Anna Ek").unwrap(),
                    email: None,
                    phone: None,
                    mobile: None,
                    title: None,
                    organisation_number: None,
                    vat_number: None,
                    address: Some(address.clone()),
                    delivery_addresses: None,
                    emptied: ShopFields::new(),
                    unread: ShopFields::new(),
                    default_country: None,
                    gln: None,
                };
                let mut fields = wanted(&party, None, |_| Some(196));
                fields.remove("name");
                let sent: Vec<&String> = fields.keys().collect();
                assert_eq!(sent, expected);
            }
        }
    }
}
