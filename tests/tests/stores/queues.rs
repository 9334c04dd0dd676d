use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_sqs::types::{Message as SqsMessage, MessageSystemAttributeName, QueueAttributeName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::queues::{
    DeadLetters, DeadMessage, Inbox, MAX_MESSAGE_BYTES, Message, Queue, REQUEUES, SqsDeadLetters,
    SqsInbox, SqsQueue,
};
use shared::{
    StoreError,
    http::{Transport, TransportError},
};
use tests::{
    limits::at_both_ends,
    local_aws::aws_over,
    memory::{DeadLetter, MemoryQueue, QueuedMessage, Redrive},
};
use tokio::time::Instant;

use crate::local;

/// Longer than any test takes, so that a message comes again only when a test asks for it.
const VISIBILITY: Duration = Duration::from_secs(600);
const MAX_RECEIVES: u32 = 3;
/// How long a test waits for a message before it fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for a test to see that nothing comes.
const LONG: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
    group: Option<String>,
    #[serde(default)]
    deduplication: Option<String>,
}

impl Message for Note {
    fn group(&self) -> Option<String> {
        self.group.clone()
    }

    fn deduplication(&self) -> Option<String> {
        self.deduplication.clone()
    }
}

/// Both ends of a queue.
#[async_trait]
trait Ends: Queue<Note> + Inbox + DeadLetters {
    /// What can be received now.
    async fn receive(&self, max: u16) -> Vec<QueuedMessage>;
    /// Waits until something can be received.
    async fn wait(&self) -> Vec<QueuedMessage>;
    async fn delete(&self, receipt: &str);
    /// Waits until there are this many dead letters.
    async fn dead_letters(&self, count: usize) -> Vec<DeadLetter>;
}

type Subject = Arc<dyn Ends>;

#[async_trait]
impl Ends for MemoryQueue<Note> {
    async fn receive(&self, max: u16) -> Vec<QueuedMessage> {
        self.receive(max.into())
    }

    async fn wait(&self) -> Vec<QueuedMessage> {
        let due = self.next_visible_at().expect("nothing to wait for");
        tokio::time::sleep_until(due).await;
        self.receive(10)
    }

    async fn delete(&self, receipt: &str) {
        assert!(self.delete(receipt));
    }

    async fn dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        let letters = self.dead_letters();
        assert_eq!(letters.len(), count);
        letters
    }
}

/// A queue on the local AWS.
struct Aws {
    client: aws_sdk_sqs::Client,
    url: String,
    dead_letter_url: String,
    queue: SqsQueue<Note>,
    inbox: SqsInbox,
    by_hand: SqsDeadLetters,
}

#[async_trait]
impl Queue<Note> for Aws {
    async fn send(&self, messages: &[Note], delay: Duration) -> Result<(), StoreError> {
        self.queue.send(messages, delay).await
    }
}

#[async_trait]
impl Inbox for Aws {
    async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        self.inbox.retry_after(receipt, delay).await
    }

    async fn requeue(
        &self,
        body: &str,
        group: Option<&str>,
        requeues: u32,
    ) -> Result<(), StoreError> {
        self.inbox.requeue(body, group, requeues).await
    }

    async fn dead_letter(
        &self,
        body: &str,
        group: Option<&str>,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.inbox.dead_letter(body, group, reason).await
    }
}

#[async_trait]
impl DeadLetters for Aws {
    async fn count(&self) -> Result<u64, StoreError> {
        self.by_hand.count().await
    }

    async fn look(&self, hidden_for: Duration) -> Result<Vec<DeadMessage>, StoreError> {
        self.by_hand.look(hidden_for).await
    }

    async fn put_back(&self, message: &DeadMessage) -> Result<(), StoreError> {
        self.by_hand.put_back(message).await
    }

    async fn redrive(&self, message: &DeadMessage) -> Result<(), StoreError> {
        self.by_hand.redrive(message).await
    }
}

impl Aws {
    async fn poll(&self, url: &str, max: u16, wait: Duration) -> Vec<SqsMessage> {
        let request = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(max.into())
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap())
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        request.send().await.unwrap().messages.unwrap_or_default()
    }
}

fn group_of(message: &SqsMessage) -> Option<String> {
    let attributes = message.attributes()?;
    attributes
        .get(&MessageSystemAttributeName::MessageGroupId)
        .cloned()
}

/// From the two times that SQS tells, which are its own clock's.
fn age_of(message: &SqsMessage) -> Duration {
    let attributes = message.attributes().unwrap();
    let sent = attributes[&MessageSystemAttributeName::SentTimestamp]
        .parse()
        .unwrap();
    (SystemTime::UNIX_EPOCH + Duration::from_millis(sent))
        .elapsed()
        .unwrap_or_default()
}

fn requeues(message: &SqsMessage) -> u32 {
    let attributes = message.message_attributes.as_ref();
    let requeues = attributes.and_then(|attributes| attributes.get(REQUEUES)?.string_value());
    requeues.map_or(0, |requeues| requeues.parse().unwrap())
}

fn received(message: SqsMessage) -> QueuedMessage {
    let attributes = message.attributes().unwrap();
    let count = &attributes[&MessageSystemAttributeName::ApproximateReceiveCount];
    QueuedMessage {
        message_id: message.message_id().unwrap().parse().unwrap(),
        receipt: message.receipt_handle().unwrap().to_owned(),
        group: group_of(&message),
        receive_count: count.parse().unwrap(),
        age: age_of(&message),
        requeues: requeues(&message),
        // SQS counts them in the trace header, which is Lambda's business.
        hops: 1,
        body: message.body.unwrap(),
    }
}

#[async_trait]
impl Ends for Aws {
    async fn receive(&self, max: u16) -> Vec<QueuedMessage> {
        let messages = self.poll(&self.url, max, Duration::ZERO).await;
        messages.into_iter().map(received).collect()
    }

    async fn wait(&self) -> Vec<QueuedMessage> {
        // Twenty seconds are the longest that SQS waits.
        let messages = self.poll(&self.url, 10, Duration::from_secs(20)).await;
        messages.into_iter().map(received).collect()
    }

    async fn delete(&self, receipt: &str) {
        let request = self.client.delete_message().queue_url(&self.url);
        request.receipt_handle(receipt).send().await.unwrap();
    }

    async fn dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        while letters.len() < count {
            let messages = self.poll(&self.dead_letter_url, 10, Duration::from_secs(20));
            letters.extend(messages.await.into_iter().map(|message| {
                let attributes = message.message_attributes();
                let reason = attributes.and_then(|attributes| attributes.get("reason"));
                DeadLetter {
                    group: group_of(&message),
                    reason: reason.map(|reason| reason.string_value().unwrap().to_owned()),
                    body: message.body.unwrap(),
                }
            }));
        }
        letters
    }
}

const REDRIVE: Redrive = Redrive {
    visibility: VISIBILITY,
    max_receives: MAX_RECEIVES,
};

async fn on_aws(fifo: bool) -> Subject {
    let config = local::config().await;
    let (dead_letter_url, dead_letter_arn) = local::queue(&config, fifo, &[]).await;
    let redrive = serde_json::json!({
        "deadLetterTargetArn": dead_letter_arn,
        "maxReceiveCount": MAX_RECEIVES,
    });
    let attributes = [
        (
            QueueAttributeName::VisibilityTimeout,
            VISIBILITY.as_secs().to_string(),
        ),
        (QueueAttributeName::RedrivePolicy, redrive.to_string()),
    ];
    let (url, _) = local::queue(&config, fifo, &attributes).await;
    Arc::new(Aws {
        client: aws_sdk_sqs::Client::new(&config),
        queue: SqsQueue::new(&config, &url),
        inbox: SqsInbox::new(&config, &url, &dead_letter_url),
        by_hand: SqsDeadLetters::new(&config, &dead_letter_url, &url),
        url,
        dead_letter_url,
    })
}

mod standard {
    use super::*;
    use crate::suite;

    fn memory() -> Subject {
        Arc::new(MemoryQueue::standard(REDRIVE))
    }

    async fn aws() -> Subject {
        on_aws(false).await
    }

    suite! {
        every_message_arrives_once,
        p11_what_is_sent_has_no_group_in_sight,
        a_delayed_message_is_kept_back,
        a_received_message_is_hidden_until_it_is_asked_back,
        a_message_that_was_handled_cannot_be_asked_back,
        big_messages_travel_in_batches_that_fit,
        a_message_that_is_too_long_is_refused_before_any_is_sent,
        any_text_survives,
        what_is_delivered_too_often_becomes_a_dead_letter,
        p6_what_can_never_be_handled_becomes_a_dead_letter_with_its_reason,
        a_dead_letter_is_looked_at_and_put_back_and_sent_again,
    }

    async fn every_message_arrives_once(queue: Subject) {
        queue.send(&[], Duration::ZERO).await.unwrap();
        let sent: Vec<_> = (0..25).map(|n| note(&format!("{n:02}"))).collect();
        queue.send(&sent, Duration::ZERO).await.unwrap();
        let mut arrived = handle(&queue, sent.len()).await;
        arrived.sort_by(|a, b| a.text.cmp(&b.text));
        assert_eq!(arrived, sent);
        assert_eq!(queue.receive(10).await, []);
    }

    async fn p11_what_is_sent_has_no_group_in_sight(queue: Subject) {
        let grouped = in_group("a", "text");
        queue.send(&[grouped], Duration::ZERO).await.unwrap();
        assert_eq!(queue.wait().await[0].group, None);
    }

    async fn a_delayed_message_is_kept_back(queue: Subject) {
        queue.send(&[note("late")], LONG).await.unwrap();
        queue.send(&[note("now")], Duration::ZERO).await.unwrap();
        assert_eq!(handle(&queue, 1).await, [note("now")]);
        assert_eq!(queue.receive(10).await, []);
    }

    async fn a_message_that_was_handled_cannot_be_asked_back(queue: Subject) {
        queue.send(&[note("done")], Duration::ZERO).await.unwrap();
        let received = queue.wait().await.remove(0);
        queue.delete(&received.receipt).await;
        let error = queue.retry_after(&received.receipt, Duration::ZERO).await;
        assert!(error.is_err());
        assert_eq!(queue.receive(10).await, []);
    }

    async fn big_messages_travel_in_batches_that_fit(queue: Subject) {
        // 3.6 MB: not one request, not even by fours.
        let sent: Vec<_> = ('a'..='l')
            .map(|letter| note(&letter.to_string().repeat(300_000)))
            .collect();
        queue.send(&sent, Duration::ZERO).await.unwrap();
        let mut arrived = handle(&queue, sent.len()).await;
        arrived.sort_by(|a, b| a.text.cmp(&b.text));
        assert!(arrived == sent);
        // One that just fits.
        let empty = serde_json::to_string(&note("")).unwrap().len();
        let largest = note(&"x".repeat(MAX_MESSAGE_BYTES - empty));
        let sent = [largest.clone(), note("small")];
        queue.send(&sent, Duration::ZERO).await.unwrap();
        assert!(handle(&queue, 2).await.contains(&largest));
    }

    async fn a_message_that_is_too_long_is_refused_before_any_is_sent(queue: Subject) {
        let mut sent: Vec<_> = (0..15).map(|n| note(&n.to_string())).collect();
        sent.push(note(&"x".repeat(MAX_MESSAGE_BYTES)));
        let error = queue.send(&sent, Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("1048576"), "{error}");
        assert_eq!(queue.receive(10).await, []);
    }

    async fn any_text_survives(queue: Subject) {
        let strange = note("å \0 \u{1} \n \u{7f} \u{fffd} \u{fffe} \u{ffff} \u{1F600} \\ufffe");
        queue
            .send(std::slice::from_ref(&strange), Duration::ZERO)
            .await
            .unwrap();
        let received = queue.wait().await.remove(0);
        // SQS: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF.
        assert!(
            !received
                .body
                .contains(['\0', '\u{1}', '\u{fffe}', '\u{ffff}'])
        );
        assert_eq!(
            serde_json::from_str::<Note>(&received.body).unwrap(),
            strange
        );
    }
}

mod fifo {
    use super::*;
    use crate::suite;

    fn memory() -> Subject {
        Arc::new(MemoryQueue::fifo(REDRIVE))
    }

    async fn aws() -> Subject {
        on_aws(true).await
    }

    suite! {
        p4_a_later_change_does_not_vanish_behind_an_equal_one,
        p2_a_message_that_says_that_it_is_the_same_is_the_same,
        a_group_keeps_its_order,
        a_group_waits_while_one_of_its_messages_is_handled,
        p8_what_is_sent_anew_begins_again_behind_its_group,
        a_message_without_a_group_is_refused,
        a_delay_is_ignored,
        a_received_message_is_hidden_until_it_is_asked_back,
        what_is_delivered_too_often_becomes_a_dead_letter,
        p6_what_can_never_be_handled_becomes_a_dead_letter_with_its_reason,
        a_dead_letter_is_looked_at_and_put_back_and_sent_again,
    }

    async fn p8_what_is_sent_anew_begins_again_behind_its_group(queue: Subject) {
        let sent = [in_group("a", "1"), in_group("a", "2")];
        queue.send(&sent, Duration::ZERO).await.unwrap();
        let received = queue.receive(1).await.remove(0);
        queue
            .retry_after(&received.receipt, Duration::ZERO)
            .await
            .unwrap();
        let again = queue.receive(1).await.remove(0);
        assert_eq!(
            (again.message_id, again.receive_count),
            (received.message_id, 2)
        );
        queue.requeue(&again.body, Some("a"), 3).await.unwrap();
        queue.delete(&again.receipt).await;
        let next = queue.receive(1).await.remove(0);
        queue.delete(&next.receipt).await;
        let requeued = queue.receive(1).await.remove(0);
        assert_eq!(
            (&requeued.body, requeued.receive_count),
            (&received.body, 1)
        );
        assert_eq!((next.requeues, requeued.requeues), (0, 3));
        assert_ne!(next.body, requeued.body);
    }

    async fn p4_a_later_change_does_not_vanish_behind_an_equal_one(queue: Subject) {
        let same = in_group("a", "same");
        let sent = [same.clone(), same.clone()];
        queue.send(&sent, Duration::ZERO).await.unwrap();
        queue.send(&sent[..1], Duration::ZERO).await.unwrap();
        assert_eq!(handle(&queue, 3).await, [same.clone(), same.clone(), same]);
    }

    async fn p2_a_message_that_says_that_it_is_the_same_is_the_same(queue: Subject) {
        let same = |text: &str, deduplication: &str| Note {
            deduplication: Some(deduplication.to_owned()),
            ..in_group("a", text)
        };
        let sent = [same("one", "1"), same("two", "2"), same("one", "1")];
        queue.send(&sent, Duration::ZERO).await.unwrap();
        assert_eq!(handle(&queue, 2).await, sent[..2]);
        // Also when it was handled meanwhile.
        queue.send(&sent[..1], Duration::ZERO).await.unwrap();
        queue
            .send(&[same("three", "3")], Duration::ZERO)
            .await
            .unwrap();
        assert_eq!(handle(&queue, 1).await, [same("three", "3")]);
    }

    async fn a_group_keeps_its_order(queue: Subject) {
        let sent: Vec<_> = (0..25).map(|n| in_group("a", &n.to_string())).collect();
        queue.send(&sent[..12], Duration::ZERO).await.unwrap();
        queue.send(&sent[12..], Duration::ZERO).await.unwrap();
        assert_eq!(handle(&queue, sent.len()).await, sent);
    }

    async fn a_group_waits_while_one_of_its_messages_is_handled(queue: Subject) {
        let (a1, a2) = (in_group("a", "1"), in_group("a", "2"));
        let b1 = in_group("b", "1");
        let sent = [a1.clone(), a2.clone(), b1.clone()];
        queue.send(&sent, Duration::ZERO).await.unwrap();
        let first = queue.receive(1).await.remove(0);
        assert_eq!(
            (parse(&first), first.group.as_deref()),
            (a1.clone(), Some("a"))
        );
        // The other group continues, this one does not, even while its message waits for its retry.
        assert_eq!(handle(&queue, 1).await, [b1]);
        assert_eq!(queue.receive(10).await, []);
        queue.retry_after(&first.receipt, LONG).await.unwrap();
        assert_eq!(queue.receive(10).await, []);
        let at_once = Duration::ZERO;
        queue.retry_after(&first.receipt, at_once).await.unwrap();
        assert_eq!(handle(&queue, 2).await, [a1, a2]);
    }

    async fn a_message_without_a_group_is_refused(queue: Subject) {
        let sent = [in_group("a", "1"), note("no group")];
        assert!(queue.send(&sent, Duration::ZERO).await.is_err());
        assert_eq!(queue.receive(10).await, []);
    }

    async fn a_delay_is_ignored(queue: Subject) {
        let sent = [in_group("a", "1")];
        queue.send(&sent, PATIENCE).await.unwrap();
        assert_eq!(queue.receive(10).await.len(), 1);
    }
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
        group: None,
        deduplication: None,
    }
}

fn in_group(group: &str, text: &str) -> Note {
    Note {
        text: text.to_owned(),
        group: Some(group.to_owned()),
        deduplication: None,
    }
}

fn parse(message: &QueuedMessage) -> Note {
    serde_json::from_str(&message.body).unwrap()
}

/// Receives and deletes this many messages.
async fn handle(queue: &Subject, count: usize) -> Vec<Note> {
    let mut handled = Vec::new();
    let start = Instant::now();
    while handled.len() < count {
        assert!(start.elapsed() < PATIENCE, "{} came", handled.len());
        for message in queue.wait().await {
            queue.delete(&message.receipt).await;
            handled.push(parse(&message));
        }
    }
    handled
}

async fn a_received_message_is_hidden_until_it_is_asked_back(queue: Subject) {
    let sent = [in_group("a", "again")];
    queue.send(&sent, Duration::ZERO).await.unwrap();
    let first = queue.wait().await.remove(0);
    assert_eq!(first.receive_count, 1);
    assert_eq!(queue.receive(10).await, []);

    queue.retry_after(&first.receipt, LONG).await.unwrap();
    assert_eq!(queue.receive(10).await, []);
    queue
        .retry_after(&first.receipt, Duration::ZERO)
        .await
        .unwrap();
    let second = queue.wait().await.remove(0);
    assert_eq!(second.receive_count, 2);
    assert_eq!(second.message_id, first.message_id);
    assert_eq!(second.body, first.body);

    // More than SQS knows is as much as it knows.
    let long = Duration::from_secs(48 * 60 * 60);
    queue.retry_after(&second.receipt, long).await.unwrap();
    queue
        .retry_after(&second.receipt, Duration::ZERO)
        .await
        .unwrap();
    let third = queue.wait().await.remove(0);
    queue.delete(&third.receipt).await;
    assert_eq!(queue.receive(10).await, []);
}

async fn what_is_delivered_too_often_becomes_a_dead_letter(queue: Subject) {
    let sent = [in_group("a", "poison"), in_group("a", "good")];
    queue.send(&sent[..1], Duration::ZERO).await.unwrap();
    let mut body = String::new();
    for delivery in 1..=MAX_RECEIVES {
        let message = queue.wait().await.remove(0);
        assert_eq!(message.receive_count, delivery);
        queue
            .retry_after(&message.receipt, Duration::ZERO)
            .await
            .unwrap();
        body = message.body;
    }
    queue.send(&sent[1..], Duration::ZERO).await.unwrap();
    assert_eq!(handle(&queue, 1).await, sent[1..]);
    let letters = queue.dead_letters(1).await;
    assert_eq!((&letters[0].body, &letters[0].reason), (&body, &None));
}

async fn p6_what_can_never_be_handled_becomes_a_dead_letter_with_its_reason(queue: Subject) {
    queue
        .dead_letter("not JSON", Some("a"), "it is not JSON")
        .await
        .unwrap();
    queue
        .dead_letter("not JSON either", None, "nor is this")
        .await
        .unwrap();
    let letters = queue.dead_letters(2).await;
    for (body, reason) in [
        ("not JSON", "it is not JSON"),
        ("not JSON either", "nor is this"),
    ] {
        let letter = letters.iter().find(|letter| letter.body == body).unwrap();
        assert_eq!(letter.reason.as_deref(), Some(reason));
    }
    assert_eq!(queue.receive(10).await, []);
}

/// Whether a message can be received this long after it was sent or returned with this delay.
async fn is_there(delay: Duration, elapsed: Duration, is_given_back: bool) -> bool {
    let queue: MemoryQueue<Note> = MemoryQueue::standard(REDRIVE);
    let message = [note("late")];
    if is_given_back {
        queue.send(&message, Duration::ZERO).await.unwrap();
        let received = MemoryQueue::receive(&queue, 1).remove(0);
        queue.retry_after(&received.receipt, delay).await.unwrap();
    } else {
        queue.send(&message, delay).await.unwrap();
    }
    tokio::time::advance(elapsed).await;
    !MemoryQueue::receive(&queue, 1).is_empty()
}

/// How SQS keeps the times that it gets is its own matter; here it is the queue in memory.
#[tokio::test(start_paused = true)]
async fn a_message_comes_when_its_delay_or_its_wait_is_over() {
    for is_given_back in [false, true] {
        for delay in [Duration::from_millis(1_500), Duration::from_secs(900)] {
            at_both_ends(delay, async |elapsed| {
                is_there(delay, elapsed, is_given_back).await
            })
            .await;
        }
    }
}

/// An SQS that takes everything.
#[derive(Default)]
struct LookupKey(Mutex<Vec<serde_json::Value>>);

#[async_trait]
impl Transport for LookupKey {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        if let Ok(asked) = serde_json::from_slice(request.body()) {
            self.0.lock().unwrap().push(asked);
        }
        let taken = r#"{"Successful":[],"Failed":[]}"#;
        Ok(http::Response::new(taken.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn sqs_gets_whole_seconds_within_its_limits() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let asked = Arc::new(LookupKey::default());
    let config = aws_over(asked.clone());
    let url = "https://sqs.example/1/queue";
    let (queue, inbox) = (
        SqsQueue::new(&config, url),
        SqsInbox::new(&config, url, url),
    );
    let milliseconds = Duration::from_millis;
    for (delay, seconds) in [
        (Duration::ZERO, 0),
        (milliseconds(1), 1),
        (milliseconds(1_500), 2),
        (milliseconds(2_000), 2),
        (milliseconds(900_000), 900),
        (48 * HOUR, 900),
    ] {
        queue.send(&[note("text")], delay).await.unwrap();
        let told = asked.0.lock().unwrap().pop().unwrap();
        assert_eq!(told["Entries"][0]["DelaySeconds"], seconds, "{delay:?}");
    }
    // Of the twelve hours that SQS knows, a function that asks may have used up a quarter of one.
    let longest = 12 * 3_600 - 15 * 60;
    for (wait, seconds) in [
        (Duration::ZERO, 0),
        (milliseconds(1_200), 2),
        (Duration::from_secs(longest), longest),
        (12 * HOUR, longest),
    ] {
        inbox.retry_after("receipt", wait).await.unwrap();
        let told = asked.0.lock().unwrap().pop().unwrap();
        assert_eq!(told["VisibilityTimeout"], seconds, "{wait:?}");
    }
}

/// Properties that only the queue in memory shows to a test.
#[tokio::test(start_paused = true)]
async fn the_next_message_of_a_blocked_group_is_due_when_the_block_ends() {
    let redrive = Redrive {
        visibility: Duration::from_secs(30),
        ..REDRIVE
    };
    let queue = MemoryQueue::fifo(redrive);
    assert_eq!(queue.next_visible_at(), None);
    let sent = [in_group("a", "1"), in_group("a", "2"), in_group("a", "3")];
    queue.send(&sent, Duration::ZERO).await.unwrap();
    let start = Instant::now();
    assert_eq!(queue.next_visible_at(), Some(start));

    let received = MemoryQueue::receive(&queue, 2);
    assert_eq!(queue.next_visible_at(), Some(start + redrive.visibility));
    // The first one is to be tried again at once, but the second one is still being handled.
    queue
        .retry_after(&received[0].receipt, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(queue.next_visible_at(), Some(start + redrive.visibility));
    assert_eq!(MemoryQueue::receive(&queue, 10), []);
    assert!(MemoryQueue::delete(&queue, &received[1].receipt));
    assert_eq!(queue.next_visible_at(), Some(start));
    let texts: Vec<_> = MemoryQueue::receive(&queue, 10)
        .iter()
        .map(|m| parse(m).text)
        .collect();
    assert_eq!(texts, ["1", "3"]);
    assert_eq!(queue.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_again_when_its_time_is_up_and_the_old_receipt_is_void() {
    let redrive = Redrive {
        visibility: Duration::from_secs(30),
        ..REDRIVE
    };
    let queue = MemoryQueue::fifo(redrive);
    queue
        .send(&[in_group("a", "1")], Duration::ZERO)
        .await
        .unwrap();
    let first = MemoryQueue::receive(&queue, 1).remove(0);
    tokio::time::advance(redrive.visibility).await;
    assert!(!MemoryQueue::delete(&queue, &first.receipt));
    assert!(
        queue
            .retry_after(&first.receipt, Duration::ZERO)
            .await
            .is_err()
    );
    let second = MemoryQueue::receive(&queue, 1).remove(0);
    assert!(!MemoryQueue::delete(&queue, &first.receipt));
    assert!(MemoryQueue::delete(&queue, &second.receipt));
    assert!(queue.is_empty());
}

async fn a_dead_letter_is_looked_at_and_put_back_and_sent_again(queue: Subject) {
    let sent = in_group("a", "given up");
    let body = serde_json::to_string(&sent).unwrap();
    queue
        .dead_letter(&body, Some("a"), "it was too much")
        .await
        .unwrap();
    assert_eq!(queue.count().await.unwrap(), 1);
    let seen = queue.look(LONG).await.unwrap().remove(0);
    assert_eq!(
        (&seen.body, seen.reason.as_deref()),
        (&body, Some("it was too much"))
    );
    assert!(seen.age < PATIENCE, "{:?}", seen.age);
    assert_eq!(queue.look(LONG).await.unwrap(), [], "it is hidden");
    queue.put_back(&seen).await.unwrap();
    let again = queue.look(LONG).await.unwrap().remove(0);
    assert_eq!((&again.id, &again.group), (&seen.id, &seen.group));

    queue.redrive(&again).await.unwrap();
    assert_eq!(queue.count().await.unwrap(), 0);
    let received = queue.wait().await.remove(0);
    assert_eq!(parse(&received), sent);
    assert_eq!((received.group, received.receive_count), (again.group, 1));
}
