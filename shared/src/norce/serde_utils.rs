//! Deserializers for values that Norce writes in several formats.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// A list, or a single member without brackets.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Many(many) => many,
            Self::One(one) => vec![one],
        }
    }
}

/// A list, where `null` is an empty one.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A whole number, as a number or as a text: Norce's own `JobId` is "int32 as string" in one place and a number in
/// the other (norce-api §3.6, §4.2).
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// An id of Query's: a number, or the same as a text, as Norce's page on orders has ids of 64 bits (norce-api §5.1).
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    whole_number(&value).ok_or_else(|| de::Error::custom("an id is a whole number"))
}

/// [`id`], or `null`. Unlike in a [`reference()`], 0 is a value.
pub(super) fn optional_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    id(value).map(Some).map_err(de::Error::custom)
}

/// Whether a reference to another record names none: no record has the id 0, and a field without a value may be null, 0 or
/// an empty text (norce-api §5.1).
pub(super) fn names_none(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) if text.trim().is_empty() => true,
        value => whole_number(value) == Some(0),
    }
}

/// The [`id`] of another record; `None` where the field [names none](names_none). Anything else is an error, so that a record
/// of one application is not taken for a record of all.
pub(super) fn reference<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if names_none(&value) {
        return Ok(None);
    }
    id(value).map(Some).map_err(de::Error::custom)
}

/// [`whole_number`] for a field; `None` for anything else.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(whole_number(&Value::deserialize(deserializer)?))
}

/// A text that is not empty, or a number as text.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.trim().into()).filter(|text: &Cow<str>| !text.is_empty()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// [`text`] for a field of an undocumented type; `None` for anything else.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(text(&value).map(Cow::into_owned))
}

/// A flag of an undocumented type, as a boolean, a number or a text; `None` for anything else.
pub(super) fn optional_bool<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(value) => Some(value),
        Value::Number(number) => number.as_i64().map(|number| number != 0),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    })
}

/// A field by its name in any case; `null` counts as missing.
pub(super) fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields
        .get(name)
        .or_else(|| {
            fields
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        })
        .filter(|value| !value.is_null())
}

/// A time. Without an offset it is taken as UTC, as in Norce's date literals (norce-api §5.1).
pub(super) fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<NaiveDateTime>().ok().map(|at| at.and_utc()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_an_unknown_type_is_read_as_far_as_it_can_be_and_is_never_an_error() {
        for (value, text, truth) in [
            (json!(true), None, Some(true)),
            (json!("True"), Some("True"), Some(true)),
            (json!(0), Some("0"), Some(false)),
            (json!(" D-1 "), Some("D-1"), None),
            (json!(""), None, None),
            (json!([1]), None, None),
            (Value::Null, None, None),
        ] {
            assert_eq!(optional_text(&value).unwrap().as_deref(), text, "{value}");
            assert_eq!(optional_bool(&value).unwrap(), truth, "{value}");
        }
    }

    #[test]
    fn an_id_is_a_number_or_a_text_and_nothing_else() {
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(" 9876543210 "), Some(9_876_543_210)),
            (json!(-5), Some(-5)),
            (json!(""), None),
            (json!("5a"), None),
            (json!(5.5), None),
            (json!([5]), None),
            (json!(true), None),
            (Value::Null, None),
        ] {
            assert_eq!(id(&value).ok(), expected, "{value}");
            let optional = optional_id(&value).ok();
            let is_null = value.is_null();
            assert_eq!(
                optional,
                expected.map(Some).or(is_null.then_some(None)),
                "{value}"
            );
        }
    }
}
