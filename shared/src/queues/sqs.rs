use std::{
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    operation::send_message::builders::SendMessageFluentBuilder,
    types::{
        Message as SqsMessage, MessageAttributeValue, MessageSystemAttributeName,
        QueueAttributeName, SendMessageBatchRequestEntry,
    },
};
use aws_types::SdkConfig;
use uuid::Uuid;

use super::{
    DEAD_LETTER_BATCH_SIZE, DeadLetters, DeadMessage, Inbox, MAX_DELAY, MAX_MESSAGE_BYTES,
    MAX_VISIBILITY, Message, Queue, QueueDepth, REQUEUES, encode, failed, group_of,
};
use crate::{
    StoreError,
    aws::{LazyClient, explain, pause},
};

/// Maximum number of messages in one request to SQS.
const MAX_BATCH: usize = 10;
/// Attempts to send the refused part of a batch. A temporary refusal by SQS ends after a moment; longer ones are the
/// caller's concern.
const ATTEMPTS: u32 = 4;
/// The twelve hours of [`MAX_VISIBILITY`] count from when the message was received, and a function that asks for all of
/// them may have run for up to a quarter of an hour by then.
const LONGEST_RETRY: Duration = MAX_VISIBILITY.saturating_sub(Duration::from_secs(15 * 60));
/// The message attribute of a dead letter that says why it is one.
const REASON: &str = "reason";
/// The group of a dead letter that had none, on a FIFO queue.
const NO_GROUP: &str = "no-group";

/// SQS. The queues of a process share one client.
#[derive(Debug, Clone)]
pub struct Sqs(LazyClient<Client>);

impl From<&SdkConfig> for Sqs {
    fn from(config: &SdkConfig) -> Self {
        Self(LazyClient::new(config, Client::new))
    }
}

/// Whether a queue is FIFO: SQS requires this suffix.
fn is_fifo(url: &str) -> bool {
    url.ends_with(".fifo")
}

/// A duration in the whole seconds of SQS, rounded up.
fn whole_seconds(delay: Duration) -> i32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// The sending end of an SQS queue.
#[derive(Debug, Clone)]
pub struct SqsQueue<M> {
    client: LazyClient<Client>,
    url: String,
    message: PhantomData<fn(M)>,
}

impl<M> SqsQueue<M> {
    /// The queue at a URL; it is FIFO when the URL ends in `.fifo`.
    pub fn new(sqs: impl Into<Sqs>, url: impl Into<String>) -> Self {
        Self {
            client: sqs.into().0,
            url: url.into(),
            message: PhantomData,
        }
    }

    /// Sends the entries of one batch until all are taken. Entries of one FIFO group that were refused end up behind
    /// those that were taken: messages are hints (P4), and one that comes late is worth more than one that is lost.
    async fn send_batch(
        &self,
        mut entries: Vec<SendMessageBatchRequestEntry>,
    ) -> Result<(), StoreError> {
        let mut attempt = 1;
        loop {
            let answer = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.clone()))
                .send()
                .await
                .map_err(|error| failed(explain(&error)))?;
            let refused = answer.failed();
            let Some(first) = refused.first() else {
                return Ok(());
            };
            if attempt == ATTEMPTS || refused.iter().any(|entry| entry.sender_fault()) {
                return Err(failed(format_args!(
                    "{} of {} messages refused, the first with {} ({attempt} attempts)",
                    refused.len(),
                    entries.len(),
                    first.code()
                )));
            }
            entries.retain(|entry| refused.iter().any(|refused| refused.id() == entry.id()));
            pause(attempt).await;
            attempt += 1;
        }
    }
}

impl<M: Message> SqsQueue<M> {
    fn entry(
        &self,
        message: &M,
        body: String,
        delay: Duration,
    ) -> Result<SendMessageBatchRequestEntry, StoreError> {
        // One id serves both purposes, unless the message brings its own. It is fresh for every message, since a later
        // change must not vanish as a duplicate of an earlier one, and stays the same while a message is sent again, so
        // that it is not doubled.
        let id = Uuid::new_v4().to_string();
        let entry = SendMessageBatchRequestEntry::builder()
            .id(&id)
            .message_body(body);
        let entry = if is_fifo(&self.url) {
            let group = group_of(message)?;
            let deduplication = message.deduplication().unwrap_or(id);
            entry
                .message_group_id(group)
                .message_deduplication_id(deduplication)
        } else {
            entry.delay_seconds(whole_seconds(delay.min(MAX_DELAY)))
        };
        entry.build().map_err(failed)
    }
}

#[async_trait]
impl<M: Message> Queue<M> for SqsQueue<M> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError> {
        // All are encoded before the first is sent, so that an invalid one is found early.
        let mut batches = vec![(Vec::new(), 0)];
        for message in messages {
            let body = encode(message)?;
            let bytes = body.len();
            let entry = self.entry(message, body, delay)?;
            match batches.last_mut() {
                Some((entries, total))
                    if entries.len() < MAX_BATCH && *total + bytes <= MAX_MESSAGE_BYTES =>
                {
                    entries.push(entry);
                    *total += bytes;
                }
                _ => batches.push((vec![entry], bytes)),
            }
        }
        // One batch after the other, because FIFO queues keep the order of arrival.
        for (entries, _) in batches {
            if !entries.is_empty() {
                self.send_batch(entries).await?;
            }
        }
        Ok(())
    }
}

/// The counted messages: those that wait, those that are being handled, and those that are delayed.
const DEPTH: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

#[async_trait]
impl<M: Message> QueueDepth for SqsQueue<M> {
    async fn depth(&self) -> Result<u64, StoreError> {
        depth(&self.client, &self.url).await
    }
}

async fn depth(client: &Client, url: &str) -> Result<u64, StoreError> {
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(DEPTH.to_vec()))
        .send()
        .await
        .map_err(|error| failed(explain(&error)))?;
    let attributes = answer.attributes.unwrap_or_default();
    Ok(DEPTH
        .iter()
        .filter_map(|name| attributes.get(name)?.parse::<u64>().ok())
        .sum())
}

fn attribute(
    data_type: &str,
    value: impl Into<String>,
) -> Result<MessageAttributeValue, StoreError> {
    MessageAttributeValue::builder()
        .data_type(data_type)
        .string_value(value)
        .build()
        .map_err(failed)
}

/// The receiving end of an SQS queue, with its dead-letter queue.
#[derive(Debug, Clone)]
pub struct SqsInbox {
    client: LazyClient<Client>,
    url: String,
    dead_letter_url: String,
}

impl SqsInbox {
    /// The queue at a URL, and the one for what can never be handled.
    pub fn new(
        sqs: impl Into<Sqs>,
        url: impl Into<String>,
        dead_letter_url: impl Into<String>,
    ) -> Self {
        Self {
            client: sqs.into().0,
            url: url.into(),
            dead_letter_url: dead_letter_url.into(),
        }
    }
}

impl SqsInbox {
    fn to(&self, url: &str, body: &str, group: Option<&str>) -> SendMessageFluentBuilder {
        let request = self.client.send_message().queue_url(url).message_body(body);
        if !is_fifo(url) {
            return request;
        }
        request
            .message_group_id(group.unwrap_or(NO_GROUP))
            .message_deduplication_id(Uuid::new_v4().to_string())
    }
}

#[async_trait]
impl Inbox for SqsInbox {
    async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(whole_seconds(delay.min(LONGEST_RETRY)))
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }

    async fn requeue(
        &self,
        body: &str,
        group: Option<&str>,
        requeues: u32,
    ) -> Result<(), StoreError> {
        let requeues = attribute("Number", requeues.to_string())?;
        let mut request = self
            .to(&self.url, body, group)
            .message_attributes(REQUEUES, requeues);
        // FIFO queues have no delay of a single message; it is hidden again when it is received.
        if !is_fifo(&self.url) {
            request = request.delay_seconds(whole_seconds(MAX_DELAY));
        }
        request
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }

    async fn dead_letter(
        &self,
        body: &str,
        group: Option<&str>,
        reason: &str,
    ) -> Result<(), StoreError> {
        let reason = attribute("String", reason)?;
        self.to(&self.dead_letter_url, body, group)
            .message_attributes(REASON, reason)
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }
}

/// A dead-letter queue on SQS, with the queue that its messages come from.
#[derive(Debug, Clone)]
pub struct SqsDeadLetters {
    client: LazyClient<Client>,
    url: String,
    source_url: String,
}

impl SqsDeadLetters {
    /// The dead-letter queue at a URL, and where its messages come from.
    pub fn new(sqs: impl Into<Sqs>, url: impl Into<String>, source_url: impl Into<String>) -> Self {
        Self {
            client: sqs.into().0,
            url: url.into(),
            source_url: source_url.into(),
        }
    }
}

fn dead_message(message: SqsMessage) -> Option<DeadMessage> {
    let system = message.attributes.unwrap_or_default();
    let reason = message
        .message_attributes
        .unwrap_or_default()
        .remove(REASON);
    let sent = system
        .get(&MessageSystemAttributeName::SentTimestamp)
        .and_then(|sent| sent.parse().ok())
        .map(|sent| SystemTime::UNIX_EPOCH + Duration::from_millis(sent));
    let age = sent.and_then(|sent| SystemTime::now().duration_since(sent).ok());
    Some(DeadMessage {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body?,
        group: system
            .get(&MessageSystemAttributeName::MessageGroupId)
            .cloned(),
        reason: reason.and_then(|reason| reason.string_value),
        age: age.unwrap_or_default(),
    })
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    async fn count(&self) -> Result<u64, StoreError> {
        depth(&self.client, &self.url).await
    }

    async fn look(&self, hidden_for: Duration) -> Result<Vec<DeadMessage>, StoreError> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(DEAD_LETTER_BATCH_SIZE).unwrap_or(i32::MAX))
            .visibility_timeout(whole_seconds(hidden_for))
            // A long poll asks all of SQS's servers; a short one may miss messages that are there.
            .wait_time_seconds(1)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names(REASON)
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        let messages = answer.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(dead_message).collect())
    }

    async fn put_back(&self, message: &DeadMessage) -> Result<(), StoreError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .visibility_timeout(0)
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }

    async fn redrive(&self, message: &DeadMessage) -> Result<(), StoreError> {
        let mut request = self
            .client
            .send_message()
            .queue_url(&self.source_url)
            .message_body(&message.body);
        if is_fifo(&self.source_url) {
            // A fresh id: the same message may be redriven again within the five minutes for which SQS remembers ids.
            request = request
                .message_group_id(message.group.as_deref().unwrap_or(NO_GROUP))
                .message_deduplication_id(Uuid::new_v4().to_string());
        }
        request
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }
}
