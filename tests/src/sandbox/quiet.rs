//! Waiting until no work is under way.

use std::time::Duration;

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use tokio::time::{Instant, sleep};

use super::{SandboxError, deployment::Deployment, progress};
use crate::local_aws::LocalAws;

/// The polling interval.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long nothing may be seen before it counts as quiet: longer than a message is between two queues.
const QUIET_FOR: Duration = Duration::from_secs(3);
/// How often the sandbox prints what it waits for.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// The queues between the functions.
pub(super) struct Queues {
    client: Client,
    queues: Vec<(&'static str, String)>,
    dead_letter_queues: Vec<(&'static str, String)>,
}

impl Queues {
    /// The queues of the deployed stack.
    pub(super) async fn of(aws: &LocalAws, deployment: &Deployment) -> Result<Self, SandboxError> {
        let urls = |names: [(&'static str, &str); 4]| {
            names
                .into_iter()
                .map(|(name, output)| Ok((name, deployment.output(output)?.to_owned())))
                .collect::<Result<Vec<_>, SandboxError>>()
        };
        Ok(Self {
            client: Client::new(&aws.aws_config()),
            queues: urls([
                ("changes", "ChangesQueueUrl"),
                ("imports", "ImportsQueueUrl"),
                ("jobs", "JobsQueueUrl"),
                ("passes", "PassesQueueUrl"),
            ])?,
            dead_letter_queues: urls([
                ("changes", "ChangesDeadLetterQueueUrl"),
                ("imports", "ImportsDeadLetterQueueUrl"),
                ("jobs", "JobsDeadLetterQueueUrl"),
                ("passes", "PassesDeadLetterQueueUrl"),
            ])?,
        })
    }

    /// How many messages there are of each queue, those in hand and those that wait included.
    pub(super) async fn waiting(&self) -> Result<Vec<(&'static str, u64)>, SandboxError> {
        self.count(&self.queues).await
    }

    /// The number of dead letters, by queue.
    pub(super) async fn dead(&self) -> Result<Vec<(&'static str, u64)>, SandboxError> {
        self.count(&self.dead_letter_queues).await
    }

    fn url(queues: &[(&'static str, String)], name: &str) -> String {
        let named = queues.iter().find(|(known, _)| *known == name);
        named.map(|(_, url)| url.clone()).unwrap_or_default()
    }

    /// The visibility time-out of a queue, in seconds.
    pub(super) async fn visibility(&self, queue: &str) -> Result<u32, SandboxError> {
        let timeout = QueueAttributeName::VisibilityTimeout;
        let failed = |error| SandboxError::aws("the visibility time-out cannot be read", error);
        let attributes = self
            .client
            .get_queue_attributes()
            .queue_url(Self::url(&self.queues, queue))
            .attribute_names(timeout.clone())
            .send()
            .await
            .map_err(failed)?;
        let value = attributes.attributes().and_then(|all| all.get(&timeout));
        let none = || SandboxError::Day(format!("{queue} has no visibility time-out"));
        value.and_then(|value| value.parse().ok()).ok_or_else(none)
    }

    /// Sets how long a received message of a queue is hidden, in seconds. Returns what it was before.
    pub(super) async fn set_visibility(
        &self,
        queue: &str,
        seconds: u32,
    ) -> Result<u32, SandboxError> {
        let before = self.visibility(queue).await?;
        self.client
            .set_queue_attributes()
            .queue_url(Self::url(&self.queues, queue))
            .attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string())
            .send()
            .await
            .map_err(|error| SandboxError::aws("the visibility time-out cannot be set", error))?;
        Ok(before)
    }

    /// Puts any text on `changes`, past the function that guards it.
    pub(super) async fn send_to_changes(&self, body: &str) -> Result<(), SandboxError> {
        self.client
            .send_message()
            .queue_url(Self::url(&self.queues, "changes"))
            .message_body(body)
            .message_group_id("nonsense")
            .message_deduplication_id(uuid::Uuid::new_v4().to_string())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| SandboxError::aws("a message cannot be queued", error))
    }

    /// Takes the dead letters of `changes` off their queue, and returns the reason that each carries.
    pub(super) async fn take_dead_changes(&self) -> Result<Vec<String>, SandboxError> {
        const MOST: i32 = 10;
        let url = Self::url(&self.dead_letter_queues, "changes");
        let failed = |error| SandboxError::aws("the dead letters cannot be read", error);
        let received = self
            .client
            .receive_message()
            .queue_url(&url)
            .max_number_of_messages(MOST)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(failed)?;
        let mut reasons = Vec::new();
        for message in received.messages() {
            let reason = message
                .message_attributes()
                .and_then(|all| all.get("reason"));
            let reason = reason
                .and_then(|reason| reason.string_value())
                .unwrap_or_default();
            reasons.push(reason.to_owned());
            self.client
                .delete_message()
                .queue_url(&url)
                .set_receipt_handle(message.receipt_handle().map(str::to_owned))
                .send()
                .await
                .map_err(|error| SandboxError::aws("a dead letter cannot be deleted", error))?;
        }
        Ok(reasons)
    }

    async fn count(
        &self,
        queues: &[(&'static str, String)],
    ) -> Result<Vec<(&'static str, u64)>, SandboxError> {
        let mut counts = Vec::new();
        for (name, url) in queues {
            let attributes = self
                .client
                .get_queue_attributes()
                .queue_url(url)
                .attribute_names(QueueAttributeName::All)
                .send()
                .await
                .map_err(|error| SandboxError::aws("the queues cannot be counted", error))?;
            let attribute = |name: QueueAttributeName| -> u64 {
                let value = attributes.attributes().and_then(|all| all.get(&name));
                value.and_then(|value| value.parse().ok()).unwrap_or(0)
            };
            let count = attribute(QueueAttributeName::ApproximateNumberOfMessages)
                + attribute(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
                + attribute(QueueAttributeName::ApproximateNumberOfMessagesDelayed);
            counts.push((*name, count));
        }
        Ok(counts)
    }

    /// Waits until the queues are empty and `others` says that nothing else is under way either. `false`: it was not
    /// so within `longest`.
    pub(super) async fn wait_until_quiet(
        &self,
        longest: Duration,
        others: impl Fn() -> usize,
    ) -> Result<bool, SandboxError> {
        let start = Instant::now();
        let mut quiet_since = None;
        let mut reported = start;
        loop {
            let waiting = self.waiting().await?;
            let under_way = others();
            let now = Instant::now();
            if under_way == 0 && waiting.iter().all(|(_, count)| *count == 0) {
                if now - *quiet_since.get_or_insert(now) >= QUIET_FOR {
                    return Ok(true);
                }
            } else {
                quiet_since = None;
            }
            if now - start > longest {
                return Ok(false);
            }
            if now - reported >= REPORT_EVERY {
                reported = now;
                let waiting: Vec<_> = waiting
                    .iter()
                    .map(|(name, count)| format!("{name} {count}"))
                    .collect();
                progress::detail(&format!(
                    "{:>8}  waiting on {}; {under_way} posts and jobs under way in Norce",
                    progress::duration(now - start),
                    waiting.join(", ")
                ));
            }
            sleep(INTERVAL).await;
        }
    }
}
