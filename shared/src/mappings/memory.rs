use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    Binding, Bound, CodeDelivery, Mapping, Mappings, MappingsError, Reservation, Reserved,
};
use crate::domain::{Code, EntityKind, EntityRef, Scope};

/// Code mappings in memory, for everything that runs in one process.
#[derive(Debug, Default)]
pub struct MemoryMappings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_entity: HashMap<EntityRef, Known>,
    by_code: HashMap<CodeKey, EntityRef>,
    forgotten_entities: HashSet<EntityRef>,
    forgotten_codes: HashSet<CodeKey>,
}

#[derive(Debug)]
enum Known {
    Reserved(Reservation),
    Bound(Binding),
}

type CodeKey = (EntityKind, Scope, Code);

fn code_key(entity: EntityRef, code: &Code) -> CodeKey {
    (entity.kind, entity.scope, code.clone())
}

impl State {
    /// The binding of an entity that is bound to this code.
    fn binding(&mut self, entity: EntityRef, code: &Code) -> Option<&mut Binding> {
        match self.by_entity.get_mut(&entity) {
            Some(Known::Bound(binding)) if binding.code == *code => Some(binding),
            _ => None,
        }
    }
}

impl Binding {
    /// Takes over what a look at both sides has shown. The code and its delivery stay.
    fn record_sync(&mut self, seen: &Self) {
        self.shop_fingerprint = seen.shop_fingerprint.clone();
        self.fetched_at = seen.fetched_at;
    }

    fn record_delivery(&mut self, delivery: CodeDelivery) {
        if !matches!(self.delivery, CodeDelivery::Confirmed { .. }) {
            self.delivery = delivery;
        }
    }
}

impl MemoryMappings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Mappings for MemoryMappings {
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, MappingsError> {
        let state = self.state();
        if state.forgotten_entities.contains(&entity) {
            return Ok(Some(Mapping::Forgotten));
        }
        Ok(state.by_entity.get(&entity).map(|known| match known {
            Known::Reserved(reservation) => Mapping::Reserved(reservation.clone()),
            Known::Bound(binding) => Mapping::Bound(binding.clone()),
        }))
    }

    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, MappingsError> {
        let key = (kind, scope, code.clone());
        Ok(self.state().by_code.get(&key).copied())
    }

    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, MappingsError> {
        let mut state = self.state();
        if state.forgotten_entities.contains(&entity) {
            return Ok(Reserved::Forgotten);
        }
        Ok(match state.by_entity.get(&entity) {
            Some(Known::Reserved(earlier)) => Reserved::Earlier(earlier.clone()),
            Some(Known::Bound(binding)) => Reserved::Bound(binding.clone()),
            None => {
                state.by_entity.insert(entity, Known::Reserved(reservation));
                Reserved::New
            }
        })
    }

    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, MappingsError> {
        Ok(match self.state().by_entity.get_mut(&entity) {
            Some(Known::Reserved(stored)) if stored.token == seen => {
                *stored = reservation;
                true
            }
            _ => false,
        })
    }

    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), MappingsError> {
        let mut state = self.state();
        if matches!(state.by_entity.get(&entity), Some(Known::Reserved(stored)) if stored.token == token)
        {
            state.by_entity.remove(&entity);
        }
        Ok(())
    }

    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, MappingsError> {
        let mut state = self.state();
        let key = code_key(entity, &binding.code);
        if state.forgotten_entities.contains(&entity) || state.forgotten_codes.contains(&key) {
            return Ok(Bound::Forgotten);
        }
        match state.by_entity.get_mut(&entity) {
            Some(Known::Bound(stored)) if stored.code == binding.code => {
                stored.record_sync(&binding);
                stored.record_delivery(binding.delivery);
                return Ok(Bound::Done);
            }
            Some(Known::Bound(stored)) => {
                return Ok(Bound::OtherCode {
                    code: stored.code.clone(),
                });
            }
            Some(Known::Reserved(_)) | None => {}
        }
        if let Some(by) = state.by_code.get(&key) {
            return Ok(Bound::CodeTaken { by: *by });
        }
        state.by_code.insert(key, entity);
        state.by_entity.insert(entity, Known::Bound(binding));
        Ok(Bound::Done)
    }

    async fn record_sync(
        &self,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<bool, MappingsError> {
        let mut state = self.state();
        let stored = state.binding(entity, &binding.code);
        Ok(stored.map(|stored| stored.record_sync(binding)).is_some())
    }

    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, MappingsError> {
        let mut state = self.state();
        let stored = state.binding(entity, code);
        Ok(stored
            .map(|stored| stored.record_delivery(delivery))
            .is_some())
    }

    async fn forget(&self, entity: EntityRef) -> Result<(), MappingsError> {
        let mut state = self.state();
        if let Some(Known::Bound(binding)) = state.by_entity.remove(&entity) {
            let key = code_key(entity, &binding.code);
            state.by_code.remove(&key);
            state.forgotten_codes.insert(key);
        }
        state.forgotten_entities.insert(entity);
        Ok(())
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
