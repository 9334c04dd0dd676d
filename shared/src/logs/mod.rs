//! The functions' logs, read back for people: what became of an entity, and whether events come at all.

mod cloudwatch;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use thiserror::Error;

pub use cloudwatch::CloudWatchLogs;

/// The log could not be searched. It is always worth trying again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the log cannot be searched: {0}")]
pub struct LogsError(pub String);

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, to the millisecond.
    pub at: DateTime<Utc>,
    /// As it was written.
    pub text: String,
}

/// Some lines, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// They; there can be none although more are to come.
    pub lines: Vec<LogLine>,
    /// Where the search goes on; nothing: it is at its end.
    pub next: Option<String>,
}

/// The log of one function.
#[async_trait]
pub trait Logs: Send + Sync {
    /// Lines since then that hold this word, the oldest first. A line is found some seconds after it was written.
    ///
    /// A word has no white space, quotation marks or backslashes. Whether upper and lower case are told apart is the
    /// store's own matter.
    async fn find(
        &self,
        word: &str,
        since: DateTime<Utc>,
        after: Option<&str>,
    ) -> Result<LogPage, LogsError>;
}

impl LogLine {
    /// What the function said, without what its runtime adds: the message, and then `name=value` for each field.
    ///
    /// The runtime writes JSON where Lambda tells it to (`LogFormat: JSON`) and text elsewhere, such as under
    /// `cargo lambda watch` and on the local AWS.
    pub fn said(&self) -> String {
        let line = serde_json::from_str(&self.text);
        let Ok(Value::Object(mut line)) = line else {
            // Text names the invocation first: `INFO Lambda runtime invoke{requestId="…"}: said`.
            let said = self.text.split_once("}: ");
            return said.map_or(self.text.as_str(), |(_, said)| said).to_owned();
        };
        let fields = line.get_mut("fields").map(Value::take);
        let Some(Value::Object(mut fields)) = fields else {
            return self.text.clone();
        };
        let mut said = match fields.remove("message") {
            Some(Value::String(message)) => message,
            _ => String::new(),
        };
        for (name, value) in fields {
            said.push_str(&format!(" {name}={value}"));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let at = DateTime::from_timestamp(1_795_424_400, 0).unwrap();
        let text = text.to_owned();
        LogLine { at, text }.said()
    }

    #[test]
    fn both_formats_of_the_runtime_are_read() {
        let json = r#"{"level":"INFO","fields":{"message":"change handled","outcome":"unchanged","subject":"customer/client/1"},"span":{"requestId":"x"}}"#;
        assert_eq!(
            said(json),
            r#"change handled outcome="unchanged" subject="customer/client/1""#
        );
        let text = r#" INFO Lambda runtime invoke{requestId="x"}: change handled subject="customer/client/1""#;
        assert_eq!(said(text), r#"change handled subject="customer/client/1""#);
        assert_eq!(said("REPORT RequestId: x"), "REPORT RequestId: x");
        assert_eq!(said(r#"{"errorType":"x"}"#), r#"{"errorType":"x"}"#);
    }
}
