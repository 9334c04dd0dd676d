//! Refusals: why a request has no answer.

use serde::Serialize;
use shared::{StoreError, activity::Role, norce::NorceError};
use thiserror::Error;

use crate::sentence::{self, Sentence, say, words};

/// Why a request has no answer, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.message().as_str())]
pub enum Refusal {
    /// Correct the request. The reason is a clause.
    Request(Sentence),
    /// Ask for the role that the request needs.
    Role {
        /// The lowest role that may do it.
        needed: Role,
        /// The role of the user.
        role: Role,
    },
    /// Correct the set-up. The reason is a clause.
    SetUp(Sentence),
    /// Repeat the request later. The reason is a clause.
    Later(Sentence),
}

/// A refusal as an answer to the console: an error of the function would raise an alarm for every typing error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    kind: &'static str,
    #[serde(flatten, serialize_with = "sentence::message")]
    message: Sentence,
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
            message: refusal.message(),
        }
    }
}

impl Refusal {
    /// A refusal of a malformed request. Only people who write requests read the reason, so it has no code of its own.
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        let words: String = reason.into();
        Self::Request(say!("words", words))
    }

    /// The text of the refusal.
    pub fn message(&self) -> Sentence {
        match self {
            Self::Request(reason) => say!("refused-request", reason),
            Self::Role { needed, role } => say!("refused-role", needed, role),
            Self::SetUp(reason) => say!("refused-set-up", reason),
            Self::Later(reason) => say!("refused-later", reason),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Later(words(error))
    }
}

impl From<NorceError> for Refusal {
    fn from(error: NorceError) -> Self {
        Self::Later(words(error))
    }
}
