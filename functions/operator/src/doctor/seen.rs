//! What the checks saw beside their findings, so that nothing is asked twice in one report.

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

/// What was seen while one report was made.
#[derive(Default)]
pub(super) struct Seen {
    /// When an event was taken, by the name that the log has for its type.
    events: Mutex<BTreeMap<&'static str, DateTime<Utc>>>,
    last_runs: OnceCell<Vec<Run>>,
}

impl Seen {
    /// Notes that an event of this type was taken.
    pub(super) fn note_event(&self, name: &'static str, at: DateTime<Utc>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.insert(name, at);
    }

    /// When an event of one of these types was seen, if any was.
    pub(super) fn event(&self, names: &[&str]) -> Option<DateTime<Utc>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().find_map(|name| events.get(name).copied())
    }

    /// The last run of each mode over each scope. The whole store is read for them, so it is read once.
    pub(super) async fn last_runs(&self, passes: &dyn Passes) -> Result<&[Run], StoreError> {
        let runs = self.last_runs.get_or_try_init(|| passes.last_runs()).await;
        runs.map(Vec::as_slice)
    }
}
