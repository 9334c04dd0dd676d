//! Code mappings for a dry run.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use shared::{
    StoreError,
    domain::{Code, EntityRef, ErpId, Fingerprint, Scope},
    mappings::{
        Binding, Bound, CodeDelivery, Known, Mapping, Mappings, MappingsLayer, RecordEntry,
        Reservation, Reserved,
    },
};
use uuid::Uuid;

use super::{not_described::not_described, notes::Notes};
use crate::sentence::say;

/// Code mappings that write nothing.
pub(super) fn dry_mappings(inner: Arc<dyn Mappings>, notes: Notes) -> Arc<dyn Mappings> {
    Arc::new(DryMappings {
        inner,
        notes,
        changed: Mutex::default(),
    })
}

/// Code mappings that write nothing. They remember what would be bound or unbound, so that later reads return it.
struct DryMappings {
    notes: Notes,
    inner: Arc<dyn Mappings>,
    /// The mappings that would have changed; `None`: the entity would have none.
    changed: Mutex<HashMap<EntityRef, Option<Mapping>>>,
}

impl DryMappings {
    fn change(&self, entity: EntityRef, mapping: Option<Mapping>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(entity, mapping);
    }

    /// The mapping that an entity would have by now.
    async fn mapping(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError> {
        let changed = {
            let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            changed.get(&entity).cloned()
        };
        match changed {
            Some(mapping) => Ok(mapping),
            None => self.inner.get(entity).await,
        }
    }

    /// Whether the store would accept this code and this record for an entity.
    async fn would_accept(
        &self,
        entity: EntityRef,
        binding: &Binding,
    ) -> Result<Bound, StoreError> {
        let EntityRef { kind, scope, id } = entity;
        let asked = [(binding.erp_id.clone(), binding.code.clone())];
        match self.inner.known(kind, scope, &asked).await?.first() {
            Some(Known::Forgotten) => return Ok(Bound::Forgotten),
            Some(Known::Record(RecordEntry {
                kind,
                id: Some(holder),
                ..
            })) if (*kind, *holder) != (entity.kind, id) => {
                let by = EntityRef {
                    kind: *kind,
                    id: *holder,
                    scope,
                };
                return Ok(Bound::RecordTaken { by });
            }
            Some(Known::Code(holder)) if *holder != id => {
                let by = EntityRef {
                    id: *holder,
                    ..entity
                };
                return Ok(Bound::CodeTaken { by });
            }
            _ => {}
        }
        let code = &binding.code;
        self.notes.note(say!("would-bind", entity, code));
        self.change(entity, Some(Mapping::Bound(binding.clone())));
        Ok(Bound::Done)
    }
}

#[async_trait]
impl MappingsLayer for DryMappings {
    type Inner = dyn Mappings;

    fn inner(&self) -> &Self::Inner {
        &*self.inner
    }

    fn before_write(&self, method: &'static str) -> Result<(), StoreError> {
        Err(not_described(method))
    }

    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, StoreError> {
        self.mapping(entity).await
    }

    async fn reserve(&self, entity: EntityRef, _: Reservation) -> Result<Reserved, StoreError> {
        Ok(match self.mapping(entity).await? {
            None => Reserved::New,
            Some(Mapping::Reserved(earlier)) => Reserved::Earlier(earlier),
            Some(Mapping::Bound(binding)) => Reserved::Bound(binding),
            Some(Mapping::Forgotten) => Reserved::Forgotten,
        })
    }

    async fn renew(&self, _: EntityRef, _: Uuid, _: Reservation) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn release(&self, _: EntityRef, _: Uuid) -> Result<(), StoreError> {
        Ok(())
    }

    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, StoreError> {
        match self.mapping(entity).await? {
            Some(Mapping::Forgotten) => Ok(Bound::Forgotten),
            Some(Mapping::Bound(stored))
                if stored.code != binding.code || stored.erp_id != binding.erp_id =>
            {
                Ok(Bound::OtherCode { code: stored.code })
            }
            _ => self.would_accept(entity, &binding).await,
        }
    }

    async fn unbind(&self, entity: EntityRef, record: &ErpId) -> Result<bool, StoreError> {
        let code = match self.mapping(entity).await? {
            Some(Mapping::Bound(binding)) if binding.erp_id == *record => binding.code,
            _ => return Ok(false),
        };
        self.notes.note(say!("would-unbind", entity, code));
        self.change(entity, None);
        Ok(true)
    }

    async fn rebind(
        &self,
        entity: EntityRef,
        from: &ErpId,
        binding: Binding,
    ) -> Result<Bound, StoreError> {
        match self.mapping(entity).await? {
            Some(Mapping::Bound(stored)) if stored.erp_id == *from => {
                self.would_accept(entity, &binding).await
            }
            Some(Mapping::Bound(stored)) => Ok(Bound::OtherCode { code: stored.code }),
            _ => Ok(Bound::Forgotten),
        }
    }

    async fn take_over(
        &self,
        from: EntityRef,
        to: EntityRef,
        binding: Binding,
    ) -> Result<bool, StoreError> {
        if self.mapping(to).await?.is_some() {
            return Ok(false);
        }
        let code = &binding.code;
        self.notes.note(say!("would-move-code", code, from, to));
        self.change(from, None);
        self.change(to, Some(Mapping::Bound(binding)));
        Ok(true)
    }

    async fn record_sync(&self, _: EntityRef, _: &Binding) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn record_delivery(
        &self,
        _: EntityRef,
        code: &Code,
        delivery: CodeDelivery,
    ) -> Result<bool, StoreError> {
        if let CodeDelivery::Confirmed { .. } = delivery {
            self.notes.note(say!("would-note-code", code));
        }
        Ok(true)
    }

    async fn forget(&self, entity: EntityRef) -> Result<(), StoreError> {
        self.notes.note(say!("would-forget", entity));
        Ok(())
    }

    async fn record_owned(
        &self,
        _: Scope,
        _: &ErpId,
        _: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}
