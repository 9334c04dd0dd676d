//! The queues between the functions. A function sends typed messages through [`Queue`] and returns received messages
//! through [`Inbox`].

mod sqs;

use std::{fmt::Display, time::Duration};

use async_trait::async_trait;

pub use sqs::{Sqs, SqsDeadLetters, SqsInbox, SqsQueue};

use crate::{
    StoreError,
    domain::{ChangeMessage, ImportRequest, JobMessage, OutgoingOrder, PassMessage},
    port::port,
};

/// The longest delay of a message in SQS.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// The longest visibility timeout in SQS.
pub const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a FIFO queue of SQS remembers a deduplication id.
pub const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The message attribute with the number of times that a message was requeued. A message that a function, a schedule or a
/// person sends has none.
pub const REQUEUES: &str = "requeues";

/// A message for a queue.
pub trait Message: serde::Serialize + Send + Sync + 'static {
    /// The message group, if the queue is FIFO.
    fn group(&self) -> Option<String>;

    /// The deduplication id, if the queue is FIFO, for [`DEDUPLICATION_INTERVAL`]. `None` if every message is delivered.
    fn deduplication(&self) -> Option<String> {
        None
    }
}

impl Message for ChangeMessage {
    fn group(&self) -> Option<String> {
        Some(Self::group(self))
    }
}

impl Message for ImportRequest {
    fn group(&self) -> Option<String> {
        None
    }
}

impl Message for JobMessage {
    fn group(&self) -> Option<String> {
        None
    }
}

impl Message for PassMessage {
    fn group(&self) -> Option<String> {
        None
    }
}

impl Message for OutgoingOrder {
    fn group(&self) -> Option<String> {
        Some(self.group.clone())
    }

    fn deduplication(&self) -> Option<String> {
        Some(self.deduplication.clone())
    }
}

/// Maximum size of a message in SQS, and of the messages of a batch together (1 MiB since August 2025).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

fn failed(reason: impl Display) -> StoreError {
    StoreError::new("queue", reason)
}

/// The body of a message.
///
/// # Errors
/// If it is longer than [`MAX_MESSAGE_BYTES`].
pub fn encode(message: &impl Message) -> Result<String, StoreError> {
    let body = serde_json::to_string(message)
        .map_err(|error| failed(format_args!("a message has no JSON form: {error}")))?;
    // The two code points below U+10000 that JSON allows and SQS refuses. In JSON they occur in strings only.
    let body = body
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff");
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(failed(format_args!(
            "a message of {} bytes is longer than the {MAX_MESSAGE_BYTES} that SQS takes",
            body.len()
        )));
    }
    Ok(body)
}

/// The group of a message on a FIFO queue.
///
/// # Errors
/// If it has none.
pub fn group_of(message: &impl Message) -> Result<String, StoreError> {
    let group = message.group();
    group.ok_or_else(|| failed("a FIFO queue takes messages with a group only"))
}

/// The sending end of a queue.
#[async_trait]
pub trait Queue<M: Message>: Send + Sync {
    /// Sends messages, which can be received after `delay` (at most [`MAX_DELAY`]; FIFO queues have no delay per message and
    /// ignore it). With `Ok` all of them are on the queue; with an error some may be.
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError>;
}

port! {
    /// The depth of a queue.
    pub trait QueueDepth, layer QueueDepthLayer, error StoreError {
        reads:
        /// The approximate number of messages that wait or are being handled.
        async fn depth(&self) -> Result<u64, StoreError>;

        writes:
    }
}

port! {
    /// The operations on a received message, besides its deletion.
    pub trait Inbox, layer InboxLayer, error StoreError {
        reads:

        writes:
        /// Hides a received message for this long (at most [`MAX_VISIBILITY`]); then it is delivered again.
        async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError>;

        /// Sends the message again, so that the received one can be deleted: its count of deliveries and its retention period
        /// start again. On a FIFO queue it goes behind the others of its group. `requeues` is the number of times that this has
        /// happened, including this one; it is sent with the message as [`REQUEUES`].
        async fn requeue(
            &self,
            body: &str,
            group: Option<&str>,
            requeues: u32,
        ) -> Result<(), StoreError>;

        /// Sends a body that can never be handled to the dead-letter queue, with the reason, so that the message can be deleted.
        async fn dead_letter(
            &self,
            body: &str,
            group: Option<&str>,
            reason: &str,
        ) -> Result<(), StoreError>;
    }
}

/// A message on a dead-letter queue, hidden from others for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    /// The queue's id of the message.
    pub id: String,
    /// The receipt of this read.
    pub receipt: String,
    /// The body as it was sent.
    pub body: String,
    /// The FIFO group.
    pub group: Option<String>,
    /// The reason; `None` if it was delivered too often.
    pub reason: Option<String>,
    /// How long ago it was sent; on a standard queue, to its source queue.
    pub age: Duration,
}

/// Maximum number of messages in one read of a dead-letter queue: the limit of SQS.
pub const DEAD_LETTER_BATCH_SIZE: usize = 10;

/// A dead-letter queue, for people.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The approximate number of messages, including hidden ones.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Up to [`DEAD_LETTER_BATCH_SIZE`] messages. They are hidden from others for this time, or until they are
    /// [put back](Self::put_back).
    async fn look(&self, hidden_for: Duration) -> Result<Vec<DeadMessage>, StoreError>;

    /// Makes a message visible again.
    async fn put_back(&self, message: &DeadMessage) -> Result<(), StoreError>;

    /// Sends a message to its source queue, in its group, and then deletes it. If interrupted in between, it is on both queues:
    /// messages are hints, and a duplicate does no harm (P2).
    async fn redrive(&self, message: &DeadMessage) -> Result<(), StoreError>;
}
