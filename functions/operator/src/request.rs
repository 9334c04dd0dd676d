use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::without_values;

use crate::{
    Refusal,
    binding::BindingRequest,
    dead_letters::DeadLettersRequest,
    forget::ForgetRequest,
    jobs::JobsRequest,
    owed::OwedRequest,
    passes::PassAsked,
    replay::ReplayRequest,
    selector::Selector,
    transfer::{ExportRequest, ImportRequest},
};

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Whether everything is as it must be.
    Doctor {},
    /// What waits, what is owed, when was the last pass.
    Status {},
    /// One customer or company: what is known, and what would happen now.
    Explain(Selector),
    /// What could not be brought across.
    Owed(OwedRequest),
    /// Entities are looked at as if an event had come.
    Replay(ReplayRequest),
    /// The plan of a pass.
    Plan(PassAsked),
    /// A pass.
    Pass(PassAsked),
    /// What was given up.
    DeadLetters(DeadLettersRequest),
    /// Imports that are under way.
    Jobs(JobsRequest),
    /// A customer is forgotten by hand.
    Forget(ForgetRequest),
    /// An entity is as if it had never been bound to an ERP record.
    Unbind(BindingRequest),
    /// An entity is bound to another ERP record.
    Rebind(BindingRequest),
    /// The code mappings as JSON Lines.
    ExportMappings(ExportRequest),
    /// Code mappings from JSON Lines.
    ImportMappings(ImportRequest),
}

/// Who asks through the console, as the console's server says: `by` of a request. Nobody else sets it, because invoking
/// this function takes a right that only the console and people with access to AWS have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct By {
    /// The sign-in provider's own identifier of the person.
    pub user: String,
    /// What the person is called.
    #[serde(default)]
    pub name: Option<String>,
    /// `view`, `act` or `admin`. The console has checked it.
    pub role: String,
}

impl By {
    /// Takes `by` out of a request; `None`: somebody with access to AWS asks.
    ///
    /// # Errors
    /// When it is there and is something else.
    pub fn take(request: &mut Value) -> Result<Option<Self>, Refusal> {
        let by = request
            .as_object_mut()
            .and_then(|members| members.remove("by"));
        by.map(serde_json::from_value)
            .transpose()
            .map_err(|error| Refusal::Request(format!("`by`: {}", without_values(&error))))
    }
}

impl Request {
    /// Reads a request, after [`By::take`].
    ///
    /// # Errors
    /// What is wrong with it and what is accepted instead, in one sentence. Values are not repeated in full: one may be
    /// an e-mail address (P11).
    pub fn parse(text: Value) -> Result<Self, Refusal> {
        // Without an action the answer is the list of them.
        let text = match text.get("action") {
            Some(Value::String(_)) => text,
            _ => json!({ "action": "" }),
        };
        serde_json::from_value(text).map_err(|error| Refusal::Request(without_values(&error)))
    }
}
