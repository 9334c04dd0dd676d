//! How the handling of a change ends: [`Done`], or a [`Failure`] typed by what is done next.

use std::{borrow::Cow, time::Duration};

use chrono::TimeDelta;
use shared::{
    StoreError, domain::PartyType, erp::ErpError, norce::NorceError, owed::Reason,
    record_finder::FinderError,
};

/// Deliveries after which a wait for anything but a remote is owed: with the growing waits of the queue about half an
/// hour, and several times what any of these takes when all is well.
pub(crate) const DELIVERIES_UNTIL_OWED: u32 = 12;
/// The delivery count of a manual check. A manual check is not redelivered, so a missing entity is treated as deleted at
/// once, and what can succeed later is reported as such instead of being owed.
pub(crate) const MANUAL_CHECK: u32 = u32::MAX;

/// A change that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The class of the result, for metrics: `created`, `bound`, `updated`, `unchanged`, `forgotten`, `order`, or `nothing`.
    pub outcome: &'static str,
    /// A clause for a log line or a person, such as `created in the ERP as C00042`, without personal data.
    pub words: Cow<'static, str>,
    /// The type that `SYNC_KINDS` leaves out, if that is why nothing was done.
    pub switched_off: Option<PartyType>,
}

impl Done {
    pub(crate) fn new(outcome: &'static str, words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            outcome,
            words: words.into(),
            switched_off: None,
        }
    }

    pub(crate) fn nothing(words: impl Into<Cow<'static, str>>) -> Self {
        Self::new("nothing", words)
    }
}

/// What ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A remote or a store that is available again, or corrected credentials. Alarms ring meanwhile (P8).
    Remote,
    /// Norce Query showing what a Norce event announced.
    NorceQuery,
    /// The end of a create in the ERP that was never answered.
    CreateInErp,
    /// The end of an import that may be under way in Norce.
    Import,
    /// The end of another write to the same mapping or record.
    OtherWriter,
    /// The records of an order's customers and companies.
    Parties,
}

impl WaitsFor {
    /// Every kind of wait.
    pub const ALL: [Self; 6] = [
        Self::Remote,
        Self::NorceQuery,
        Self::CreateInErp,
        Self::Import,
        Self::OtherWriter,
        Self::Parties,
    ];

    /// The clause after "waits for" in a message.
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

    /// Whether a wait is owed after this many deliveries. Only the wait for a remote has no limit.
    const fn is_owed(self, receive_count: u32) -> bool {
        !matches!(self, Self::Remote)
            && receive_count >= DELIVERIES_UNTIL_OWED
            && receive_count != MANUAL_CHECK
    }
}

/// Why a change was not carried out, typed by what is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Somebody has to act: the record is listed as owed.
    Owed {
        /// Why, as a class.
        reason: Reason,
        /// What happened and what to do, without personal data.
        detail: String,
    },
    /// It can succeed later: the message is delivered again.
    Later {
        /// What ends the wait.
        waits_for: WaitsFor,
        /// How long to wait at least; `None`: as long as the queue chooses.
        at_least: Option<Duration>,
        /// What happened, without personal data.
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

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::owed(Reason::Conflict, detail)
    }

    pub(crate) fn missing_prerequisite(detail: impl Into<String>) -> Self {
        Self::owed(Reason::MissingPrerequisite, detail)
    }

    pub(crate) fn later(waits_for: WaitsFor, reason: impl Into<String>) -> Self {
        Self::Later {
            waits_for,
            at_least: None,
            reason: reason.into(),
        }
    }

    /// A wait of at least this time.
    pub(crate) fn later_after(waits_for: WaitsFor, time: TimeDelta, reason: String) -> Self {
        Self::Later {
            waits_for,
            at_least: time.to_std().ok(),
            reason,
        }
    }

    pub(crate) fn other_writer(reason: impl Into<String>) -> Self {
        Self::later(WaitsFor::OtherWriter, reason)
    }

    /// Turns a wait that has reached its limit into an owed record, so that no wait is endless. A retry starts it again.
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
            // The work waits in the queue until a person corrects the credentials or the configuration.
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::later(WaitsFor::Remote, error.to_string())
    }
}

impl From<FinderError> for Failure {
    fn from(error: FinderError) -> Self {
        match error {
            FinderError::Erp(error) => error.into(),
            FinderError::Index(error) => error.into(),
        }
    }
}

impl From<serde_json::Error> for Failure {
    /// A fingerprint could not be computed: a bug of this program, which a later version may have fixed.
    fn from(error: serde_json::Error) -> Self {
        Self::owed(
            Reason::RemoteFault,
            format!("the record has no fingerprint: {:?}", error.classify()),
        )
    }
}
