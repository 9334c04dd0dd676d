use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    StoreError,
    domain::{EntityRef, OrderText},
    orders::{OrderRef, Orders, Parties, RETENTION, Received, StoredOrder},
};
use uuid::Uuid;

/// Orders in memory.
#[derive(Debug, Default)]
pub struct MemoryOrders(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    orders: HashMap<OrderRef, (StoredOrder, Option<DateTime<Utc>>)>,
    waiting: HashMap<EntityRef, BTreeMap<String, OrderRef>>,
}

impl MemoryOrders {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes an order that has this revision.
    fn change(
        &self,
        key: &OrderRef,
        revision: Uuid,
        change: impl FnOnce(&mut StoredOrder, &mut Option<DateTime<Utc>>),
    ) -> bool {
        match self.state().orders.get_mut(key) {
            Some((stored, expires)) if stored.order.revision() == revision => {
                change(stored, expires);
                true
            }
            _ => false,
        }
    }

    /// When an order expires.
    pub fn expires(&self, key: &OrderRef) -> Option<DateTime<Utc>> {
        self.state()
            .orders
            .get(key)
            .and_then(|(_, expires)| *expires)
    }

    /// Removes an order, as the table does when its time has come.
    pub fn remove(&self, key: &OrderRef) {
        self.state().orders.remove(key);
    }
}

#[async_trait]
impl Orders for MemoryOrders {
    async fn receive(
        &self,
        key: &OrderRef,
        order: &OrderText,
        at: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        let mut state = self.state();
        let (received_at, expires) = match state.orders.get(key) {
            Some((stored, _)) if stored.forwarded_at.is_some() => {
                let same = stored.order == *order;
                return Ok(Received::Forwarded { same });
            }
            Some((stored, expires)) => (stored.received_at, *expires),
            None => (at, None),
        };
        let stored = StoredOrder {
            order: order.clone(),
            received_at,
            parties: None,
            forwarded_at: None,
        };
        state.orders.insert(key.clone(), (stored, expires));
        Ok(Received::Stored)
    }

    async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, StoreError> {
        let state = self.state();
        Ok(state.orders.get(key).map(|(stored, _)| stored.clone()))
    }

    async fn set_parties(
        &self,
        key: &OrderRef,
        revision: Uuid,
        parties: &Parties,
    ) -> Result<bool, StoreError> {
        Ok(self.change(key, revision, |stored, _| stored.parties = Some(*parties)))
    }

    async fn set_forwarded(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(self.change(key, revision, |stored, expires| {
            stored.forwarded_at = Some(at);
            *expires = Some(at + RETENTION);
        }))
    }

    async fn discard(
        &self,
        key: &OrderRef,
        revision: Uuid,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(self.change(key, revision, |_, expires| {
            expires.get_or_insert(at + RETENTION);
        }))
    }

    async fn wait_for(
        &self,
        entity: EntityRef,
        key: &OrderRef,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        let waiting = state.waiting.entry(entity).or_default();
        waiting.insert(key.to_string(), key.clone());
        Ok(())
    }

    async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, StoreError> {
        let state = self.state();
        let waiting = state.waiting.get(&entity).into_iter();
        Ok(waiting.flat_map(BTreeMap::values).cloned().collect())
    }

    async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> Result<(), StoreError> {
        if let Some(waiting) = self.state().waiting.get_mut(&entity) {
            for key in keys {
                waiting.remove(&key.to_string());
            }
        }
        Ok(())
    }
}
