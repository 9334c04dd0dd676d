//! Reports for people: objects that are written once, and read in the console or with the AWS CLI.

mod memory;
mod s3;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

pub use memory::MemoryReports;
pub use s3::S3Reports;

/// The store failed. It is always worth trying again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the reports cannot be reached: {0}")]
pub struct ReportsError(pub String);

/// The store of the reports.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Stores a report under a key such as `plans/<run>/report.html`, in place of an earlier one.
    async fn put(&self, key: &str, content_type: &str, body: Bytes) -> Result<(), ReportsError>;
}
