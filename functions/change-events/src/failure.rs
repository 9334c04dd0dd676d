use std::time::Duration;

use shared::{
    erp::ErpError,
    import_jobs::ImportJobsError,
    mappings::MappingsError,
    norce::NorceError,
    orders::OrdersError,
    owed::{OwedError, Reason},
    queues::QueueError,
};

/// Why a change could not be brought across, typed by what is done next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It stays so until somebody acts: it goes on the list of what is owed.
    Owed {
        /// Why, as a class.
        reason: Reason,
        /// Why, in words without personal data, and what to do.
        detail: String,
    },
    /// It can work later: the message is delivered again.
    Later {
        /// How long to wait at least.
        at_least: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
}

impl Failure {
    pub(crate) fn owed(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Owed {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later {
            at_least: None,
            reason: reason.into(),
        }
    }
}

impl From<NorceError> for Failure {
    fn from(error: NorceError) -> Self {
        match error {
            NorceError::RetryAfter { after, .. } => Self::Later {
                at_least: after,
                reason: error.to_string(),
            },
            // A person must correct the credentials or the configuration; until then the work waits in the queue.
            NorceError::Authentication { .. } | NorceError::Configuration(_) => {
                Self::later(error.to_string())
            }
            NorceError::Refused { .. } | NorceError::Unreadable(_) => {
                Self::owed(Reason::RemoteFault, error.to_string())
            }
        }
    }
}

impl From<ErpError> for Failure {
    fn from(error: ErpError) -> Self {
        match error {
            ErpError::RetryAfter { after, .. } => Self::Later {
                at_least: after,
                reason: error.to_string(),
            },
            ErpError::Authentication { .. } => Self::later(error.to_string()),
            ErpError::Refused { .. } => Self::owed(Reason::Validation, error.to_string()),
            ErpError::Unreadable(_) | ErpError::CursorExpired => {
                Self::owed(Reason::RemoteFault, error.to_string())
            }
        }
    }
}

macro_rules! stores {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::later(error.to_string())
            }
        }
    )+};
}

stores!(
    MappingsError,
    OwedError,
    QueueError,
    ImportJobsError,
    OrdersError
);

impl From<serde_json::Error> for Failure {
    /// A fingerprint could not be made: a fault of this program, which the next version may not have.
    fn from(error: serde_json::Error) -> Self {
        Self::owed(
            Reason::RemoteFault,
            format!("the record has no fingerprint: {:?}", error.classify()),
        )
    }
}
