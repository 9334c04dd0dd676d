//! Forgetting, and the item that shows it to bindings that are made together.
//!
//! A single binding checks three tombstones in its transaction, which are half of its cost. Bindings that are made together
//! check one item for all of them, `forgets#<scope>`. It has to change before the first tombstone is written, and must not
//! look settled before the last one can be read. A count in the transaction of the tombstones would not do: reads during a
//! transaction may return one of its items as it is afterwards and another one as it was before (Amazon DynamoDB Developer
//! Guide, "Transaction isolation levels", read-committed). Hence three steps:
//!
//! 1. Announce: `count` goes up, and the entity is in `pending`.
//! 2. The transaction that replaces the mapping by tombstones.
//! 3. Settle: the entity leaves `pending`.
//!
//! A function that reads `count` with nothing pending, and no tombstone after that, may bind on condition that `count` is
//! unchanged. What was announced earlier has been settled, so that its tombstones are visible. What is announced later
//! changes `count` before the binding, or finds the binding. A forget that is cut off stays pending until its message is
//! delivered again, and bindings are made one by one meanwhile. Where the count began in an empty table, zero means that there are no
//! tombstones to read.
//!
//! Version 0.2.0 and earlier forget without an announcement. During the minutes of an update, such a function can forget a
//! customer between a new function's read of its tombstones and its transaction. The mapping is then there beside the
//! tombstone: whatever reads the mapping of the entity finds it forgotten, and forgetting it once more removes the mapping.

use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    entries::{ATTEMPTS, EntityEntry, bound_to, unbound},
    forget_count::{COUNT, PENDING, forgets_key},
    table::{DynamoDbMappings, code_key, entity_key, record_key},
};
use crate::{
    StoreError,
    aws::dynamodb::{Expression, Item, Write, number},
    domain::EntityRef,
    mappings::Binding,
};

impl DynamoDbMappings {
    /// Replaces the mapping of an entity by tombstones.
    pub(super) async fn forget_entity(&self, entity: EntityRef) -> Result<(), StoreError> {
        let forgets = forgets_key(entity.scope);
        // The same for every attempt: a repeat settles what an earlier one has announced. Like a tombstone it names nobody.
        let pending = AttributeValue::Ss(vec![self.entity_tombstone(entity)?]);
        let announce = Expression::new("ADD #count :one, #pending :tombstone")
            .name(COUNT)
            .name(PENDING)
            .value("one", number(1))
            .value("tombstone", pending.clone());
        self.table.update(&forgets, announce).await?;
        self.write_tombstones(entity).await?;
        let settle = Expression::new("DELETE #pending :tombstone")
            .name(PENDING)
            .value("tombstone", pending);
        self.table.update(&forgets, settle).await
    }

    async fn write_tombstones(&self, entity: EntityRef) -> Result<(), StoreError> {
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
