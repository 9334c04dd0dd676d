//! `dead-letters`: counts, shows and redrives the messages of the dead-letter queues.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use shared::{
    domain::redact,
    http::Deadline,
    queues::{DeadLetters, DeadMessage},
};

use super::status::QueueStatus;
use crate::{
    error::Refusal,
    ports::{StackPorts, WorkQueue},
    sentence::{self, Sentence, say},
};

/// Messages shown by default.
const SHOWN: usize = 10;
/// The maximum number of messages shown: they are hidden from other readers while they are collected.
const MAX_SHOWN: usize = 100;
/// The maximum number of messages redriven by one request.
const MAX_REDRIVEN: usize = 1_000;
/// How long a message is hidden while it is shown or redriven: longer than either takes.
const HIDDEN_FOR: Duration = Duration::from_secs(120);
/// The longest time to receive and process one batch.
const TIME_OF_A_LOOK: Duration = Duration::from_secs(15);

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeadLettersRequest {
    /// What to do with the messages.
    pub r#do: DeadLettersAction,
    /// `changes`, `imports`, `jobs` or `passes`; without it, all queues.
    pub queue: Option<String>,
    /// The number of messages to show or redrive.
    pub limit: Option<usize>,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadLettersAction {
    /// Count them.
    #[default]
    Count,
    /// Show them, with personal data removed.
    Show,
    /// Send them back to the queue that they come from.
    Redrive,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLettersAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The queues that were asked for.
    pub queues: Vec<QueueStatus>,
    /// The messages shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<ShownMessage>,
    /// The number of redriven messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redriven: Option<usize>,
}

/// A message as it is shown, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownMessage {
    /// The queue that it comes from.
    pub queue: &'static str,
    /// SQS's id of the message.
    pub id: String,
    /// Why it could not be handled; absent: it was delivered too often.
    pub reason: Option<String>,
    /// Seconds since it was sent.
    pub age_seconds: u64,
    /// The body without personal data, cut where it is long.
    pub body: String,
}

impl ShownMessage {
    fn new(queue: &'static str, message: &DeadMessage) -> Self {
        Self {
            queue,
            id: message.id.clone(),
            reason: message.reason.as_deref().map(redact),
            age_seconds: message.age.as_secs(),
            body: redact(&message.body),
        }
    }
}

impl StackPorts {
    pub(crate) async fn dead_letters(
        &self,
        request: &DeadLettersRequest,
        deadline: Deadline,
    ) -> Result<DeadLettersAnswer, Refusal> {
        let is_asked = |queue: &&WorkQueue| {
            let name = request.queue.as_ref();
            name.is_none_or(|name| queue.name == name)
        };
        let queues: Vec<&WorkQueue> = self.queues.iter().filter(is_asked).collect();
        if queues.is_empty() {
            let names: Vec<&str> = self.queues.iter().map(|queue| queue.name).collect();
            return Err(Refusal::request(format!(
                "`queue` is one of: {}",
                names.join(", ")
            )));
        }
        let mut messages = Vec::new();
        let mut redriven = None;
        match request.r#do {
            DeadLettersAction::Count => {}
            DeadLettersAction::Show => {
                let limit = request.limit.unwrap_or(SHOWN).min(MAX_SHOWN);
                for queue in &queues {
                    show(queue, limit, &mut messages, deadline).await?;
                }
            }
            DeadLettersAction::Redrive => {
                let mut sent = 0;
                let limit = request.limit.unwrap_or(MAX_REDRIVEN).min(MAX_REDRIVEN);
                for queue in &queues {
                    sent += redrive(queue.dead_letters.as_ref(), limit - sent, deadline).await?;
                }
                redriven = Some(sent);
            }
        }
        let counts = try_join_all(queues.into_iter().map(QueueStatus::of)).await?;
        let left: u64 = counts.iter().map(|queue| queue.dead_letters).sum();
        let summary = match (redriven, messages.as_slice()) {
            (Some(redriven), _) => say!("dead-redriven", redriven, left),
            (None, []) => say!("dead-letters", left),
            (None, messages) => {
                let oldest = messages.iter().map(|message| message.age_seconds).max();
                let age = Duration::from_secs(oldest.unwrap_or_default());
                say!("dead-shown", left, shown = messages.len(), age)
            }
        };
        Ok(DeadLettersAnswer {
            summary,
            queues: counts,
            messages,
            redriven,
        })
    }
}

/// Collects messages until there are `limit` of them, and makes all of them visible again.
async fn show(
    queue: &WorkQueue,
    limit: usize,
    shown: &mut Vec<ShownMessage>,
    deadline: Deadline,
) -> Result<(), Refusal> {
    let mut seen: Vec<DeadMessage> = Vec::new();
    while shown.len() + seen.len() < limit && deadline.allows(TIME_OF_A_LOOK) {
        let messages = queue.dead_letters.look(HIDDEN_FOR).await?;
        if messages.is_empty() {
            break;
        }
        seen.extend(messages);
    }
    for message in &seen {
        queue.dead_letters.put_back(message).await?;
    }
    let room = limit - shown.len();
    let fitting = seen.iter().take(room);
    shown.extend(fitting.map(|message| ShownMessage::new(queue.name, message)));
    Ok(())
}

/// Redrives at most as many messages as there are now, so that a message that fails again meanwhile is not redriven twice.
async fn redrive(
    dead_letters: &dyn DeadLetters,
    limit: usize,
    deadline: Deadline,
) -> Result<usize, Refusal> {
    let there = usize::try_from(dead_letters.count().await?).unwrap_or(usize::MAX);
    let limit = limit.min(there);
    let mut sent = 0;
    while sent < limit && deadline.allows(TIME_OF_A_LOOK) {
        let messages = dead_letters.look(HIDDEN_FOR).await?;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            if sent < limit {
                dead_letters.redrive(&message).await?;
                sent += 1;
            } else {
                dead_letters.put_back(&message).await?;
            }
        }
    }
    Ok(sent)
}
