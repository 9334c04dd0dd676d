use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    StoreError,
    domain::{EntityKind, ErpId, ImportLine, Scope},
    passes::{Lease, LeaseKey, OwedSample, Passes, Run, RunFilter, quarter, waiting_key},
};
use uuid::Uuid;

/// Passes in memory.
#[derive(Debug, Default)]
pub struct MemoryPasses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    runs: HashMap<Uuid, Run>,
    leases: HashMap<LeaseKey, Lease>,
    watermarks: HashMap<(LeaseKey, EntityKind), DateTime<Utc>>,
    samples: BTreeMap<i64, OwedSample>,
    waiting: HashMap<(Scope, ErpId), BTreeMap<String, ImportLine>>,
}

impl State {
    fn newest_first(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = self.runs.values().cloned().collect();
        runs.sort_by_key(|run| Reverse((run.started, run.id)));
        runs
    }
}

/// Whether a lease can be taken: it has expired, or is held by the same run between two invocations.
fn gives_way(held: &Lease, wanted: &Lease, now: DateTime<Utc>) -> bool {
    held.until <= now
        || (held.run == wanted.run
            && (held.invocation.is_none() || held.invocation == wanted.invocation))
}

impl MemoryPasses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Passes for MemoryPasses {
    async fn lease(
        &self,
        key: LeaseKey,
        wanted: Lease,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Lease>, StoreError> {
        let mut state = self.state();
        if let Some(held) = state
            .leases
            .get(&key)
            .filter(|held| !gives_way(held, &wanted, now))
        {
            return Ok(Err(*held));
        }
        state.leases.insert(key, wanted);
        Ok(Ok(()))
    }

    async fn holder(&self, key: LeaseKey, now: DateTime<Utc>) -> Result<Option<Lease>, StoreError> {
        let held = self.state().leases.get(&key).copied();
        Ok(held.filter(|lease| lease.until > now))
    }

    async fn release(
        &self,
        key: LeaseKey,
        invocation: Uuid,
        keep_until: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let Some(held) = state.leases.get_mut(&key) else {
            return Ok(());
        };
        if held.invocation == Some(invocation) {
            match keep_until {
                Some(until) => {
                    held.invocation = None;
                    held.until = until;
                }
                None => {
                    state.leases.remove(&key);
                }
            }
        }
        Ok(())
    }

    async fn run(&self, id: Uuid) -> Result<Option<Run>, StoreError> {
        Ok(self.state().runs.get(&id).cloned())
    }

    async fn last_runs(&self) -> Result<Vec<Run>, StoreError> {
        let mut modes = HashSet::new();
        let mut runs = self.state().newest_first();
        runs.retain(|run| modes.insert((run.mode, run.scope)));
        Ok(runs)
    }

    async fn runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, StoreError> {
        let runs = self.state().newest_first();
        let runs = runs.into_iter().filter(|run| filter.fits(run)).take(limit);
        Ok(runs.map(|run| Run { work: None, ..run }).collect())
    }

    async fn note_owed(&self, sample: &OwedSample) -> Result<(), StoreError> {
        let samples = &mut self.state().samples;
        samples.insert(quarter(sample.at), sample.clone());
        Ok(())
    }

    async fn owed_samples(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OwedSample>, StoreError> {
        let state = self.state();
        let samples = state.samples.values();
        let samples = samples.filter(|sample| sample.at >= from && sample.at <= to);
        Ok(samples.cloned().collect())
    }

    async fn save(&self, run: &Run) -> Result<bool, StoreError> {
        let mut state = self.state();
        let stored = state.runs.get(&run.id).map_or(0, |stored| stored.version);
        if stored + 1 != run.version {
            return Ok(false);
        }
        state.runs.insert(run.id, run.clone());
        Ok(true)
    }

    async fn watermark(
        &self,
        key: LeaseKey,
        kind: EntityKind,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        Ok(self.state().watermarks.get(&(key, kind)).copied())
    }

    async fn advance(
        &self,
        key: LeaseKey,
        kind: EntityKind,
        to: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let watermark = state.watermarks.entry((key, kind)).or_insert(to);
        *watermark = (*watermark).max(to);
        Ok(())
    }

    async fn wait_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
        line: &ImportLine,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let lines = state.waiting.entry((scope, company.clone())).or_default();
        lines.insert(waiting_key(line), line.clone());
        Ok(true)
    }

    async fn waiting_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
    ) -> Result<Vec<ImportLine>, StoreError> {
        let state = self.state();
        let lines = state.waiting.get(&(scope, company.clone()));
        Ok(lines
            .map(|lines| lines.values().cloned().collect())
            .unwrap_or_default())
    }

    async fn stop_waiting(
        &self,
        scope: Scope,
        company: &ErpId,
        lines: &[ImportLine],
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(&(scope, company.clone())) {
            for line in lines {
                let key = waiting_key(line);
                if waiting.get(&key) == Some(line) {
                    waiting.remove(&key);
                }
            }
        }
        Ok(())
    }
}
