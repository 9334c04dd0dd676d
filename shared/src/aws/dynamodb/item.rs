//! Items, made of serde values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The partition key of every table.
pub(crate) const KEY: &str = "pk";
/// The time-to-live attribute of every table that has one: seconds since 1970.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The attribute with the id of the put on a condition that stored an item ([`single`](super::single)). No stored struct may have a
/// field of this name.
pub(super) const PUT_ID: &str = "put_id";

/// The attributes of an item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A value as an attribute.
pub(super) fn attribute(value: impl Serialize) -> Result<AttributeValue, String> {
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    Ok(to_attribute(value))
}

/// The attributes of a struct, without absent values.
pub(super) fn to_item(value: &impl Serialize) -> Result<Item, String> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, to_attribute(value)))
            .collect()),
        Ok(_) => Err("only a struct can be an item".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The struct in an item. `record` names it in an error, which does not quote the item.
pub(super) fn from_item<T: DeserializeOwned>(item: Item, record: &str) -> Result<T, String> {
    let fields = item
        .into_iter()
        .map(|(name, value)| Some((name, from_attribute(value)?)))
        .collect::<Option<serde_json::Map<_, _>>>();
    fields
        .and_then(|fields| serde_json::from_value(Value::Object(fields)).ok())
        .ok_or_else(|| format!("the item of {record} has an unexpected shape"))
}

fn to_attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(flag),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(to_attribute).collect()),
        Value::Object(fields) => AttributeValue::M(
            fields
                .into_iter()
                .map(|(name, value)| (name, to_attribute(value)))
                .collect(),
        ),
    }
}

/// `None`: a type that no value of ours has (binary, sets).
fn from_attribute(value: AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::N(number) => Value::Number(number.parse().ok()?),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(values) => Value::Array(
            values
                .into_iter()
                .map(from_attribute)
                .collect::<Option<_>>()?,
        ),
        AttributeValue::M(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| Some((name, from_attribute(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        count: i64,
        absent: Option<String>,
        nested: HashMap<String, Vec<bool>>,
    }

    #[test]
    fn a_struct_survives_the_way_through_an_item() {
        let sample = Sample {
            name: "å".to_owned(),
            count: i64::MAX,
            absent: None,
            nested: HashMap::from([("a".to_owned(), vec![true, false])]),
        };
        let item = to_item(&sample).unwrap();
        assert!(!item.contains_key("absent"));
        assert_eq!(from_item::<Sample>(item, "sample").unwrap(), sample);
    }

    #[test]
    fn p11_an_item_that_cannot_be_read_is_named_but_not_quoted() {
        let item = Item::from([("name".to_owned(), text("anna@example.com"))]);
        let error = from_item::<Sample>(item, "customer/client/1").unwrap_err();
        assert_eq!(
            error,
            "the item of customer/client/1 has an unexpected shape"
        );
    }
}
