//! Owed records: what cannot be synced yet, why, and since when. An owed record leaves the list by itself
//! when a later attempt succeeds.

mod dynamodb;
mod fold;
mod memory;

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbOwed;
pub use fold::{Earliest, fold};
pub use memory::MemoryOwed;

use crate::activity::By;
use crate::domain::{ApplicationId, Cause, ChangeMessage, Code, EntityRef, ErpId, OrderKey, Scope};
use crate::{Consistency, StoreError};

/// What is owed: one record per subject and stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A customer or a company.
    Entity(EntityRef),
    /// A record of the ERP, of which it is not known which Norce entity it is.
    Record {
        /// The register.
        scope: Scope,
        /// Which one.
        record: ErpId,
    },
    /// An order that leads to nobody.
    Order {
        /// Which one.
        order: OrderKey,
        /// The shop in which it was placed.
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

/// Which part of the way could not be gone. Each is resolved on its own.
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
    /// The word for keys, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToErp => "to-erp",
            Self::CodeToNorce => "code-to-norce",
            Self::FieldsToNorce => "fields-to-norce",
        }
    }
}

/// Why something is owed, as a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The remote refuses the record, or it does not fit there.
    Validation,
    /// The two sides disagree about a code, or a look-up has several hits (P3).
    Conflict,
    /// Something else must be there first.
    MissingPrerequisite,
    /// It is not known whether the ERP carried out a create.
    Ambiguous,
    /// The remote failed in a way that a retry did not help.
    RemoteFault,
    /// No end in the configured time.
    TimedOut,
    /// The customer is forgotten in Norce and could not be blocked in the ERP, or its data in Norce look removed (P12).
    Forgotten,
    /// Norce has imported a row except for a part of it.
    Warned,
}

impl Reason {
    /// All of them.
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

    /// The word for messages and logs.
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

/// One failed attempt, to be put on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwed {
    /// What.
    pub subject: Subject,
    /// Which part of the way.
    pub stage: Stage,
    /// Why, as a class.
    pub reason: Reason,
    /// Why, in the remote's own words or ours, personal data removed, and what to do.
    pub detail: String,
    /// The code, where one is known.
    pub code: Option<Code>,
    /// When.
    pub at: DateTime<Utc>,
    /// Follows the event that caused it.
    pub correlation: Uuid,
    /// Why it was to be brought to the ERP, for the next attempt.
    pub cause: Option<Cause>,
}

/// A record on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// What.
    pub subject: Subject,
    /// Which part of the way.
    pub stage: Stage,
    /// Why, as a class: of the last attempt.
    pub reason: Reason,
    /// Why, in words: of the last attempt.
    pub detail: String,
    /// The code, where one is known.
    pub code: Option<Code>,
    /// When it was first owed.
    pub first: DateTime<Utc>,
    /// When it was last tried.
    pub last: DateTime<Utc>,
    /// How many attempts failed.
    pub attempts: u32,
    /// Of the last attempt.
    pub correlation: Uuid,
    /// Why it was to be brought to the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When it was last sent to be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<DateTime<Utc>>,
    /// A person has looked at it and leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dismissed: Option<Dismissal>,
}

/// A person leaves an owed record as it is: it is neither tried again nor counted by the alarm, until it resolves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dismissal {
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in that person's words.
    pub reason: String,
    /// Who; `None`: a version before the activity record wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// The first wait before something owed is tried again by itself; it doubles with every attempt that fails. Shorter ones
/// would only ask a person's work of a machine: what is owed waits for somebody to correct something.
const FIRST_RETRY: TimeDelta = TimeDelta::minutes(15);
/// The longest wait: what was corrected works the next day at the latest.
const LONGEST_RETRY: TimeDelta = TimeDelta::days(1);
/// After so many doublings the longest wait is reached.
const MOST_DOUBLINGS: u32 = 7;

impl Owed {
    /// Whether a message can try it again; otherwise only a pass can, which sees the ERP's side.
    pub fn is_tried_by_message(&self) -> bool {
        matches!(
            (&self.subject, self.stage),
            (Subject::Entity(_), Stage::ToErp | Stage::CodeToNorce) | (Subject::Order { .. }, _)
        )
    }

    /// When it is tried again by itself. `None`: a pass looks at it again, or a person has dismissed
    /// it.
    pub fn next_attempt(&self) -> Option<DateTime<Utc>> {
        if !self.is_tried_by_message() || self.dismissed.is_some() {
            return None;
        }
        let doublings = self.attempts.saturating_sub(1).min(MOST_DOUBLINGS);
        let wait = (FIRST_RETRY * 2_i32.pow(doublings)).min(LONGEST_RETRY);
        Some(self.retried.unwrap_or(self.last).max(self.last) + wait)
    }

    /// What tries it again: it is looked at as if something had happened to it now.
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

/// How much is owed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedCounts {
    /// How many records are owed, by the class of the reason; dismissed ones are not among them.
    pub owed: BTreeMap<&'static str, u64>,
    /// How many a person has dismissed.
    pub dismissed: u64,
    /// How long the oldest one has been owed, in seconds.
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

    /// How many are owed and not dismissed.
    pub fn total(&self) -> u64 {
        self.owed.values().sum()
    }
}

/// The key of a record. An order's reference is a text from outside, of any length and content; its hash stands for
/// it, since a key is limited to 2048 bytes.
fn key(subject: &Subject, stage: Stage) -> String {
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

/// A part of the list that fits into memory however long the list is: in DynamoDB, up to 1 MB of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwedPage {
    /// Its records.
    pub owed: Vec<Owed>,
    /// Where the next page begins: pass it as `after`. `None`: this is the last page.
    pub next: Option<String>,
}

/// The list of what is owed. Single records are read strongly consistently; of pages the caller chooses.
#[async_trait]
pub trait OwedRecords: Send + Sync {
    /// Puts a failed attempt on the list, or counts it where the subject and stage are on it already. A repeat under the
    /// same correlation id is the same attempt, done again after a crash, and changes nothing.
    async fn put(&self, owed: NewOwed) -> Result<(), StoreError>;

    /// Takes a subject and stage off the list; `true` when it was on it.
    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError>;

    /// Whether a subject and stage are on the list.
    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, StoreError>;

    /// Notes that a subject and stage were sent to be tried again; `false`: they are not on the list any more.
    async fn note_retry(
        &self,
        subject: &Subject,
        stage: Stage,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError>;

    /// Dismisses a subject and stage; `false`: they are not on the list.
    async fn dismiss(
        &self,
        subject: &Subject,
        stage: Stage,
        dismissal: &Dismissal,
    ) -> Result<bool, StoreError>;

    /// Takes a dismissal back; `false`: the subject and stage are not on the list.
    async fn restore(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError>;

    /// A page of the list, in no particular order, beginning after the place where the last page ended; for [`fold`]. What
    /// is on the list throughout is on one of the pages.
    async fn page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<OwedPage, StoreError>;
}
