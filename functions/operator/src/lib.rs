//! `operator`: what a person asks and does, with `sam remote invoke` or the AWS CLI. JSON in and out, each answer with a
//! `summary` in words.
//!
//! ```text
//! doctor        is everything as it must be? each fault with its cure
//! status        what waits, what is owed, when was the last pass
//! explain       one customer or company: what is known, and what would happen now
//! owed          what could not be brought across: list, retry, dismiss
//! replay        look at entities as if an event had come
//! plan, pass    start a pass, or its plan
//! dead_letters  count, show, redrive
//! jobs          imports that are under way
//! forget        forget a customer by hand (P12)
//! transfer      export and import code mappings
//! dry           the rules of `change-events` over ports that write nothing
//! ```
//!
//! The rules are those of the other functions, and their code: nothing here decides anew what they decide.

mod answer;
mod configuration;
pub mod doctor;
mod owed;
mod request;
mod status;

use std::sync::Arc;

use change_events::ChangeEvents;
use shared::{
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
    owed::{OwedAction, OwedRequest},
    request::Request,
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
        if let Request::Doctor {} = request {
            return Ok(self.doctor.examine(deadline).await.into());
        }
        let ports = self
            .ports
            .as_ref()
            .map_err(|reason| Refusal::SetUp(reason.clone()))?;
        Ok(match request {
            Request::Doctor {} => self.doctor.examine(deadline).await.into(),
            Request::Status {} => ports.status().await?.into(),
            Request::Owed(request) => ports.owed(&request).await?.into(),
        })
    }
}
