//! Why a batch is not submitted now.

use std::{fmt, time::Duration};

use shared::norce::NorceError;

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
