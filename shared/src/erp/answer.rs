//! HTTP answers of any ERP: lost ones, unreadable ones, and those that report an error.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Response, StatusCode, header};
use serde::de::DeserializeOwned;

use super::ErpError;
use crate::http::{TransportError, retry_after};

/// A write without a definite answer.
#[derive(Debug)]
pub(super) enum CallError {
    /// The ERP has certainly not acted on the request.
    NotDone(ErpError),
    /// The ERP may have acted on the request. The reason contains no personal data.
    OutcomeUnknown(String),
}

impl From<TransportError> for CallError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::AnswerLost(_) => Self::OutcomeUnknown(error.to_string()),
            TransportError::NotSent(_) | TransportError::CircuitOpen { .. } => {
                Self::NotDone(error.into())
            }
        }
    }
}

/// For a read, or a write that may be repeated: both cases are a failure that a retry may clear.
impl From<CallError> for ErpError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotDone(error) => error,
            CallError::OutcomeUnknown(reason) => Self::RetryAfter {
                after: None,
                reason,
            },
        }
    }
}

impl From<TransportError> for ErpError {
    fn from(error: TransportError) -> Self {
        Self::RetryAfter {
            after: error.after(),
            reason: error.to_string(),
        }
    }
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedAnswer {
    pub(super) status: StatusCode,
    /// The ERP's own code, where the body has one.
    code: Option<String>,
    /// The ERP's own message without personal data; empty where the body has none.
    message: String,
    after: Option<Duration>,
}

impl FailedAnswer {
    /// `error`: the code and the message in the body. A body in another format may be a whole page and is not repeated.
    pub(super) fn new(response: &Response<Bytes>, error: Option<(String, String)>) -> Self {
        let (code, message) = error.unzip();
        Self {
            status: response.status(),
            code,
            message: message.unwrap_or_default(),
            after: retry_after(response, Utc::now()),
        }
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Status and code, fit for a log.
    pub(super) fn reason(&self) -> String {
        let status = self.status.as_u16();
        match &self.code {
            Some(code) => format!("HTTP {status} {code}"),
            None => format!("HTTP {status}"),
        }
    }

    /// The error of a failure that passes by itself.
    pub(super) fn into_retry(self) -> ErpError {
        ErpError::RetryAfter {
            after: self.after,
            reason: self.reason(),
        }
    }

    /// The error of a refusal.
    pub(super) fn into_refused(self) -> ErpError {
        let status = self.status.as_u16();
        ErpError::Refused {
            field: None,
            code: self.code.unwrap_or_else(|| format!("HTTP {status}")),
            message: self.message,
        }
    }
}

/// Parses the body of an answer. The parser's own message is dropped because it could quote the body.
pub(super) fn parse<T: DeserializeOwned>(response: &Response<Bytes>) -> Result<T, ErpError> {
    serde_json::from_slice(response.body()).map_err(|_| {
        ErpError::Unreadable(format!(
            "HTTP {} with a body that is not what the API describes; check ERP_BASE_URL",
            response.status().as_u16()
        ))
    })
}

/// The server's time, from the `Date` header.
pub(super) fn server_time(response: &Response<Bytes>) -> Option<DateTime<Utc>> {
    let date = response.headers().get(header::DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(date.to_utc())
}
