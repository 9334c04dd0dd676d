//! What is owed is tried again by itself, after growing waits; and counted, for the alarms.

use std::time::Duration;

use serde::Serialize;
use shared::{
    Consistency,
    domain::Scope,
    http::Deadline,
    owed::{Earliest, Owed, OwedCounts, OwedError, Reason, Stage, Subject, fold},
};
use thiserror::Error;
use uuid::Uuid;

use crate::ErpFullPass;

/// As many are sent again in one go at most: the ERP has other work, and the next go comes soon.
const MOST_AT_ONCE: usize = 200;
/// What sending them takes at most when all is well: two calls for each, of some ten milliseconds.
const TIME_TO_SEND: Duration = Duration::from_secs(30);
/// With less time left, no other one is sent: the clients of AWS give up after a few seconds.
const TIME_FOR_ONE: Duration = Duration::from_secs(10);

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
    /// Whether all of the list was counted. On a list that cannot be read within one invocation (several million records)
    /// the counts are of its beginning.
    pub complete: bool,
    /// How many were sent again.
    pub retried: u64,
}

impl ErpFullPass {
    /// Sends what was owed because not all records of the ERP had been read, now that they are.
    ///
    /// # Errors
    /// [`RetryError`]; what was sent by then may be sent again, which does no harm.
    pub(crate) async fn retry_prerequisites(
        &self,
        scope: Scope,
        deadline: Deadline,
    ) -> Result<(), RetryError> {
        let now = self.clock.now();
        let mut waiting: Earliest<Owed> = Earliest::new(MOST_AT_ONCE);
        let each = |owed: Owed| {
            let is_of_scope =
                matches!(&owed.subject, Subject::Entity(entity) if entity.scope == scope);
            let is_waiting = owed.reason == Reason::MissingPrerequisite && owed.dismissed.is_none();
            if is_of_scope && is_waiting && owed.stage == Stage::ToErp {
                waiting.push(owed.last, owed);
            }
        };
        // What a stale page lacks is tried again by itself, a little later.
        let list = self.owed.as_ref();
        fold(list, Consistency::Eventual, deadline, TIME_TO_SEND, each).await?;
        for owed in waiting.into_vec() {
            if !deadline.allows(TIME_FOR_ONE) {
                break;
            }
            if let Some(change) = owed.change(now, Uuid::new_v4()) {
                self.changes.send(&[change], Duration::ZERO).await?;
                self.owed.note_retry(&owed.subject, owed.stage, now).await?;
            }
        }
        Ok(())
    }

    /// Sends what is due to `changes`, the longest due first.
    ///
    /// # Errors
    /// [`RetryError`]; what was sent by then may be sent again, which does no harm.
    pub async fn retry_owed(&self, deadline: Deadline) -> Result<Retried, RetryError> {
        let now = self.clock.now();
        let mut counts = OwedCounts::default();
        let mut due: Earliest<Owed> = Earliest::new(MOST_AT_ONCE);
        let each = |owed: Owed| {
            counts.count(&owed, now);
            if let Some(next) = owed.next_attempt().filter(|next| *next <= now) {
                due.push(next, owed);
            }
        };
        // A stale page counts a record too many or too few, or has one tried again that has just been met, which does no
        // harm; the next go comes in minutes.
        let list = self.owed.as_ref();
        let complete = fold(list, Consistency::Eventual, deadline, TIME_TO_SEND, each).await?;
        let due = due.into_vec();
        let mut retried = 0;
        for owed in due {
            if !deadline.allows(TIME_FOR_ONE) {
                break;
            }
            let Some(change) = owed.change(now, Uuid::new_v4()) else {
                continue;
            };
            // Sent before it is noted: the other way round a crash would leave it for a whole wait.
            self.changes.send(&[change], Duration::ZERO).await?;
            self.owed.note_retry(&owed.subject, owed.stage, now).await?;
            retried += 1;
        }
        let owed = counts.total();
        let at_least = if complete { "" } else { "at least " };
        let summary = format!(
            "{at_least}{owed} owed, {} dismissed; {retried} sent to be tried again",
            counts.dismissed
        );
        if !complete {
            tracing::warn!(
                counted = owed + counts.dismissed,
                "the owed list is too long to be counted within one invocation: the counts are of its beginning"
            );
        }
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
            complete,
            retried,
        })
    }
}
