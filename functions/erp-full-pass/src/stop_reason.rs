//! Why a run stops.

use std::time::Duration;

use shared::{StoreError, erp::ErpError, norce::NorceError, record_finder::FinderError};

/// A result whose error stops the invocation's work on the run.
pub(crate) type Result<T = (), E = StopReason> = std::result::Result<T, E>;

/// Why an invocation stops working on a run. Everything that was recorded stays.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// The invocation's time is nearly up (P13).
    TimeIsUp,
    /// The imports queue is long: the pass waits until Norce has caught up.
    ImportsAreDeep,
    /// Another invocation saved this run and owns it now.
    Superseded,
    /// The ERP no longer knows the cursor: the listing has to start over.
    CursorExpired,
    /// The run would never end: it ends here, and the next one starts from the same watermark.
    Endless {
        /// Why, and what to do, for the record of the run and the log.
        reason: String,
    },
    /// A remote or a store cannot answer now.
    Later {
        /// The minimum wait.
        at_least: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
}

impl StopReason {
    pub(crate) fn later(reason: impl ToString) -> Self {
        Self::Later {
            at_least: None,
            reason: reason.to_string(),
        }
    }
}

impl From<ErpError> for StopReason {
    fn from(error: ErpError) -> Self {
        match error {
            ErpError::CursorExpired => Self::CursorExpired,
            ErpError::RetryAfter { after, .. } => Self::Later {
                at_least: after,
                reason: error.to_string(),
            },
            // None of these is about one record: a person corrects it, or the remote recovers.
            ErpError::Authentication { .. }
            | ErpError::Refused { .. }
            | ErpError::Unreadable(_) => Self::later(error),
        }
    }
}

impl From<NorceError> for StopReason {
    fn from(error: NorceError) -> Self {
        match error {
            NorceError::RetryAfter { after, .. } => Self::Later {
                at_least: after,
                reason: error.to_string(),
            },
            error => Self::later(error),
        }
    }
}

impl From<FinderError> for StopReason {
    fn from(error: FinderError) -> Self {
        match error {
            FinderError::Erp(error) => error.into(),
            FinderError::Index(error) => error.into(),
        }
    }
}

impl From<StoreError> for StopReason {
    fn from(error: StoreError) -> Self {
        Self::later(error)
    }
}

impl From<serde_json::Error> for StopReason {
    fn from(error: serde_json::Error) -> Self {
        Self::later(error)
    }
}
