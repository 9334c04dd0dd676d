//! What is owed is tried again by itself, after growing waits; and counted, for the alarms.

use std::time::Duration;

use serde::Serialize;
use shared::owed::{Owed, OwedCounts, OwedError};
use thiserror::Error;
use uuid::Uuid;

use crate::ErpFullPass;

/// As many are sent again in one go at most: the ERP has other work, and the next go comes soon.
const MOST_AT_ONCE: usize = 200;

/// What is owed could not be looked at; the next go does it.
#[derive(Debug, Error)]
pub enum RetryError {
    /// The list.
    #[error(transparent)]
    Owed(#[from] OwedError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] shared::queues::QueueError),
}

/// What is owed, and what of it was sent to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retried {
    /// In words.
    pub summary: String,
    /// What is owed.
    #[serde(flatten)]
    pub counts: OwedCounts,
    /// How many were sent again.
    pub retried: u64,
}

impl ErpFullPass {
    /// Sends what is due to `changes`, the longest due first.
    ///
    /// # Errors
    /// [`RetryError`]; what was sent by then may be sent again, which does no harm.
    pub async fn retry_owed(&self) -> Result<Retried, RetryError> {
        let now = self.clock.now();
        let list = self.owed.list().await?;
        let counts = OwedCounts::of(&list, now);
        let is_due = |owed: &Owed| owed.next_attempt().is_some_and(|next| next <= now);
        let mut due: Vec<Owed> = list.into_iter().filter(is_due).collect();
        let mut retried = 0;
        due.sort_by_key(Owed::next_attempt);
        due.truncate(MOST_AT_ONCE);
        for owed in due {
            let Some(change) = owed.change(now, Uuid::new_v4()) else {
                continue;
            };
            // Sent before it is noted: the other way round a crash would leave it for a whole wait.
            self.changes.send(&[change], Duration::ZERO).await?;
            self.owed.note_retry(&owed.subject, owed.stage, now).await?;
            retried += 1;
        }
        let owed = counts.total();
        let summary = format!(
            "{owed} owed, {} dismissed; {retried} sent to be tried again",
            counts.dismissed
        );
        tracing::info!(
            owed,
            dismissed = counts.dismissed,
            oldest_seconds = counts.oldest_seconds,
            retried,
            "what is owed was looked at"
        );
        Ok(Retried {
            summary,
            counts,
            retried,
        })
    }
}
