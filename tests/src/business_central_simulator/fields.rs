//! The fields of the entities: names, types, lengths (erp-apis §1.2, §1.3), and the records that hold their values.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Entity, Refused};

/// How Business Central writes the empty value of an enumeration.
pub(super) const BLANK: &str = "_x0020_";

/// The content of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Upper-cased and trimmed text of at most this many characters.
    Code(usize),
    /// Text of at most this many characters.
    Text(usize),
    /// Upper-cased text of at most this many characters.
    UpperText(usize),
    /// One of these members.
    Enumeration(&'static [&'static str]),
    Decimal,
    Boolean,
    Guid,
    /// A date without time; nothing in the simulator can be set to one.
    Date,
    DateTime,
}

/// One property of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) writable: bool,
}

pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        writable: true,
    }
}

pub(super) const fn read_only(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        writable: false,
    }
}

const PARTY_TYPES: Kind = Kind::Enumeration(&["Company", "Person"]);

pub(super) const CUSTOMER: &[Field] = &[
    read_only("id", Kind::Guid),
    field("number", Kind::Code(20)),
    field("displayName", Kind::Text(100)),
    field("type", PARTY_TYPES),
    field("addressLine1", Kind::Text(100)),
    field("addressLine2", Kind::Text(50)),
    field("city", Kind::Text(30)),
    field("state", Kind::Text(30)),
    field("country", Kind::Code(10)),
    field("postalCode", Kind::Code(20)),
    field("phoneNumber", Kind::Text(30)),
    field("email", Kind::Text(80)),
    field("website", Kind::Text(255)),
    field("salespersonCode", Kind::Code(20)),
    read_only("balanceDue", Kind::Decimal),
    field("creditLimit", Kind::Decimal),
    field("taxLiable", Kind::Boolean),
    field("taxAreaId", Kind::Guid),
    read_only("taxAreaDisplayName", Kind::Text(100)),
    field("taxRegistrationNumber", Kind::UpperText(20)),
    field("currencyId", Kind::Guid),
    field("currencyCode", Kind::Code(10)),
    field("paymentTermsId", Kind::Guid),
    field("shipmentMethodId", Kind::Guid),
    field("paymentMethodId", Kind::Guid),
    field(
        "blocked",
        Kind::Enumeration(&[BLANK, "Ship", "Invoice", "All"]),
    ),
    read_only("lastModifiedDateTime", Kind::DateTime),
];

/// Customers with the fields of a merchant's own API page. Price group: Code[10], registration number: Text[50], GLN: Code[13]
/// (erp-apis §1.3); the other two are made up.
pub(super) static EXTENDED_CUSTOMER: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let mut fields = CUSTOMER.to_vec();
    fields.extend([
        field("customerPriceGroup", Kind::Code(10)),
        field("registrationNumber", Kind::Text(50)),
        field("gln", Kind::Code(13)),
        field("isVip", Kind::Boolean),
        field("segmentCode", Kind::Code(20)),
    ]);
    fields
});

/// The fields that the standard page of an entity has. A standard page cannot be extended.
pub(super) fn of_page(entity: Entity) -> Result<&'static [Field], Refused> {
    match entity {
        Entity::Customers => Ok(CUSTOMER),
        Entity::Contacts => Ok(CONTACT),
        _ => Err(Refused::method_not_allowed()),
    }
}

/// Whether these are the fields of customers.
pub(super) fn is_customer(fields: &[Field]) -> bool {
    fields.starts_with(CUSTOMER)
}

pub(super) const CONTACT: &[Field] = &[
    read_only("id", Kind::Guid),
    field("number", Kind::Code(20)),
    field("type", PARTY_TYPES),
    field("displayName", Kind::Text(100)),
    field("jobTitle", Kind::Text(30)),
    field("companyNumber", Kind::Code(20)),
    field("companyName", Kind::Text(100)),
    read_only(
        "contactBusinessRelation",
        Kind::Enumeration(&["None", "Customer", "Vendor"]),
    ),
    field("addressLine1", Kind::Text(100)),
    field("addressLine2", Kind::Text(50)),
    field("city", Kind::Text(30)),
    field("state", Kind::Text(30)),
    field("country", Kind::Code(10)),
    field("postalCode", Kind::Code(20)),
    field("phoneNumber", Kind::Text(30)),
    field("mobilePhoneNumber", Kind::Text(30)),
    field("email", Kind::Text(80)),
    field("website", Kind::Text(255)),
    field("searchName", Kind::Code(100)),
    field("privacyBlocked", Kind::Boolean),
    field("taxRegistrationNumber", Kind::UpperText(20)),
    read_only("lastInteractionDate", Kind::Date),
    read_only("lastModifiedDateTime", Kind::DateTime),
];

pub(super) const CONTACT_INFORMATION: &[Field] = &[
    read_only("contactId", Kind::Guid),
    read_only("contactNumber", Kind::Code(20)),
    read_only("contactName", Kind::Text(100)),
    read_only("contactType", PARTY_TYPES),
    read_only("relatedId", Kind::Guid),
    read_only("relatedType", Kind::Enumeration(&["Customer"])),
];

/// The part of a company that distinguishes it from others.
pub(super) const COMPANY: &[Field] = &[
    read_only("id", Kind::Guid),
    read_only("name", Kind::Text(30)),
    read_only("displayName", Kind::Text(250)),
];

/// The fields that a write names, checked for type and length, in the server's spelling and in the order of the body:
/// the fields are validated in that order (erp-apis §1.4).
#[derive(Debug, Clone, Default)]
pub(super) struct Changes(Vec<(&'static str, Value)>);

impl Changes {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let named = self.0.iter().find(|(it, _)| *it == name);
        named.map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A field that is named twice has its last value, in its first place.
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(it, _)| *it == name) {
            Some((_, there)) => *there = value,
            None => self.0.push((name, value)),
        }
    }

    /// In the order of a person at the screen, who says first whether it is a person or a company.
    pub(super) fn type_first(mut self) -> Self {
        self.0.sort_by_key(|(name, _)| *name != "type");
        self
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        let place = self.0.iter().position(|(it, _)| *it == name)?;
        Some(self.0.remove(place).1)
    }
}

impl IntoIterator for Changes {
    type Item = (&'static str, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The members of a JSON object in their order.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Reads the body of a write.
///
/// # Errors
/// For anything that is not a property of the entity, cannot be written, has the wrong type or is too long. There is
/// no null in Business Central, so a null is refused (erp-apis §1.2).
pub(super) fn read_changes(fields: &'static [Field], body: &[u8]) -> Result<Changes, Refused> {
    let body: Members = serde_json::from_slice(body)
        .map_err(|_| Refused::bad_request("The request body is not a JSON object."))?;
    let mut changes = Changes::default();
    for (name, value) in &body.0 {
        // Annotations such as `@odata.etag` are no properties.
        if name.contains('@') {
            continue;
        }
        let field = find(fields, name)?;
        if !field.writable {
            return Err(Refused::bad_request(format!(
                "The property '{name}' cannot be set."
            )));
        }
        changes.set(field.name, spelled(field, value)?);
    }
    Ok(changes)
}

/// The field with this name; names are case-sensitive.
pub(super) fn find(fields: &'static [Field], name: &str) -> Result<&'static Field, Refused> {
    fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(|| {
            Refused::bad_request(format!(
                "Could not find a property named '{name}' on the type of this resource."
            ))
        })
}

fn spelled(field: &Field, value: &Value) -> Result<Value, Refused> {
    let wrong_type = || {
        Refused::bad_request(format!(
            "Cannot convert the value of the property '{}' to its type.",
            field.name
        ))
    };
    let text = || value.as_str().ok_or_else(wrong_type);
    Ok(match field.kind {
        Kind::Code(maximum) => json!(fitting(&text()?.trim().to_uppercase(), maximum)?),
        Kind::Text(maximum) => json!(fitting(text()?, maximum)?),
        Kind::UpperText(maximum) => json!(fitting(&text()?.to_uppercase(), maximum)?),
        Kind::Enumeration(members) => json!(member(members, text()?).ok_or_else(wrong_type)?),
        Kind::Decimal => value
            .is_number()
            .then(|| value.clone())
            .ok_or_else(wrong_type)?,
        Kind::Boolean => json!(value.as_bool().ok_or_else(wrong_type)?),
        Kind::Guid => json!(Uuid::try_parse(text()?).map_err(|_| wrong_type())?),
        Kind::Date | Kind::DateTime => return Err(wrong_type()),
    })
}

/// The member of an enumeration; the blank one may also be written `" "` (erp-apis §1.2).
pub(super) fn member(members: &'static [&'static str], text: &str) -> Option<&'static str> {
    let text = if text == " " { BLANK } else { text };
    members.iter().copied().find(|&member| member == text)
}

/// Length as the server counts it: UTF-16 units.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn fitting(text: &str, maximum: usize) -> Result<&str, Refused> {
    match length(text) {
        length if length > maximum => Err(Refused::too_long(length, maximum, text)),
        _ => Ok(text),
    }
}

/// A row of a table. Every field of its entity has a value; what is empty is `""`, the zero GUID or `0001-01-01`.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Different after every write; the etag is made from it.
    pub(super) revision: u64,
    values: BTreeMap<&'static str, Value>,
}

impl Record {
    /// A record with the empty value in every field.
    pub(super) fn empty(fields: &'static [Field]) -> Self {
        let value = |kind| match kind {
            Kind::Code(_) | Kind::Text(_) | Kind::UpperText(_) => json!(""),
            Kind::Enumeration(members) => json!(members.first()),
            Kind::Decimal => json!(0),
            Kind::Boolean => json!(false),
            Kind::Guid => json!(Uuid::nil()),
            Kind::Date => json!("0001-01-01"),
            Kind::DateTime => json!("0001-01-01T00:00:00Z"),
        };
        Self {
            revision: 0,
            values: fields
                .iter()
                .map(|field| (field.name, value(field.kind)))
                .collect(),
        }
    }

    pub(super) fn value(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.value(name).as_str().unwrap_or_default()
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.insert(name, value.into());
    }

    pub(super) fn id(&self) -> Uuid {
        Uuid::try_parse(self.text("id")).unwrap_or_default()
    }

    pub(super) fn etag(&self) -> String {
        format!("W/\"JzIw{:012}MDsn\"", self.revision)
    }

    /// Marks a write: a new etag and a later time of change, to the millisecond.
    pub(super) fn touch(&mut self, revision: u64, now: DateTime<Utc>) {
        const FIELD: &str = "lastModifiedDateTime";
        let millisecond = chrono::TimeDelta::milliseconds(1);
        let later = DateTime::parse_from_rfc3339(self.text(FIELD))
            .map_or(now, |before| now.max(before.to_utc() + millisecond));
        self.revision = revision;
        self.set(FIELD, later.to_rfc3339_opts(SecondsFormat::Millis, true));
    }

    /// The record as JSON: the chosen fields, and the etag always.
    pub(super) fn to_json<'a>(&self, fields: impl IntoIterator<Item = &'a Field>) -> Value {
        let mut object: Map<String, Value> = fields
            .into_iter()
            .map(|field| (field.name.to_owned(), self.value(field.name).clone()))
            .collect();
        object.insert("@odata.etag".to_owned(), json!(self.etag()));
        Value::Object(object)
    }
}
