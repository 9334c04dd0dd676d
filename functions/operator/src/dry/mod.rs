//! Dry runs: the rules of `change-events` over ports that read and do not write, so that no rule is written twice.

mod mappings;
mod notes;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use change_events::{ChangeEvents, OrderForwarding};
use chrono::{DateTime, Utc};
use shared::{
    Consistency, StoreError,
    domain::{
        ChangeMessage, Code, EntityKind, EntityRef, ErpId, FieldGroups, ImportRequest, OrderText,
        OutgoingOrder,
    },
    erp::{
        Capabilities, CompanyKey, CreateOutcome, Cursor, Erp, ErpError, ErpFields, ErpRecord,
        FilterProof, IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind, RecordPage,
        Resource, UpdateOutcome,
    },
    http::Deadline,
    mappings::key_index::ReadOnly,
    metrics::Metrics,
    orders::{OrderRef, Orders, Parties, Received, StoredOrder},
    owed::{Dismissal, NewOwed, Owed, OwedPage, OwedRecords, Stage, Subject},
    queues::Queue,
};
use uuid::Uuid;

pub(crate) use self::notes::Notes;
use crate::sentence::say;

/// The id of a record that does not exist, and its code where the ERP's number series would give one.
const NEW: &str = "(new)";

/// The same function over ports that write nothing, and the notes of what it would write.
pub(crate) fn dry(real: &ChangeEvents) -> (ChangeEvents, Notes) {
    let notes = Notes::default();
    let erps = real.erps.iter().map(|(scope, erp)| {
        let erp: Arc<dyn Erp> = Arc::new(Dry {
            inner: erp.clone(),
            notes: notes.clone(),
        });
        (*scope, erp)
    });
    let dry = ChangeEvents {
        erps: erps.collect(),
        mappings: mappings::dry_mappings(real.mappings.clone(), notes.clone()),
        key_index: Arc::new(ReadOnly(real.key_index.clone())),
        owed: Arc::new(Dry {
            inner: real.owed.clone(),
            notes: notes.clone(),
        }),
        changes: Arc::new(notes.clone()),
        imports: Arc::new(notes.clone()),
        orders: real.orders.as_ref().map(|real| OrderForwarding {
            orders: Arc::new(Dry {
                inner: real.orders.clone(),
                notes: notes.clone(),
            }),
            outgoing: Arc::new(notes.clone()),
        }),
        // Dry runs are not measured.
        metrics: Metrics::default(),
        ..real.clone()
    };
    (dry, notes)
}

struct Dry<T: ?Sized> {
    notes: Notes,
    inner: Arc<T>,
}

#[async_trait]
impl Queue<ImportRequest> for Notes {
    async fn send(&self, requests: &[ImportRequest], _: Duration) -> Result<(), StoreError> {
        for line in requests.iter().flat_map(|request| &request.lines) {
            self.note(say!("would-import-code", code = line.code));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue<ChangeMessage> for Notes {
    async fn send(&self, changes: &[ChangeMessage], _: Duration) -> Result<(), StoreError> {
        for change in changes {
            self.note(say!("would-look-at", entity = change.group()));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue<OutgoingOrder> for Notes {
    async fn send(&self, orders: &[OutgoingOrder], _: Duration) -> Result<(), StoreError> {
        for order in orders {
            self.note(say!("would-hand-order-on", order = order.group));
        }
        Ok(())
    }
}

/// Dry runs check entities, never orders: they only read and change which orders wait.
#[async_trait]
impl Orders for Dry<dyn Orders> {
    async fn receive(
        &self,
        _: &OrderRef,
        _: &OrderText,
        _: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        Ok(Received::Stored)
    }

    async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, StoreError> {
        self.inner.get(key).await
    }

    async fn set_parties(&self, _: &OrderRef, _: Uuid, _: &Parties) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn set_forwarded(
        &self,
        _: &OrderRef,
        _: Uuid,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn discard(&self, _: &OrderRef, _: Uuid, _: DateTime<Utc>) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn wait_for(
        &self,
        _: EntityRef,
        _: &OrderRef,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, StoreError> {
        self.inner.waiting_for(entity).await
    }

    async fn stop_waiting(&self, _: EntityRef, _: &[OrderRef]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl OwedRecords for Dry<dyn OwedRecords> {
    async fn put(&self, _: NewOwed) -> Result<(), StoreError> {
        // The verdict reports it.
        Ok(())
    }

    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        let is_owed = self.inner.get(subject, stage).await?.is_some();
        if is_owed {
            self.notes.note(say!("would-resolve", subject, stage));
        }
        Ok(is_owed)
    }

    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, StoreError> {
        self.inner.get(subject, stage).await
    }

    async fn note_retry(
        &self,
        _: &Subject,
        _: Stage,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn dismiss(&self, _: &Subject, _: Stage, _: &Dismissal) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn restore(&self, _: &Subject, _: Stage) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<OwedPage, StoreError> {
        self.inner.page(after, consistency).await
    }
}

/// The record that a create would make, as far as it is known.
fn new_record(resource: Resource, code: Option<Code>, organisation: bool) -> Option<ErpRecord> {
    Some(ErpRecord {
        id: ErpId {
            resource,
            id: NEW.to_owned(),
        },
        code: code.or_else(|| NEW.parse().ok())?,
        version: String::new(),
        modified: None,
        organisation,
        blocked: false,
        company: None,
        fields: ErpFields::default(),
    })
}

#[async_trait]
impl Erp for Dry<dyn Erp> {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn company(&self) -> Option<String> {
        self.inner.company()
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        if id.id == NEW {
            return Ok(new_record(id.resource, None, false));
        }
        self.inner.get(id, deadline).await
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.inner.find_by_code(resource, code, deadline).await
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.inner.find_by_key(kind, key, deadline).await
    }

    fn carried_keys(&self, party: &Party) -> Vec<NaturalKey> {
        self.inner.carried_keys(party)
    }

    async fn key_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        self.inner.key_filter(field, deadline).await
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        _: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let resource = party.kind.resource();
        self.notes.note(match &key.code {
            Some(code) => say!("would-create-with-code", resource, code),
            None => say!("would-create", resource),
        });
        new_record(resource, key.code.clone(), party.kind.is_organisation())
            .map(CreateOutcome::Created)
            .ok_or(ErpError::CursorExpired)
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        _: &Party,
        _: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        if seen.id.id == NEW {
            return Ok(UpdateOutcome::Unchanged(seen.clone()));
        }
        // Whether anything differs is known only when the ERP has processed the values.
        self.notes.note(say!("would-update", code = seen.code));
        Ok(UpdateOutcome::Updated(seen.clone()))
    }

    async fn block(&self, id: &ErpId, deadline: Deadline) -> Result<UpdateOutcome, ErpError> {
        let Some(record) = self.inner.get(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        self.notes.note(say!("would-block", code = record.code));
        Ok(UpdateOutcome::Unchanged(record))
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        self.inner.page(listing, cursor, deadline).await
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.inner.get_many(ids, fields, deadline).await
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        self.inner.holders_of_keys(kind, keys, deadline).await
    }

    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        self.inner
            .other_holders_of_codes(kind, records, deadline)
            .await
    }

    async fn company_of(
        &self,
        key: &CompanyKey,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, ErpError> {
        self.inner.company_of(key, deadline).await
    }

    async fn company_key(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError> {
        self.inner.company_key(company, deadline).await
    }

    async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError> {
        self.inner.may_write(deadline).await
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        self.inner.clock(deadline).await
    }
}
