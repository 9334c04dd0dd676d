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
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use serde::de::DeserializeOwned;

use crate::{
    domain::Clock,
    http::Deadline,
    metrics::{Metric, Metrics},
    queues::{Inbox, MAX_DELAY, Message, REQUEUES},
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

/// After this many deliveries (about four days), a message that is only waiting is sent to its queue again. It then uses
/// up neither the 1,000 deliveries that the template allows nor the two weeks for which SQS keeps a message (P8).
pub const DELIVERIES_BEFORE_REQUEUE: u32 = 500;
/// A message that was sent again so often has waited for seven weeks at least and becomes a dead letter, so that the
/// alarm rings and a person decides: no chain of messages is endless, also where AWS does not detect loops.
pub const MAX_REQUEUES: u32 = 12;
/// The longest wait between two deliveries, also where a remote asks for more: its breaker holds the calls until then,
/// and [`DELIVERIES_BEFORE_REQUEUE`] of these waits have to end within the two weeks that SQS keeps a message.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// The time of an invocation whose deadline is not known: the shortest time-out of the functions that read queues.
const TIME_WITHOUT_DEADLINE: Duration = Duration::from_secs(60);

/// The time that an invocation has for its work, from Lambda's deadline.
///
/// No invocation begins after its deadline. One that has passed comes from `cargo lambda watch`, which names the same
/// moment in 1970 every time, and says nothing.
pub fn deadline(at: SystemTime) -> Deadline {
    let left = at
        .duration_since(SystemTime::now())
        .unwrap_or(TIME_WITHOUT_DEADLINE);
    Deadline::after(left.saturating_sub(RESERVE))
}

/// How long a record waits for its next delivery: doubling from two seconds to a quarter of an hour, with jitter so
/// that what failed together does not come back together.
pub fn retry_delay(receive_count: u32, at_least: Option<Duration>) -> Duration {
    let doublings = receive_count.saturating_sub(1).min(16);
    let longest = FIRST_RETRY.saturating_mul(1 << doublings).min(MAX_DELAY);
    let jittered = longest.mul_f64(0.5 + fastrand::f64() / 2.0);
    jittered.max(at_least.unwrap_or_default().min(LONGEST_WAIT))
}

/// How often a record was delivered, this time included.
pub fn receive_count(record: &SqsMessage) -> u32 {
    record
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}

/// How often a record was sent again.
fn requeues(record: &SqsMessage) -> u32 {
    record
        .message_attributes
        .get(REQUEUES)
        .and_then(|attribute| attribute.string_value.as_ref()?.parse().ok())
        .unwrap_or(0)
}

fn group(record: &SqsMessage) -> Option<&str> {
    record.attributes.get("MessageGroupId").map(String::as_str)
}

/// The queue that a batch comes from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its name, as the metrics have it: a value of [`Metric::WaitingSeconds`]'s second dimension.
    pub queue: &'static str,
    /// What can be done with its messages.
    pub inbox: &'a dyn Inbox,
    /// Takes how long messages wait.
    pub metrics: &'a Metrics,
    /// The time of day.
    pub clock: &'a dyn Clock,
}

impl Source<'_> {
    /// Parses a body, or puts it on the dead-letter queue.
    ///
    /// # Errors
    /// `Some(delay)`: the dead-letter queue could not be reached, and the record is to be returned to the queue; `None`: the
    /// record is done with.
    pub async fn parse<M: Message + DeserializeOwned>(
        &self,
        record: &SqsMessage,
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
                Err(self.dead_letter(record, &reason).await)
            }
        }
    }

    /// Puts a record on the dead-letter queue. `Some(delay)`: it could not be, and the record is to be returned to the queue.
    async fn dead_letter(&self, record: &SqsMessage, reason: &str) -> Option<Duration> {
        let message_id = record.message_id.as_deref().unwrap_or_default();
        let body = record.body.as_deref().unwrap_or_default();
        match self.inbox.dead_letter(body, group(record), reason).await {
            Ok(()) => {
                tracing::error!(message_id, reason, "message sent to the dead-letter queue");
                None
            }
            Err(error) => {
                tracing::error!(message_id, reason, %error, "could not send a message to the dead-letter queue");
                Some(retry_delay(receive_count(record), None))
            }
        }
    }

    /// Lets a record wait for something else than itself. `Some(delay)`: it is to be returned to the queue for so long;
    /// `None`: it is done with, because it has waited for long and was sent again, or, after [`MAX_REQUEUES`], is a dead
    /// letter.
    pub async fn retry_later(
        &self,
        record: &SqsMessage,
        at_least: Option<Duration>,
        reason: &str,
    ) -> Option<Duration> {
        let receive_count = receive_count(record);
        let message_id = record.message_id.as_deref().unwrap_or_default();
        let delay = retry_delay(receive_count, at_least);
        if receive_count < DELIVERIES_BEFORE_REQUEUE {
            tracing::warn!(
                message_id,
                receive_count,
                delay_ms = delay.as_millis(),
                reason,
                "message is tried again later"
            );
            return Some(delay);
        }
        let requeues = requeues(record).saturating_add(1);
        if requeues > MAX_REQUEUES {
            let reason = format!(
                "it has waited for weeks, the last time because: {reason}; redrive it when that is fixed"
            );
            return self.dead_letter(record, &reason).await;
        }
        self.measure_wait(record);
        let body = record.body.as_deref().unwrap_or_default();
        match self.inbox.requeue(body, group(record), requeues).await {
            Ok(()) => {
                tracing::warn!(
                    message_id,
                    requeues,
                    reason,
                    "message has waited for long and is sent again"
                );
                None
            }
            Err(error) => {
                tracing::warn!(message_id, reason, %error, "could not requeue a message");
                Some(delay)
            }
        }
    }

    /// The function that handles a batch, or the error that it could not be built with. Its messages then return to the
    /// queue for the usual wait: after an invocation that fails they would be hidden for the queue's whole visibility
    /// time-out. The invocation fails nonetheless, so that the alarm on its errors rings.
    ///
    /// # Errors
    /// The one that is given.
    pub async fn or_return<F, E>(&self, event: &SqsEvent, function: Result<F, E>) -> Result<F, E> {
        if function.is_err() {
            for record in &event.records {
                let delay = retry_delay(receive_count(record), None);
                self.return_to_queue([record], delay, &mut Vec::new()).await;
            }
        }
        function
    }

    /// Measures how long a record has waited that has to wait on.
    fn measure_wait(&self, record: &SqsMessage) {
        if let Some(sent_at) = sent_at(record) {
            let age = (self.clock.now() - sent_at).to_std().unwrap_or_default();
            self.metrics.time(Metric::WaitingSeconds, self.queue, age);
        }
    }

    /// Returns records to the queue for another delivery after `delay`, and measures how long they have waited.
    pub async fn return_to_queue<'r>(
        &self,
        records: impl IntoIterator<Item = &'r SqsMessage>,
        delay: Duration,
        failures: &mut Vec<String>,
    ) {
        for record in records {
            self.measure_wait(record);
            if let Some(receipt) = &record.receipt_handle
                && let Err(error) = self.inbox.retry_after(receipt, delay).await
            {
                // The queue's own visibility time-out brings it back as well, only later.
                tracing::warn!(%error, "could not set the visibility timeout of a message");
            }
            failures.extend(record.message_id.clone().filter(|id| !id.is_empty()));
        }
    }
}

/// When a record was sent to its queue. A message that was sent again begins from there.
fn sent_at(record: &SqsMessage) -> Option<DateTime<Utc>> {
    let sent = record.attributes.get("SentTimestamp")?.parse().ok()?;
    DateTime::from_timestamp_millis(sent)
}

/// The response that gives back the messages with these ids and lets SQS delete the rest.
pub fn response(failures: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.set_failures(failures);
    response
}

/// Handles a batch record by record: groups side by side, the records of one group one after the other.
pub async fn handle<M: Message + DeserializeOwned>(
    event: &SqsEvent,
    source: Source<'_>,
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
        .map(|records| handle_group(records, source, deadline, handler))
        .buffer_unordered(concurrency.get())
        .concat()
        .await;
    response(failures)
}

async fn handle_group<M: Message + DeserializeOwned>(
    records: Vec<&SqsMessage>,
    source: Source<'_>,
    deadline: Deadline,
    handler: &dyn Handler<M>,
) -> Vec<String> {
    let mut failures = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let delay = if deadline.allows(LEAST_TIME) {
            handle_record(record, source, deadline, handler).await
        } else {
            tracing::info!(
                left = records.len() - index,
                "time is nearly up; records are handed back"
            );
            Some(Duration::ZERO)
        };
        if let Some(delay) = delay {
            // A group's order holds only if everything after the failed record goes back with it.
            source
                .return_to_queue(records.iter().skip(index).copied(), delay, &mut failures)
                .await;
            break;
        }
    }
    failures
}

/// Handles one record; `Some(delay)`: it is to be returned to the queue.
async fn handle_record<M: Message + DeserializeOwned>(
    record: &SqsMessage,
    source: Source<'_>,
    deadline: Deadline,
    handler: &dyn Handler<M>,
) -> Option<Duration> {
    let received = match source.parse::<M>(record).await {
        Ok(received) => received,
        Err(delay) => return delay,
    };
    let receive_count = received.receive_count;
    let message_id = record.message_id.as_deref().unwrap_or_default();
    let work = AssertUnwindSafe(handler.handle(received, deadline)).catch_unwind();
    match tokio::time::timeout(deadline.remaining(), work).await {
        Ok(Ok(Outcome::Done)) => None,
        Ok(Ok(Outcome::RetryAfter { at_least, reason })) => {
            source.retry_later(record, at_least, &reason).await
        }
        // What the panic said may hold anything and is not logged; the hook of `telemetry` has logged where it was.
        Ok(Err(_)) if receive_count >= PANICS_BEFORE_DEAD_LETTER => {
            source
                .dead_letter(record, "handling this message panicked again and again")
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{StoreError, domain::JobMessage};

    /// Records the calls.
    #[derive(Default)]
    struct RecordingInbox {
        waits: Mutex<Vec<(String, Duration)>>,
        dead_letters: Mutex<Vec<String>>,
        requeued: Mutex<Vec<String>>,
        metrics: Metrics,
    }

    /// A clock that stands still.
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(self.0, 0).unwrap()
        }
    }

    /// Any time.
    const NOW: i64 = 1_795_424_400;

    #[async_trait]
    impl Inbox for RecordingInbox {
        async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
            self.waits.lock().unwrap().push((receipt.to_owned(), delay));
            Ok(())
        }

        async fn requeue(&self, body: &str, _: Option<&str>, _: u32) -> Result<(), StoreError> {
            self.requeued.lock().unwrap().push(body.to_owned());
            Ok(())
        }

        async fn dead_letter(
            &self,
            body: &str,
            _: Option<&str>,
            _: &str,
        ) -> Result<(), StoreError> {
            self.dead_letters.lock().unwrap().push(body.to_owned());
            Ok(())
        }
    }

    /// Does what the job's number says.
    struct Scripted {
        handled: Mutex<Vec<i64>>,
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_without_a_deadline_has_time_all_the_same() {
        let of_cargo_lambda_watch = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        assert!(deadline(of_cargo_lambda_watch).allows(LEAST_TIME));
        let nearly_up = SystemTime::now() + LEAST_TIME;
        assert!(!deadline(nearly_up).allows(LEAST_TIME));
    }

    const FAILS: i64 = 500;
    const PANICS: i64 = 666;
    const HANGS: i64 = 999;

    #[async_trait]
    impl Handler<JobMessage> for Scripted {
        async fn handle(&self, received: Received<JobMessage>, _: Deadline) -> Outcome {
            let JobMessage::Completed { job } = received.message else {
                return Outcome::Done;
            };
            self.handled.lock().unwrap().push(job);
            match job {
                FAILS => Outcome::RetryAfter {
                    at_least: None,
                    reason: "busy".to_owned(),
                },
                PANICS => panic!("poison"),
                HANGS => std::future::pending().await,
                _ => Outcome::Done,
            }
        }
    }

    fn record(id: &str, body: &str, group: Option<&str>, receive_count: u32) -> SqsMessage {
        let mut record = SqsMessage::default();
        record.message_id = Some(id.to_owned());
        record.receipt_handle = Some(format!("receipt {id}"));
        record.body = Some(body.to_owned());
        record.attributes.insert(
            "ApproximateReceiveCount".to_owned(),
            receive_count.to_string(),
        );
        if let Some(group) = group {
            record
                .attributes
                .insert("MessageGroupId".to_owned(), group.to_owned());
        }
        record
    }

    fn job(id: &str, number: i64, group: Option<&str>) -> SqsMessage {
        record(
            id,
            &format!(r#"{{"type":"completed","job":{number}}}"#),
            group,
            1,
        )
    }

    async fn run(
        records: Vec<SqsMessage>,
        time: Duration,
    ) -> (Vec<String>, Vec<i64>, RecordingInbox) {
        let inbox = RecordingInbox::default();
        let scripted = Scripted {
            handled: Mutex::default(),
        };
        let mut event = SqsEvent::default();
        event.records = records;
        let two = NonZeroUsize::new(2).unwrap();
        let source = Source {
            queue: "jobs",
            inbox: &inbox,
            metrics: &inbox.metrics,
            clock: &At(NOW),
        };
        let response = handle(&event, source, two, Deadline::after(time), &scripted).await;
        let mut failures: Vec<String> = response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect();
        failures.sort();
        let mut handled = scripted.handled.into_inner().unwrap();
        handled.sort_unstable();
        (failures, handled, inbox)
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn p6_a_bad_record_does_not_touch_its_neighbours() {
        let records = vec![
            job("a", 1, None),
            record("not json", "{", None, 1),
            record("other shape", r#"{"type":"poll"}"#, None, 1),
            job("panics", PANICS, None),
            job("fails", FAILS, None),
            job("hangs", HANGS, None),
            job("b", 2, None),
        ];
        let (failures, handled, inbox) = run(records, MINUTE).await;
        assert_eq!(failures, ["fails", "hangs", "panics"]);
        assert_eq!(handled, [1, 2, FAILS, PANICS, HANGS]);
        assert_eq!(inbox.dead_letters.into_inner().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_deferred_shows_how_long_it_has_waited() {
        let sent = |id, job_number, seconds_ago: i64| {
            let mut record = job(id, job_number, None);
            let at = (NOW - seconds_ago) * 1_000;
            let attributes = &mut record.attributes;
            attributes.insert("SentTimestamp".to_owned(), at.to_string());
            record
        };
        let records = vec![
            sent("done", 1, 99),
            sent("deferred", FAILS, 7),
            sent("longer", FAILS, 42),
        ];
        let (_, _, inbox) = run(records, MINUTE).await;
        let measured = inbox.metrics.take();
        assert_eq!(
            measured.into_iter().collect::<Vec<_>>(),
            [((Metric::WaitingSeconds, "jobs"), vec![42])]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn p6_what_panics_again_and_again_is_set_aside() {
        let body = format!(r#"{{"type":"completed","job":{PANICS}}}"#);
        let (failures, _, inbox) = run(
            vec![record("x", &body, None, PANICS_BEFORE_DEAD_LETTER)],
            MINUTE,
        )
        .await;
        assert!(failures.is_empty());
        assert_eq!(inbox.dead_letters.into_inner().unwrap(), [body]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_record_takes_the_later_ones_of_its_group_back_with_it() {
        let records = vec![
            job("g1", 1, Some("g")),
            job("h1", 2, Some("h")),
            job("g2", FAILS, Some("g")),
            job("g3", 3, Some("g")),
            job("h2", 4, Some("h")),
        ];
        let (failures, handled, inbox) = run(records, MINUTE).await;
        assert_eq!(failures, ["g2", "g3"]);
        assert_eq!(handled, [1, 2, 4, FAILS]);
        let waits = inbox.waits.into_inner().unwrap();
        assert_eq!(waits.len(), 2);
        // Both wait equally long: a shorter wait of a later record would not bring it back earlier.
        assert_eq!(waits[0].1, waits[1].1);
    }

    #[tokio::test(start_paused = true)]
    async fn p13_no_record_is_begun_that_there_is_no_time_to_end() {
        let records = vec![
            job("a", HANGS, Some("g")),
            job("b", 1, Some("g")),
            job("c", 2, None),
            job("d", 3, None),
        ];
        // The first record uses the time up; "c" is handled beside it, the rest of its group is handed back.
        let (failures, handled, inbox) = run(records, MINUTE).await;
        assert_eq!(failures, ["a", "b"]);
        assert_eq!(handled, [2, 3, HANGS]);
        drop(inbox);
        let (failures, handled, inbox) = run(vec![job("a", 1, None)], LEAST_TIME / 2).await;
        assert_eq!((failures, handled), (vec!["a".to_owned()], vec![]));
        assert_eq!(
            inbox.waits.into_inner().unwrap(),
            [("receipt a".to_owned(), Duration::ZERO)]
        );
    }

    #[test]
    fn waits_grow_to_a_quarter_of_an_hour_and_honour_what_the_remote_asks() {
        for count in 1..60 {
            let delay = retry_delay(count, None);
            assert!(
                delay <= MAX_DELAY && delay >= FIRST_RETRY / 2,
                "{count}: {delay:?}"
            );
        }
        assert!(retry_delay(20, None) >= MAX_DELAY / 2);
        assert!(retry_delay(1, Some(MAX_DELAY * 2)) == MAX_DELAY * 2);
    }

    /// However long a remote asks to wait, a message is sent again before SQS drops it.
    #[test]
    fn the_longest_waits_end_before_sqs_drops_the_message() {
        const RETENTION: Duration = Duration::from_secs(14 * 24 * 3_600);
        let longest = retry_delay(u32::MAX, Some(RETENTION));
        assert!(longest * DELIVERIES_BEFORE_REQUEUE + MAX_DELAY < RETENTION);
    }
}
