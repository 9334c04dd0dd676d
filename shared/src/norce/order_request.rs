//! The order that Norce posts to an order receiver (norce-api §10.1): its references, its parties and their codes.
//!
//! The text of the order is kept. A missing code is inserted into it, and nothing else changes: neither the order of the fields,
//! nor a price, nor white space.

use std::{collections::HashMap, fmt, ops::Range};

use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use crate::domain::{Code, EmailKey, EntityKind, OrderText, Personal, VatNumber};

/// A party of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The buyer.
    SellTo,
    /// The payer.
    BillTo,
    /// The recipient.
    ShipTo,
}

impl Role {
    const ALL: [Self; 3] = [Self::SellTo, Self::BillTo, Self::ShipTo];

    /// The name of the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SellTo => "SellTo",
            Self::BillTo => "BillTo",
            Self::ShipTo => "ShipTo",
        }
    }
}

/// A place for a code: `Person.CustomerCode` or `Company.Code` of a party that has such an object.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The party.
    pub role: Role,
    /// The kind of code: a customer's or a company's.
    pub kind: EntityKind,
    /// The code that the order contains.
    pub given: Option<String>,
    /// The person's e-mail address as written.
    pub email: Option<Personal>,
    /// The company's VAT number.
    pub vat_number: Option<VatNumber>,
    /// The company's name.
    pub name: Option<Personal>,
    /// Identifies a party within the order: the normal form of a person's e-mail address, or a company's VAT number and name,
    /// as far as it has them. The schools of a municipality share a number.
    who: Option<Personal>,
    place: Place,
}

/// The position of the code in the text.
#[derive(Debug, Clone)]
struct Place {
    range: Range<usize>,
    /// The object has no such field. The separator between the new field and the next one.
    new_field: Option<&'static str>,
}

/// A body that is not an order. Errors contain no values.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAnOrder {
    /// Not JSON, or not an object.
    #[error("the body is not a JSON object (line {line}, column {column})")]
    NotJson {
        /// The line of the error.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// It has no reference to an order.
    #[error("the field `ClientOrderRef` is missing")]
    NoClientOrderRef,
    /// The key of the application is invalid.
    #[error("the field `Header.ApplicationKey` is not a UUID")]
    WrongApplicationKey,
}

/// The parts of an order that are used.
#[derive(Debug, Clone)]
pub struct OrderRequest<'a> {
    text: Redacted<'a>,
    /// `Header.ApplicationKey`, which the contract leaves optional.
    pub application_key: Option<Uuid>,
    /// `ClientOrderRef`: the basket or quotation.
    pub client_order_ref: String,
    /// Every place for a code, in the order SellTo, BillTo, ShipTo, the company before the person.
    pub slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
struct Redacted<'a>(&'a str);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[order]")
    }
}

impl Slot {
    /// Whether the order names a customer or company; an object whose fields are all empty names none.
    pub fn means_somebody(&self) -> bool {
        self.given.is_some() || self.who.is_some()
    }

    /// Whether the order identifies both parties as the same person or company.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.who.is_some() && self.who == other.who
    }

    /// The path of the field, for people.
    pub fn field(&self) -> String {
        let role = self.role.as_str();
        match self.kind {
            EntityKind::Customer => format!("{role}.Person.CustomerCode"),
            EntityKind::Company => format!("{role}.Company.Code"),
        }
    }
}

impl<'a> OrderRequest<'a> {
    /// Parses an order.
    ///
    /// # Errors
    /// If the body is not an order, or has no reference.
    pub fn read(text: &'a str) -> Result<Self, NotAnOrder> {
        let order = Object::read(text).map_err(|error| NotAnOrder::NotJson {
            line: error.line(),
            column: error.column(),
        })?;
        let application_key = order
            .object("Header")
            .and_then(|header| header.text("ApplicationKey"))
            .map(|key| key.parse().map_err(|_| NotAnOrder::WrongApplicationKey))
            .transpose()?;
        let client_order_ref = order
            .text("ClientOrderRef")
            .ok_or(NotAnOrder::NoClientOrderRef)?;
        let mut slots = Vec::new();
        for role in Role::ALL {
            let Some(party) = order.object(role.as_str()) else {
                continue;
            };
            if let Some(company) = party.object("Company") {
                let number = company.text("VatNo").and_then(|it| VatNumber::parse(&it));
                let number = number.map(|number| number.expose().to_owned());
                let who: Vec<String> = number.into_iter().chain(company.text("Name")).collect();
                let who = (!who.is_empty()).then(|| who.join("|"));
                slots.push(company.slot(text, role, EntityKind::Company, None, who));
            }
            if let Some(person) = party.object("Person") {
                let email = person.text("Email");
                let who = email.as_deref().and_then(EmailKey::parse);
                let who = who.map(|key| key.expose().to_owned());
                slots.push(person.slot(text, role, EntityKind::Customer, email, who));
            }
        }
        Ok(Self {
            text: Redacted(text),
            application_key,
            client_order_ref,
            slots,
        })
    }

    /// The order with these codes inserted.
    pub fn with_codes<'s>(
        &self,
        codes: impl IntoIterator<Item = (&'s Slot, &'s Code)>,
    ) -> OrderText {
        let mut codes: Vec<_> = codes.into_iter().collect();
        codes.sort_by_key(|(slot, _)| slot.place.range.start);
        let text = self.text.0;
        let mut filled = String::with_capacity(text.len() + codes.len() * Code::MAX_CHARS);
        let mut from = 0;
        for (slot, code) in codes {
            let Place { range, new_field } = &slot.place;
            filled.push_str(text.get(from..range.start).unwrap_or_default());
            if new_field.is_some() {
                filled.push_str(&format!("\"{}\":", name(slot.kind)));
            }
            filled.push_str(&serde_json::Value::from(code.as_str()).to_string());
            filled.push_str(new_field.unwrap_or_default());
            from = range.end;
        }
        filled.push_str(text.get(from..).unwrap_or_default());
        OrderText::new(filled)
    }
}

const fn name(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Customer => "CustomerCode",
        EntityKind::Company => "Code",
    }
}

/// An object within the text. Its values are slices of that text.
struct Object<'a> {
    text: &'a str,
    fields: HashMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let fields = serde_json::from_str(text)?;
        Ok(Self { text, fields })
    }

    /// A field by its name in any case, `null` included.
    fn field(&self, name: &str) -> Option<&'a str> {
        let exact = self.fields.get(name);
        let value = exact.or_else(|| {
            let mut fields = self.fields.iter();
            let field = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
            field.map(|(_, value)| value)
        });
        value.map(|value| value.get())
    }

    fn object(&self, name: &str) -> Option<Object<'a>> {
        let text = self.field(name).filter(|text| text.starts_with('{'))?;
        Object::read(text).ok()
    }

    /// A text that is not empty; another value as it is written.
    fn text(&self, name: &str) -> Option<String> {
        let value = self.field(name).filter(|value| *value != "null")?;
        let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn slot(
        &self,
        order: &str,
        role: Role,
        kind: EntityKind,
        email: Option<String>,
        who: Option<String>,
    ) -> Slot {
        let place = match self.field(name(kind)) {
            Some(value) => {
                let start = offset(order, value);
                Place {
                    range: start..start + value.len(),
                    new_field: None,
                }
            }
            None => {
                let start = offset(order, self.text) + "{".len();
                Place {
                    range: start..start,
                    new_field: Some(if self.fields.is_empty() { "" } else { "," }),
                }
            }
        };
        Slot {
            role,
            kind,
            given: self.text(name(kind)),
            email: email.and_then(Personal::parse),
            vat_number: self
                .text("VatNo")
                .filter(|_| kind == EntityKind::Company)
                .and_then(|number| VatNumber::parse(&number)),
            name: self
                .text("Name")
                .filter(|_| kind == EntityKind::Company)
                .and_then(Personal::parse),
            who: who.and_then(Personal::parse),
            place,
        }
    }
}

/// The offset of a slice within its text.
fn offset(text: &str, piece: &str) -> usize {
    piece.as_ptr().addr() - text.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORDER: &str = r#"{ "Header": {"ApplicationKey":"00000000-0000-0000-0000-000000000001"},
  "ClientOrderRef": "30001",  "Total": 1234567890123456789012.10,
  "SellTo": {"Company": {"Code": null, "Name": "Bolaget AB"}, "Person": {"FirstName":"Å","Email":"Anna@Example.com" , "CustomerCode" : "" }},
  "BillTo": {"Company": null, "Person": {}},
  "ShipTo": {"Person": {"Email":"anna@example.com"}, "Company": {"Code":"C9","Name":"Bolaget AB"}} }"#;

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_needed_is_read() {
        let order = OrderRequest::read(ORDER).unwrap();
        assert_eq!(order.application_key, Some(Uuid::from_u128(1)));
        assert_eq!(order.client_order_ref, "30001");
        let fields: Vec<_> = order.slots.iter().map(Slot::field).collect();
        assert_eq!(
            fields,
            [
                "SellTo.Company.Code",
                "SellTo.Person.CustomerCode",
                "BillTo.Person.CustomerCode",
                "ShipTo.Company.Code",
                "ShipTo.Person.CustomerCode"
            ]
        );
        let given: Vec<_> = order
            .slots
            .iter()
            .map(|slot| slot.given.as_deref())
            .collect();
        assert_eq!(given, [None, None, None, Some("C9"), None]);
        assert!(order.slots[1].is_same_as(&order.slots[4]));
        assert!(!order.slots[2].means_somebody());
    }

    #[test]
    fn codes_are_filled_in_and_nothing_else_is_touched() {
        let order = OrderRequest::read(ORDER).unwrap();
        let codes = [code("C1"), code("P\"2"), code("P3"), code("P4")];
        let slots = [0, 1, 2, 4].map(|index| &order.slots[index]);
        let filled = order.with_codes(slots.into_iter().zip(&codes));
        let expected = ORDER
            .replace(r#""Code": null"#, r#""Code": "C1""#)
            .replace(r#""CustomerCode" : """#, r#""CustomerCode" : "P\"2""#)
            .replace(r#""Person": {}"#, r#""Person": {"CustomerCode":"P3"}"#)
            .replace(
                r#"{"Email":"anna@example.com"}"#,
                r#"{"CustomerCode":"P4","Email":"anna@example.com"}"#,
            );
        assert_eq!(filled.expose(), expected);
        assert_eq!(order.with_codes([]).expose(), ORDER);
    }

    #[test]
    fn what_is_no_order_is_told_without_its_words() {
        let error = |text: &str| OrderRequest::read(text).unwrap_err().to_string();
        for text in ["", "[]", "anna", "<Order/>", r#"{"a":}"#, r#"{"a":1} x"#] {
            assert!(error(text).contains("not a JSON object"), "{text}");
        }
        assert!(error(r#"{"SellTo":{}}"#).contains("ClientOrderRef"));
        assert!(error(r#"{"ClientOrderRef":"  "}"#).contains("ClientOrderRef"));
        let key = error(r#"{"Header":{"ApplicationKey":"anna"},"ClientOrderRef":"1"}"#);
        assert!(
            key.contains("ApplicationKey") && !key.contains("anna"),
            "{key}"
        );
    }

    #[test]
    fn what_is_lenient_in_norce_is_taken() {
        let order =
            OrderRequest::read(r#"{"clientOrderRef":30001,"sellTo":"?","billTo":null}"#).unwrap();
        assert_eq!(order.client_order_ref, "30001");
        assert!(order.slots.is_empty());
    }

    #[test]
    fn p11_debug_shows_nothing_of_people() {
        let debug = format!("{:?}", OrderRequest::read(ORDER).unwrap()).to_lowercase();
        for word in ["anna", "bolaget", "å"] {
            assert!(!debug.contains(word), "{debug}");
        }
    }

    proptest! {
        /// Inserting codes changes nothing else, whatever the order contains.
        #[test]
        fn filling_is_the_same_as_setting_the_field(name in ".*", note in ".*", given in prop::option::of(Just("")), text in "[ -~]{1,20}") {
            prop_assume!(text.parse::<Code>().is_ok());
            let code: Code = text.parse().unwrap();
            let mut value = serde_json::json!({
                "Note": note,
                "ClientOrderRef": "1",
                "SellTo": { "Person": { "FirstName": name, "CustomerCode": given } },
            });
            let order = value.to_string();
            let order = OrderRequest::read(&order).unwrap();
            let filled = order.with_codes([(&order.slots[0], &code)]);
            value["SellTo"]["Person"]["CustomerCode"] = code.as_str().into();
            prop_assert_eq!(filled.expose(), value.to_string());
        }
    }
}
