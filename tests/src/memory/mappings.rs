use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    Consistency, StoreError,
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, Scope},
    mappings::{
        Binding, Bound, BoundPage, CodeDelivery, Known, Mapping, Mappings, NewBinding,
        READ_BATCH_SIZE, RecordEntry, RecordMappings, Reservation, Reserved,
    },
};
use uuid::Uuid;

use super::{index::Index, lagging_map::LaggingMap};

/// Code mappings in memory.
#[derive(Debug, Default)]
pub struct MemoryMappings(Mutex<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    by_entity: LaggingMap<EntityRef, Stored>,
    by_code: HashMap<CodeKey, EntityRef>,
    pub(super) by_record: LaggingMap<(Scope, ErpId), RecordEntry>,
    forgotten_entities: HashSet<EntityRef>,
    forgotten_codes: HashSet<CodeKey>,
    pub(super) forgotten_records: HashSet<(Scope, ErpId)>,
    pub(super) index: Index,
}

#[derive(Debug, Clone)]
enum Stored {
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
            Some(Stored::Bound(binding)) if binding.code == *code => Some(binding),
            _ => None,
        }
    }

    fn bind(&mut self, entity: EntityRef, binding: Binding, indexed: Option<Fingerprint>) -> Bound {
        let key = code_key(entity, &binding.code);
        let record = (entity.scope, binding.erp_id.clone());
        if self.forgotten_entities.contains(&entity)
            || self.forgotten_codes.contains(&key)
            || self.forgotten_records.contains(&record)
        {
            return Bound::Forgotten;
        }
        match self.by_entity.get_mut(&entity) {
            Some(Stored::Bound(stored))
                if stored.code == binding.code && stored.erp_id == binding.erp_id =>
            {
                // A pass binds without having fetched anything.
                if binding.fetched_at.is_some() || binding.shop_fingerprint.is_some() {
                    record_sync(stored, &binding);
                }
                record_delivery(stored, binding.delivery);
                let confirmed = is_confirmed(stored);
                if let Some(entry) = self.by_record.get_mut(&record) {
                    entry.confirmed = confirmed;
                }
                return Bound::Done;
            }
            Some(Stored::Bound(stored)) => {
                return Bound::OtherCode {
                    code: stored.code.clone(),
                };
            }
            Some(Stored::Reserved(_)) | None => {}
        }
        if let Some(by) = self.by_code.get(&key) {
            return Bound::CodeTaken { by: *by };
        }
        let entry = self.by_record.get(&record);
        if let Some((kind, id)) = entry.and_then(|entry| Some((entry.kind, entry.id?))) {
            let scope = entity.scope;
            return Bound::RecordTaken {
                by: EntityRef { kind, scope, id },
            };
        }
        let entry = entry_of(entity, &binding, entry, indexed);
        self.by_record.insert(record, entry);
        self.by_code.insert(key, entity);
        self.by_entity.insert(entity, Stored::Bound(binding));
        Bound::Done
    }

    fn entry(&self, scope: Scope, record: &ErpId) -> Option<RecordEntry> {
        self.by_record.get(&(scope, record.clone())).cloned()
    }

    fn mapping(&self, entity: EntityRef) -> Option<Mapping> {
        if self.forgotten_entities.contains(&entity) {
            return Some(Mapping::Forgotten);
        }
        self.by_entity.get(&entity).map(|stored| match stored {
            Stored::Reserved(reservation) => Mapping::Reserved(reservation.clone()),
            Stored::Bound(binding) => Mapping::Bound(binding.clone()),
        })
    }
}

/// The entry of a record that is bound. The fingerprint of an earlier entry stays.
fn entry_of(
    entity: EntityRef,
    binding: &Binding,
    earlier: Option<&RecordEntry>,
    indexed: Option<Fingerprint>,
) -> RecordEntry {
    RecordEntry {
        kind: entity.kind,
        id: Some(entity.id),
        code: binding.code.clone(),
        erp_fingerprint: earlier.and_then(|earlier| earlier.erp_fingerprint.clone()),
        confirmed: is_confirmed(binding),
        indexed,
    }
}

/// Copies what a sync records: everything but the code and its delivery.
fn record_sync(stored: &mut Binding, seen: &Binding) {
    *stored = Binding {
        code: stored.code.clone(),
        erp_id: stored.erp_id.clone(),
        delivery: stored.delivery,
        former_code: stored.former_code.take(),
        ..seen.clone()
    };
}

fn record_delivery(stored: &mut Binding, delivery: CodeDelivery) {
    if !is_confirmed(stored) {
        stored.delivery = delivery;
    }
    if is_confirmed(stored) {
        stored.former_code = None;
    }
}

/// Replaces the code. Of several former codes Norce can have only the first: the imports of the later ones are not
/// confirmed.
fn rename(stored: &mut Binding, to: &Code) {
    let former = stored.former_code.take();
    let former = former.unwrap_or_else(|| stored.code.clone());
    stored.former_code = (former != *to).then_some(former);
    stored.code = to.clone();
    stored.delivery = CodeDelivery::Pending;
}

const fn is_confirmed(binding: &Binding) -> bool {
    matches!(binding.delivery, CodeDelivery::Confirmed { .. })
}

impl MemoryMappings {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, eventually consistent reads do not see the writes of the last `lag`.
    pub fn serve_stale_reads(&self, lag: Duration) {
        let mut state = self.state();
        state.by_entity.set_lag(lag);
        state.by_record.set_lag(lag);
    }
}

#[async_trait]
impl Mappings for MemoryMappings {
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError> {
        Ok(self.state().mapping(entity))
    }

    async fn by_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<Option<EntityRef>, StoreError> {
        let key = (kind, scope, code.clone());
        Ok(self.state().by_code.get(&key).copied())
    }

    async fn reserve(
        &self,
        entity: EntityRef,
        reservation: Reservation,
    ) -> Result<Reserved, StoreError> {
        let mut state = self.state();
        if state.forgotten_entities.contains(&entity) {
            return Ok(Reserved::Forgotten);
        }
        Ok(match state.by_entity.get(&entity) {
            Some(Stored::Reserved(earlier)) => Reserved::Earlier(earlier.clone()),
            Some(Stored::Bound(binding)) => Reserved::Bound(binding.clone()),
            None => {
                state
                    .by_entity
                    .insert(entity, Stored::Reserved(reservation));
                Reserved::New
            }
        })
    }

    async fn renew(
        &self,
        entity: EntityRef,
        seen: Uuid,
        reservation: Reservation,
    ) -> Result<bool, StoreError> {
        Ok(match self.state().by_entity.get_mut(&entity) {
            Some(Stored::Reserved(stored)) if stored.token == seen => {
                *stored = reservation;
                true
            }
            _ => false,
        })
    }

    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), StoreError> {
        let mut state = self.state();
        if matches!(state.by_entity.get(&entity), Some(Stored::Reserved(stored)) if stored.token == token)
        {
            state.by_entity.remove(&entity);
        }
        Ok(())
    }

    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, StoreError> {
        let mut state = self.state();
        let indexed = state.index.digest(entity.scope, &binding.erp_id);
        Ok(state.bind(entity, binding, indexed))
    }

    async fn bind_many(&self, bindings: &[NewBinding]) -> Result<Vec<Bound>, StoreError> {
        let mut state = self.state();
        let bind = |new: &NewBinding| {
            let (entity, binding) = (new.entity, new.binding.clone());
            let entry = state.entry(entity.scope, &binding.erp_id);
            state.bind(entity, binding, entry.and_then(|entry| entry.indexed))
        };
        Ok(bindings.iter().map(bind).collect())
    }

    async fn record_sync(&self, entity: EntityRef, binding: &Binding) -> Result<bool, StoreError> {
        let mut state = self.state();
        let stored = state.binding(entity, &binding.code);
        Ok(stored.map(|stored| record_sync(stored, binding)).is_some())
    }

    async fn record_gone(
        &self,
        entity: EntityRef,
        record: &ErpId,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        Ok(match state.by_entity.get_mut(&entity) {
            Some(Stored::Bound(binding)) if binding.erp_id == *record => {
                binding.gone_at.get_or_insert(at);
                true
            }
            _ => false,
        })
    }

    async fn record_delivery(
        &self,
        entity: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(stored) = state.binding(entity, code) else {
            return Ok(false);
        };
        record_delivery(stored, delivery);
        let (record, confirmed) = (stored.erp_id.clone(), is_confirmed(stored));
        if let Some(entry) = state.by_record.get_mut(&(entity.scope, record)) {
            entry.confirmed = confirmed;
        }
        Ok(true)
    }

    async fn forget(&self, entity: EntityRef) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(Stored::Bound(binding)) = state.by_entity.remove(&entity) {
            let key = code_key(entity, &binding.code);
            state.by_code.remove(&key);
            state.forgotten_codes.insert(key);
            let record = (entity.scope, binding.erp_id);
            state.by_record.remove(&record);
            state.index.unlist(record.0, &record.1);
            state.forgotten_records.insert(record);
        }
        state.forgotten_entities.insert(entity);
        Ok(())
    }

    async fn records(
        &self,
        scope: Scope,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<RecordEntry>>, StoreError> {
        let state = self.state();
        let entry = |record: &ErpId| {
            let key = (scope, record.clone());
            state.by_record.read(&key, consistency).cloned()
        };
        Ok(records.iter().map(entry).collect())
    }

    async fn known(
        &self,
        kind: EntityKind,
        scope: Scope,
        records: &[(ErpId, Code)],
    ) -> Result<Vec<Known>, StoreError> {
        let state = self.state();
        Ok(records
            .iter()
            .map(|(record, code)| {
                let code = (kind, scope, code.clone());
                if state.forgotten_records.contains(&(scope, record.clone()))
                    || state.forgotten_codes.contains(&code)
                {
                    Known::Forgotten
                } else if let Some(entry) = state.entry(scope, record) {
                    Known::Record(entry)
                } else if let Some(entity) = state.by_code.get(&code) {
                    Known::Code(entity.id)
                } else {
                    Known::Nothing
                }
            })
            .collect())
    }

    async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, StoreError> {
        let state = self.state();
        Ok(entities
            .iter()
            .map(|entity| state.mapping(*entity))
            .collect())
    }

    async fn unbind(&self, entity: EntityRef, record: &ErpId) -> Result<bool, StoreError> {
        let mut state = self.state();
        let code = match state.by_entity.get(&entity) {
            Some(Stored::Bound(binding)) if binding.erp_id == *record => binding.code.clone(),
            _ => return Ok(false),
        };
        state.by_entity.remove(&entity);
        state.by_code.remove(&code_key(entity, &code));
        state.by_record.remove(&(entity.scope, record.clone()));
        Ok(true)
    }

    async fn rebind(
        &self,
        entity: EntityRef,
        from: &ErpId,
        binding: Binding,
    ) -> Result<Bound, StoreError> {
        let mut state = self.state();
        let (code, record) = (
            code_key(entity, &binding.code),
            (entity.scope, binding.erp_id.clone()),
        );
        if state.forgotten_entities.contains(&entity)
            || state.forgotten_codes.contains(&code)
            || state.forgotten_records.contains(&record)
        {
            return Ok(Bound::Forgotten);
        }
        let former = match state.by_entity.get(&entity) {
            Some(Stored::Bound(stored))
                if (&stored.code, &stored.erp_id) == (&binding.code, &binding.erp_id) =>
            {
                return Ok(Bound::Done);
            }
            Some(Stored::Bound(stored)) if stored.erp_id == *from => stored.code.clone(),
            Some(Stored::Bound(stored)) => {
                let code = stored.code.clone();
                return Ok(Bound::OtherCode { code });
            }
            Some(Stored::Reserved(_)) | None => return Ok(Bound::Forgotten),
        };
        if let Some(by) = state.by_code.get(&code).filter(|by| **by != entity) {
            return Ok(Bound::CodeTaken { by: *by });
        }
        let entry = state.by_record.get(&record);
        let holder = entry.and_then(|entry| {
            let (kind, scope) = (entry.kind, entity.scope);
            Some(EntityRef {
                kind,
                scope,
                id: entry.id?,
            })
        });
        if let Some(by) = holder.filter(|by| *by != entity) {
            return Ok(Bound::RecordTaken { by });
        }
        let indexed = state.index.digest(record.0, &record.1);
        let entry = entry_of(entity, &binding, entry, indexed);
        state.by_code.remove(&code_key(entity, &former));
        state.by_record.remove(&(entity.scope, from.clone()));
        state.by_record.insert(record, entry);
        state.by_code.insert(code, entity);
        state.by_entity.insert(entity, Stored::Bound(binding));
        Ok(Bound::Done)
    }

    async fn take_over(
        &self,
        from: EntityRef,
        to: EntityRef,
        binding: Binding,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let is_bound = matches!(
            state.by_entity.get(&from),
            Some(Stored::Bound(stored))
                if (&stored.code, &stored.erp_id) == (&binding.code, &binding.erp_id)
        );
        if !is_bound
            || (from.kind, from.scope) != (to.kind, to.scope)
            || state.mapping(to).is_some()
        {
            return Ok(false);
        }
        let record = (to.scope, binding.erp_id.clone());
        if let Some(entry) = state.by_record.get_mut(&record) {
            entry.id = Some(to.id);
            entry.confirmed = is_confirmed(&binding);
        }
        state.by_entity.remove(&from);
        state.by_code.insert(code_key(to, &binding.code), to);
        state.by_entity.insert(to, Stored::Bound(binding));
        Ok(true)
    }

    async fn bound(&self, after: Option<&str>) -> Result<BoundPage, StoreError> {
        let state = self.state();
        let stored = state.by_entity.read_all(Consistency::Eventual);
        let bound = stored.filter_map(|(entity, stored)| {
            let Stored::Bound(binding) = stored else {
                return None;
            };
            Some((entity.to_string(), (*entity, binding.clone())))
        });
        let mut bound: Vec<_> = bound
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after))
            .collect();
        bound.sort_by(|(a, _), (b, _)| a.cmp(b));
        let next = (bound.len() > READ_BATCH_SIZE).then(|| bound[READ_BATCH_SIZE - 1].0.clone());
        bound.truncate(READ_BATCH_SIZE);
        Ok(BoundPage {
            bound: bound.into_iter().map(|(_, bound)| bound).collect(),
            next,
        })
    }

    async fn record_owned(
        &self,
        scope: Scope,
        record: &ErpId,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let entry = state.by_record.get_mut(&(scope, record.clone()));
        let bound = entry.filter(|entry| entry.id.is_some());
        Ok(bound
            .map(|entry| entry.erp_fingerprint = fingerprint.cloned())
            .is_some())
    }
}

#[async_trait]
impl RecordMappings for MemoryMappings {
    async fn rename(
        &self,
        entity: EntityRef,
        record: &ErpId,
        from: &Code,
        to: &Code,
    ) -> Result<Bound, StoreError> {
        let mut state = self.state();
        let (old, new) = (code_key(entity, from), code_key(entity, to));
        if state.forgotten_entities.contains(&entity) || state.forgotten_codes.contains(&new) {
            return Ok(Bound::Forgotten);
        }
        if let Some(by) = state.by_code.get(&new).filter(|by| **by != entity) {
            return Ok(Bound::CodeTaken { by: *by });
        }
        match state.by_entity.get_mut(&entity) {
            Some(Stored::Bound(binding)) if binding.erp_id == *record && binding.code == *to => {
                return Ok(Bound::Done);
            }
            Some(Stored::Bound(binding)) if binding.erp_id == *record && binding.code == *from => {
                rename(binding, to);
            }
            Some(Stored::Bound(binding)) => {
                return Ok(Bound::OtherCode {
                    code: binding.code.clone(),
                });
            }
            _ => return Ok(Bound::Forgotten),
        }
        state.by_code.remove(&old);
        state.by_code.insert(new, entity);
        let entry = state.by_record.get_mut(&(entity.scope, record.clone()));
        if let Some(entry) = entry {
            entry.code = to.clone();
            entry.confirmed = false;
        }
        Ok(Bound::Done)
    }

    async fn announce_insert(
        &self,
        kind: EntityKind,
        scope: Scope,
        record: &ErpId,
        code: &Code,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let key = (scope, record.clone());
        let code_key = (kind, scope, code.clone());
        let is_bound = state
            .by_record
            .get(&key)
            .is_some_and(|entry| entry.id.is_some());
        if is_bound
            || state.by_code.contains_key(&code_key)
            || state.forgotten_codes.contains(&code_key)
            || state.forgotten_records.contains(&key)
        {
            return Ok(false);
        }
        let entry = RecordEntry {
            kind,
            id: None,
            code: code.clone(),
            erp_fingerprint: fingerprint.cloned(),
            confirmed: false,
            indexed: None,
        };
        state.by_record.insert(key, entry);
        Ok(true)
    }

    async fn withdraw_insert(&self, scope: Scope, record: &ErpId) -> Result<(), StoreError> {
        let mut state = self.state();
        let key = (scope, record.clone());
        if state
            .by_record
            .get(&key)
            .is_some_and(|entry| entry.id.is_none())
        {
            state.by_record.remove(&key);
        }
        Ok(())
    }
}
