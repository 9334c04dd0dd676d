//! What a pass has decided to do. Actions are written down with the run before they are done, so that a crash in
//! between costs nothing, and every one of them can be repeated. They hold ids, codes and keyed hashes only.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::{
    Consistency,
    domain::{
        Cause, ChangeMessage, Code, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups,
        Fingerprint, ImportLine, ImportRequest, NorceId, PartyField, Scope,
    },
    mappings::{Binding, Bound, CodeDelivery, Mapping},
    owed::{NewOwed, Reason, Stage, Subject},
    passes::Run,
};
use uuid::Uuid;

use crate::{ErpFullPass, failure::Halt, report::PlanLine};

/// Writes that are under way at the same time.
const WRITES_AT_ONCE: usize = 16;
/// Lines in one message: about 40 KB of the 1 MiB that SQS takes, and a fifth of an import job of the usual size.
const LINES_IN_A_MESSAGE: usize = 100;
/// Change messages in one call.
const CHANGES_AT_ONCE: usize = 100;

/// What is done about a record or an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Norce is told something about a record, or a mapping is made, or both.
    Tell(Tell),
    /// All that is to be told waits until Norce has the company that it refers to.
    Wait {
        /// The company's record.
        company: ErpId,
        /// What is told then.
        tell: Tell,
    },
    /// It cannot be brought across.
    Owe {
        kind: EntityKind,
        record: ErpId,
        code: Option<Code>,
        reason: Reason,
        detail: String,
    },
    /// Nothing is owed of the record any more.
    Resolve { record: ErpId },
    /// An entity of Norce is looked at afresh.
    Look { entity: EntityRef, forgotten: bool },
}

/// What Norce is told about a record, and what is noted of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tell {
    pub(crate) what: What,
    pub(crate) kind: EntityKind,
    pub(crate) record: ErpId,
    pub(crate) code: Code,
    /// `None`: it is inserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<NorceId>,
    /// Nothing: no line is sent.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) fields: FieldGroups,
    /// The company that a contact is added to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) company: Option<NorceId>,
    /// The company's record, if Norce has to have it first: the relation to it waits, the rest does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<ErpId>,
    /// Companies in Norce that the ERP has ended the contact's relation to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former_companies: Vec<NorceId>,
    /// What Norce knows of the ERP's fields then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The record that the entity was bound to before, which the ERP does not have any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<Box<ErpId>>,
    /// For a plan's line.
    #[serde(skip)]
    pub(crate) kept: Kept,
}

/// What a first binding leaves as the ERP has it, as far as a pass can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing is bound, or the shop's values are written.
    #[default]
    Nothing,
    /// Whatever differs; nothing is known to.
    Unnamed,
    /// Whatever differs; the e-mail address does.
    Email,
}

impl Kept {
    /// The fields that are known to differ; `None`: the ERP keeps nothing.
    fn fields(self) -> Option<Vec<PartyField>> {
        match self {
            Self::Nothing => None,
            Self::Unnamed => Some(Vec::new()),
            Self::Email => Some(vec![PartyField::Email]),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_empty(fields: &FieldGroups) -> bool {
    fields.is_empty()
}

/// The groups in which what is told is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Norce has the code; the mapping is made.
    Bind,
    /// The mapping is made, and Norce gets the code.
    Code,
    /// Norce should have had the code, and gets it again.
    CodeAgain,
    /// The ERP renamed the code.
    Rename { from: Code },
    /// Fields that the ERP owns have changed.
    Fields,
    /// Norce gets the record.
    Insert,
}

impl Tell {
    fn entity(&self, scope: Scope) -> Option<EntityRef> {
        Some(EntityRef {
            kind: self.kind,
            scope,
            id: self.id?,
        })
    }

    fn line(&self, correlation: Uuid) -> Option<ImportLine> {
        let bare = self.fields == FieldGroups::CODE
            && self.id.is_some()
            && self.former_companies.is_empty();
        (!self.fields.is_empty() || !self.former_companies.is_empty()).then(|| ImportLine {
            id: self.id,
            code: self.code.clone(),
            fields: self
                .fields
                .without(FieldGroups::of(&[FieldGroup::CompanyRelations])),
            record: (!bare).then(|| self.record.clone()),
            company: self.company,
            contacts: Vec::new(),
            former_companies: self.former_companies.clone(),
            ordered_at: None,
            correlation,
        })
    }

    /// What waits for the company: the whole insert, or the relation alone.
    fn waiting_line(&self, correlation: Uuid) -> ImportLine {
        let fields = match self.id {
            None => self.fields,
            Some(_) => FieldGroups::NONE,
        };
        ImportLine {
            id: self.id,
            code: self.code.clone(),
            fields: fields.without(FieldGroups::of(&[FieldGroup::CompanyRelations])),
            record: Some(self.record.clone()),
            company: None,
            contacts: Vec::new(),
            former_companies: Vec::new(),
            ordered_at: None,
            correlation,
        }
    }
}

impl Action {
    /// Whether nothing is left to be done about the record afterwards.
    pub(crate) fn settles(&self) -> bool {
        match self {
            Self::Tell(tell) => tell.waits_for.is_none(),
            Self::Wait { .. } | Self::Owe { .. } => false,
            Self::Resolve { .. } | Self::Look { .. } => true,
        }
    }

    /// Counts it in its group, once, when it is decided.
    pub(crate) fn count(&self, run: &mut Run) {
        let counts = &mut run.counts;
        let group = match self {
            Self::Tell(tell) => match tell.what {
                What::Bind => &mut counts.bound,
                What::Code | What::CodeAgain => &mut counts.codes,
                What::Rename { .. } => &mut counts.renamed,
                What::Fields => &mut counts.fields,
                What::Insert => &mut counts.inserted,
            },
            Self::Wait { .. } => &mut counts.waiting,
            Self::Owe { reason, .. } if *reason == Reason::Conflict => &mut counts.conflicts,
            Self::Owe { reason, .. } => counts
                .skipped
                .entry(format!("owed: {}", reason.as_str()))
                .or_default(),
            Self::Look { forgotten, .. } => {
                counts.forgotten += u64::from(*forgotten);
                &mut counts.queued
            }
            Self::Resolve { .. } => return,
        };
        *group += 1;
    }

    /// The line of a plan.
    pub(crate) fn plan_line(&self) -> Option<PlanLine> {
        let of = |group: &str, tell: &Tell| {
            let mut line = PlanLine::new(group, tell.kind, Some(&tell.record), Some(&tell.code));
            line.norce_id = tell.id;
            line.fields = (!tell.fields.is_empty()).then(|| tell.fields.to_string());
            line.kept = tell.kept.fields();
            line.reason = tell.waits_for.as_ref().map(waiting);
            if !tell.former_companies.is_empty() {
                let ids: Vec<String> = tell
                    .former_companies
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                line.reason = Some(format!(
                    "its relation to company {} ends in Norce",
                    ids.join(", ")
                ));
            }
            if let Some(gone) = &tell.replaces {
                line.reason = Some(format!(
                    "it takes the place of {gone}, which the ERP does not have any more"
                ));
            }
            line
        };
        Some(match self {
            Self::Tell(tell) => match &tell.what {
                What::Bind => of("bound", tell),
                What::Code | What::CodeAgain => of("code", tell),
                What::Rename { from } => {
                    let mut line = of("renamed", tell);
                    line.former_code = Some(from.clone());
                    line
                }
                What::Fields => of("fields", tell),
                What::Insert => of("insert", tell),
            },
            Self::Wait { tell, company } => {
                let mut line = of("waiting", tell);
                line.reason = Some(waiting(company));
                line
            }
            Self::Owe {
                kind,
                record,
                code,
                reason,
                detail,
            } => {
                let mut line = PlanLine::new(
                    if *reason == Reason::Conflict {
                        "conflict"
                    } else {
                        "skipped"
                    },
                    *kind,
                    Some(record),
                    code.as_ref(),
                );
                line.reason = Some(detail.clone());
                line
            }
            Self::Resolve { .. } | Self::Look { .. } => return None,
        })
    }
}

fn waiting(company: &ErpId) -> String {
    format!(
        "its company ({company}) is not in Norce: the relation is told as soon as the company is"
    )
}

/// What came of a change to the mappings.
enum Noted {
    Done,
    /// Somebody else was faster, with something else.
    Conflict(String),
    /// It is forgotten meanwhile, or otherwise no longer there: nothing is to be told.
    Gone,
}

impl ErpFullPass {
    /// Does what was decided: mappings first, because they may refuse, then the lines. Returns how many lines there were.
    pub(crate) async fn act(&self, run: &mut Run, actions: &[Action]) -> Result<u64, Halt> {
        let (scope, correlation) = (run.scope, run.id);
        let calls: Vec<_> = actions
            .iter()
            .map(|action| self.act_on(scope, correlation, action))
            .collect();
        let done: Vec<(Option<Done>, u64)> = stream::iter(calls)
            .buffered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        let mut lines: BTreeMap<EntityKind, Vec<ImportLine>> = BTreeMap::new();
        let mut looks = Vec::new();
        for (done, writes) in done {
            run.cost.mapping_writes += writes;
            match done {
                Some(Done::Line(kind, line)) => lines.entry(kind).or_default().push(line),
                Some(Done::Look(message)) => looks.push(message),
                Some(Done::ConflictInstead(group)) => {
                    group.uncount(run);
                    run.counts.conflicts += 1;
                }
                None => {}
            }
        }
        // Companies first: a contact's company is then usually there before it.
        let mut requests = Vec::new();
        let sent = lines.values().map(|lines| lines.len() as u64).sum();
        run.cost.import_lines += sent;
        for (kind, lines) in lines.into_iter().rev() {
            requests.extend(lines.chunks(LINES_IN_A_MESSAGE).map(|lines| ImportRequest {
                kind,
                scope,
                lines: lines.to_vec(),
                alone: false,
                since: None,
            }));
        }
        if !requests.is_empty() {
            self.imports.send(&requests, Duration::ZERO).await?;
        }
        for looks in looks.chunks(CHANGES_AT_ONCE) {
            self.changes.send(looks, Duration::ZERO).await?;
        }
        Ok(sent)
    }

    async fn act_on(
        &self,
        scope: Scope,
        correlation: Uuid,
        action: &Action,
    ) -> Result<(Option<Done>, u64), Halt> {
        Ok(match action {
            Action::Tell(tell) => {
                let (noted, writes) = self.note(scope, tell).await?;
                let done = match noted {
                    Noted::Done => {
                        let mut line = tell.line(correlation);
                        if let Some(company) = &tell.waits_for {
                            let id = self.wait(scope, correlation, company, tell).await?;
                            line = match (line, id) {
                                (Some(line), None) => Some(line),
                                (line, Some(id)) => {
                                    let line =
                                        line.unwrap_or_else(|| tell.waiting_line(correlation));
                                    Some(ImportLine {
                                        record: Some(tell.record.clone()),
                                        company: Some(id),
                                        ..line
                                    })
                                }
                                (None, None) => None,
                            };
                        }
                        line.map(|line| Done::Line(tell.kind, line))
                    }
                    Noted::Gone => None,
                    Noted::Conflict(detail) => {
                        let code = Some(&tell.code);
                        self.owe(
                            scope,
                            correlation,
                            &tell.record,
                            code,
                            Reason::Conflict,
                            &detail,
                        )
                        .await?;
                        Some(Done::ConflictInstead(tell.what.clone()))
                    }
                };
                (done, writes)
            }
            Action::Wait { company, tell } => {
                let id = self.wait(scope, correlation, company, tell).await?;
                let line = id.map(|id| ImportLine {
                    company: Some(id),
                    ..tell.waiting_line(correlation)
                });
                (line.map(|line| Done::Line(tell.kind, line)), 0)
            }
            Action::Owe {
                record,
                code,
                reason,
                detail,
                ..
            } => {
                self.owe(scope, correlation, record, code.as_ref(), *reason, detail)
                    .await?;
                (None, 0)
            }
            Action::Resolve { record } => {
                let subject = Subject::Record {
                    scope,
                    record: record.clone(),
                };
                for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
                    self.owed.resolve(&subject, stage).await?;
                }
                (None, 0)
            }
            Action::Look { entity, .. } => (
                Some(Done::Look(ChangeMessage::Entity {
                    entity: *entity,
                    cause: Cause::Changed,
                    received_at: self.clock.now(),
                    ordered_at: None,
                    correlation,
                })),
                0,
            ),
        })
    }

    /// Lets what needs the company wait, visibly; or, with its id in Norce, does not, because Norce has it meanwhile.
    ///
    /// `poll-jobs` binds a company before it asks what waits for it. Here it is the other way round, so that whatever
    /// happens at the same time, one of the two sees the other; also where this is done again after a crash.
    async fn wait(
        &self,
        scope: Scope,
        correlation: Uuid,
        company: &ErpId,
        tell: &Tell,
    ) -> Result<Option<NorceId>, Halt> {
        let line = tell.waiting_line(correlation);
        let now = self.clock.now();
        let waits = self
            .passes
            .wait_for_company(scope, company, &line, now)
            .await?;
        if !waits {
            tracing::warn!(%scope, %company, "so many lines wait for it that another one does not fit: a later pass tells it");
        }
        let companies = std::slice::from_ref(company);
        let faces = self.mappings.records(scope, companies, Consistency::Strong);
        if let Some(id) = faces.await?.into_iter().flatten().find_map(|face| face.id) {
            // A crash before the line is sent does all of this once more.
            let passes = &self.passes;
            passes.stop_waiting(scope, company, &[line], now).await?;
            return Ok(Some(id));
        }
        let (code, reason) = (Some(&tell.code), Reason::MissingPrerequisite);
        self.owe(
            scope,
            correlation,
            &tell.record,
            code,
            reason,
            &waiting(company),
        )
        .await?;
        Ok(None)
    }

    async fn owe(
        &self,
        scope: Scope,
        correlation: Uuid,
        record: &ErpId,
        code: Option<&Code>,
        reason: Reason,
        detail: &str,
    ) -> Result<(), Halt> {
        let owed = NewOwed {
            subject: Subject::Record {
                scope,
                record: record.clone(),
            },
            stage: Stage::CodeToNorce,
            reason,
            detail: detail.to_owned(),
            code: code.cloned(),
            at: self.clock.now(),
            correlation,
            cause: None,
        };
        Ok(self.owed.put(owed).await?)
    }

    /// Writes the mapping's part of what is told; and how many writes that took.
    async fn note(&self, scope: Scope, tell: &Tell) -> Result<(Noted, u64), Halt> {
        let now = self.clock.now();
        let fingerprint = tell.fingerprint.as_ref();
        let Some(entity) = tell.entity(scope) else {
            let announced = self
                .mappings
                .announce_insert(tell.kind, scope, &tell.record, &tell.code, fingerprint)
                .await?;
            let noted = if announced { Noted::Done } else { Noted::Gone };
            return Ok((noted, 1));
        };
        let mut writes = 1;
        let noted = match &tell.what {
            What::Bind | What::Code => {
                let delivery = if tell.fields.has(FieldGroup::Code) {
                    CodeDelivery::HandedOver { at: now }
                } else {
                    CodeDelivery::Confirmed { at: now }
                };
                let mut binding = Binding::new(tell.code.clone(), tell.record.clone(), delivery);
                let outcome = match &tell.replaces {
                    None => self.mappings.bind(entity, binding).await?,
                    Some(gone) => {
                        let former = match self.mappings.get(entity).await? {
                            Some(Mapping::Bound(binding)) => Some(binding.code),
                            _ => None,
                        };
                        let former = former.filter(|former| *former != tell.code);
                        binding.former_code.clone_from(&former);
                        binding.replaced_code = former;
                        self.mappings.rebind(entity, gone, binding).await?
                    }
                };
                bound(entity, &tell.code, outcome)
            }
            What::Rename { from } => {
                let renamed = self
                    .mappings
                    .rename(entity, &tell.record, from, &tell.code)
                    .await?;
                bound(entity, &tell.code, renamed)
            }
            What::CodeAgain => {
                let handed_over = CodeDelivery::HandedOver { at: now };
                let is_there = self
                    .mappings
                    .record_delivery(entity, &tell.code, handed_over)
                    .await?;
                if is_there { Noted::Done } else { Noted::Gone }
            }
            What::Fields | What::Insert => {
                writes = 0;
                Noted::Done
            }
        };
        let tells_fields =
            tell.what == What::Fields || !tell.fields.without(FieldGroups::CODE).is_empty();
        if matches!(noted, Noted::Done) && (tells_fields || fingerprint.is_some()) {
            writes += 1;
            let is_there = self
                .mappings
                .record_owned(scope, &tell.record, fingerprint)
                .await?;
            if !is_there {
                return Ok((Noted::Gone, writes));
            }
        }
        Ok((noted, writes))
    }
}

enum Done {
    Line(EntityKind, ImportLine),
    Look(ChangeMessage),
    ConflictInstead(What),
}

impl What {
    fn uncount(&self, run: &mut Run) {
        let counts = &mut run.counts;
        let group = match self {
            Self::Bind => &mut counts.bound,
            Self::Code | Self::CodeAgain => &mut counts.codes,
            Self::Rename { .. } => &mut counts.renamed,
            Self::Fields => &mut counts.fields,
            Self::Insert => &mut counts.inserted,
        };
        *group = group.saturating_sub(1);
    }
}

fn bound(entity: EntityRef, code: &Code, bound: Bound) -> Noted {
    match bound {
        Bound::Done => Noted::Done,
        Bound::Forgotten => Noted::Gone,
        Bound::CodeTaken { by } => Noted::Conflict(format!(
            "code {code} belongs to {by} already and is not given to {entity} as well: correct the one that is wrong"
        )),
        Bound::RecordTaken { by } => Noted::Conflict(format!(
            "the record belongs to {by} already and is not given to {entity} as well: one of the two is a duplicate"
        )),
        Bound::OtherCode { code: other } => Noted::Conflict(format!(
            "{entity} is bound to code {other} and is not bound to code {code} as well: correct the one that is wrong"
        )),
    }
}
