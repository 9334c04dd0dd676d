//! An index of the ERP's natural keys: which records hold an e-mail address or a VAT number, as far as they were read.
//!
//! What a filter of an ERP does is the ERP's affair: Business Central may refuse a filter on VAT numbers, or ignore it
//! (erp-apis §1.5). This index does not depend on it. Passes fill it from every record of every page, `change-events` from
//! every record that it reads or writes, and a full pass makes it whole. A hit is a hint: whoever decides something reads
//! the record and sees whether it still holds the key ([`RecordFinder`](crate::record_finder::RecordFinder)).
//!
//! The index is in the table of the code mappings, because a customer is forgotten there in one transaction, with its
//! entries (P12). Keys are keyed hashes (P11).

mod dynamodb;
mod memory;
mod state;

use std::{collections::BTreeSet, sync::Arc};

pub(crate) use dynamodb::still_listed;
pub(crate) use state::Index;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    Consistency, StoreError,
    domain::{EntityKind, ErpId, Fingerprint, FingerprintKey, Resource, Scope},
    erp::{ErpRecord, NaturalKey},
};

/// Records that are listed under one key. A holder takes about 50 bytes of an item that may have 400 KB, and every write
/// to the item costs a unit for each KB of it: a placeholder that ten thousand records share must not make each of them
/// expensive. Beyond it a key is *crowded*.
pub const MAX_HOLDERS: usize = 100;

/// Keys under which one record is listed: with its entry and conditions they are one transaction of at most 100 items.
/// Business Central's 80 characters of e-mail addresses (erp-apis §1.2) hold fewer.
pub const MAX_KEYS_OF_RECORD: usize = 20;

/// The natural keys of a record, all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKeys {
    keys: BTreeSet<NaturalKey>,
    digest: Fingerprint,
}

impl RecordKeys {
    /// Everything by which a record can be found, in normal form, whichever kind it is taken for. The numbers of a contact
    /// are its organisation's, and one without an organisation is found by nothing: in Business Central every customer that
    /// is a person has such a twin.
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

    /// The keys of a record that was read, as they are indexed: of more than [`MAX_KEYS_OF_RECORD`] the first ones.
    ///
    /// # Errors
    /// When a key has no JSON form; none is like that.
    pub fn read(
        record: &ErpRecord,
        fingerprints: &FingerprintKey,
    ) -> Result<Self, serde_json::Error> {
        Self::new(Self::of(record), fingerprints)
    }

    /// These keys.
    ///
    /// # Errors
    /// When a key has no JSON form; none is like that.
    pub fn new(
        keys: impl IntoIterator<Item = NaturalKey>,
        fingerprints: &FingerprintKey,
    ) -> Result<Self, serde_json::Error> {
        let keys: BTreeSet<NaturalKey> = keys.into_iter().take(MAX_KEYS_OF_RECORD).collect();
        let digest = fingerprints.of(&("indexed", &keys))?;
        Ok(Self { keys, digest })
    }

    /// One value for all of them: two records with the same keys have the same.
    pub const fn digest(&self) -> &Fingerprint {
        &self.digest
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Which records are listed under a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The records. Some may have another key by now, or be gone.
    pub records: Vec<ErpId>,
    /// There are more of them than are listed ([`MAX_HOLDERS`]): the key is as ambiguous as if two had it. A key stays
    /// crowded, because it is not known which records are missing from the list.
    pub crowded: bool,
}

/// How complete the index is, for the records that Norce has as one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// From when the last reading of everything is, by the ERP's clock.
    pub whole_at: DateTime<Utc>,
    /// What changed before this time, by the ERP's clock, is in the index. What changed since has to be listed.
    pub until: DateTime<Utc>,
}

/// The index.
#[async_trait]
pub trait KeyIndex: Send + Sync {
    /// The records that are listed under these keys, in their order.
    async fn holders(
        &self,
        scope: Scope,
        keys: &[NaturalKey],
        consistency: Consistency,
    ) -> Result<Vec<Holders>, StoreError>;

    /// Under which keys these records are listed ([`RecordKeys::digest`]), in their order; `None`: they are not. For
    /// records that are bound, [`RecordFace::indexed`](crate::mappings::RecordFace) says so without another read.
    async fn entries(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<Fingerprint>>, StoreError>;

    /// Lists a record under exactly these keys, and under those no more that it had before. A record of a forgotten
    /// customer is listed under none (P12). Repeating it changes nothing.
    async fn set(&self, scope: Scope, record: &ErpId, keys: &RecordKeys) -> Result<(), StoreError>;

    /// How complete the index is; `None`: nobody has read everything yet.
    async fn coverage(
        &self,
        scope: Scope,
        kind: EntityKind,
    ) -> Result<Option<Coverage>, StoreError>;

    /// Notes that every record of a kind that changed between two times of the ERP's clock is in the index; without
    /// `since`, every record. What does not join on to what is covered is not noted, and a later time stays.
    async fn cover(
        &self,
        scope: Scope,
        kind: EntityKind,
        since: Option<DateTime<Utc>>,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError>;
}

/// A record as it is listed under a key.
fn holder(record: &ErpId) -> String {
    format!("{}:{}", record.resource, record.id)
}

/// The index for whoever only looks: a plan, or a person who asks what would happen.
pub struct ReadOnly(pub Arc<dyn KeyIndex>);

#[async_trait]
impl KeyIndex for ReadOnly {
    async fn holders(
        &self,
        scope: Scope,
        keys: &[NaturalKey],
        consistency: Consistency,
    ) -> Result<Vec<Holders>, StoreError> {
        self.0.holders(scope, keys, consistency).await
    }

    async fn entries(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<Fingerprint>>, StoreError> {
        self.0.entries(scope, records, consistency).await
    }

    async fn set(&self, _: Scope, _: &ErpId, _: &RecordKeys) -> Result<(), StoreError> {
        Ok(())
    }

    async fn coverage(
        &self,
        scope: Scope,
        kind: EntityKind,
    ) -> Result<Option<Coverage>, StoreError> {
        self.0.coverage(scope, kind).await
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
