//! How many entities of a scope were forgotten, and transactions that check it ([`forgets`](super::forgets)).

use aws_sdk_dynamodb::types::AttributeValue;

use super::table::DynamoDbMappings;
use crate::{
    StoreError,
    aws::dynamodb::{Expression, Write, Written},
    domain::Scope,
    mappings::Forgets,
};

pub(super) const COUNT: &str = "count";
pub(super) const PENDING: &str = "pending";

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
    let unchanged = match seen.count() {
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
        let Some(item) = self.table.get(&forgets_key(scope)).await? else {
            return Ok(Some(Forgets::new(0)));
        };
        if item.contains_key(PENDING) {
            tracing::info!(%scope, "a customer is being forgotten, or an earlier attempt was interrupted; mappings are written one by one until it completes");
            return Ok(None);
        }
        let count = match item.get(COUNT) {
            Some(AttributeValue::N(count)) => count.parse().ok(),
            _ => None,
        };
        let unreadable = || {
            self.table
                .error("the count of forgotten entities is unreadable")
        };
        let count = count.ok_or_else(unreadable)?;
        Ok(Some(Forgets::new(count)))
    }
}
