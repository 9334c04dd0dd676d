//! A line of the list of what is owed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    activity::By,
    domain::Code,
    owed::{Owed, Reason, Stage},
};
use uuid::Uuid;

use super::fix::fix;
use crate::sentence::{self, Sentence};

/// An owed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedLine {
    /// What.
    pub subject: String,
    /// Which part of the way.
    pub stage: Stage,
    /// Why, as a class.
    pub reason: Reason,
    /// Why, in the remote's words or ours, as they were stored.
    pub detail: String,
    /// What to do, for a person.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Sentence,
    /// The code, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Since when.
    pub first: DateTime<Utc>,
    /// When it was last tried.
    pub last: DateTime<Utc>,
    /// How many attempts failed.
    pub attempts: u32,
    /// When it is tried again by itself; nothing: the next pass looks at it, or it is dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<DateTime<Utc>>,
    /// Under which the log tells of the last attempt.
    pub correlation: Uuid,
    /// Why a person has dismissed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<String>,
    /// When it was dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed_at: Option<DateTime<Utc>>,
    /// Who has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed_by: Option<By>,
}

impl From<&Owed> for OwedLine {
    fn from(owed: &Owed) -> Self {
        let dismissal = owed.dismissed.as_ref();
        Self {
            subject: owed.subject.to_string(),
            stage: owed.stage,
            reason: owed.reason,
            detail: owed.detail.clone(),
            fix: fix(owed.reason, owed.stage),
            code: owed.code.clone(),
            first: owed.first,
            last: owed.last,
            attempts: owed.attempts,
            next_attempt: owed.next_attempt(),
            correlation: owed.correlation,
            dismissed: dismissal.map(|dismissal| dismissal.reason.clone()),
            dismissed_at: dismissal.map(|dismissal| dismissal.at),
            dismissed_by: dismissal.and_then(|dismissal| dismissal.by.clone()),
        }
    }
}
