use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use shared::{
    StoreError,
    domain::JobId,
    import_jobs::{BatchState, ImportBatch, ImportJobs},
};
use uuid::Uuid;

/// Import jobs in memory. Nothing expires.
#[derive(Debug, Default)]
pub struct MemoryImportJobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    batches: HashMap<Uuid, ImportBatch>,
    by_job: HashMap<JobId, Uuid>,
}

impl MemoryImportJobs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ImportJobs for MemoryImportJobs {
    async fn record(&self, batch: &ImportBatch) -> Result<(), StoreError> {
        let mut state = self.state();
        let recorded = state.batches.entry(batch.id);
        recorded.or_insert_with(|| ImportBatch {
            state: BatchState::Submitting,
            ..batch.clone()
        });
        Ok(())
    }

    async fn submitted(&self, batch: Uuid, job: JobId) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(stored) = state.batches.get_mut(&batch)
            && stored.state != BatchState::Settled
        {
            stored.state = BatchState::Submitted { job };
            state.by_job.insert(job, batch);
        }
        Ok(())
    }

    async fn withdraw(&self, batch: Uuid) -> Result<(), StoreError> {
        let mut state = self.state();
        let stored = state.batches.get(&batch);
        if stored.is_some_and(|stored| stored.state == BatchState::Submitting) {
            state.batches.remove(&batch);
        }
        Ok(())
    }

    async fn get(&self, batch: Uuid) -> Result<Option<ImportBatch>, StoreError> {
        Ok(self.state().batches.get(&batch).cloned())
    }

    async fn by_job(&self, job: JobId) -> Result<Option<ImportBatch>, StoreError> {
        let state = self.state();
        let batch = state.by_job.get(&job);
        Ok(batch.and_then(|batch| state.batches.get(batch)).cloned())
    }

    async fn settle(&self, batch: Uuid) -> Result<(), StoreError> {
        if let Some(stored) = self.state().batches.get_mut(&batch) {
            stored.state = BatchState::Settled;
            stored.lines.clear();
        }
        Ok(())
    }

    async fn open(&self) -> Result<Vec<ImportBatch>, StoreError> {
        let state = self.state();
        let is_open = |batch: &&ImportBatch| batch.state != BatchState::Settled;
        let mut open: Vec<ImportBatch> = state.batches.values().filter(is_open).cloned().collect();
        open.sort_by_key(|batch| batch.recorded_at);
        Ok(open)
    }
}
