//! The ports of the function.

use std::{collections::HashMap, sync::Arc};

use shared::{
    domain::{Clock, ImportRequest, JobMessage, Scope},
    erp::Erp,
    import_jobs::ImportJobs,
    mappings::RecordMappings,
    metrics::Metrics,
    norce::{NorceImports, NorceQuery},
    owed::OwedRecords,
    queues::Queue,
    runtime::{
        configuration::ImportSettings,
        resources::Resources,
        wiring::{Common, WiringError},
    },
};

use crate::Configuration;

/// The use case with its ports.
pub struct SubmitImports {
    /// Submits imports.
    pub norce: Arc<dyn NorceImports>,
    /// Reads the details of addresses and the relations that a row must not remove.
    pub query: Arc<dyn NorceQuery>,
    /// The import jobs and their lines.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// Takes the checks of jobs.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// Takes the halves of a batch that Norce refused.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// The code mappings, in which refused lines are noted.
    pub mappings: Arc<dyn RecordMappings>,
    /// The records that cannot be synced.
    pub owed: Arc<dyn OwedRecords>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The batch size.
    pub settings: ImportSettings,
    /// The ERP company of each scope, for the values of lines that import more than a code.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// `CREATE_ACCOUNTS`: customers that are inserted get a login for each of their shops.
    pub create_accounts: bool,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}

impl SubmitImports {
    /// Builds the function.
    ///
    /// # Errors
    /// When a secret cannot be read, or a client cannot be built.
    pub async fn build(
        configuration: &Configuration,
        resources: &impl Resources,
    ) -> Result<Self, WiringError> {
        let Configuration { common, .. } = configuration;
        let built = Common::build(common, resources).await?;
        Ok(Self {
            norce: built.norce.connect,
            query: built.norce.query,
            import_jobs: resources.import_jobs(&configuration.import_jobs_table),
            jobs: resources.queue(&configuration.jobs_queue_url),
            imports: resources.queue(&configuration.imports.queue_url),
            mappings: built.mappings,
            owed: built.owed,
            clock: resources.clock(),
            settings: configuration.import.clone(),
            erps: built
                .connections
                .erps(&configuration.erp, &common.shops)
                .await?,
            create_accounts: configuration.create_accounts,
            metrics: resources.metrics().clone(),
        })
    }
}
