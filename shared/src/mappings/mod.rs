//! Code mappings: which Norce entity is which ERP record.
//!
//! A mapping has three entries, by Norce id, by ERP code and by the ERP's immutable id. They are written together and
//! conditionally, so that none is ever bound twice (P2, P3). A pass reads the entry by ERP id, which holds all that it needs
//! about an unchanged record. No entry has personal data: fingerprints and natural keys are keyed hashes (P11).

mod dynamodb;
pub mod key_index;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::aws::dynamodb::READ_BATCH_SIZE;
pub use dynamodb::DynamoDbMappings;
pub(crate) use dynamodb::record_key;

use crate::{
    Consistency, StoreError,
    domain::{Code, EntityKind, EntityRef, Fingerprint, KeptFields, NorceId, Scope, ShopFields},
    erp::ErpId,
    port::port,
};

/// What is known about an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// A create in the ERP was announced, and its outcome is unknown.
    Reserved(Reservation),
    /// The entity is bound to this ERP record.
    Bound(Binding),
    /// Forgotten in Norce: not sent anywhere again (P12).
    Forgotten,
}

/// The announcement of a create, written before it (P2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Identifies the attempt that announced it.
    pub token: Uuid,
    /// The earliest time at which a create may have been sent.
    pub since: DateTime<Utc>,
    /// The latest time at which a create may still be running in the ERP.
    pub until: DateTime<Utc>,
    /// The fingerprint of the natural key by which the record can be found, if it has one.
    pub natural_key: Option<Fingerprint>,
}

/// An entity and its ERP record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The ERP's code.
    pub code: Code,
    /// The ERP's immutable id.
    pub erp_id: ErpId,
    /// The delivery of the code to Norce.
    pub delivery: CodeDelivery,
    /// The fingerprint of the shop's values that were last sent to the ERP.
    pub shop_fingerprint: Option<Fingerprint>,
    /// The code before the ERP renamed the record, as long as Norce may still have it.
    pub former_code: Option<Code>,
    /// When the last fetch from Norce that was synced to the ERP began.
    pub fetched_at: Option<DateTime<Utc>>,
    /// When the record was first found missing in the ERP. Absent if the last read found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<DateTime<Utc>>,
    /// The code of the record that the entity was bound to before. Orders that were placed then have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_code: Option<Code>,
    /// The fields in which the record differed when it was bound. The ERP keeps its values until the shop changes them.
    #[serde(default, skip_serializing_if = "KeptFields::is_empty")]
    pub kept: KeptFields,
    /// The contacts of a company in Norce at its last sync, by id. Absent if they were not recorded, or were too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<NorceId>>,
    /// The fields for which the shop had values at the last sync. Absent if they were not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<ShopFields>,
}

impl Binding {
    /// A new binding, under which nothing was sent or fetched yet.
    pub const fn new(code: Code, erp_id: ErpId, delivery: CodeDelivery) -> Self {
        Self {
            code,
            erp_id,
            delivery,
            shop_fingerprint: None,
            former_code: None,
            fetched_at: None,
            gone_at: None,
            replaced_code: None,
            kept: KeptFields::new(),
            contacts: None,
            filled: None,
        }
    }
}

/// The delivery of a code to Norce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CodeDelivery {
    /// Not on the imports queue yet.
    Pending,
    /// Put on the imports queue.
    HandedOver {
        /// The time of the hand-over.
        at: DateTime<Utc>,
    },
    /// Norce has it, according to a finished job or a read.
    Confirmed {
        /// The time of the confirmation.
        at: DateTime<Utc>,
    },
    /// Norce refused it or did not finish in time; an owed record has the reason.
    Refused {
        /// The time of the refusal.
        at: DateTime<Utc>,
    },
}

/// What a pass needs to know about an ERP record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordEntry {
    /// Customer or company.
    pub kind: EntityKind,
    /// The Norce entity; `None` if Norce has not confirmed the insert of the record yet.
    pub id: Option<NorceId>,
    /// The code of the record.
    pub code: Code,
    /// The fingerprint of the ERP's own fields as they were last sent to Norce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erp_fingerprint: Option<Fingerprint>,
    /// Whether Norce has confirmed the code.
    #[serde(default)]
    pub confirmed: bool,
    /// The natural keys under which the record is in the index ([`RecordKeys::digest`](crate::mappings::key_index::RecordKeys)),
    /// so that a pass sees without a read that the index is up to date; `None` if only the index says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexed: Option<Fingerprint>,
}

/// What is known about an ERP record, by its id and its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Neither the record nor the code is known.
    Nothing,
    /// The entry of the record.
    Record(RecordEntry),
    /// Its code belongs to this Norce entity, which is bound to another ERP record.
    Code(NorceId),
    /// It, or its code, belonged to a forgotten customer (P12).
    Forgotten,
}

/// The result of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// No create was announced before: look the record up, then create it.
    New,
    /// A create was announced before. Look the record up; only if the reservation has expired and nothing was found may it
    /// be renewed and the create be sent.
    Earlier(Reservation),
    /// The entity is bound already.
    Bound(Binding),
    /// The entity is forgotten.
    Forgotten,
}

/// The result of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The entries are written, or were written before with the same values.
    Done,
    /// The code belongs to another Norce entity.
    CodeTaken {
        /// The other entity.
        by: EntityRef,
    },
    /// The entity has another code.
    OtherCode {
        /// The code that it is bound to.
        code: Code,
    },
    /// The ERP record belongs to another Norce entity.
    RecordTaken {
        /// The other entity.
        by: EntityRef,
    },
    /// The entity, or the one that had this code or record, is forgotten.
    Forgotten,
}

/// A binding that is made together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBinding {
    /// The Norce entity.
    pub entity: EntityRef,
    /// Its binding.
    pub binding: Binding,
}

/// A page of the bound entities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundPage {
    /// The entities.
    pub bound: Vec<(EntityRef, Binding)>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

port! {
    /// The store of the code mappings.
    ///
    /// Reads are strongly consistent unless a method says otherwise: they decide whether something is created, sent or left
    /// out, often a moment after a write.
    pub trait Mappings, layer MappingsLayer, error StoreError {
        reads:
        /// What is known about an entity.
        async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError>;

        /// The entity that has this code.
        async fn by_code(
            &self,
            kind: EntityKind,
            scope: Scope,
            code: &Code,
        ) -> Result<Option<EntityRef>, StoreError>;

        /// The entries of many ERP records, in their order. One request reads [`READ_BATCH_SIZE`] of them. These reads are nearly the
        /// whole cost of a pass over unchanged records, so the caller chooses the consistency.
        async fn records(
            &self,
            scope: Scope,
            records: &[ErpId],
            consistency: Consistency,
        ) -> Result<Vec<Option<RecordEntry>>, StoreError>;

        /// What is known about many ERP records without an entry, in their order.
        async fn known(
            &self,
            kind: EntityKind,
            scope: Scope,
            records: &[(ErpId, Code)],
        ) -> Result<Vec<Known>, StoreError>;

        /// What is known about many entities, in their order.
        async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, StoreError>;

        /// A page of the bound entities, in no particular order, starting after the end of the last page. An entity that is bound
        /// throughout is on one of the pages. All pages together read the whole store, by eventually consistent reads: an export
        /// may lack the bindings of the last second.
        async fn bound(&self, after: Option<&str>) -> Result<BoundPage, StoreError>;

        writes:
        /// Announces a create, unless one is announced already.
        async fn reserve(
            &self,
            entity: EntityRef,
            reservation: Reservation,
        ) -> Result<Reserved, StoreError>;

        /// Replaces an expired reservation. `false` if the stored one is no longer `seen`.
        async fn renew(
            &self,
            entity: EntityRef,
            seen: Uuid,
            reservation: Reservation,
        ) -> Result<bool, StoreError>;

        /// Withdraws a reservation under which certainly nothing was created. A reservation with another token stays.
        async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), StoreError>;

        /// Binds an entity to an ERP record, all entries in one transaction. Replaces a reservation, and the announcement of an
        /// insert; never a different code.
        async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, StoreError>;

        /// Binds many entities as [`bind`](Self::bind) does, with answers in their order. Each is bound or refused on its own; an
        /// error may leave some bound, and a repeat is harmless. At most half the cost of single bindings. Callers should not
        /// run it concurrently for one scope, since its transactions conflict with each other. The entries of the records do
        /// not say how they are indexed ([`RecordEntry::indexed`]).
        async fn bind_many(&self, bindings: &[NewBinding]) -> Result<Vec<Bound>, StoreError>;

        /// Updates what a sync records of a binding with this code: everything but the code and its delivery. `false` if there
        /// is no such binding.
        async fn record_sync(&self, entity: EntityRef, binding: &Binding) -> Result<bool, StoreError>;

        /// Records that the ERP does not have this record any more, and nothing else: the first time stays. `false` if the entity is
        /// not bound to it. Idempotent.
        async fn record_gone(
            &self,
            entity: EntityRef,
            record: &ErpId,
            at: DateTime<Utc>,
        ) -> Result<bool, StoreError>;

        /// Updates the delivery of a code. `false` if the entity is not bound to this code. A confirmed code stays confirmed, and
        /// the confirmation removes the former code.
        async fn record_delivery(
            &self,
            entity: EntityRef,
            code: &Code,
            delivery: CodeDelivery,
        ) -> Result<bool, StoreError>;

        /// Replaces the mapping of an entity by tombstones: neither the entity nor its code nor its ERP record can be bound again
        /// (P12). The record leaves the [index](crate::mappings::key_index) in the same transaction. Idempotent.
        async fn forget(&self, entity: EntityRef) -> Result<(), StoreError>;

        /// Removes the binding of an entity to this ERP record, all entries in one transaction and without a tombstone. `false` if
        /// the entity is not bound to this record; nothing changes then.
        async fn unbind(&self, entity: EntityRef, record: &ErpId) -> Result<bool, StoreError>;

        /// Replaces the binding of an entity to the ERP record `from` by another one, all entries in one transaction. Idempotent.
        /// [`Bound::OtherCode`]: the entity is bound to a third record. [`Bound::Forgotten`]: it, its new code or its new record
        /// is forgotten, or it is not bound.
        async fn rebind(
            &self,
            entity: EntityRef,
            from: &ErpId,
            binding: Binding,
        ) -> Result<Bound, StoreError>;

        /// Moves the binding of `from` to `to`, which must have the same kind and scope, all entries in one transaction. `false` if
        /// `from` is not bound to this code and record, or `to` has a mapping; nothing changes then.
        async fn take_over(
            &self,
            from: EntityRef,
            to: EntityRef,
            binding: Binding,
        ) -> Result<bool, StoreError>;

        /// Records which values of the ERP's own fields are sent to Norce, or with [`resend_marker`](crate::erp::resend_marker) that
        /// Norce did not accept them. `false` if the record is not bound.
        async fn record_owned(
            &self,
            scope: Scope,
            record: &ErpId,
            fingerprint: Option<&Fingerprint>,
        ) -> Result<bool, StoreError>;
    }
}

port! {
    /// What passes and imports write about records of the ERP, besides the mappings.
    pub trait RecordMappings: Mappings, layer RecordMappingsLayer: MappingsLayer, error StoreError {
        reads:

        writes:
        /// Replaces the code of an entity that is bound to this ERP record, after the ERP renamed it. The delivery starts again,
        /// and the former code is kept until Norce has the new one. Idempotent. [`Bound::OtherCode`]: the entity has neither of
        /// the codes, or another record.
        async fn rename(
            &self,
            entity: EntityRef,
            record: &ErpId,
            from: &Code,
            to: &Code,
        ) -> Result<Bound, StoreError>;

        /// Announces that an ERP record is to be inserted in Norce. `false` if the record or its code is bound or forgotten.
        /// Idempotent.
        async fn announce_insert(
            &self,
            kind: EntityKind,
            scope: Scope,
            record: &ErpId,
            code: &Code,
            fingerprint: Option<&Fingerprint>,
        ) -> Result<bool, StoreError>;

        /// Withdraws the announcement of an insert that Norce refused. A binding stays.
        async fn withdraw_insert(&self, scope: Scope, record: &ErpId) -> Result<(), StoreError>;
    }
}
