//! What can go wrong with a look at a job.

use std::time::Duration;

use shared::{StoreError, norce::NorceError};
use thiserror::Error;

/// Why a look at a job came to nothing. All of it is worth another look later.
#[derive(Debug, Error)]
pub(crate) enum PollError {
    #[error(transparent)]
    Norce(#[from] NorceError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PollError {
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Norce(NorceError::RetryAfter { after, .. }) => *after,
            _ => None,
        }
    }

    /// Norce answers, and another look gives the same answer.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Norce(NorceError::Refused { .. } | NorceError::Unreadable(_))
        )
    }
}
