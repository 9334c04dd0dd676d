//! Forgetting, and the item by which bindings that are made together see it.
//!
//! A single binding checks three tombstones in its transaction, which are half of its cost. Many bindings check one item
//! for all of them, `forgets#<scope>`. It has to change before the first tombstone is written, and must not look settled before the
//! last one can be read: reads beside a transaction see its items in any order (Amazon DynamoDB Developer Guide, "Transaction isolation
//! levels", read-committed), so a count in the transaction of the tombstones could be seen earlier than these. Hence three
//! steps:
//!
//! 1. Announce: `count` goes up, and the entity is in `pending`.
//! 2. The transaction that replaces the mapping by tombstones.
//! 3. Settle: the entity leaves `pending`.
//!
//! Who reads `count` without anything pending, and no tombstone after that, may bind while `count` is unchanged: what was
//! announced before has been settled, so that its tombstones are visible; what is announced later changes `count`, or finds
//! the binding. A forget that is cut off stays pending until it is repeated, and bindings are made singly meanwhile.
//!
//! Version 0.2.0 and earlier forget without an announcement. During the minutes of an update, such a function can forget a
//! customer between the read of its tombstones and the transaction of a new function.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    entries::{ATTEMPTS, EntityEntry, bound_to, unbound},
    table::{DynamoDbMappings, code_key, entity_key, record_key},
};
use crate::{
    StoreError,
    aws::dynamodb::{Expression, Item, Write, number},
    domain::{EntityRef, Scope},
    mappings::{Binding, Forgets},
};

const COUNT: &str = "count";
const PENDING: &str = "pending";

fn forgets_key(scope: Scope) -> String {
    format!("forgets#{scope}")
}

/// A condition on a transaction: nothing was forgotten in the scope since.
pub(in crate::mappings) fn none_forgotten_since(scope: Scope, seen: Forgets) -> Write {
    let unchanged = match seen.count() {
        0 => Expression::new("attribute_not_exists(#count)").name(COUNT),
        count => Expression::new("#count = :seen")
            .name(COUNT)
            .value("seen", AttributeValue::N(count.to_string())),
    };
    Write::check(forgets_key(scope), unchanged)
}

impl DynamoDbMappings {
    /// How many entities of a scope were forgotten; `None` while one is being forgotten.
    pub(in crate::mappings) async fn settled_forgets(
        &self,
        scope: Scope,
    ) -> Result<Option<Forgets>, StoreError> {
        let Some(item) = self.table.get(&forgets_key(scope)).await? else {
            return Ok(Some(Forgets::new(0)));
        };
        if item.contains_key(PENDING) {
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

    /// Replaces the mapping of an entity by tombstones.
    pub(super) async fn forget_entity(&self, entity: EntityRef) -> Result<(), StoreError> {
        let forgets = forgets_key(entity.scope);
        // The same for every attempt: a repeat settles what an earlier one has announced. Like a tombstone it names nobody.
        let me = AttributeValue::Ss(vec![self.entity_tombstone(entity)?]);
        let announce = Expression::new("ADD #count :one, #pending :me")
            .name(COUNT)
            .name(PENDING)
            .value("one", number(1))
            .value("me", me.clone());
        self.table.update(&forgets, announce).await?;
        self.bury(entity).await?;
        let settle = Expression::new("DELETE #pending :me")
            .name(PENDING)
            .value("me", me);
        self.table.update(&forgets, settle).await
    }

    async fn bury(&self, entity: EntityRef) -> Result<(), StoreError> {
        let EntityRef { kind, scope, .. } = entity;
        for _ in 0..ATTEMPTS {
            let entry = Write::delete(entity_key(entity));
            let tombstone = Write::put(self.entity_tombstone(entity)?, Item::new());
            let writes = match self.entry(entity).await? {
                Some(EntityEntry::Bound(Binding { code, erp_id, .. })) => {
                    let mut writes = self.unlist(scope, &erp_id).await?;
                    writes.extend([
                        entry.provided(bound_to(&code)),
                        tombstone,
                        Write::delete(code_key(kind, scope, &code)),
                        Write::put(self.code_tombstone(kind, scope, &code)?, Item::new()),
                        Write::delete(record_key(scope, &erp_id)),
                        Write::put(self.record_tombstone(scope, &erp_id)?, Item::new()),
                    ]);
                    writes
                }
                Some(EntityEntry::Reserved(_)) | None => {
                    vec![entry.provided(unbound()), tombstone]
                }
            };
            if self.table.write_if(writes).await? {
                return Ok(());
            }
        }
        Err(self.restless(entity))
    }
}
