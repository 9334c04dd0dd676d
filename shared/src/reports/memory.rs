use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Reports, ReportsError};

/// Reports in memory, for everything that runs in one process.
#[derive(Debug, Default)]
pub struct MemoryReports(Mutex<BTreeMap<String, Bytes>>);

impl MemoryReports {
    /// Everything that was stored, by key.
    pub fn all(&self) -> BTreeMap<String, Bytes> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Reports for MemoryReports {
    async fn put(&self, key: &str, _: &str, body: Bytes) -> Result<(), ReportsError> {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(key.to_owned(), body);
        Ok(())
    }
}
