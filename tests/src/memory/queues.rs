use std::{
    collections::{HashMap, HashSet},
    future::Future,
    marker::PhantomData,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use shared::{
    StoreError,
    queues::{
        DEAD_LETTER_BATCH_SIZE, DEDUPLICATION_INTERVAL, DeadLetters, DeadMessage, Inbox, MAX_DELAY,
        MAX_VISIBILITY, Message, Queue, QueueDepth, encode, group_of,
    },
};
use tokio::time::Instant;
use uuid::Uuid;

tokio::task_local! {
    /// The hops of the message that is being handled.
    static HOPS: u32;
}

/// Runs the handling of a message that has so many [hops](QueuedMessage::hops): the messages that it sends to any
/// [`MemoryQueue`] have one more. Lambda and SQS count the same way, by the lineage in the trace header.
pub async fn handling<F: Future>(hops: u32, work: F) -> F::Output {
    HOPS.scope(hops, work).await
}

/// The hops of a message that is sent now.
fn next_hops() -> u32 {
    HOPS.try_with(|hops| hops.saturating_add(1)).unwrap_or(1)
}

/// SQS in memory: delays, visibility, receive counts, dead letters, and in a
/// FIFO queue the order within a group. Its clock is tokio's, which tests can pause.
#[derive(Debug)]
pub struct MemoryQueue<M> {
    fifo: bool,
    redrive: Redrive,
    state: Mutex<State>,
    message: PhantomData<fn(M)>,
}

/// When a message is delivered again, and when it becomes a dead letter.
#[derive(Debug, Clone, Copy)]
pub struct Redrive {
    /// The visibility time-out.
    pub visibility: Duration,
    /// The number of deliveries before it becomes a dead letter.
    pub max_receives: u32,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// The same at every delivery.
    pub message_id: Uuid,
    /// Stands for this delivery.
    pub receipt: String,
    /// The body, JSON.
    pub body: String,
    /// The FIFO group.
    pub group: Option<String>,
    /// The number of deliveries, this one included.
    pub receive_count: u32,
    /// The time since it was sent.
    pub age: Duration,
    /// How often it was sent again after waiting for too many deliveries.
    pub requeues: u32,
    /// How many sends lie between the message and the origin of its chain: 1 where a request, a schedule or a person
    /// caused it, one more than the message that was being handled when it was sent.
    pub hops: u32,
}

/// A message that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The body.
    pub body: String,
    /// The FIFO group.
    pub group: Option<String>,
    /// The reason that was given; `None`: it was delivered too often.
    pub reason: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were sent.
    messages: Vec<Stored>,
    dead_letters: Vec<StoredDeadLetter>,
    /// When a group and a deduplication id were first sent.
    known: HashMap<(String, String), Instant>,
}

#[derive(Debug)]
struct StoredDeadLetter {
    id: Uuid,
    letter: DeadLetter,
    sent_at: Instant,
    visible_at: Instant,
}

impl StoredDeadLetter {
    fn new(id: Uuid, letter: DeadLetter, now: Instant) -> Self {
        Self {
            id,
            letter,
            sent_at: now,
            visible_at: now,
        }
    }
}

#[derive(Debug)]
struct Stored {
    id: Uuid,
    body: String,
    group: Option<String>,
    sent_at: Instant,
    visible_at: Instant,
    receive_count: u32,
    receipt: Option<String>,
    requeues: u32,
    hops: u32,
}

impl Stored {
    fn is_hidden(&self, now: Instant) -> bool {
        self.visible_at > now
    }
}

impl<M> MemoryQueue<M> {
    /// A standard queue.
    pub fn standard(redrive: Redrive) -> Self {
        Self::new(false, redrive)
    }

    /// A FIFO queue: no message of a group is delivered while an earlier one is being handled.
    pub fn fifo(redrive: Redrive) -> Self {
        Self::new(true, redrive)
    }

    fn new(fifo: bool, redrive: Redrive) -> Self {
        Self {
            fifo,
            redrive,
            state: Mutex::default(),
            message: PhantomData,
        }
    }

    /// A message that was never received. A FIFO queue knows no delay of a single one.
    fn stored(&self, body: String, group: Option<String>, delay: Duration) -> Stored {
        let delay = if self.fifo { Duration::ZERO } else { delay };
        let now = Instant::now();
        Stored {
            id: Uuid::new_v4(),
            body,
            group,
            sent_at: now,
            visible_at: now + delay.min(MAX_DELAY),
            receive_count: 0,
            receipt: None,
            requeues: 0,
            hops: next_hops(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `max` of the messages that can be received now, oldest first. They are hidden from then on.
    pub fn receive(&self, max: usize) -> Vec<QueuedMessage> {
        let now = Instant::now();
        let mut state = self.state();
        self.give_up(&mut state, now);
        let blocked = self.blocked_groups(&state, now);
        let is_due = |message: &&mut Stored| {
            !message.is_hidden(now) && !message.group.as_ref().is_some_and(|g| blocked.contains(g))
        };
        let due = state.messages.iter_mut().filter(is_due).take(max);
        due.map(|message| {
            message.receive_count += 1;
            message.visible_at = now + self.redrive.visibility;
            let receipt = format!("{}#{}", message.id, message.receive_count);
            message.receipt = Some(receipt.clone());
            QueuedMessage {
                message_id: message.id,
                receipt,
                body: message.body.clone(),
                group: message.group.clone(),
                receive_count: message.receive_count,
                age: now - message.sent_at,
                requeues: message.requeues,
                hops: message.hops,
            }
        })
        .collect()
    }

    /// Removes a message; `false` when the receipt is not that of its latest delivery, or, on a FIFO queue, too old.
    pub fn delete(&self, receipt: &str) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let has_receipt = |message: &Stored| message.receipt.as_deref() == Some(receipt);
        match state.messages.iter().position(has_receipt) {
            Some(place) if !self.fifo || state.messages[place].is_hidden(now) => {
                state.messages.remove(place);
                true
            }
            _ => false,
        }
    }

    /// The number of messages, hidden ones included.
    pub fn len(&self) -> usize {
        self.state().messages.len()
    }

    /// Whether there is no message, not even a hidden one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages that were given up, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let state = self.state();
        let letters = state.dead_letters.iter();
        letters.map(|stored| stored.letter.clone()).collect()
    }

    /// When the next message can be received, in the past if one can be now; `None`: the queue is empty.
    pub fn next_visible_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let state = self.state();
        let due = |message: &Stored| {
            let group = message.group.as_ref().filter(|_| self.fifo);
            let in_the_way =
                |other: &&Stored| other.group.as_ref() == group && other.is_hidden(now);
            let others = group
                .into_iter()
                .flat_map(|_| state.messages.iter().filter(in_the_way));
            others
                .map(|other| other.visible_at)
                .fold(message.visible_at, Instant::max)
        };
        state.messages.iter().map(due).min()
    }

    /// The groups of which a message is being handled.
    fn blocked_groups(&self, state: &State, now: Instant) -> HashSet<String> {
        let hidden = state
            .messages
            .iter()
            .filter(|message| message.is_hidden(now));
        hidden
            .filter(|_| self.fifo)
            .filter_map(|message| message.group.clone())
            .collect()
    }

    /// Moves what was delivered too often to the dead letters, as SQS does when it would be delivered once more.
    fn give_up(&self, state: &mut State, now: Instant) {
        let max_receives = self.redrive.max_receives;
        let is_spent =
            |message: &mut Stored| !message.is_hidden(now) && message.receive_count >= max_receives;
        let spent = state.messages.extract_if(.., is_spent);
        state.dead_letters.extend(spent.map(|message| {
            let letter = DeadLetter {
                body: message.body,
                group: message.group,
                reason: None,
            };
            StoredDeadLetter::new(message.id, letter, now)
        }));
    }
}

#[async_trait]
impl<M: Message> Queue<M> for MemoryQueue<M> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError> {
        let store = |message: &M| {
            let group = match self.fifo {
                true => Some(group_of(message)?),
                false => None,
            };
            let stored = self.stored(encode(message)?, group, delay);
            let same = stored.group.clone().zip(message.deduplication());
            Ok((stored, same))
        };
        let messages: Vec<_> = messages.iter().map(store).collect::<Result<_, _>>()?;
        let now = Instant::now();
        let mut state = self.state();
        state
            .known
            .retain(|_, sent| now.duration_since(*sent) < DEDUPLICATION_INTERVAL);
        for (stored, same) in messages {
            match same {
                Some(same) if state.known.contains_key(&same) => {}
                same => {
                    state.known.extend(same.map(|same| (same, now)));
                    state.messages.push(stored);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<M: Message> QueueDepth for MemoryQueue<M> {
    async fn depth(&self) -> Result<u64, StoreError> {
        Ok(self.state().messages.len() as u64)
    }
}

#[async_trait]
impl<M: Message> Inbox for MemoryQueue<M> {
    async fn retry_after(&self, receipt: &str, delay: Duration) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut state = self.state();
        let is_received = |message: &&mut Stored| {
            message.receipt.as_deref() == Some(receipt) && message.is_hidden(now)
        };
        let message = state.messages.iter_mut().find(is_received);
        let message = message
            .ok_or_else(|| StoreError::new("queue", "the message is not being handled any more"))?;
        message.visible_at = now + delay.min(MAX_VISIBILITY);
        Ok(())
    }

    async fn requeue(
        &self,
        body: &str,
        group: Option<&str>,
        requeues: u32,
    ) -> Result<(), StoreError> {
        let message = self.stored(body.to_owned(), group.map(str::to_owned), MAX_DELAY);
        self.state().messages.push(Stored {
            requeues,
            ..message
        });
        Ok(())
    }

    async fn dead_letter(
        &self,
        body: &str,
        group: Option<&str>,
        reason: &str,
    ) -> Result<(), StoreError> {
        let letter = DeadLetter {
            body: body.to_owned(),
            group: group.map(str::to_owned),
            reason: Some(reason.to_owned()),
        };
        let stored = StoredDeadLetter::new(Uuid::new_v4(), letter, Instant::now());
        self.state().dead_letters.push(stored);
        Ok(())
    }
}

#[async_trait]
impl<M: Message> DeadLetters for MemoryQueue<M> {
    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.state().dead_letters.len() as u64)
    }

    async fn look(&self, hidden_for: Duration) -> Result<Vec<DeadMessage>, StoreError> {
        let now = Instant::now();
        let mut state = self.state();
        let visible = state
            .dead_letters
            .iter_mut()
            .filter(|stored| stored.visible_at <= now)
            .take(DEAD_LETTER_BATCH_SIZE);
        Ok(visible
            .map(|stored| {
                stored.visible_at = now + hidden_for;
                DeadMessage {
                    id: stored.id.to_string(),
                    receipt: stored.id.to_string(),
                    body: stored.letter.body.clone(),
                    group: stored.letter.group.clone().filter(|_| self.fifo),
                    reason: stored.letter.reason.clone(),
                    age: now - stored.sent_at,
                }
            })
            .collect())
    }

    async fn put_back(&self, message: &DeadMessage) -> Result<(), StoreError> {
        let mut state = self.state();
        let mut letters = state.dead_letters.iter_mut();
        if let Some(stored) = letters.find(|stored| stored.id.to_string() == message.receipt) {
            stored.visible_at = Instant::now();
        }
        Ok(())
    }

    async fn redrive(&self, message: &DeadMessage) -> Result<(), StoreError> {
        let mut state = self.state();
        let group = message.group.clone().filter(|_| self.fifo);
        state
            .messages
            .push(self.stored(message.body.clone(), group, Duration::ZERO));
        state
            .dead_letters
            .retain(|stored| stored.id.to_string() != message.receipt);
        Ok(())
    }
}
