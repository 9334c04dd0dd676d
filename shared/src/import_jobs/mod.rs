//! Import jobs: which lines went to Norce in which job, and how far it has come.
//!
//! A batch is recorded *before* Norce is called, under an id of ours, and gets Norce's job id afterwards. A crash in
//! between leaves a batch without a job, which the poller settles by reading back: nothing is lost.

mod dynamodb;
mod memory;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbImportJobs;
pub use memory::MemoryImportJobs;

use crate::{
    StoreError,
    domain::{EntityKind, ImportLine, Scope},
    norce::JobId,
};

/// Lines in a batch that say more than a code: with the longest codes 500 of them take some 300 of the 400 KB that a
/// batch may have.
pub const MOST_FULL_LINES: usize = 500;

/// Lines that go to Norce as one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportBatch {
    /// Our id.
    pub id: Uuid,
    /// Customers or companies.
    pub kind: EntityKind,
    /// The register.
    pub scope: Scope,
    /// The lines that are not settled yet.
    pub lines: Vec<ImportLine>,
    /// How far it has come.
    pub state: BatchState,
    /// When it was recorded: just before the call to Norce.
    pub recorded_at: DateTime<Utc>,
    /// When its lines were first submitted, in this batch or in an earlier one. The age since then decides when to
    /// give up.
    pub since: DateTime<Utc>,
}

/// How far a batch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum BatchState {
    /// Norce is being called, or the caller died before it could note the job.
    Submitting,
    /// Norce has the lines as this job.
    Submitted {
        /// Norce's id.
        job: JobId,
    },
    /// Every line is settled. Kept for a while as evidence.
    Settled,
}

/// The store of import jobs.
#[async_trait]
pub trait ImportJobs: Send + Sync {
    /// Records a batch in state [`BatchState::Submitting`]. Repeating it changes nothing.
    async fn record(&self, batch: &ImportBatch) -> Result<(), StoreError>;

    /// Notes Norce's id of a batch's job. A settled batch stays settled, and one that is not there is not made.
    async fn submitted(&self, batch: Uuid, job: JobId) -> Result<(), StoreError>;

    /// Removes a batch that Norce has certainly not taken. One that has its job stays.
    async fn withdraw(&self, batch: Uuid) -> Result<(), StoreError>;

    /// A batch by our id.
    async fn get(&self, batch: Uuid) -> Result<Option<ImportBatch>, StoreError>;

    /// A batch by Norce's job id.
    async fn by_job(&self, job: JobId) -> Result<Option<ImportBatch>, StoreError>;

    /// Notes that every line of a batch is settled, and drops the lines.
    async fn settle(&self, batch: Uuid) -> Result<(), StoreError>;

    /// The batches that are not settled, the oldest first. Reads the whole store: for people.
    async fn open(&self) -> Result<Vec<ImportBatch>, StoreError>;
}
