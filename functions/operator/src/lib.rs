//! `operator`: answers the requests of people, from `sam remote invoke`, the AWS CLI or the console. JSON in and out, each answer
//! with a `summary`.
//!
//! ```text
//! call          a request with its caller; which requests are acts, for the activity record
//! roles         the role that a user of the console needs for each request
//! request       reads a request; `catalog`: the actions with their fields, and the errors about requests
//! actions       one file for each action
//! doctor        the checks, one file for each area
//! ports         what the actions use
//! process       builds what a request needs, and keeps clients between requests
//! selector      the customer or company that a request names
//! dry           dry runs: the rules of `change-events` over ports that write nothing
//! events        the logs of the functions
//! mapping_line  a code mapping as a line of a file
//! sentence      the sentences of answers: the text, and for other languages and for tools the code with its parameters
//! verdict       the outcome of a change as a sentence
//! error         refusals: why a request has no answer
//! ```
//!
//! The rules are those of the other functions, applied through their code.

mod actions;
mod answer;
mod call;
mod catalog;
mod configuration;
pub mod doctor;
mod dry;
mod error;
mod events;
mod mapping_line;
mod ports;
mod process;
mod request;
mod roles;
mod selector;
mod sentence;
mod verdict;

use std::sync::Arc;

use shared::{activity::Activity, domain::Clock, http::Deadline};

use crate::{
    actions::{activity::activity, help::help, owed::OwedAction, plan::PlanRequest},
    sentence::words,
};
pub use crate::{
    answer::Answer,
    call::Call,
    configuration::{Configuration, ReceivedOrders, Schedules},
    doctor::Doctor,
    error::{Refusal, Refused},
    mapping_line::MappingLine,
    ports::{FunctionLog, Ports, StackPorts, WorkQueue},
    process::Process,
    request::Request,
    roles::MAX_NAMED,
    sentence::{Language, Param, SENTENCES, SWEDISH, Sentence},
};

/// The use case.
pub struct Operator {
    /// What `doctor` checks, however faulty the set-up is.
    pub doctor: Doctor,
    /// The resources of the stack, or why they cannot be reached.
    pub stack: Result<StackPorts, String>,
    /// What all other actions use, or why it could not be built.
    pub ports: Result<Ports, String>,
    /// The activity record; `None`: the stack has no table for it yet, as between an update of the code and of the template.
    pub activity: Option<Arc<dyn Activity>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Operator {
    /// Answers a request. An act is recorded before it is done, and its outcome afterwards.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn answer(&self, call: Call, deadline: Deadline) -> Result<Answer, Refusal> {
        let deadline = call.deadline(deadline);
        let entry = call.entry(self.clock.as_ref());
        let (Some(record), Some(entry)) = (&self.activity, entry) else {
            return self.dispatch(call, deadline).await;
        };
        // An act that cannot be recorded is not done.
        record.start(&entry).await?;
        let id = entry.id;
        let result = self.dispatch(call, deadline).await;
        let (subjects, outcome) = call::outcome(entry, &result, self.clock.as_ref());
        if let Err(error) = record.complete(id, &subjects, &outcome).await {
            // The act is done; its entry stays `started`.
            tracing::warn!(%error, entry = %id, "the outcome of an act could not be written to the activity record");
        }
        result
    }

    async fn dispatch(&self, call: Call, deadline: Deadline) -> Result<Answer, Refusal> {
        call.check_role()?;
        let Call { request, by, .. } = call;
        let ports = || {
            let ports = self.ports.as_ref();
            ports.map_err(|reason| Refusal::SetUp(words(reason)))
        };
        let stack = || {
            let stack = self.stack.as_ref();
            stack.map_err(|reason| Refusal::SetUp(words(reason)))
        };
        Ok(match request {
            Request::Help {} => help().into(),
            Request::Doctor(asked) => self.doctor.examine(asked, deadline).await.into(),
            Request::Status {} => stack()?.status(deadline).await?.into(),
            Request::Explain(selector) => {
                Box::new(ports()?.explain(&selector, deadline).await?).into()
            }
            Request::Activity(request) => activity(self.activity.as_ref(), &request, deadline)
                .await?
                .into(),
            Request::Owed(request) => {
                // Only a retry sends anything.
                let change_events = match request.r#do {
                    OwedAction::Retry => Some(&ports()?.change_events),
                    _ => None,
                };
                let answer = stack()?.owed(&request, by, change_events, deadline);
                answer.await?.into()
            }
            Request::Replay(request) => ports()?.replay(&request, deadline).await?.into(),
            Request::Runs(request) => stack()?.runs(&request).await?.into(),
            Request::History(request) => stack()?.history(&request).await?.into(),
            Request::Plan(PlanRequest {
                mode: None,
                show: Some(plan),
                limit,
                ..
            }) => stack()?.show_plan(plan, limit).await?.into(),
            Request::Plan(request) => stack()?.start(&request.asked()?, true).await?.into(),
            Request::Pass(asked) => stack()?.start(&asked, false).await?.into(),
            Request::DeadLetters(request) => {
                stack()?.dead_letters(&request, deadline).await?.into()
            }
            Request::Jobs(request) => ports()?.jobs(&request, deadline).await?.into(),
            Request::Trial(request) => ports()?.trial(&request, deadline).await?.into(),
            Request::Forget(request) => ports()?.forget(&request, deadline).await?.into(),
            Request::Unbind(request) => ports()?.unbind(&request, deadline).await?.into(),
            Request::Rebind(request) => ports()?.rebind(&request, deadline).await?.into(),
            Request::ExportMappings(request) => ports()?.export(&request, deadline).await?.into(),
            Request::ImportMappings(request) => ports()?.import(&request, deadline).await?.into(),
        })
    }
}
