//! Reports for people, and exports: objects that are written once and read in the console or with the AWS CLI.

mod s3;

use std::fmt::Display;

use async_trait::async_trait;
use bytes::Bytes;

pub use s3::S3Reports;

use crate::{StoreError, port::port};

/// Maximum size of an object that is read, in bytes: a function with 256 MB holds it in memory.
pub const LONGEST_READ: usize = 32 * 1024 * 1024;

fn failed(reason: impl Display) -> StoreError {
    StoreError::new("reports", reason)
}

/// The error for an object that is longer than [`LONGEST_READ`].
pub fn too_long(key: &str, bytes: usize) -> StoreError {
    failed(format_args!(
        "{key} has {bytes} bytes, and at most {LONGEST_READ} are read: split it"
    ))
}

port! {
    /// The store of the reports.
    pub trait Reports, layer ReportsLayer, error StoreError {
        reads:
        /// An object; `None` if there is none with this key.
        ///
        /// # Errors
        /// Also if it is longer than [`LONGEST_READ`].
        async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

        /// A page of the keys with this prefix, in order, starting after `after`; empty if there are no more.
        async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError>;

        writes:
        /// Stores a report under a key such as `plans/<run>/report.html`, in place of an earlier one.
        async fn put(&self, key: &str, content_type: &str, body: Bytes) -> Result<(), StoreError>;
    }
}
