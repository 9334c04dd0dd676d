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
    item::{EXPIRES_AT, KEY, number, text},
    table::Table,
};
use crate::{StoreError, aws::explain};

/// Items over which the entries of a list are spread ([`Table::add_entry`]). With it a list holds some 17,000 entries of
/// 350 bytes, is read in one request, and a write costs a sixteenth of what it would on a single item.
const SHARDS: usize = 16;
/// Entries that one update removes: with their conditions, less than half of the 4 KB that an expression may have.
const REMOVED_AT_ONCE: usize = 50;

impl Table {
    /// Puts an entry into the list with this key, in the place of an earlier one with the same name. `false`: there are so
    /// many entries that it does not fit.
    ///
    /// The list is attributes of [`SHARDS`] items, because one item has at most 400 KB and the table has no sort key. An
    /// item goes when its latest entry has expired.
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
        let call = || {
            self.client
                .update_item()
                .table_name(&self.name)
                .key(KEY, text(shard_of(list, name)))
                .set_expression_attribute_names(change.names())
                .set_expression_attribute_values(change.values())
                .update_expression(&change.text)
                .send()
        };
        match until_undisturbed(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(is_item_full) => Ok(false),
            Err(error) => Err(self.error(explain(&error))),
        }
    }

    /// The entries of a list whose names begin like this, by name. Earlier versions kept a list in a single item under the
    /// list's own key; its entries are read as well.
    pub(crate) async fn entries(
        &self,
        list: &str,
        prefix: &str,
    ) -> Result<BTreeMap<String, AttributeValue>, StoreError> {
        let shards: Vec<String> = (0..SHARDS).map(|shard| shard_key(list, shard)).collect();
        let mut keys = vec![list];
        keys.extend(shards.iter().map(String::as_str));
        let mut items = self.get_all(&keys).await?;
        // What is in a shard is newer than what the single item holds under the same name.
        let items = keys.iter().filter_map(|key| items.remove(*key));
        let entries = items.flatten().filter(|(name, _)| name.starts_with(prefix));
        Ok(entries.collect())
    }

    /// Removes entries of a list; one with a value only as long as it has that value. Where a list is still a single item
    /// without an expiry, it gets this one.
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
            for entries in entries.chunks(REMOVED_AT_ONCE) {
                if self.remove_from(&shard, entries, None).await? {
                    continue;
                }
                // Some of them are gone already, or have changed, or are in the single item.
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

/// The item that holds the entry with this name, the same for ever: the hash is one that is stored, not the process's.
fn shard_of(list: &str, name: &str) -> String {
    let [first, ..] = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).into_bytes();
    shard_key(list, usize::from(first) % SHARDS)
}

/// Whether an update was refused because the item would have more than 400 KB: "Item size to update has exceeded the
/// maximum allowed size". There is no code of its own for it.
fn is_item_full(error: &UpdateItemError) -> bool {
    error.code() == Some("ValidationException")
        && error
            .message()
            .is_some_and(|message| message.contains("exceeded the maximum allowed size"))
}
