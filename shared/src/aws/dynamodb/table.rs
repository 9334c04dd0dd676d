//! A table, and what is read and written in it.

use std::{collections::HashMap, fmt::Display};

use aws_sdk_dynamodb::{
    operation::{
        transact_write_items::TransactWriteItemsError,
        update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    },
    types::{AttributeValue, ReturnValue, TransactWriteItem},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    conflicts::{ATTEMPTS, Refusals, Verdict, codes, until_undisturbed, verdict},
    database::{Database, ItemKey, READ_BATCH_SIZE, REQUEST_CONCURRENCY, key_of, read_batch},
    expression::{Action, Expression, Write},
    item::{self, Item, KEY, text},
    single,
};
use crate::{
    Consistency, StoreError,
    aws::{explain, pause},
};

/// Maximum number of items in a transaction (Amazon DynamoDB API Reference, "TransactWriteItems"). Its other limit is 4 MB.
pub(crate) const MAX_TRANSACTION_ITEMS: usize = 100;

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(super) database: Database,
    pub(super) name: String,
    /// The name of the store in errors.
    store: &'static str,
}

/// The outcome of writes.
pub(crate) enum Written {
    /// Everything is written.
    Done,
    /// Nothing is written: some conditions did not hold.
    Refused(Refusals),
}

impl Table {
    /// A table by its name, and the store that it holds, such as `owed records`.
    pub(crate) fn new(
        database: impl Into<Database>,
        name: impl Into<String>,
        store: &'static str,
    ) -> Self {
        Self {
            database: database.into(),
            name: name.into(),
            store,
        }
    }

    /// An error of the store.
    pub(crate) fn error(&self, reason: impl Display) -> StoreError {
        StoreError::new(self.store, reason)
    }

    /// A value as an attribute.
    pub(crate) fn to_attribute(&self, value: impl Serialize) -> Result<AttributeValue, StoreError> {
        item::attribute(value).map_err(|error| self.error(error))
    }

    /// The attributes of a struct, without absent values.
    pub(crate) fn to_item(&self, value: &impl Serialize) -> Result<Item, StoreError> {
        item::to_item(value).map_err(|error| self.error(error))
    }

    /// The struct in an item. `record` names it in an error, which does not quote the item.
    pub(crate) fn read_item<T: DeserializeOwned>(
        &self,
        item: Item,
        record: &str,
    ) -> Result<T, StoreError> {
        item::from_item(item, record).map_err(|error| self.error(error))
    }

    /// The item with this key, by a consistent read.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        Ok(self.get_all(&[key]).await?.remove(key))
    }

    /// The existing items with these keys, by key and by a consistent read, combined with the other reads of the process.
    pub(crate) async fn get_all(&self, keys: &[&str]) -> Result<HashMap<String, Item>, StoreError> {
        let keys: Vec<ItemKey> = keys.iter().map(|key| self.item_key(key)).collect();
        let found = self.database.reads.call((), keys.clone()).await;
        let found = found.map_err(|reason| self.error(reason))?;
        let items = keys.into_iter().filter_map(|key| {
            let item = found.get(&key)?.clone();
            Some((key.1, item))
        });
        Ok(items.collect())
    }

    fn item_key(&self, key: &str) -> ItemKey {
        (self.name.clone(), key.to_owned())
    }

    async fn read(
        &self,
        keys: &[&str],
        consistency: Consistency,
    ) -> Result<HashMap<String, Item>, StoreError> {
        let keys = [(self.name.as_str(), keys.to_vec())];
        let found = read_batch(&self.database.client, keys, consistency).await;
        let items = found.map_err(|reason| self.error(reason))?;
        let with_key = |item: Item| Some((key_of(&item)?.to_owned(), item));
        let items = items.into_values().flatten().filter_map(with_key);
        Ok(items.collect())
    }

    /// All items, by strongly consistent reads. For small tables.
    pub(crate) async fn scan(&self) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        self.for_each("", |item| {
            items.push(item);
            Ok(())
        })
        .await?;
        Ok(items)
    }

    /// A page of the table, 1 MB at most, starting after a key, and the key after which the next page starts.
    pub(crate) async fn scan_page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let from = after.map(|after| HashMap::from([(KEY.to_owned(), text(after))]));
        let page = self
            .database
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(consistency == Consistency::Strong)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| self.error(explain(&error)))?;
        let next = page.last_evaluated_key.and_then(|mut key| {
            let key = key.remove(KEY)?;
            key.as_s().ok().cloned()
        });
        Ok((page.items.unwrap_or_default(), next))
    }

    /// Passes every item whose key has this prefix to `work`, by consistent reads of the whole table. Only one page is in
    /// memory at a time.
    pub(crate) async fn for_each(
        &self,
        prefix: &str,
        mut work: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.scan_page(after.as_deref(), Consistency::Strong);
            let (page, next) = page.await?;
            for item in page {
                let key = item.get(KEY).and_then(|key| key.as_s().ok());
                if key.is_some_and(|key| key.starts_with(prefix)) {
                    work(item)?;
                }
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A request that changes attributes.
    pub(super) fn update_item(&self, key: &str, change: &Expression) -> UpdateItemFluentBuilder {
        self.database
            .client
            .update_item()
            .table_name(&self.name)
            .key(KEY, text(key))
            .set_expression_attribute_names(change.names())
            .set_expression_attribute_values(change.values())
            .update_expression(&change.text)
    }

    /// Changes attributes if a condition holds; otherwise `false`. Only for changes that do not break their own condition:
    /// it is evaluated again when the SDK repeats the request after a lost answer.
    pub(crate) async fn update_if(
        &self,
        key: &str,
        change: Expression,
        condition: Expression,
    ) -> Result<bool, StoreError> {
        let required = condition.text.clone();
        let change = change.declaring(condition);
        let call = || {
            let update = self.update_item(key, &change);
            update.condition_expression(&required).send()
        };
        match until_undisturbed(call).await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.error(explain(&error))),
        }
    }

    /// Changes attributes, and creates the item if it does not exist. Only for changes that may happen twice: the SDK repeats
    /// the request after a lost answer.
    pub(crate) async fn update(&self, key: &str, change: Expression) -> Result<(), StoreError> {
        let call = || self.update_item(key, &change).send();
        let outcome = until_undisturbed(call).await;
        outcome.map_err(|error| self.error(explain(&error)))?;
        Ok(())
    }

    /// The items with these keys, in their order. Each request reads at most [`READ_BATCH_SIZE`] keys, several at the same time.
    pub(crate) async fn get_many(
        &self,
        keys: Vec<String>,
        consistency: Consistency,
    ) -> Result<Vec<Option<Item>>, StoreError> {
        // A request with a duplicate key is refused.
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
        let mut unique: Vec<&str> = Vec::with_capacity(keys.len());
        let order: Vec<usize> = keys
            .iter()
            .map(|key| {
                *places.entry(key).or_insert_with(|| {
                    unique.push(key);
                    unique.len() - 1
                })
            })
            .collect();
        let requests: Vec<_> = unique
            .chunks(READ_BATCH_SIZE)
            .map(|keys| self.read(keys, consistency))
            .collect();
        let found: Vec<HashMap<String, Item>> = stream::iter(requests)
            .buffered(REQUEST_CONCURRENCY)
            .try_collect()
            .await?;
        let mut items: Vec<Option<Item>> = unique
            .chunks(READ_BATCH_SIZE)
            .zip(found)
            .flat_map(|(keys, mut found)| keys.iter().map(move |key| found.remove(*key)))
            .collect();
        if unique.len() == keys.len() {
            return Ok(items);
        }
        let mut last: Vec<Option<usize>> = vec![None; items.len()];
        for (place, index) in order.iter().enumerate() {
            if let Some(last) = last.get_mut(*index) {
                *last = Some(place);
            }
        }
        Ok(order
            .into_iter()
            .enumerate()
            .map(|(place, index)| {
                let is_last = last.get(index).copied().flatten() == Some(place);
                let item = items.get_mut(index)?;
                if is_last { item.take() } else { item.clone() }
            })
            .collect())
    }

    /// Deletes an item; `true` if it existed.
    pub(crate) async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        let call = || {
            self.database
                .client
                .delete_item()
                .table_name(&self.name)
                .key(KEY, text(key))
                .return_values(ReturnValue::AllOld)
                .send()
        };
        let outcome = until_undisturbed(call).await;
        let answer = outcome.map_err(|error| self.error(explain(&error)))?;
        Ok(answer.attributes.is_some_and(|item| !item.is_empty()))
    }

    /// Writes all or nothing; `false` if some conditions did not hold.
    pub(crate) async fn write_if(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<bool, StoreError> {
        let written = self.write(writes).await?;
        Ok(matches!(written, Written::Done))
    }

    /// Writes all or nothing. Retries with short pauses while another transaction is writing the same items.
    pub(crate) async fn write(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<Written, StoreError> {
        let writes: Vec<Write> = writes.into_iter().collect();
        let (client, table) = (&self.database.client, &self.name);
        let refused = match <[Write; 1]>::try_from(writes) {
            Ok(
                [
                    Write {
                        key,
                        action: Action::Put(item),
                        condition,
                    },
                ],
            ) => single::put(client, table, key, item, &condition).await,
            Ok(
                [
                    Write {
                        key,
                        action: Action::Delete,
                        condition,
                    },
                ],
            ) => single::delete(client, table, &key, &condition).await,
            Ok(writes) => return self.transact(writes.into()).await,
            Err(writes) => return self.transact(writes).await,
        };
        let refused = refused.map_err(|reason| self.error(reason))?;
        Ok(refused.map_or(Written::Done, |there| {
            Written::Refused(Refusals::of_one(there))
        }))
    }

    async fn transact(&self, writes: Vec<Write>) -> Result<Written, StoreError> {
        let requests: Vec<TransactWriteItem> = writes
            .into_iter()
            .map(|write| write.into_request(&self.name))
            .collect::<Result<_, _>>()
            .map_err(|error| self.error(error))?;
        let mut attempt = 1;
        loop {
            // The SDK gives every attempt its own request token: a cancelled transaction has certainly written nothing.
            let outcome = self
                .database
                .client
                .transact_write_items()
                .set_transact_items(Some(requests.clone()))
                .send()
                .await;
            let error = match outcome {
                Ok(_) => return Ok(Written::Done),
                Err(error) => error,
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    cancelled.cancellation_reasons()
                }
                _ => return Err(self.error(explain(&error))),
            };
            match verdict(reasons) {
                Verdict::Refused(refusals) => return Ok(Written::Refused(refusals)),
                Verdict::Again if attempt < ATTEMPTS => pause(attempt).await,
                Verdict::Again | Verdict::Failed => {
                    return Err(self.error(format_args!("{} ({attempt} attempts)", codes(reasons))));
                }
            }
            attempt += 1;
        }
    }
}
