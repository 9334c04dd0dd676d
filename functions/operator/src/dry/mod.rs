//! Dry runs: the rules of `change-events` over ports that read and do not write, so that no rule is written twice.

mod mappings;
mod not_described;
mod notes;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use change_events::{ChangeEvents, OrderForwarding};
use chrono::{DateTime, Utc};
use shared::{
    StoreError,
    domain::{ChangeMessage, Code, EntityRef, ErpId, ImportRequest, OutgoingOrder},
    erp::{
        Block, CreateOutcome, Erp, ErpError, ErpFields, ErpLayer, ErpRecord, IdempotencyKey, Party,
        Resource, UpdateOutcome,
    },
    http::Deadline,
    mappings::key_index::ReadOnly,
    metrics::Metrics,
    orders::{OrderRef, Orders, OrdersLayer},
    owed::{NewOwed, OwedRecords, OwedRecordsLayer, Stage, Subject},
    queues::Queue,
};

use self::not_described::not_described;
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

/// A dry run checks entities, never orders: of the writes it meets only those of what orders wait for.
#[async_trait]
impl OrdersLayer for Dry<dyn Orders> {
    type Inner = dyn Orders;

    fn inner(&self) -> &Self::Inner {
        &*self.inner
    }

    fn before_write(&self, method: &'static str) -> Result<(), StoreError> {
        Err(not_described(method))
    }

    async fn wait_for(
        &self,
        _: EntityRef,
        _: &OrderRef,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stop_waiting(&self, _: EntityRef, _: &[OrderRef]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl OwedRecordsLayer for Dry<dyn OwedRecords> {
    type Inner = dyn OwedRecords;

    fn inner(&self) -> &Self::Inner {
        &*self.inner
    }

    fn before_write(&self, method: &'static str) -> Result<(), StoreError> {
        Err(not_described(method))
    }

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
impl ErpLayer for Dry<dyn Erp> {
    type Inner = dyn Erp;

    fn inner(&self) -> &Self::Inner {
        &*self.inner
    }

    fn before_write(&self, method: &'static str) -> Result<(), ErpError> {
        Err(ErpError::Refused {
            field: None,
            code: "dry-run".to_owned(),
            message: format!("it does not {method}"),
        })
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        if id.id == NEW {
            return Ok(new_record(id.resource, None, false));
        }
        self.inner.get(id, deadline).await
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

    /// It belongs to the create, which is noted.
    async fn complete(&self, _: &ErpId, _: &Party, _: Deadline) -> Result<(), ErpError> {
        Ok(())
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

    async fn block(
        &self,
        id: &ErpId,
        _: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let Some(record) = self.inner.get(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        self.notes.note(say!("would-block", code = record.code));
        Ok(UpdateOutcome::Unchanged(record))
    }
}
