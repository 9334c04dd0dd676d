use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Dismissal, NewOwed, Owed, OwedError, OwedRecords, Stage, Subject, key};

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
        let earlier = records.get(&key);
        // The same attempt, done again after a crash.
        if earlier.is_some_and(|earlier| earlier.correlation == owed.correlation) {
            return Ok(());
        }
        let record = Owed {
            subject: owed.subject,
            stage: owed.stage,
            reason: owed.reason,
            detail: owed.detail,
            code: owed.code,
            first: earlier.map_or(owed.at, |earlier| earlier.first),
            last: owed.at,
            attempts: earlier
                .map_or(0, |earlier| earlier.attempts)
                .saturating_add(1),
            correlation: owed.correlation,
            cause: owed.cause,
            retried: earlier.and_then(|earlier| earlier.retried),
            dismissed: earlier.and_then(|earlier| earlier.dismissed.clone()),
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

    async fn note_retry(
        &self,
        subject: &Subject,
        stage: Stage,
        at: DateTime<Utc>,
    ) -> Result<bool, OwedError> {
        Ok(self
            .records()
            .get_mut(&key(subject, stage))
            .map(|record| record.retried = Some(at))
            .is_some())
    }

    async fn dismiss(
        &self,
        subject: &Subject,
        stage: Stage,
        dismissal: &Dismissal,
    ) -> Result<bool, OwedError> {
        Ok(self
            .records()
            .get_mut(&key(subject, stage))
            .map(|record| record.dismissed = Some(dismissal.clone()))
            .is_some())
    }

    async fn list(&self) -> Result<Vec<Owed>, OwedError> {
        Ok(self.records().values().cloned().collect())
    }
}
