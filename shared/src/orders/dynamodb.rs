//! One table, partition key `pk`, time-to-live attribute `expires_at` (seconds since 1970):
//!
//! | `pk` | holds |
//! |---|---|
//! | `order#app-<application>/<hash of the reference>` | an order; its text as it came |
//! | `waiting#<entity>#7` | orders that wait for the entity, each an attribute of one of 16 items |
//!
//! Earlier versions kept the waiting orders in a single item without the last part of the key, which is read as well.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{OrderRef, Orders, Parties, RETENTION, Received, StoredOrder};
use crate::{
    StoreError,
    aws::dynamodb::{Database, Expression, Table, number, text},
    domain::{EntityRef, OrderText},
};

/// How long a waiting order is recorded: by then a person has looked at the owed records.
const NOTE_KEPT: TimeDelta = TimeDelta::days(30);
/// The prefix of the attributes of waiting orders.
const WAITING: &str = "order-";

/// Orders in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbOrders {
    table: Table,
}

impl DynamoDbOrders {
    /// The orders in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "orders"),
        }
    }

    /// Changes an order with this revision; `false` if it has another one, or does not exist.
    async fn change(
        &self,
        key: &OrderRef,
        revision: Uuid,
        change: Expression,
    ) -> Result<bool, StoreError> {
        let same = Expression::new("#revision = :this")
            .name("revision")
            .value("this", text(revision.to_string()));
        self.table.update_if(&order_key(key), change, same).await
    }

    async fn stored(&self, key: &OrderRef) -> Result<Option<StoredItem>, StoreError> {
        let item = self.table.get(&order_key(key)).await?;
        item.map(|item| self.table.read_item(item, "an order"))
            .transpose()
    }
}

/// An order as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredItem {
    order: OrderText,
    received_at: DateTime<Utc>,
    parties: Option<Parties>,
    handed_on: Option<DateTime<Utc>>,
}

fn order_key(key: &OrderRef) -> String {
    format!("order#{key}")
}

fn waiting_key(entity: EntityRef) -> String {
    format!("waiting#{entity}")
}

fn waiting_attribute(key: &OrderRef) -> String {
    format!("{WAITING}{key}")
}

#[async_trait]
impl Orders for DynamoDbOrders {
    async fn receive(
        &self,
        key: &OrderRef,
        order: &OrderText,
        at: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        let change = Expression::assign([
            ("order", Some(self.table.to_attribute(order)?)),
            ("revision", Some(text(order.revision().to_string()))),
            ("parties", None),
        ])
        .and_set("#received_at = if_not_exists(#received_at, :at)")
        .name("received_at")
        .value("at", self.table.to_attribute(at)?);
        let here = Expression::new("attribute_not_exists(#handed_on)").name("handed_on");
        let stored = self.table.update_if(&order_key(key), change, here).await;
        if stored? {
            return Ok(Received::Stored);
        }
        let earlier = self.stored(key).await?;
        Ok(Received::Forwarded {
            same: earlier.is_some_and(|earlier| earlier.order == *order),
        })
    }

    async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, StoreError> {
        let stored = self.stored(key).await?;
        Ok(stored.map(|stored| StoredOrder {
            order: stored.order,
            received_at: stored.received_at,
            parties: stored.parties,
            forwarded_at: stored.handed_on,
        }))
    }

    async fn set_parties(
        &self,
        key: &OrderRef,
        revision: Uuid,
        parties: &Parties,
    ) -> Result<bool, StoreError> {
        let change = Expression::assign([("parties", Some(self.table.to_attribute(parties)?))]);
        self.change(key, revision, change).await
    }

    async fn set_forwarded(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let change = Expression::assign([
            ("handed_on", Some(self.table.to_attribute(at)?)),
            ("expires_at", Some(number((at + RETENTION).timestamp()))),
        ]);
        self.change(key, revision, change).await
    }

    async fn discard(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let change = Expression::new("SET #expires_at = if_not_exists(#expires_at, :then)")
            .name("expires_at")
            .value("then", number((at + RETENTION).timestamp()));
        self.change(key, revision, change).await
    }

    async fn wait_for(
        &self,
        entity: EntityRef,
        key: &OrderRef,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (list, name) = (waiting_key(entity), waiting_attribute(key));
        let fits = self
            .table
            .add_entry(&list, &name, self.table.to_attribute(key)?, at + NOTE_KEPT)
            .await;
        if !fits? {
            tracing::warn!(%entity, order = %key, "too many orders wait for this entity; the order continues when owed records are retried");
        }
        Ok(())
    }

    async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, StoreError> {
        let list = waiting_key(entity);
        let waiting = self.table.entries(&list, WAITING).await;
        let read = |order: AttributeValue| {
            let AttributeValue::M(order) = order else {
                let reason = format_args!("the item of {list} has an unexpected shape");
                return Err(self.table.error(reason));
            };
            self.table.read_item(order, &list)
        };
        waiting?.into_values().map(read).collect()
    }

    async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> Result<(), StoreError> {
        let entries = keys.iter().map(|key| (waiting_attribute(key), None));
        self.table
            .remove_entries(&waiting_key(entity), entries.collect(), None)
            .await
    }
}
