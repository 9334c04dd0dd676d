//! What the function is made of.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{Clock, ImportRequest, JobMessage, Shops},
    import_jobs::ImportJobs,
    mappings::RecordMappings,
    norce::{NorceImports, NorceQuery},
    owed::OwedRecords,
    passes::Passes,
    queues::Queue,
    runtime::metrics::Metrics,
};

/// The use case with everything that it needs.
pub struct PollJobs {
    /// Reads jobs.
    pub norce: Arc<dyn NorceImports>,
    /// Reads back codes.
    pub query: Arc<dyn NorceQuery>,
    /// Which lines went in which job.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// To look again later.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// For lines that are submitted again.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// To confirm codes.
    pub mappings: Arc<dyn RecordMappings>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// Lines that wait for a company.
    pub passes: Arc<dyn Passes>,
    /// Which shops there are: the customers of all of them may wait for a company that they share.
    pub shops: Shops,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// After this time a line without an outcome is owed.
    pub give_up_after: Duration,
    /// What an invocation measures.
    pub metrics: Metrics,
}
