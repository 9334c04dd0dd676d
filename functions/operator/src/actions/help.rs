//! `help`: every action with a description, an example and its fields.

use serde::Serialize;
use serde_json::Value;

use crate::{
    catalog::{ACTIONS, EVERYWHERE, Field},
    sentence::{self, Sentence, say},
};

/// The answer to `help`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Help {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// Every action.
    pub actions: Vec<ActionHelp>,
    /// The fields that every request may have.
    pub everywhere: Vec<FieldHelp>,
}

/// The description of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionHelp {
    /// Its name.
    pub action: &'static str,
    /// What it does.
    pub does: &'static str,
    /// A complete request.
    pub example: Value,
    /// Its fields besides `action`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldHelp>,
}

/// The description of a field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldHelp {
    /// Its name.
    pub field: &'static str,
    /// The form of its value.
    pub is: &'static str,
    /// An example of a value.
    pub example: Value,
    /// Whether the action requires it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl From<&'static Field> for FieldHelp {
    fn from(field: &'static Field) -> Self {
        Self {
            field: field.name,
            is: field.what,
            example: json(field.sample),
            required: field.is_required,
        }
    }
}

/// Parses a text of the catalogue. The tests of `help` fail for a text that is not JSON.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The answer to `help` and to an empty request.
pub(crate) fn help() -> Help {
    let actions = ACTIONS.iter().map(|action| ActionHelp {
        action: action.name,
        does: action.does,
        example: json(action.example),
        fields: action.fields().map(FieldHelp::from).collect(),
    });
    Help {
        summary: say!("help", actions = ACTIONS.len()),
        actions: actions.collect(),
        everywhere: EVERYWHERE.iter().map(FieldHelp::from).collect(),
    }
}
