//! Reports for people, and exports: objects that are written once, and read in the console or with the AWS CLI.

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

/// What is read is held whole by a function that has 256 MB.
pub const LONGEST_READ: usize = 32 * 1024 * 1024;

fn too_long(key: &str, bytes: usize) -> ReportsError {
    ReportsError(format!(
        "{key} has {bytes} bytes, and at most {LONGEST_READ} are read: split it"
    ))
}

/// The store of the reports.
#[async_trait]
pub trait Reports: Send + Sync {
    /// Stores a report under a key such as `plans/<run>/report.html`, in place of an earlier one.
    async fn put(&self, key: &str, content_type: &str, body: Bytes) -> Result<(), ReportsError>;

    /// An object; `None`: there is none with this key.
    ///
    /// # Errors
    /// Also when it is longer than [`LONGEST_READ`].
    async fn get(&self, key: &str) -> Result<Option<Bytes>, ReportsError>;

    /// Some of the keys that begin like this, in their order, beginning after `after`; none: there are no more.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, ReportsError>;
}
