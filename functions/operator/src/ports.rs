//! What the actions work with.

use std::sync::Arc;

use change_events::ChangeEvents;
use shared::{
    breakers::Breakers,
    domain::{ApplicationSettings, Clock, PassMessage},
    import_jobs::ImportJobs,
    logs::Logs,
    norce::NorceImports,
    owed::OwedRecords,
    passes::Passes,
    queues::{DeadLetters, Queue, QueueDepth},
    reports::Reports,
};

/// What is in the stack, and needs no secret of Norce, the ERP or the fingerprints: what waits, what is owed, what has run.
#[derive(Clone)]
pub struct StackPorts {
    /// What is owed.
    pub owed: Arc<dyn OwedRecords>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// Runs and watermarks.
    pub passes: Arc<dyn Passes>,
    /// Starts passes.
    pub to_passes: Arc<dyn Queue<PassMessage>>,
    /// Where plans leave their reports.
    pub reports: Arc<dyn Reports>,
    /// Every queue.
    pub queues: Vec<WorkQueue>,
    /// The remotes to which calls are paused.
    pub breakers: Arc<dyn Breakers>,
    /// Which shops there are.
    pub shops: ApplicationSettings,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// What the actions need that ask Norce or the ERP, or change what is bound.
pub struct Ports {
    /// `change-events` with its ports, which are this function's too: its rules are asked and applied by hand.
    pub change_events: ChangeEvents,
    /// Looks at Norce's jobs.
    pub connect: Arc<dyn NorceImports>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// Where exports are left and imports are read from.
    pub reports: Arc<dyn Reports>,
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

/// The log of a function.
#[derive(Clone)]
pub struct FunctionLog {
    /// The function.
    pub function: &'static str,
    /// Its log.
    pub logs: Arc<dyn Logs>,
}
