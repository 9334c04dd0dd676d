//! What is owed is tried again by itself, after growing waits; and counted, for the alarms.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use shared::owed::{Owed, OwedError};
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
    /// How many records are owed, by the class of the reason; dismissed ones are not among them.
    pub owed: BTreeMap<&'static str, u64>,
    /// How many a person has dismissed.
    pub dismissed: u64,
    /// How long the oldest one has been owed, in seconds.
    pub oldest_seconds: u64,
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
        let mut retried = Retried {
            summary: String::new(),
            owed: BTreeMap::new(),
            dismissed: 0,
            oldest_seconds: 0,
            retried: 0,
        };
        let mut due: Vec<Owed> = Vec::new();
        for owed in self.owed.list().await? {
            if owed.dismissed.is_some() {
                retried.dismissed += 1;
                continue;
            }
            *retried.owed.entry(owed.reason.as_str()).or_default() += 1;
            let age = (now - owed.first).to_std().unwrap_or_default().as_secs();
            retried.oldest_seconds = retried.oldest_seconds.max(age);
            if owed.next_attempt().is_some_and(|next| next <= now) {
                due.push(owed);
            }
        }
        due.sort_by_key(Owed::next_attempt);
        due.truncate(MOST_AT_ONCE);
        for owed in due {
            let Some(change) = owed.change(now, Uuid::new_v4()) else {
                continue;
            };
            // Sent before it is noted: the other way round a crash would leave it for a whole wait.
            self.changes.send(&[change], Duration::ZERO).await?;
            self.owed.note_retry(&owed.subject, owed.stage, now).await?;
            retried.retried += 1;
        }
        let owed: u64 = retried.owed.values().sum();
        retried.summary = format!(
            "{owed} owed, {} dismissed; {} sent to be tried again",
            retried.dismissed, retried.retried
        );
        tracing::info!(
            owed,
            dismissed = retried.dismissed,
            oldest_seconds = retried.oldest_seconds,
            retried = retried.retried,
            "what is owed was looked at"
        );
        Ok(retried)
    }
}
