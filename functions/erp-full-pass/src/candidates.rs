//! Which entities of Norce an unknown record of the ERP could be, and which other records could be the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use shared::{
    domain::{Code, CodeCase, EntityRef, ErpId, NaturalKey, NorceId},
    erp::ErpRecord,
    mappings::{Mapping, key_index::MAX_HOLDERS},
    matching::ErpCandidate,
    norce::LookupHit,
    owed::Reason,
};

use crate::action::Decision;

/// Why a forgotten record is left as it is.
pub(crate) const FORGOTTEN: &str = "forgotten in Norce";

/// The entities of Norce that a record could be.
#[derive(Debug, Clone)]
pub(crate) enum Hit<'a> {
    /// The one that has the record's code.
    Code(&'a LookupHit),
    /// Those that have one of its keys.
    Keys(Vec<&'a LookupHit>),
    Nobody,
}

/// What fits a record; or what is decided because nothing can.
pub(crate) type Fit<'a> = Result<Hit<'a>, Box<Decision>>;

impl Hit<'_> {
    pub(crate) fn ids(&self) -> impl Iterator<Item = NorceId> {
        let (code, keys) = match self {
            Self::Code(found) => (Some(*found), &[][..]),
            Self::Keys(found) => (None, found.as_slice()),
            Self::Nobody => (None, &[][..]),
        };
        let found = code.into_iter().chain(keys.iter().copied());
        found.map(|found| found.id)
    }
}

/// The answer to a look-up, by codes and keys.
pub(crate) struct Hits<'a> {
    by_code: HashMap<Code, Vec<&'a LookupHit>>,
    by_key: HashMap<&'a NaturalKey, Vec<&'a LookupHit>>,
    case: CodeCase,
}

impl<'a> Hits<'a> {
    pub(crate) fn of(found: &'a [LookupHit], case: CodeCase) -> Self {
        let mut hits = Self {
            by_code: HashMap::new(),
            by_key: HashMap::new(),
            case,
        };
        for found in found {
            if let Some(code) = &found.code {
                let code = code.in_case(case);
                hits.by_code.entry(code).or_default().push(found);
            }
            for key in &found.keys {
                hits.by_key.entry(key).or_default().push(found);
            }
        }
        hits
    }

    pub(crate) fn of_record(&self, record: &ErpRecord, keys: &[NaturalKey]) -> Fit<'a> {
        let code = record.code.in_case(self.case);
        let with_code = self.by_code.get(&code).map_or(&[][..], Vec::as_slice);
        if with_code.iter().any(|found| found.forgotten) {
            return Err(Box::new(Decision::skip(record, FORGOTTEN)));
        }
        match with_code {
            [found] => return Ok(Hit::Code(found)),
            [] => {}
            _ => {
                let detail = format!(
                    "Norce has its code {} more than once: correct the wrong ones there",
                    record.code
                );
                return Err(Box::new(Decision::conflict(record, detail)));
            }
        }
        let mut with_key: Vec<&LookupHit> = Vec::new();
        for found in keys.iter().filter_map(|key| self.by_key.get(key)).flatten() {
            if !contradicts(record, found) && !with_key.iter().any(|known| known.id == found.id) {
                with_key.push(found);
            }
        }
        Ok(if with_key.is_empty() {
            Hit::Nobody
        } else {
            Hit::Keys(with_key)
        })
    }
}

/// Whether the two have different organisation numbers of one country.
pub(crate) fn contradicts(record: &ErpRecord, found: &LookupHit) -> bool {
    let of_record = record.registered();
    let pair = of_record.as_ref().zip(found.registered.as_ref());
    pair.is_some_and(|(one, other)| one.contradicts(other))
}

/// What was looked up for many candidates at once.
#[derive(Default)]
pub(crate) struct Facts {
    /// What the mappings know of the entities that were found.
    pub(crate) mappings: HashMap<EntityRef, Mapping>,
    /// Bindings whose record the ERP no longer has.
    pub(crate) gone: HashMap<EntityRef, ErpId>,
    /// Records that have the code of a candidate as well.
    pub(crate) code_holders: Vec<(Code, ErpId)>,
    /// Entities whose code several candidates have.
    pub(crate) twice: HashSet<NorceId>,
    pub(crate) rivals: Rivals,
}

/// Who else has the keys of candidates.
#[derive(Default)]
pub(crate) struct Rivals {
    pub(crate) records: Vec<Rival>,
    /// Keys that more records have than are listed.
    pub(crate) crowded: BTreeSet<NaturalKey>,
    /// Keys that others may have: why that is not known yet, and what ends it.
    pub(crate) not_yet: BTreeMap<NaturalKey, String>,
}

/// Another record of the ERP with a key of a candidate.
pub(crate) struct Rival {
    pub(crate) id: ErpId,
    pub(crate) keys: Vec<NaturalKey>,
    pub(crate) candidate: ErpCandidate,
}

impl Rivals {
    /// The other records that have a key of this one.
    pub(crate) fn of<'a>(&'a self, record: &'a ErpRecord) -> impl Iterator<Item = &'a Rival> {
        let keys = record.keys(record.entity_kind());
        let others = self.records.iter().filter(|rival| rival.id != record.id);
        others.filter(move |rival| rival.keys.iter().any(|key| keys.contains(key)))
    }

    /// Why nothing can be decided about a record by its keys.
    pub(crate) fn obstacle(&self, record: &ErpRecord) -> Option<Decision> {
        let kind = record.entity_kind();
        let keys = record.keys(kind);
        if keys.iter().any(|key| self.crowded.contains(key)) {
            let detail = format!(
                "more than {MAX_HOLDERS} records of the ERP have the same {}, so that the one that is in Norce is not known; give the right one's code to the {kind} in Norce",
                NaturalKey::name_of(kind)
            );
            return Some(Decision::conflict(record, detail));
        }
        let reason = keys.iter().find_map(|key| self.not_yet.get(key))?;
        let detail = reason.clone();
        Some(Decision::owe(record, Reason::MissingPrerequisite, detail))
    }
}
