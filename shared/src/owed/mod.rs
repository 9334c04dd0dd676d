//! Owed records: what cannot be synced yet, why, and since when. An owed record leaves the list when a later attempt
//! succeeds.

mod dynamodb;
mod fold;

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbOwed;
pub use fold::{Earliest, fold};

use crate::domain::{ApplicationId, Cause, ChangeMessage, Code, EntityRef, ErpId, OrderKey, Scope};
use crate::{Consistency, StoreError};
use crate::{activity::By, port::port};

/// The subject of an owed record. There is one record for each subject and stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A customer or a company.
    Entity(EntityRef),
    /// A record of the ERP whose Norce entity is unknown.
    Record {
        /// The scope.
        scope: Scope,
        /// The record.
        record: ErpId,
    },
    /// An order without a known customer or company.
    Order {
        /// The order.
        order: OrderKey,
        /// The application in which it was placed.
        application: ApplicationId,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(entity) => entity.fmt(formatter),
            Self::Record { scope, record } => {
                write!(formatter, "erp-{}/{scope}/{}", record.resource, record.id)
            }
            Self::Order { order, application } => {
                write!(formatter, "order/app-{application}/{order}")
            }
        }
    }
}

/// The part of a sync that failed. Each stage is resolved separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From Norce to the ERP.
    ToErp,
    /// The code from the ERP to Norce.
    CodeToNorce,
    /// Fields that the ERP owns, and relations, to Norce.
    FieldsToNorce,
}

impl Stage {
    /// The word in keys, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToErp => "to-erp",
            Self::CodeToNorce => "code-to-norce",
            Self::FieldsToNorce => "fields-to-norce",
        }
    }
}

/// The class of the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The remote refuses the record, or the record does not fit its fields.
    Validation,
    /// The two sides disagree about a code, or a look-up has several hits (P3).
    Conflict,
    /// Something else must exist first.
    MissingPrerequisite,
    /// It is unknown whether the ERP carried out a create.
    Ambiguous,
    /// The remote failed, and a retry did not help.
    RemoteFault,
    /// Not finished within the configured time.
    TimedOut,
    /// The customer is forgotten in Norce and could not be blocked in the ERP, or its data in Norce appear to be removed
    /// (P12).
    Forgotten,
    /// Norce has imported a row except for part of it.
    Warned,
}

impl Reason {
    /// All classes.
    pub const ALL: [Self; 8] = [
        Self::Validation,
        Self::Conflict,
        Self::MissingPrerequisite,
        Self::Ambiguous,
        Self::RemoteFault,
        Self::TimedOut,
        Self::Forgotten,
        Self::Warned,
    ];

    /// The word in messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Conflict => "conflict",
            Self::MissingPrerequisite => "missing-prerequisite",
            Self::Ambiguous => "ambiguous",
            Self::RemoteFault => "remote-fault",
            Self::TimedOut => "timed-out",
            Self::Forgotten => "forgotten",
            Self::Warned => "warned",
        }
    }
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwed {
    /// The subject.
    pub subject: Subject,
    /// The stage.
    pub stage: Stage,
    /// The class of the reason.
    pub reason: Reason,
    /// The reason in the remote's or our words, without personal data, and what to do. A store keeps
    /// [`MAX_DETAIL_CHARS`] of it.
    pub detail: String,
    /// The code, if known.
    pub code: Option<Code>,
    /// The time of the attempt.
    pub at: DateTime<Utc>,
    /// The correlation id of the event that caused the attempt.
    pub correlation: Uuid,
    /// Why the subject was to be synced to the ERP, for the next attempt.
    pub cause: Option<Cause>,
}

/// The longest detail of a record: the words of a remote ([`MAX_REDACTED_CHARS`](crate::domain::MAX_REDACTED_CHARS)) a few
/// times over, and what to do. With four bytes a character it is 8 KB of the 400 KB that DynamoDB takes as an item.
pub const MAX_DETAIL_CHARS: usize = 2_000;

impl NewOwed {
    /// The attempt as a store writes it: the detail is cut at [`MAX_DETAIL_CHARS`], so that no caller can make a record too
    /// large to be written.
    #[must_use]
    pub fn cut(mut self) -> Self {
        if self.detail.chars().nth(MAX_DETAIL_CHARS).is_some() {
            let kept = self.detail.chars().take(MAX_DETAIL_CHARS - 1);
            self.detail = kept.chain(['…']).collect();
        }
        self
    }
}

/// A record on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The subject.
    pub subject: Subject,
    /// The stage.
    pub stage: Stage,
    /// The class of the last attempt's reason.
    pub reason: Reason,
    /// The reason of the last attempt.
    pub detail: String,
    /// The code, if known.
    pub code: Option<Code>,
    /// When it was first owed.
    pub first: DateTime<Utc>,
    /// When the last attempt failed.
    pub last: DateTime<Utc>,
    /// How many attempts failed.
    pub attempts: u32,
    /// The correlation id of the last attempt.
    pub correlation: Uuid,
    /// Why the subject was to be synced to the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When it was last sent for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<DateTime<Utc>>,
    /// A person has dismissed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<Dismissal>,
}

/// The dismissal of an owed record by a person: it is neither retried nor counted by the alarm, until it resolves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dismissal {
    /// When it was dismissed.
    pub at: DateTime<Utc>,
    /// The person's reason.
    pub reason: String,
    /// The person; `None` if a version before the activity record wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// The wait before the first automatic retry; it doubles with every failed attempt. Shorter waits would not help, because
/// somebody has to correct something first.
const FIRST_RETRY: TimeDelta = TimeDelta::minutes(15);
/// The longest wait: a correction takes effect the next day at the latest.
const LONGEST_RETRY: TimeDelta = TimeDelta::days(1);
/// Doublings until the longest wait is reached.
const MAX_DOUBLINGS: u32 = 7;

impl Owed {
    /// Whether a message can retry it; otherwise only a pass can, which reads the ERP.
    pub fn is_tried_by_message(&self) -> bool {
        matches!(
            (&self.subject, self.stage),
            (Subject::Entity(_), Stage::ToErp | Stage::CodeToNorce) | (Subject::Order { .. }, _)
        )
    }

    /// When it is retried automatically. `None` if a pass retries it, or a person has dismissed it.
    pub fn next_attempt(&self) -> Option<DateTime<Utc>> {
        if !self.is_tried_by_message() || self.dismissed.is_some() {
            return None;
        }
        let doublings = self.attempts.saturating_sub(1).min(MAX_DOUBLINGS);
        let wait = (FIRST_RETRY * 2_i32.pow(doublings)).min(LONGEST_RETRY);
        Some(self.retried.unwrap_or(self.last).max(self.last) + wait)
    }

    /// The message that retries it, as if it had changed now.
    pub fn change(&self, now: DateTime<Utc>, correlation: Uuid) -> Option<ChangeMessage> {
        match &self.subject {
            Subject::Entity(entity) => Some(ChangeMessage::Entity {
                entity: *entity,
                cause: self.cause.unwrap_or(Cause::Changed),
                received_at: now,
                ordered_at: None,
                correlation,
            }),
            Subject::Order { order, application } => Some(ChangeMessage::Order {
                order: order.clone(),
                application: *application,
                received_at: now,
                correlation,
            }),
            Subject::Record { .. } => None,
        }
    }
}

/// The number of owed records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedCounts {
    /// Owed records by the class of the reason, without dismissed ones.
    pub owed: BTreeMap<&'static str, u64>,
    /// Dismissed records.
    pub dismissed: u64,
    /// The age of the oldest one, in seconds.
    pub oldest_seconds: u64,
}

impl OwedCounts {
    /// Counts a record.
    pub fn count(&mut self, owed: &Owed, now: DateTime<Utc>) {
        if owed.dismissed.is_some() {
            self.dismissed += 1;
            return;
        }
        *self.owed.entry(owed.reason.as_str()).or_default() += 1;
        let age = (now - owed.first).to_std().unwrap_or_default().as_secs();
        self.oldest_seconds = self.oldest_seconds.max(age);
    }

    /// Owed records that are not dismissed.
    pub fn total(&self) -> u64 {
        self.owed.values().sum()
    }
}

/// The key of a record. An order's reference may be any text, so its hash is used: a key is limited to 2048 bytes.
pub fn key(subject: &Subject, stage: Stage) -> String {
    let stage = stage.as_str();
    match subject {
        Subject::Order {
            order: OrderKey::ClientOrderRef(reference),
            application,
        } => {
            let reference = Uuid::new_v5(&Uuid::NAMESPACE_OID, reference.as_bytes());
            format!("{stage}#order/app-{application}/ref {reference}")
        }
        subject => format!("{stage}#{subject}"),
    }
}

/// A page of the list: in DynamoDB, up to 1 MB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwedPage {
    /// Its records.
    pub owed: Vec<Owed>,
    /// Where the next page begins, for `after`; `None` on the last page.
    pub next: Option<String>,
}

port! {
    /// The list of owed records. Reads of single records are strongly consistent; for pages the caller chooses.
    pub trait OwedRecords, layer OwedRecordsLayer, error StoreError {
        reads:
        /// The record of a subject and stage.
        async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, StoreError>;

        /// Whether a subject and stage are on the list, even if its record is unreadable.
        async fn is_listed(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError>;

        /// A page of the list, in no particular order, starting after the end of the last page; see [`fold()`]. A record that is
        /// on the list throughout is on one of the pages.
        async fn page(
            &self,
            after: Option<&str>,
            consistency: Consistency,
        ) -> Result<OwedPage, StoreError>;

        writes:
        /// Adds a failed attempt to the list, or counts it if the subject and stage are on the list already. A repeat with the
        /// same correlation id is the same attempt after a crash, and changes nothing.
        async fn put(&self, owed: NewOwed) -> Result<(), StoreError>;

        /// Removes a subject and stage from the list; `true` if it was on it.
        async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError>;

        /// Records that a subject and stage were sent for a retry; `false` if they are not on the list.
        async fn note_retry(
            &self,
            subject: &Subject,
            stage: Stage,
            at: DateTime<Utc>,
        ) -> Result<bool, StoreError>;

        /// Dismisses a subject and stage; `false` if they are not on the list.
        async fn dismiss(
            &self,
            subject: &Subject,
            stage: Stage,
            dismissal: &Dismissal,
        ) -> Result<bool, StoreError>;

        /// Reverses a dismissal; `false` if the subject and stage are not on the list.
        async fn restore(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError>;
    }
}
