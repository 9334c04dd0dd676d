//! Records whose mappings do not tell enough, until there are enough of a kind for one look-up.

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    domain::{EntityKind, ErpId},
    erp::ErpRecord,
    mappings::RecordEntry,
};

/// Pending records by their kind. The record of the run keeps their ids, and the next invocation reads them again.
pub(crate) type Pending = BTreeMap<EntityKind, Vec<PendingRecord>>;

/// A record that has to be looked up.
pub(crate) struct PendingRecord {
    pub(crate) record: ErpRecord,
    pub(crate) entry: Option<RecordEntry>,
    pub(crate) reason: LookupReason,
}

/// Why a record has to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupReason {
    /// It is not known: which Norce entity is it?
    Unknown,
    /// It is known under another code: which code does Norce have?
    Renamed,
    /// Norce has not confirmed its code: is the import still under way?
    Unconfirmed,
}

impl PendingRecord {
    /// A record with the reason that its entry shows.
    pub(crate) fn new(record: ErpRecord, entry: Option<RecordEntry>) -> Self {
        let reason = match &entry {
            Some(entry) if entry.id.is_some() && entry.code == record.code => {
                LookupReason::Unconfirmed
            }
            Some(entry) if entry.id.is_some() => LookupReason::Renamed,
            _ => LookupReason::Unknown,
        };
        Self {
            record,
            entry,
            reason,
        }
    }
}

/// The ids of the records, each once, to find them again.
pub(crate) fn ids_of(pending: &Pending) -> Vec<ErpId> {
    let records = pending.values().flatten();
    let ids: BTreeSet<&ErpId> = records.map(|pending| &pending.record.id).collect();
    ids.into_iter().cloned().collect()
}
