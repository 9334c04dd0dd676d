//! Why a call to an ERP failed.

use std::time::Duration;

use thiserror::Error;

use super::trial::TooLittleTime;

/// A failed call to the ERP. The variants differ in what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ErpError {
    /// A retry may work: rate limit, time-out of a read, 5xx, no connection.
    #[error("the ERP cannot answer now ({reason}); try again{}", after.map(|after| format!(" after {} s", after.as_secs())).unwrap_or_default())]
    RetryAfter {
        /// The wait that the ERP requests, if any.
        after: Option<Duration>,
        /// The reason, without personal data.
        reason: String,
    },
    /// The credentials are wrong or lack a right. A retry works once a person has corrected that.
    #[error(
        "the ERP refuses the credentials ({reason}); check the secret behind ERP_SECRET_ARN and the rights of the app in the ERP"
    )]
    Authentication {
        /// The reason, without secrets.
        reason: String,
    },
    /// The ERP, or the adapter on its behalf, refuses the record, until the record or the set-up of the ERP changes.
    #[error("the ERP refuses the record{}: {code}: {message}", field.map(|field| format!(" (field {field})")).unwrap_or_default())]
    Refused {
        /// The field, where it is known.
        field: Option<&'static str>,
        /// The ERP's error code.
        code: String,
        /// The ERP's message without personal data.
        message: String,
    },
    /// The place of a listing is no longer valid: the listing has to start over.
    #[error("the ERP does not know this place of the listing any more")]
    CursorExpired,
    /// The answer does not have the documented format.
    #[error("the ERP's answer cannot be read: {0}")]
    Unreadable(String),
}

impl From<TooLittleTime> for ErpError {
    fn from(error: TooLittleTime) -> Self {
        Self::RetryAfter {
            after: None,
            reason: error.to_string(),
        }
    }
}
