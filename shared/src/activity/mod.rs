//! The activity record: every act of a person, who did it and why. An entry is written before the act and completed after
//! it, so that an act that was cut off is seen as well: it stays [`Outcome::Started`].

mod dynamodb;
mod memory;
mod role;

use crate::StoreError;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbActivity;
pub use memory::MemoryActivity;
pub use role::Role;

/// How long an entry is kept: long enough for a yearly audit.
pub const RETENTION: TimeDelta = TimeDelta::days(365);

/// Who acts: a user of the console, or whoever may invoke the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// The sign-in provider's own identifier of the person.
    pub user: String,
    /// What the person is called, as the sign-in provider has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role in which the user acts: `view`, `act` or `admin`.
    pub role: String,
}

impl By {
    /// Somebody who invoked the function with credentials of AWS. Lambda does not say who that was; CloudTrail does, by the
    /// request id, where a trail logs data events (aws §1).
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
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: By,
    /// Lambda's id of the request, by which CloudTrail knows the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was done, as a word: `retry`, `forget`, …
    pub did: String,
    /// To which customers, companies, records or orders: ids and codes only. Of many, the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// What else was asked for, such as a filter, without anything personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Why, in the person's words, without e-mail addresses and numbers of people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// It began, and has not ended or was cut off.
    Started,
    /// It was done.
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
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The word for lists and filters.
    pub const fn state(&self) -> State {
        match self {
            Self::Started => State::Started,
            Self::Done { .. } => State::Done,
            Self::Refused { .. } => State::Refused,
        }
    }
}

/// How far an act has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not ended, or was cut off.
    Started,
    /// It was done.
    Done,
    /// It was refused, or could not be done.
    Refused,
}

/// A part of the record that fits into memory however long it is: in DynamoDB, up to 1 MB of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityPage {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins: pass it as `after`. `None`: this is the last page.
    pub next: Option<String>,
}

/// The activity record. People act some dozen times a day, so that a year of it is a few thousand entries and is read in a
/// few pages.
#[async_trait]
pub trait Activity: Send + Sync {
    /// Writes an entry before its act begins.
    async fn start(&self, entry: &Entry) -> Result<(), StoreError>;

    /// Completes an entry with what became of the act and to which subjects; `false`: there is no such entry.
    async fn complete(
        &self,
        id: Uuid,
        subjects: &[String],
        outcome: &Outcome,
    ) -> Result<bool, StoreError>;

    /// An entry.
    async fn get(&self, id: Uuid) -> Result<Option<Entry>, StoreError>;

    /// A page of the record, in no particular order, read strongly consistently, beginning after the place where the last
    /// page ended.
    async fn page(&self, after: Option<&str>) -> Result<ActivityPage, StoreError>;
}
