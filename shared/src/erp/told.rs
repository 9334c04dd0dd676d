//! The notes of what Norce was told of a record: a fingerprint of each group that the ERP owns, as
//! `price-lists:5f0c…,company-relations:77ab…@12`.
//!
//! Of the relation to a company it has the company's id in Norce as well, so that the relation can be ended when the ERP ends
//! it. What Norce did not take is noted as `again`, with what has to be remembered until then: the relation, or the companies
//! whose relations are to end (`again,former:12`).

use super::CompanyKey;
use crate::domain::{FieldGroup, FieldGroups, Fingerprint, FingerprintKey, NorceId};

/// As much of a group's keyed hash as is kept: 64 bits, so that a change goes unseen once in 10^19.
pub(super) const HASH_CHARS: usize = 16;
/// Stands for a fingerprint when Norce has to be told again, whatever it was told before.
const AGAIN: &str = "again";
/// Stands before each company that the record belongs to no longer, after [`AGAIN`].
const FORMER: &str = "former:";

/// The mark that Norce has to be told again, and which relations were to be ended when it did not take them.
pub fn tell_again(former_companies: &[NorceId]) -> Fingerprint {
    let mut text = AGAIN.to_owned();
    for company in former_companies {
        text.push(',');
        text.push_str(FORMER);
        text.push_str(&company.to_string());
    }
    Fingerprint::from(text)
}

/// The mark that Norce has to be told again, with what a fingerprint has about the organisation.
pub fn tell_all_again(told: Option<&Fingerprint>) -> Fingerprint {
    match told_company(told) {
        ToldCompany::Nothing => tell_again(&[]),
        ToldCompany::Refused(former) => tell_again(&former),
        ToldCompany::Told { hash, id } => {
            Fingerprint::from(format!("{AGAIN},{}", relation_part(&hash, id)))
        }
    }
}

/// What Norce was last told of the organisation that a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldCompany {
    /// Nothing.
    Nothing,
    /// A company.
    Told {
        /// The hash of what the ERP calls it by.
        hash: String,
        /// Its id in Norce. Versions up to 0.2.0 did not note it.
        id: Option<NorceId>,
    },
    /// Norce did not take it: companies in Norce that the record belongs to no longer.
    Refused(Vec<NorceId>),
}

/// What of a fingerprint is about the organisation that a record belongs to.
pub fn told_company(told: Option<&Fingerprint>) -> ToldCompany {
    let Some(told) = told else {
        return ToldCompany::Nothing;
    };
    let relation = |part: &str| {
        let (word, hash) = part.split_once(':')?;
        (word == FieldGroup::CompanyRelations.as_str()).then(|| match hash.split_once('@') {
            Some((hash, id)) => (hash.to_owned(), id.parse().ok().and_then(norce_id)),
            None => (hash.to_owned(), None),
        })
    };
    if let Some((hash, id)) = told.as_str().split(',').find_map(relation) {
        return ToldCompany::Told { hash, id };
    }
    let former = told.as_str().split(',').filter_map(|part| {
        let id = part.strip_prefix(FORMER)?;
        id.parse().ok().and_then(norce_id)
    });
    let former: Vec<NorceId> = former.collect();
    if former.is_empty() && is_again(told).is_none() {
        return ToldCompany::Nothing;
    }
    ToldCompany::Refused(former)
}

fn norce_id(id: i64) -> Option<NorceId> {
    id.try_into().ok()
}

fn relation_part(hash: &str, id: Option<NorceId>) -> String {
    let relation = FieldGroup::CompanyRelations;
    match id {
        Some(id) => format!("{relation}:{hash}@{id}"),
        None => format!("{relation}:{hash}"),
    }
}

/// A fingerprint with what another one has about the organisation, in the place of what it has itself.
pub fn with_told_company(now: Option<Fingerprint>, told: &ToldCompany) -> Option<Fingerprint> {
    let own = now.iter().flat_map(|now| now.as_str().split(','));
    let is_other = |part: &&str| {
        let word = part.split(':').next().unwrap_or_default();
        word != FieldGroup::CompanyRelations.as_str()
    };
    let mut parts: Vec<String> = own.filter(is_other).map(str::to_owned).collect();
    match told {
        ToldCompany::Nothing => {}
        ToldCompany::Told { hash, id } => parts.push(relation_part(hash, *id)),
        ToldCompany::Refused(former) => {
            parts.extend(former.iter().map(|id| format!("{FORMER}{id}")));
        }
    }
    (!parts.is_empty()).then(|| Fingerprint::from(parts.join(",")))
}

/// Adds Norce's id of the contact's company to a fingerprint.
pub fn with_company_id(now: Option<Fingerprint>, id: NorceId) -> Option<Fingerprint> {
    match told_company(now.as_ref()) {
        ToldCompany::Told { hash, .. } => {
            let told = ToldCompany::Told { hash, id: Some(id) };
            with_told_company(now, &told)
        }
        ToldCompany::Nothing | ToldCompany::Refused(_) => now,
    }
}

/// A fingerprint that keeps the id of a company which is the one that Norce was told of.
pub fn with_same_company(
    now: Option<Fingerprint>,
    told: Option<&Fingerprint>,
) -> Option<Fingerprint> {
    match (told_company(told), told_company(now.as_ref())) {
        (
            ToldCompany::Told {
                hash: former,
                id: Some(id),
            },
            ToldCompany::Told { hash, .. },
        ) if former == hash => with_company_id(now, id),
        _ => now,
    }
}

/// The hash of an organisation as a fingerprint has it.
///
/// # Errors
/// None: a key has a JSON form.
pub fn company_hash(
    company: &CompanyKey,
    key: &FingerprintKey,
) -> Result<String, serde_json::Error> {
    let hash = key.of(&Some(company))?;
    Ok(short(&hash).to_owned())
}

pub(super) fn short(hash: &Fingerprint) -> &str {
    hash.as_str().get(..HASH_CHARS).unwrap_or_default()
}

/// What follows the mark, where it is one.
fn is_again(told: &Fingerprint) -> Option<&str> {
    let rest = told.as_str().strip_prefix(AGAIN)?;
    (rest.is_empty() || rest.starts_with(',')).then_some(rest)
}

fn hash_of(fingerprint: &Fingerprint, group: FieldGroup) -> Option<&str> {
    fingerprint.as_str().split(',').find_map(|part| {
        let (word, hash) = part.split_once(':')?;
        let hash = hash.split('@').next().unwrap_or(hash);
        (word == group.as_str()).then_some(hash)
    })
}

/// Of these groups, those that differ between what Norce was told and what is now.
pub fn changed_groups(
    told: Option<&Fingerprint>,
    now: Option<&Fingerprint>,
    groups: FieldGroups,
) -> FieldGroups {
    let groups = groups.without(FieldGroups::CODE);
    if told == now {
        return FieldGroups::NONE;
    }
    if told.is_some_and(|told| is_again(told).is_some()) {
        return groups;
    }
    groups
        .iter()
        .filter(|group| {
            let hash = |fingerprint: Option<&Fingerprint>| {
                fingerprint.and_then(|it| hash_of(it, *group).map(str::to_owned))
            };
            hash(told) != hash(now)
        })
        .fold(FieldGroups::NONE, |changed, group| {
            changed.union(FieldGroups::of(&[group]))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_keeps_the_organisation_that_norce_was_told_of() {
        let former: NorceId = 7.try_into().unwrap();
        let hash = ToldCompany::Told {
            hash: "77ab".to_owned(),
            id: Some(former),
        };
        let told = with_told_company(None, &hash);
        assert_eq!(told_company(told.as_ref()), hash);
        let waits = with_told_company(None, &ToldCompany::Refused(vec![former]));
        assert_eq!(
            told_company(waits.as_ref()),
            ToldCompany::Refused(vec![former])
        );
        let again = tell_all_again(told.as_ref());
        assert_eq!(told_company(Some(&again)), hash);
        let refused = tell_again(&[former]);
        for again in [&again, &refused, &tell_all_again(Some(&refused))] {
            let groups = changed_groups(
                Some(again),
                told.as_ref(),
                FieldGroups::of(&FieldGroup::ALL),
            );
            assert!(groups.has(FieldGroup::Names), "{again:?}");
        }
        let kept = told_company(Some(&tell_all_again(Some(&refused))));
        assert_eq!(kept, ToldCompany::Refused(vec![former]));
        assert_eq!(told_company(None), ToldCompany::Nothing);
    }
}
