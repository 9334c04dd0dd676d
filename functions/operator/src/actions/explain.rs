//! `explain`: one customer or company. What Norce has, its mapping, imports under way, and what an event would lead to now.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    Consistency,
    domain::{Cause, Code, EntityKind, EntityRef, ErpId, Fingerprint, JobId},
    http::Deadline,
    import_jobs::ImportBatch,
    mappings::{Binding, CodeDelivery, Mapping, Reservation},
    owed::{Reason, Stage, Subject},
};
use uuid::Uuid;

use super::{jobs::job_of, owed::OwedLine};
use crate::{
    dry::dry,
    error::Refusal,
    events::Events,
    ports::Ports,
    selector::{Selector, other_kind_by_id},
    sentence::{self, Sentence, say},
    verdict::verdict,
};

/// The answer. Nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The entity, as the logs name it in `subject`.
    pub entity: String,
    /// The entity in Norce; `null`: Norce does not have it.
    pub norce: Option<InNorce>,
    /// The code mapping.
    pub mapping: Known,
    /// Its owed records.
    pub owed: Vec<OwedLine>,
    /// Its imports under way.
    pub imports: Vec<OpenImport>,
    /// Its latest log events.
    pub last: Events,
    /// What an event would lead to now.
    pub now: Now,
}

/// The entity in Norce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InNorce {
    /// Its code in Norce.
    pub code: Option<Code>,
    /// Whether it is active.
    pub active: bool,
    /// Whether Norce has forgotten it.
    pub forgotten: bool,
    /// A customer's companies, or a company's contacts.
    pub related: Vec<String>,
}

/// The code mapping of the entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Known {
    /// There is no mapping.
    Unknown,
    /// A create was reserved and has not been confirmed.
    Reserved {
        /// The earliest time at which the create can have been sent.
        since: DateTime<Utc>,
        /// The time until which the create may still be under way in the ERP.
        until: DateTime<Utc>,
    },
    /// It is bound to this ERP record.
    Bound {
        /// The ERP's code.
        code: Code,
        /// The ERP's record.
        erp: ErpId,
        /// The delivery of the code to Norce.
        delivery: CodeDelivery,
        /// The code that Norce may still have after the ERP renamed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        former_code: Option<Code>,
        /// The beginning of the fingerprint of what was last sent to the ERP.
        shop_fingerprint: Option<String>,
        /// The beginning of the fingerprint of the ERP-owned fields that were last sent to Norce.
        erp_fingerprint: Option<String>,
        /// When it was last fetched from Norce and synced.
        fetched_at: Option<DateTime<Utc>>,
        /// When the record was first found missing in the ERP.
        #[serde(skip_serializing_if = "Option::is_none")]
        gone_at: Option<DateTime<Utc>>,
        /// The fields in which the record differed when it was bound. The ERP keeps its value until the shop changes it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// The customer is forgotten; only a tombstone is stored.
    Forgotten,
}

/// An import under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenImport {
    /// The id of the batch.
    pub batch: Uuid,
    /// Norce's id of the job; `null`: Norce is being called.
    pub job: Option<JobId>,
    /// When the batch was recorded.
    pub recorded: DateTime<Utc>,
}

/// What an event would lead to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// The outcome as a text.
    #[serde(flatten, serialize_with = "sentence::outcome")]
    pub outcome: Sentence,
    /// The steps, in order.
    #[serde(flatten, serialize_with = "sentence::would")]
    pub would: Vec<Sentence>,
}

/// The first characters of a fingerprint: enough to distinguish two.
fn beginning(fingerprint: &Fingerprint) -> String {
    let text = fingerprint.as_str();
    text.get(..12).unwrap_or(text).to_owned()
}

impl Ports {
    pub(crate) async fn explain(
        &self,
        selector: &Selector,
        deadline: Deadline,
    ) -> Result<Explanation, Refusal> {
        let entity = self.select(selector, deadline).await?;
        let norce = self.in_norce(entity, deadline).await?;
        let mapping = self.known(entity).await?;
        let mut owed = Vec::new();
        for stage in [Stage::ToErp, Stage::CodeToNorce, Stage::FieldsToNorce] {
            let record = self
                .change_events
                .owed
                .get(&Subject::Entity(entity), stage)
                .await?;
            owed.extend(record.as_ref().map(OwedLine::from));
        }
        let open = self.import_jobs.open().await?;
        let imports = open.iter().filter(|batch| holds(batch, entity));
        let imports: Vec<OpenImport> = imports.map(OpenImport::from).collect();
        let last = self.events_of(entity, deadline).await;
        let (dry, notes) = dry(&self.change_events);
        let outcome = dry.look_at(entity, Cause::Changed, deadline).await;
        let now = Now {
            outcome: verdict(outcome),
            would: notes.take(),
        };
        let in_norce = match &norce {
            None => say!("norce-has-none"),
            Some(InNorce {
                forgotten: true, ..
            }) => say!("norce-has-forgotten"),
            Some(InNorce {
                code: Some(code), ..
            }) => say!("norce-has-code", code),
            Some(_) => say!("norce-has-no-code"),
        };
        let known = match &mapping {
            Known::Unknown => say!("known-unknown"),
            Known::Reserved { since, .. } => say!("known-reserved", since),
            Known::Bound {
                code,
                erp,
                gone_at: None,
                kept,
                ..
            } if !kept.is_empty() => say!("known-bound-kept", code, record = erp, fields = kept),
            Known::Bound {
                code,
                erp,
                gone_at: None,
                ..
            } => say!("known-bound", code, record = erp),
            Known::Bound {
                code,
                gone_at: Some(since),
                ..
            } => say!("known-gone", code, since),
            Known::Forgotten => say!("known-forgotten"),
        };
        let owing = match owed.as_slice() {
            [] => say!("owing-nothing"),
            owed => {
                let reasons: Vec<Reason> = owed.iter().map(|owed| owed.reason).collect();
                say!("owing", reason = reasons)
            }
        };
        let nothing = norce.is_none() && matches!(mapping, Known::Unknown) && owed.is_empty();
        let advice = (nothing && imports.is_empty()).then(|| {
            say!("explained-nobody", scope = entity.scope)
                .then(other_kind_by_id(entity.kind, entity.id))
        });
        let summary = say!(
            "explained",
            entity,
            norce = in_norce,
            known,
            owing,
            now = now.outcome
        )
        .then(advice);
        Ok(Explanation {
            summary,
            entity: entity.to_string(),
            norce,
            mapping,
            owed,
            imports,
            last,
            now,
        })
    }

    async fn in_norce(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<InNorce>, Refusal> {
        let norce = &self.change_events.norce;
        Ok(match entity.kind {
            EntityKind::Customer => norce.customer(entity, deadline).await?.map(|customer| {
                let companies = customer.companies.iter();
                let related = companies.map(|relation| relation.company.to_string());
                InNorce {
                    code: customer.code,
                    active: customer.active,
                    forgotten: customer.forgotten,
                    related: related.collect(),
                }
            }),
            EntityKind::Company => norce.company(entity, deadline).await?.map(|company| {
                let contacts = company.contacts.iter();
                InNorce {
                    code: company.code,
                    active: company.active,
                    forgotten: false,
                    related: contacts.map(ToString::to_string).collect(),
                }
            }),
        })
    }

    async fn known(&self, entity: EntityRef) -> Result<Known, Refusal> {
        let mappings = &self.change_events.mappings;
        Ok(match mappings.get(entity).await? {
            None => Known::Unknown,
            Some(Mapping::Forgotten) => Known::Forgotten,
            Some(Mapping::Reserved(Reservation { since, until, .. })) => {
                Known::Reserved { since, until }
            }
            Some(Mapping::Bound(binding)) => {
                let records = [binding.erp_id.clone()];
                let faces = mappings.records(entity.scope, &records, Consistency::Strong);
                let faces = faces.await?;
                let face = faces.into_iter().flatten().next();
                let Binding {
                    code,
                    erp_id,
                    delivery,
                    shop_fingerprint,
                    former_code,
                    fetched_at,
                    gone_at,
                    replaced_code: _,
                    kept,
                    contacts: _,
                    filled: _,
                } = binding;
                Known::Bound {
                    code,
                    erp: erp_id,
                    delivery,
                    former_code,
                    shop_fingerprint: shop_fingerprint.as_ref().map(beginning),
                    erp_fingerprint: face
                        .and_then(|face| face.erp_fingerprint)
                        .as_ref()
                        .map(beginning),
                    fetched_at,
                    gone_at,
                    kept: kept.keys().map(ToString::to_string).collect(),
                }
            }
        })
    }
}

fn holds(batch: &ImportBatch, entity: EntityRef) -> bool {
    (batch.kind, batch.scope) == (entity.kind, entity.scope)
        && batch.lines.iter().any(|line| line.id == Some(entity.id))
}

impl From<&ImportBatch> for OpenImport {
    fn from(batch: &ImportBatch) -> Self {
        Self {
            batch: batch.id,
            job: job_of(batch),
            recorded: batch.recorded_at,
        }
    }
}
