//! Lists that are spread over several items.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata, operation::update_item::UpdateItemError, types::AttributeValue,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    conflicts::until_undisturbed,
    expression::Expression,
    item::{EXPIRES_AT, number},
    table::Table,
};
use crate::{StoreError, aws::explain};

/// Items over which the entries of a list are spread ([`Table::add_entry`]). A list holds some 17,000 entries of 350 bytes,
/// one request reads it, and a write costs a sixteenth of a write to a single item.
const SHARDS: usize = 16;
/// Entries that one update removes: with their conditions, less than half of the 4 KB limit of an expression.
const REMOVAL_BATCH_SIZE: usize = 50;

impl Table {
    /// Adds an entry to the list with this key, or replaces the one with the same name. `false` if the list is full.
    ///
    /// The entries are attributes of [`SHARDS`] items, because an item has at most 400 KB and the table has no sort key. An
    /// item expires with its latest entry.
    pub(crate) async fn add_entry(
        &self,
        list: &str,
        name: &str,
        value: AttributeValue,
        expires_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let change = Expression::new("SET #entry = :entry, #expires_at = :expires_at")
            .rename("entry", name)
            .name(EXPIRES_AT)
            .value("entry", value)
            .value(EXPIRES_AT, number(expires_at.timestamp()));
        let shard = shard_of(list, name);
        let call = || self.update_item(&shard, &change).send();
        match until_undisturbed(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(is_item_full) => Ok(false),
            Err(error) => Err(self.error(explain(&error))),
        }
    }

    /// The entries of a list whose names have this prefix, by name. Earlier versions kept a list in a single item with the
    /// list's own key, which is read as well.
    pub(crate) async fn entries(
        &self,
        list: &str,
        prefix: &str,
    ) -> Result<BTreeMap<String, AttributeValue>, StoreError> {
        let shards: Vec<String> = (0..SHARDS).map(|shard| shard_key(list, shard)).collect();
        let mut keys = vec![list];
        keys.extend(shards.iter().map(String::as_str));
        let mut items = self.get_all(&keys).await?;
        // An entry in a shard is newer than one with the same name in the single item.
        let items = keys.iter().filter_map(|key| items.remove(*key));
        let entries = items.flatten().filter(|(name, _)| name.starts_with(prefix));
        Ok(entries.collect())
    }

    /// Removes entries from a list; an entry with a value only if it still has that value. A list that is still a single item
    /// without an expiry gets this one.
    pub(crate) async fn remove_entries(
        &self,
        list: &str,
        entries: Vec<(String, Option<AttributeValue>)>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let mut shards: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for entry in entries {
            let shard = shard_of(list, &entry.0);
            shards.entry(shard).or_default().push(entry);
        }
        for (shard, entries) in shards {
            for entries in entries.chunks(REMOVAL_BATCH_SIZE) {
                if self.remove_from(&shard, entries, None).await? {
                    continue;
                }
                // Some of them are removed already, have changed, or are in the single item.
                for entry in entries.chunks(1) {
                    if !self.remove_from(&shard, entry, None).await? {
                        self.remove_from(list, entry, expires_at).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes entries from an item if all of them are there.
    async fn remove_from(
        &self,
        item: &str,
        entries: &[(String, Option<AttributeValue>)],
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        let (mut change, mut condition) = (Expression::default(), Expression::default());
        let (mut removed, mut conditions) = (Vec::new(), Vec::new());
        for (number, (name, value)) in entries.iter().enumerate() {
            let alias = format!("entry{number}");
            removed.push(format!("#{alias}"));
            change = change.rename(&alias, name);
            conditions.push(match value {
                Some(value) => {
                    condition = condition.value(&alias, value.clone());
                    format!("#{alias} = :{alias}")
                }
                None => format!("attribute_exists(#{alias})"),
            });
        }
        change.text = format!("REMOVE {}", removed.join(", "));
        condition.text = conditions.join(" AND ");
        if let Some(at) = expires_at {
            change.text = format!(
                "SET #{EXPIRES_AT} = if_not_exists(#{EXPIRES_AT}, :{EXPIRES_AT}) {}",
                change.text
            );
            change = change
                .name(EXPIRES_AT)
                .value(EXPIRES_AT, number(at.timestamp()));
        }
        self.update_if(item, change, condition).await
    }
}

fn shard_key(list: &str, shard: usize) -> String {
    format!("{list}#{shard}")
}

/// The item that holds the entry with this name. The hash determines stored keys, so it must never change.
fn shard_of(list: &str, name: &str) -> String {
    let [first, ..] = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).into_bytes();
    shard_key(list, usize::from(first) % SHARDS)
}

/// Whether an update was refused because the item would exceed 400 KB: "Item size to update has exceeded the maximum
/// allowed size". The error has no code of its own.
fn is_item_full(error: &UpdateItemError) -> bool {
    error.code() == Some("ValidationException")
        && error
            .message()
            .is_some_and(|message| message.contains("exceeded the maximum allowed size"))
}
