//! The queues between the functions. A function sends typed messages through [`Queue`] and gives messages that it
//! received back through [`Inbox`].

mod memory;
mod sqs;

use std::{fmt::Display, time::Duration};

use async_trait::async_trait;

pub use memory::{DeadLetter, MemoryQueue, QueuedMessage, Redrive, handling};
pub use sqs::{SqsDeadLetters, SqsInbox, SqsQueue};

use crate::{
    StoreError,
    domain::{ChangeMessage, ImportRequest, JobMessage, OutgoingOrder, PassMessage},
};

/// The longest delay that SQS knows for a message that is sent.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// The longest time that SQS hides a message that was received.
pub const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a FIFO queue of SQS knows the deduplication id of a message.
pub const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The message attribute that says how often a message was sent again. A message that a function, a schedule or a person
/// sends has none.
pub const REQUEUES: &str = "requeues";

/// A message that knows how it travels.
pub trait Message: serde::Serialize + Send + Sync + 'static {
    /// The FIFO message group, where the queue is FIFO.
    fn group(&self) -> Option<String>;

    /// Where the queue is FIFO: what makes a second message the same one, within [`DEDUPLICATION_INTERVAL`]. `None`: no
    /// message is ever taken for another.
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

/// The largest message that SQS takes, and the largest sum of the messages of one batch (1 MiB since August 2025).
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// A message as the text that travels.
fn failed(reason: impl Display) -> StoreError {
    StoreError::new("queue", reason)
}

fn encode(message: &impl Message) -> Result<String, StoreError> {
    let body = serde_json::to_string(message)
        .map_err(|error| failed(format_args!("a message has no JSON form: {error}")))?;
    // The two code points below U+10000 that JSON lets through and SQS refuses. In JSON they stand in strings only.
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

/// The group that a message has on a FIFO queue.
fn group_of(message: &impl Message) -> Result<String, StoreError> {
    let group = message.group();
    group.ok_or_else(|| failed("a FIFO queue takes messages with a group only"))
}

/// The sending end of a queue.
#[async_trait]
pub trait Queue<M: Message>: Send + Sync {
    /// Sends messages; they can be received after `delay` (at most [`MAX_DELAY`]; FIFO queues know no delay per
    /// message and ignore it). All of them are on the queue when this returns `Ok`; on an error some may be.
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError>;
}

/// How much waits on a queue.
#[async_trait]
pub trait QueueDepth: Send + Sync {
    /// About how many messages wait or are being handled.
    async fn depth(&self) -> Result<u64, StoreError>;
}

/// What a function can do with a message that it received, besides letting it be deleted.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Hides a received message for this long (at most [`MAX_VISIBILITY`]); then it is delivered again.
    async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError>;

    /// Sends a copy of a message, so that the received one can be deleted: the copy has no deliveries and its full retention
    /// period. On a FIFO queue it goes behind the others of its group.
    /// `requeues`: how often that has happened, this time included; it travels with the message as [`REQUEUES`].
    async fn requeue(
        &self,
        body: &str,
        group: Option<&str>,
        requeues: u32,
    ) -> Result<(), StoreError>;

    /// Puts a body that can never be handled on the dead-letter queue, with the reason, so that the message itself
    /// can be deleted.
    async fn dead_letter(
        &self,
        body: &str,
        group: Option<&str>,
        reason: &str,
    ) -> Result<(), StoreError>;
}

/// A message on a dead-letter queue, hidden from others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    /// The queue's id of the message.
    pub id: String,
    /// Stands for this look at it.
    pub receipt: String,
    /// The body as it was sent.
    pub body: String,
    /// The FIFO group.
    pub group: Option<String>,
    /// The reason that was given; `None`: it was delivered too often.
    pub reason: Option<String>,
    /// How long ago it was sent. On a standard queue that is to the queue that it comes from.
    pub age: Duration,
}

/// Messages that one look at a dead-letter queue gives at most: as many as SQS gives.
pub const DEAD_LETTERS_AT_ONCE: usize = 10;

/// A dead-letter queue, as a person works on it.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// About how many messages there are, those that are being looked at included.
    async fn count(&self) -> Result<u64, StoreError>;

    /// Up to [`DEAD_LETTERS_AT_ONCE`] of the messages. Nobody else is given them for this long, or until they are
    /// [put back](Self::put_back).
    async fn look(&self, hidden_for: Duration) -> Result<Vec<DeadMessage>, StoreError>;

    /// Lets a message be seen again.
    async fn put_back(&self, message: &DeadMessage) -> Result<(), StoreError>;

    /// Sends a message to the queue that it comes from, in its group, and then deletes it. Cut off in between, it is in
    /// both places: messages are hints, and one that comes twice does no harm (P2).
    async fn redrive(&self, message: &DeadMessage) -> Result<(), StoreError>;
}
