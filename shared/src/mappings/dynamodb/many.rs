//! Many bindings in a few transactions.
//!
//! A single binding is a transaction of six or seven items, of which three are its entries. Bindings that are made together
//! share one check for all of their tombstones ([`forgets`](super::forgets)), so that each costs its three entries. Nothing
//! else differs: the conditions on the entries are the same, and a binding that is refused is made alone, which finds out why.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    DynamoDbMappings,
    entries::{ATTEMPTS, unbound},
    forget_count::{Forgets, Together},
    table::{code_key, entity_key, record_key},
};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::MAX_TRANSACTION_ITEMS,
    domain::{EntityRef, Scope},
    mappings::{Bound, Mappings, NewBinding},
};

/// Entries of a binding.
const ENTRIES: usize = 3;
/// Bindings in a transaction, beside the check of what was forgotten.
///
/// Transactions of one scope run one after the other: they check the same item, and DynamoDB cancels one of two concurrent
/// transactions. A million bindings are 30,304 transactions: 152 s at 5 ms, 15 minutes at 30 ms. At 30 ms that is 6,600 write
/// units a second, more than the 4,000 that a new on-demand table takes at first (Amazon DynamoDB Developer Guide,
/// "DynamoDB on-demand capacity mode"), so that more concurrency would only be throttled.
const BATCH_SIZE: usize = (MAX_TRANSACTION_ITEMS - 1) / ENTRIES;
/// Concurrent single bindings: each takes a few requests of some ten milliseconds.
const SINGLE_CONCURRENCY: usize = 16;

/// The answers so far, by the places of the bindings; `None`: to be bound alone.
type Answers = Vec<Option<Bound>>;

impl DynamoDbMappings {
    /// Binds many entities.
    pub(super) async fn bind_all(&self, bindings: &[NewBinding]) -> Result<Vec<Bound>, StoreError> {
        let mut answers: Answers = vec![None; bindings.len()];
        let (batches, twice) = batches(bindings);
        for (scope, places) in batches {
            // A single binding gains nothing, and would only conflict with others.
            if places.len() > 1 {
                self.bind_together(scope, bindings, places, &mut answers)
                    .await?;
            }
        }
        let left: Vec<usize> = (0..bindings.len())
            .filter(|place| !twice.contains(place) && matches!(answers.get(*place), Some(None)))
            .collect();
        let singles: Vec<_> = left
            .iter()
            .filter_map(|place| bindings.get(*place))
            .map(|new| self.bind(new.entity, new.binding.clone()))
            .collect();
        let singles: Vec<Bound> = stream::iter(singles)
            .buffered(SINGLE_CONCURRENCY)
            .try_collect()
            .await?;
        for (place, bound) in left.into_iter().zip(singles) {
            answer(&mut answers, place, bound);
        }
        for place in twice {
            if let Some(NewBinding {
                entity, binding, ..
            }) = bindings.get(place)
            {
                let bound = self.bind(*entity, binding.clone()).await?;
                answer(&mut answers, place, bound);
            }
        }
        answers
            .into_iter()
            .map(|bound| bound.ok_or_else(|| self.table.error("a binding was left out")))
            .collect()
    }

    /// Binds what is not refused. The rest gets no answer, and has to be bound alone.
    async fn bind_together(
        &self,
        scope: Scope,
        bindings: &[NewBinding],
        mut open: Vec<usize>,
        answers: &mut Answers,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(seen) = self.settled_forgets(scope).await? else {
                return Ok(());
            };
            self.answer_forgotten(seen, bindings, &mut open, answers)
                .await?;
            let is_unchanged = self
                .write_all(scope, seen, bindings, &mut open, answers)
                .await?;
            if is_unchanged {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers the bindings of forgotten customers.
    async fn answer_forgotten(
        &self,
        seen: Forgets,
        bindings: &[NewBinding],
        open: &mut Vec<usize>,
        answers: &mut Answers,
    ) -> Result<(), StoreError> {
        if seen.is_none() {
            return Ok(());
        }
        let mut keys = Vec::with_capacity(ENTRIES * open.len());
        for new in open.iter().filter_map(|place| bindings.get(*place)) {
            keys.extend(self.tombstones(new.entity, &new.binding)?);
        }
        let found = self.table.get_many(keys, Consistency::Strong).await?;
        for (place, tombstones) in open.iter().zip(found.chunks(ENTRIES)) {
            if tombstones.iter().any(Option::is_some) {
                answer(answers, *place, Bound::Forgotten);
            }
        }
        open.retain(|place| matches!(answers.get(*place), Some(None)));
        Ok(())
    }

    /// Writes in transactions as long as no customer of the scope is forgotten. `false`: one was, and the tombstones of what is
    /// still open have to be read again. What is refused leaves `open` without an answer.
    async fn write_all(
        &self,
        scope: Scope,
        seen: Forgets,
        bindings: &[NewBinding],
        open: &mut Vec<usize>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        while !open.is_empty() {
            let start = open.len().saturating_sub(BATCH_SIZE);
            let batch = open.split_off(start);
            let mut parts = Vec::with_capacity(batch.len());
            for new in batch.iter().filter_map(|place| bindings.get(*place)) {
                let entries = self.three_entries(new.entity, &new.binding, unbound(), None)?;
                parts.push(entries.into());
            }
            match self.write_together(scope, seen, parts).await? {
                Together::Done => {
                    for place in batch {
                        answer(answers, place, Bound::Done);
                    }
                }
                Together::Forgotten => {
                    open.extend(batch);
                    return Ok(false);
                }
                Together::Refused(refused) => {
                    let rest = batch.into_iter().zip(refused);
                    open.extend(rest.filter_map(|(place, refused)| (!refused).then_some(place)));
                }
            }
        }
        Ok(true)
    }
}

fn answer(answers: &mut Answers, place: usize, bound: Bound) {
    if let Some(answer) = answers.get_mut(place) {
        *answer = Some(bound);
    }
}

/// The places of bindings that can be made together, by scope, and of those that share an entry with an earlier one: a
/// transaction with two writes of one item is invalid.
fn batches(bindings: &[NewBinding]) -> (HashMap<Scope, Vec<usize>>, Vec<usize>) {
    let mut batches: HashMap<Scope, Vec<usize>> = HashMap::new();
    let (mut twice, mut keys) = (Vec::new(), HashSet::new());
    for (place, new) in bindings.iter().enumerate() {
        let EntityRef { kind, scope, .. } = new.entity;
        let entries = [
            entity_key(new.entity),
            code_key(kind, scope, &new.binding.code),
            record_key(scope, &new.binding.erp_id),
        ];
        if entries.iter().any(|key| keys.contains(key)) {
            twice.push(place);
        } else {
            keys.extend(entries);
            batches.entry(scope).or_default().push(place);
        }
    }
    (batches, twice)
}
