//! Why there is no answer.

use shared::{
    activity::ActivityError, breakers::BreakersError, import_jobs::ImportJobsError,
    mappings::MappingsError, norce::NorceError, owed::OwedError, passes::PassesError,
    queues::QueueError, reports::ReportsError,
};
use thiserror::Error;

/// There is no answer. Typed by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Ask differently.
    #[error("the request cannot be answered: {0}")]
    Request(String),
    /// Correct the set-up.
    #[error("the set-up is faulty: {0}; ask {{\"action\":\"doctor\"}} for every fault and its fix")]
    SetUp(String),
    /// Ask again later.
    #[error("{0}; what was done by then stays done, and asking again does no harm")]
    Later(String),
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
