use serde::Deserialize;
use serde_json::Value;
use shared::domain::without_values;

use crate::{
    actions::{
        activity::ActivityRequest, binding::BindingRequest, dead_letters::DeadLettersRequest,
        export_mappings::ExportRequest, forget::ForgetRequest, history::HistoryRequest,
        import_mappings::ImportRequest, jobs::JobsRequest, owed::OwedRequest, pass::PassAsked,
        plan::PlanRequest, replay::ReplayRequest, runs::RunsRequest, trial::TrialRequest,
    },
    catalog::{self, ACTION, EVERYWHERE},
    doctor::DoctorRequest,
    error::Refusal,
    selector::Selector,
};

/// A request. `catalog.rs` describes each of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Lists the actions.
    Help {},
    /// Checks the whole set-up.
    Doctor(DoctorRequest),
    /// Reports messages, owed records, imports and passes.
    Status {},
    /// Explains one customer or company.
    Explain(Selector),
    /// Lists what people did.
    Activity(ActivityRequest),
    /// Lists, retries, dismisses or restores owed records.
    Owed(OwedRequest),
    /// Checks entities as if an event had come.
    Replay(ReplayRequest),
    /// Lists the runs of passes.
    Runs(RunsRequest),
    /// Lists how many records were owed over time.
    History(HistoryRequest),
    /// Makes or shows the plan of a pass.
    Plan(PlanRequest),
    /// Starts a pass.
    Pass(PassAsked),
    /// Counts, shows or redrives dead letters.
    DeadLetters(DeadLettersRequest),
    /// Lists the imports under way.
    Jobs(JobsRequest),
    /// Tries the set-up of the ERP.
    Trial(TrialRequest),
    /// Forgets a customer.
    Forget(ForgetRequest),
    /// Removes the binding of a customer or company.
    Unbind(BindingRequest),
    /// Binds a customer or company to another ERP record.
    Rebind(BindingRequest),
    /// Exports the code mappings.
    ExportMappings(ExportRequest),
    /// Imports code mappings.
    ImportMappings(ImportRequest),
}

impl Request {
    /// Reads a request. An empty one asks for help.
    ///
    /// # Errors
    /// What is wrong with it, and what is accepted. Values are not repeated: they may be e-mail addresses (P11).
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
        // A field that is null counts as absent.
        request.retain(|name, value| name == ACTION || !value.is_null());
        for field in &EVERYWHERE {
            request.remove(field.name);
        }
        serde_json::from_value(Value::Object(request))
            .map_err(|error| Refusal::request(without_values(&error)))
    }
}
