use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use shared::{
    StoreError,
    reports::{LONGEST_READ, Reports, too_long},
};

/// Reports in memory.
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
    async fn put(&self, key: &str, _: &str, body: Bytes) -> Result<(), StoreError> {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(key.to_owned(), body);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let body = self.all().remove(key);
        match &body {
            Some(body) if body.len() > LONGEST_READ => Err(too_long(key, body.len())),
            _ => Ok(body),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let keys = self.all().into_keys();
        Ok(keys
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .collect())
    }
}
