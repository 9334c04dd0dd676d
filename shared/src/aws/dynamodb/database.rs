//! The client of DynamoDB that all stores of a process share, so that their concurrent reads become one request.

use std::{collections::HashMap, fmt};

use aws_sdk_dynamodb::{Client, types::KeysAndAttributes};
use aws_types::SdkConfig;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    conflicts::ATTEMPTS,
    item::{Item, KEY, text},
};
use crate::{
    Consistency,
    aws::{LazyClient, explain, pause},
    gather::Gather,
};

/// Maximum number of keys in one batched read: DynamoDB's limit.
pub const READ_BATCH_SIZE: usize = 100;

/// Concurrent requests of one read.
pub(super) const REQUEST_CONCURRENCY: usize = 4;

/// The name of a table, and the key of an item in it.
pub(super) type ItemKey = (String, String);

/// The items that exist, or why they could not be read.
type Items = Result<HashMap<ItemKey, Item>, String>;

/// DynamoDB. The stores of a process share one, so that their concurrent reads become one request.
#[derive(Clone)]
pub struct Database {
    pub(super) client: LazyClient<Client>,
    pub(super) reads: Gather<(), ItemKey, Item, String>,
}

impl Database {
    /// DynamoDB with a configuration of the SDK.
    pub fn new(config: &SdkConfig) -> Self {
        let client = LazyClient::new(config, Client::new);
        let reader = client.clone();
        let read = move |(), keys| read_each(reader.clone(), keys);
        // A table that may not be read, or that throttles, fails all keys.
        let reads = Gather::new(read, |_| true);
        Self { client, reads }
    }
}

impl From<&SdkConfig> for Database {
    fn from(config: &SdkConfig) -> Self {
        Self::new(config)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Database")
    }
}

/// Reads items of any tables, strongly consistently and by as few requests as possible.
async fn read_each(client: LazyClient<Client>, keys: Vec<ItemKey>) -> Items {
    let requests: Vec<_> = keys
        .chunks(READ_BATCH_SIZE)
        .map(|keys| read_any(&client, keys))
        .collect();
    stream::iter(requests)
        .buffered(REQUEST_CONCURRENCY)
        .try_concat()
        .await
}

async fn read_any(client: &Client, keys: &[ItemKey]) -> Items {
    let mut by_table: HashMap<&str, Vec<&str>> = HashMap::new();
    for (table, key) in keys {
        by_table.entry(table).or_default().push(key);
    }
    let found = read_batch(client, by_table, Consistency::Strong).await?;
    let mut items = HashMap::with_capacity(keys.len());
    for (table, of_table) in found {
        for item in of_table {
            if let Some(key) = key_of(&item) {
                items.insert((table.clone(), key.to_owned()), item);
            }
        }
    }
    Ok(items)
}

/// The key of an item.
pub(super) fn key_of(item: &Item) -> Option<&str> {
    item.get(KEY)?.as_s().ok().map(String::as_str)
}

/// Reads up to [`READ_BATCH_SIZE`] items by their tables and distinct keys. Returns those that exist by their tables, in no
/// particular order.
pub(super) async fn read_batch(
    client: &Client,
    keys: impl IntoIterator<Item = (&str, Vec<&str>)>,
    consistency: Consistency,
) -> Result<HashMap<String, Vec<Item>>, String> {
    let key = |key| Item::from([(KEY.to_owned(), text(key))]);
    let mut wanted = HashMap::new();
    for (table, keys) in keys {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(keys.into_iter().map(key).collect()))
            .consistent_read(consistency == Consistency::Strong)
            .build()
            .map_err(|error| error.to_string())?;
        wanted.insert(table.to_owned(), keys);
    }
    let mut found: HashMap<String, Vec<Item>> = HashMap::new();
    for attempt in 1..=ATTEMPTS {
        let answer = client
            .batch_get_item()
            .set_request_items(Some(wanted))
            .send()
            .await
            .map_err(|error| explain(&error))?;
        for (table, items) in answer.responses.into_iter().flatten() {
            found.entry(table).or_default().extend(items);
        }
        match answer.unprocessed_keys {
            Some(rest) if !rest.is_empty() => wanted = rest,
            _ => return Ok(found),
        }
        pause(attempt).await;
    }
    Err(format!(
        "a read was answered in part only, {ATTEMPTS} times"
    ))
}
