//! Cuts an invocation off right before, during or right after any one of its calls to the outside: what a crash, a
//! time-out or a lost answer does to a function in the worst possible moment.
//!
//! Every store, queue and transport of the in-process bundle is wrapped. Each call has a number; a plan names one.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, ImportLine, Scope},
    http::{Transport, TransportError},
    import_jobs::{ImportBatch, ImportJobs, ImportJobsError},
    mappings::{
        Binding, Bound, BoundPage, CodeDelivery, Known, Mapping, Mappings, MappingsError,
        RecordFace, Reservation, Reserved,
    },
    norce::JobId,
    owed::{Dismissal, NewOwed, Owed, OwedError, OwedRecords, Stage, Subject},
    passes::{Lease, LeaseKey, Passes, PassesError, Run},
    queues::{Message, Queue, QueueError},
};
use tokio::sync::Notify;
use uuid::Uuid;

/// Where a call is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the remote has seen anything of it.
    Before,
    /// While the remote is at it: it goes on, and the caller is gone.
    During,
    /// After the remote has carried it out, before the caller hears of it.
    After,
}

/// Numbers the calls and cuts the planned one off.
#[derive(Default)]
pub struct Interruption {
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Default)]
struct State {
    plan: Option<(usize, Moment)>,
    calls: Vec<&'static str>,
}

impl Interruption {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the call with this number off, once. Numbers start anew at 0.
    pub fn plan(&self, call: usize, moment: Moment) {
        *self.state() = State {
            plan: Some((call, moment)),
            calls: Vec::new(),
        };
    }

    /// Starts the numbers anew, with nothing to be cut off.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// Whether the planned cut is still to come.
    pub fn is_planned(&self) -> bool {
        self.state().plan.is_some()
    }

    /// The names of the calls since the numbers began.
    pub fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// Resolves when a call was cut off: whoever runs the invocation drops it then.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    fn begin(&self, name: &'static str) -> usize {
        let mut state = self.state();
        state.calls.push(name);
        state.calls.len() - 1
    }

    fn is_due(&self, call: usize, moment: Moment) -> bool {
        let plan = &mut self.state().plan;
        let due = *plan == Some((call, moment));
        if due {
            *plan = None;
        }
        due
    }

    async fn around<T>(&self, name: &'static str, call: impl Future<Output = T>) -> T {
        let number = self.begin(name);
        if self.is_due(number, Moment::Before) {
            self.cut.notify_one();
            std::future::pending::<()>().await;
        }
        if self.is_due(number, Moment::During) {
            /// Long enough for the request to be on its way.
            const SENT_AFTER: Duration = Duration::from_millis(1);
            let _ = tokio::time::timeout(SENT_AFTER, call).await;
            self.cut.notify_one();
            return std::future::pending().await;
        }
        let result = call.await;
        if self.is_due(number, Moment::After) {
            self.cut.notify_one();
            std::future::pending::<()>().await;
        }
        result
    }
}

/// Something whose calls can be cut off.
pub struct Interruptible<T: ?Sized> {
    inner: Arc<T>,
    interruption: Arc<Interruption>,
}

impl<T: ?Sized> Interruptible<T> {
    /// Wraps.
    pub fn new(inner: Arc<T>, interruption: &Arc<Interruption>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            interruption: interruption.clone(),
        })
    }
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Interruptible<T> {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let name = match *request.method() {
            http::Method::POST => "http POST",
            http::Method::PATCH => "http PATCH",
            _ => "http GET",
        };
        self.interruption
            .around(name, self.inner.send(request, timeout))
            .await
    }
}

#[async_trait]
impl<M: Message, T: Queue<M> + ?Sized> Queue<M> for Interruptible<T> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), QueueError> {
        self.interruption
            .around("queue send", self.inner.send(messages, delay))
            .await
    }
}

macro_rules! interruptible {
    ($port:ident as $prefix:literal { $(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)* }) => {
        #[async_trait]
        impl<T: $port + ?Sized> $port for Interruptible<T> {
            $(async fn $name(&self $(, $argument: $type)*) -> $result {
                let name = concat!($prefix, " ", stringify!($name));
                self.interruption.around(name, self.inner.$name($($argument),*)).await
            })*
        }
    };
}

interruptible! { Mappings as "mappings" {
    async fn get(&self, entity: EntityRef) -> Result<Option<Mapping>, MappingsError>;
    async fn by_code(&self, kind: EntityKind, scope: Scope, code: &Code) -> Result<Option<EntityRef>, MappingsError>;
    async fn reserve(&self, entity: EntityRef, reservation: Reservation) -> Result<Reserved, MappingsError>;
    async fn renew(&self, entity: EntityRef, seen: Uuid, reservation: Reservation) -> Result<bool, MappingsError>;
    async fn release(&self, entity: EntityRef, token: Uuid) -> Result<(), MappingsError>;
    async fn bind(&self, entity: EntityRef, binding: Binding) -> Result<Bound, MappingsError>;
    async fn record_sync(&self, entity: EntityRef, binding: &Binding) -> Result<bool, MappingsError>;
    async fn record_delivery(&self, entity: EntityRef, code: &Code, delivery: CodeDelivery) -> Result<bool, MappingsError>;
    async fn forget(&self, entity: EntityRef) -> Result<(), MappingsError>;
    async fn records(&self, scope: Scope, records: &[ErpId]) -> Result<Vec<Option<RecordFace>>, MappingsError>;
    async fn known(&self, kind: EntityKind, scope: Scope, records: &[(ErpId, Code)]) -> Result<Vec<Known>, MappingsError>;
    async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, MappingsError>;
    async fn rename(&self, entity: EntityRef, record: &ErpId, from: &Code, to: &Code) -> Result<Bound, MappingsError>;
    async fn record_owned(&self, scope: Scope, record: &ErpId, fingerprint: Option<&Fingerprint>) -> Result<bool, MappingsError>;
    async fn announce_insert(&self, kind: EntityKind, scope: Scope, record: &ErpId, code: &Code, fingerprint: Option<&Fingerprint>) -> Result<bool, MappingsError>;
    async fn withdraw_insert(&self, scope: Scope, record: &ErpId) -> Result<(), MappingsError>;
    async fn bound(&self, after: Option<&str>) -> Result<BoundPage, MappingsError>;
} }

interruptible! { Passes as "passes" {
    async fn lease(&self, key: LeaseKey, wanted: Lease, now: DateTime<Utc>) -> Result<Result<(), Lease>, PassesError>;
    async fn release(&self, key: LeaseKey, invocation: Uuid, keep_until: Option<DateTime<Utc>>) -> Result<(), PassesError>;
    async fn run(&self, id: Uuid) -> Result<Option<Run>, PassesError>;
    async fn runs(&self) -> Result<Vec<Run>, PassesError>;
    async fn save(&self, run: &Run) -> Result<bool, PassesError>;
    async fn watermark(&self, key: LeaseKey, kind: EntityKind) -> Result<Option<DateTime<Utc>>, PassesError>;
    async fn advance(&self, key: LeaseKey, kind: EntityKind, to: DateTime<Utc>) -> Result<(), PassesError>;
    async fn wait_for_company(&self, scope: Scope, company: &ErpId, line: &ImportLine) -> Result<(), PassesError>;
    async fn waiting_for_company(&self, scope: Scope, company: &ErpId) -> Result<Vec<ImportLine>, PassesError>;
    async fn stop_waiting(&self, scope: Scope, company: &ErpId, lines: &[ImportLine]) -> Result<(), PassesError>;
} }

interruptible! { OwedRecords as "owed" {
    async fn put(&self, owed: NewOwed) -> Result<(), OwedError>;
    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, OwedError>;
    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, OwedError>;
    async fn note_retry(&self, subject: &Subject, stage: Stage, at: DateTime<Utc>) -> Result<bool, OwedError>;
    async fn dismiss(&self, subject: &Subject, stage: Stage, dismissal: &Dismissal) -> Result<bool, OwedError>;
    async fn list(&self) -> Result<Vec<Owed>, OwedError>;
} }

interruptible! { ImportJobs as "import jobs" {
    async fn record(&self, batch: &ImportBatch) -> Result<(), ImportJobsError>;
    async fn submitted(&self, batch: Uuid, job: JobId) -> Result<(), ImportJobsError>;
    async fn withdraw(&self, batch: Uuid) -> Result<(), ImportJobsError>;
    async fn get(&self, batch: Uuid) -> Result<Option<ImportBatch>, ImportJobsError>;
    async fn by_job(&self, job: JobId) -> Result<Option<ImportBatch>, ImportJobsError>;
    async fn settle(&self, batch: Uuid) -> Result<(), ImportJobsError>;
    async fn open(&self) -> Result<Vec<ImportBatch>, ImportJobsError>;
} }
