//! The ports of the function.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{ApplicationSettings, Clock, ImportRequest, JobMessage},
    import_jobs::ImportJobs,
    mappings::RecordMappings,
    metrics::Metrics,
    norce::{NorceImports, NorceQuery},
    owed::OwedRecords,
    passes::Passes,
    queues::Queue,
    runtime::{
        resources::Resources,
        wiring::{Common, WiringError},
    },
};

use crate::Configuration;

/// The use case with its ports.
pub struct PollJobs {
    /// Reads the status of jobs.
    pub norce: Arc<dyn NorceImports>,
    /// Reads codes back.
    pub query: Arc<dyn NorceQuery>,
    /// The import jobs and their lines.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// Takes further checks of jobs.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// Takes lines that are submitted again.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// The code mappings, in which codes are confirmed.
    pub mappings: Arc<dyn RecordMappings>,
    /// The records that cannot be synced.
    pub owed: Arc<dyn OwedRecords>,
    /// The lines that wait for a company.
    pub passes: Arc<dyn Passes>,
    /// The applications and their scopes: customers of all of them may wait for a company that they share.
    pub shops: ApplicationSettings,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The time after which a line without an outcome is owed.
    pub give_up_after: Duration,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}

impl PollJobs {
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
            jobs: resources.queue(&configuration.jobs.queue_url),
            imports: resources.queue(&configuration.imports_queue_url),
            mappings: built.mappings,
            owed: built.owed,
            passes: resources.passes(&configuration.passes_table),
            shops: common.shops.clone(),
            clock: resources.clock(),
            give_up_after: configuration.import.give_up_after,
            metrics: resources.metrics().clone(),
        })
    }
}
