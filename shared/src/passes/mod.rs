//! Runs of the scheduled pass: how far each has come, the leases that keep two of them apart, the watermarks that they
//! move, and the lines that wait for a company.

mod dynamodb;
mod memory;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, hash_map::Entry},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use dynamodb::DynamoDbPasses;
pub use memory::MemoryPasses;

use crate::{
    StoreError,
    domain::{EntityKind, ErpId, ImportLine, PassMode, Scope},
    owed::Earliest,
};

/// One pass over one register: what is left of it for people to see, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its id; also the correlation id of what it does.
    pub id: Uuid,
    /// What it walks over.
    pub mode: PassMode,
    /// Customers or companies only.
    pub kind: Option<EntityKind>,
    /// The register.
    pub scope: Scope,
    /// A plan.
    pub dry_run: bool,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it last got anything done.
    pub progressed: DateTime<Utc>,
    /// How it ended; nothing: it has not.
    pub ended: Option<Ended>,
    /// What it found.
    pub counts: Counts,
    /// What it cost.
    pub cost: Cost,
    /// The watermarks from which it began.
    pub watermarks_before: BTreeMap<EntityKind, DateTime<Utc>>,
    /// The watermark that it leaves: taken before it began.
    pub watermark_after: Option<DateTime<Utc>>,
    /// How often it was saved. A save succeeds only on top of the one before, so that an invocation that was thought
    /// dead cannot undo what its successor has done.
    pub version: u64,
    /// Where it goes on, as the pass itself writes it; nothing once it has ended.
    pub work: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: DateTime<Utc>,
    /// Why it failed, in words without personal data; nothing: it got to its end.
    pub failed: Option<String>,
}

/// What a pass found. Each record or entity is counted once, in one of the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Records of the ERP, or entities of Norce, that it looked at.
    pub seen: u64,
    /// Known and unchanged: nothing was done.
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
    /// Skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Sweep: entities that are looked at afresh.
    pub queued: u64,
    /// Sweep: forgotten ones among them.
    pub forgotten: u64,
}

/// What a pass cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Invocations that worked on it.
    pub invocations: u64,
    /// Pages of the ERP, or of Norce in a sweep.
    pub pages: u64,
    /// Other questions to the ERP, about many records each; an adapter may need several requests for one.
    pub erp_calls: u64,
    /// Look-ups in Norce Query.
    pub query_calls: u64,
    /// Mapping items that were read.
    pub mapping_reads: u64,
    /// Requests that it took to read them.
    pub mapping_read_requests: u64,
    /// Mappings that were written.
    pub mapping_writes: u64,
    /// Records that were listed in the index of natural keys, or taken off it.
    pub index_writes: u64,
    /// Lines for Norce.
    pub import_lines: u64,
    /// Milliseconds in which it waited for the ERP and did nothing else.
    pub erp_wait_ms: u64,
    /// Milliseconds in which it waited for Norce and did nothing else.
    pub norce_wait_ms: u64,
    /// Milliseconds of all invocations.
    pub duration_ms: u64,
}

/// What a lease keeps apart: the walks over one register. Delta and full passes share the ERP's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The register.
    pub scope: Scope,
    /// The sweep walks over Norce, the others over the ERP.
    pub sweep: bool,
}

/// Who holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: Uuid,
    /// The invocation that works on it; nothing: it waits to go on.
    pub invocation: Option<Uuid>,
    /// Until when, whatever happens to the holder.
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

/// Which runs are listed. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// They began at this time or later.
    pub since: DateTime<Utc>,
    /// They come after this one in the list, which begins with the newest.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// Of one mode.
    pub mode: Option<PassMode>,
    /// Over one scope.
    pub scope: Option<Scope>,
}

impl RunFilter {
    fn fits(&self, run: &Run) -> bool {
        run.started >= self.since
            && self.after.is_none_or(|after| (run.started, run.id) < after)
            && self.mode.is_none_or(|mode| mode == run.mode)
            && self.scope.is_none_or(|scope| scope == run.scope)
    }
}

/// The newest of any number of runs, without where they go on, which may be long.
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

/// How much was owed in a quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedSample {
    /// When it was counted.
    pub at: DateTime<Utc>,
    /// How many records were owed and not dismissed.
    pub owed: u64,
    /// How many a person had dismissed.
    pub dismissed: u64,
    /// How long the oldest one had been owed, in seconds.
    pub oldest_seconds: u64,
}

/// The distance of samples: that of `OwedSchedule` by default. More often, the last one of a quarter stays.
pub const SAMPLE_SECONDS: i64 = 15 * 60;

/// Which quarter of an hour a time is in, counted from 1970.
fn quarter(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(SAMPLE_SECONDS)
}

/// The store of the passes.
#[async_trait]
pub trait Passes: Send + Sync {
    /// Takes a lease for an invocation: when nobody holds it, when its time is over, or when its run is the same and no
    /// other invocation works on it. Otherwise, who holds it.
    async fn lease(
        &self,
        key: LeaseKey,
        wanted: Lease,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Lease>, StoreError>;

    /// Gives a lease back that this invocation holds; `keep_until`: its run goes on, and nobody else may take it before.
    /// The lease of another invocation stays.
    async fn release(
        &self,
        key: LeaseKey,
        invocation: Uuid,
        keep_until: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError>;

    /// A run.
    async fn run(&self, id: Uuid) -> Result<Option<Run>, StoreError>;

    /// The latest run of each mode over each scope, the newest first. Reads the whole store: for people.
    async fn last_runs(&self) -> Result<Vec<Run>, StoreError>;

    /// The newest runs that fit, no more than a limit, without where they go on. Reads the whole store: for people.
    async fn runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, StoreError>;

    /// Notes how much is owed, in the place of an earlier sample of the same quarter of an hour. It is kept for 35 days.
    async fn note_owed(&self, sample: &OwedSample) -> Result<(), StoreError>;

    /// The samples between two times, the oldest first. The latest one may be missing.
    async fn owed_samples(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OwedSample>, StoreError>;

    /// Stores a run whose `version` is one above the stored one (1 for a new run). `false`: it is not, and nothing was
    /// stored.
    async fn save(&self, run: &Run) -> Result<bool, StoreError>;

    /// The watermark of a walk over the records of a kind.
    async fn watermark(
        &self,
        key: LeaseKey,
        kind: EntityKind,
    ) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Moves a watermark forward; one that is later already stays.
    async fn advance(
        &self,
        key: LeaseKey,
        kind: EntityKind,
        to: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// Lets a line wait until Norce has the company that is this ERP record. Repeating it changes nothing: of the lines
    /// of one ERP record, the last one waits. A line that waits for longer than a month may be lost. `false`: so many
    /// lines wait for this company (some 17,000) that this one does not fit, and it does not wait.
    async fn wait_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
        line: &ImportLine,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError>;

    /// The lines that wait for a company: some megabytes at most.
    async fn waiting_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
    ) -> Result<Vec<ImportLine>, StoreError>;

    /// Ends the waiting of these lines; others that have come since go on waiting.
    async fn stop_waiting(
        &self,
        scope: Scope,
        company: &ErpId,
        lines: &[ImportLine],
        at: DateTime<Utc>,
    ) -> Result<(), StoreError>;
}

impl Lease {
    /// Whether the holder has to make room: its time is over, or it is the same run between two invocations.
    fn gives_way(&self, wanted: &Self, now: DateTime<Utc>) -> bool {
        self.until <= now
            || (self.run == wanted.run
                && (self.invocation.is_none() || self.invocation == wanted.invocation))
    }
}

/// Which of the lines that wait for a company this is: one for each record.
fn waiting_key(line: &ImportLine) -> String {
    match (&line.record, line.id) {
        (Some(record), _) => record.to_string(),
        (None, Some(id)) => id.to_string(),
        (None, None) => line.code.to_string(),
    }
}
