//! Groups of owed records: those with the same reason, stage and words, apart from ids and numbers.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::owed::{Owed, Reason, Stage};
use uuid::Uuid;

use super::fix::fix;
use crate::sentence::{self, Sentence};

/// Samples of a group: enough to see what its records have in common.
const SAMPLES: usize = 3;
/// The number of distinct groups. Beyond it, records are grouped by reason and stage alone, so that memory does not grow with
/// the list.
const MAX_GROUPS: usize = 1_000;
/// The placeholder for what differs from record to record.
const ID: &str = "…";

/// A group of owed records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedGroup {
    /// Its id, by which the group is listed, retried and dismissed (`group`); absent: there are too many different texts to
    /// distinguish these records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Uuid>,
    /// The class of the reason.
    pub reason: Reason,
    /// The stage.
    pub stage: Stage,
    /// The remote's words, without ids and numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// How to fix it.
    #[serde(flatten, serialize_with = "sentence::fix")]
    pub fix: Sentence,
    /// The number of records.
    pub count: usize,
    /// When the oldest was first owed.
    pub oldest: DateTime<Utc>,
    /// When the next of them is retried automatically; absent: only passes check them, or they are dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<DateTime<Utc>>,
    /// The subjects of the oldest records.
    pub samples: Vec<String>,
}

/// What makes records one group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    reason: Reason,
    stage: Stage,
    /// `None`: any words.
    words: Option<String>,
}

impl Key {
    fn of(owed: &Owed) -> Self {
        Self {
            reason: owed.reason,
            stage: owed.stage,
            words: Some(without_ids(&owed.detail)),
        }
    }

    fn id(&self) -> Option<Uuid> {
        let Self { reason, stage, .. } = self;
        let words = self.words.as_ref()?;
        let text = format!("{}\n{}\n{words}", reason.as_str(), stage.as_str());
        Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
    }
}

/// Whether a record is of a group.
pub(super) fn is_of(owed: &Owed, group: Uuid) -> bool {
    Key::of(owed).id() == Some(group)
}

/// Replaces every word that has a digit: ids, codes, numbers and times. The rest is the same for records that are refused for
/// the same reason.
fn without_ids(text: &str) -> String {
    let is_of_word = |letter: char| letter.is_alphanumeric() || "-_/:.#@".contains(letter);
    let mut left = String::new();
    let mut word = String::new();
    let end = |word: &mut String, left: &mut String| {
        // Punctuation at the end belongs to the sentence.
        let body = word.trim_end_matches(['.', ':', '-']);
        match body.contains(|letter: char| letter.is_numeric()) {
            true => {
                left.push_str(ID);
                left.push_str(&word[body.len()..]);
            }
            false => left.push_str(word),
        }
        word.clear();
    };
    for letter in text.chars() {
        if is_of_word(letter) {
            word.push(letter);
        } else {
            end(&mut word, &mut left);
            left.push(letter);
        }
    }
    end(&mut word, &mut left);
    left
}

struct Gathered {
    count: usize,
    oldest: DateTime<Utc>,
    next_attempt: Option<DateTime<Utc>>,
    /// The oldest subjects, with the times since which they are owed.
    samples: BTreeSet<(DateTime<Utc>, String)>,
}

/// The groups while they are counted.
#[derive(Default)]
pub(super) struct Groups(HashMap<Key, Gathered>);

impl Groups {
    pub(super) fn count(&mut self, owed: &Owed) {
        let mut key = Key::of(owed);
        if self.0.len() >= MAX_GROUPS && !self.0.contains_key(&key) {
            key.words = None;
        }
        let group = self.0.entry(key).or_insert_with(|| Gathered {
            count: 0,
            oldest: owed.first,
            next_attempt: None,
            samples: BTreeSet::new(),
        });
        group.count += 1;
        group.oldest = group.oldest.min(owed.first);
        let attempts = group.next_attempt.into_iter().chain(owed.next_attempt());
        group.next_attempt = attempts.min();
        group.samples.insert((owed.first, owed.subject.to_string()));
        if group.samples.len() > SAMPLES {
            group.samples.pop_last();
        }
    }

    /// The groups, the largest first.
    pub(super) fn into_vec(self) -> Vec<OwedGroup> {
        let groups = self.0.into_iter().map(|(key, gathered)| OwedGroup {
            group: key.id(),
            reason: key.reason,
            stage: key.stage,
            words: key.words,
            fix: fix(key.reason, key.stage),
            count: gathered.count,
            oldest: gathered.oldest,
            next_attempt: gathered.next_attempt,
            samples: gathered
                .samples
                .into_iter()
                .map(|(_, subject)| subject)
                .collect(),
        });
        let mut groups: Vec<OwedGroup> = groups.collect();
        groups.sort_by_key(|group| (Reverse(group.count), group.oldest, group.group));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_record_to_record_is_left_out_and_the_rest_stays() {
        for (text, words) in [
            ("The record is refused.", "The record is refused."),
            (
                "customer/client/1011 has code C00042: correct it.",
                "… has code …: correct it.",
            ),
            (
                "the ERP cannot answer now (HTTP 503 Internal_TenantUnavailable)",
                "the ERP cannot answer now (HTTP … Internal_TenantUnavailable)",
            ),
            (
                "record 098b7432-6b84-4f1c-9e10-ad2028d2e605, since 2026-11-24T00:00:00Z.",
                "record …, since ….",
            ),
            ("Norce's job 76 failed: 'X'", "Norce's job … failed: 'X'"),
            ("", ""),
        ] {
            assert_eq!(without_ids(text), words);
        }
    }
}
