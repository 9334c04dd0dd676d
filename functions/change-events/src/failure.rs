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

use crate::AS_IF_LOOKED_OFTEN;

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A remote or a store that answers again, or credentials that are put right. Alarms ring meanwhile (P8).
    Remote,
    /// Norce Query showing what Norce has told of.
    NorceQuery,
    /// The end of a create in the ERP that was never answered.
    CreateInErp,
    /// The end of an import that may be under way in Norce.
    Import,
    /// Another writer of the same mapping or record getting done.
    OtherWriter,
    /// The customers and companies of an order getting their records.
    Parties,
}

/// Deliveries after which a wait for anything but a remote is owed: with the growing waits of the queue about half an
/// hour, and several times what any of these takes when all is well.
pub(crate) const DELIVERIES_UNTIL_OWED: u32 = 12;

impl WaitsFor {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Remote,
        Self::NorceQuery,
        Self::CreateInErp,
        Self::Import,
        Self::OtherWriter,
        Self::Parties,
    ];

    /// The words for messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remote => "a remote to answer",
            Self::NorceQuery => "Norce Query to show it",
            Self::CreateInErp => "the end of a create in the ERP",
            Self::Import => "the end of an import in Norce",
            Self::OtherWriter => "another writer to get done",
            Self::Parties => "the order's customers and companies to be in the ERP",
        }
    }

    /// Whether a wait is owed after so many deliveries. Only a remote may take as long as it takes.
    /// A look by hand is no delivery, and only says what it waits for.
    const fn is_owed(self, receive_count: u32) -> bool {
        !matches!(self, Self::Remote)
            && receive_count >= DELIVERIES_UNTIL_OWED
            && receive_count != AS_IF_LOOKED_OFTEN
    }
}

/// Why a change could not be carried out, typed by what is done next.
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
        /// What ends the wait.
        waits_for: WaitsFor,
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

    pub(crate) fn later(waits_for: WaitsFor, reason: impl Into<String>) -> Self {
        Self::Later {
            waits_for,
            at_least: None,
            reason: reason.into(),
        }
    }

    /// A wait that is over after this many deliveries is owed, so that none is endless. A retry starts it again.
    pub(crate) fn bounded(self, receive_count: u32) -> Self {
        match self {
            Self::Later {
                waits_for, reason, ..
            } if waits_for.is_owed(receive_count) => Self::owed(
                Reason::TimedOut,
                format!(
                    "{reason}; it has waited for {} {receive_count} times and is tried again by itself: if this stays, see what keeps that from happening",
                    waits_for.as_str()
                ),
            ),
            other => other,
        }
    }
}

impl From<NorceError> for Failure {
    fn from(error: NorceError) -> Self {
        match error {
            NorceError::RetryAfter { after, .. } => Self::Later {
                waits_for: WaitsFor::Remote,
                at_least: after,
                reason: error.to_string(),
            },
            // A person must correct the credentials or the configuration; until then the work waits in the queue.
            NorceError::Authentication { .. } | NorceError::Configuration(_) => {
                Self::later(WaitsFor::Remote, error.to_string())
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
                waits_for: WaitsFor::Remote,
                at_least: after,
                reason: error.to_string(),
            },
            ErpError::Authentication { .. } => Self::later(WaitsFor::Remote, error.to_string()),
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
                Self::later(WaitsFor::Remote, error.to_string())
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
