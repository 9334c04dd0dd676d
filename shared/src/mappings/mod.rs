//! Code mappings: which Norce entity is which ERP record.
//!
//! A mapping has three faces, by Norce id, by ERP code and by the ERP's immutable id, written together on condition, so
//! that none of them is ever bound twice (P2, P3). The face by ERP id is what a pass reads: it holds all that a pass
//! needs about a record that has not changed. There is no personal data in any of them: fingerprints and natural keys
//! are keyed hashes (P11).

mod dynamodb;
pub mod key_index;
mod memory;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::dynamodb::READ_AT_ONCE;
pub use dynamodb::DynamoDbMappings;
pub(crate) use dynamodb::record_key;
pub use memory::MemoryMappings;

use crate::{
    Consistency, StoreError,
    domain::{Code, EntityKind, EntityRef, Fingerprint, KeptFields, NorceId, Scope, ShopFields},
    erp::ErpId,
};

/// What is known about an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// A create in the ERP has been announced and has not been heard of since.
    Reserved(Reservation),
    /// The entity is this ERP record.
    Bound(Binding),
    /// Forgotten in Norce: not to be brought anywhere again (P12).
    Forgotten,
}

/// The announcement of a create, written before it (P2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Who announced it.
    pub token: Uuid,
    /// When the first create under it could have been sent.
    pub since: DateTime<Utc>,
    /// Until then a create may still be under way in the ERP.
    pub until: DateTime<Utc>,
    /// The fingerprint of the natural key by which the record could be found; `None`: it has none.
    pub natural_key: Option<Fingerprint>,
}

/// An entity and its ERP record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The ERP's code.
    pub code: Code,
    /// The ERP's immutable id.
    pub erp_id: ErpId,
    /// How far the code's way to Norce has come.
    pub delivery: CodeDelivery,
    /// Fingerprint of what the shop last had that was sent to the ERP.
    pub shop_fingerprint: Option<Fingerprint>,
    /// The code that the record had before the ERP renamed it, as long as Norce may still have that one.
    pub former_code: Option<Code>,
    /// When the entity was last fetched from Norce and brought across: the start of the fetch.
    pub fetched_at: Option<DateTime<Utc>>,
    /// When the ERP was first seen not to have the record any more. Absent: it was there when it was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<DateTime<Utc>>,
    /// The code of the record that the entity was bound to before this one. Orders that were placed then have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_code: Option<Code>,
    /// The fields in which the record differed when it was bound: the ERP keeps them until the shop changes them.
    #[serde(default, skip_serializing_if = "KeptFields::is_empty")]
    pub kept: KeptFields,
    /// The contacts that a company had in Norce when it was last brought to the ERP, in the order of their ids. Absent: it
    /// was not noted, or there were more than are noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<NorceId>>,
    /// The fields that the shop had values for when they were last brought to the ERP. Absent: it was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<ShopFields>,
}

impl Binding {
    /// A binding that is about to be made: nothing was sent or fetched under it yet.
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

/// How far a code's way to Norce has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CodeDelivery {
    /// Not handed to the imports queue yet.
    Pending,
    /// Handed to the imports queue.
    HandedOver {
        /// When.
        at: DateTime<Utc>,
    },
    /// Norce has it: a finished job, or a look, has shown it.
    Confirmed {
        /// When.
        at: DateTime<Utc>,
    },
    /// Norce refused it or did not finish in time; an owed record says why.
    Refused {
        /// When.
        at: DateTime<Utc>,
    },
}

/// What a pass needs to know about an ERP record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFace {
    /// Customer or company.
    pub kind: EntityKind,
    /// Which Norce entity it is; `None`: it was handed over to be inserted in Norce, which has not confirmed it yet.
    pub id: Option<NorceId>,
    /// The code under which it is known.
    pub code: Code,
    /// Fingerprint of what Norce was last told of the fields that the ERP owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erp_fingerprint: Option<Fingerprint>,
    /// Whether Norce is known to have the code.
    #[serde(default)]
    pub confirmed: bool,
    /// Under which natural keys the record is listed in the index ([`RecordKeys::digest`](crate::mappings::key_index::RecordKeys));
    /// `None`: it has to be listed. So a pass sees at once that there is nothing to be indexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexed: Option<Fingerprint>,
}

/// What is known about an ERP record by its code, or that it must be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// It has a face of its own after all.
    Record(RecordFace),
    /// Its code belongs to a Norce entity that is bound to another ERP record.
    Code(NorceId),
    /// It, or its code, belonged to a customer that is forgotten (P12).
    Forgotten,
}

/// How an announcement was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Nobody announced a create before: look the record up, then create it.
    New,
    /// Somebody did. Look the record up; only once the reservation has expired and nothing was found may it be
    /// renewed and the create be sent.
    Earlier(Reservation),
    /// The entity has its record already.
    Bound(Binding),
    /// The entity is forgotten.
    Forgotten,
}

/// How a binding was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Both faces are written (or were, with the same values).
    Done,
    /// The code belongs to another Norce entity.
    CodeTaken {
        /// Which one.
        by: EntityRef,
    },
    /// The entity has another code.
    OtherCode {
        /// Which one.
        code: Code,
    },
    /// The ERP record belongs to another Norce entity.
    RecordTaken {
        /// Which one.
        by: EntityRef,
    },
    /// The entity is forgotten, or the one that had this code.
    Forgotten,
}

/// Some of the entities that are bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoundPage {
    /// They.
    pub bound: Vec<(EntityRef, Binding)>,
    /// After which the next page begins; nothing: there is none.
    pub next: Option<String>,
}

/// The store of the code mappings.
///
/// Every read is strongly consistent, except where a method says otherwise: what is read here decides whether something is
/// created, sent or left out, and it is often read a moment after it was written.
#[async_trait]
pub trait Mappings: Send + Sync {
    /// What is known about an entity.
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError>;

    /// Which entity has this code.
    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, StoreError>;

    /// Announces a create, unless somebody else did before.
    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, StoreError>;

    /// Takes over an expired reservation: `true` when `seen` was still what is stored and is now replaced.
    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, StoreError>;

    /// Withdraws a reservation under which certainly nothing was created. Somebody else's stays.
    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), StoreError>;

    /// Binds an entity to an ERP record, all faces in one. Replaces a reservation, and the announcement of an insert;
    /// never a different code.
    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, StoreError>;

    /// Stores the shop's fingerprint, the time of the fetch, whether the record is gone, which code it replaced and which fields the ERP keeps, of a binding that is there with this code. `false`: there
    /// is no such binding. The delivery of the code is left as it is stored.
    async fn record_sync(&self, entity: EntityRef, binding: &Binding) -> Result<bool, StoreError>;

    /// Notes how far the code has come. `false`: the entity is not bound to this code (any more).
    /// What is confirmed stays confirmed; once it is, the former code is dropped.
    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, StoreError>;

    /// Reduces what is known about an entity to a tombstone: all faces go, and neither the entity nor the code nor the
    /// ERP record can be bound again (P12). The record's entries in the [index](crate::mappings::key_index) go with them, in the same
    /// transaction. Repeating it changes nothing.
    async fn forget(&self, entity: EntityRef) -> Result<(), StoreError>;

    /// The faces of many ERP records, in their order. [`READ_AT_ONCE`] of them cost one request; of a pass over unchanged
    /// records they are nearly all the cost, which is why the caller chooses how recent they must be.
    async fn records(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<RecordFace>>, StoreError>;

    /// What is known about many ERP records that seem to be unknown, in their order.
    async fn known(
        &self,
        kind: EntityKind,
        scope: Scope,
        records: &[(ErpId, Code)],
    ) -> Result<Vec<Known>, StoreError>;

    /// What is known about many entities, in their order.
    async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, StoreError>;

    /// Replaces the code of an entity that is bound to this ERP record, because the ERP renamed it. The code's delivery
    /// begins anew, and the former code is kept until Norce has the new one. Repeating it changes nothing.
    /// [`Bound::OtherCode`]: the entity has neither of the codes, or is another record.
    async fn rename(
        &self,
        entity: EntityRef,
        record: &ErpId,
        from: &Code,
        to: &Code,
    ) -> Result<Bound, StoreError>;

    /// Removes the binding of an entity to this ERP record, all faces in one, without a tombstone: the entity, the code and
    /// the record are as if never seen. `false`: the entity is not bound to this record (any more), and nothing changes.
    async fn unbind(&self, entity: EntityRef, record: &ErpId) -> Result<bool, StoreError>;

    /// Replaces the binding of an entity to the ERP record `from` by another one, all faces in one. Repeating it changes
    /// nothing. [`Bound::OtherCode`]: the entity is bound to a third record; [`Bound::Forgotten`]: it, its new code or its
    /// new record is forgotten, or it is not bound (any more).
    async fn rebind(
        &self,
        entity: EntityRef,
        from: &ErpId,
        binding: Binding,
    ) -> Result<Bound, StoreError>;

    /// Moves the binding of `from` to `to`, which must be of the same kind and scope, all faces in one: `to` has `binding`
    /// then, and nothing is known of `from`. `false`: `from` is not bound to this code and record (any more), or something
    /// is known of `to`, and nothing changes.
    async fn take_over(
        &self,
        from: EntityRef,
        to: EntityRef,
        binding: Binding,
    ) -> Result<bool, StoreError>;

    /// Notes what Norce is told of the fields that the ERP owns; [`tell_again`](crate::erp::tell_again): it did not take
    /// that. `false`: the record is not bound (any more).
    async fn record_owned(
        &self,
        scope: Scope,
        record: &ErpId,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError>;

    /// Announces that an ERP record is handed over to be inserted in Norce. `false`: it is bound meanwhile, or its code
    /// is, or it is forgotten. Repeating it changes nothing.
    async fn announce_insert(
        &self,
        kind: EntityKind,
        scope: Scope,
        record: &ErpId,
        code: &Code,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError>;

    /// Withdraws the announcement of an insert that Norce has refused. A binding stays.
    async fn withdraw_insert(&self, scope: Scope, record: &ErpId) -> Result<(), StoreError>;

    /// Some of the entities that are bound, in no particular order, beginning after the place where the last page ended.
    /// What is bound throughout is on one of the pages. Reads the whole store in the end, by eventually consistent reads:
    /// an export for people, who do not see whether a binding of the last second is in it.
    async fn bound(&self, after: Option<&str>) -> Result<BoundPage, StoreError>;
}
