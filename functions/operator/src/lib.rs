//! `operator`: what a person asks and does, with `sam remote invoke` or the AWS CLI. JSON in and out, each answer with a
//! `summary` in words.
//!
//! ```text
//! request       reads a request; catalog: what can be asked, and what is wrong with a request
//! actions       one file for each action
//! doctor        is everything as it must be? one file for each area
//! ports         what the actions work with
//! selector      the customer or company that a request is about
//! dry           the rules of `change-events` over ports that write nothing
//! events        what the functions have logged
//! mapping_line  a code mapping as a line of a file
//! error, format why there is no answer; what several actions say in the same words
//! ```
//!
//! The rules are those of the other functions, and their code: nothing here decides anew what they decide.

mod actions;
mod answer;
mod catalog;
mod configuration;
pub mod doctor;
mod dry;
mod error;
mod events;
mod format;
mod mapping_line;
mod ports;
mod request;
mod selector;

use shared::http::Deadline;

use crate::actions::help::help;
pub use crate::{
    answer::Answer,
    configuration::{Configuration, Schedules},
    doctor::Doctor,
    error::Refusal,
    mapping_line::MappingLine,
    ports::{FunctionLog, Ports, WorkQueue},
    request::Request,
};

/// The use case.
pub struct Operator {
    /// What `doctor` examines; it is there however faulty the set-up is.
    pub doctor: Doctor,
    /// What everything else works with, or why there is nothing to work with.
    pub ports: Result<Ports, String>,
}

impl Operator {
    /// Answers a person.
    ///
    /// # Errors
    /// [`Refusal`], typed by what the person does next.
    pub async fn answer(&self, request: Request, deadline: Deadline) -> Result<Answer, Refusal> {
        let ports = || {
            let ports = self.ports.as_ref();
            ports.map_err(|reason| Refusal::SetUp(reason.clone()))
        };
        Ok(match request {
            Request::Help {} => help().into(),
            Request::Doctor {} => self.doctor.examine(deadline).await.into(),
            Request::Status {} => ports()?.status(deadline).await?.into(),
            Request::Explain(selector) => {
                Box::new(ports()?.explain(&selector, deadline).await?).into()
            }
            Request::Owed(request) => ports()?.owed(&request, deadline).await?.into(),
            Request::Replay(request) => ports()?.replay(&request, deadline).await?.into(),
            Request::Plan(asked) => ports()?.start(&asked, true).await?.into(),
            Request::Pass(asked) => ports()?.start(&asked, false).await?.into(),
            Request::DeadLetters(request) => {
                ports()?.dead_letters(&request, deadline).await?.into()
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
