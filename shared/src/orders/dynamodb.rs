//! One table, partition key `pk`, time-to-live attribute `expires_at` (seconds since 1970):
//!
//! | `pk` | holds |
//! |---|---|
//! | `order#app-<application>/<hash of the reference>` | an order; its text as it came |
//! | `waiting#<entity>#7` | orders that wait for the entity, each an attribute of one of 16 items |
//!
//! Earlier versions kept the orders that wait in a single item without the last part of the key: those are read as well.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{OrderRef, Orders, OrdersError, Parties, RETENTION, Received, StoredOrder};
use crate::{
    domain::{EntityRef, OrderText},
    dynamodb::{Expression, Table, attribute, from_item, number, text},
};

/// How long the note that an order waits is kept: by then a person has looked at what is owed.
const NOTE_KEPT: TimeDelta = TimeDelta::days(30);
/// What the attribute of an order that waits begins with.
const WAITING: &str = "order-";

/// Orders in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbOrders {
    table: Table,
}

impl DynamoDbOrders {
    /// The orders in a table.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(config, table),
        }
    }

    /// Changes an order that has this revision; `false`: it has another one, or is not there.
    async fn change(
        &self,
        key: &OrderRef,
        revision: Uuid,
        change: Expression,
    ) -> Result<bool, OrdersError> {
        let same = Expression::new("#revision = :this")
            .name("revision")
            .value("this", text(revision.to_string()));
        let changed = self.table.update_if(&order_key(key), change, same).await;
        changed.map_err(OrdersError)
    }

    async fn stored(&self, key: &OrderRef) -> Result<Option<StoredItem>, OrdersError> {
        let item = self.table.get(&order_key(key)).await.map_err(OrdersError)?;
        item.map(|item| from_item(item, "an order"))
            .transpose()
            .map_err(OrdersError)
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

fn json(value: impl Serialize) -> Result<AttributeValue, OrdersError> {
    attribute(value).map_err(OrdersError)
}

#[async_trait]
impl Orders for DynamoDbOrders {
    async fn receive(
        &self,
        key: &OrderRef,
        order: &OrderText,
        at: DateTime<Utc>,
    ) -> Result<Received, OrdersError> {
        let change = Expression::assign([
            ("order", Some(json(order)?)),
            ("revision", Some(text(order.revision().to_string()))),
            ("parties", None),
        ])
        .and_set("#received_at = if_not_exists(#received_at, :at)")
        .name("received_at")
        .value("at", json(at)?);
        let here = Expression::new("attribute_not_exists(#handed_on)").name("handed_on");
        let stored = self.table.update_if(&order_key(key), change, here).await;
        if stored.map_err(OrdersError)? {
            return Ok(Received::Stored);
        }
        let earlier = self.stored(key).await?;
        Ok(Received::HandedOn {
            same: earlier.is_some_and(|earlier| earlier.order == *order),
        })
    }

    async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, OrdersError> {
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
    ) -> Result<bool, OrdersError> {
        let change = Expression::assign([("parties", Some(json(parties)?))]);
        self.change(key, revision, change).await
    }

    async fn set_forwarded(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, OrdersError> {
        let change = Expression::assign([
            ("handed_on", Some(json(at)?)),
            ("expires_at", Some(number((at + RETENTION).timestamp()))),
        ]);
        self.change(key, revision, change).await
    }

    async fn discard(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, OrdersError> {
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
    ) -> Result<(), OrdersError> {
        let (list, name) = (waiting_key(entity), waiting_attribute(key));
        let fits = self
            .table
            .add_entry(&list, &name, json(key)?, at + NOTE_KEPT)
            .await;
        if !fits.map_err(OrdersError)? {
            tracing::warn!(%entity, order = %key, "so many orders wait for it that this one is not noted: it goes on when what is owed is tried again");
        }
        Ok(())
    }

    async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, OrdersError> {
        let list = waiting_key(entity);
        let waiting = self.table.entries(&list, WAITING).await;
        let read = |order: AttributeValue| {
            let AttributeValue::M(order) = order else {
                return Err(format!("the item of {list} has an unexpected shape"));
            };
            from_item(order, &list)
        };
        let waiting = waiting.map_err(OrdersError)?;
        let orders: Result<_, _> = waiting.into_values().map(read).collect();
        orders.map_err(OrdersError)
    }

    async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> Result<(), OrdersError> {
        let entries = keys.iter().map(|key| (waiting_attribute(key), None));
        let removed = self
            .table
            .remove_entries(&waiting_key(entity), entries.collect(), None)
            .await;
        removed.map_err(OrdersError)
    }
}
