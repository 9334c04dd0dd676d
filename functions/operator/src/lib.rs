//! `operator`: what a person asks and does, with `sam remote invoke` or the AWS CLI. JSON in and out, each answer with a
//! `summary` in words.
//!
//! ```text
//! call          a request and who makes it; which requests are acts, for the activity record
//! roles         the role that each request needs of a user of the console
//! request       reads a request; catalog: what can be asked, and what is wrong with a request
//! actions       one file for each action
//! doctor        is everything as it must be? one file for each area
//! ports         what the actions work with
//! process       builds what a request needs, and keeps clients between requests
//! selector      the customer or company that a request is about
//! dry           the rules of `change-events` over ports that write nothing
//! events        what the functions have logged
//! mapping_line  a code mapping as a line of a file
//! sentence      what answers say: the text, and for other languages and for tools the code and the parameters
//! verdict       how a look at an entity ended, as a sentence
//! error         why there is no answer
//! ```
//!
//! The rules are those of the other functions, and their code: no decision is made twice.

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
    /// What `doctor` examines; it is there however faulty the set-up is.
    pub doctor: Doctor,
    /// What is in the stack, or why it cannot be reached.
    pub stack: Result<StackPorts, String>,
    /// What everything else works with, or why there is nothing to work with.
    pub ports: Result<Ports, String>,
    /// What people did; `None`: the stack has no table for it yet, as between an update of the code and of the template.
    pub activity: Option<Arc<dyn Activity>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Operator {
    /// Answers a person. An act is noted before it is done, and what became of it afterwards.
    ///
    /// # Errors
    /// [`Refusal`], typed by what the person does next.
    pub async fn answer(&self, call: Call, deadline: Deadline) -> Result<Answer, Refusal> {
        let deadline = call.deadline(deadline);
        let entry = call.entry(self.clock.as_ref());
        let (Some(record), Some(entry)) = (&self.activity, entry) else {
            return self.dispatch(call, deadline).await;
        };
        // What cannot be noted is not done.
        record.start(&entry).await?;
        let id = entry.id;
        let result = self.dispatch(call, deadline).await;
        let (subjects, outcome) = call::outcome(entry, &result, self.clock.as_ref());
        if let Err(error) = record.complete(id, &subjects, &outcome).await {
            // It is done; its entry says that it was started.
            tracing::warn!(%error, entry = %id, "an entry of the activity record was not completed");
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
            Request::Forget(request) => ports()?.forget(&request, deadline).await?.into(),
            Request::Unbind(request) => ports()?.unbind(&request, deadline).await?.into(),
            Request::Rebind(request) => ports()?.rebind(&request, deadline).await?.into(),
            Request::ExportMappings(request) => ports()?.export(&request, deadline).await?.into(),
            Request::ImportMappings(request) => ports()?.import(&request, deadline).await?.into(),
        })
    }
}
