//! What the actions use.

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

/// The resources of the stack that need no secret of Norce, the ERP or the fingerprints.
#[derive(Clone)]
pub struct StackPorts {
    /// The owed records.
    pub owed: Arc<dyn OwedRecords>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// The runs and watermarks of passes.
    pub passes: Arc<dyn Passes>,
    /// The queue that starts passes.
    pub to_passes: Arc<dyn Queue<PassMessage>>,
    /// The reports of plans.
    pub reports: Arc<dyn Reports>,
    /// Every queue.
    pub queues: Vec<WorkQueue>,
    /// The breakers of the remotes.
    pub breakers: Arc<dyn Breakers>,
    /// The configured applications of Norce.
    pub shops: ApplicationSettings,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// What the actions need that call Norce or the ERP, or change bindings.
pub struct Ports {
    /// `change-events` with its ports, whose rules these actions apply.
    pub change_events: ChangeEvents,
    /// Reads Norce's jobs.
    pub connect: Arc<dyn NorceImports>,
    /// The import jobs.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// The bucket of exports and imports.
    pub reports: Arc<dyn Reports>,
    /// The logs that are searched for the last events of an entity.
    pub logs: Vec<FunctionLog>,
    /// Why the logs have no events, if that is known.
    pub no_logs: Option<String>,
}

/// A queue with its dead-letter queue.
#[derive(Clone)]
pub struct WorkQueue {
    /// `changes`, `imports`, `jobs` or `passes`.
    pub name: &'static str,
    /// Counts its messages.
    pub depth: Arc<dyn QueueDepth>,
    /// The dead-letter queue.
    pub dead_letters: Arc<dyn DeadLetters>,
}

/// The log of a function.
#[derive(Clone)]
pub struct FunctionLog {
    /// The function.
    pub function: &'static str,
    /// Its log lines.
    pub logs: Arc<dyn Logs>,
}
