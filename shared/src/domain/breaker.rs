//! When calls to a remote are paused (P8): the states of a breaker, and how they follow each other.
//!
//! ```text
//! closed ──failures, or a rate limit──▶ open ──time for a probe──▶ probing ──answer──▶ recovering ──time──▶ (closed)
//!                                        ▲                            │
//!                                        └────────no answer───────────┘
//! ```

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// So many calls without a usable answer in a row, and none between them that had one, are an outage and no hiccup:
/// a call is made up to three times by itself.
pub const FAILURES_UNTIL_OPEN: u32 = 5;
/// The first probe comes after this time; the wait doubles with every probe that fails.
const FIRST_PROBE: TimeDelta = TimeDelta::seconds(5);
/// The longest wait between two probes: work goes on that soon after an outage of whatever length.
const LONGEST_BETWEEN_PROBES: TimeDelta = TimeDelta::minutes(5);
/// After so many doublings the longest wait is reached.
const MAX_DOUBLINGS: u32 = 6;
/// A probe that has no outcome by then died with its invocation. Longer than the longest time that a call is given (a
/// minute), its own retries included.
const PROBE_ENDS: TimeDelta = TimeDelta::minutes(3);
/// A breaker that nobody has probed for so long after a probe was due protects a remote that nobody asks: whether it is
/// available is not known. Twice the longest wait of a message.
const UNASKED_AFTER: TimeDelta = TimeDelta::minutes(30);
/// How long after an outage the rate of calls is held down, and how it rises: it doubles with every step.
const RECOVERY: TimeDelta = TimeDelta::minutes(3);
const RECOVERY_STEP_SECONDS: f64 = 15.0;
/// Calls a second of one process right after an outage.
const FIRST_RATE: f64 = 2.0;

/// The state of a breaker, shared by all functions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Breaker {
    /// Calls go through.
    #[default]
    Closed,
    /// Calls to the remote are paused.
    Open {
        /// The start of the outage.
        since: DateTime<Utc>,
        /// The earliest time of the next probe.
        probe_at: DateTime<Utc>,
        /// The number of failed probes.
        probes: u32,
    },
    /// A single call, the probe, is under way.
    Probing {
        /// The start of the outage.
        since: DateTime<Utc>,
        /// The time after which the probe counts as lost.
        until: DateTime<Utc>,
        /// The number of failed probes.
        probes: u32,
    },
    /// The remote answers again, and the rate of calls rises.
    Recovering {
        /// The start of the outage.
        since: DateTime<Utc>,
    },
}

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Permit {
    /// Yes; where a rate is given, not more than so many a second in one process.
    Go(Option<f64>),
    /// Yes, as the one that tries, if this state can be put in the place of the one that was read.
    Probe(Breaker),
    /// No, not before this time.
    Wait(DateTime<Utc>),
}

impl Breaker {
    /// Opened by failures, or by a rate limit with a long wait.
    pub fn opened(now: DateTime<Utc>, asked: Option<TimeDelta>) -> Self {
        Self::Open {
            since: now,
            probe_at: now + asked.unwrap_or(FIRST_PROBE).max(FIRST_PROBE),
            probes: 0,
        }
    }

    /// Since when the remote is known to be unavailable.
    pub fn unavailable_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (since, due) = match self {
            Self::Open {
                since, probe_at, ..
            } => (since, probe_at),
            Self::Probing { since, until, .. } => (since, until),
            Self::Closed | Self::Recovering { .. } => return None,
        };
        (now < *due + UNASKED_AFTER).then_some(*since)
    }

    /// Whether a call may be made now.
    pub fn permit(&self, now: DateTime<Utc>) -> Permit {
        let probe = |since: &DateTime<Utc>, probes: u32| {
            Permit::Probe(Self::Probing {
                since: *since,
                until: now + PROBE_ENDS,
                probes,
            })
        };
        match self {
            Self::Closed => Permit::Go(None),
            Self::Recovering { since } if now < *since + RECOVERY => {
                let steps = (now - *since).as_seconds_f64() / RECOVERY_STEP_SECONDS;
                Permit::Go(Some(FIRST_RATE * steps.max(0.0).exp2()))
            }
            Self::Recovering { .. } => Permit::Go(None),
            Self::Open { probe_at, .. } if now < *probe_at => Permit::Wait(*probe_at),
            Self::Open { since, probes, .. } => probe(since, *probes),
            // The outcome is a matter of seconds; the whole time is for the death of who waits for it.
            Self::Probing { until, .. } if now < *until => {
                Permit::Wait((now + FIRST_PROBE).min(*until))
            }
            Self::Probing { since, probes, .. } => probe(since, probes.saturating_add(1)),
        }
    }

    /// The state after a probe; `asked`: how long the remote asks to wait.
    pub fn probed(&self, answered: bool, asked: Option<TimeDelta>, now: DateTime<Utc>) -> Self {
        match self {
            Self::Probing { .. } if answered => Self::Recovering { since: now },
            Self::Probing { since, probes, .. } => {
                let doublings = probes.saturating_add(1).min(MAX_DOUBLINGS);
                let wait = (FIRST_PROBE * 2_i32.pow(doublings)).min(LONGEST_BETWEEN_PROBES);
                Self::Open {
                    since: *since,
                    probe_at: now + asked.unwrap_or_default().max(wait),
                    probes: probes.saturating_add(1),
                }
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_424_400 + seconds, 0).unwrap()
    }

    fn probe(breaker: &Breaker, seconds: i64) -> Breaker {
        match breaker.permit(at(seconds)) {
            Permit::Probe(next) => next,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn probes_come_at_growing_distances_and_one_at_a_time() {
        let mut breaker = Breaker::opened(at(0), None);
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            let Permit::Wait(until) = breaker.permit(at(now)) else {
                panic!("{breaker:?}");
            };
            waits.push((until - at(now)).num_seconds());
            now = (until - at(0)).num_seconds();
            let probing = probe(&breaker, now);
            assert!(matches!(probing.permit(at(now + 1)), Permit::Wait(_)));
            breaker = probing.probed(false, None, at(now));
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_probe_that_died_is_followed_by_another() {
        let probing = probe(&Breaker::opened(at(0), None), 5);
        assert!(matches!(probing.permit(at(5 + 179)), Permit::Wait(_)));
        probe(&probing, 5 + 180);
    }

    #[test]
    fn an_open_breaker_that_nobody_probes_says_nothing_about_the_remote() {
        let open = Breaker::opened(at(0), None);
        let last = 5 + UNASKED_AFTER.num_seconds() - 1;
        assert_eq!(open.unavailable_since(at(last)), Some(at(0)));
        assert_eq!(open.unavailable_since(at(last + 1)), None);
        let probing = probe(&open, 5);
        assert_eq!(probing.unavailable_since(at(6)), Some(at(0)));
        let recovering = probing.probed(true, None, at(6));
        assert_eq!(recovering.unavailable_since(at(7)), None);
    }

    #[test]
    fn what_the_remote_asks_for_is_kept() {
        let minute = Some(TimeDelta::minutes(10));
        let opened = Breaker::opened(at(0), minute);
        assert_eq!(opened.permit(at(1)), Permit::Wait(at(600)));
        let again = probe(&opened, 600).probed(false, minute, at(600));
        assert_eq!(again.permit(at(601)), Permit::Wait(at(1200)));
    }

    #[test]
    fn the_rate_rises_after_an_outage_until_it_is_free() {
        let breaker = probe(&Breaker::opened(at(0), None), 5).probed(true, None, at(5));
        let rate = |seconds: i64| match breaker.permit(at(5 + seconds)) {
            Permit::Go(rate) => rate,
            other => panic!("{other:?}"),
        };
        assert_eq!(rate(0), Some(2.0));
        assert_eq!(rate(15), Some(4.0));
        assert_eq!(rate(60), Some(32.0));
        assert_eq!(rate(180), None);
    }
}
