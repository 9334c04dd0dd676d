use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{NewOwed, Owed, OwedError, OwedRecords, Stage, Subject, key};

/// Owed records in memory, for everything that runs in one process.
#[derive(Debug, Default)]
pub struct MemoryOwed(Mutex<HashMap<String, Owed>>);

impl MemoryOwed {
    fn records(&self) -> MutexGuard<'_, HashMap<String, Owed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OwedRecords for MemoryOwed {
    async fn put(&self, owed: NewOwed) -> Result<(), OwedError> {
        let mut records = self.records();
        let key = key(&owed.subject, owed.stage);
        let (first, attempts) = match records.get(&key) {
            // The same attempt, done again after a crash.
            Some(earlier) if earlier.correlation == owed.correlation => return Ok(()),
            Some(earlier) => (earlier.first, earlier.attempts.saturating_add(1)),
            None => (owed.at, 1),
        };
        let record = Owed {
            subject: owed.subject,
            stage: owed.stage,
            reason: owed.reason,
            detail: owed.detail,
            code: owed.code,
            first,
            last: owed.at,
            attempts,
            correlation: owed.correlation,
        };
        records.insert(key, record);
        Ok(())
    }

    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, OwedError> {
        Ok(self.records().remove(&key(subject, stage)).is_some())
    }

    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, OwedError> {
        Ok(self.records().get(&key(subject, stage)).cloned())
    }

    async fn list(&self) -> Result<Vec<Owed>, OwedError> {
        Ok(self.records().values().cloned().collect())
    }
}
