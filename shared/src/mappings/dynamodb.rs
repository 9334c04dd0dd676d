//! One table, partition key `pk`:
//!
//! | `pk` | holds |
//! |---|---|
//! | `entity#customer#client#123` | the reservation or the binding of a Norce entity: the face by Norce id |
//! | `code#customer#client#C001` | `id`, the Norce id that has the code: the face by ERP code |
//! | `forgotten#<HMAC>` | nothing: a tombstone, of an entity or of a code |

use async_trait::async_trait;
use aws_config::SdkConfig;
use uuid::Uuid;

use super::{
    Binding, Bound, CodeDelivery, Mapping, Mappings, MappingsError, Reservation, Reserved,
};
use crate::{
    domain::{Code, EntityKind, EntityRef, FingerprintKey, NorceId, Scope},
    dynamodb::{
        Expression, Item, Table, Write, Written, attribute, from_item, number, text, to_item,
    },
};

/// How often an operation starts again because the mapping changed under its hands. Each time somebody else got
/// something done, and no mapping has a handful of writers.
const ATTEMPTS: u32 = 5;

/// What is noted when both sides have been looked at; the code and its delivery are not among it.
const SYNC_ATTRIBUTES: [&str; 2] = ["shop_fingerprint", "fetched_at"];

/// Code mappings in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbMappings {
    table: Table,
    key: FingerprintKey,
}

/// What an entity's face holds.
enum Face {
    Reserved(Reservation),
    Bound(Binding),
}

/// The face of a code.
#[derive(serde::Serialize, serde::Deserialize)]
struct Holder {
    id: NorceId,
}

impl DynamoDbMappings {
    /// The mappings in a table, whose tombstones are made with `key`: with another key they would not be found.
    pub fn new(config: &SdkConfig, table: impl Into<String>, key: FingerprintKey) -> Self {
        Self {
            table: Table::new(config, table),
            key,
        }
    }

    fn entity_tombstone(&self, entity: EntityRef) -> Result<String, MappingsError> {
        self.tombstone(&("entity", entity))
    }

    fn code_tombstone(&self, entity: EntityRef, code: &Code) -> Result<String, MappingsError> {
        self.tombstone(&("code", entity.kind, entity.scope, code))
    }

    fn tombstone(&self, of: &impl serde::Serialize) -> Result<String, MappingsError> {
        let fingerprint = self
            .key
            .of(of)
            .map_err(|error| MappingsError(error.to_string()))?;
        Ok(format!("forgotten#{}", fingerprint.as_str()))
    }

    /// What is known about an entity, tombstones aside.
    async fn face(&self, entity: EntityRef) -> Result<Option<Face>, MappingsError> {
        let item = self.table.get(&entity_key(entity)).await;
        let item = item.map_err(MappingsError)?;
        item.map(|item| read_face(item, entity)).transpose()
    }
}

fn entity_key(EntityRef { kind, scope, id }: EntityRef) -> String {
    format!("entity#{kind}#{scope}#{id}")
}

fn code_key(kind: EntityKind, scope: Scope, code: &Code) -> String {
    format!("code#{kind}#{scope}#{code}")
}

fn read_face(item: Item, entity: EntityRef) -> Result<Face, MappingsError> {
    let record = entity.to_string();
    if item.contains_key("code") {
        from_item(item, &record).map(Face::Bound)
    } else {
        from_item(item, &record).map(Face::Reserved)
    }
    .map_err(MappingsError)
}

fn read_holder(
    item: Item,
    kind: EntityKind,
    scope: Scope,
    code: &Code,
) -> Result<EntityRef, MappingsError> {
    let Holder { id } = from_item(item, &format!("{kind} code {code}")).map_err(MappingsError)?;
    Ok(EntityRef { kind, scope, id })
}

/// The entity is reserved, and by this one.
fn reserved_by(token: Uuid) -> Expression {
    Expression::new("#token = :seen")
        .name("token")
        .value("seen", text(token.to_string()))
}

/// The entity is bound to this code.
fn bound_to(code: &Code) -> Expression {
    Expression::new("#code = :bound_code")
        .name("code")
        .value("bound_code", text(code.as_str()))
}

#[async_trait]
impl Mappings for DynamoDbMappings {
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, MappingsError> {
        let (face, tombstone) = (entity_key(entity), self.entity_tombstone(entity)?);
        let found = self.table.get_all(&[&face, &tombstone]).await;
        let mut found = found.map_err(MappingsError)?;
        if found.contains_key(&tombstone) {
            return Ok(Some(Mapping::Forgotten));
        }
        let face = found.remove(&face).map(|item| read_face(item, entity));
        Ok(face.transpose()?.map(|face| match face {
            Face::Reserved(reservation) => Mapping::Reserved(reservation),
            Face::Bound(binding) => Mapping::Bound(binding),
        }))
    }

    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, MappingsError> {
        let item = self.table.get(&code_key(kind, scope, code)).await;
        let item = item.map_err(MappingsError)?;
        item.map(|item| read_holder(item, kind, scope, code))
            .transpose()
    }

    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, MappingsError> {
        let item = to_item(&reservation).map_err(MappingsError)?;
        let put = Write::put(entity_key(entity), item).provided(Expression::nothing_there());
        let check = Write::check(self.entity_tombstone(entity)?, Expression::nothing_there());
        let written = self.table.write([put, check]).await;
        let mut refusals = match written.map_err(MappingsError)? {
            Written::Done => return Ok(Reserved::New),
            Written::Refused(refusals) => refusals,
        };
        if refusals.has(1) {
            return Ok(Reserved::Forgotten);
        }
        Ok(
            match read_face(refusals.take(0).unwrap_or_default(), entity)? {
                Face::Reserved(earlier) => Reserved::Earlier(earlier),
                Face::Bound(binding) => Reserved::Bound(binding),
            },
        )
    }

    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, MappingsError> {
        let item = to_item(&reservation).map_err(MappingsError)?;
        let put = Write::put(entity_key(entity), item).provided(reserved_by(seen));
        let written = self.table.write([put]).await.map_err(MappingsError)?;
        Ok(matches!(written, Written::Done))
    }

    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), MappingsError> {
        let delete = Write::delete(entity_key(entity)).provided(reserved_by(token));
        self.table.write([delete]).await.map_err(MappingsError)?;
        Ok(())
    }

    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, MappingsError> {
        let EntityRef { kind, scope, id } = entity;
        let code = &binding.code;
        for _ in 0..ATTEMPTS {
            let unbound = Expression::new("attribute_not_exists(#code)").name("code");
            let free = Expression::new("attribute_not_exists(#id) OR #id = :holder")
                .name("id")
                .value("holder", number(id.into()));
            let faces = [
                Write::put(
                    entity_key(entity),
                    to_item(&binding).map_err(MappingsError)?,
                )
                .provided(unbound),
                Write::put(
                    code_key(kind, scope, code),
                    to_item(&Holder { id }).map_err(MappingsError)?,
                )
                .provided(free),
                Write::check(self.entity_tombstone(entity)?, Expression::nothing_there()),
                Write::check(
                    self.code_tombstone(entity, code)?,
                    Expression::nothing_there(),
                ),
            ];
            let written = self.table.write(faces).await.map_err(MappingsError)?;
            let mut refusals = match written {
                Written::Done => return Ok(Bound::Done),
                Written::Refused(refusals) => refusals,
            };
            if refusals.has(2) || refusals.has(3) {
                return Ok(Bound::Forgotten);
            }
            let stored = refusals.take(0).map(|item| read_face(item, entity));
            match stored.transpose()? {
                Some(Face::Bound(stored)) if stored.code != *code => {
                    return Ok(Bound::OtherCode { code: stored.code });
                }
                Some(Face::Bound(stored)) if stored == binding => return Ok(Bound::Done),
                // The same code, but something else has changed: noted as it would be without a bind.
                Some(Face::Bound(_)) => {
                    if self.record_sync(entity, &binding).await?
                        && self.record_delivery(entity, code, binding.delivery).await?
                    {
                        return Ok(Bound::Done);
                    }
                    // Forgotten in between; the next attempt says so.
                }
                Some(Face::Reserved(_)) | None => {
                    if let Some(item) = refusals.take(1) {
                        let by = read_holder(item, kind, scope, code)?;
                        return Ok(Bound::CodeTaken { by });
                    }
                }
            }
        }
        Err(restless(entity))
    }

    async fn record_sync(
        &self,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<bool, MappingsError> {
        let mut values = to_item(binding).map_err(MappingsError)?;
        let change = Expression::assign(SYNC_ATTRIBUTES.map(|name| (name, values.remove(name))));
        let update = Write::update(entity_key(entity), change).provided(bound_to(&binding.code));
        let written = self.table.write([update]).await.map_err(MappingsError)?;
        Ok(matches!(written, Written::Done))
    }

    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, MappingsError> {
        let delivery = attribute(delivery).map_err(MappingsError)?;
        let change = Expression::assign([("delivery", Some(delivery))]);
        let unconfirmed = Expression::new("#code = :bound_code AND #delivery.#state <> :confirmed")
            .name("code")
            .name("delivery")
            .name("state")
            .value("bound_code", text(code.as_str()))
            .value("confirmed", text("confirmed"));
        let update = Write::update(entity_key(entity), change).provided(unconfirmed);
        let written = self.table.write([update]).await.map_err(MappingsError)?;
        let mut refusals = match written {
            Written::Done => return Ok(true),
            Written::Refused(refusals) => refusals,
        };
        // Bound to this code, then it is confirmed already and stays so.
        let stored = refusals.take(0).unwrap_or_default();
        Ok(stored.get("code") == Some(&text(code.as_str())))
    }

    async fn forget(&self, entity: EntityRef) -> Result<(), MappingsError> {
        for _ in 0..ATTEMPTS {
            let face = Write::delete(entity_key(entity));
            let tombstone = Write::put(self.entity_tombstone(entity)?, Item::new());
            let writes = match self.face(entity).await? {
                Some(Face::Bound(Binding { code, .. })) => vec![
                    face.provided(bound_to(&code)),
                    tombstone,
                    Write::delete(code_key(entity.kind, entity.scope, &code)),
                    Write::put(self.code_tombstone(entity, &code)?, Item::new()),
                ],
                Some(Face::Reserved(_)) | None => {
                    let unbound = Expression::new("attribute_not_exists(#code)").name("code");
                    vec![face.provided(unbound), tombstone]
                }
            };
            let written = self.table.write(writes).await.map_err(MappingsError)?;
            if matches!(written, Written::Done) {
                return Ok(());
            }
        }
        Err(restless(entity))
    }
    async fn records(
        &self,
        _: Scope,
        _: &[crate::domain::ErpId],
    ) -> Result<Vec<Option<super::RecordFace>>, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn known(
        &self,
        _: EntityKind,
        _: Scope,
        _: &[(crate::domain::ErpId, Code)],
    ) -> Result<Vec<super::Known>, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn get_many(&self, _: &[EntityRef]) -> Result<Vec<Option<Mapping>>, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn rename(
        &self,
        _: EntityRef,
        _: &crate::domain::ErpId,
        _: &Code,
        _: &Code,
    ) -> Result<Bound, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn record_owned(
        &self,
        _: Scope,
        _: &crate::domain::ErpId,
        _: Option<&crate::domain::Fingerprint>,
    ) -> Result<bool, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn announce_insert(
        &self,
        _: EntityKind,
        _: Scope,
        _: &crate::domain::ErpId,
        _: &Code,
        _: Option<&crate::domain::Fingerprint>,
    ) -> Result<bool, MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
    async fn withdraw_insert(
        &self,
        _: Scope,
        _: &crate::domain::ErpId,
    ) -> Result<(), MappingsError> {
        Err(MappingsError("SCAFFOLD".to_owned()))
    }
}

fn restless(entity: EntityRef) -> MappingsError {
    MappingsError(format!(
        "the mapping of {entity} changed {ATTEMPTS} times in a row"
    ))
}
