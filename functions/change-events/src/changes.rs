//! Change messages: what one says about an entity, and how more of them are sent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    domain::{Cause, ChangeMessage, Clock, EntityRef, OrderKey},
    orders::Orders,
    queues::Queue,
};
use uuid::Uuid;

use crate::result::Failure;

/// A change message about an entity.
pub(crate) struct Change {
    pub(crate) entity: EntityRef,
    pub(crate) cause: Cause,
    pub(crate) received_at: DateTime<Utc>,
    /// When the event of the order that led here was received.
    pub(crate) ordered_at: Option<DateTime<Utc>>,
    pub(crate) correlation: Uuid,
    pub(crate) receive_count: u32,
}

/// Sends change messages.
#[derive(Clone, Copy)]
pub(crate) struct ChangeSender<'a> {
    pub(crate) queue: &'a dyn Queue<ChangeMessage>,
    pub(crate) clock: &'a dyn Clock,
}

impl ChangeSender<'_> {
    /// Sends a message about each entity. `ordered_at`: when the event of the order that is the origin was received.
    pub(crate) async fn send(
        &self,
        entities: &[EntityRef],
        cause: Cause,
        ordered_at: Option<DateTime<Utc>>,
        correlation: Uuid,
    ) -> Result<(), Failure> {
        if entities.is_empty() {
            return Ok(());
        }
        let received_at = self.clock.now();
        let message = |entity: &EntityRef| ChangeMessage::Entity {
            entity: *entity,
            cause,
            received_at,
            ordered_at,
            correlation,
        };
        let messages: Vec<ChangeMessage> = entities.iter().map(message).collect();
        Ok(self.queue.send(&messages, Duration::ZERO).await?)
    }

    /// Sends a message about each entity that follows from another change.
    pub(crate) async fn send_after(
        &self,
        change: &Change,
        entities: &[EntityRef],
        cause: Cause,
    ) -> Result<(), Failure> {
        self.send(entities, cause, change.ordered_at, change.correlation)
            .await
    }
}

/// Orders that are owed because they wait for a customer or company.
#[derive(Clone, Copy)]
pub(crate) struct WaitingOrders<'a> {
    /// `None`: orders are not received.
    pub(crate) orders: Option<&'a dyn Orders>,
    pub(crate) changes: ChangeSender<'a>,
}

impl WaitingOrders<'_> {
    /// Sends the messages of the orders that wait for an entity, which now is in the ERP or never will be.
    pub(crate) async fn release(
        &self,
        entity: EntityRef,
        correlation: Uuid,
    ) -> Result<(), Failure> {
        let Some(orders) = self.orders else {
            return Ok(());
        };
        let waiting = orders.waiting_for(entity).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let received_at = self.changes.clock.now();
        let messages: Vec<_> = waiting
            .iter()
            .map(|order| ChangeMessage::Order {
                order: OrderKey::ClientOrderRef(order.client_order_ref.clone()),
                application: order.application,
                received_at,
                correlation,
            })
            .collect();
        self.changes.queue.send(&messages, Duration::ZERO).await?;
        Ok(orders.stop_waiting(entity, &waiting).await?)
    }
}
