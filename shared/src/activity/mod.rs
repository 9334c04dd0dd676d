//! The activity record: every act of a person, with the person and the reason. An entry is written before the act and
//! completed after it, so an interrupted act is recorded as well: it stays [`Outcome::Started`].

mod dynamodb;
mod role;

use crate::{StoreError, port::port};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbActivity;
pub use role::Role;

/// How long an entry is kept: long enough for a yearly audit.
pub const RETENTION: TimeDelta = TimeDelta::days(365);

/// The person who acts: a user of the console, or anybody who may invoke the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// The sign-in provider's own identifier of the person.
    pub user: String,
    /// The person's name at the sign-in provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role in which the user acts: `view`, `act` or `admin`.
    pub role: String,
}

impl By {
    /// A caller with AWS credentials. Lambda does not tell who that was; CloudTrail does, by the request id, if a trail logs
    /// data events (aws §1).
    pub fn aws() -> Self {
        Self {
            user: "aws".to_owned(),
            name: None,
            role: "aws".to_owned(),
        }
    }
}

/// An act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The id of the entry.
    pub id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
    /// The person.
    pub by: By,
    /// Lambda's id of the request, which identifies the caller in CloudTrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The act as a word: `retry`, `forget`, …
    pub did: String,
    /// The customers, companies, records or orders concerned, by id or code. Of many, the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Further parameters, such as a filter, without personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The person's reason, without e-mail addresses and numbers of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// It has started, and is not finished or was interrupted.
    Started,
    /// The act was done.
    Done {
        /// When it ended.
        at: DateTime<Utc>,
        /// The answer's summary.
        summary: String,
    },
    /// It was refused, or could not be done.
    Refused {
        /// When it ended.
        at: DateTime<Utc>,
        /// The reason.
        reason: String,
    },
}

impl Outcome {
    /// The word in lists and filters.
    pub const fn state(&self) -> State {
        match self {
            Self::Started => State::Started,
            Self::Done { .. } => State::Done,
            Self::Refused { .. } => State::Refused,
        }
    }
}

/// The state of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is not finished, or was interrupted.
    Started,
    /// The act was done.
    Done,
    /// It was refused, or could not be done.
    Refused,
}

/// A page of the record: in DynamoDB, up to 1 MB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityPage {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins, for `after`; `None` on the last page.
    pub next: Option<String>,
}

port! {
    /// The activity record. People act some dozen times a day, so a year is a few thousand entries, read in a few pages.
    pub trait Activity, layer ActivityLayer, error StoreError {
        reads:
        /// An entry.
        async fn get(&self, id: Uuid) -> Result<Option<Entry>, StoreError>;

        /// A page of the record, in no particular order and by a strongly consistent read, starting after the end of the last
        /// page.
        async fn page(&self, after: Option<&str>) -> Result<ActivityPage, StoreError>;

        writes:
        /// Writes an entry before its act begins.
        async fn start(&self, entry: &Entry) -> Result<(), StoreError>;

        /// Completes an entry with the outcome and the subjects of the act; `false` if there is no such entry.
        async fn complete(
            &self,
            id: Uuid,
            subjects: &[String],
            outcome: &Outcome,
        ) -> Result<bool, StoreError>;
    }
}
