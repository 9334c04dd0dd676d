//! An index of the ERP's natural keys: the records with an e-mail address or a VAT number, as far as they were read.
//!
//! It does not depend on the ERP's filters: Business Central may refuse a filter on VAT numbers, or ignore it (erp-apis
//! §1.5). Passes fill the index from every record of every page, `change-events` from every record that it reads or
//! writes, and a full pass completes it. A hit is a hint: before a decision the record is read and its key compared
//! ([`RecordFinder`](crate::record_finder::RecordFinder)).
//!
//! The index is in the table of the code mappings, so that a customer is forgotten in one transaction with its entries
//! (P12). Keys are keyed hashes (P11).

mod dynamodb;
mod items;
mod many;

use std::{collections::BTreeSet, sync::Arc};

pub(crate) use dynamodb::still_listed;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    Consistency, StoreError,
    domain::{EntityKind, ErpId, Fingerprint, FingerprintKey, Resource, Scope},
    erp::{ErpRecord, NaturalKey},
    port::port,
};

/// Maximum number of records under one key. A holder takes about 50 bytes of an item, which may have 400 KB, and each KB of
/// it costs a unit with every write: a placeholder that ten thousand records share must not make each of them expensive.
/// A key with more records is *crowded*.
pub const MAX_HOLDERS: usize = 100;

/// Maximum number of keys of one record: with its entry and conditions they are one transaction, of at most 100 items.
/// Business Central's 80 characters of e-mail addresses (erp-apis §1.2) hold fewer.
pub const MAX_KEYS_OF_RECORD: usize = 20;

/// The natural keys of a record, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKeys {
    keys: BTreeSet<NaturalKey>,
    digest: Fingerprint,
}

impl RecordKeys {
    /// The keys by which a record can be found as a customer or as a company, in normal form. A contact has the numbers of its
    /// organisation. A contact without an organisation has no keys: in Business Central every customer that is a person has
    /// such a twin.
    pub fn of(record: &ErpRecord) -> BTreeSet<NaturalKey> {
        if record.id.resource == Resource::Contact && record.company.is_none() {
            return BTreeSet::new();
        }
        let mut keys = BTreeSet::from_iter(record.keys(EntityKind::Customer));
        if record.id.resource == Resource::Customer {
            keys.extend(record.keys(EntityKind::Company));
        }
        keys
    }

    /// The first [`MAX_KEYS_OF_RECORD`] keys of a record.
    ///
    /// # Errors
    /// If a key has no JSON form, which does not occur.
    pub fn read(
        record: &ErpRecord,
        fingerprints: &FingerprintKey,
    ) -> Result<Self, serde_json::Error> {
        Self::new(Self::of(record), fingerprints)
    }

    /// The first [`MAX_KEYS_OF_RECORD`] of these keys.
    ///
    /// # Errors
    /// If a key has no JSON form, which does not occur.
    pub fn new(
        keys: impl IntoIterator<Item = NaturalKey>,
        fingerprints: &FingerprintKey,
    ) -> Result<Self, serde_json::Error> {
        let keys: BTreeSet<NaturalKey> = keys.into_iter().take(MAX_KEYS_OF_RECORD).collect();
        let digest = fingerprints.of(&("indexed", &keys))?;
        Ok(Self { keys, digest })
    }

    /// The keys, sorted.
    pub const fn keys(&self) -> &BTreeSet<NaturalKey> {
        &self.keys
    }

    /// A hash of all keys: records with the same keys have the same digest.
    pub const fn digest(&self) -> &Fingerprint {
        &self.digest
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The records under a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The records. Some may have another key by now, or not exist any more.
    pub records: Vec<ErpId>,
    /// There are more than [`MAX_HOLDERS`] records: the key is as ambiguous as one with two. A key stays crowded, because the
    /// missing records are unknown.
    pub crowded: bool,
}

/// How complete the index is, for records of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// When the last full read began, by the ERP's clock.
    pub whole_at: DateTime<Utc>,
    /// Changes before this time, by the ERP's clock, are in the index.
    pub until: DateTime<Utc>,
}

port! {
    /// The index.
    pub trait KeyIndex, layer KeyIndexLayer, error StoreError {
        reads:
        /// The records under each of these keys, in their order.
        async fn holders(
            &self,
            scope: Scope,
            keys: &[NaturalKey],
            consistency: Consistency,
        ) -> Result<Vec<Holders>, StoreError>;

        /// The digest of the keys under which each of these records is indexed ([`RecordKeys::digest`]), in their order. For bound
        /// records, [`RecordEntry::indexed`](crate::mappings::RecordEntry) has it without another read.
        async fn entries(
            &self,
            scope: Scope,
            records: &[ErpId],
            consistency: Consistency,
        ) -> Result<Vec<Option<Fingerprint>>, StoreError>;

        /// How complete the index is; `None` before the first full read.
        async fn coverage(
            &self,
            scope: Scope,
            kind: EntityKind,
        ) -> Result<Option<Coverage>, StoreError>;

        writes:
        /// Replaces the keys of a record. The record of a forgotten customer gets none (P12). Idempotent.
        async fn set(&self, scope: Scope, record: &ErpId, keys: &RecordKeys) -> Result<(), StoreError>;

        /// Lists many records that should have no entry yet; one that has an entry is listed as [`set`](Self::set) does. Half as
        /// expensive as listing them one by one. The mappings do not say how these records are indexed
        /// ([`RecordEntry::indexed`](crate::mappings::RecordEntry)). Callers should not run it concurrently for one scope.
        /// Idempotent.
        async fn set_many(&self, scope: Scope, records: &[(ErpId, RecordKeys)]) -> Result<(), StoreError>;

        /// Records that every record of a kind that changed between two times of the ERP's clock is in the index; without
        /// `since`, every record. A period that does not adjoin the covered one is ignored, and a later time stays.
        async fn cover(
            &self,
            scope: Scope,
            kind: EntityKind,
            since: Option<DateTime<Utc>>,
            until: DateTime<Utc>,
        ) -> Result<(), StoreError>;
    }
}

/// A record as it is listed under a key.
fn holder(record: &ErpId) -> String {
    format!("{}:{}", record.resource, record.id)
}

/// The index without writes, for plans and dry runs.
pub struct ReadOnly(pub Arc<dyn KeyIndex>);

#[async_trait]
impl KeyIndexLayer for ReadOnly {
    type Inner = dyn KeyIndex;

    fn inner(&self) -> &Self::Inner {
        &*self.0
    }

    async fn set(&self, _: Scope, _: &ErpId, _: &RecordKeys) -> Result<(), StoreError> {
        Ok(())
    }

    async fn set_many(&self, _: Scope, _: &[(ErpId, RecordKeys)]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn cover(
        &self,
        _: Scope,
        _: EntityKind,
        _: Option<DateTime<Utc>>,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}
