//! Stands between the clients and a remote: pauses calls to a remote while it is down, and keeps to its rate limit (P8).
//!
//! It is a [`Transport`], so that no client and no use case knows of it: a call that is held back is one that was not sent,
//! and says for how long. Its message waits in its queue, as for every other reason. The state is shared ([`Breakers`]);
//! each process looks at it every few seconds and writes when it changes. Where the store does not answer, calls go on: a
//! breaker protects the remote, and must not become an outage of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::{Request, Response, StatusCode};
use tokio::{sync::Semaphore, time::Instant};

use super::Breakers;
use crate::{
    Since,
    domain::{Breaker, Clock, FAILURES_UNTIL_OPEN, Permit},
    http::{Transport, TransportError, is_temporary, retry_after},
    metrics::{Metric, Metrics},
};

/// How old the state may be that a process knows. An outage is noticed by the process's own calls anyway.
const REFRESH: Duration = Duration::from_secs(5);
/// A call is kept waiting for its turn for so long at most; beyond that its message waits in the queue, where it costs
/// nothing.
const LONGEST_TURN: Duration = Duration::from_secs(10);
/// When a remote asks with 429 or 503 to wait longer than this, calls to it are paused. Shorter waits are made within a call.
const LONG_RATE_LIMIT: Duration = Duration::from_secs(10);

/// How fast one process may ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Calls a second, in the long run.
    pub per_second: f64,
    /// Calls that may come at once after a rest.
    pub burst: u32,
    /// Calls at the same time.
    pub at_once: usize,
}

impl RateLimit {
    /// As fast as it goes.
    pub const NONE: Self = Self {
        per_second: f64::INFINITY,
        burst: 1,
        at_once: Semaphore::MAX_PERMITS,
    };
}

/// Which breaker and limit a request is under.
#[derive(Debug, Clone, PartialEq)]
pub struct Remote {
    /// The name, such as `erp/client`.
    pub name: String,
    /// How fast it may be asked.
    pub limit: RateLimit,
}

/// What all guarded transports of a process share.
#[derive(Clone)]
pub struct Guard {
    breakers: Arc<dyn Breakers>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Guard {
    /// A guard over the stored states of breakers.
    pub fn new(breakers: Arc<dyn Breakers>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self {
            breakers,
            clock,
            metrics,
        }
    }

    /// A transport that asks the breakers first; `remote` says under which one a request is.
    pub fn around(
        &self,
        inner: Arc<dyn Transport>,
        remote: impl Fn(&Request<Bytes>) -> Remote + Send + Sync + 'static,
    ) -> Arc<dyn Transport> {
        Arc::new(GuardedTransport {
            guard: self.clone(),
            inner,
            remote: Box::new(remote),
            remotes: Mutex::default(),
        })
    }
}

/// Says which remote a request is for.
type RemoteOf = Box<dyn Fn(&Request<Bytes>) -> Remote + Send + Sync>;

struct GuardedTransport {
    guard: Guard,
    inner: Arc<dyn Transport>,
    remote: RemoteOf,
    remotes: Mutex<HashMap<String, Arc<Known>>>,
}

/// What this process knows of a remote.
struct Known {
    places: Semaphore,
    limit: RateLimit,
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    seen_at: Option<Since>,
    failures: u32,
    /// From when turns are counted: a remote's allowance grows while the process is frozen, too.
    begin: Since,
    /// When the next call's turn would be, were there no bursts, counted from `begin`: of the limit, and after an outage.
    turns: [Option<Duration>; 2],
}

impl Default for State {
    fn default() -> Self {
        Self {
            breaker: Breaker::default(),
            seen_at: None,
            failures: 0,
            begin: Since::now(),
            turns: [None; 2],
        }
    }
}

impl State {
    /// Takes a turn, and says how long it is until then; `Err`: too long, and it was not taken.
    fn turn(
        &mut self,
        limit: &RateLimit,
        recovery: Option<f64>,
        longest: Duration,
    ) -> Result<Duration, Duration> {
        let rates = [
            Some((limit.per_second, limit.burst)),
            recovery.map(|rate| (rate, 1)),
        ];
        let now = self.begin.elapsed();
        let mut taken = self.turns;
        let mut wait = Duration::ZERO;
        for (turn, rate) in taken.iter_mut().zip(rates) {
            let Some((per_second, burst)) = rate else {
                *turn = None;
                continue;
            };
            let interval = Duration::from_secs_f64(1.0 / per_second);
            let early = interval.saturating_mul(burst.saturating_sub(1));
            // No turn that was ever taken is later: where it seems so, the time of day was set back, and it means nothing.
            let latest = now + early + interval + LONGEST_TURN;
            let at = turn.filter(|turn| *turn <= latest).unwrap_or(now).max(now);
            wait = wait.max((at - now).saturating_sub(early));
            *turn = Some(at + interval);
        }
        if wait > longest {
            return Err(wait);
        }
        self.turns = taken;
        Ok(wait)
    }
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(after: Duration) -> TransportError {
    TransportError::CircuitOpen { after }
}

fn lasting(delta: TimeDelta) -> Duration {
    delta.to_std().unwrap_or_default()
}

impl GuardedTransport {
    fn known(&self, remote: &Remote) -> Arc<Known> {
        let mut remotes = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remotes.get(&remote.name) {
            return known.clone();
        }
        let known = Arc::new(Known {
            places: Semaphore::new(remote.limit.at_once),
            limit: remote.limit,
            state: Mutex::default(),
        });
        remotes.insert(remote.name.clone(), known.clone());
        known
    }

    /// The state, read again where it is old.
    async fn breaker(&self, name: &str, known: &Known) -> Breaker {
        let (breaker, is_new) = {
            let state = known.state();
            let is_new = state.seen_at.is_some_and(|at| at.elapsed() < REFRESH);
            (state.breaker.clone(), is_new)
        };
        if is_new {
            return breaker;
        }
        match self.guard.breakers.get(name).await {
            Ok(breaker) => {
                self.see(known, breaker.clone());
                breaker
            }
            Err(error) => {
                tracing::warn!(remote = name, %error, "cannot read the breaker's state; using the last known one");
                self.see(known, breaker.clone());
                breaker
            }
        }
    }

    fn see(&self, known: &Known, breaker: Breaker) {
        let mut state = known.state();
        state.breaker = breaker;
        state.seen_at = Some(Since::now());
    }

    /// Puts a state in the place of the one that was seen; `false`: somebody else was faster.
    async fn replace(&self, name: &str, known: &Known, seen: &Breaker, next: Breaker) -> bool {
        match self.guard.breakers.replace(name, seen, &next).await {
            Ok(true) => {
                self.see(known, next);
                true
            }
            Ok(false) => {
                known.state().seen_at = None;
                false
            }
            Err(error) => {
                tracing::warn!(remote = name, %error, "could not write a breaker's state");
                true
            }
        }
    }

    /// Whether this call may be made; with the state in which it is the one that tries.
    async fn permit(
        &self,
        name: &str,
        known: &Known,
        longest: Duration,
    ) -> Result<Option<Breaker>, TransportError> {
        let breaker = self.breaker(name, known).await;
        let now = self.guard.clock.now();
        match breaker.permit(now) {
            Permit::Go(recovery) => {
                let turn = known.state().turn(&known.limit, recovery, longest);
                tokio::time::sleep(turn.map_err(held)?).await;
                Ok(None)
            }
            Permit::Wait(until) => {
                self.measure(&breaker);
                Err(held(lasting(until - now)))
            }
            Permit::Probe(probing) => {
                if self.replace(name, known, &breaker, probing.clone()).await {
                    return Ok(Some(probing));
                }
                // Somebody else tries: its outcome is a matter of seconds.
                Err(held(REFRESH))
            }
        }
    }

    /// An outage shows in the metrics as soon as a call meets it, and not with the next heartbeat only.
    fn measure(&self, breaker: &Breaker) {
        let now = self.guard.clock.now();
        if let Some(since) = breaker.unavailable_since(now) {
            let metrics = &self.guard.metrics;
            metrics.record(Metric::OpenBreakers, "", 1);
            metrics.time(Metric::BreakerOpenSeconds, "", lasting(now - since));
        }
    }

    /// Takes note of how a call ended.
    async fn note(
        &self,
        name: &str,
        known: &Known,
        probe: Option<Breaker>,
        outcome: &Result<Response<Bytes>, TransportError>,
    ) {
        let now = self.guard.clock.now();
        let answered = matches!(outcome, Ok(response) if !is_temporary(response.status()));
        let asked = outcome.as_ref().ok().and_then(asks_to_wait);
        if let Some(probing) = probe {
            let next = probing.probed(answered, asked, now);
            self.measure(&next);
            known.state().failures = 0;
            tracing::info!(
                remote = name,
                answered,
                "probed a remote to which calls are paused"
            );
            self.replace(name, known, &probing, next).await;
            return;
        }
        let seen = {
            let mut state = known.state();
            state.failures = if answered { 0 } else { state.failures + 1 };
            let is_outage = state.failures >= FAILURES_UNTIL_OPEN || asked.is_some();
            let is_open = matches!(
                state.breaker,
                Breaker::Open { .. } | Breaker::Probing { .. }
            );
            if !is_outage || is_open {
                return;
            }
            state.failures = 0;
            state.breaker.clone()
        };
        tracing::warn!(
            remote = name,
            "a remote does not answer, or asks callers to wait; calls to it are paused"
        );
        let opened = Breaker::opened(now, asked);
        self.measure(&opened);
        self.replace(name, known, &seen, opened).await;
    }
}

/// How long a remote asks to wait, where that is longer than a call waits.
fn asks_to_wait(response: &Response<Bytes>) -> Option<TimeDelta> {
    let says_so = matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let asked = retry_after(response, Utc::now()).filter(|after| *after > LONG_RATE_LIMIT);
    TimeDelta::from_std(asked.filter(|_| says_so)?).ok()
}

#[async_trait]
impl Transport for GuardedTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let remote = (self.remote)(&request);
        let known = self.known(&remote);
        let begin = Instant::now();
        let longest = timeout.min(LONGEST_TURN);
        let place = tokio::time::timeout(longest, known.places.acquire());
        let Ok(Ok(_place)) = place.await else {
            return Err(held(LONGEST_TURN));
        };
        let longest = longest.saturating_sub(begin.elapsed());
        let probe = self.permit(&remote.name, &known, longest).await?;
        let timeout = timeout.saturating_sub(begin.elapsed());
        let outcome = self.inner.send(request, timeout).await;
        self.note(&remote.name, &known, probe, &outcome).await;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        per_second: 1.0,
        burst: 3,
        at_once: 1,
    };

    fn turn(state: &mut State) -> Result<Duration, Duration> {
        state.turn(&LIMIT, None, LONGEST_TURN)
    }

    fn use_up(state: &mut State) {
        while turn(state).is_ok() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_remotes_allowance_grows_while_the_process_is_frozen() {
        let mut state = State::default();
        use_up(&mut state);
        state.begin = state.begin.frozen_for(Duration::from_secs(60));
        let waits: Vec<_> = (0..3).map(|_| turn(&mut state)).collect();
        assert_eq!(waits, [Ok(Duration::ZERO); 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_of_day_that_is_set_back_holds_no_calls_back() {
        let mut state = State::default();
        let begin = state.begin;
        state.begin = begin.frozen_for(Duration::from_secs(3_600));
        use_up(&mut state);
        state.begin = begin;
        assert_eq!(turn(&mut state), Ok(Duration::ZERO));
    }
}
