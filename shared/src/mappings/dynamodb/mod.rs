//! One table, partition key `pk`:
//!
//! | `pk` | holds |
//! |---|---|
//! | `entity#customer#client#123` | the reservation or the binding of a Norce entity: the entry by Norce id |
//! | `code#customer#client#C001` | `id`, the Norce id that has the code: the entry by ERP code |
//! | `record#client#customer#5d11…` | `kind`, `id`, `code`, `erp_fingerprint`, `confirmed`: the entry by ERP id, a [`RecordEntry`] |
//! | `key#…`, `indexed#…`, `coverage#…` | the [index](crate::mappings::key_index) of the ERP's natural keys |
//! | `forgotten#<HMAC>` | nothing: a tombstone, of an entity, of a code or of an ERP record |
//! | `forgets#client` | `count` and `pending`: how many entities of a scope were forgotten, and which are being forgotten |
//! | `forgets` | `all_counted`: whether the counts are complete |

mod entries;
pub(super) mod forget_count;
mod forgets;
mod many;
mod table;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use table::DynamoDbMappings;
pub(crate) use table::record_key;

use self::{
    entries::{
        ATTEMPTS, EntityEntry, Holder, bound_to, free_or_held_by, held_by, reserved_by, unbound,
    },
    table::{code_key, entity_key, entity_of},
};

use super::{
    Binding, Bound, BoundPage, CodeDelivery, Known, Mapping, Mappings, NewBinding, RecordEntry,
    RecordMappings, Reservation, Reserved,
};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Expression, Write, Written, number, text},
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, Scope},
};

/// The attributes that a sync records: everything but the code and its delivery.
const SYNC_ATTRIBUTES: [&str; 7] = [
    "shop_fingerprint",
    "fetched_at",
    "gone_at",
    "replaced_code",
    "kept",
    "contacts",
    "filled",
];

#[async_trait]
impl Mappings for DynamoDbMappings {
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError> {
        let (entry, tombstone) = (entity_key(entity), self.entity_tombstone(entity)?);
        let mut found = self.table.get_all(&[&entry, &tombstone]).await?;
        if found.contains_key(&tombstone) {
            return Ok(Some(Mapping::Forgotten));
        }
        let entry = found
            .remove(&entry)
            .map(|item| self.read_entry(item, entity));
        Ok(entry.transpose()?.map(Mapping::from))
    }

    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, StoreError> {
        let item = self.table.get(&code_key(kind, scope, code)).await?;
        item.map(|item| self.read_holder(item, kind, scope, code))
            .transpose()
    }

    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, StoreError> {
        let item = self.table.to_item(&reservation)?;
        let put = Write::put(entity_key(entity), item).provided(Expression::nothing_there());
        let check = Write::absent(self.entity_tombstone(entity)?);
        let mut refusals = match self.table.write([put, check]).await? {
            Written::Done => return Ok(Reserved::New),
            Written::Refused(refusals) => refusals,
        };
        if refusals.has(1) {
            return Ok(Reserved::Forgotten);
        }
        Ok(
            match self.read_entry(refusals.take(0).unwrap_or_default(), entity)? {
                EntityEntry::Reserved(earlier) => Reserved::Earlier(earlier),
                EntityEntry::Bound(binding) => Reserved::Bound(binding),
            },
        )
    }

    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, StoreError> {
        let item = self.table.to_item(&reservation)?;
        let put = Write::put(entity_key(entity), item).provided(reserved_by(seen));
        self.table.write_if([put]).await
    }

    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), StoreError> {
        let delete = Write::delete(entity_key(entity)).provided(reserved_by(token));
        self.table.write([delete]).await?;
        Ok(())
    }

    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, StoreError> {
        let (code, record) = (&binding.code, &binding.erp_id);
        for _ in 0..ATTEMPTS {
            let entries = self.entries(entity, &binding, unbound()).await?;
            let mut refusals = match self.table.write(entries).await? {
                Written::Done => return Ok(Bound::Done),
                Written::Refused(refusals) => refusals,
            };
            if (3..=5).any(|tombstone| refusals.has(tombstone)) {
                return Ok(Bound::Forgotten);
            }
            let stored = refusals.take(0).map(|item| self.read_entry(item, entity));
            match stored.transpose()? {
                Some(EntityEntry::Bound(stored))
                    if stored.code != *code || stored.erp_id != *record =>
                {
                    return Ok(Bound::OtherCode { code: stored.code });
                }
                Some(EntityEntry::Bound(stored)) if stored == binding => return Ok(Bound::Done),
                // The same code with other values: they are recorded as after a sync.
                Some(EntityEntry::Bound(_)) => {
                    // A pass binds without having fetched anything.
                    let fetched =
                        binding.fetched_at.is_some() || binding.shop_fingerprint.is_some();
                    if (!fetched || self.record_sync(entity, &binding).await?)
                        && self.record_delivery(entity, code, binding.delivery).await?
                    {
                        return Ok(Bound::Done);
                    }
                    // Forgotten in between; the next attempt says so.
                }
                Some(EntityEntry::Reserved(_)) | None => {
                    if let Some(taken) = self.taken(&mut refusals, entity, &binding)? {
                        return Ok(taken);
                    }
                }
            }
        }
        Err(self.restless(entity))
    }

    async fn record_sync(&self, entity: EntityRef, binding: &Binding) -> Result<bool, StoreError> {
        let mut values = self.table.to_item(binding)?;
        let change = Expression::assign(SYNC_ATTRIBUTES.map(|name| (name, values.remove(name))));
        self.table
            .update_if(&entity_key(entity), change, bound_to(&binding.code))
            .await
    }

    async fn record_gone(
        &self,
        entity: EntityRef,
        record: &ErpId,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        for _ in 0..ATTEMPTS {
            let code = match self.entry(entity).await? {
                Some(EntityEntry::Bound(stored)) if stored.erp_id == *record => {
                    if stored.gone_at.is_some() {
                        return Ok(true);
                    }
                    stored.code
                }
                _ => return Ok(false),
            };
            let change = Expression::assign([("gone_at", Some(self.table.to_attribute(at)?))]);
            let bound = self.bound_as(&code, record)?;
            let key = entity_key(entity);
            if self.table.update_if(&key, change, bound).await? {
                return Ok(true);
            }
            // Renamed or bound to another record in between; the next attempt sees which.
        }
        Err(self.restless(entity))
    }

    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, StoreError> {
        let confirmed = matches!(delivery, CodeDelivery::Confirmed { .. });
        let delivery = Some(self.table.to_attribute(delivery)?);
        if !confirmed {
            let unconfirmed =
                Expression::new("#code = :bound_code AND #delivery.#state <> :confirmed")
                    .name("code")
                    .name("delivery")
                    .name("state")
                    .value("bound_code", text(code.as_str()))
                    .value("confirmed", text("confirmed"));
            let change = Expression::assign([("delivery", delivery)]);
            let key = entity_key(entity);
            if self.table.update_if(&key, change, unconfirmed).await? {
                return Ok(true);
            }
            // If it is bound to this code, the code is confirmed already and stays so.
            let bound = self.entry(entity).await?;
            return Ok(matches!(bound, Some(EntityEntry::Bound(stored)) if stored.code == *code));
        }
        for _ in 0..ATTEMPTS {
            let stored = match self.entry(entity).await? {
                Some(EntityEntry::Bound(stored)) if stored.code == *code => stored,
                _ => return Ok(false),
            };
            let is_noted = matches!(stored.delivery, CodeDelivery::Confirmed { .. });
            let change = Expression::assign([
                // The first confirmation stays.
                ("delivery", delivery.clone()),
                ("former_code", None),
            ]);
            let entity_entry = if is_noted {
                Write::check(entity_key(entity), bound_to(code))
            } else {
                Write::update(entity_key(entity), change).provided(bound_to(code))
            };
            let record_entry =
                Expression::assign([("confirmed", Some(AttributeValue::Bool(true)))]);
            let record = record_key(entity.scope, &stored.erp_id);
            let writes = [
                entity_entry,
                Write::update(record, record_entry).provided(bound_to(code)),
            ];
            if self.table.write_if(writes).await? {
                return Ok(true);
            }
        }
        Err(self.restless(entity))
    }

    async fn forget(&self, entity: EntityRef) -> Result<(), StoreError> {
        self.forget_entity(entity).await
    }

    async fn bind_many(&self, bindings: &[NewBinding]) -> Result<Vec<Bound>, StoreError> {
        self.bind_all(bindings).await
    }

    async fn records(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<RecordEntry>>, StoreError> {
        let keys = records.iter().map(|record| record_key(scope, record));
        let items = self.table.get_many(keys.collect(), consistency).await;
        items?
            .into_iter()
            .zip(records)
            .map(|(item, record)| item.map(|item| self.read_record(item, record)).transpose())
            .collect()
    }

    async fn known(
        &self,
        kind: EntityKind,
        scope: Scope,
        records: &[(ErpId, Code)],
    ) -> Result<Vec<Known>, StoreError> {
        let mut keys = Vec::with_capacity(records.len() * 4);
        for (record, code) in records {
            keys.push(self.record_tombstone(scope, record)?);
            keys.push(self.code_tombstone(kind, scope, code)?);
            keys.push(record_key(scope, record));
            keys.push(code_key(kind, scope, code));
        }
        let items = self.table.get_many(keys, Consistency::Strong).await;
        let mut items = items?.into_iter();
        records
            .iter()
            .map(|(record, code)| {
                let mut next = || items.next().flatten();
                let (of_record, of_code, entry, holder) = (next(), next(), next(), next());
                if of_record.is_some() || of_code.is_some() {
                    return Ok(Known::Forgotten);
                }
                if let Some(entry) = entry {
                    return self.read_record(entry, record).map(Known::Record);
                }
                match holder {
                    Some(holder) => self
                        .read_holder(holder, kind, scope, code)
                        .map(|entity| Known::Code(entity.id)),
                    None => Ok(Known::Nothing),
                }
            })
            .collect()
    }

    async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, StoreError> {
        let mut keys = Vec::with_capacity(entities.len() * 2);
        for entity in entities {
            keys.push(self.entity_tombstone(*entity)?);
            keys.push(entity_key(*entity));
        }
        let items = self.table.get_many(keys, Consistency::Strong).await;
        let mut items = items?.into_iter();
        entities
            .iter()
            .map(|entity| {
                let (tombstone, entry) = (items.next().flatten(), items.next().flatten());
                if tombstone.is_some() {
                    return Ok(Some(Mapping::Forgotten));
                }
                let entry = entry
                    .map(|item| self.read_entry(item, *entity))
                    .transpose()?;
                Ok(entry.map(Mapping::from))
            })
            .collect()
    }

    async fn unbind(&self, entity: EntityRef, record: &ErpId) -> Result<bool, StoreError> {
        let EntityRef { kind, scope, id } = entity;
        for _ in 0..ATTEMPTS {
            let code = match self.entry(entity).await? {
                Some(EntityEntry::Bound(Binding { code, erp_id, .. })) if erp_id == *record => code,
                _ => return Ok(false),
            };
            let entries = [
                Write::delete(entity_key(entity)).provided(self.bound_as(&code, record)?),
                Write::delete(code_key(kind, scope, &code)).provided(held_by(id)),
                Write::delete(record_key(scope, record)).provided(held_by(id)),
            ];
            if self.table.write_if(entries).await? {
                return Ok(true);
            }
            // Changed in between; the next attempt sees how.
        }
        Err(self.restless(entity))
    }

    async fn rebind(
        &self,
        entity: EntityRef,
        from: &ErpId,
        binding: Binding,
    ) -> Result<Bound, StoreError> {
        let EntityRef { kind, scope, id } = entity;
        let (code, record) = (&binding.code, &binding.erp_id);
        for _ in 0..ATTEMPTS {
            let former = match self.entry(entity).await? {
                Some(EntityEntry::Bound(stored))
                    if stored.code == *code && stored.erp_id == *record =>
                {
                    return Ok(Bound::Done);
                }
                Some(EntityEntry::Bound(stored)) if stored.erp_id == *from => stored.code,
                Some(EntityEntry::Bound(stored)) => {
                    return Ok(Bound::OtherCode { code: stored.code });
                }
                Some(EntityEntry::Reserved(_)) | None => return Ok(Bound::Forgotten),
            };
            let bound = self.bound_as(&former, from)?;
            let mut entries = self.entries(entity, &binding, bound).await?;
            // One transaction holds one write for each key: an entry that keeps its key was written above.
            if former != *code {
                entries.push(Write::delete(code_key(kind, scope, &former)).provided(held_by(id)));
            }
            if from != record {
                entries.push(Write::delete(record_key(scope, from)).provided(held_by(id)));
            }
            let mut refusals = match self.table.write(entries).await? {
                Written::Done => return Ok(Bound::Done),
                Written::Refused(refusals) => refusals,
            };
            if (3..=5).any(|tombstone| refusals.has(tombstone)) {
                return Ok(Bound::Forgotten);
            }
            if refusals.has(0) {
                // Bound otherwise in between; the next attempt sees how.
                continue;
            }
            if let Some(taken) = self.taken(&mut refusals, entity, &binding)? {
                return Ok(taken);
            }
        }
        Err(self.restless(entity))
    }

    async fn take_over(
        &self,
        from: EntityRef,
        to: EntityRef,
        binding: Binding,
    ) -> Result<bool, StoreError> {
        if (from.kind, from.scope) != (to.kind, to.scope) {
            return Ok(false);
        }
        let (code, record) = (&binding.code, &binding.erp_id);
        let confirmed = matches!(binding.delivery, CodeDelivery::Confirmed { .. });
        let record_entry = Expression::assign([
            ("id", Some(number(to.id.into()))),
            ("confirmed", Some(AttributeValue::Bool(confirmed))),
        ]);
        let holder = self.table.to_item(&Holder { id: to.id })?;
        let item = self.table.to_item(&binding)?;
        let entries = [
            Write::delete(entity_key(from)).provided(self.bound_as(code, record)?),
            Write::put(entity_key(to), item).provided(Expression::nothing_there()),
            Write::put(code_key(to.kind, to.scope, code), holder).provided(held_by(from.id)),
            Write::update(record_key(to.scope, record), record_entry).provided(held_by(from.id)),
            Write::absent(self.entity_tombstone(to)?),
        ];
        self.table.write_if(entries).await
    }

    async fn bound(&self, after: Option<&str>) -> Result<BoundPage, StoreError> {
        let (items, next) = self.table.scan_page(after, Consistency::Eventual).await?;
        let mut bound = Vec::new();
        for item in items {
            let key = item.get("pk").and_then(|key| key.as_s().ok());
            let Some(entity) = key.and_then(|key| entity_of(key)) else {
                continue;
            };
            if let EntityEntry::Bound(binding) = self.read_entry(item, entity)? {
                bound.push((entity, binding));
            }
        }
        Ok(BoundPage { bound, next })
    }

    async fn record_owned(
        &self,
        scope: Scope,
        record: &ErpId,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        let fingerprint = fingerprint.map(|fingerprint| text(fingerprint.as_str()));
        let change = Expression::assign([("erp_fingerprint", fingerprint)]);
        let bound = Expression::new("attribute_exists(#id)").name("id");
        self.table
            .update_if(&record_key(scope, record), change, bound)
            .await
    }
}

#[async_trait]
impl RecordMappings for DynamoDbMappings {
    async fn rename(
        &self,
        entity: EntityRef,
        record: &ErpId,
        from: &Code,
        to: &Code,
    ) -> Result<Bound, StoreError> {
        let EntityRef { kind, scope, id } = entity;
        for _ in 0..ATTEMPTS {
            let binding = match self.entry(entity).await? {
                Some(EntityEntry::Bound(binding)) if binding.erp_id == *record => binding,
                Some(EntityEntry::Bound(binding)) => {
                    return Ok(Bound::OtherCode { code: binding.code });
                }
                Some(EntityEntry::Reserved(_)) | None => return Ok(Bound::Forgotten),
            };
            if binding.code == *to {
                return Ok(Bound::Done);
            }
            if binding.code != *from {
                return Ok(Bound::OtherCode { code: binding.code });
            }
            // Of several former codes Norce can have only the first: the imports of the later ones are not confirmed.
            let former = binding.former_code.as_ref().unwrap_or(from);
            let former = (former != to).then(|| text(former.as_str()));
            let delivery = self.table.to_attribute(CodeDelivery::Pending)?;
            let entity_entry = Expression::assign([
                ("code", Some(text(to.as_str()))),
                ("former_code", former),
                ("delivery", Some(delivery)),
            ]);
            let record_entry = Expression::assign([
                ("code", Some(text(to.as_str()))),
                ("confirmed", Some(AttributeValue::Bool(false))),
            ]);
            let writes = [
                Write::update(entity_key(entity), entity_entry).provided(bound_to(from)),
                Write::put(
                    code_key(kind, scope, to),
                    self.table.to_item(&Holder { id })?,
                )
                .provided(free_or_held_by(id)),
                Write::delete(code_key(kind, scope, from)),
                Write::update(record_key(scope, record), record_entry).provided(held_by(id)),
                Write::absent(self.code_tombstone(kind, scope, to)?),
            ];
            let mut refusals = match self.table.write(writes).await? {
                Written::Done => return Ok(Bound::Done),
                Written::Refused(refusals) => refusals,
            };
            if refusals.has(4) {
                return Ok(Bound::Forgotten);
            }
            if let Some(item) = refusals.take(1) {
                let by = self.read_holder(item, kind, scope, to)?;
                return Ok(Bound::CodeTaken { by });
            }
            // Changed in between; the next attempt sees how.
        }
        Err(self.restless(entity))
    }

    async fn announce_insert(
        &self,
        kind: EntityKind,
        scope: Scope,
        record: &ErpId,
        code: &Code,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        let entry = RecordEntry {
            kind,
            id: None,
            code: code.clone(),
            erp_fingerprint: fingerprint.cloned(),
            confirmed: false,
            indexed: None,
        };
        let unbound = Expression::new("attribute_not_exists(#id)").name("id");
        let writes = [
            Write::put(record_key(scope, record), self.table.to_item(&entry)?).provided(unbound),
            Write::absent(code_key(kind, scope, code)),
            Write::absent(self.code_tombstone(kind, scope, code)?),
            Write::absent(self.record_tombstone(scope, record)?),
        ];
        self.table.write_if(writes).await
    }

    async fn withdraw_insert(&self, scope: Scope, record: &ErpId) -> Result<(), StoreError> {
        let unbound = Expression::new("attribute_not_exists(#id)").name("id");
        // An attempt that arrives late can withdraw a newer announcement; the next pass announces again.
        let delete = Write::delete(record_key(scope, record)).provided(unbound);
        self.table.write([delete]).await?;
        Ok(())
    }
}
