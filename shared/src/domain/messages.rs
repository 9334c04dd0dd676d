use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ApplicationId, Code, EntityKind, EntityRef, NorceId, Scope};

/// Why a change message was sent. A hint: what is done is decided from the entity as it is when it is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Norce said that the entity changed.
    Changed,
    /// It is the buyer or the payer of an order, or a contact ordered for it: there is an order.
    Ordered,
    /// It is a contact of a company that is in the ERP.
    ContactOfCompany,
}

/// How an order event names its order (norce-api §6): `OrderReceivedEvent` knows the basket only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKey {
    /// Norce's id of the order.
    Id(i64),
    /// `ClientOrderRef`: the basket or quotation.
    ClientOrderRef(String),
}

impl fmt::Display for OrderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "id {id}"),
            Self::ClientOrderRef(reference) => write!(formatter, "client order ref {reference}"),
        }
    }
}

/// What waits on the `changes` queue: something may have happened to an entity. It holds ids only; the data is
/// fetched afresh when the message is handled (P4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ChangeMessage {
    /// A customer or a company.
    Entity {
        /// Which one.
        entity: EntityRef,
        /// Why.
        cause: Cause,
        /// When the event was received, or the message made.
        received_at: DateTime<Utc>,
        /// Follows the event through every log line and record.
        correlation: Uuid,
    },
    /// An order, which leads to its buyer and its payer.
    Order {
        /// Which one.
        order: OrderKey,
        /// The shop in which it was placed.
        application: ApplicationId,
        /// When the event was received.
        received_at: DateTime<Utc>,
        /// Follows the event through every log line and record.
        correlation: Uuid,
    },
}

impl ChangeMessage {
    /// The FIFO message group: the entity, so that one entity is never handled twice at the same time.
    pub fn group(&self) -> String {
        match self {
            Self::Entity { entity, .. } => entity.to_string(),
            Self::Order {
                order: OrderKey::Id(id),
                application,
                ..
            } => format!("order/{application}/{id}"),
            // The reference is a text from outside; its hash keeps the group within SQS's alphabet and length.
            Self::Order {
                order: OrderKey::ClientOrderRef(reference),
                application,
                ..
            } => {
                let reference = Uuid::new_v5(&Uuid::NAMESPACE_OID, reference.as_bytes());
                format!("order/{application}/{reference}")
            }
        }
    }

    /// When the event was received, or the message made.
    pub fn received_at(&self) -> DateTime<Utc> {
        match self {
            Self::Entity { received_at, .. } | Self::Order { received_at, .. } => *received_at,
        }
    }

    /// The correlation id.
    pub fn correlation(&self) -> Uuid {
        match self {
            Self::Entity { correlation, .. } | Self::Order { correlation, .. } => *correlation,
        }
    }
}

/// One code on its way to Norce.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImportLine {
    /// Norce's id, to match on.
    pub id: NorceId,
    /// The ERP's code, to be stored.
    pub code: Code,
    /// Follows the event that caused it.
    pub correlation: Uuid,
}

/// What waits on the `imports` queue: lines that go to Norce through `ImportCustomers` or `ImportCompanies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// Decides between `ImportCustomers` and `ImportCompanies`.
    pub kind: EntityKind,
    /// The register; decides about `ApplicationKey`.
    pub scope: Scope,
    /// The lines.
    pub lines: Vec<ImportLine>,
    /// `true`: the lines become a job of their own and are not gathered with others. This is how a poison row is
    /// separated from its neighbours (P9).
    #[serde(default)]
    pub alone: bool,
    /// When the lines were first submitted, where they were before: the age after which they are given up counts from
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// What waits on the `jobs` queue: look after an import job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum JobMessage {
    /// Poll the job of this batch.
    Poll {
        /// The batch, known before Norce gives the job an id.
        batch: Uuid,
        /// How often it was polled before; decides the next delay.
        attempt: u32,
    },
    /// Norce's `JobCompletedEvent`: settle this job now if it is one of ours.
    Completed {
        /// Norce's id of the job.
        job: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entity_is_one_group_whatever_the_cause() {
        let entity = EntityRef::customer(Scope::Client, NorceId::try_from(5).unwrap());
        let message = |cause| ChangeMessage::Entity {
            entity,
            cause,
            received_at: DateTime::UNIX_EPOCH,
            correlation: Uuid::nil(),
        };
        assert_eq!(
            message(Cause::Changed).group(),
            message(Cause::Ordered).group()
        );
        assert_eq!(message(Cause::Changed).group(), "customer/client/5");
    }

    #[test]
    fn a_strange_order_reference_gives_a_legal_group() {
        let message = ChangeMessage::Order {
            order: OrderKey::ClientOrderRef("å \n".repeat(200)),
            application: ApplicationId::try_from(1).unwrap(),
            received_at: DateTime::UNIX_EPOCH,
            correlation: Uuid::nil(),
        };
        // SQS: at most 128 characters, printable ASCII.
        assert!(message.group().len() <= 128);
        assert!(message.group().chars().all(|c| c.is_ascii_graphic()));
    }
}
