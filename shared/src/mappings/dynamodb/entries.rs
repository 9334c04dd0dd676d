//! The entries of a mapping: how they are read, and the conditions on them.

use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use super::table::{DynamoDbMappings, code_key, entity_key, record_key};
use crate::{
    StoreError,
    aws::dynamodb::{Expression, Item, Refusals, Write, number, text},
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, NorceId, Scope},
    mappings::{
        Binding, Bound, CodeDelivery, Mapping, RecordEntry, Reservation, key_index::still_listed,
    },
};

/// Attempts of an operation that finds the mapping changed meanwhile. Each conflict means that another writer succeeded,
/// and no mapping has this many writers.
pub(super) const ATTEMPTS: u32 = 5;

/// What an entity's entry holds.
pub(super) enum EntityEntry {
    Reserved(Reservation),
    Bound(Binding),
}

impl From<EntityEntry> for Mapping {
    fn from(entry: EntityEntry) -> Self {
        match entry {
            EntityEntry::Reserved(reservation) => Self::Reserved(reservation),
            EntityEntry::Bound(binding) => Self::Bound(binding),
        }
    }
}

/// The entry of a code.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Holder {
    pub(super) id: NorceId,
}

impl DynamoDbMappings {
    /// The conditional writes of a binding, in this order: its entries, the checks of their three tombstones, and the check
    /// that the record's index entry is as read.
    pub(super) async fn entries(
        &self,
        entity: EntityRef,
        binding: &Binding,
        entity_entry: Expression,
    ) -> Result<Vec<Write>, StoreError> {
        let (scope, record) = (entity.scope, &binding.erp_id);
        // Recorded on the entry, so that the next pass has nothing to index.
        let listed = self.listed(scope, record).await?;
        let mut writes = Vec::with_capacity(7);
        writes.extend(self.three_entries(entity, binding, entity_entry, listed.clone())?);
        let tombstones = self.tombstones(entity, binding)?;
        writes.extend(tombstones.map(Write::absent));
        writes.extend(listed.map(|digest| still_listed(scope, record, digest)));
        Ok(writes)
    }

    /// The items of a binding, in this order: of the entity (on the given condition), of the code and of the record.
    pub(super) fn three_entries(
        &self,
        entity: EntityRef,
        binding: &Binding,
        entity_entry: Expression,
        indexed: Option<AttributeValue>,
    ) -> Result<[Write; 3], StoreError> {
        let EntityRef { kind, scope, id } = entity;
        let (code, record) = (&binding.code, &binding.erp_id);
        let confirmed = matches!(binding.delivery, CodeDelivery::Confirmed { .. });
        let indexed = indexed.map(|digest| ("indexed", Some(digest)));
        // The fingerprint of what was sent to Norce with an insert stays.
        let record_entry = [
            ("kind", Some(text(kind.as_str()))),
            ("id", Some(number(id.into()))),
            ("code", Some(text(code.as_str()))),
            ("confirmed", Some(AttributeValue::Bool(confirmed))),
        ];
        let record_entry = Expression::assign(record_entry.into_iter().chain(indexed));
        Ok([
            Write::put(entity_key(entity), self.table.to_item(binding)?).provided(entity_entry),
            Write::put(
                code_key(kind, scope, code),
                self.table.to_item(&Holder { id })?,
            )
            .provided(free_or_held_by(id)),
            Write::update(record_key(scope, record), record_entry)
                .provided(record_free_or_held_by(entity)),
        ])
    }

    /// The keys of the tombstones of an entity, of its code and of its record.
    pub(super) fn tombstones(
        &self,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<[String; 3], StoreError> {
        let EntityRef { kind, scope, .. } = entity;
        Ok([
            self.entity_tombstone(entity)?,
            self.code_tombstone(kind, scope, &binding.code)?,
            self.record_tombstone(scope, &binding.erp_id)?,
        ])
    }

    /// The entry of an entity, without regard to tombstones.
    pub(super) async fn entry(&self, entity: EntityRef) -> Result<Option<EntityEntry>, StoreError> {
        let item = self.table.get(&entity_key(entity)).await?;
        item.map(|item| self.read_entry(item, entity)).transpose()
    }

    /// The entry of a record, read without serde: a pass reads a million of them.
    pub(super) fn read_record(
        &self,
        mut item: Item,
        record: &ErpId,
    ) -> Result<RecordEntry, StoreError> {
        let mut string = |name: &str| match item.remove(name) {
            Some(AttributeValue::S(text)) => Some(text),
            _ => None,
        };
        let kind = match string("kind").as_deref() {
            Some("customer") => Some(EntityKind::Customer),
            Some("company") => Some(EntityKind::Company),
            _ => None,
        };
        let code = string("code").and_then(|code| Code::try_from(code).ok());
        let erp_fingerprint = string("erp_fingerprint").map(Fingerprint::from);
        let indexed = string("indexed").map(Fingerprint::from);
        let id = match item.get("id") {
            None => Some(None),
            Some(AttributeValue::N(id)) => id
                .parse::<i64>()
                .ok()
                .and_then(|id| NorceId::try_from(id).ok())
                .map(Some),
            Some(_) => None,
        };
        let confirmed = matches!(item.get("confirmed"), Some(AttributeValue::Bool(true)));
        match (kind, code, id) {
            (Some(kind), Some(code), Some(id)) => Ok(RecordEntry {
                kind,
                id,
                code,
                erp_fingerprint,
                confirmed,
                indexed,
            }),
            _ => Err(self.table.error(format_args!(
                "the item of ERP record {record} has an unexpected shape"
            ))),
        }
    }

    /// The holder of the binding's code or record, when the writes of [`DynamoDbMappings::entries`] were refused because of one.
    pub(super) fn taken(
        &self,
        refusals: &mut Refusals,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<Option<Bound>, StoreError> {
        let EntityRef { kind, scope, .. } = entity;
        if let Some(item) = refusals.take(1) {
            let by = self.read_holder(item, kind, scope, &binding.code)?;
            return Ok(Some(Bound::CodeTaken { by }));
        }
        if let Some(item) = refusals.take(2)
            && let RecordEntry {
                kind, id: Some(id), ..
            } = self.read_record(item, &binding.erp_id)?
        {
            let by = EntityRef { kind, scope, id };
            return Ok(Some(Bound::RecordTaken { by }));
        }
        Ok(None)
    }

    pub(super) fn read_entry(
        &self,
        item: Item,
        entity: EntityRef,
    ) -> Result<EntityEntry, StoreError> {
        let record = entity.to_string();
        if item.contains_key("code") {
            self.table.read_item(item, &record).map(EntityEntry::Bound)
        } else {
            self.table
                .read_item(item, &record)
                .map(EntityEntry::Reserved)
        }
    }

    pub(super) fn read_holder(
        &self,
        item: Item,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<EntityRef, StoreError> {
        let Holder { id } = self.table.read_item(item, &format!("{kind} code {code}"))?;
        Ok(EntityRef { kind, scope, id })
    }

    /// The entity is bound to this code and this ERP record.
    pub(super) fn bound_as(&self, code: &Code, record: &ErpId) -> Result<Expression, StoreError> {
        let record = self.table.to_attribute(record)?;
        Ok(
            Expression::new("#code = :bound_code AND #erp_id = :bound_record")
                .name("code")
                .name("erp_id")
                .value("bound_code", text(code.as_str()))
                .value("bound_record", record),
        )
    }

    pub(super) fn restless(&self, entity: EntityRef) -> StoreError {
        self.table.error(format_args!(
            "the mapping of {entity} changed {ATTEMPTS} times in a row"
        ))
    }
}

/// The entity is not bound; it may be reserved.
pub(super) fn unbound() -> Expression {
    Expression::new("attribute_not_exists(#code)").name("code")
}

/// The code has no holder, or this one.
pub(super) fn free_or_held_by(id: NorceId) -> Expression {
    Expression::new("attribute_not_exists(#id) OR #id = :holder")
        .name("id")
        .value("holder", number(id.into()))
}

/// The record has no holder, or this one. Norce numbers customers and companies separately, so the kind is compared too.
pub(super) fn record_free_or_held_by(entity: EntityRef) -> Expression {
    Expression::new("attribute_not_exists(#id) OR (#id = :holder AND #kind = :held_as)")
        .name("id")
        .name("kind")
        .value("holder", number(entity.id.into()))
        .value("held_as", text(entity.kind.as_str()))
}

/// The entity is reserved with this token.
pub(super) fn reserved_by(token: Uuid) -> Expression {
    Expression::new("#token = :seen")
        .name("token")
        .value("seen", text(token.to_string()))
}

/// The entity is bound to this code.
pub(super) fn bound_to(code: &Code) -> Expression {
    Expression::new("#code = :bound_code")
        .name("code")
        .value("bound_code", text(code.as_str()))
}

/// The holder is this entity.
pub(super) fn held_by(id: NorceId) -> Expression {
    Expression::new("#id = :holder")
        .name("id")
        .value("holder", number(id.into()))
}
