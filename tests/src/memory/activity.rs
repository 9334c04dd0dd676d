use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use shared::{
    StoreError,
    activity::{Activity, ActivityPage, Entry, Outcome},
};
use uuid::Uuid;

/// Entries in a page: fewer than in DynamoDB, so that a handful of them makes several pages.
const ENTRIES_IN_A_PAGE: usize = 20;

/// The activity record in memory.
#[derive(Debug, Default)]
pub struct MemoryActivity(Mutex<BTreeMap<String, Entry>>);

impl MemoryActivity {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Activity for MemoryActivity {
    async fn start(&self, entry: &Entry) -> Result<(), StoreError> {
        self.entries().insert(entry.id.to_string(), entry.clone());
        Ok(())
    }

    async fn complete(
        &self,
        id: Uuid,
        subjects: &[String],
        outcome: &Outcome,
    ) -> Result<bool, StoreError> {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&id.to_string()) else {
            return Ok(false);
        };
        entry.subjects = subjects.to_vec();
        entry.outcome = outcome.clone();
        Ok(true)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries().get(&id.to_string()).cloned())
    }

    async fn page(&self, after: Option<&str>) -> Result<ActivityPage, StoreError> {
        let entries = self.entries();
        let rest = entries
            .iter()
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let mut rest: Vec<(&String, &Entry)> = rest.take(ENTRIES_IN_A_PAGE + 1).collect();
        let next = rest.get(ENTRIES_IN_A_PAGE).is_some();
        rest.truncate(ENTRIES_IN_A_PAGE);
        Ok(ActivityPage {
            next: rest.last().filter(|_| next).map(|(key, _)| (*key).clone()),
            entries: rest.into_iter().map(|(_, entry)| entry.clone()).collect(),
        })
    }
}
