//! Many records listed in a few transactions.
//!
//! A single record takes a read of three items and a transaction of its keys, its entry, the check of its tombstone, and its
//! mapping. Records that are listed together share one check for all of their tombstones
//! ([`DynamoDbMappings`](crate::mappings::DynamoDbMappings)), and each costs its keys and its entry. A record that has an
//! entry already is refused and listed alone, so that its mapping cannot become outdated.

use std::collections::{BTreeSet, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    KeyIndex, RecordKeys, holder,
    items::{enter, entry_item, entry_key},
};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Expression, MAX_TRANSACTION_ITEMS, Write, text},
    domain::{ErpId, Scope},
    mappings::{DynamoDbMappings, dynamodb::forget_count::Together},
};

/// Attempts while customers are forgotten meanwhile. What is left then is listed one by one.
const ATTEMPTS: u32 = 5;
/// Concurrent listings of single records: each takes two requests of some ten milliseconds.
const SINGLE_CONCURRENCY: usize = 16;

/// A record to be listed.
struct Unlisted<'a> {
    record: &'a ErpId,
    keys: &'a RecordKeys,
    names: BTreeSet<String>,
}

impl Unlisted<'_> {
    /// The writes that list the record, if it has no entry.
    fn writes(&self, scope: Scope) -> Vec<Write> {
        let me = holder(self.record);
        let lists = self.names.iter().map(|name| enter(name, &me, false));
        let item = entry_item(&self.names, text(self.keys.digest.as_str()));
        let entry = Write::put(entry_key(scope, self.record), item);
        lists
            .chain([entry.provided(Expression::nothing_there())])
            .collect()
    }
}

impl DynamoDbMappings {
    /// Lists many records.
    pub(super) async fn list_all(
        &self,
        scope: Scope,
        records: &[(ErpId, RecordKeys)],
    ) -> Result<(), StoreError> {
        let (mut open, mut alone) = (Vec::new(), Vec::new());
        for (record, keys) in records {
            let names = keys.keys.iter().map(|key| self.key_of(scope, key));
            let names: BTreeSet<String> = names.collect::<Result<_, _>>()?;
            let unlisted = Unlisted {
                record,
                keys,
                names,
            };
            if unlisted.names.is_empty() {
                alone.push(unlisted);
            } else {
                open.push(unlisted);
            }
        }
        // A single record gains nothing, and would only conflict with others.
        if open.len() > 1 {
            self.list_together(scope, &mut open, &mut alone).await?;
        }
        let singles = open.into_iter().chain(alone);
        let singles: Vec<_> = singles
            .map(|unlisted| self.set(scope, unlisted.record, unlisted.keys))
            .collect();
        stream::iter(singles)
            .buffer_unordered(SINGLE_CONCURRENCY)
            .try_collect::<()>()
            .await
    }

    /// Lists what is not refused. What has to be listed alone is moved to `alone`, or stays in `open`.
    async fn list_together<'a>(
        &self,
        scope: Scope,
        open: &mut Vec<Unlisted<'a>>,
        alone: &mut Vec<Unlisted<'a>>,
    ) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(seen) = self.settled_forgets(scope).await? else {
                return Ok(());
            };
            if !seen.is_none() {
                let tombstones = open
                    .iter()
                    .map(|unlisted| self.record_tombstone(scope, unlisted.record));
                let tombstones = tombstones.collect::<Result<Vec<_>, _>>()?;
                let found = self.table.get_many(tombstones, Consistency::Strong).await?;
                // The record of a forgotten customer loses what it may still have.
                let mut forgotten = found.into_iter().map(|tombstone| tombstone.is_some());
                alone.extend(open.extract_if(.., |_| forgotten.next().unwrap_or(true)));
            }
            let mut is_unchanged = true;
            while is_unchanged && !open.is_empty() {
                let batch = take_batch(open, alone);
                let parts = batch.iter().map(|unlisted| unlisted.writes(scope));
                match self.write_together(scope, seen, parts.collect()).await? {
                    Together::Done => {}
                    Together::Forgotten => {
                        open.extend(batch);
                        is_unchanged = false;
                    }
                    Together::Refused(refused) => {
                        for (unlisted, refused) in batch.into_iter().zip(refused) {
                            let to = if refused { &mut *alone } else { &mut *open };
                            to.push(unlisted);
                        }
                    }
                }
            }
            if is_unchanged {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The next records of a transaction. A record that shares a key or an entry with an earlier one of it is listed by itself: a
/// transaction with two writes of one item is invalid.
fn take_batch<'a>(
    open: &mut Vec<Unlisted<'a>>,
    alone: &mut Vec<Unlisted<'a>>,
) -> Vec<Unlisted<'a>> {
    let (mut batch, mut items) = (Vec::new(), 1);
    let (mut names, mut records) = (HashSet::new(), HashSet::new());
    while let Some(unlisted) = open.last() {
        let count = unlisted.names.len() + 1;
        if items + count > MAX_TRANSACTION_ITEMS {
            break;
        }
        let Some(unlisted) = open.pop() else { break };
        let is_shared = unlisted.names.iter().any(|name| names.contains(name));
        if is_shared || !records.insert(unlisted.record) {
            alone.push(unlisted);
            continue;
        }
        names.extend(unlisted.names.iter().cloned());
        items += count;
        batch.push(unlisted);
    }
    batch
}
