use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::Entity;

/// A request that reached the server, including refused ones.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    counts: BTreeMap<(String, Entity), usize>,
    /// The writes in the order in which they were answered.
    pub writes: Vec<LoggedWrite>,
}

/// One POST, PATCH or DELETE.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedWrite {
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// Its method.
    pub method: Method,
    /// Customers or contacts.
    pub entity: Entity,
    /// The company in the address.
    pub company: Option<Uuid>,
    /// The record in the address.
    pub id: Option<Uuid>,
    /// The record that it made.
    pub made: Option<Uuid>,
    /// Its body; null when it was not JSON.
    pub body: Value,
    /// The server's outcome. With an injected fault, the client may have received another answer.
    pub status: StatusCode,
}

impl RequestLog {
    /// How many requests of this method on this entity came in.
    pub fn count(&self, method: &Method, entity: Entity) -> usize {
        self.counts
            .get(&(method.to_string(), entity))
            .copied()
            .unwrap_or(0)
    }

    /// How many requests came in.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// The writes that were carried out.
    pub fn carried_out(&self) -> impl Iterator<Item = &LoggedWrite> {
        self.writes.iter().filter(|write| write.status.is_success())
    }

    pub(super) fn add(&mut self, method: &Method, entity: Entity) {
        *self.counts.entry((method.to_string(), entity)).or_default() += 1;
    }
}
