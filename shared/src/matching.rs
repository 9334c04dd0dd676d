//! Matching: which ERP record is which customer or company of Norce. One rule for every flow, without I/O: the first
//! order, a change, an order, a pass, `explain`, `import-mappings` and `rebind` gather the same facts and ask here, so that
//! no two of them disagree.
//!
//! A match by code is a statement of a person or of an earlier import. A match by key (e-mail address, organisation or
//! VAT number) is made only where the key says who it is: one entity of Norce has it, one record of the ERP has it, and
//! neither is anybody else's. Everything else is a new record, or a conflict with the advice that ends it (P3, P15).

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    domain::{Code, EntityKind, EntityRef, NaturalKey, NorceId, Scope},
    mappings::{Known, Mapping, RecordEntry},
    norce::LookupHit,
};

/// Whose an ERP record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No mapping has it, and no entity of Norce has its code.
    Nobody,
    /// This entity's: by a mapping, or because Norce has the record's code for it.
    Entity(EntityRef),
    /// It belonged to a forgotten customer (P12): it is not matched to anybody.
    Forgotten,
}

/// Whose a record is, as far as the mappings know, seen from a kind and scope of Norce.
pub const fn owner(known: &Known, kind: EntityKind, scope: Scope) -> Owner {
    match *known {
        Known::Forgotten => Owner::Forgotten,
        Known::Record(RecordEntry {
            kind, id: Some(id), ..
        }) => Owner::Entity(EntityRef { kind, scope, id }),
        Known::Code(id) => Owner::Entity(EntityRef { kind, scope, id }),
        // A record without an id was announced to be inserted in Norce.
        Known::Record(_) | Known::Nothing => Owner::Nobody,
    }
}

/// A record of the ERP that has the code or the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpCandidate {
    /// Its code.
    pub code: Code,
    /// The owner of the record.
    pub owner: Owner,
    /// Whether it is closed for business.
    pub blocked: bool,
    /// Whether it can be this entity at all: a person or an organisation as the entity is one, of the same organisation
    /// as a contact, and with no other organisation number of the same country.
    pub fits: bool,
    /// Whether an earlier create for the entity has made it: it has the key and the name that the create carried, and the
    /// create was never answered.
    pub made: bool,
}

/// What Norce has for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Active, without a code of the ERP and without a binding.
    Free,
    /// The same, and a create of it in the ERP is under way: a record with its key may be the one that is being made.
    Creating,
    /// It has a record: by a mapping, or by a code of the ERP.
    HasRecord,
    /// It has a code that leads to no record that is known here (yet).
    HasOtherCode,
    /// Inactive, without a record.
    Inactive,
    /// Forgotten (P12).
    Forgotten,
}

impl Standing {
    /// Whether such an entity counts as one that the key could mean.
    const fn counts(self) -> bool {
        matches!(
            self,
            Self::Free | Self::Creating | Self::HasRecord | Self::HasOtherCode
        )
    }
}

/// The code that Norce has for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeInNorce {
    /// None, or one that is not the ERP's (`ERP_CODES`).
    None,
    /// The code of a known record.
    OfRecord,
    /// Any other code.
    Other,
}

/// What Norce has for an entity that was found. `is_gone`: the ERP does not have the record any more that it is bound to.
/// A create that was announced is under way until the time by which the ERP has carried it out or never will.
pub fn standing(
    found: &LookupHit,
    mapping: Option<&Mapping>,
    is_gone: bool,
    code: CodeInNorce,
    now: DateTime<Utc>,
) -> Standing {
    if found.forgotten || matches!(mapping, Some(Mapping::Forgotten)) {
        return Standing::Forgotten;
    }
    if matches!(mapping, Some(Mapping::Bound(_))) && !is_gone {
        return Standing::HasRecord;
    }
    match code {
        CodeInNorce::OfRecord => Standing::HasRecord,
        CodeInNorce::Other => Standing::HasOtherCode,
        CodeInNorce::None if matches!(mapping, Some(Mapping::Reserved(it)) if now < it.until) => {
            Standing::Creating
        }
        CodeInNorce::None if !found.active => Standing::Inactive,
        CodeInNorce::None => Standing::Free,
    }
}

/// An entity of Norce that has the code or the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NorceCandidate {
    /// Norce's id.
    pub id: NorceId,
    /// What Norce has for it.
    pub standing: Standing,
}

/// `SHARED_EMAIL`: what is done where several customers of Norce have one e-mail address, as in a household. A record
/// that is another customer's is never matched, whatever this says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SharedEmail {
    /// Each gets a record of its own; while the ERP has a record with the address that is nobody's, whose it is has to be
    /// decided first.
    #[default]
    Create,
    /// The first customer gets the unbound record of the ERP; the others get records of their own.
    Adopt,
    /// Owes the record, for a person to decide.
    Owe,
}

impl SharedEmail {
    /// All settings.
    pub const ALL: [Self; 3] = [Self::Create, Self::Adopt, Self::Owe];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Owe => "owe",
        }
    }
}

/// A text is no value of `SHARED_EMAIL`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is none of create, adopt, owe")]
pub struct InvalidSharedEmail(String);

impl FromStr for SharedEmail {
    type Err = InvalidSharedEmail;

    fn from_str(text: &str) -> Result<Self, InvalidSharedEmail> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| InvalidSharedEmail(text.to_owned()))
    }
}

/// What a flow does about an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is this record: a place in the list of candidates.
    Match(usize),
    /// No record of the ERP is its own: a new one is created.
    Create,
    /// A record with the key may be the one that is being made for another entity: it waits until that create has ended.
    Wait,
    /// The record is owed, for a person to decide.
    Conflict(Conflict),
}

/// What a pass does about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordVerdict {
    /// It is this entity.
    Match(NorceId),
    /// Norce has no entity with its key.
    Nobody,
    /// It is none of Norce's entities, although it shares the key with one; nothing is done.
    Stranger,
    /// It may be the one that is being made for an entity: the first order says so.
    Wait,
    /// A person decides about this entity.
    Conflict(NorceId, Conflict),
}

/// Why a match needs a person. Its text says what to do, and doing it ends the conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Several records of the ERP have the code.
    SeveralRecordsWithCode {
        /// The code.
        code: Code,
    },
    /// The record with the code is another entity's.
    CodeOfAnother {
        /// The code.
        code: Code,
        /// The entity to which the record belongs.
        owner: EntityRef,
    },
    /// The record with the code belonged to a forgotten customer.
    CodeOfForgotten {
        /// The code.
        code: Code,
    },
    /// The record with the code cannot be this entity: a contact of another organisation, or an organisation with another
    /// number.
    CodeDoesNotFit {
        /// The code.
        code: Code,
    },
    /// The ERP has no record with the code.
    UnknownCode {
        /// The code.
        code: Code,
    },
    /// The only record with the key is blocked.
    Blocked {
        /// The record's code.
        code: Code,
    },
    /// The key does not say who is meant: several entities or several records have it.
    Ambiguous {
        /// Other entities of Norce that have it.
        entities: Vec<NorceId>,
        /// Codes of the records that have it.
        records: Vec<Code>,
    },
    /// The key is another customer's too, and `SHARED_EMAIL` is `owe`.
    Shared {
        /// The code of a record with it.
        code: Code,
    },
    /// The entity with the record's key has another code, whose record is not known (yet).
    OtherCode {
        /// The entity.
        entity: NorceId,
        /// The record's code.
        code: Code,
    },
}

/// As many names as a sentence lists.
const LISTED: usize = 5;

fn list<T: fmt::Display>(items: &[T]) -> String {
    let mut texts: Vec<String> = items.iter().take(LISTED).map(T::to_string).collect();
    if items.len() > LISTED {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

impl Conflict {
    /// The sentence for a person: what is the matter with this entity, and what ends it.
    pub fn about(&self, kind: EntityKind, subject: &dyn fmt::Display) -> String {
        let key = NaturalKey::name_of(kind);
        match self {
            Self::SeveralRecordsWithCode { code } => format!(
                "the ERP has several records with code {code}, which Norce has for {subject}: give all but one of them another code in the ERP"
            ),
            Self::CodeOfAnother { code, owner } => format!(
                "Norce has code {code} for {subject}, and the ERP record with it belongs to {owner} already: correct the code of one of the two in Norce, or merge the two there"
            ),
            Self::CodeOfForgotten { code } => format!(
                "Norce has code {code} for {subject}, and it belonged to a forgotten customer: remove the code in Norce, or put another one there"
            ),
            Self::CodeDoesNotFit { code } if matches!(kind, EntityKind::Company) => format!(
                "Norce has code {code} for {subject}, and the ERP record with it has another organisation number: correct the code in Norce, or the number on the side where it is wrong"
            ),
            Self::CodeDoesNotFit { code } => format!(
                "Norce has code {code} for {subject}, and in the ERP it is a contact of another organisation: correct the code in Norce, relate {subject} to that organisation there, or move the contact in the ERP"
            ),
            Self::UnknownCode { code } => format!(
                "Norce has code {code} for {subject}, but the ERP has no such record: correct the code in Norce or remove it there, or make the record in the ERP; where Norce has codes that are not the ERP's, set ERP_CODES"
            ),
            Self::Blocked { code } => format!(
                "{subject} has no code, and the ERP record {code} with its {key} is blocked: unblock it, or put the code of another record on {subject} in Norce; its orders are held until then"
            ),
            Self::Ambiguous { entities, records } => {
                let others = if entities.is_empty() {
                    String::new()
                } else {
                    format!(", also of {kind} {} in Norce", list(entities))
                };
                let noun = if records.len() == 1 {
                    "record"
                } else {
                    "records"
                };
                format!(
                    "{subject} has no code, and its {key} is that of the ERP {noun} {}{others}: which record is whose cannot be told. Put each record's code on its {kind} in Norce; if none is this one's, make its record in the ERP and put that code on it",
                    list(records)
                )
            }
            Self::Shared { code } => format!(
                "{subject} has no code, and its {key} is that of another customer, whose ERP record is {code}; SHARED_EMAIL is `owe`: correct one of the addresses in Norce, or make a record in the ERP and put its code on {subject} in Norce"
            ),
            Self::OtherCode { entity, code } => format!(
                "{kind} {entity} in Norce has the {key} of ERP record {code}, but another code: where that is wrong, put code {code} on it in Norce or remove the wrong one; where the ERP has a record with that code, a full pass settles this. The code is not overwritten"
            ),
        }
    }
}

/// Which of the records with the code that Norce has for an entity is the entity's.
pub fn by_code(entity: EntityRef, code: &Code, records: &[ErpCandidate]) -> Verdict {
    let conflict = |conflict| Verdict::Conflict(conflict);
    let code = code.clone();
    match records {
        [] => conflict(Conflict::UnknownCode { code }),
        [record] => match record.owner {
            Owner::Forgotten => conflict(Conflict::CodeOfForgotten { code }),
            Owner::Entity(owner) if owner != entity => {
                conflict(Conflict::CodeOfAnother { code, owner })
            }
            _ if !record.fits => conflict(Conflict::CodeDoesNotFit { code }),
            Owner::Entity(_) | Owner::Nobody => Verdict::Match(0),
        },
        _ => conflict(Conflict::SeveralRecordsWithCode { code }),
    }
}

/// Which of the records with an entity's key is the entity's, where Norce has no code for it. `others`: every other
/// entity of Norce that has the key.
pub fn by_key(
    entity: EntityRef,
    records: &[ErpCandidate],
    others: &[NorceCandidate],
    shared_email: SharedEmail,
) -> Verdict {
    let live: Vec<(usize, &ErpCandidate)> = records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.fits && record.owner != Owner::Forgotten)
        .collect();
    let own = Owner::Entity(entity);
    if let Some((place, _)) = live.iter().find(|(_, record)| record.owner == own) {
        return Verdict::Match(*place);
    }
    let mut made = live
        .iter()
        .filter(|(_, record)| record.made && record.owner == Owner::Nobody);
    if let (Some((place, _)), None) = (made.next(), made.next()) {
        return Verdict::Match(*place);
    }
    let is_email = entity.kind == EntityKind::Customer;
    let free: Vec<&(usize, &ErpCandidate)> = live
        .iter()
        .filter(|(_, record)| record.owner == Owner::Nobody)
        .collect();
    let [(place, record)] = free[..] else {
        return match (free.is_empty(), live.first()) {
            (true, Some((_, record))) if is_email && shared_email == SharedEmail::Owe => {
                Verdict::Conflict(Conflict::Shared {
                    code: record.code.clone(),
                })
            }
            // Every record that has the key is another entity's: two schools of one municipality, a household.
            (true, _) => Verdict::Create,
            (false, _) => ambiguous(&live, others),
        };
    };
    let is_alone = live.len() == 1 && !others.iter().any(|other| other.standing.counts());
    let is_creating = |other: &NorceCandidate| other.standing == Standing::Creating;
    let is_adopted = is_email
        && shared_email == SharedEmail::Adopt
        && live.len() == 1
        && !others.iter().any(is_creating);
    if !is_alone && !is_adopted {
        return ambiguous(&live, others);
    }
    if record.blocked {
        return Verdict::Conflict(Conflict::Blocked {
            code: record.code.clone(),
        });
    }
    Verdict::Match(*place)
}

fn ambiguous(live: &[(usize, &ErpCandidate)], others: &[NorceCandidate]) -> Verdict {
    let mut creating = others.iter();
    if creating.any(|other| other.standing == Standing::Creating) {
        return Verdict::Wait;
    }
    let others = others.iter().filter(|other| other.standing.counts());
    Verdict::Conflict(Conflict::Ambiguous {
        entities: others.map(|other| other.id).collect(),
        records: live.iter().map(|(_, record)| record.code.clone()).collect(),
    })
}

/// Which of the entities with a record's key the record is, seen from a record that is nobody's: what [`by_key`] says
/// about each of them. `other_records`: every other record of the ERP that has the key.
pub fn of_record(
    kind: EntityKind,
    scope: Scope,
    record: &ErpCandidate,
    entities: &[NorceCandidate],
    other_records: &[ErpCandidate],
    shared_email: SharedEmail,
) -> RecordVerdict {
    let counted = || entities.iter().filter(|entity| entity.standing.counts());
    let is_free =
        |entity: &&NorceCandidate| matches!(entity.standing, Standing::Free | Standing::Creating);
    let mut free = counted().filter(is_free);
    let Some(entity) = free.next() else {
        let other_code = counted().find(|entity| entity.standing == Standing::HasOtherCode);
        return match (other_code, counted().next()) {
            (_, None) => RecordVerdict::Nobody,
            (Some(entity), _) => RecordVerdict::Conflict(
                entity.id,
                Conflict::OtherCode {
                    entity: entity.id,
                    code: record.code.clone(),
                },
            ),
            (None, Some(_)) => RecordVerdict::Stranger,
        };
    };
    // `adopt` gives the record to the customer who orders first, and a pass is no order.
    let shared_email = match shared_email {
        SharedEmail::Adopt => SharedEmail::Create,
        other => other,
    };
    let others: Vec<NorceCandidate> = entities
        .iter()
        .filter(|other| other.id != entity.id)
        .copied()
        .collect();
    let records: Vec<ErpCandidate> = std::iter::once(record)
        .chain(other_records)
        .cloned()
        .collect();
    let id = entity.id;
    match by_key(
        EntityRef { kind, scope, id },
        &records,
        &others,
        shared_email,
    ) {
        Verdict::Match(0) => RecordVerdict::Match(id),
        Verdict::Wait => RecordVerdict::Wait,
        Verdict::Match(_) | Verdict::Create => RecordVerdict::Stranger,
        Verdict::Conflict(conflict) => RecordVerdict::Conflict(id, conflict),
    }
}
