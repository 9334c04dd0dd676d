//! Import jobs: the lines that were submitted to Norce, and the state of each job.
//!
//! A batch is recorded *before* Norce is called, under our own id, and gets Norce's job id afterwards. A crash in between
//! leaves a batch without a job, which the poller settles by reading Norce: nothing is lost.

mod dynamodb;
mod settle;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbImportJobs;
pub use settle::Settlement;

use crate::{
    StoreError,
    domain::{EntityKind, ImportLine, JobId, Scope},
    port::port,
};

/// Maximum number of lines with more than a code in a batch: with the longest codes, 500 of them take some 300 of the
/// 400 KB limit.
pub const MOST_FULL_LINES: usize = 500;

/// Lines that are submitted to Norce as one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBatch {
    /// Our id.
    pub id: Uuid,
    /// Customers or companies.
    pub kind: EntityKind,
    /// The scope.
    pub scope: Scope,
    /// The lines that are not settled yet.
    pub lines: Vec<ImportLine>,
    /// The state.
    pub state: BatchState,
    /// When it was recorded: just before the call to Norce.
    pub recorded_at: DateTime<Utc>,
    /// When its lines were first submitted, in this batch or an earlier one. Submitting is given up by this age.
    pub since: DateTime<Utc>,
}

/// The state of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum BatchState {
    /// Norce is being called, or the caller crashed before it recorded the job.
    Submitting,
    /// Norce has accepted the lines as this job.
    Submitted {
        /// Norce's id.
        job: JobId,
    },
    /// Every line is settled. The batch is kept for a while as evidence.
    Settled,
}

port! {
    /// The store of import jobs.
    pub trait ImportJobs, layer ImportJobsLayer, error StoreError {
        reads:
        /// A batch by our id.
        async fn get(&self, batch: Uuid) -> Result<Option<ImportBatch>, StoreError>;

        /// A batch by Norce's job id.
        async fn by_job(&self, job: JobId) -> Result<Option<ImportBatch>, StoreError>;

        /// The unsettled batches, the oldest first. Reads the whole store: for people.
        async fn open(&self) -> Result<Vec<ImportBatch>, StoreError>;

        writes:
        /// Records a batch in state [`BatchState::Submitting`]. Idempotent.
        async fn record(&self, batch: &ImportBatch) -> Result<(), StoreError>;

        /// Records Norce's id of a batch's job. A settled batch stays settled, and a missing one is not created.
        async fn submitted(&self, batch: Uuid, job: JobId) -> Result<(), StoreError>;

        /// Removes a batch that Norce has certainly not accepted. A batch with a job stays.
        async fn withdraw(&self, batch: Uuid) -> Result<(), StoreError>;

        /// Records that every line of a batch is settled, and removes the lines.
        async fn settle(&self, batch: Uuid) -> Result<(), StoreError>;
    }
}
