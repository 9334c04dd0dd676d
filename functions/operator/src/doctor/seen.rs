//! What the checks read besides their findings, so that one report reads nothing twice.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use shared::{
    StoreError,
    passes::{Passes, Run},
};
use tokio::sync::OnceCell;

/// What the checks of one report have read.
#[derive(Default)]
pub(super) struct Seen {
    /// When an event was received, by the name of its type in the log.
    events: Mutex<BTreeMap<&'static str, DateTime<Utc>>>,
    last_runs: OnceCell<Vec<Run>>,
}

impl Seen {
    /// Notes that an event of this type was received.
    pub(super) fn note_event(&self, name: &'static str, at: DateTime<Utc>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.insert(name, at);
    }

    /// When an event of one of these types was received, if one was noted.
    pub(super) fn event(&self, names: &[&str]) -> Option<DateTime<Utc>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().find_map(|name| events.get(name).copied())
    }

    /// The last run of each mode over each scope. They take a read of the whole store, which is made once.
    pub(super) async fn last_runs(&self, passes: &dyn Passes) -> Result<&[Run], StoreError> {
        let runs = self.last_runs.get_or_try_init(|| passes.last_runs()).await;
        runs.map(Vec::as_slice)
    }
}
