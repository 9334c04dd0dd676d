use serde::Deserialize;
use serde_json::Value;
use shared::domain::redact;

use crate::{OwedRequest, Refusal};

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "a request such as {\"action\":\"status\"}"
)]
pub enum Request {
    /// Whether everything is as it must be.
    Doctor {},
    /// What waits, what is owed, when was the last pass.
    Status {},
    /// What could not be brought across.
    Owed(OwedRequest),
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it and what is accepted instead, in one sentence. Values are not repeated in full: one may be
    /// an e-mail address (P11).
    pub fn parse(text: Value) -> Result<Self, Refusal> {
        serde_json::from_value(text).map_err(|error| Refusal::Request(redact(&error.to_string())))
    }
}
