//! Which lines become one job.

use aws_lambda_events::sqs::SqsMessage;
use chrono::{DateTime, Utc};
use shared::{
    domain::{Code, EntityKind, ErpId, ImportLine, NorceId, Scope},
    norce::ImportShape,
    runtime::batch::receive_count,
};
use uuid::Uuid;

/// What lines must have in common to become one job. Companies come first in the order of the keys, and inserts before
/// updates: what a row refers to is then usually there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) customers: bool,
    pub(crate) updates: bool,
    pub(crate) scope: Scope,
    pub(crate) shape: ImportShape,
}

impl Key {
    pub(crate) const fn kind(self) -> EntityKind {
        if self.customers {
            EntityKind::Customer
        } else {
            EntityKind::Company
        }
    }
}

/// Lines that may become one job, each with the place of its record, and when the first of them was first submitted.
#[derive(Default)]
pub(crate) struct LineGroup {
    pub(crate) lines: Vec<(usize, ImportLine)>,
    pub(crate) since: Option<DateTime<Utc>>,
    /// Of lines that are not gathered with others.
    pub(crate) delivery: Option<Delivery>,
}

/// A message whose lines become jobs of their own, and so the same batches at every delivery.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    message: Uuid,
    pub(crate) is_repeat: bool,
}

impl Delivery {
    pub(crate) fn of(record: &SqsMessage) -> Option<Self> {
        Some(Self {
            message: record.message_id.as_ref()?.parse().ok()?,
            is_repeat: receive_count(record) > 1,
        })
    }

    /// The id of the batch with this number that the message becomes.
    pub(crate) fn batch(self, key: Key, number: usize, lines: usize) -> Uuid {
        let name = format!("{key:?}/{number}/{lines}");
        Uuid::new_v5(&self.message, name.as_bytes())
    }
}

/// Two lines that are equal in this do the same, whatever caused them.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct LineIdentity<'a> {
    id: Option<NorceId>,
    code: &'a Code,
    record: Option<&'a ErpId>,
    company: Option<NorceId>,
    contacts: &'a [NorceId],
    former_companies: &'a [NorceId],
}

impl<'a> LineIdentity<'a> {
    pub(crate) fn of(line: &'a ImportLine) -> Self {
        Self {
            id: line.id,
            code: &line.code,
            record: line.record.as_ref(),
            company: line.company,
            contacts: &line.contacts,
            former_companies: &line.former_companies,
        }
    }
}
