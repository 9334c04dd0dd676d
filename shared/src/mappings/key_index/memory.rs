use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Coverage, Holders, KeyIndex, MAX_HOLDERS, RecordKeys};
use crate::{
    Consistency,
    domain::{EntityKind, ErpId, Fingerprint, Scope},
    erp::NaturalKey,
    mappings::{MappingsError, MemoryMappings},
};

/// The index in memory, as a part of [`MemoryMappings`].
#[derive(Debug, Default)]
pub(crate) struct Index {
    holders: HashMap<(Scope, NaturalKey), List>,
    entries: HashMap<(Scope, ErpId), RecordKeys>,
    coverage: HashMap<(Scope, EntityKind), Coverage>,
}

#[derive(Debug, Default)]
struct List {
    records: BTreeSet<ErpId>,
    crowded: bool,
}

impl Index {
    /// Takes a record off all lists.
    pub(crate) fn unlist(&mut self, scope: Scope, record: &ErpId) {
        if let Some(listed) = self.entries.remove(&(scope, record.clone())) {
            for key in listed.keys {
                self.leave(scope, record, &key);
            }
        }
    }

    /// How a record is listed.
    pub(crate) fn digest(&self, scope: Scope, record: &ErpId) -> Option<Fingerprint> {
        let listed = self.entries.get(&(scope, record.clone()))?;
        Some(listed.digest.clone())
    }

    fn leave(&mut self, scope: Scope, record: &ErpId, key: &NaturalKey) {
        let key = (scope, key.clone());
        if let Some(list) = self.holders.get_mut(&key) {
            list.records.remove(record);
            if list.records.is_empty() && !list.crowded {
                self.holders.remove(&key);
            }
        }
    }

    fn set(&mut self, scope: Scope, record: &ErpId, keys: &RecordKeys) {
        let name = (scope, record.clone());
        let listed = self.entries.remove(&name);
        let listed = listed.map(|listed| listed.keys).unwrap_or_default();
        for key in listed.difference(&keys.keys) {
            self.leave(scope, record, key);
        }
        for key in keys.keys.difference(&listed) {
            let list = self.holders.entry((scope, key.clone())).or_default();
            if list.records.len() < MAX_HOLDERS {
                list.records.insert(record.clone());
            } else {
                list.crowded = true;
            }
        }
        if !keys.is_empty() {
            self.entries.insert(name, keys.clone());
        }
    }
}

#[async_trait]
impl KeyIndex for MemoryMappings {
    async fn holders(
        &self,
        scope: Scope,
        keys: &[NaturalKey],
        _: Consistency,
    ) -> Result<Vec<Holders>, MappingsError> {
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
    ) -> Result<Vec<Option<Fingerprint>>, MappingsError> {
        let state = self.state();
        let entry = |record: &ErpId| {
            let keys = state.index.entries.get(&(scope, record.clone()))?;
            Some(keys.digest.clone())
        };
        Ok(records.iter().map(entry).collect())
    }

    async fn set(
        &self,
        scope: Scope,
        record: &ErpId,
        keys: &RecordKeys,
    ) -> Result<(), MappingsError> {
        let mut state = self.state();
        let name = (scope, record.clone());
        if state.forgotten_records.contains(&name) {
            return Ok(());
        }
        state.index.set(scope, record, keys);
        if let Some(face) = state.by_record.get_mut(&name) {
            face.indexed = Some(keys.digest.clone());
        }
        Ok(())
    }

    async fn coverage(
        &self,
        scope: Scope,
        kind: EntityKind,
    ) -> Result<Option<Coverage>, MappingsError> {
        Ok(self.state().index.coverage.get(&(scope, kind)).copied())
    }

    async fn cover(
        &self,
        scope: Scope,
        kind: EntityKind,
        since: Option<DateTime<Utc>>,
        until: DateTime<Utc>,
    ) -> Result<(), MappingsError> {
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
