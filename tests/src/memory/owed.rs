use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    Consistency, StoreError,
    owed::{Dismissal, NewOwed, Owed, OwedPage, OwedRecords, Stage, Subject, key},
};

use super::lagging_map::LaggingMap;

/// Records in a page: fewer than in DynamoDB, so that a handful of them makes several pages.
const RECORDS_IN_A_PAGE: usize = 20;

/// Owed records in memory.
#[derive(Debug, Default)]
pub struct MemoryOwed(Mutex<LaggingMap<String, Owed>>);

impl MemoryOwed {
    fn records(&self) -> MutexGuard<'_, LaggingMap<String, Owed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, eventually consistent reads do not see the writes of the last `lag`.
    pub fn serve_stale_reads(&self, lag: Duration) {
        self.records().set_lag(lag);
    }

    /// The whole list.
    ///
    /// # Errors
    /// None.
    pub async fn list(&self) -> Result<Vec<Owed>, StoreError> {
        let records = self.records();
        let all = records.read_all(Consistency::Strong);
        Ok(all.map(|(_, owed)| owed.clone()).collect())
    }
}

#[async_trait]
impl OwedRecords for MemoryOwed {
    async fn put(&self, owed: NewOwed) -> Result<(), StoreError> {
        let owed = owed.cut();
        let mut records = self.records();
        let key = key(&owed.subject, owed.stage);
        let earlier = records.get(&key);
        // The same attempt after a crash.
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

    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        Ok(self.records().remove(&key(subject, stage)).is_some())
    }

    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, StoreError> {
        Ok(self.records().get(&key(subject, stage)).cloned())
    }

    async fn is_listed(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        Ok(self.records().get(&key(subject, stage)).is_some())
    }

    async fn note_retry(
        &self,
        subject: &Subject,
        stage: Stage,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
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
    ) -> Result<bool, StoreError> {
        Ok(self
            .records()
            .get_mut(&key(subject, stage))
            .map(|record| record.dismissed = Some(dismissal.clone()))
            .is_some())
    }

    async fn restore(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        Ok(self
            .records()
            .get_mut(&key(subject, stage))
            .map(|record| record.dismissed = None)
            .is_some())
    }

    async fn page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<OwedPage, StoreError> {
        let records = self.records();
        let all = records.read_all(consistency);
        let mut rest: Vec<(&String, &Owed)> = all
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .collect();
        rest.sort_unstable_by_key(|(key, _)| *key);
        let next = rest.get(RECORDS_IN_A_PAGE).is_some();
        rest.truncate(RECORDS_IN_A_PAGE);
        Ok(OwedPage {
            next: rest.last().filter(|_| next).map(|(key, _)| (*key).clone()),
            owed: rest.into_iter().map(|(_, owed)| owed.clone()).collect(),
        })
    }
}
