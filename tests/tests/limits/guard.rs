//! The guard between the clients and a remote: when it holds calls back, and how long they wait (P8).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use shared::{
    StoreError,
    breakers::{Breakers, Guard, RateLimit, Remote},
    domain::{Breaker, Clock, Permit},
    http::{Transport, TransportError},
    metrics::Metrics,
};
use tests::{
    bundle::{TokioClock, start},
    limits::at_both_ends,
    memory::MemoryBreakers,
};
use tokio::time::Instant;

const NAME: &str = "erp/client";
/// Longer than the guard waits for anything.
const PATIENT: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// A remote with the answers that a test gives it.
struct Erp {
    answer: Mutex<Answer>,
    /// How long it takes to answer.
    takes: Mutex<Duration>,
    began: Instant,
    /// When it was asked.
    asked: Mutex<Vec<Duration>>,
}

#[derive(Clone)]
enum Answer {
    Status(u16, Option<&'static str>),
    Fails(TransportError),
}

impl Erp {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(Answer::Status(200, None)),
            takes: Mutex::default(),
            began: Instant::now(),
            asked: Mutex::default(),
        })
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    fn asked(&self) -> Vec<Duration> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Transport for Erp {
    async fn send(
        &self,
        _: Request<Bytes>,
        _: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        self.asked.lock().unwrap().push(self.began.elapsed());
        let (answer, takes) = (
            self.answer.lock().unwrap().clone(),
            *self.takes.lock().unwrap(),
        );
        tokio::time::sleep(takes).await;
        match answer {
            Answer::Status(status, retry_after) => {
                let mut response = Response::builder().status(status);
                if let Some(after) = retry_after {
                    response = response.header(header::RETRY_AFTER, after);
                }
                Ok(response.body(Bytes::new()).unwrap())
            }
            Answer::Fails(error) => Err(error),
        }
    }
}

/// Breakers whose table can be out of reach, and that count how often they are read.
#[derive(Default)]
struct Table {
    inner: MemoryBreakers,
    is_down: AtomicBool,
    reads: AtomicUsize,
}

impl Table {
    fn up(&self) -> Result<(), StoreError> {
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(StoreError::new("breakers", "no answer in time")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Breakers for Table {
    async fn get(&self, remote: &str) -> Result<Breaker, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.up()?;
        let state = self.inner.get(remote).await;
        // Others read it before this one can write.
        tokio::task::yield_now().await;
        state
    }

    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, StoreError> {
        self.up()?;
        self.inner.replace(remote, seen, next).await
    }

    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError> {
        self.inner.list().await
    }
}

/// A remote, the table, and the clock of everybody.
struct World {
    erp: Arc<Erp>,
    table: Arc<Table>,
    clock: Arc<TokioClock>,
    metrics: Metrics,
}

impl World {
    fn new() -> Self {
        Self {
            erp: Erp::new(),
            table: Arc::default(),
            clock: Arc::new(TokioClock::from_start()),
            metrics: Metrics::default(),
        }
    }

    /// A process that asks the remote, this fast at most.
    fn process(&self, limit: RateLimit) -> Process {
        let guard = Guard::new(self.table.clone(), self.clock.clone(), self.metrics.clone());
        Process(guard.around(self.erp.clone(), move |_| Remote {
            name: NAME.to_owned(),
            limit,
        }))
    }

    async fn state(&self) -> Breaker {
        self.table.inner.get(NAME).await.unwrap()
    }

    /// The state that another process has stored.
    async fn put(&self, breaker: Breaker) {
        let seen = self.state().await;
        let replaced = self.table.inner.replace(NAME, &seen, &breaker).await;
        assert!(replaced.unwrap());
    }
}

struct Process(Arc<dyn Transport>);

impl Process {
    async fn asks_within(&self, timeout: Duration) -> Result<StatusCode, TransportError> {
        let request = Request::get("http://erp.localhost/").body(Bytes::new());
        let response = self.0.send(request.unwrap(), timeout).await?;
        Ok(response.status())
    }

    async fn asks(&self) -> Result<StatusCode, TransportError> {
        self.asks_within(PATIENT).await
    }

    async fn asks_times(&self, times: u32) {
        for _ in 0..times {
            // Whatever comes of it.
            let _ = self.asks().await;
        }
    }

    /// For how long a call is held back, if it is.
    async fn held(&self) -> Option<Duration> {
        match self.asks().await {
            Err(TransportError::CircuitOpen { after }) => Some(after),
            _ => None,
        }
    }
}

fn rate(per_second: f64, burst: u32) -> RateLimit {
    RateLimit {
        per_second,
        burst,
        ..RateLimit::NONE
    }
}

fn one_at_a_time() -> RateLimit {
    RateLimit {
        at_once: 1,
        ..RateLimit::NONE
    }
}

#[tokio::test(start_paused = true)]
async fn p8_calls_come_at_once_as_far_as_the_burst_goes_and_then_wait_for_their_turn() {
    let world = World::new();
    let process = world.process(rate(2.0, 3));
    for _ in 0..6 {
        process.asks().await.unwrap();
    }
    let expected = [0, 0, 0, 500, 1_000, 1_500].map(Duration::from_millis);
    assert_eq!(world.erp.asked(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_in_more_than_ten_seconds_is_held_back_until_then() {
    at_both_ends(10 * SECOND + MILLISECOND, async |turn| {
        let world = World::new();
        let process = world.process(rate(1.0 / turn.as_secs_f64(), 1));
        process.asks().await.unwrap();
        let Some(after) = process.held().await else {
            assert_eq!(world.erp.asked(), [Duration::ZERO, turn]);
            return false;
        };
        assert_eq!(world.erp.asked(), [Duration::ZERO], "it was not sent");
        // And took no turn from others.
        assert_eq!(process.held().await, Some(after));
        tokio::time::sleep(after).await;
        assert_eq!(process.held().await, None);
        true
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_ten_seconds_for_another_to_end_or_as_long_as_it_has_itself() {
    for (has, waits) in [(PATIENT, 10 * SECOND), (3 * SECOND, 3 * SECOND)] {
        // Half a second on either side: both end at the same moment otherwise.
        at_both_ends(waits.as_secs() + 1, async |seconds| {
            let world = World::new();
            let process = world.process(one_at_a_time());
            world.erp.takes(Duration::from_secs(seconds) - SECOND / 2);
            let (first, second) = tokio::join!(process.asks(), process.asks_within(has));
            first.unwrap();
            let is_held = matches!(second, Err(TransportError::CircuitOpen { .. }));
            assert_eq!(world.erp.asked().len() == 1, is_held);
            is_held
        })
        .await;
    }
}

/// What counts towards an outage, and what is an answer.
fn answers() -> Vec<(Answer, bool)> {
    let lost = TransportError::AnswerLost("reset".to_owned());
    let not_sent = TransportError::NotSent("no connection".to_owned());
    let failures = [408, 423, 429, 500, 502, 503, 504].map(|status| (status, true));
    let answers = [200, 204, 301, 400, 401, 403, 404, 409, 412].map(|status| (status, false));
    let mut all: Vec<(Answer, bool)> = failures
        .into_iter()
        .chain(answers)
        .map(|(status, is_failure)| (Answer::Status(status, None), is_failure))
        .collect();
    all.push((Answer::Fails(lost), true));
    all.push((Answer::Fails(not_sent), true));
    all
}

#[tokio::test(start_paused = true)]
async fn p8_a_remote_is_left_alone_after_five_failures_of_any_kind_in_a_row() {
    for (answer, is_failure) in answers() {
        let is_held_after = async |times: u32| {
            let world = World::new();
            let process = world.process(RateLimit::NONE);
            world.erp.answers(answer.clone());
            process.asks_times(times).await;
            let is_open = world.state().await != Breaker::Closed;
            assert_eq!(process.held().await.is_some(), is_open);
            is_open
        };
        if is_failure {
            at_both_ends(5, is_held_after).await;
        } else {
            assert!(!is_held_after(20).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failures_between_which_the_remote_has_answered_are_no_outage() {
    let world = World::new();
    let process = world.process(RateLimit::NONE);
    for _ in 0..5 {
        world.erp.answers(Answer::Status(503, None));
        process.asks_times(4).await;
        world.erp.answers(Answer::Status(404, None));
        process.asks_times(1).await;
    }
    assert_eq!(world.state().await, Breaker::Closed);
}

#[tokio::test(start_paused = true)]
async fn p8_a_remote_that_asks_for_more_than_ten_seconds_is_left_alone_for_as_long() {
    for status in [429, 503] {
        at_both_ends(11_u64, async |seconds| {
            let world = World::new();
            let process = world.process(RateLimit::NONE);
            let asked: &'static str = seconds.to_string().leak();
            world.erp.answers(Answer::Status(status, Some(asked)));
            process.asks_times(1).await;
            let held = process.held().await;
            assert!(held.is_none_or(|after| after == Duration::from_secs(seconds)));
            held.is_some()
        })
        .await;
    }
    // Elsewhere the header says something else, or nothing.
    for status in [200, 301, 408, 500] {
        let world = World::new();
        let process = world.process(RateLimit::NONE);
        world.erp.answers(Answer::Status(status, Some("600")));
        process.asks_times(1).await;
        assert_eq!(process.held().await, None, "{status}");
    }
}

/// Whatever a remote asks for, also again after each probe.
#[tokio::test(start_paused = true)]
async fn p8_a_remote_that_asks_for_more_than_an_hour_is_probed_after_an_hour() {
    let hour = Duration::from_secs(3_600);
    let asks = [
        "3600",
        "3601",
        "86400",
        "9223372036854775807",
        "18446744073709551615",
        "99999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ];
    for asked in asks {
        let world = World::new();
        let process = world.process(RateLimit::NONE);
        world.erp.answers(Answer::Status(503, Some(asked)));
        for _ in 0..3 {
            assert_eq!(process.asks().await.unwrap(), 503, "{asked}");
            assert_eq!(process.held().await, Some(hour), "{asked}");
            tokio::time::sleep(hour).await;
        }
        world.erp.answers(Answer::Status(200, None));
        assert_eq!(process.asks().await.unwrap(), 200, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn p8_what_another_process_has_found_out_is_known_after_five_seconds() {
    at_both_ends(5 * SECOND, async |elapsed| {
        let world = World::new();
        let process = world.process(RateLimit::NONE);
        process.asks().await.unwrap();
        world
            .put(Breaker::opened(
                world.clock.now(),
                Some(chrono::TimeDelta::hours(1)),
            ))
            .await;
        tokio::time::sleep(elapsed).await;
        process.held().await.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_breakers_are_read_every_five_seconds_at_most_also_while_they_cannot_be() {
    for is_down in [false, true] {
        at_both_ends(5 * SECOND, async |elapsed| {
            let world = World::new();
            world.table.is_down.store(is_down, Ordering::Relaxed);
            let process = world.process(RateLimit::NONE);
            process.asks_times(20).await;
            tokio::time::sleep(elapsed).await;
            process.asks_times(20).await;
            match world.table.reads.load(Ordering::Relaxed) {
                1 => false,
                2 => true,
                reads => panic!("{reads} reads"),
            }
        })
        .await;
    }
}

/// A breaker protects the remote, and must not become an outage of its own.
#[tokio::test(start_paused = true)]
async fn p8_while_the_breakers_cannot_be_read_or_written_calls_go_on() {
    for status in [200, 503] {
        let world = World::new();
        world.table.is_down.store(true, Ordering::Relaxed);
        let process = world.process(RateLimit::NONE);
        world.erp.answers(Answer::Status(status, None));
        for _ in 0..20 {
            assert_eq!(process.asks().await.unwrap(), status);
            tokio::time::sleep(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p8_while_the_breakers_cannot_be_read_the_last_known_state_counts_until_a_probe_is_due() {
    at_both_ends(5 * SECOND, async |elapsed| {
        let world = World::new();
        let process = world.process(RateLimit::NONE);
        world.erp.answers(Answer::Status(503, None));
        process.asks_times(5).await;
        world.table.is_down.store(true, Ordering::Relaxed);
        world.erp.answers(Answer::Status(200, None));
        tokio::time::sleep(elapsed).await;
        let went_on = process.asks().await.is_ok();
        if went_on {
            process.asks().await.unwrap();
        }
        went_on
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p8_one_process_tries_a_remote_that_was_left_alone_and_the_others_wait_for_its_outcome() {
    let world = World::new();
    let [one, other] = [
        world.process(RateLimit::NONE),
        world.process(RateLimit::NONE),
    ];
    world.erp.answers(Answer::Status(503, None));
    one.asks_times(5).await;
    assert!(other.held().await.is_some());
    tokio::time::sleep(5 * SECOND).await;
    world.erp.answers(Answer::Status(200, None));
    world.erp.takes(2 * SECOND);
    let before = world.erp.asked().len();
    // Both have seen that a probe is due.
    let outcomes = tokio::join!(one.asks(), other.asks());
    match outcomes {
        (Ok(status), Err(TransportError::CircuitOpen { after: held }))
        | (Err(TransportError::CircuitOpen { after: held }), Ok(status)) => {
            assert_eq!((status, held), (StatusCode::OK, 5 * SECOND));
        }
        outcomes => panic!("{outcomes:?}"),
    }
    assert_eq!(world.erp.asked().len(), before + 1);
    assert!(matches!(world.state().await, Breaker::Recovering { .. }));
}

#[tokio::test(start_paused = true)]
async fn p8_after_an_outage_a_process_asks_twice_a_second_and_then_faster() {
    let world = World::new();
    let now = world.clock.now();
    world.put(Breaker::Recovering { since: now }).await;
    let process = world.process(RateLimit::NONE);
    process.asks_times(4).await;
    let spread = [0, 500, 1_000, 1_500];
    // The rate has risen a little with every call.
    for (asked, at_most) in world.erp.asked().into_iter().zip(spread) {
        let at_most = Duration::from_millis(at_most);
        assert!(asked <= at_most && asked * 10 >= at_most * 9, "{asked:?}");
    }
}

mod breaker {
    //! Its states, by the time of day.

    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    fn open() -> Breaker {
        Breaker::opened(start(), None)
    }

    fn is_probed(breaker: &Breaker, at: DateTime<Utc>) -> bool {
        matches!(breaker.permit(at), Permit::Probe(_))
    }

    fn probing(breaker: &Breaker, at: DateTime<Utc>) -> Breaker {
        match breaker.permit(at) {
            Permit::Probe(probing) => probing,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_probe_comes_after_five_seconds_or_as_late_as_the_remote_asks() {
        for (asked, wait) in [
            (None, 5),
            (Some(1), 5),
            (Some(60), 60),
            (Some(7_200), 7_200),
        ] {
            let opened = Breaker::opened(start(), asked.map(TimeDelta::seconds));
            at_both_ends(TimeDelta::seconds(wait), async |after| {
                is_probed(&opened, start() + after)
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_probe_without_an_outcome_is_given_up_after_three_minutes() {
        let at = start() + TimeDelta::seconds(5);
        let probing = probing(&open(), at);
        at_both_ends(TimeDelta::minutes(3), async |after| {
            is_probed(&probing, at + after)
        })
        .await;
    }

    #[tokio::test]
    async fn p8_the_waits_between_probes_double_until_they_are_five_minutes() {
        let (mut breaker, mut at) = (open(), start());
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300, 300] {
            at_both_ends(TimeDelta::seconds(seconds), async |after| {
                is_probed(&breaker, at + after)
            })
            .await;
            at += TimeDelta::seconds(seconds);
            breaker = probing(&breaker, at).probed(false, None, at);
        }
    }

    #[tokio::test]
    async fn a_remote_that_nobody_asks_is_called_unavailable_for_half_an_hour_after_its_probe_was_due()
     {
        let at = start() + TimeDelta::seconds(5);
        for (breaker, due) in [
            (open(), at),
            (probing(&open(), at), at + TimeDelta::minutes(3)),
        ] {
            at_both_ends(TimeDelta::minutes(30), async |after| {
                breaker.unavailable_since(due + after).is_none()
            })
            .await;
        }
    }

    #[tokio::test]
    async fn p8_the_rate_is_free_three_minutes_after_an_outage() {
        let recovering = Breaker::Recovering { since: start() };
        at_both_ends(TimeDelta::minutes(3), async |after| {
            recovering.permit(start() + after) == Permit::Go(None)
        })
        .await;
        let rates = [0, 15, 30, 45].map(|after| {
            let at = start() + TimeDelta::seconds(after);
            recovering.permit(at)
        });
        assert_eq!(
            rates,
            [2.0, 4.0, 8.0, 16.0].map(|rate| Permit::Go(Some(rate)))
        );
    }
}
