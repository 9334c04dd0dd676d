//! Batches of messages: when the functions begin one, and what follows after many deliveries.

use std::{
    num::NonZeroUsize,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsEvent, SqsMessage, SqsMessageAttribute};
use shared::{
    StoreError,
    domain::JobMessage,
    http::Deadline,
    metrics::Metrics,
    queues::{Inbox, REQUEUES},
    runtime::batch::{self, Handler, Outcome, Received, Source, retry_delay},
};
use tests::{bundle::TokioClock, limits::at_both_ends};

use crate::{HOUR, SECOND};

const MINUTE: Duration = Duration::from_secs(60);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    WaitsFor(Duration),
    SentAnew { requeues: u32 },
    DeadLetter,
}

#[derive(Default)]
pub(crate) struct Fates(pub(crate) Mutex<Vec<Fate>>);

impl Fates {
    fn note(&self, fate: Fate) -> Result<(), StoreError> {
        self.0.lock().unwrap().push(fate);
        Ok(())
    }
}

#[async_trait]
impl Inbox for Fates {
    async fn retry_after(&self, _: &str, delay: Duration) -> Result<(), StoreError> {
        self.note(Fate::WaitsFor(delay))
    }

    async fn requeue(&self, _: &str, _: Option<&str>, requeues: u32) -> Result<(), StoreError> {
        self.note(Fate::SentAnew { requeues })
    }

    async fn dead_letter(&self, _: &str, _: Option<&str>, _: &str) -> Result<(), StoreError> {
        self.note(Fate::DeadLetter)
    }
}

#[derive(Clone, Copy)]
enum Function {
    Defers,
    Panics,
    IsDone,
}

#[async_trait]
impl Handler<JobMessage> for Function {
    async fn handle(&self, _: Received<JobMessage>, _: Deadline) -> Outcome {
        match self {
            Self::Defers => Outcome::RetryAfter {
                at_least: None,
                reason: "busy".to_owned(),
            },
            Self::Panics => panic!("poison"),
            Self::IsDone => Outcome::Done,
        }
    }
}

/// What becomes of a message that a function gets with so much time left; `None`: it is done with.
async fn fate(
    function: Function,
    receive_count: u32,
    requeues: u32,
    time: Duration,
) -> Option<Fate> {
    let mut record = SqsMessage::default();
    record.message_id = Some("id".to_owned());
    record.receipt_handle = Some("receipt".to_owned());
    record.body = Some(r#"{"type":"completed","job":1}"#.to_owned());
    let count = ("ApproximateReceiveCount", receive_count.to_string());
    record.attributes.insert(count.0.to_owned(), count.1);
    let mut attribute = SqsMessageAttribute::default();
    attribute.string_value = Some(requeues.to_string());
    record
        .message_attributes
        .insert(REQUEUES.to_owned(), attribute);
    let mut event = SqsEvent::default();
    event.records.push(record);
    let (fates, metrics) = (Fates::default(), Metrics::default());
    let source = Source {
        queue: "jobs",
        inbox: &fates,
        metrics: &metrics,
        clock: &TokioClock::from_start(),
    };
    let deadline = Deadline::after(time);
    let response = batch::handle(&event, source, NonZeroUsize::MIN, deadline, &function).await;
    let fate = fates.0.into_inner().unwrap().pop();
    let is_given_back = !response.batch_item_failures.is_empty();
    assert_eq!(is_given_back, matches!(fate, Some(Fate::WaitsFor(_))));
    fate
}

#[tokio::test(start_paused = true)]
async fn p13_a_message_is_begun_while_five_seconds_are_left() {
    at_both_ends(5 * SECOND, async |left| {
        match fate(Function::IsDone, 1, 0, left).await {
            None => true,
            fate => {
                // At once, by somebody who has time.
                assert_eq!(fate, Some(Fate::WaitsFor(Duration::ZERO)));
                false
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p6_what_panics_is_a_dead_letter_at_its_third_delivery() {
    at_both_ends(3, async |deliveries| {
        fate(Function::Panics, deliveries, 0, MINUTE).await == Some(Fate::DeadLetter)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p8_what_only_waits_is_sent_again_at_its_five_hundredth_delivery() {
    at_both_ends(500, async |deliveries| {
        let fate = fate(Function::Defers, deliveries, 3, MINUTE).await;
        fate == Some(Fate::SentAnew { requeues: 4 })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p8_what_was_sent_again_twelve_times_is_a_dead_letter_then() {
    at_both_ends(12, async |requeues| {
        match fate(Function::Defers, 500, requeues, MINUTE).await {
            Some(Fate::DeadLetter) => true,
            fate => {
                let requeues = requeues + 1;
                assert_eq!(fate, Some(Fate::SentAnew { requeues }));
                false
            }
        }
    })
    .await;
}

/// The waits are random: between half of the longest and all of it.
#[test]
fn waits_double_from_two_seconds_to_a_quarter_of_an_hour() {
    const DRAWS: usize = 1_000;
    for (receive_count, longest) in [
        (0, 2),
        (1, 2),
        (2, 4),
        (3, 8),
        (9, 512),
        (10, 900),
        (u32::MAX, 900),
    ] {
        let longest = Duration::from_secs(longest);
        let waits: Vec<Duration> = (0..DRAWS)
            .map(|_| retry_delay(receive_count, None))
            .collect();
        let [shortest, most] = [waits.iter().min(), waits.iter().max()].map(Option::unwrap);
        assert!(
            *shortest >= longest / 2 && *most <= longest,
            "{receive_count}"
        );
        // They are spread over all of it.
        assert!(*shortest < longest.mul_f64(0.6) && *most > longest.mul_f64(0.9));
    }
}

#[tokio::test]
async fn p8_a_remote_that_asks_for_more_is_heard_up_to_half_an_hour() {
    at_both_ends(30 * MINUTE + Duration::from_millis(1), async |asked| {
        let wait = retry_delay(1, Some(asked));
        assert!(wait == asked || wait == 30 * MINUTE, "{wait:?}");
        wait < asked
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p13_three_seconds_of_an_invocation_are_kept_for_giving_back_what_was_not_begun() {
    // The deadline is a time of day, which goes on meanwhile.
    let left = batch::deadline(SystemTime::now() + HOUR).remaining();
    assert!(left <= HOUR - 3 * SECOND, "{left:?}");
    assert!(left > HOUR - MINUTE, "{left:?}");
    // One that is not known is that of the function with the least time.
    let unknown = batch::deadline(SystemTime::UNIX_EPOCH).remaining();
    assert_eq!(unknown, 57 * SECOND);
}
