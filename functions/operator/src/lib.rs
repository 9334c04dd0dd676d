//! `operator`: what a person asks and does, with `sam remote invoke` or the AWS CLI. JSON in and out, each answer with a
//! `summary` in words.
//!
//! ```text
//! catalog       what can be asked, and what is wrong with a request
//! doctor        is everything as it must be? each fault with its fix
//! status        what waits, what is owed, when was the last pass
//! explain       one customer or company: what is known, and what would happen now
//! owed          what could not be brought across: list, retry, dismiss
//! replay        look at entities as if an event had come
//! passes        start a pass, or its plan
//! dead_letters  count, show, redrive
//! jobs          imports that are under way
//! forget        forget a customer by hand (P12)
//! binding       unbind an entity from its ERP record, or rebind it to another one
//! transfer      export and import code mappings
//! events        what the functions have logged
//! dry           the rules of `change-events` over ports that write nothing
//! ```
//!
//! The rules are those of the other functions, and their code: nothing here decides anew what they decide.

mod answer;
mod binding;
mod catalog;
mod configuration;
mod dead_letters;
pub mod doctor;
mod dry;
mod events;
mod explain;
mod forget;
mod jobs;
mod owed;
mod passes;
mod replay;
mod request;
mod selector;
mod status;
mod transfer;

use std::sync::Arc;

use change_events::ChangeEvents;
use shared::{
    breakers::Breakers,
    domain::PassMessage,
    http::Deadline,
    import_jobs::ImportJobs,
    norce::NorceImports,
    passes::Passes,
    queues::{DeadLetters, Queue, QueueDepth},
    reports::Reports,
};

pub use crate::{
    answer::{Answer, Refusal},
    configuration::{Configuration, Schedules},
    doctor::Doctor,
    events::FunctionLog,
    request::Request,
    transfer::MappingLine,
};

/// The use case.
pub struct Operator {
    /// What `doctor` examines; it is there however faulty the set-up is.
    pub doctor: Doctor,
    /// What everything else works with, or why there is nothing to work with.
    pub ports: Result<Ports, String>,
}

/// Everything that the actions besides `doctor` need.
pub struct Ports {
    /// `change-events` with its ports, which are this function's too: its rules are asked and applied by hand.
    pub change_events: ChangeEvents,
    /// Looks at Norce's jobs.
    pub connect: Arc<dyn NorceImports>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// Runs and watermarks.
    pub passes: Arc<dyn Passes>,
    /// Starts passes.
    pub to_passes: Arc<dyn Queue<PassMessage>>,
    /// Where exports are left and imports are read from.
    pub reports: Arc<dyn Reports>,
    /// Every queue.
    pub queues: Vec<WorkQueue>,
    /// The remotes to which calls are paused.
    pub breakers: Arc<dyn Breakers>,
    /// The logs in which an entity's last events are looked for.
    pub logs: Vec<FunctionLog>,
    /// Why nothing is found in them, where that is known.
    pub no_logs: Option<String>,
}

/// A queue with its dead-letter queue, for people.
#[derive(Clone)]
pub struct WorkQueue {
    /// `changes`, `imports`, `jobs` or `passes`.
    pub name: &'static str,
    /// How much waits.
    pub depth: Arc<dyn QueueDepth>,
    /// What was given up.
    pub dead_letters: Arc<dyn DeadLetters>,
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
            Request::Help {} => catalog::help().into(),
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
