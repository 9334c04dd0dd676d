//! Why a batch is not submitted now.

use std::{collections::BTreeMap, fmt, time::Duration};

use aws_lambda_events::sqs::SqsMessage;
use shared::{
    norce::NorceError,
    runtime::batch::{Source, receive_count, retry_delay},
};

/// Why a batch was not submitted.
pub(crate) struct Deferred {
    /// How long the remote asks to wait; `Some(0)`: the lines go back to the queue at once.
    pub(crate) at_least: Option<Duration>,
    pub(crate) reason: String,
}

impl Deferred {
    pub(crate) fn because(error: impl fmt::Display) -> Self {
        Self {
            at_least: None,
            reason: error.to_string(),
        }
    }
}

/// What the lines of a message wait for: how it is given back. If they wait for different things, the variant furthest down
/// counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// Time in an invocation.
    Time,
    /// Another attempt, after a panic.
    Panic,
    /// Something else than itself, for so long at least.
    Other(Option<Duration>),
}

/// The messages that are given back, by their places in the event, each with what it waits for and the first reason.
///
/// They are collected over all groups, because a message whose lines are in several of them is given back or sent again
/// once: with a copy for each group there would be more of them each time.
#[derive(Default)]
pub(crate) struct DeferredMessages(BTreeMap<usize, (Wait, String)>);

impl DeferredMessages {
    /// Lines of these messages wait.
    pub(crate) fn add(
        &mut self,
        messages: impl IntoIterator<Item = usize>,
        deferred: &Deferred,
        panicked: bool,
    ) {
        let wait = match deferred.at_least {
            Some(Duration::ZERO) => Wait::Time,
            _ if panicked => Wait::Panic,
            at_least => Wait::Other(at_least),
        };
        for index in messages {
            let first = || (wait, deferred.reason.clone());
            let (longest, _) = self.0.entry(index).or_insert_with(first);
            *longest = wait.max(*longest);
        }
    }

    /// Gives each of the messages back, or sends it again.
    pub(crate) async fn give_back(
        self,
        records: &[SqsMessage],
        source: Source<'_>,
        failures: &mut Vec<String>,
    ) {
        for (index, (wait, reason)) in self.0 {
            let Some(record) = records.get(index) else {
                continue;
            };
            let delay = match wait {
                Wait::Time => Some(Duration::ZERO),
                Wait::Panic => Some(retry_delay(receive_count(record), None)),
                Wait::Other(at_least) => source.retry_later(record, at_least, &reason).await,
            };
            if let Some(delay) = delay {
                source.return_to_queue([record], delay, failures).await;
            }
        }
    }
}

/// Something that a row must not take away could not be read.
pub(crate) fn unread(what: &str, error: &NorceError) -> Deferred {
    Deferred {
        at_least: match error {
            NorceError::RetryAfter { after, .. } => *after,
            _ => None,
        },
        reason: format!("{what}: {error}"),
    }
}
