//! `status`: waiting messages, owed records, imports under way, passes, and the version of the code.

use std::time::Duration;

use chrono::{DateTime, Utc};
use erp_full_pass::report;
use futures_util::future::try_join_all;
use serde::Serialize;
use shared::{
    Consistency,
    domain::{Breaker, EntityKind, PassMode, Permit, Scope},
    http::Deadline,
    owed::{OwedCounts, fold},
    passes::{LeaseKey, Run},
};
use uuid::Uuid;

use crate::{
    error::Refusal,
    ports::{StackPorts, WorkQueue},
    sentence::{self, Param, Parameter as _, Sentence, say},
};

/// The time kept for the other stores when reading a long owed list stops.
const TIME_FOR_THE_REST: Duration = Duration::from_secs(30);

/// The version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that this function was built from, shortened; `None`: the build did not know it.
const COMMIT: Option<&str> = option_env!("OPERATOR_COMMIT");

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The version of the function that answers.
    pub version: &'static str,
    /// The commit that it was built from; `null`: unknown.
    pub commit: Option<&'static str>,
    /// When the status was read.
    pub as_of: DateTime<Utc>,
    /// The messages on each queue.
    pub queues: Vec<QueueStatus>,
    /// The owed records.
    pub owed: OwedCounts,
    /// The imports under way.
    pub jobs: JobsStatus,
    /// The breakers that have ever opened, with their current state.
    pub breakers: Vec<BreakerStatus>,
    /// How far the passes have read.
    pub watermarks: Vec<Watermark>,
    /// The last run of each mode over each scope.
    pub last_runs: Vec<LastRun>,
}

/// The messages on a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Its name.
    pub queue: &'static str,
    /// Messages that wait or are being handled.
    pub waiting: u64,
    /// Messages on its dead-letter queue.
    pub dead_letters: u64,
}

impl QueueStatus {
    pub(crate) async fn of(queue: &WorkQueue) -> Result<Self, Refusal> {
        Ok(Self {
            queue: queue.name,
            waiting: queue.depth.depth().await?,
            dead_letters: queue.dead_letters.count().await?,
        })
    }
}

/// The imports under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobsStatus {
    /// The number of batches that are not settled.
    pub open: usize,
    /// The number of their lines.
    pub lines: usize,
    /// When the oldest of them was recorded.
    pub oldest: Option<DateTime<Utc>>,
}

/// A remote, and the state of its breaker (P8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerStatus {
    /// Its name, such as `erp/client` or `norce/app-1`.
    pub remote: String,
    /// `closed`: calls are made; `open`: calls are paused and the remote is probed; `recovering`: calls resume at a rising rate.
    pub state: &'static str,
    /// Since when it is not closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// When it is probed next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe: Option<DateTime<Utc>>,
}

impl BreakerStatus {
    pub(crate) fn new(remote: String, breaker: &Breaker, now: DateTime<Utc>) -> Self {
        let status = |state, since, next_probe| Self {
            remote,
            state,
            since,
            next_probe,
        };
        match *breaker {
            Breaker::Open {
                since, probe_at, ..
            } => status("open", Some(since), Some(probe_at)),
            // The probe is under way.
            Breaker::Probing { since, .. } => status("open", Some(since), Some(now)),
            Breaker::Recovering { since } if breaker.permit(now) != Permit::Go(None) => {
                status("recovering", Some(since), None)
            }
            Breaker::Recovering { .. } | Breaker::Closed => status("closed", None, None),
        }
    }

    /// The sentence that says how long an open breaker has been open.
    pub(crate) fn unavailable(&self, now: DateTime<Utc>) -> Sentence {
        let since = self.since.unwrap_or(now);
        let time = (now - since).to_std().unwrap_or_default();
        say!("unavailable", remote = self.remote, time)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == "open"
    }
}

/// How far a pass has read: everything that changed before is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermark {
    /// `erp` (delta and full passes) or `sweep`.
    pub walk: &'static str,
    /// The scope.
    pub scope: Scope,
    /// Customers or companies.
    pub kind: EntityKind,
    /// The watermark; `null`: no pass has completed.
    pub at: Option<DateTime<Utc>>,
}

/// The last run of a mode over a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Its id, which is its correlation id in the logs.
    pub run: Uuid,
    /// The mode.
    pub mode: PassMode,
    /// The scope.
    pub scope: Scope,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended; `null`: it is still running.
    pub ended: Option<DateTime<Utc>>,
    /// Why it failed, if it failed.
    pub failed: Option<String>,
    /// What it found, as a text.
    pub found: String,
}

impl From<&Run> for LastRun {
    fn from(run: &Run) -> Self {
        let ended = run.ended.as_ref();
        Self {
            run: run.id,
            mode: run.mode,
            scope: run.scope,
            started: run.started,
            ended: ended.map(|ended| ended.at),
            failed: ended.and_then(|ended| ended.failed.clone()),
            found: report::summary(run),
        }
    }
}

impl StackPorts {
    pub(crate) async fn status(&self, deadline: Deadline) -> Result<Status, Refusal> {
        let now = self.clock.now();
        let queues = try_join_all(self.queues.iter().map(QueueStatus::of)).await?;
        let mut owed = OwedCounts::default();
        let list = self.owed.as_ref();
        // The caller may just have dismissed a record.
        let strong = Consistency::Strong;
        let is_all = fold(list, strong, deadline, TIME_FOR_THE_REST, |record| {
            owed.count(&record, now);
        });
        let is_all = is_all.await?;
        let open = self.import_jobs.open().await?;
        let jobs = JobsStatus {
            open: open.len(),
            lines: open.iter().map(|batch| batch.lines.len()).sum(),
            oldest: open.first().map(|batch| batch.recorded_at),
        };
        let breakers = self.breakers.list().await?.into_iter();
        let breakers: Vec<BreakerStatus> = breakers
            .map(|(remote, breaker)| BreakerStatus::new(remote, &breaker, now))
            .collect();
        let mut watermarks = Vec::new();
        for scope in self.shops.scopes() {
            for (walk, sweep) in [("erp", false), ("sweep", true)] {
                for kind in [EntityKind::Customer, EntityKind::Company] {
                    let at = self
                        .passes
                        .watermark(LeaseKey { scope, sweep }, kind)
                        .await?;
                    watermarks.push(Watermark {
                        walk,
                        scope,
                        kind,
                        at,
                    });
                }
            }
        }
        let last_runs = self.passes.last_runs().await?;
        let last_runs: Vec<LastRun> = last_runs.iter().map(LastRun::from).collect();
        let waiting: u64 = queues.iter().map(|queue| queue.waiting).sum();
        let dead: u64 = queues.iter().map(|queue| queue.dead_letters).sum();
        let last_pass = match last_runs.first() {
            None => say!("pass-none"),
            Some(LastRun {
                failed: Some(words),
                mode,
                ..
            }) => say!("pass-failed", mode, words),
            Some(LastRun {
                ended: None, mode, ..
            }) => say!("pass-running", mode),
            Some(run) => {
                let ago = run.ended.map(|ended| now - ended).unwrap_or_default();
                let ago = ago.to_std().unwrap_or_default();
                say!("pass-ended", mode = run.mode, ago)
            }
        };
        let summary = say!(
            "status",
            waiting,
            dead,
            owed = owed_in_words(&owed, is_all),
            imports = jobs.open,
            pass = last_pass
        );
        // The most serious problems come first.
        let unavailable = breakers.iter().filter(|breaker| breaker.is_open());
        let summary = unavailable.rev().fold(summary, |summary, breaker| {
            breaker.unavailable(now).then(summary)
        });
        Ok(Status {
            summary,
            version: VERSION,
            commit: COMMIT,
            as_of: now,
            queues,
            owed,
            jobs,
            breakers,
            watermarks,
            last_runs,
        })
    }
}

fn owed_in_words(owed: &OwedCounts, is_all: bool) -> Param {
    let count = owed.total();
    let count = match is_all {
        true => count.param(),
        false => say!("at-least", count).param(),
    };
    if owed.total() == 0 {
        return count;
    }
    let age = Duration::from_secs(owed.oldest_seconds);
    say!("owed-since", count, age).param()
}
