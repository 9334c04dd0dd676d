use std::time::Duration;

use shared::{
    erp::ErpError, mappings::MappingsError, norce::NorceError, owed::OwedError,
    passes::PassesError, queues::QueueError, reports::ReportsError,
};

/// Why a run does not go on for now. Everything that was written down stays.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The invocation's time is nearly up (P13).
    TimeIsUp,
    /// Enough waits on the imports queue: the pass waits until Norce has caught up.
    ImportsAreDeep,
    /// Somebody else has saved this run meanwhile: he goes on with it.
    Superseded,
    /// The listing has to begin anew.
    CursorExpired,
    /// It would go on for ever: the run ends here, and the next one begins from the same watermark.
    Endless {
        /// Why, and what to do, for the record of the run and the log.
        reason: String,
    },
    /// A remote or a store cannot answer now.
    Later {
        /// How long to wait at least.
        at_least: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
}

impl Halt {
    fn later(reason: impl ToString) -> Self {
        Self::Later {
            at_least: None,
            reason: reason.to_string(),
        }
    }
}

impl From<ErpError> for Halt {
    fn from(error: ErpError) -> Self {
        match error {
            ErpError::CursorExpired => Self::CursorExpired,
            ErpError::RetryAfter { after, .. } => Self::Later {
                at_least: after,
                reason: error.to_string(),
            },
            // None of these is about one record: a person corrects it, or the remote comes round.
            ErpError::Authentication { .. }
            | ErpError::Refused { .. }
            | ErpError::Unreadable(_) => Self::later(error),
        }
    }
}

impl From<NorceError> for Halt {
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

macro_rules! always_worth_another_try {
    ($($error:ty),+) => {
        $(impl From<$error> for Halt {
            fn from(error: $error) -> Self {
                Self::later(error)
            }
        })+
    };
}

always_worth_another_try!(
    MappingsError,
    OwedError,
    PassesError,
    QueueError,
    ReportsError,
    crate::retry::RetryError,
    serde_json::Error
);
