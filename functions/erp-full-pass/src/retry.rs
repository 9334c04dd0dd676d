//! Owed records are sent to be tried again, after growing waits; and counted, for the alarms.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    Consistency, StoreError,
    domain::{ChangeMessage, Clock, Scope},
    http::Deadline,
    owed::{Earliest, Owed, OwedCounts, OwedRecords, Reason, Stage, Subject, fold},
    queues::Queue,
};
use uuid::Uuid;

/// Records that are sent in one go: the ERP has other work, and the next go comes soon.
const MAX_RETRIES: usize = 200;
/// The time that sending them takes when all is well: two calls for each, of some ten milliseconds.
const TIME_TO_SEND: Duration = Duration::from_secs(30);
/// With less time left, no further record is sent: the clients of AWS give up after a few seconds.
const TIME_FOR_ONE: Duration = Duration::from_secs(10);

/// The owed records, and how many were sent to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retried {
    /// A sentence for people.
    pub summary: String,
    /// The counts of the owed records.
    #[serde(flatten)]
    pub counts: OwedCounts,
    /// Whether all of the list was counted. On a list that cannot be read within one invocation (several million records)
    /// the counts are of its beginning.
    pub complete: bool,
    /// How many were sent again.
    pub retried: u64,
}

/// Sends owed records to `changes`.
pub(crate) struct OwedRetry<'a> {
    pub(crate) owed: &'a dyn OwedRecords,
    pub(crate) changes: &'a dyn Queue<ChangeMessage>,
    pub(crate) clock: &'a dyn Clock,
}

impl OwedRetry<'_> {
    /// Sends what was owed because not all records of the ERP had been read, now that they are. What was sent before an
    /// error may be sent again, which does no harm.
    pub(crate) async fn retry_prerequisites(
        &self,
        scope: Scope,
        deadline: Deadline,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut waiting: Earliest<Owed> = Earliest::new(MAX_RETRIES);
        let each = |owed: Owed| {
            let is_of_scope =
                matches!(&owed.subject, Subject::Entity(entity) if entity.scope == scope);
            let is_waiting = owed.reason == Reason::MissingPrerequisite && owed.dismissed.is_none();
            if is_of_scope && is_waiting && owed.stage == Stage::ToErp {
                waiting.push(owed.last, owed);
            }
        };
        // A record that a stale page lacks is retried by the schedule, a little later.
        let eventual = Consistency::Eventual;
        fold(self.owed, eventual, deadline, TIME_TO_SEND, each).await?;
        self.send(waiting.into_vec(), now, deadline).await?;
        Ok(())
    }

    /// Sends what is due, the longest due first, and counts everything that is owed.
    pub(crate) async fn retry_due(&self, deadline: Deadline) -> Result<Retried, StoreError> {
        let now = self.clock.now();
        let mut counts = OwedCounts::default();
        let mut due: Earliest<Owed> = Earliest::new(MAX_RETRIES);
        let each = |owed: Owed| {
            counts.count(&owed, now);
            if let Some(next) = owed.next_attempt().filter(|next| *next <= now) {
                due.push(next, owed);
            }
        };
        // A stale page counts a record too many or too few, or has one retried that was just resolved, which does no harm;
        // the next go comes in minutes.
        let eventual = Consistency::Eventual;
        let complete = fold(self.owed, eventual, deadline, TIME_TO_SEND, each).await?;
        let retried = self.send(due.into_vec(), now, deadline).await?;
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
            "owed records counted and retried"
        );
        Ok(Retried {
            summary,
            counts,
            complete,
            retried,
        })
    }

    /// Sends records, as far as the time goes; and how many.
    async fn send(
        &self,
        records: Vec<Owed>,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<u64, StoreError> {
        let mut sent = 0;
        for owed in records {
            if !deadline.allows(TIME_FOR_ONE) {
                break;
            }
            let Some(change) = owed.change(now, Uuid::new_v4()) else {
                continue;
            };
            // Sent before it is noted: the other way round a crash would leave it for a whole wait.
            self.changes.send(&[change], Duration::ZERO).await?;
            self.owed.note_retry(&owed.subject, owed.stage, now).await?;
            sent += 1;
        }
        Ok(sent)
    }
}
