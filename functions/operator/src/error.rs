//! Why there is no answer.

use serde::Serialize;
use shared::{StoreError, activity::Role, norce::NorceError};
use thiserror::Error;

use crate::sentence::{self, Sentence, say, words};

/// There is no answer. Typed by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.message().as_str())]
pub enum Refusal {
    /// Ask differently; why, as a clause.
    Request(Sentence),
    /// Ask for the role that it needs.
    Role {
        /// The least role that may do it.
        needed: Role,
        /// The role of the user who asked.
        role: Role,
    },
    /// Correct the set-up; why, as a clause.
    SetUp(Sentence),
    /// Ask again later; why, as a clause.
    Later(Sentence),
}

/// A refusal as the console reads it. For the console it is an answer like any other: an error of the function would raise an
/// alarm for every typing error.
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
    /// A request that is not one of the catalogue: whoever writes requests reads why, and so it has no code of its own.
    pub(crate) fn request(reason: impl Into<String>) -> Self {
        let words: String = reason.into();
        Self::Request(say!("words", words))
    }

    /// What the person reads.
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
