//! What a pass decides. Actions are recorded with the run before they are carried out, so that a crash in between costs
//! nothing, and every one of them can be repeated. They hold ids, codes and keyed hashes only.

use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        Code, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, Fingerprint, ImportLine,
        NorceId, PartyField, Scope,
    },
    erp::ErpRecord,
    owed::Reason,
    passes::Counts,
};
use uuid::Uuid;

/// What was decided about a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is as it is known.
    Unchanged,
    /// Something is done.
    Act(Action),
    /// It is left as it is.
    Skip(Skipped),
    /// It can be decided when everything has been read.
    Defer,
}

/// A record that is left as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) reason: &'static str,
    pub(crate) kind: EntityKind,
    pub(crate) record: Option<ErpId>,
    pub(crate) code: Option<Code>,
}

impl Decision {
    pub(crate) fn skip(record: &ErpRecord, reason: &'static str) -> Self {
        Self::Skip(Skipped {
            reason,
            kind: record.entity_kind(),
            record: Some(record.id.clone()),
            code: Some(record.code.clone()),
        })
    }

    pub(crate) fn conflict(record: &ErpRecord, detail: String) -> Self {
        Self::owe(record, Reason::Conflict, detail)
    }

    /// Whether it is owed until something else is there.
    pub(crate) const fn waits_for_prerequisite(&self) -> bool {
        matches!(
            self,
            Self::Act(Action::Owe {
                reason: Reason::MissingPrerequisite,
                ..
            })
        )
    }

    pub(crate) fn owe(record: &ErpRecord, reason: Reason, detail: String) -> Self {
        Self::Act(Action::Owe {
            kind: record.entity_kind(),
            record: record.id.clone(),
            code: Some(record.code.clone()),
            reason,
            detail,
        })
    }
}

/// What is done about a record or an entity. The names in the stored form are those of version 0.1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Norce gets something of a record, or a mapping is made, or both.
    #[serde(rename = "tell")]
    Update(NorceUpdate),
    /// The update waits until Norce has the company that it refers to.
    Wait {
        /// The company's record.
        company: ErpId,
        #[serde(rename = "tell")]
        update: NorceUpdate,
    },
    /// The record cannot be synced.
    Owe {
        kind: EntityKind,
        record: ErpId,
        code: Option<Code>,
        reason: Reason,
        detail: String,
    },
    /// Nothing is owed of the record any more.
    Resolve { record: ErpId },
    /// `change-events` checks an entity of Norce again.
    #[serde(rename = "look")]
    Recheck {
        entity: EntityRef,
        forgotten: bool,
        /// The bound record, where the ERP does not have it any more: its binding is marked first. A version that does not
        /// know of this only has the entity checked, which changes nothing; the next full pass sees the record again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gone: Option<GoneRecord>,
    },
}

/// The record of a binding that the ERP does not have any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoneRecord {
    pub(crate) record: ErpId,
    pub(crate) code: Code,
}

/// What Norce gets of a record, and what is stored about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NorceUpdate {
    pub(crate) what: UpdateKind,
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
    /// What Norce has of the ERP's fields afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The record that the entity was bound to before, which the ERP no longer has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<Box<ErpId>>,
    /// For a plan's line.
    #[serde(skip)]
    pub(crate) kept: Kept,
    /// The binding was decided without reading the mappings. If they refuse it, the pass decides about the record again. A
    /// version that does not know this field records a conflict instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) unread: bool,
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
    pub(crate) fn fields(self) -> Option<Vec<PartyField>> {
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

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The groups in which updates are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UpdateKind {
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

impl UpdateKind {
    pub(crate) const fn counter<'a>(&self, counts: &'a mut Counts) -> &'a mut u64 {
        match self {
            Self::Bind => &mut counts.bound,
            Self::Code | Self::CodeAgain => &mut counts.codes,
            Self::Rename { .. } => &mut counts.renamed,
            Self::Fields => &mut counts.fields,
            Self::Insert => &mut counts.inserted,
        }
    }

    /// Takes back the count of an update that was not made.
    pub(crate) fn uncount(&self, counts: &mut Counts) {
        let group = self.counter(counts);
        *group = group.saturating_sub(1);
    }
}

impl NorceUpdate {
    pub(crate) fn entity(&self, scope: Scope) -> Option<EntityRef> {
        Some(EntityRef {
            kind: self.kind,
            scope,
            id: self.id?,
        })
    }

    /// The line for Norce, if there is anything to send.
    pub(crate) fn line(&self, correlation: Uuid) -> Option<ImportLine> {
        let is_bare = self.fields == FieldGroups::CODE
            && self.id.is_some()
            && self.former_companies.is_empty();
        let sends = !self.fields.is_empty() || !self.former_companies.is_empty();
        sends.then(|| ImportLine {
            record: (!is_bare).then(|| self.record.clone()),
            company: self.company,
            former_companies: self.former_companies.clone(),
            ..self.line_of(self.fields, correlation)
        })
    }

    /// The line that waits for the company: the whole insert, or the relation alone.
    pub(crate) fn waiting_line(&self, correlation: Uuid) -> ImportLine {
        let fields = match self.id {
            None => self.fields,
            Some(_) => FieldGroups::NONE,
        };
        self.line_of(fields, correlation)
    }

    fn line_of(&self, fields: FieldGroups, correlation: Uuid) -> ImportLine {
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
    pub(crate) const fn settles(&self) -> bool {
        match self {
            Self::Update(update) => update.waits_for.is_none(),
            Self::Wait { .. } | Self::Owe { .. } => false,
            Self::Resolve { .. } | Self::Recheck { .. } => true,
        }
    }

    /// Counts it in its group, once, when it is decided.
    pub(crate) fn count(&self, counts: &mut Counts) {
        let group = match self {
            Self::Update(update) => update.what.counter(counts),
            Self::Wait { .. } => &mut counts.waiting,
            Self::Owe { reason, .. } if *reason == Reason::Conflict => &mut counts.conflicts,
            Self::Owe { reason, .. } => counts
                .skipped
                .entry(format!("owed: {}", reason.as_str()))
                .or_default(),
            Self::Recheck { gone: Some(_), .. } => &mut counts.gone,
            Self::Recheck { forgotten, .. } => {
                counts.forgotten += u64::from(*forgotten);
                &mut counts.queued
            }
            Self::Resolve { .. } => return,
        };
        *group += 1;
    }
}

/// Why an update, or a part of it, waits.
pub(crate) fn waiting(company: &ErpId) -> String {
    format!(
        "its company ({company}) is not in Norce: the relation is imported as soon as the company is there"
    )
}
