//! Batches of SQS messages: one bad record never fails or delays its neighbours (P6), records of one FIFO group stay
//! in order, and no work is begun that there is no time to end (P13).
//!
//! What Lambda makes easy to get wrong, and what is done about it:
//!
//! * A body that is not JSON must fail alone: bodies are parsed one by one, and such a body goes to the dead-letter
//!   queue with the reason.
//! * A panic would fail the whole batch: it is caught, and costs its own record one attempt.
//! * A FIFO batch must give back the failed record *and* all later ones of its group.
//! * An empty message id in the response fails the whole batch: records without one are never listed.
//! * `ReportBatchItemFailures` alone lets a record come back only after the queue's whole visibility time-out: what is
//!   to be tried again says when, through `ChangeMessageVisibility`.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    panic::AssertUnwindSafe,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{FutureExt, StreamExt, stream};

use crate::{
    http::Deadline,
    queues::{Inbox, MAX_DELAY, Message},
};

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done and deleted.
    Done,
    /// It is delivered again: after this time, or after a growing one.
    RetryAfter {
        /// How long to wait at least, where the remote said so.
        at_least: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// How often it was delivered, this time included.
    pub receive_count: u32,
}

/// Handles one message at a time; a function's use case.
#[async_trait]
pub trait Handler<M>: Send + Sync {
    /// Handles a message. It can be cut off at any await, by the deadline or by a crash, and is then called again.
    async fn handle(&self, received: Received<M>, deadline: Deadline) -> Outcome;
}

/// Kept of an invocation's time for giving back what was not begun, and for the answer to Lambda.
const RESERVE: Duration = Duration::from_secs(3);
/// Less than this and a record is not begun: a handful of remote calls fits into it when all is well.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// The first wait of a record that is to be tried again; it doubles with every delivery.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// A record that panics this often is a bug or poison: more deliveries would only hide it.
const PANICS_BEFORE_DEAD_LETTER: u32 = 3;

/// The time that an invocation has for its work, from Lambda's deadline.
pub fn deadline(at: SystemTime) -> Deadline {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    Deadline::after(left.saturating_sub(RESERVE))
}

/// How long a record waits for its next delivery: doubling from two seconds to a quarter of an hour, with jitter so
/// that what failed together does not come back together.
pub fn retry_delay(receive_count: u32, at_least: Option<Duration>) -> Duration {
    let doublings = receive_count.saturating_sub(1).min(16);
    let longest = FIRST_RETRY.saturating_mul(1 << doublings).min(MAX_DELAY);
    let jittered = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
    jittered.max(at_least.unwrap_or_default())
}

fn receive_count(record: &SqsMessage) -> u32 {
    record
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}

fn group(record: &SqsMessage) -> Option<&str> {
    record.attributes.get("MessageGroupId").map(String::as_str)
}

/// Parses a body, or puts it on the dead-letter queue.
///
/// # Errors
/// `Some(delay)`: the dead-letter queue could not be reached, and the record is to be given back; `None`: the record
/// is done with.
pub async fn parse<M: Message>(
    record: &SqsMessage,
    inbox: &dyn Inbox,
) -> Result<Received<M>, Option<Duration>> {
    let body = record.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(message) => Ok(Received {
            message,
            receive_count: receive_count(record),
        }),
        Err(error) => {
            // serde's message can quote the input; where it failed is enough.
            let reason = format!(
                "the body is not a message of this queue ({:?} at line {} column {})",
                error.classify(),
                error.line(),
                error.column()
            );
            Err(bury(record, inbox, &reason).await)
        }
    }
}

/// Puts a record on the dead-letter queue. `Some(delay)`: it could not be, and the record is to be given back.
async fn bury(record: &SqsMessage, inbox: &dyn Inbox, reason: &str) -> Option<Duration> {
    let message_id = record.message_id.as_deref().unwrap_or_default();
    let body = record.body.as_deref().unwrap_or_default();
    match inbox.dead_letter(body, group(record), reason).await {
        Ok(()) => {
            tracing::error!(message_id, reason, "message put on the dead-letter queue");
            None
        }
        Err(error) => {
            tracing::error!(message_id, reason, %error, "message could not be put on the dead-letter queue");
            Some(retry_delay(receive_count(record), None))
        }
    }
}

/// Gives records back for another delivery after `delay`.
pub async fn give_back<'a>(
    records: impl IntoIterator<Item = &'a SqsMessage>,
    inbox: &dyn Inbox,
    delay: Duration,
    failures: &mut Vec<String>,
) {
    for record in records {
        if let Some(receipt) = &record.receipt_handle
            && let Err(error) = inbox.retry_after(receipt, delay).await
        {
            // The queue's own visibility time-out brings it back as well, only later.
            tracing::warn!(%error, "the wait of a message could not be set");
        }
        failures.extend(record.message_id.clone().filter(|id| !id.is_empty()));
    }
}

/// The response that gives back the messages with these ids and lets SQS delete the rest.
pub fn response(failures: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.set_failures(failures);
    response
}

/// Handles a batch record by record: groups side by side, the records of one group one after the other.
pub async fn handle<M: Message>(
    event: &SqsEvent,
    inbox: &dyn Inbox,
    concurrency: NonZeroUsize,
    deadline: Deadline,
    handler: &dyn Handler<M>,
) -> SqsBatchResponse {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Vec<&SqsMessage>> = Vec::new();
    for record in &event.records {
        match group(record) {
            Some(name) => {
                let place = *places.entry(name).or_insert(groups.len());
                match groups.get_mut(place) {
                    Some(records) => records.push(record),
                    None => groups.push(vec![record]),
                }
            }
            None => groups.push(vec![record]),
        }
    }
    let failures = stream::iter(groups)
        .map(|records| handle_group(records, inbox, deadline, handler))
        .buffer_unordered(concurrency.get())
        .concat()
        .await;
    response(failures)
}

async fn handle_group<M: Message>(
    records: Vec<&SqsMessage>,
    inbox: &dyn Inbox,
    deadline: Deadline,
    handler: &dyn Handler<M>,
) -> Vec<String> {
    let mut failures = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let delay = if deadline.allows(LEAST_TIME) {
            handle_record(record, inbox, deadline, handler).await
        } else {
            tracing::info!(
                left = records.len() - index,
                "time is nearly up; records are handed back"
            );
            Some(Duration::ZERO)
        };
        if let Some(delay) = delay {
            // A group's order holds only if everything after the failed record goes back with it.
            give_back(
                records.iter().skip(index).copied(),
                inbox,
                delay,
                &mut failures,
            )
            .await;
            break;
        }
    }
    failures
}

/// Handles one record; `Some(delay)`: it is to be given back.
async fn handle_record<M: Message>(
    record: &SqsMessage,
    inbox: &dyn Inbox,
    deadline: Deadline,
    handler: &dyn Handler<M>,
) -> Option<Duration> {
    let received = match parse::<M>(record, inbox).await {
        Ok(received) => received,
        Err(delay) => return delay,
    };
    let receive_count = received.receive_count;
    let message_id = record.message_id.as_deref().unwrap_or_default();
    let work = AssertUnwindSafe(handler.handle(received, deadline)).catch_unwind();
    match tokio::time::timeout(deadline.remaining(), work).await {
        Ok(Ok(Outcome::Done)) => None,
        Ok(Ok(Outcome::RetryAfter { at_least, reason })) => {
            let delay = retry_delay(receive_count, at_least);
            tracing::warn!(
                message_id,
                receive_count,
                delay_ms = delay.as_millis(),
                reason,
                "message is tried again later"
            );
            Some(delay)
        }
        // What the panic said may hold anything and is not logged; the hook of `telemetry` has logged where it was.
        Ok(Err(_)) if receive_count >= PANICS_BEFORE_DEAD_LETTER => {
            bury(
                record,
                inbox,
                "handling this message panicked again and again",
            )
            .await
        }
        Ok(Err(_)) => {
            tracing::error!(
                message_id,
                receive_count,
                "handling a message panicked; it is tried again later"
            );
            Some(retry_delay(receive_count, None))
        }
        Err(_) => {
            tracing::warn!(
                message_id,
                receive_count,
                "time was up before a message was handled; it is handed back"
            );
            Some(retry_delay(receive_count, None))
        }
    }
}
