//! `explain`: one customer or company. What Norce has, what we know, what is under way, and what would happen now.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::{
    Consistency,
    domain::{Cause, Code, EntityKind, EntityRef, ErpId, Fingerprint},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch},
    mappings::{Binding, CodeDelivery, Mapping, Reservation},
    norce::JobId,
    owed::{Stage, Subject},
};
use uuid::Uuid;

use super::owed::OwedLine;
use crate::{
    dry::dry,
    error::Refusal,
    events::Events,
    format::verdict_in_words,
    ports::Ports,
    selector::{Selector, other_kind, scopes},
};

/// The answer. Nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// In words.
    pub summary: String,
    /// The entity: what its lines in the logs have as `subject`.
    pub entity: String,
    /// What Norce has; nothing: it has no such entity.
    pub norce: Option<InNorce>,
    /// What we know.
    pub mapping: Known,
    /// What of it is owed.
    pub owed: Vec<OwedLine>,
    /// Imports of it that are under way.
    pub imports: Vec<OpenImport>,
    /// What happened to it lately.
    pub last: Events,
    /// What would happen if an event came now.
    pub now: Now,
}

/// What Norce has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InNorce {
    /// Its code there.
    pub code: Option<Code>,
    /// Not inactivated.
    pub active: bool,
    /// Forgotten.
    pub forgotten: bool,
    /// A customer's companies, or a company's contacts.
    pub related: Vec<String>,
}

/// What we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "state",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Known {
    /// Nothing.
    Unknown,
    /// A create was announced and has not been heard of since.
    Reserved {
        /// When the first create could have been sent.
        since: DateTime<Utc>,
        /// Until then it may still be under way in the ERP.
        until: DateTime<Utc>,
    },
    /// It is this ERP record.
    Bound {
        /// The ERP's code.
        code: Code,
        /// The ERP's record.
        erp: ErpId,
        /// How far the code's way to Norce has come.
        delivery: CodeDelivery,
        /// The code that Norce may still have, after the ERP renamed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        former_code: Option<Code>,
        /// The fingerprint of what was last sent to the ERP, as a fingerprint's beginning.
        shop_fingerprint: Option<String>,
        /// The fingerprint of what Norce was last told of the fields that the ERP owns.
        erp_fingerprint: Option<String>,
        /// When it was last fetched from Norce and brought across.
        fetched_at: Option<DateTime<Utc>>,
        /// When the ERP was first seen not to have the record any more.
        #[serde(skip_serializing_if = "Option::is_none")]
        gone_at: Option<DateTime<Utc>>,
        /// The fields in which the record differed when it was bound. The ERP keeps each until the shop changes it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// Forgotten: nothing else is left of it.
    Forgotten,
}

/// An import that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenImport {
    /// Our id of the batch.
    pub batch: Uuid,
    /// Norce's id of the job; nothing: Norce is being called.
    pub job: Option<JobId>,
    /// When it was recorded.
    pub recorded: DateTime<Utc>,
}

/// What would happen if an event came now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// What it would come to, in words.
    pub outcome: String,
    /// What would be done, in order.
    pub would: Vec<String>,
}

/// As much of a fingerprint as tells two apart.
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
        let verdict = dry.look_at(entity, Cause::Changed, deadline).await;
        let now = Now {
            outcome: verdict_in_words(verdict),
            would: notes.take(),
        };
        let in_norce = match &norce {
            None => "Norce does not have it".to_owned(),
            Some(InNorce {
                forgotten: true, ..
            }) => "it is forgotten in Norce".to_owned(),
            Some(InNorce {
                code: Some(code), ..
            }) => format!("Norce has code {code}"),
            Some(_) => "Norce has no code for it".to_owned(),
        };
        let known = match &mapping {
            Known::Unknown => "we know nothing of it".to_owned(),
            Known::Reserved { since, .. } => {
                format!("a create was announced at {since} and not heard of since")
            }
            Known::Bound {
                code,
                erp,
                gone_at: None,
                kept,
                ..
            } if !kept.is_empty() => format!(
                "it is bound to code {code} ({erp}), where the ERP keeps {} until the shop changes it",
                kept.join(", ")
            ),
            Known::Bound {
                code,
                erp,
                gone_at: None,
                ..
            } => format!("it is bound to code {code} ({erp})"),
            Known::Bound {
                code,
                gone_at: Some(at),
                ..
            } => format!(
                "it is bound to code {code}, whose record the ERP has not had since {at} or earlier"
            ),
            Known::Forgotten => "it is forgotten here".to_owned(),
        };
        let owing = match owed.as_slice() {
            [] => "nothing is owed".to_owned(),
            owed => {
                let reasons: Vec<&str> = owed.iter().map(|owed| owed.reason.as_str()).collect();
                format!("it is owed ({})", reasons.join(", "))
            }
        };
        let nothing = norce.is_none() && matches!(mapping, Known::Unknown) && owed.is_empty();
        let advice = match nothing && imports.is_empty() {
            false => String::new(),
            true => format!(
                " Searched: Norce, the code mappings and what is owed or under way, {}; the ERP does not know Norce's ids. Compare the id in Norce Admin; a number of the ERP is asked for by `code`. {}",
                scopes(&[entity.scope]),
                other_kind(entity.kind, "id", &entity.id.to_string())
            ),
        };
        let summary = format!(
            "{entity}: {in_norce}, {known}, {owing}. If an event came now: {}.{advice}",
            now.outcome
        );
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
            job: match batch.state {
                BatchState::Submitted { job } => Some(job),
                BatchState::Submitting | BatchState::Settled => None,
            },
            recorded: batch.recorded_at,
        }
    }
}
