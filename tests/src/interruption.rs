//! What can go wrong at any call to the outside: a crash of the invocation, a call that fails or whose answer is lost or
//! late, a remote that answers something else, a message that is sent twice.
//!
//! Every store, queue and transport of the in-process bundle is wrapped. Each call has a number; a plan names one, or
//! chance decides, from a seed.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, Fingerprint, ImportLine, OrderText, Scope},
    http::{Transport, TransportError},
    import_jobs::{ImportBatch, ImportJobs, ImportJobsError},
    mappings::{
        Binding, Bound, BoundPage, CodeDelivery, Known, Mapping, Mappings, MappingsError,
        RecordFace, Reservation, Reserved,
    },
    norce::JobId,
    orders::{OrderRef, Orders, OrdersError, Parties, Received, StoredOrder},
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

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The invocation ends.
    Cut(Moment),
    /// It fails, and the other side has seen nothing of it.
    FailsBefore,
    /// The other side carries it out, and the answer is lost.
    FailsAfter,
    /// The other side carries it out, and the answer comes when nobody waits for it any more.
    TooLate,
    /// A remote answers this instead of carrying it out. A store or queue fails before.
    Answers(u16, &'static str),
    /// A message is sent twice. Anything else goes well.
    Twice,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Cut(Moment::Before),
        Self::Cut(Moment::During),
        Self::Cut(Moment::After),
        Self::FailsBefore,
        Self::FailsAfter,
        Self::TooLate,
        Self::Answers(429, ""),
        Self::Answers(500, "<html>"),
        Self::Answers(503, ""),
        Self::Answers(200, "garbage"),
        Self::Twice,
    ];
}

/// How long a store or a queue that answers too late takes: longer than its client waits.
const STORE_TOO_LATE: Duration = Duration::from_secs(30);

/// Numbers the calls and lets the planned ones go wrong.
#[derive(Default)]
pub struct Interruption {
    state: Mutex<State>,
    cut: Notify,
}

#[derive(Default)]
struct State {
    plan: Option<(usize, Fault)>,
    chance: Option<Chance>,
    calls: Vec<&'static str>,
}

struct Chance {
    random: fastrand::Rng,
    per_mille: u32,
}

impl Interruption {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the call with this number off, once. Numbers start anew at 0.
    pub fn plan(&self, call: usize, moment: Moment) {
        self.plan_fault(call, Fault::Cut(moment));
    }

    /// Lets the call with this number go wrong, once. Numbers start anew at 0.
    pub fn plan_fault(&self, call: usize, fault: Fault) {
        *self.state() = State {
            plan: Some((call, fault)),
            ..State::default()
        };
    }

    /// Lets so many of a thousand calls go wrong from now on, in any way, as this seed has it.
    pub fn leave_to_chance(&self, seed: u64, per_mille: u32) {
        *self.state() = State {
            chance: Some(Chance {
                random: fastrand::Rng::with_seed(seed),
                per_mille,
            }),
            ..State::default()
        };
    }

    /// Starts the numbers anew, with nothing to go wrong.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// Whether the planned fault is still to come.
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

    /// Counts a call, and says what goes wrong with it.
    fn begin(&self, name: &'static str) -> Option<Fault> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(name);
        if let Some((_, fault)) = state.plan.take_if(|(call, _)| *call == number) {
            return Some(fault);
        }
        let chance = state.chance.as_mut()?;
        let goes_wrong = chance.random.u32(0..1000) < chance.per_mille;
        if goes_wrong {
            chance.random.choice(Fault::ALL)
        } else {
            None
        }
    }

    /// Ends the invocation: whoever runs it drops it, and this never returns.
    async fn end<T>(&self) -> T {
        self.cut.notify_one();
        std::future::pending().await
    }

    /// A call that can be cut off; anything else that goes wrong is left to `failing`.
    async fn around<T>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = T>,
        failing: impl AsyncFnOnce(Fault, Option<T>) -> T,
    ) -> T {
        match fault {
            Some(Fault::Cut(Moment::Before)) => self.end().await,
            Some(Fault::Cut(Moment::During)) => {
                /// Long enough for the request to be on its way.
                const SENT_AFTER: Duration = Duration::from_millis(1);
                let _ = tokio::time::timeout(SENT_AFTER, call).await;
                self.end().await
            }
            Some(Fault::Cut(Moment::After)) => {
                call.await;
                self.end().await
            }
            Some(fault @ (Fault::FailsBefore | Fault::Answers(..))) => failing(fault, None).await,
            Some(fault @ (Fault::FailsAfter | Fault::TooLate)) => {
                let result = call.await;
                failing(fault, Some(result)).await
            }
            Some(Fault::Twice) | None => call.await,
        }
    }

    /// A call of a store or a queue.
    async fn around_store<T, E: Unreachable>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.around(fault, call, async |fault, _| {
            if fault == Fault::TooLate {
                tokio::time::sleep(STORE_TOO_LATE).await;
            }
            Err(E::unreachable(format!("{fault:?}")))
        })
        .await
    }
}

/// An error of a store or a queue that says that it could not be reached.
trait Unreachable {
    fn unreachable(what: String) -> Self;
}

macro_rules! unreachable_errors {
    ($($error:ident),+) => {$(
        impl Unreachable for $error {
            fn unreachable(what: String) -> Self {
                Self(what)
            }
        }
    )+};
}

unreachable_errors!(
    MappingsError,
    OwedError,
    ImportJobsError,
    PassesError,
    OrdersError,
    QueueError
);

/// Something whose calls can go wrong.
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
        let fault = self.interruption.begin(name);
        let call = self.inner.send(request, timeout);
        self.interruption
            .around(fault, call, async |fault, _| match fault {
                Fault::Answers(status, body) => http::Response::builder()
                    .status(status)
                    .body(Bytes::from_static(body.as_bytes()))
                    .map_err(|error| TransportError::NotSent(error.to_string())),
                Fault::TooLate => {
                    tokio::time::sleep(timeout).await;
                    Err(TransportError::AnswerLost("time-out".to_owned()))
                }
                Fault::FailsAfter => Err(TransportError::AnswerLost("reset".to_owned())),
                _ => Err(TransportError::NotSent("no connection".to_owned())),
            })
            .await
    }
}

#[async_trait]
impl<M: Message, T: Queue<M> + ?Sized> Queue<M> for Interruptible<T> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), QueueError> {
        let fault = self.interruption.begin("queue send");
        if fault == Some(Fault::Twice) {
            self.inner.send(messages, delay).await?;
        }
        self.interruption
            .around_store(fault, self.inner.send(messages, delay))
            .await
    }
}

macro_rules! interruptible {
    ($port:ident as $prefix:literal { $(async fn $name:ident(&self $(, $argument:ident: $type:ty)*) -> $result:ty;)* }) => {
        #[async_trait]
        impl<T: $port + ?Sized> $port for Interruptible<T> {
            $(async fn $name(&self $(, $argument: $type)*) -> $result {
                let name = concat!($prefix, " ", stringify!($name));
                let fault = self.interruption.begin(name);
                self.interruption.around_store(fault, self.inner.$name($($argument),*)).await
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

interruptible! { Orders as "orders" {
    async fn receive(&self, key: &OrderRef, order: &OrderText, at: DateTime<Utc>) -> Result<Received, OrdersError>;
    async fn get(&self, key: &OrderRef) -> Result<Option<StoredOrder>, OrdersError>;
    async fn lead(&self, key: &OrderRef, revision: Uuid, parties: &Parties) -> Result<bool, OrdersError>;
    async fn hand_on(&self, key: &OrderRef, revision: Uuid, at: DateTime<Utc>) -> Result<bool, OrdersError>;
    async fn let_go(&self, key: &OrderRef, revision: Uuid, at: DateTime<Utc>) -> Result<bool, OrdersError>;
    async fn wait_for(&self, entity: EntityRef, key: &OrderRef, at: DateTime<Utc>) -> Result<(), OrdersError>;
    async fn waiting_for(&self, entity: EntityRef) -> Result<Vec<OrderRef>, OrdersError>;
    async fn stop_waiting(&self, entity: EntityRef, keys: &[OrderRef]) -> Result<(), OrdersError>;
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
