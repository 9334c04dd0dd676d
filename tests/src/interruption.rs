//! Faults at any call to the outside: a crash of the invocation, a call that fails or whose answer is lost or late, a
//! remote with another answer, a message that is sent twice. Besides: a message that is delivered again, to two
//! consumers at once, or late; and a crash between any two awaits.
//!
//! Every store, queue and transport of the in-process bundle is wrapped. Each call, each delivery and each poll of an
//! invocation has a number; a plan names one, or chance decides, from a seed.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use shared::{
    StoreError,
    activity::{Activity, ActivityLayer},
    http::{Transport, TransportError},
    import_jobs::{ImportJobs, ImportJobsLayer},
    mappings::{
        Mappings, MappingsLayer, RecordMappings, RecordMappingsLayer,
        key_index::{KeyIndex, KeyIndexLayer},
    },
    orders::{Orders, OrdersLayer},
    owed::{OwedRecords, OwedRecordsLayer},
    passes::{Passes, PassesLayer},
    queues::{Inbox, InboxLayer, Message, Queue, QueueDepth, QueueDepthLayer},
    reports::{Reports, ReportsLayer},
};
use tokio::task::yield_now;

/// The moment at which a call is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the remote has seen anything of it.
    Before,
    /// While the remote is at it: it goes on, and the caller is gone.
    During,
    /// After the remote has carried it out, before the caller hears of it.
    After,
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The invocation ends.
    Cut(Moment),
    /// It fails before the other side receives it.
    FailsBefore,
    /// The other side carries it out, and the answer is lost.
    FailsAfter,
    /// The other side carries it out, and the answer comes when nobody waits for it any more.
    TooLate,
    /// It takes some seconds, and succeeds.
    Slow,
    /// A remote answers this instead of carrying it out.
    Answers(u16, &'static str),
    /// A message is sent twice.
    Twice,
}

impl Fault {
    /// The faults of a call of a store.
    const OF_STORE: &[Self] = &[
        Self::Cut(Moment::Before),
        Self::Cut(Moment::During),
        Self::Cut(Moment::After),
        Self::FailsBefore,
        Self::FailsAfter,
        Self::TooLate,
        Self::Slow,
    ];
    /// The faults of sending a message.
    const OF_SENDING: &[Self] = &[
        Self::Cut(Moment::Before),
        Self::Cut(Moment::During),
        Self::Cut(Moment::After),
        Self::FailsBefore,
        Self::FailsAfter,
        Self::TooLate,
        Self::Slow,
        Self::Twice,
    ];
    /// The faults of a request to a remote.
    const OF_REQUEST: &[Self] = &[
        Self::Cut(Moment::Before),
        Self::Cut(Moment::During),
        Self::Cut(Moment::After),
        Self::FailsBefore,
        Self::FailsAfter,
        Self::TooLate,
        Self::Slow,
        Self::Answers(429, ""),
        Self::Answers(500, "<html>"),
        Self::Answers(503, ""),
        Self::Answers(200, "garbage"),
    ];
}

const SECOND: Duration = Duration::from_secs(1);
const SECONDS: Duration = Duration::from_secs(10);
const MINUTES: Duration = Duration::from_secs(40 * 60);
const HOURS: Duration = Duration::from_secs(6 * 3_600);

/// A delivery of a message other than once and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Once more, so long after it was handled: SQS does not know that it was deleted.
    Again(Duration),
    /// To two invocations at the same time.
    ToTwo,
    /// Behind those that were received with it.
    Behind,
    /// So much later. On a standard queue, what was sent after it overtakes it; on a FIFO queue, its group waits with it.
    Late(Duration),
}

impl Delivery {
    /// What can happen on a FIFO queue: a message is never handled while another of its group is.
    const FIFO: &[Self] = &[
        Self::Again(SECOND),
        Self::Again(HOURS),
        Self::Late(SECONDS),
        Self::Late(MINUTES),
        Self::Late(HOURS),
    ];
    /// On a standard queue.
    const STANDARD: &[Self] = &[
        Self::Again(SECOND),
        Self::Again(HOURS),
        Self::ToTwo,
        Self::Behind,
        Self::Late(SECONDS),
        Self::Late(MINUTES),
        Self::Late(HOURS),
    ];
}

/// The one thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The call with this number, in this way.
    Call(usize, Fault),
    /// The delivery with this number.
    Delivery(usize, Delivery),
    /// The invocation that is polled the time with this number crashes instead.
    Poll(usize),
}

/// How long a store or a queue that answers too late takes: longer than its client waits.
const STORE_TOO_LATE: Duration = Duration::from_secs(30);

/// The duration of a slow call: less than any client waits.
const SLOW: Duration = Duration::from_secs(5);

/// Numbers calls, deliveries and polls, and lets the planned ones go wrong.
#[derive(Default)]
pub struct Interruption {
    state: Mutex<State>,
    clocks: Mutex<Option<Clocks>>,
}

/// Every invocation is on a host with a clock of its own.
struct Clocks {
    random: fastrand::Rng,
    differ_by: TimeDelta,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    always: Option<(&'static str, Fault)>,
    chance: Option<Chance>,
    calls: Vec<(String, &'static [Fault])>,
    deliveries: Vec<&'static [Delivery]>,
    polls: usize,
}

struct Chance {
    random: fastrand::Rng,
    per_mille: u32,
}

impl Chance {
    /// Chooses a fault, where chance has one.
    fn choose<T: Copy>(&mut self, kinds: &[T]) -> Option<T> {
        let goes_wrong = self.random.u32(0..1_000) < self.per_mille;
        if goes_wrong {
            self.random.choice(kinds).copied()
        } else {
            None
        }
    }
}

tokio::task_local! {
    /// Whether the current invocation has crashed.
    static CRASHED: Arc<AtomicBool>;
    /// The lead of the clock of the host.
    static AHEAD: TimeDelta;
}

/// How far the clock is ahead of the host that this invocation runs on.
pub(crate) fn clock_of_the_host() -> TimeDelta {
    AHEAD.try_with(|ahead| *ahead).unwrap_or_default()
}

impl Interruption {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the call with this number off, once. Numbers start again at 0.
    pub fn plan(&self, call: usize, moment: Moment) {
        self.let_happen(Plan::Call(call, Fault::Cut(moment)));
    }

    /// Lets one thing go wrong, once. Numbers start again at 0.
    pub fn let_happen(&self, plan: Plan) {
        *self.state() = State {
            plan: Some(plan),
            ..State::default()
        };
    }

    /// Lets so many of a thousand calls and deliveries go wrong from now on, in any way, as this seed has it.
    pub fn leave_to_chance(&self, seed: u64, per_mille: u32) {
        *self.state() = State {
            chance: Some(Chance {
                random: fastrand::Rng::with_seed(seed),
                per_mille,
            }),
            ..State::default()
        };
    }

    /// Lets every call of this name go wrong in this way from now on.
    pub fn always(&self, name: &'static str, fault: Fault) {
        *self.state() = State {
            always: Some((name, fault)),
            ..State::default()
        };
    }

    /// From now on, the clocks of any two invocations differ by this or not at all, as this seed has it.
    pub fn let_clocks_differ(&self, seed: u64, by: TimeDelta) {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        *clocks = Some(Clocks {
            random: fastrand::Rng::with_seed(seed),
            differ_by: by,
        });
    }

    fn clock_of_a_host(&self) -> TimeDelta {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(clocks) = clocks.as_mut() else {
            return TimeDelta::zero();
        };
        match clocks.random.bool() {
            true => clocks.differ_by,
            false => TimeDelta::zero(),
        }
    }

    /// Starts the numbers again at 0, with no fault planned.
    pub fn clear(&self) {
        *self.state() = State::default();
    }

    /// Whether the planned fault is still to come.
    pub fn is_planned(&self) -> bool {
        self.state().plan.is_some()
    }

    /// The names of the calls since the numbers began.
    pub fn calls(&self) -> Vec<String> {
        let state = self.state();
        state.calls.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Everything that could have gone wrong since the numbers began, one thing at a time.
    pub fn plans(&self) -> Vec<Plan> {
        let state = self.state();
        let calls = state.calls.iter().enumerate();
        let calls = calls.flat_map(|(number, (_, kinds))| {
            kinds.iter().map(move |fault| Plan::Call(number, *fault))
        });
        let deliveries = state.deliveries.iter().enumerate();
        let deliveries = deliveries.flat_map(|(number, kinds)| {
            kinds
                .iter()
                .map(move |delivery| Plan::Delivery(number, *delivery))
        });
        let polls = (0..state.polls).map(Plan::Poll);
        calls.chain(deliveries).chain(polls).collect()
    }

    /// Runs an invocation; `None`: it has crashed, and was dropped where it was.
    pub async fn invocation<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let crashed = Arc::new(AtomicBool::default());
        let work = AHEAD.scope(self.clock_of_a_host(), work);
        let mut work = pin!(CRASHED.scope(crashed.clone(), work));
        std::future::poll_fn(|context| {
            if self.crashes_now() {
                return Poll::Ready(None);
            }
            match work.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if crashed.load(Ordering::Relaxed) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Counts a poll of an invocation, and says whether it crashes instead.
    fn crashes_now(&self) -> bool {
        /// An invocation is polled a few times for every call that it makes.
        const POLLS_OF_A_CALL: u32 = 10;
        let mut state = self.state();
        let number = state.polls;
        state.polls += 1;
        let is_planned = state.plan.take_if(|plan| *plan == Plan::Poll(number));
        let by_chance = state
            .chance
            .as_mut()
            .is_some_and(|chance| chance.random.u32(0..1_000 * POLLS_OF_A_CALL) < chance.per_mille);
        is_planned.is_some() || by_chance
    }

    /// Counts a call, and says what goes wrong with it.
    fn begin(&self, name: &str, kinds: &'static [Fault]) -> Option<Fault> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push((name.to_owned(), kinds));
        match state.plan {
            Some(Plan::Call(call, fault)) if call == number => {
                state.plan = None;
                Some(fault)
            }
            _ => match state.always {
                Some((of, fault)) if of == name => Some(fault),
                _ => state.chance.as_mut()?.choose(kinds),
            },
        }
    }

    /// Counts a delivery, and says how else it happens.
    pub fn deliver(&self, is_fifo: bool) -> Option<Delivery> {
        let kinds = match is_fifo {
            true => Delivery::FIFO,
            false => Delivery::STANDARD,
        };
        let mut state = self.state();
        let number = state.deliveries.len();
        state.deliveries.push(kinds);
        match state.plan {
            Some(Plan::Delivery(planned, delivery)) if planned == number => {
                state.plan = None;
                Some(delivery)
            }
            _ => state.chance.as_mut()?.choose(kinds),
        }
    }

    /// A standard queue knows no order: where things are left to chance, there is none.
    pub fn shuffle<T>(&self, messages: &mut [T]) {
        if let Some(chance) = &mut self.state().chance {
            chance.random.shuffle(messages);
        }
    }

    /// Ends the invocation that this is called in: it is dropped, and this never returns.
    async fn end<T>(&self) -> T {
        // Outside an invocation the caller gets no answer.
        let _ = CRASHED.try_with(|crashed| crashed.store(true, Ordering::Relaxed));
        std::future::pending().await
    }

    /// A call that can be cut off; `failing` handles all other faults. The caller is suspended before and after it, as
    /// over a network.
    async fn around<T>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = T>,
        failing: impl AsyncFnOnce(Fault, Option<T>) -> T,
    ) -> T {
        yield_now().await;
        let result = match fault {
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
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOW).await;
                call.await
            }
            Some(Fault::Twice) | None => call.await,
        };
        yield_now().await;
        result
    }

    /// A call of a store or a queue.
    async fn around_store<T>(
        &self,
        store: &'static str,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.around(fault, call, async |fault, _| {
            if fault == Fault::TooLate {
                tokio::time::sleep(STORE_TOO_LATE).await;
            }
            Err(StoreError::new(store, format_args!("{fault:?}")))
        })
        .await
    }
}

/// A store, queue or transport whose calls can fail.
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
        let fault = self.interruption.begin(name, Fault::OF_REQUEST);
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
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError> {
        let fault = self.interruption.begin("queue send", Fault::OF_SENDING);
        if fault == Some(Fault::Twice) {
            self.inner.send(messages, delay).await?;
        }
        self.interruption
            .around_store("queue", fault, self.inner.send(messages, delay))
            .await
    }
}

macro_rules! interruptible {
    ($($port:ident as $layer:ident: $prefix:literal of the $store:literal;)*) => {$(
        #[async_trait]
        impl<T: $port + ?Sized> $layer for Interruptible<T> {
            type Inner = T;

            fn inner(&self) -> &T {
                &self.inner
            }

            async fn call<R: Send>(
                &self,
                method: &'static str,
                call: impl Future<Output = Result<R, StoreError>> + Send,
            ) -> Result<R, StoreError> {
                let fault = self.interruption.begin(&format!("{} {method}", $prefix), Fault::OF_STORE);
                self.interruption.around_store($store, fault, call).await
            }
        }
    )*};
}

interruptible! {
    Mappings as MappingsLayer: "mappings" of the "code mappings";
    RecordMappings as RecordMappingsLayer: "mappings" of the "code mappings";
    KeyIndex as KeyIndexLayer: "key-index" of the "code mappings";
    Passes as PassesLayer: "passes" of the "passes";
    OwedRecords as OwedRecordsLayer: "owed" of the "owed records";
    Activity as ActivityLayer: "activity" of the "activity record";
    Orders as OrdersLayer: "orders" of the "orders";
    ImportJobs as ImportJobsLayer: "import jobs" of the "import jobs";
    Reports as ReportsLayer: "reports" of the "reports";
    QueueDepth as QueueDepthLayer: "queue" of the "queue";
    Inbox as InboxLayer: "queue" of the "queue";
}
