use serde::Deserialize;
use serde_json::Value;
use shared::domain::without_values;

use crate::{
    actions::{
        activity::ActivityRequest, binding::BindingRequest, dead_letters::DeadLettersRequest,
        export_mappings::ExportRequest, forget::ForgetRequest, history::HistoryRequest,
        import_mappings::ImportRequest, jobs::JobsRequest, owed::OwedRequest, pass::PassAsked,
        plan::PlanRequest, replay::ReplayRequest, runs::RunsRequest,
    },
    catalog::{self, ACTION, EVERYWHERE},
    doctor::DoctorRequest,
    error::Refusal,
    selector::Selector,
};

/// What a person asks for. Each is described in `catalog.rs`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What can be asked.
    Help {},
    /// Whether everything is as it must be.
    Doctor(DoctorRequest),
    /// What waits, what is owed, when was the last pass.
    Status {},
    /// One customer or company: what is known, and what would happen now.
    Explain(Selector),
    /// What people did.
    Activity(ActivityRequest),
    /// Records that cannot be synced yet.
    Owed(OwedRequest),
    /// Entities are looked at as if an event had come.
    Replay(ReplayRequest),
    /// The runs of the passes.
    Runs(RunsRequest),
    /// How much was owed.
    History(HistoryRequest),
    /// The plan of a pass: made, or shown.
    Plan(PlanRequest),
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

impl Request {
    /// Reads a request. An empty one asks for help.
    ///
    /// # Errors
    /// What is wrong with it and what is accepted instead. Values are not repeated: one may be an e-mail address (P11).
    pub fn parse(text: Value) -> Result<Self, Refusal> {
        let mut request = match text {
            Value::Null => return Ok(Self::Help {}),
            Value::Object(request) if request.is_empty() => return Ok(Self::Help {}),
            Value::Object(request) => request,
            _ => {
                return Err(Refusal::request(
                    "a request is a JSON object, for example {\"action\":\"status\"}; {\"action\":\"help\"} lists every action",
                ));
            }
        };
        catalog::check(&request)?;
        // A field without a value is as good as none.
        request.retain(|name, value| name == ACTION || !value.is_null());
        for field in &EVERYWHERE {
            request.remove(field.name);
        }
        serde_json::from_value(Value::Object(request))
            .map_err(|error| Refusal::request(without_values(&error)))
    }
}
