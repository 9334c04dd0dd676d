//! Items in the table of the code mappings:
//!
//! | `pk` | holds |
//! |---|---|
//! | `key#<HMAC of scope and key>` | `holders`, a set of `customer:5d11…`; `crowded` |
//! | `indexed#client#customer#5d11…` | `keys`, the set of the hashes under which the record is listed; `digest` |
//! | `coverage#client#company` | `whole_at` and `until`, as texts that sort as the times do |
//!
//! A record's entry and its keys change in one transaction, on condition that the entry is as it was read and that the
//! record is not forgotten. The transaction that writes the tombstone removes both.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Coverage, Holders, KeyIndex, RecordKeys, holder,
    items::{CROWDED, DIGEST, HOLDERS, KEYS, enter, entry_item, entry_key, set},
};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Expression, Item, Write, Written, number, text},
    domain::{EntityKind, ErpId, Fingerprint, Resource, Scope},
    erp::NaturalKey,
    mappings::DynamoDbMappings,
};

/// Attempts to write an entry that, or a list of holders that, changed meanwhile. A pass and an event may write one record
/// at the same time, and several records one key.
const ATTEMPTS: u32 = 8;

fn coverage_key(scope: Scope, kind: EntityKind) -> String {
    format!("coverage#{scope}#{kind}")
}

fn set_of(item: &Item, name: &str) -> BTreeSet<String> {
    match item.get(name) {
        Some(AttributeValue::Ss(members)) => members.iter().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

fn record_of(holder: &str) -> Option<ErpId> {
    let (resource, id) = holder.split_once(':')?;
    let resource = match resource {
        "customer" => Resource::Customer,
        "contact" => Resource::Contact,
        _ => return None,
    };
    Some(ErpId {
        resource,
        id: id.to_owned(),
    })
}

fn time(item: &Item, name: &str) -> Option<DateTime<Utc>> {
    item.get(name)?.as_s().ok()?.parse().ok()
}

/// A time with a fixed number of digits, so that texts compare like times.
fn sortable(time: DateTime<Utc>) -> AttributeValue {
    text(time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// The entry of a record is as it was read.
fn entry_is(keys: &BTreeSet<String>) -> Expression {
    if keys.is_empty() {
        return Expression::nothing_there();
    }
    Expression::new("#keys = :seen")
        .name(KEYS)
        .value("seen", set(keys.iter().cloned()))
}

/// A condition on a transaction: the index entry of a record is unchanged.
pub(crate) fn still_listed(scope: Scope, record: &ErpId, digest: AttributeValue) -> Write {
    let unchanged = Expression::new("#digest = :digest")
        .name(DIGEST)
        .value("digest", digest);
    Write::check(entry_key(scope, record), unchanged)
}

impl DynamoDbMappings {
    /// The digest of the keys under which a record is indexed.
    pub(crate) async fn listed(
        &self,
        scope: Scope,
        record: &ErpId,
    ) -> Result<Option<AttributeValue>, StoreError> {
        let entry = self.table.get(&entry_key(scope, record)).await?;
        Ok(entry.and_then(|mut entry| entry.remove(DIGEST)))
    }

    /// The writes that remove a record from the lists of these keys, and lists that would be empty.
    async fn leave(
        &self,
        record: &ErpId,
        keys: &BTreeSet<String>,
    ) -> Result<Vec<Write>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let lists = self.table.get_all(&names).await?;
        let me = holder(record);
        let writes = keys.iter().filter_map(|key| {
            let list = lists.get(key)?;
            let holders = set_of(list, HOLDERS);
            if !holders.contains(&me) {
                return None;
            }
            let is_last = holders.len() == 1 && !list.contains_key(CROWDED);
            Some(if is_last {
                let alone = Expression::new("#holders = :me AND attribute_not_exists(#crowded)")
                    .name(HOLDERS)
                    .name(CROWDED)
                    .value("me", set([me.clone()]));
                Write::delete(key.clone()).provided(alone)
            } else {
                let not_last =
                    Expression::new("size(#holders) > :one OR attribute_exists(#crowded)")
                        .name(CROWDED)
                        .value("one", number(1));
                let change = Expression::new("DELETE #holders :me")
                    .name(HOLDERS)
                    .value("me", set([me.clone()]));
                Write::update(key.clone(), change).provided(not_last)
            })
        });
        Ok(writes.collect())
    }

    /// The writes that remove a record from the index, on condition that its entry is as it was read.
    pub(crate) async fn unlist(
        &self,
        scope: Scope,
        record: &ErpId,
    ) -> Result<Vec<Write>, StoreError> {
        let name = entry_key(scope, record);
        let entry = self.table.get(&name).await?;
        let Some(entry) = entry else {
            return Ok(vec![Write::absent(name)]);
        };
        let keys = set_of(&entry, KEYS);
        let mut writes = self.leave(record, &keys).await?;
        writes.push(Write::delete(name).provided(entry_is(&keys)));
        Ok(writes)
    }
}

#[async_trait]
impl KeyIndex for DynamoDbMappings {
    async fn holders(
        &self,
        scope: Scope,
        keys: &[NaturalKey],
        consistency: Consistency,
    ) -> Result<Vec<Holders>, StoreError> {
        let names = keys.iter().map(|key| self.key_of(scope, key));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let items = self.table.get_many(names, consistency).await;
        let items = items?.into_iter();
        Ok(items
            .map(|item| {
                let item = item.unwrap_or_default();
                let holders = set_of(&item, HOLDERS);
                Holders {
                    records: holders.iter().filter_map(|it| record_of(it)).collect(),
                    crowded: item.contains_key(CROWDED),
                }
            })
            .collect())
    }

    async fn entries(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<Fingerprint>>, StoreError> {
        let names = records.iter().map(|record| entry_key(scope, record));
        let items = self.table.get_many(names.collect(), consistency).await;
        let items = items?.into_iter();
        Ok(items
            .map(|item| {
                let digest = item?.remove(DIGEST)?;
                let digest = digest.as_s().ok()?.clone();
                Some(Fingerprint::from(digest))
            })
            .collect())
    }

    async fn set(&self, scope: Scope, record: &ErpId, keys: &RecordKeys) -> Result<(), StoreError> {
        let me = holder(record);
        let names = keys.keys.iter().map(|key| self.key_of(scope, key));
        let names: BTreeSet<String> = names.collect::<Result<_, _>>()?;
        let (entry_name, mapped_name) = (
            entry_key(scope, record),
            crate::mappings::record_key(scope, record),
        );
        let tombstone = self.record_tombstone(scope, record)?;
        let mut full: BTreeSet<String> = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let all = [entry_name.as_str(), &mapped_name, &tombstone];
            let found: HashMap<String, Item> = self.table.get_all(&all).await?;
            let listed = found.get(&entry_name);
            let listed = listed.map(|entry| set_of(entry, KEYS)).unwrap_or_default();
            let is_forgotten = found.contains_key(&tombstone);
            let wanted = if is_forgotten {
                BTreeSet::new()
            } else {
                names.clone()
            };
            let digest = text(keys.digest.as_str());
            // The mapping's entry of a bound record, or of one whose insert is announced.
            let mapped = found.get(&mapped_name);
            let mapped = mapped.filter(|mapped| mapped.get("indexed") != Some(&digest));
            if listed == wanted && mapped.is_none() {
                return Ok(());
            }
            let removed: BTreeSet<String> = listed.difference(&wanted).cloned().collect();
            let mut writes = self.leave(record, &removed).await?;
            let before = writes.len();
            let added: Vec<&String> = wanted.difference(&listed).collect();
            for name in &added {
                writes.push(enter(name, &me, full.contains(*name)));
            }
            let entry = if wanted.is_empty() {
                Write::delete(entry_name.clone())
            } else {
                Write::put(entry_name.clone(), entry_item(&wanted, digest.clone()))
            };
            writes.push(entry.provided(entry_is(&listed)));
            if !is_forgotten {
                let nothing_there = Expression::nothing_there();
                writes.push(Write::check(tombstone.clone(), nothing_there));
            }
            if mapped.is_some() {
                let change = Expression::assign([("indexed", Some(digest))]);
                let there = Expression::new("attribute_exists(#code)").name("code");
                writes.push(Write::update(mapped_name.clone(), change).provided(there));
            }
            match self.table.write(writes).await? {
                Written::Done => return Ok(()),
                Written::Refused(refusals) => {
                    let refused = added.iter().enumerate();
                    let refused = refused.filter(|(place, _)| refusals.has(before + place));
                    full.extend(refused.map(|(_, name)| (*name).clone()));
                }
            }
        }
        Err(self.table.error(format_args!(
            "the index entry of ERP record {record} changed {ATTEMPTS} times in a row"
        )))
    }

    async fn set_many(
        &self,
        scope: Scope,
        records: &[(ErpId, RecordKeys)],
    ) -> Result<(), StoreError> {
        self.list_all(scope, records).await
    }

    async fn coverage(
        &self,
        scope: Scope,
        kind: EntityKind,
    ) -> Result<Option<Coverage>, StoreError> {
        let item = self.table.get(&coverage_key(scope, kind)).await;
        Ok(item?.and_then(|item| {
            Some(Coverage {
                whole_at: time(&item, "whole_at")?,
                until: time(&item, "until")?,
            })
        }))
    }

    async fn cover(
        &self,
        scope: Scope,
        kind: EntityKind,
        since: Option<DateTime<Utc>>,
        until: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let whole_at = since.is_none().then(|| sortable(until));
        let mut change = vec![("until", Some(sortable(until)))];
        change.extend(whole_at.map(|at| ("whole_at", Some(at))));
        let condition = match since {
            None => Expression::new("attribute_not_exists(#until) OR #until <= :until"),
            Some(since) => Expression::new("#until >= :since AND #until <= :until")
                .value("since", sortable(since)),
        };
        let change = Expression::assign(change);
        self.table
            .update_if(&coverage_key(scope, kind), change, condition)
            .await?;
        Ok(())
    }
}
