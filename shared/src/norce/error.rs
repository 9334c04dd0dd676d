use std::time::Duration;

use thiserror::Error;

use crate::{domain::UnknownApplication, http::TokenError};

/// A call to Norce failed. Typed by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NorceError {
    /// It can work later: rate limit, time-out, 5xx, no connection.
    #[error("Norce cannot answer now ({reason}); try again{}", after.map(|after| format!(" after {} s", after.as_secs())).unwrap_or_default())]
    RetryAfter {
        /// How long Norce asks to wait, where it says so.
        after: Option<Duration>,
        /// What happened, without personal data.
        reason: String,
    },
    /// The credentials are wrong or lack a right: a person must act, then a retry works.
    #[error(
        "Norce refuses the credentials ({reason}); check the secret behind NORCE_SECRET_ARN, NORCE_SCOPE, and the resources of the OAuth user in Norce Admin"
    )]
    Authentication {
        /// What happened, without secrets.
        reason: String,
    },
    /// Our configuration does not fit this Norce: a person must act, then a retry works.
    #[error("the configuration does not fit Norce: {0}")]
    Configuration(String),
    /// The request is wrong and will stay wrong.
    #[error("Norce refuses the request ({status}): {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Norce's words, personal data removed.
        reason: String,
    },
    /// The answer could not be read as what the fact sheets say it is.
    #[error("Norce's answer cannot be read: {0}")]
    Unreadable(String),
}

/// A failed call, by whether Norce may have acted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// Norce has certainly not acted.
    #[error(transparent)]
    NotDone(NorceError),
    /// Norce may have acted.
    #[error("Norce may have acted: {0}")]
    OutcomeUnknown(#[source] NorceError),
}

/// For a read: whether Norce has acted does not matter.
impl From<CallError> for NorceError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotDone(error) | CallError::OutcomeUnknown(error) => error,
        }
    }
}

impl From<TokenError> for NorceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::RetryAfter { after, reason } => Self::RetryAfter {
                after,
                reason: format!("identity: {reason}"),
            },
            TokenError::Refused { reason } => Self::Authentication { reason },
            // It says nothing about the request, which was not sent: a proxy's page must not be taken for a refusal.
            error @ TokenError::Unreadable(_) => Self::RetryAfter {
                after: None,
                reason: format!("{error}; check NORCE_BASE_URL"),
            },
        }
    }
}

impl From<UnknownApplication> for NorceError {
    fn from(error: UnknownApplication) -> Self {
        Self::Configuration(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_token_is_retried_and_says_nothing_about_the_request() {
        let unreadable = TokenError::Unreadable("HTTP 200 without a token".to_owned());
        let error = NorceError::from(unreadable);
        assert!(matches!(&error, NorceError::RetryAfter { .. }), "{error}");
        assert!(error.to_string().contains("NORCE_BASE_URL"), "{error}");
    }
}
