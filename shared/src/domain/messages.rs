use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    ApplicationId, Code, EntityKind, EntityRef, ErpId, FieldGroups, NorceId, OrderText, Scope,
};

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
        /// The customer or company.
        entity: EntityRef,
        /// The cause.
        cause: Cause,
        /// When the event was received, or the message made.
        received_at: DateTime<Utc>,
        /// When the event of the order was received that led here: the beginning of the time from order to code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ordered_at: Option<DateTime<Utc>>,
        /// Follows the event through every log line and record.
        correlation: Uuid,
    },
    /// An order, which leads to its buyer and its payer.
    Order {
        /// The order.
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

/// One row on its way to Norce. It holds ids and codes only: values are read from the ERP when it is submitted, so that
/// a late line cannot bring back old data, and no queue or table keeps anything personal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImportLine {
    /// Norce's id, to match on; `None`: Norce does not have the record, and it is to be inserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<NorceId>,
    /// The ERP's code: stored where the line sets [`FieldGroup::Code`](super::FieldGroup::Code), and what a person knows the record by.
    pub code: Code,
    /// Which fields the line sets. A group that the ERP record has no value for is set to nothing.
    #[serde(default = "code_only", skip_serializing_if = "is_code_only")]
    pub fields: FieldGroups,
    /// The ERP record from which the values are read; a line of a bare code needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ErpId>,
    /// For a customer, the company that it becomes a contact of, added to those that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<NorceId>,
    /// For a company, customers that become contacts of it, added to those that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<NorceId>,
    /// For a customer, companies of which it is a contact no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_companies: Vec<NorceId>,
    /// When the event of the order was received that the code is for, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_at: Option<DateTime<Utc>>,
    /// Follows the event or pass that caused it.
    pub correlation: Uuid,
}

impl ImportLine {
    /// The bare minimum: `Id` and `Code`.
    pub const fn code(id: NorceId, code: Code, correlation: Uuid) -> Self {
        Self {
            id: Some(id),
            code,
            fields: FieldGroups::CODE,
            record: None,
            company: None,
            contacts: Vec::new(),
            former_companies: Vec::new(),
            ordered_at: None,
            correlation,
        }
    }

    /// Whether it begins or ends a relation.
    pub const fn relates(&self) -> bool {
        self.company.is_some() || !self.contacts.is_empty() || !self.former_companies.is_empty()
    }

    /// Whether it sets the code and nothing else: then reading back the code tells whether Norce has it.
    pub fn is_code_only(&self) -> bool {
        self.id.is_some() && self.fields == FieldGroups::CODE && !self.relates()
    }
}

fn code_only() -> FieldGroups {
    FieldGroups::CODE
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_code_only(fields: &FieldGroups) -> bool {
    *fields == FieldGroups::CODE
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

/// What a pass walks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassMode {
    /// The ERP's records that have changed since the watermark.
    Delta,
    /// All of the ERP's records.
    Full,
    /// Norce's customers and companies that have changed since the watermark, and the forgotten ones.
    Sweep,
}

impl PassMode {
    /// The word for keys, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Full => "full",
            Self::Sweep => "sweep",
        }
    }
}

impl fmt::Display for PassMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a pass is asked for: the input of the schedules, and of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassRequest {
    /// What it walks over.
    pub mode: PassMode,
    /// Customers or companies only; nothing: both, companies first.
    #[serde(default)]
    pub kind: Option<EntityKind>,
    /// The register of one application only, in application-unique set-ups; nothing: all of them.
    #[serde(default)]
    pub application: Option<ApplicationId>,
    /// A plan: nothing is written, and a report says what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// What waits on the `passes` queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum PassMessage {
    /// A run is to begin, under an id that is given before, so that a repeated message does not begin a second one.
    Start {
        /// The id of the run.
        run: Uuid,
        /// The scope.
        scope: Scope,
        /// What it walks over.
        mode: PassMode,
        /// Customers or companies only.
        kind: Option<EntityKind>,
        /// A plan.
        dry_run: bool,
    },
    /// A run goes on from where its record says.
    Continue {
        /// The id of the run.
        run: Uuid,
    },
    /// The ERP says that records may have changed or gone. Sent only where `ErpEvents` is on.
    ErpChanged {
        /// The ERP company that they belong to; nothing: any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        company: Option<String>,
        /// The records; none: it is not known which, or they were checked already.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<ErpId>,
        /// When the event was received: a pass that began later has seen the change.
        received_at: DateTime<Utc>,
        /// Follows the event through every log line and record.
        correlation: Uuid,
    },
    /// A plan goes on. It keeps nothing anywhere else, because it writes nothing.
    ContinuePlan {
        /// Its record, in JSON.
        run: String,
    },
}

/// What waits on the queue of the merchant's order integration: an order as Norce posted it, the codes filled in. The
/// body is the order and nothing else; the rest says how it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingOrder {
    /// The body.
    pub order: OrderText,
    /// The FIFO group: the orders of one buyer stay in order.
    pub group: String,
    /// A second message with the same one within five minutes is the same message.
    pub deduplication: String,
}

impl Serialize for OutgoingOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The parser's own words could quote the order.
        let order: &RawValue = serde_json::from_str(self.order.expose())
            .map_err(|_| S::Error::custom("the order is not JSON"))?;
        order.serialize(serializer)
    }
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
            ordered_at: None,
            correlation: Uuid::nil(),
        };
        assert_eq!(
            message(Cause::Changed).group(),
            message(Cause::Ordered).group()
        );
        assert_eq!(message(Cause::Changed).group(), "customer/client/5");
    }

    #[test]
    fn an_order_goes_out_to_the_byte() {
        let text = "{ \"Price\":1.10,\n \"Id\" : 12345678901234567890123, \"Name\":\"\\u00e5\" }";
        let message = OutgoingOrder {
            order: OrderText::new(text),
            group: "group".to_owned(),
            deduplication: "deduplication".to_owned(),
        };
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
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
