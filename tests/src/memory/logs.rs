use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::logs::{LogLine, LogPage, Logs, LogsError};

/// A log in memory.
#[derive(Debug, Default)]
pub struct MemoryLogs(Mutex<Vec<LogLine>>);

impl MemoryLogs {
    /// Writes a line.
    pub fn write(&self, at: DateTime<Utc>, text: impl Into<String>) {
        let text = text.into();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(LogLine { at, text });
    }
}

#[async_trait]
impl Logs for MemoryLogs {
    async fn find(
        &self,
        word: &str,
        since: DateTime<Utc>,
        _: Option<&str>,
    ) -> Result<LogPage, LogsError> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lines
            .iter()
            .filter(|line| line.at >= since && line.text.contains(word));
        let mut lines: Vec<LogLine> = found.cloned().collect();
        lines.sort_by_key(|line| line.at);
        Ok(LogPage { lines, next: None })
    }
}
