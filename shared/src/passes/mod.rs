//! Runs of the scheduled pass: their progress, the leases that separate them, their watermarks, and the import lines that
//! wait for a company.

mod dynamodb;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, hash_map::Entry},
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbPasses;

use crate::{
    StoreError,
    domain::{EntityKind, ErpId, ImportLine, PassMode, Scope},
    owed::Earliest,
    port::port,
};

/// A pass over one scope: its report for people, and its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id, which is also the correlation id of its actions.
    pub id: Uuid,
    /// The side that it walks.
    pub mode: PassMode,
    /// Customers or companies, if only one kind.
    pub kind: Option<EntityKind>,
    /// The scope.
    pub scope: Scope,
    /// Whether it is a plan.
    pub dry_run: bool,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it last made progress.
    pub progressed: DateTime<Utc>,
    /// How it ended; `None` while it runs.
    pub ended: Option<Ended>,
    /// What it found.
    pub counts: Counts,
    /// What it cost.
    pub cost: Cost,
    /// The watermarks from which it started.
    pub watermarks_before: BTreeMap<EntityKind, DateTime<Utc>>,
    /// The watermark that it will set, taken before it started.
    pub watermark_after: Option<DateTime<Utc>>,
    /// The number of saves. A save succeeds only on the previous version, so an invocation that was presumed dead cannot undo
    /// the work of its successor.
    pub version: u64,
    /// The checkpoint, in the pass's own format; `None` once it has ended.
    pub work: Option<String>,
}

/// How long a run is kept, from its start.
const KEPT: TimeDelta = TimeDelta::days(90);
/// How long a delta pass or a sweep is kept that had nothing to do. There is one every quarter of an hour, and a request
/// for the last runs reads the whole store.
const IDLE_KEPT: TimeDelta = TimeDelta::days(7);

impl Run {
    /// Until when it is kept.
    pub fn kept_until(&self) -> DateTime<Utc> {
        let has_completed = matches!(&self.ended, Some(Ended { failed: None, .. }));
        let is_frequent = matches!(self.mode, PassMode::Delta | PassMode::Sweep);
        let is_idle = has_completed && is_frequent && self.counts.is_idle();
        self.started + if is_idle { IDLE_KEPT } else { KEPT }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The time.
    pub at: DateTime<Utc>,
    /// Why it failed, without personal data; `None` if it completed.
    pub failed: Option<String>,
}

/// The results of a pass. Each record or entity is counted once, in one of the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records of the ERP, or entities of Norce, that it examined.
    pub seen: u64,
    /// Known and unchanged.
    pub unchanged: u64,
    /// Norce had the code already; only the mapping was missing.
    pub bound: u64,
    /// Codes for Norce.
    pub codes: u64,
    /// Renamed codes for Norce.
    pub renamed: u64,
    /// Fields that the ERP owns for Norce.
    pub fields: u64,
    /// Records to be inserted in Norce.
    pub inserted: u64,
    /// Records that wait for their company.
    pub waiting: u64,
    /// Conflicts, owed.
    pub conflicts: u64,
    /// Bound records that the ERP does not have any more; their entities are checked.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Sweep: entities that are fetched again.
    pub queued: u64,
    /// Sweep: forgotten customers among them.
    pub forgotten: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Counts {
    /// Whether nothing was to be done about any record.
    fn is_idle(&self) -> bool {
        let passed_over = Self {
            seen: self.seen,
            unchanged: self.unchanged,
            skipped: self.skipped.clone(),
            ..Self::default()
        };
        let owes = self
            .skipped
            .keys()
            .any(|reason| reason.starts_with("owed: "));
        *self == passed_over && !owes
    }
}

/// The cost of a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Invocations that worked on it.
    pub invocations: u64,
    /// Pages of the ERP, or of Norce in a sweep.
    pub pages: u64,
    /// Other calls to the ERP, for many records each; an adapter may need several requests for one.
    pub erp_calls: u64,
    /// Look-ups in Norce Query.
    pub query_calls: u64,
    /// Mapping items read.
    pub mapping_reads: u64,
    /// Requests that read them.
    pub mapping_read_requests: u64,
    /// Mappings written.
    pub mapping_writes: u64,
    /// Records added to the index of natural keys, or removed from it.
    pub index_writes: u64,
    /// Lines for Norce.
    pub import_lines: u64,
    /// Milliseconds spent waiting for the ERP only.
    pub erp_wait_ms: u64,
    /// Milliseconds spent waiting for Norce only.
    pub norce_wait_ms: u64,
    /// Milliseconds of all invocations.
    pub duration_ms: u64,
}

/// The key of a lease: a walk over one scope. Delta and full passes share the lease of the ERP's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The scope.
    pub scope: Scope,
    /// Whether it is the sweep, which walks Norce; the other passes walk the ERP.
    pub sweep: bool,
}

/// A lease and its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: Uuid,
    /// The invocation that works on the run; `None` between two invocations.
    pub invocation: Option<Uuid>,
    /// When it expires.
    pub until: DateTime<Utc>,
}

/// The latest run of each mode over each scope, of any number of runs.
#[derive(Default)]
struct LastRuns(HashMap<(PassMode, Scope), Run>);

impl LastRuns {
    fn add(&mut self, run: Run) {
        match self.0.entry((run.mode, run.scope)) {
            Entry::Occupied(mut last) if last.get().started < run.started => {
                last.insert(run);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(run);
            }
        }
    }

    fn into_newest_first(self) -> Vec<Run> {
        let mut runs: Vec<Run> = self.0.into_values().collect();
        runs.sort_by_key(|run| std::cmp::Reverse((run.started, run.id)));
        runs
    }
}

/// A filter of runs. All given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Started at this time or later.
    pub since: DateTime<Utc>,
    /// Listed after this one, the newest first.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// Of one mode.
    pub mode: Option<PassMode>,
    /// Over one scope.
    pub scope: Option<Scope>,
}

impl RunFilter {
    /// Whether a run fulfils all conditions.
    pub fn fits(&self, run: &Run) -> bool {
        run.started >= self.since
            && self.after.is_none_or(|after| (run.started, run.id) < after)
            && self.mode.is_none_or(|mode| mode == run.mode)
            && self.scope.is_none_or(|scope| scope == run.scope)
    }
}

/// The newest of any number of runs, without their checkpoints, which may be long.
struct NewestRuns<'a> {
    filter: &'a RunFilter,
    runs: Earliest<Run, Reverse<(DateTime<Utc>, Uuid)>>,
}

impl<'a> NewestRuns<'a> {
    fn new(filter: &'a RunFilter, limit: usize) -> Self {
        Self {
            filter,
            runs: Earliest::new(limit),
        }
    }

    fn add(&mut self, run: Run) {
        if self.filter.fits(&run) {
            let place = Reverse((run.started, run.id));
            self.runs.push(place, Run { work: None, ..run });
        }
    }
}

/// The number of owed records in a quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedSample {
    /// When it was counted.
    pub at: DateTime<Utc>,
    /// Owed records that were not dismissed.
    pub owed: u64,
    /// Dismissed records.
    pub dismissed: u64,
    /// The age of the oldest one, in seconds.
    pub oldest_seconds: u64,
}

/// The interval of samples, which is the default of `OwedSchedule`. Of more samples in a quarter, the last one stays.
pub const SAMPLE_SECONDS: i64 = 15 * 60;

/// The quarter of an hour of a time, counted from 1970.
pub fn quarter(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(SAMPLE_SECONDS)
}

port! {
    /// The store of the passes.
    pub trait Passes, layer PassesLayer, error StoreError {
        reads:
        /// Reads a run.
        async fn run(&self, id: Uuid) -> Result<Option<Run>, StoreError>;

        /// The latest run of each mode over each scope, the newest first. Reads the whole store: for people.
        async fn last_runs(&self) -> Result<Vec<Run>, StoreError>;

        /// The newest runs that match, up to a limit, without their checkpoints. Reads the whole store: for people.
        async fn runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, StoreError>;

        /// The samples between two times, the oldest first. The latest one may be missing.
        async fn owed_samples(
            &self,
            from: DateTime<Utc>,
            to: DateTime<Utc>,
        ) -> Result<Vec<OwedSample>, StoreError>;

        /// The watermark of a walk for one kind.
        async fn watermark(
            &self,
            key: LeaseKey,
            kind: EntityKind,
        ) -> Result<Option<DateTime<Utc>>, StoreError>;

        /// The lease of a walk, unless it has expired: its run is under way.
        async fn holder(
            &self,
            key: LeaseKey,
            now: DateTime<Utc>,
        ) -> Result<Option<Lease>, StoreError>;

        /// The lines that wait for a company, a few megabytes at most.
        async fn waiting_for_company(
            &self,
            scope: Scope,
            company: &ErpId,
        ) -> Result<Vec<ImportLine>, StoreError>;

        writes:
        /// Takes a lease for an invocation, if it is free, has expired, or is held by the same run and no other invocation works
        /// on it. Otherwise returns the holder.
        async fn lease(
            &self,
            key: LeaseKey,
            wanted: Lease,
            now: DateTime<Utc>,
        ) -> Result<Result<(), Lease>, StoreError>;

        /// Releases a lease of this invocation. With `keep_until` its run continues, and no other run may take the lease before
        /// that time. The lease of another invocation is unchanged.
        async fn release(
            &self,
            key: LeaseKey,
            invocation: Uuid,
            keep_until: Option<DateTime<Utc>>,
        ) -> Result<(), StoreError>;

        /// Stores a sample of the owed records, in place of an earlier one of the same quarter of an hour. It is kept for 35 days.
        async fn note_owed(&self, sample: &OwedSample) -> Result<(), StoreError>;

        /// Stores a run whose `version` is one above the stored one (1 for a new run). Otherwise `false`, and nothing is stored.
        async fn save(&self, run: &Run) -> Result<bool, StoreError>;

        /// Moves a watermark forward; a later one stays.
        async fn advance(
            &self,
            key: LeaseKey,
            kind: EntityKind,
            to: DateTime<Utc>,
        ) -> Result<(), StoreError>;

        /// Lets a line wait until Norce has the company of this ERP record. Idempotent: of the lines of one ERP record, the last
        /// one waits. A line that waits for more than a month may be lost. `false` if the list of this company is full (some
        /// 17,000 lines); the line does not wait then.
        async fn wait_for_company(
            &self,
            scope: Scope,
            company: &ErpId,
            line: &ImportLine,
            at: DateTime<Utc>,
        ) -> Result<bool, StoreError>;

        /// Removes these lines from the list; lines that were added since keep waiting.
        async fn stop_waiting(
            &self,
            scope: Scope,
            company: &ErpId,
            lines: &[ImportLine],
            at: DateTime<Utc>,
        ) -> Result<(), StoreError>;
    }
}

/// The name of a line in the list of its company: one for each record.
pub fn waiting_key(line: &ImportLine) -> String {
    match (&line.record, line.id) {
        (Some(record), _) => record.to_string(),
        (None, Some(id)) => id.to_string(),
        (None, None) => line.code.to_string(),
    }
}
