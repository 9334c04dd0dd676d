//! The faces of a mapping: how they are read, and the conditions on them.

use aws_sdk_dynamodb::types::AttributeValue;
use uuid::Uuid;

use super::table::{DynamoDbMappings, code_key, entity_key, record_key};
use crate::{
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, NorceId, Scope},
    dynamodb::{Expression, Item, Refusals, Write, attribute, from_item, number, text, to_item},
    mappings::{
        Binding, Bound, CodeDelivery, Mapping, MappingsError, RecordFace, Reservation,
        key_index::still_listed,
    },
};

/// What an entity's face holds.
pub(super) enum Face {
    Reserved(Reservation),
    Bound(Binding),
}

impl From<Face> for Mapping {
    fn from(face: Face) -> Self {
        match face {
            Face::Reserved(reservation) => Self::Reserved(reservation),
            Face::Bound(binding) => Self::Bound(binding),
        }
    }
}

/// The face of a code.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Holder {
    pub(super) id: NorceId,
}

impl DynamoDbMappings {
    /// The conditional writes of a binding, in this order: the entity's item (on the condition given), the code's, the
    /// record's, the checks of their three tombstones, and the check that the record's keys are still listed as read.
    pub(super) async fn faces(
        &self,
        entity: EntityRef,
        binding: &Binding,
        entity_face: Expression,
    ) -> Result<Vec<Write>, MappingsError> {
        let EntityRef { kind, scope, id } = entity;
        let (code, record) = (&binding.code, &binding.erp_id);
        let confirmed = matches!(binding.delivery, CodeDelivery::Confirmed { .. });
        // Noted on the face, so that the next pass has nothing to list.
        let listed = self.listed(scope, record).await?;
        let indexed = listed.clone().map(|digest| ("indexed", Some(digest)));
        // What Norce was told of an inserted record stays noted.
        let record_face = [
            ("kind", Some(text(kind.as_str()))),
            ("id", Some(number(id.into()))),
            ("code", Some(text(code.as_str()))),
            ("confirmed", Some(AttributeValue::Bool(confirmed))),
        ];
        let record_face = Expression::assign(record_face.into_iter().chain(indexed));
        let mut faces = vec![
            Write::put(entity_key(entity), to_item(binding).map_err(MappingsError)?)
                .provided(entity_face),
            Write::put(
                code_key(kind, scope, code),
                to_item(&Holder { id }).map_err(MappingsError)?,
            )
            .provided(free_or_held_by(id)),
            Write::update(record_key(scope, record), record_face)
                .provided(record_free_or_held_by(entity)),
            Write::check(self.entity_tombstone(entity)?, Expression::nothing_there()),
            Write::check(
                self.code_tombstone(kind, scope, code)?,
                Expression::nothing_there(),
            ),
            Write::check(
                self.record_tombstone(scope, record)?,
                Expression::nothing_there(),
            ),
        ];
        faces.extend(listed.map(|digest| still_listed(scope, record, digest)));
        Ok(faces)
    }

    /// What is known about an entity, tombstones aside.
    pub(super) async fn face(&self, entity: EntityRef) -> Result<Option<Face>, MappingsError> {
        let item = self.table.get(&entity_key(entity)).await;
        let item = item.map_err(MappingsError)?;
        item.map(|item| read_face(item, entity)).transpose()
    }
}

/// The code face is nobody's, or this one's.
pub(super) fn free_or_held_by(id: NorceId) -> Expression {
    Expression::new("attribute_not_exists(#id) OR #id = :holder")
        .name("id")
        .value("holder", number(id.into()))
}

/// The record's face is nobody's, or this one's. Norce counts customers and companies apart, so that two of them can have
/// one id.
pub(super) fn record_free_or_held_by(entity: EntityRef) -> Expression {
    Expression::new("attribute_not_exists(#id) OR (#id = :holder AND #kind = :held_as)")
        .name("id")
        .name("kind")
        .value("holder", number(entity.id.into()))
        .value("held_as", text(entity.kind.as_str()))
}

/// A record's face, read without a detour: a pass reads a million of them.
pub(super) fn read_record(mut item: Item, record: &ErpId) -> Result<RecordFace, MappingsError> {
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
        (Some(kind), Some(code), Some(id)) => Ok(RecordFace {
            kind,
            id,
            code,
            erp_fingerprint,
            confirmed,
            indexed,
        }),
        _ => Err(MappingsError(format!(
            "the item of ERP record {record} has an unexpected shape"
        ))),
    }
}

/// The holder of the binding's code or record, when the writes of [`DynamoDbMappings::faces`] were refused because of one.
pub(super) fn taken(
    refusals: &mut Refusals,
    entity: EntityRef,
    binding: &Binding,
) -> Result<Option<Bound>, MappingsError> {
    let EntityRef { kind, scope, .. } = entity;
    if let Some(item) = refusals.take(1) {
        let by = read_holder(item, kind, scope, &binding.code)?;
        return Ok(Some(Bound::CodeTaken { by }));
    }
    if let Some(item) = refusals.take(2)
        && let RecordFace {
            kind, id: Some(id), ..
        } = read_record(item, &binding.erp_id)?
    {
        let by = EntityRef { kind, scope, id };
        return Ok(Some(Bound::RecordTaken { by }));
    }
    Ok(None)
}

pub(super) fn read_face(item: Item, entity: EntityRef) -> Result<Face, MappingsError> {
    let record = entity.to_string();
    if item.contains_key("code") {
        from_item(item, &record).map(Face::Bound)
    } else {
        from_item(item, &record).map(Face::Reserved)
    }
    .map_err(MappingsError)
}

pub(super) fn read_holder(
    item: Item,
    kind: EntityKind,
    scope: Scope,
    code: &Code,
) -> Result<EntityRef, MappingsError> {
    let Holder { id } = from_item(item, &format!("{kind} code {code}")).map_err(MappingsError)?;
    Ok(EntityRef { kind, scope, id })
}

/// The entity is reserved, and by this one.
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

/// The entity is bound to this code and this ERP record.
pub(super) fn bound_as(code: &Code, record: &ErpId) -> Result<Expression, MappingsError> {
    let record = attribute(record).map_err(MappingsError)?;
    Ok(
        Expression::new("#code = :bound_code AND #erp_id = :bound_record")
            .name("code")
            .name("erp_id")
            .value("bound_code", text(code.as_str()))
            .value("bound_record", record),
    )
}

/// The face is that of this entity.
pub(super) fn held_by(id: NorceId) -> Expression {
    Expression::new("#id = :holder")
        .name("id")
        .value("holder", number(id.into()))
}
