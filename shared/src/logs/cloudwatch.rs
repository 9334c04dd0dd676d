use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
};
use aws_types::SdkConfig;
use chrono::{DateTime, Utc};

use super::{LogLine, LogPage, Logs, LogsError};
use crate::aws::{LazyClient, explain};

/// `FilterLogEvents` goes over the lines of hours before it answers, with up to 1 MB of them or with none and the place
/// where the next call goes on (Amazon CloudWatch Logs API Reference, "FilterLogEvents"). On a busy log that takes
/// seconds, unlike every other call that is made.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Two tries. Whoever searches has a deadline as well, which may be nearer.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// A log group of CloudWatch Logs.
#[derive(Debug, Clone)]
pub struct CloudWatchLogs {
    client: LazyClient<Client>,
    group: String,
}

impl CloudWatchLogs {
    /// A log group, by its name.
    pub fn new(config: &SdkConfig, group: impl Into<String>) -> Self {
        Self {
            client: LazyClient::new(config, client),
            group: group.into(),
        }
    }
}

fn client(config: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder()
        .read_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    Client::from_conf(Builder::from(config).timeout_config(timeouts).build())
}

#[async_trait]
impl Logs for CloudWatchLogs {
    async fn find(
        &self,
        word: &str,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<LogPage, LogsError> {
        let answer = self
            .client
            .filter_log_events()
            .log_group_name(&self.group)
            .start_time(since.timestamp_millis())
            // In quotation marks a term may hold any sign (AWS, "Filter pattern syntax").
            .filter_pattern(format!("\"{word}\""))
            .set_next_token(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| LogsError(explain(&error)))?;
        let lines = answer.events.unwrap_or_default().into_iter();
        let lines = lines.filter_map(|event| {
            let at = DateTime::from_timestamp_millis(event.timestamp?)?;
            let text = event.message?;
            Some(LogLine { at, text })
        });
        Ok(LogPage {
            lines: lines.collect(),
            next: answer.next_token,
        })
    }
}
