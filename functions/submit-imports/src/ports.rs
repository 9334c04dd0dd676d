//! What the function is made of.

use std::{collections::HashMap, sync::Arc};

use shared::{
    domain::{Clock, ImportRequest, JobMessage, Scope},
    erp::Erp,
    import_jobs::ImportJobs,
    mappings::RecordMappings,
    norce::{NorceImports, NorceQuery},
    owed::OwedRecords,
    queues::Queue,
    runtime::{configuration::ImportSettings, metrics::Metrics},
};

/// The use case with everything that it needs.
pub struct SubmitImports {
    /// Writes to Norce.
    pub norce: Arc<dyn NorceImports>,
    /// Reads what a row must not take away: details of addresses, and relations.
    pub query: Arc<dyn NorceQuery>,
    /// Which lines went in which job.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// To look after the jobs.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// For halves of a batch that Norce refused.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// To note a line that Norce refused.
    pub mappings: Arc<dyn RecordMappings>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Batch size.
    pub settings: ImportSettings,
    /// Reads the values of lines that import more than a code.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// `CREATE_ACCOUNTS`: customers that are inserted get a login for each of their shops.
    pub create_accounts: bool,
    /// What an invocation measures.
    pub metrics: Metrics,
}
