//! The state of a record that was last sent to Norce, as a fingerprint of each group that the ERP owns:
//! `price-lists:5f0c…,company-relations:77ab…@12`.
//!
//! The part about the company also has the company's id in Norce, so that the relation can be ended when the ERP ends it.
//! A state that Norce did not take is stored as `again`, with the relation, or with the companies whose relations are to
//! end (`again,former:12`).

use super::CompanyKey;
use crate::domain::{FieldGroup, FieldGroups, Fingerprint, FingerprintKey, NorceId};

/// Characters that are kept of a group's keyed hash: 64 bits, so that a change is missed once in 10^19.
pub(super) const HASH_CHARS: usize = 16;
/// Replaces the fingerprint of a record that has to be sent to Norce again.
const AGAIN: &str = "again";
/// Precedes each company that the record no longer belongs to, after [`AGAIN`].
const FORMER: &str = "former:";

/// The mark that a record has to be sent to Norce again, with the companies whose relations Norce did not end.
pub fn resend_marker(former_companies: &[NorceId]) -> Fingerprint {
    let mut text = AGAIN.to_owned();
    for company in former_companies {
        text.push(',');
        text.push_str(FORMER);
        text.push_str(&company.to_string());
    }
    Fingerprint::from(text)
}

/// The mark that a record has to be sent to Norce again, with the part of a fingerprint about the company.
pub fn resend_all_marker(sent: Option<&Fingerprint>) -> Fingerprint {
    match sent_company(sent) {
        SentCompany::Nothing => resend_marker(&[]),
        SentCompany::Refused(former) => resend_marker(&former),
        SentCompany::Sent { hash, id } => {
            Fingerprint::from(format!("{AGAIN},{}", relation_part(&hash, id)))
        }
    }
}

/// The company of a record that was last sent to Norce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentCompany {
    /// None was sent.
    Nothing,
    /// Norce has this relation.
    Sent {
        /// The hash of the ERP's key of the company.
        hash: String,
        /// The company's id in Norce. Versions up to 0.2.0 did not store it.
        id: Option<NorceId>,
    },
    /// Norce did not take the change: the companies in Norce that the record no longer belongs to.
    Refused(Vec<NorceId>),
}

/// The part of a fingerprint about the company that a record belongs to.
pub fn sent_company(sent: Option<&Fingerprint>) -> SentCompany {
    let Some(sent) = sent else {
        return SentCompany::Nothing;
    };
    let relation = |part: &str| {
        let (word, hash) = part.split_once(':')?;
        (word == FieldGroup::CompanyRelations.as_str()).then(|| match hash.split_once('@') {
            Some((hash, id)) => (hash.to_owned(), id.parse().ok().and_then(norce_id)),
            None => (hash.to_owned(), None),
        })
    };
    if let Some((hash, id)) = sent.as_str().split(',').find_map(relation) {
        return SentCompany::Sent { hash, id };
    }
    let former = sent.as_str().split(',').filter_map(|part| {
        let id = part.strip_prefix(FORMER)?;
        id.parse().ok().and_then(norce_id)
    });
    let former: Vec<NorceId> = former.collect();
    if former.is_empty() && resend_mark(sent).is_none() {
        return SentCompany::Nothing;
    }
    SentCompany::Refused(former)
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

/// A fingerprint with its part about the company replaced.
pub fn with_sent_company(now: Option<Fingerprint>, sent: &SentCompany) -> Option<Fingerprint> {
    let own = now.iter().flat_map(|now| now.as_str().split(','));
    let is_other = |part: &&str| {
        let word = part.split(':').next().unwrap_or_default();
        word != FieldGroup::CompanyRelations.as_str()
    };
    let mut parts: Vec<String> = own.filter(is_other).map(str::to_owned).collect();
    match sent {
        SentCompany::Nothing => {}
        SentCompany::Sent { hash, id } => parts.push(relation_part(hash, *id)),
        SentCompany::Refused(former) => {
            parts.extend(former.iter().map(|id| format!("{FORMER}{id}")));
        }
    }
    (!parts.is_empty()).then(|| Fingerprint::from(parts.join(",")))
}

/// A fingerprint with the id of the contact's company in Norce.
pub fn with_company_id(now: Option<Fingerprint>, id: NorceId) -> Option<Fingerprint> {
    match sent_company(now.as_ref()) {
        SentCompany::Sent { hash, .. } => {
            let sent = SentCompany::Sent { hash, id: Some(id) };
            with_sent_company(now, &sent)
        }
        SentCompany::Nothing | SentCompany::Refused(_) => now,
    }
}

/// A fingerprint with the id of the company in Norce, if the company is the one that was last sent to Norce.
pub fn with_same_company(
    now: Option<Fingerprint>,
    sent: Option<&Fingerprint>,
) -> Option<Fingerprint> {
    match (sent_company(sent), sent_company(now.as_ref())) {
        (
            SentCompany::Sent {
                hash: former,
                id: Some(id),
            },
            SentCompany::Sent { hash, .. },
        ) if former == hash => with_company_id(now, id),
        _ => now,
    }
}

/// The hash of a company in a fingerprint.
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

/// The text after the mark; `None` for a fingerprint without it.
fn resend_mark(sent: &Fingerprint) -> Option<&str> {
    let rest = sent.as_str().strip_prefix(AGAIN)?;
    (rest.is_empty() || rest.starts_with(',')).then_some(rest)
}

fn hash_of(fingerprint: &Fingerprint, group: FieldGroup) -> Option<&str> {
    fingerprint.as_str().split(',').find_map(|part| {
        let (word, hash) = part.split_once(':')?;
        let hash = hash.split('@').next().unwrap_or(hash);
        (word == group.as_str()).then_some(hash)
    })
}

/// The groups among these that have changed since the record was last sent to Norce.
pub fn changed_groups(
    sent: Option<&Fingerprint>,
    now: Option<&Fingerprint>,
    groups: FieldGroups,
) -> FieldGroups {
    let groups = groups.without(FieldGroups::CODE);
    if sent == now {
        return FieldGroups::NONE;
    }
    if sent.is_some_and(|sent| resend_mark(sent).is_some()) {
        return groups;
    }
    groups
        .iter()
        .filter(|group| {
            let hash = |fingerprint: Option<&Fingerprint>| {
                fingerprint.and_then(|it| hash_of(it, *group).map(str::to_owned))
            };
            hash(sent) != hash(now)
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
        let hash = SentCompany::Sent {
            hash: "77ab".to_owned(),
            id: Some(former),
        };
        let sent = with_sent_company(None, &hash);
        assert_eq!(sent_company(sent.as_ref()), hash);
        let waits = with_sent_company(None, &SentCompany::Refused(vec![former]));
        assert_eq!(
            sent_company(waits.as_ref()),
            SentCompany::Refused(vec![former])
        );
        let again = resend_all_marker(sent.as_ref());
        assert_eq!(sent_company(Some(&again)), hash);
        let refused = resend_marker(&[former]);
        for again in [&again, &refused, &resend_all_marker(Some(&refused))] {
            let groups = changed_groups(
                Some(again),
                sent.as_ref(),
                FieldGroups::of(&FieldGroup::ALL),
            );
            assert!(groups.has(FieldGroup::Names), "{again:?}");
        }
        let kept = sent_company(Some(&resend_all_marker(Some(&refused))));
        assert_eq!(kept, SentCompany::Refused(vec![former]));
        assert_eq!(sent_company(None), SentCompany::Nothing);
    }
}
