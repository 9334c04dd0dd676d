//! How many entities of a scope were forgotten, and transactions that check it ([`forgets`](super::forgets)).

use aws_sdk_dynamodb::types::AttributeValue;

use super::table::DynamoDbMappings;
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Expression, Item, Write, Written},
    domain::Scope,
};

pub(super) const COUNT: &str = "count";
pub(super) const PENDING: &str = "pending";
/// The key of the item that says whether every forget in this table has been counted.
const COUNTED_KEY: &str = "forgets";
const ALL_COUNTED: &str = "all_counted";

/// How many entities of a scope had been forgotten, repeats included, read while no other one was being forgotten.
///
/// It stands for the tombstones of the scope: as long as the count is unchanged, none was added.
#[derive(Debug, Clone, Copy)]
pub(in crate::mappings) struct Forgets {
    count: u64,
    all_counted: bool,
}

impl Forgets {
    /// Whether the scope has no tombstones.
    pub(in crate::mappings) const fn is_none(self) -> bool {
        self.count == 0 && self.all_counted
    }
}

pub(super) fn forgets_key(scope: Scope) -> String {
    format!("forgets#{scope}")
}

/// How a transaction of several parts ended.
pub(in crate::mappings) enum Together {
    /// Everything is written.
    Done,
    /// Nothing is written: an entity of the scope was forgotten.
    Forgotten,
    /// Nothing is written, because of the parts that are `true`.
    Refused(Vec<bool>),
}

/// A condition on a transaction: nothing was forgotten in the scope since.
fn none_forgotten_since(scope: Scope, seen: Forgets) -> Write {
    let unchanged = match seen.count {
        0 => Expression::new("attribute_not_exists(#count)").name(COUNT),
        count => Expression::new("#count = :seen")
            .name(COUNT)
            .value("seen", AttributeValue::N(count.to_string())),
    };
    Write::check(forgets_key(scope), unchanged)
}

impl DynamoDbMappings {
    /// Writes parts in one transaction, on condition that nothing was forgotten in the scope since.
    pub(in crate::mappings) async fn write_together(
        &self,
        scope: Scope,
        seen: Forgets,
        parts: Vec<Vec<Write>>,
    ) -> Result<Together, StoreError> {
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        let check = sizes.iter().sum();
        let writes = parts.into_iter().flatten();
        let writes = writes.chain([none_forgotten_since(scope, seen)]);
        let refusals = match self.table.write(writes).await? {
            Written::Done => return Ok(Together::Done),
            Written::Refused(refusals) if refusals.has(check) => return Ok(Together::Forgotten),
            Written::Refused(refusals) => refusals,
        };
        let mut start = 0;
        let is_refused = |size| {
            let part = start..start + size;
            start = part.end;
            part.into_iter().any(|place| refusals.has(place))
        };
        Ok(Together::Refused(
            sizes.into_iter().map(is_refused).collect(),
        ))
    }

    /// How many entities of a scope were forgotten; `None` while one is being forgotten.
    pub(in crate::mappings) async fn settled_forgets(
        &self,
        scope: Scope,
    ) -> Result<Option<Forgets>, StoreError> {
        let key = forgets_key(scope);
        let mut found = self.table.get_all(&[&key, COUNTED_KEY]).await?;
        let all_counted = match found.get(COUNTED_KEY) {
            Some(item) => matches!(item.get(ALL_COUNTED), Some(AttributeValue::Bool(true))),
            None => self.begin_count().await?,
        };
        let item = found.remove(&key).unwrap_or_default();
        if item.contains_key(PENDING) {
            tracing::info!(%scope, "a customer is being forgotten, or an earlier attempt was interrupted; mappings are written one by one until it completes");
            return Ok(None);
        }
        let count = match item.get(COUNT) {
            None => Some(0),
            Some(AttributeValue::N(count)) => count.parse().ok(),
            Some(_) => None,
        };
        let unreadable = || {
            self.table
                .error("the count of forgotten entities is unreadable")
        };
        Ok(Some(Forgets {
            count: count.ok_or_else(unreadable)?,
            all_counted,
        }))
    }

    /// Notes whether the count is complete, which it is if it begins in an empty table: version 0.2.0 and earlier left
    /// tombstones that nobody counted.
    async fn begin_count(&self) -> Result<bool, StoreError> {
        let (items, next) = self.table.scan_page(None, Consistency::Strong).await?;
        let is_empty = items.is_empty() && next.is_none();
        let item = Item::from([(ALL_COUNTED.to_owned(), AttributeValue::Bool(is_empty))]);
        let begin = Write::put(COUNTED_KEY, item).provided(Expression::nothing_there());
        // Refused: another function was faster, and may have noted something else.
        Ok(self.table.write_if([begin]).await? && is_empty)
    }
}
