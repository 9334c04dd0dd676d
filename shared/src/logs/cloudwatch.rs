use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use chrono::{DateTime, Utc};

use super::{LogLine, LogPage, Logs, LogsError};
use crate::aws::explain;

/// A log group of CloudWatch Logs.
#[derive(Debug, Clone)]
pub struct CloudWatchLogs {
    client: Client,
    group: String,
}

impl CloudWatchLogs {
    /// A log group, by its name.
    pub fn new(config: &SdkConfig, group: impl Into<String>) -> Self {
        Self {
            client: Client::new(config),
            group: group.into(),
        }
    }
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
