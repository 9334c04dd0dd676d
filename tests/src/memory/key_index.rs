use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    Consistency, StoreError,
    domain::{EntityKind, ErpId, Fingerprint, Scope},
    erp::NaturalKey,
    mappings::key_index::{Coverage, Holders, KeyIndex, RecordKeys},
};

use super::MemoryMappings;

#[async_trait]
impl KeyIndex for MemoryMappings {
    async fn holders(
        &self,
        scope: Scope,
        keys: &[NaturalKey],
        _: Consistency,
    ) -> Result<Vec<Holders>, StoreError> {
        let state = self.state();
        let holders = |key: &NaturalKey| match state.index.holders.get(&(scope, key.clone())) {
            Some(list) => Holders {
                records: list.records.iter().cloned().collect(),
                crowded: list.crowded,
            },
            None => Holders::default(),
        };
        Ok(keys.iter().map(holders).collect())
    }

    async fn entries(
        &self,
        scope: Scope,
        records: &[ErpId],
        _: Consistency,
    ) -> Result<Vec<Option<Fingerprint>>, StoreError> {
        let state = self.state();
        let entry = |record: &ErpId| {
            let keys = state.index.entries.get(&(scope, record.clone()))?;
            Some(keys.digest().clone())
        };
        Ok(records.iter().map(entry).collect())
    }

    async fn set(&self, scope: Scope, record: &ErpId, keys: &RecordKeys) -> Result<(), StoreError> {
        let mut state = self.state();
        let name = (scope, record.clone());
        if state.forgotten_records.contains(&name) {
            return Ok(());
        }
        state.index.set(scope, record, keys);
        if let Some(entry) = state.by_record.get_mut(&name) {
            entry.indexed = Some(keys.digest().clone());
        }
        Ok(())
    }

    async fn set_many(
        &self,
        scope: Scope,
        records: &[(ErpId, RecordKeys)],
    ) -> Result<(), StoreError> {
        for (record, keys) in records {
            let is_listed = {
                let mut state = self.state();
                let name = (scope, record.clone());
                let is_new = !state.index.entries.contains_key(&name);
                let is_open = is_new && !keys.is_empty();
                if is_open && !state.forgotten_records.contains(&name) {
                    state.index.set(scope, record, keys);
                }
                is_open
            };
            if !is_listed {
                self.set(scope, record, keys).await?;
            }
        }
        Ok(())
    }

    async fn coverage(
        &self,
        scope: Scope,
        kind: EntityKind,
    ) -> Result<Option<Coverage>, StoreError> {
        Ok(self.state().index.coverage.get(&(scope, kind)).copied())
    }

    async fn cover(
        &self,
        scope: Scope,
        kind: EntityKind,
        since: Option<DateTime<Utc>>,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let coverage = &mut self.state().index.coverage;
        let there = coverage.get(&(scope, kind)).copied();
        let joins = match (since, there) {
            (None, None) => true,
            (None, Some(there)) => there.until <= until,
            (Some(since), Some(there)) => since <= there.until && there.until <= until,
            (Some(_), None) => false,
        };
        let whole_at = match since {
            None => Some(until),
            Some(_) => there.map(|there| there.whole_at),
        };
        if let (true, Some(whole_at)) = (joins, whole_at) {
            coverage.insert((scope, kind), Coverage { whole_at, until });
        }
        Ok(())
    }
}
