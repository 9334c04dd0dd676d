//! What the stores on DynamoDB have in common: a table with the partition key `pk`, items made of serde values, and
//! conditional writes.
//!
//! A conditional write is a transaction, also of one item: a repeat by the SDK after a lost answer carries the same
//! request token, so that it reports the first attempt's success instead of tripping over its own condition. Only a
//! change whose repeat meets the same condition again does without ([`Table::update_if`]): it costs half.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    config::http::HttpResponse,
    error::BuildError,
    error::{ProvideErrorMetadata, SdkError},
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{
        AttributeValue, CancellationReason, ConditionCheck, Delete, KeysAndAttributes, Put,
        ReturnValue, ReturnValuesOnConditionCheckFailure::AllOld, TransactWriteItem, Update,
    },
};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Consistency,
    aws::{explain, pause},
};

/// Keys in one batched read: DynamoDB's limit.
pub const READ_AT_ONCE: usize = 100;
/// The partition key of every table.
pub(crate) const KEY: &str = "pk";
/// How often a transaction that meets another one, or a read that is answered in part, is attempted: about two
/// seconds of pauses on average, longer than any transaction takes.
const ATTEMPTS: u32 = 10;

/// Items over which the entries of a list are spread ([`Table::add_entry`]). With it a list holds some 17,000 entries of
/// 350 bytes, is read in one request, and a write costs a sixteenth of what it would on a single item.
const SHARDS: usize = 16;
/// Entries that one update removes: with their conditions, less than half of the 4 KB that an expression may have.
const REMOVED_AT_ONCE: usize = 50;

/// Requests of one look-up that are under way at the same time.
const REQUESTS_AT_ONCE: usize = 4;

/// What DynamoDB holds under one key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
}

/// One part of a transaction.
pub(crate) struct Write {
    key: String,
    action: Action,
    condition: Option<Expression>,
}

enum Action {
    Put(Item),
    Update(Expression),
    Delete,
    Check,
}

/// An expression in DynamoDB's language, with the names and values that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    text: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// What became of a transaction.
pub(crate) enum Written {
    /// Everything is written.
    Done,
    /// Nothing is written, because conditions did not hold.
    Refused(Refusals),
}

/// The parts of a transaction whose conditions did not hold, in the order of its writes.
pub(crate) struct Refusals(Vec<Option<Item>>);

impl Refusals {
    /// The item that broke the condition of the `index`-th write, empty where there is none under its key.
    pub(crate) fn take(&mut self, index: usize) -> Option<Item> {
        self.0.get_mut(index).and_then(Option::take)
    }

    /// Whether the condition of the `index`-th write did not hold.
    pub(crate) fn has(&self, index: usize) -> bool {
        matches!(self.0.get(index), Some(Some(_)))
    }
}

impl Expression {
    /// An expression. Every attribute is written as `#name` and declared, since many plain words are reserved.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Declares an attribute: `#name` stands for `name`.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// Declares an attribute by another name: `#name` stands for `attribute`.
    pub(crate) fn rename(mut self, name: &str, attribute: &str) -> Self {
        self.names.insert(format!("#{name}"), attribute.to_owned());
        self
    }

    /// Declares a value: `:name` stands for `value`.
    pub(crate) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    /// There is nothing under the key.
    pub(crate) fn nothing_there() -> Self {
        Self::new("attribute_not_exists(#pk)").name(KEY)
    }

    /// An update that sets the attributes which have a value and removes the others.
    pub(crate) fn assign<'a>(
        attributes: impl IntoIterator<Item = (&'a str, Option<AttributeValue>)>,
    ) -> Self {
        let mut expression = Self::default();
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (name, value) in attributes {
            expression = expression.name(name);
            match value {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    expression = expression.value(name, value);
                }
                None => remove.push(format!("#{name}")),
            }
        }
        for (verb, parts) in [("SET", set), ("REMOVE", remove)] {
            if !parts.is_empty() {
                expression
                    .text
                    .push_str(&format!("{verb} {} ", parts.join(", ")));
            }
        }
        expression
    }

    /// Adds a clause to an update.
    pub(crate) fn and_set(mut self, assignment: &str) -> Self {
        self.text = match self.text.strip_prefix("SET ") {
            Some(rest) => format!("SET {assignment}, {rest}"),
            None => format!("SET {assignment} {}", self.text),
        };
        self
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

impl Write {
    /// Stores an item.
    pub(crate) fn put(key: impl Into<String>, item: Item) -> Self {
        Self::new(key, Action::Put(item))
    }

    /// Changes attributes.
    pub(crate) fn update(key: impl Into<String>, change: Expression) -> Self {
        Self::new(key, Action::Update(change))
    }

    /// Removes what is under a key.
    pub(crate) fn delete(key: impl Into<String>) -> Self {
        Self::new(key, Action::Delete)
    }

    /// Writes nothing, but the transaction depends on a condition.
    pub(crate) fn check(key: impl Into<String>, condition: Expression) -> Self {
        Self::new(key, Action::Check).provided(condition)
    }

    /// The transaction depends on a condition.
    pub(crate) fn provided(mut self, condition: Expression) -> Self {
        self.condition = Some(condition);
        self
    }

    fn new(key: impl Into<String>, action: Action) -> Self {
        Self {
            key: key.into(),
            action,
            condition: None,
        }
    }

    fn into_request(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let Self {
            key,
            action,
            condition,
        } = self;
        let condition = condition.unwrap_or_default();
        let text = (!condition.text.is_empty()).then(|| condition.text.clone());
        let (names, values) = (condition.names(), condition.values());
        let request = TransactWriteItem::builder();
        Ok(match action {
            Action::Put(mut item) => {
                item.insert(KEY.to_owned(), AttributeValue::S(key));
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.put(put.build()?)
            }
            Action::Update(mut change) => {
                change.names.extend(condition.names);
                change.values.extend(condition.values);
                let update = Update::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_expression_attribute_names(change.names())
                    .set_expression_attribute_values(change.values())
                    .update_expression(change.text)
                    .set_condition_expression(text)
                    .return_values_on_condition_check_failure(AllOld);
                request.update(update.build()?)
            }
            Action::Delete => {
                let delete = Delete::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.delete(delete.build()?)
            }
            Action::Check => {
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.condition_check(check.build()?)
            }
        }
        .build())
    }
}

impl Table {
    /// A table by its name.
    pub(crate) fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        Self {
            client: Client::new(config),
            name: name.into(),
        }
    }

    /// What is under a key, by a consistent read.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Item>, String> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(KEY, AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| explain(&error))?;
        Ok(answer.item)
    }

    /// What is under several keys, by consistent reads: the items that are there, by key.
    pub(crate) async fn get_all(&self, keys: &[&str]) -> Result<HashMap<String, Item>, String> {
        self.read(keys, Consistency::Strong).await
    }

    async fn read(
        &self,
        keys: &[&str],
        consistency: Consistency,
    ) -> Result<HashMap<String, Item>, String> {
        let key = |key: &&str| Item::from([(KEY.to_owned(), AttributeValue::S((*key).to_owned()))]);
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(keys.iter().map(key).collect()))
            .consistent_read(consistency == Consistency::Strong)
            .build()
            .map_err(|error| error.to_string())?;
        let mut wanted = HashMap::from([(self.name.clone(), wanted)]);
        let mut found = HashMap::new();
        for attempt in 1..=ATTEMPTS {
            let answer = self
                .client
                .batch_get_item()
                .set_request_items(Some(wanted))
                .send()
                .await
                .map_err(|error| explain(&error))?;
            let items = answer.responses.into_iter().flatten();
            for item in items.flat_map(|(_, items)| items) {
                if let Some(key) = item.get(KEY).and_then(|key| key.as_s().ok()) {
                    found.insert(key.clone(), item);
                }
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

    /// Everything in the table, by strongly consistent reads. For tables of which a person reads all.
    pub(crate) async fn scan(&self) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        self.for_each("", |item| {
            items.push(item);
            Ok(())
        })
        .await?;
        Ok(items)
    }

    /// A page of what is in the table, at most 1 MB of it, beginning after a key, and the key after which the next one
    /// begins.
    pub(crate) async fn scan_page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<(Vec<Item>, Option<String>), String> {
        let from = after.map(|after| HashMap::from([(KEY.to_owned(), text(after))]));
        let page = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(consistency == Consistency::Strong)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| explain(&error))?;
        let next = page.last_evaluated_key.and_then(|mut key| {
            let key = key.remove(KEY)?;
            key.as_s().ok().cloned()
        });
        Ok((page.items.unwrap_or_default(), next))
    }

    /// Hands on every item whose key begins like this, by consistent reads of the whole table. One page is in memory at a
    /// time: what is kept of it is the caller's choice.
    pub(crate) async fn for_each(
        &self,
        prefix: &str,
        mut work: impl FnMut(Item) -> Result<(), String>,
    ) -> Result<(), String> {
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

    /// Changes attributes if a condition holds; `false`: it does not. Only for changes that do not break their own
    /// condition, because a repeat after a lost answer is judged anew.
    pub(crate) async fn update_if(
        &self,
        key: &str,
        mut change: Expression,
        condition: Expression,
    ) -> Result<bool, String> {
        change.names.extend(condition.names);
        change.values.extend(condition.values);
        let call = || {
            self.client
                .update_item()
                .table_name(&self.name)
                .key(KEY, text(key))
                .set_expression_attribute_names(change.names())
                .set_expression_attribute_values(change.values())
                .update_expression(&change.text)
                .condition_expression(&condition.text)
                .send()
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
            Err(error) => Err(explain(&error)),
        }
    }

    /// What is under many keys, in their order. Requests of at most [`READ_AT_ONCE`] keys, several of them at the same
    /// time.
    pub(crate) async fn get_many(
        &self,
        keys: Vec<String>,
        consistency: Consistency,
    ) -> Result<Vec<Option<Item>>, String> {
        // A request that names a key twice is refused.
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
            .chunks(READ_AT_ONCE)
            .map(|keys| self.read(keys, consistency))
            .collect();
        let found: Vec<HashMap<String, Item>> = stream::iter(requests)
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        let mut items: Vec<Option<Item>> = unique
            .chunks(READ_AT_ONCE)
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

    /// Removes what is under a key; `true` when there was something.
    pub(crate) async fn delete(&self, key: &str) -> Result<bool, String> {
        let call = || {
            self.client
                .delete_item()
                .table_name(&self.name)
                .key(KEY, text(key))
                .return_values(ReturnValue::AllOld)
                .send()
        };
        let outcome = until_undisturbed(call).await;
        let answer = outcome.map_err(|error| explain(&error))?;
        Ok(answer.attributes.is_some_and(|item| !item.is_empty()))
    }

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
    ) -> Result<bool, String> {
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
            Err(error) => Err(explain(&error)),
        }
    }

    /// The entries of a list whose names begin like this, by name. Earlier versions kept a list in a single item under the
    /// list's own key; its entries are read as well.
    pub(crate) async fn entries(
        &self,
        list: &str,
        prefix: &str,
    ) -> Result<BTreeMap<String, AttributeValue>, String> {
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
    ) -> Result<(), String> {
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
    ) -> Result<bool, String> {
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

    /// Writes all or nothing. Waits a little, again and again, while another transaction is at work on the same items.
    pub(crate) async fn write(
        &self,
        writes: impl IntoIterator<Item = Write>,
    ) -> Result<Written, String> {
        let requests: Vec<TransactWriteItem> = writes
            .into_iter()
            .map(|write| write.into_request(&self.name))
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let mut attempt = 1;
        loop {
            // Every attempt has a request token of its own, which the SDK makes: a cancelled transaction has
            // certainly written nothing.
            let outcome = self
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
                _ => return Err(explain(&error)),
            };
            match verdict(reasons) {
                Verdict::Refused(refusals) => return Ok(Written::Refused(refusals)),
                Verdict::Again if attempt < ATTEMPTS => pause(attempt).await,
                Verdict::Again | Verdict::Failed => {
                    return Err(format!("{} ({attempt} attempts)", codes(reasons)));
                }
            }
            attempt += 1;
        }
    }
}

/// The time-to-live attribute of every table that has one: seconds since 1970.
pub(crate) const EXPIRES_AT: &str = "expires_at";

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

/// What DynamoDB answers to the write of a single item that another write is at work on: a transaction, or one in another
/// Region where the table is a global one (Amazon DynamoDB API Reference, "UpdateItem", "Errors"). Nothing is written.
/// The SDK does not repeat these: it takes them for the caller's fault, unlike throttling
/// (`ProvisionedThroughputExceededException`, `RequestLimitExceeded`, `ThrottlingException`), `TransactionInProgressException`
/// and everything with a status of 5xx (`InternalServerError`), which it repeats (`aws-runtime`, `retries::classifiers`).
const DISTURBED: [&str; 2] = [
    "TransactionConflictException",
    "ReplicatedWriteConflictException",
];

/// Makes a write of a single item, again and again while another write is at work on the same item. Every write that is no
/// transaction goes through here.
async fn until_undisturbed<T, E, F>(call: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut attempt = 1;
    loop {
        let outcome = call().await;
        let code = outcome
            .as_ref()
            .err()
            .and_then(|error| error.as_service_error());
        let code = code.and_then(ProvideErrorMetadata::code);
        if attempt == ATTEMPTS || !code.is_some_and(|code| DISTURBED.contains(&code)) {
            return outcome;
        }
        pause(attempt).await;
        attempt += 1;
    }
}

/// What the reasons of a cancelled transaction come to.
enum Verdict {
    Refused(Refusals),
    Again,
    Failed,
}

fn verdict(reasons: &[CancellationReason]) -> Verdict {
    let mut refusals = Vec::with_capacity(reasons.len());
    let (mut refused, mut again) = (false, false);
    for reason in reasons {
        let refusal = match reason.code() {
            None | Some("None") => None,
            Some("ConditionalCheckFailed") => {
                refused = true;
                Some(reason.item().cloned().unwrap_or_default())
            }
            Some("TransactionConflict" | "ProvisionedThroughputExceeded" | "ThrottlingError") => {
                again = true;
                None
            }
            Some(_) => return Verdict::Failed,
        };
        refusals.push(refusal);
    }
    match (again, refused) {
        // What the other transaction is about to change may be just what decides.
        (true, _) => Verdict::Again,
        (false, true) => Verdict::Refused(Refusals(refusals)),
        (false, false) => Verdict::Failed,
    }
}

/// The codes of the reasons. Their messages are left out: those of validation errors may quote data.
fn codes(reasons: &[CancellationReason]) -> String {
    let codes: Vec<&str> = reasons
        .iter()
        .filter_map(CancellationReason::code)
        .collect();
    format!("transaction cancelled [{}]", codes.join(", "))
}

/// A text attribute.
pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(crate) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A value as it is inside of an item.
pub(crate) fn attribute(value: impl Serialize) -> Result<AttributeValue, String> {
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    Ok(to_attribute(value))
}

/// The attributes of a struct, absent values left out.
pub(crate) fn to_item(value: &impl Serialize) -> Result<Item, String> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => Ok(fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, to_attribute(value)))
            .collect()),
        Ok(_) => Err("only a struct can be an item".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The struct that an item holds. `record` names it in an error; what the item holds is not quoted.
pub(crate) fn from_item<T: DeserializeOwned>(item: Item, record: &str) -> Result<T, String> {
    let fields = item
        .into_iter()
        .map(|(name, value)| Some((name, from_attribute(value)?)))
        .collect::<Option<serde_json::Map<_, _>>>();
    fields
        .and_then(|fields| serde_json::from_value(Value::Object(fields)).ok())
        .ok_or_else(|| format!("the item of {record} has an unexpected shape"))
}

fn to_attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(flag),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(to_attribute).collect()),
        Value::Object(fields) => AttributeValue::M(
            fields
                .into_iter()
                .map(|(name, value)| (name, to_attribute(value)))
                .collect(),
        ),
    }
}

/// `None`: a type that no value of ours has (binary, sets).
fn from_attribute(value: AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::N(number) => Value::Number(number.parse().ok()?),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(values) => Value::Array(
            values
                .into_iter()
                .map(from_attribute)
                .collect::<Option<_>>()?,
        ),
        AttributeValue::M(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| Some((name, from_attribute(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        count: i64,
        absent: Option<String>,
        nested: HashMap<String, Vec<bool>>,
    }

    #[test]
    fn a_struct_survives_the_way_through_an_item() {
        let sample = Sample {
            name: "å".to_owned(),
            count: i64::MAX,
            absent: None,
            nested: HashMap::from([("a".to_owned(), vec![true, false])]),
        };
        let item = to_item(&sample).unwrap();
        assert!(!item.contains_key("absent"));
        assert_eq!(from_item::<Sample>(item, "sample").unwrap(), sample);
    }

    #[test]
    fn p11_an_item_that_cannot_be_read_is_named_but_not_quoted() {
        let item = Item::from([("name".to_owned(), text("anna@example.com"))]);
        let error = from_item::<Sample>(item, "customer/client/1").unwrap_err();
        assert_eq!(
            error,
            "the item of customer/client/1 has an unexpected shape"
        );
    }

    fn reason(code: &str) -> CancellationReason {
        CancellationReason::builder().code(code).build()
    }

    #[test]
    fn a_conflict_outweighs_a_condition_because_it_may_change_it() {
        let conflict = [
            reason("ConditionalCheckFailed"),
            reason("TransactionConflict"),
        ];
        assert!(matches!(verdict(&conflict), Verdict::Again));
        let refused = [reason("None"), reason("ConditionalCheckFailed")];
        match verdict(&refused) {
            Verdict::Refused(refusals) => {
                assert!(!refusals.has(0));
                assert!(refusals.has(1));
            }
            _ => panic!("not refused"),
        }
        assert!(matches!(
            verdict(&[reason("ValidationError")]),
            Verdict::Failed
        ));
    }

    #[test]
    fn an_update_sets_what_has_a_value_and_removes_the_rest() {
        let update = Expression::assign([("a", Some(number(1))), ("b", None)]).and_set("#c = :one");
        assert_eq!(update.text.trim(), "SET #c = :one, #a = :a REMOVE #b");
    }
}
