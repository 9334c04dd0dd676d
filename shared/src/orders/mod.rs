//! Orders that Norce has posted (norce-api §10.1), kept until they are forwarded with their codes, and some days longer.
//!
//! This is the only store with personal data: an order consists of it, and must not be lost while its customer is not in
//! the ERP.

mod dynamodb;

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbOrders;

use crate::{
    StoreError,
    domain::{ApplicationId, EntityRef, OrderText},
    port::port,
};

/// Maximum size of an order. An item of DynamoDB has at most 400 KB, of which the order is a part.
pub const MAX_ORDER_BYTES: usize = 384 * 1024;

/// How long an order is kept after it was forwarded: long enough to send it again if the merchant's order integration
/// has lost it over a weekend. The order of a forgotten customer is kept for the same time, forwarded or not.
pub const RETENTION: TimeDelta = TimeDelta::days(7);

/// A reference to an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderRef {
    /// The shop in which it was placed.
    pub application: ApplicationId,
    /// `ClientOrderRef`: the basket or quotation.
    pub client_order_ref: String,
}

impl fmt::Display for OrderRef {
    /// A reference may be of any length and alphabet, so its hash is used in keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reference = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.client_order_ref.as_bytes());
        write!(formatter, "app-{}/{reference}", self.application)
    }
}

/// The customer and the company that a party of an order is, as far as Norce knows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<EntityRef>,
    /// The customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<EntityRef>,
}

/// The customers and companies of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parties {
    /// The buyer.
    pub buyer: Party,
    /// The payer.
    pub payer: Party,
}

impl Parties {
    /// All of them once, the companies first: a contact waits for its company.
    pub fn entities(&self) -> Vec<EntityRef> {
        let Self { buyer, payer } = self;
        let mut entities = Vec::new();
        for entity in [buyer.company, payer.company, buyer.customer, payer.customer] {
            if let Some(entity) = entity.filter(|entity| !entities.contains(entity)) {
                entities.push(entity);
            }
        }
        entities
    }
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// The text of Norce's last post.
    pub order: OrderText,
    /// When it was first posted.
    pub received_at: DateTime<Utc>,
    /// Its customers and companies, once messages about them have been sent.
    pub parties: Option<Parties>,
    /// When it was forwarded.
    pub forwarded_at: Option<DateTime<Utc>>,
}

/// The result of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is stored, and replaces an earlier post of the same order.
    Stored,
    /// The order was already forwarded, and is unchanged.
    Forwarded {
        /// Whether the post is identical.
        same: bool,
    },
}

port! {
    /// The store of orders. A change names the revision ([`OrderText::revision`]) that it is meant for: if another post has
    /// replaced it meanwhile, nothing changes and the result is `false`.
    pub trait Orders, layer OrdersLayer, error StoreError {
        reads:
        /// An order.
        async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, StoreError>;

        /// The orders that wait for an entity.
        async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, StoreError>;

        writes:
        /// Stores an order, unless it was forwarded. Idempotent.
        async fn receive(
            &self,
            key: &OrderRef,
            order: &OrderText,
            at: DateTime<Utc>,
        ) -> Result<Received, StoreError>;

        /// Records the customers and companies of an order.
        async fn set_parties(
            &self,
            key: &OrderRef,
            revision: Uuid,
            parties: &Parties,
        ) -> Result<bool, StoreError>;

        /// Records that an order was forwarded; it expires after [`RETENTION`].
        async fn set_forwarded(
            &self,
            key: &OrderRef,
            revision: Uuid,
            at: DateTime<Utc>,
        ) -> Result<bool, StoreError>;

        /// Lets an order that was not forwarded expire [`RETENTION`] after this time. Idempotent.
        async fn discard(
            &self,
            key: &OrderRef,
            revision: Uuid,
            at: DateTime<Utc>,
        ) -> Result<bool, StoreError>;

        /// Records that an order waits for an entity to be bound. A record older than a month may be lost.
        async fn wait_for(
            &self,
            entity: EntityRef,
            key: &OrderRef,
            at: DateTime<Utc>,
        ) -> Result<(), StoreError>;

        /// Records that these orders no longer wait for an entity.
        async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> Result<(), StoreError>;
    }
}
