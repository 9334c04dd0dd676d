//! Why there is no answer.

use serde::Serialize;
use shared::{
    activity::{ActivityError, Role},
    breakers::BreakersError,
    import_jobs::ImportJobsError,
    mappings::MappingsError,
    norce::NorceError,
    owed::OwedError,
    passes::PassesError,
    queues::QueueError,
    reports::ReportsError,
};
use thiserror::Error;

/// There is no answer. Typed by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Ask differently.
    #[error("the request cannot be answered: {0}")]
    Request(String),
    /// Ask for the role that it needs.
    #[error(
        "this needs the role {needed}, and yours is {role}; nothing was done: ask whoever manages the console's users for the role, and sign in again"
    )]
    Role {
        /// The least role that may do it.
        needed: Role,
        /// The role of the user who asked.
        role: Role,
    },
    /// Correct the set-up.
    #[error("the set-up is faulty: {0}; ask {{\"action\":\"doctor\"}} for every fault and its fix")]
    SetUp(String),
    /// Ask again later.
    #[error("{0}; what was done by then stays done, and asking again does no harm")]
    Later(String),
}

/// A refusal as the console reads it. For the console it is an answer like any other: an error of the function would raise an
/// alarm whenever somebody mistypes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    kind: &'static str,
    message: String,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        Self {
            kind: match refusal {
                Refusal::Request(_) => "request",
                Refusal::Role { .. } => "role",
                Refusal::SetUp(_) => "set-up",
                Refusal::Later(_) => "later",
            },
            message: refusal.to_string(),
        }
    }
}

impl Refusal {
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        Self::Request(reason.into())
    }
}

macro_rules! later {
    ($($error:ty),+) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Self::Later(error.to_string())
            }
        })+
    };
}

later!(
    ActivityError,
    BreakersError,
    MappingsError,
    OwedError,
    PassesError,
    QueueError,
    ReportsError,
    ImportJobsError,
    NorceError
);
