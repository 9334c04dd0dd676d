//! The state of the index in memory.

use std::collections::{BTreeSet, HashMap};

use shared::{
    domain::{EntityKind, ErpId, Fingerprint, Scope},
    erp::NaturalKey,
    mappings::key_index::{Coverage, MAX_HOLDERS, RecordKeys},
};

/// The index, in the state of [`MemoryMappings`](super::MemoryMappings).
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) holders: HashMap<(Scope, NaturalKey), List>,
    pub(super) entries: HashMap<(Scope, ErpId), RecordKeys>,
    pub(super) coverage: HashMap<(Scope, EntityKind), Coverage>,
}

#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) records: BTreeSet<ErpId>,
    pub(super) crowded: bool,
}

impl Index {
    /// Removes a record from the index.
    pub(super) fn unlist(&mut self, scope: Scope, record: &ErpId) {
        if let Some(listed) = self.entries.remove(&(scope, record.clone())) {
            for key in listed.keys() {
                self.leave(scope, record, key);
            }
        }
    }

    /// The digest of a record's keys.
    pub(super) fn digest(&self, scope: Scope, record: &ErpId) -> Option<Fingerprint> {
        let listed = self.entries.get(&(scope, record.clone()))?;
        Some(listed.digest().clone())
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

    pub(super) fn set(&mut self, scope: Scope, record: &ErpId, keys: &RecordKeys) {
        let name = (scope, record.clone());
        let listed = self.entries.remove(&name);
        let listed = listed
            .map(|listed| listed.keys().clone())
            .unwrap_or_default();
        for key in listed.difference(keys.keys()) {
            self.leave(scope, record, key);
        }
        for key in keys.keys().difference(&listed) {
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
