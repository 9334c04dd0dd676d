//! A line of the list of owed records.

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
    /// Its subject.
    pub subject: String,
    /// The stage.
    pub stage: Stage,
    /// The class of the reason.
    pub reason: Reason,
    /// The reason in the remote's words or ours, as stored.
    pub detail: String,
    /// How to fix it.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Sentence,
    /// The code, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// When it was first owed.
    pub first: DateTime<Utc>,
    /// When it was last attempted.
    pub last: DateTime<Utc>,
    /// The number of failed attempts.
    pub attempts: u32,
    /// When it is retried automatically; absent: the next pass checks it, or it is dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<DateTime<Utc>>,
    /// The correlation id of the last attempt in the logs.
    pub correlation: Uuid,
    /// The reason of its dismissal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<String>,
    /// When it was dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismissed_at: Option<DateTime<Utc>>,
    /// Who dismissed it.
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
