//! Code mappings: which Norce entity is which ERP record.
//!
//! A mapping has two faces, by Norce id and by ERP code, written together on condition, so that neither is ever bound
//! twice (P2, P3). It holds no personal data: fingerprints and natural keys are keyed hashes (P11).

mod dynamodb;
mod memory;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use dynamodb::DynamoDbMappings;
pub use memory::MemoryMappings;

use crate::{
    domain::{Code, EntityKind, EntityRef, Fingerprint, Scope},
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
    /// Fingerprint of the image that the ERP returned last.
    pub erp_fingerprint: Option<Fingerprint>,
    /// When the entity was last fetched from Norce and brought across: the start of the fetch.
    pub fetched_at: Option<DateTime<Utc>>,
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
    /// The entity is forgotten, or the one that had this code.
    Forgotten,
}

/// The store failed. It is always worth trying again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the code mappings cannot be reached: {0}")]
pub struct MappingsError(pub String);

/// The store of the code mappings.
#[async_trait]
pub trait Mappings: Send + Sync {
    /// What is known about an entity.
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, MappingsError>;

    /// Which entity has this code.
    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, MappingsError>;

    /// Announces a create, unless somebody else did before.
    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, MappingsError>;

    /// Takes over an expired reservation: `true` when `seen` was still what is stored and is now replaced.
    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, MappingsError>;

    /// Withdraws a reservation under which certainly nothing was created. Somebody else's stays.
    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), MappingsError>;

    /// Binds an entity to an ERP record, both faces in one. Replaces a reservation; never a different code.
    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, MappingsError>;

    /// Stores the fingerprints, the time of the fetch and the ERP's immutable id of a binding that is there with this
    /// code. `false`: there is no such binding. The delivery of the code is left as it is stored.
    async fn record_sync(
        &self,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<bool, MappingsError>;

    /// Notes how far the code has come. `false`: the entity is not bound to this code (any more).
    /// What is confirmed stays confirmed.
    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, MappingsError>;

    /// Reduces what is known about an entity to a tombstone: both faces go, and neither the entity nor the code can
    /// be bound again (P12). Repeating it changes nothing.
    async fn forget(&self, entity: EntityRef) -> Result<(), MappingsError>;
}
