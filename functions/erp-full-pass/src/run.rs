//! One step of a run: what one invocation does for it.
//!
//! 1. It takes the lease of the register, so that no two passes walk over it at the same time.
//! 2. It does once more what was written down last, in case the invocation before was cut off while it did it.
//! 3. It walks on. From time to time it writes down what is to be done, the place and the counts, and then does it.
//! 4. It ends the run, or leaves it to the next message, and gives the lease back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{EntityKind, ErpId, NorceId, PassMessage, PassMode, Resource, Scope},
    erp::Cursor,
    http::Deadline,
    passes::{Cost, Counts, Ended, Lease, LeaseKey, Run},
    runtime::{batch::Outcome, metrics::Metric},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    ErpFullPass,
    action::Action,
    decide::Decision,
    failure::Halt,
    pending::{Pending, ids_of},
    report::{self, PlanLine},
    timing::milliseconds,
};

/// A step stops this long before the invocation's time is up (P13): a page and what follows from it fit into it when
/// all is well.
pub(crate) const STOP_BEFORE: Duration = Duration::from_secs(30);
/// How long a lease outlives the invocation that holds it, for its last writes.
const LEASE_MARGIN: TimeDelta = TimeDelta::seconds(5);
/// How long a run keeps its lease while its next message is under way; longer than the longest delay of a message.
const LEASE_BETWEEN_STEPS: TimeDelta = TimeDelta::minutes(30);
/// How long a run waits for another one over the same register, until it asks again.
const WAIT_FOR_ANOTHER_RUN: Duration = Duration::from_secs(60);
/// How long a run waits for the imports queue to get shorter, until it looks again.
const WAIT_FOR_IMPORTS: Duration = Duration::from_secs(60);
/// How long a run waits before it begins a listing anew: the ERP may just have been restarted.
const WAIT_FOR_LISTING: Duration = Duration::from_secs(10);
/// A run that gets nothing done for so long is given up; the next one begins from the same watermark.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// A run that goes on for so long is given up, whatever it gets done: an ERP whose listing never ends would keep it
/// going for ever. A full pass over a million records that waits for its imports takes days.
const LONGEST_RUN: TimeDelta = TimeDelta::days(7);
/// How often the ERP may forget the place in one listing, as it does when it is restarted, before the run is given up.
const MAX_RESTARTS: u32 = 10;
/// Lines of a plan in one object: a few megabytes.
const PLAN_LINES_IN_A_PART: usize = 20_000;
/// The first lines of each group that a plan shows.
const PLAN_LINES_SHOWN: usize = 20;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "kebab-case")]
pub(crate) enum Part {
    /// The ERP's records.
    Records { resource: Resource },
    /// What is owed from earlier and was not met.
    Owed,
    /// Norce's changed entities.
    Changed { kind: EntityKind },
    /// Norce's forgotten customers.
    Forgotten,
    /// Nothing is left.
    Done,
}

/// What is written down of a run besides what people see of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) part: Part,
    /// The next page of the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// How often this part has started over.
    #[serde(default, skip_serializing_if = "is_zero")]
    restarts: u32,
    /// The last entity of Norce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<NorceId>,
    /// Records about which more has to be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<ErpId>,
    /// Records of which something was owed when the run began, and which it has not met yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owed: Option<BTreeSet<ErpId>>,
    /// Everything that it reads has been listed in the index of natural keys, since it began. A run of a version that
    /// did not do so goes on without it.
    #[serde(default)]
    pub(crate) lists_keys: bool,
    /// What is being done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outbox: Vec<Action>,
    /// What was counted when the part began.
    counts_before: Counts,
    /// Of a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<PlanWork>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is kept of a plan between its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PlanWork {
    parts: u32,
    first: BTreeMap<String, Vec<PlanLine>>,
}

/// A run at work.
pub(crate) struct Step<'a> {
    pub(crate) run: &'a mut Run,
    pub(crate) work: Work,
    actions: Vec<Action>,
    lines: Vec<PlanLine>,
    sent_lines: u64,
}

impl Work {
    fn new(mode: PassMode, kind: Option<EntityKind>, dry_run: bool) -> Self {
        let part = match (mode, kind) {
            (PassMode::Sweep, Some(EntityKind::Customer)) => Part::Changed {
                kind: EntityKind::Customer,
            },
            // Companies first.
            (PassMode::Sweep, _) => Part::Changed {
                kind: EntityKind::Company,
            },
            // All customers, with the companies among them, come before the contacts of these.
            (PassMode::Delta | PassMode::Full, _) => Part::Records {
                resource: Resource::Customer,
            },
        };
        Self {
            part,
            cursor: None,
            restarts: 0,
            after: None,
            pending: Vec::new(),
            owed: None,
            lists_keys: true,
            outbox: Vec::new(),
            counts_before: Counts::default(),
            plan: dry_run.then(PlanWork::default),
        }
    }
}

impl Step<'_> {
    /// Goes on with the next part.
    pub(crate) fn next_part(&mut self) {
        let kind = self.run.kind;
        self.work.part = match self.work.part {
            Part::Records {
                resource: Resource::Customer,
            } if kind != Some(EntityKind::Company) => Part::Records {
                resource: Resource::Contact,
            },
            Part::Changed {
                kind: EntityKind::Company,
            } if kind.is_none() => Part::Changed {
                kind: EntityKind::Customer,
            },
            Part::Changed {
                kind: EntityKind::Customer,
            } => Part::Forgotten,
            Part::Records { .. } => Part::Owed,
            Part::Owed | Part::Changed { .. } | Part::Forgotten | Part::Done => Part::Done,
        };
        self.work.cursor = None;
        // A plan starts over as a whole, and would do so for ever.
        if !self.run.dry_run {
            self.work.restarts = 0;
        }
        self.work.after = None;
        self.work.counts_before = self.run.counts.clone();
    }

    /// Starts the part over, unless it has done so too often. What was done stays counted; what was only seen is seen
    /// again.
    fn part_again(&mut self) -> Result<(), Halt> {
        self.work.restarts += 1;
        if self.work.restarts > MAX_RESTARTS {
            return Err(Halt::Endless {
                reason: format!(
                    "the ERP forgot the place in its listing {} times: see whether it is restarted again and again, or lets go of cursors sooner than a step of a pass takes",
                    self.work.restarts
                ),
            });
        }
        let before = self.work.counts_before.clone();
        let counts = &mut self.run.counts;
        counts.seen = before.seen;
        counts.unchanged = before.unchanged;
        counts.conflicts = before.conflicts;
        counts.skipped = before.skipped;
        self.work.cursor = None;
        self.work.pending.clear();
        self.actions.clear();
        Ok(())
    }

    /// Starts a plan over as a whole, unless it has done so too often: nothing was done, and everything is said again.
    async fn plan_again(&mut self, pass: &ErpFullPass) -> Result<(), Halt> {
        self.part_again()?;
        self.run.counts = Counts::default();
        self.lines.clear();
        let written = self.work.plan.as_ref().map_or(0, |plan| plan.parts);
        for part in 1..=written {
            put_plan_lines(pass, self.run, part, Vec::new()).await?;
        }
        self.work = Work {
            restarts: self.work.restarts,
            ..Work::new(self.run.mode, self.run.kind, true)
        };
        Ok(())
    }

    /// Ends a run that has gone on for too long.
    fn check_age(&self, pass: &ErpFullPass) -> Result<(), Halt> {
        if pass.clock.now() - self.run.started < LONGEST_RUN {
            return Ok(());
        }
        Err(Halt::Endless {
            reason: format!(
                "it has not ended in {} days: see whether the ERP lists more than it has, or Norce takes imports more slowly than they come",
                LONGEST_RUN.num_days()
            ),
        })
    }

    /// Takes a decision about a record.
    pub(crate) fn decided(&mut self, decision: Decision, record: Option<&ErpId>) {
        let owed = self.work.owed.as_mut().filter(|owed| !owed.is_empty());
        let was_owed = match (owed, record) {
            (Some(owed), Some(record)) => owed.remove(record),
            _ => false,
        };
        let resolved = match decision {
            Decision::Unchanged => {
                self.run.counts.unchanged += 1;
                true
            }
            Decision::Skip(skipped) => {
                let reason = skipped.reason.to_owned();
                *self.run.counts.skipped.entry(reason).or_default() += 1;
                if self.run.dry_run {
                    self.lines.push(skipped.plan_line());
                }
                true
            }
            Decision::Defer => {
                // It is seen again, at the end of the walk.
                self.run.counts.seen -= 1;
                if let Some(record) = record {
                    self.work
                        .owed
                        .get_or_insert_default()
                        .insert(record.clone());
                }
                return;
            }
            Decision::Act(action) => {
                let resolved = action.settles();
                self.push(action);
                resolved
            }
        };
        if let (true, true, Some(record)) = (was_owed, resolved, record) {
            self.push(Action::Resolve {
                record: record.clone(),
            });
        }
    }

    /// Nothing is to be looked at any more of a record of which something was owed.
    pub(crate) fn forget_owed(&mut self, record: &ErpId) {
        if let Some(owed) = &mut self.work.owed {
            owed.remove(record);
        }
    }

    /// Takes an action.
    pub(crate) fn push(&mut self, action: Action) {
        action.count(self.run);
        if self.run.dry_run {
            self.lines.extend(action.plan_line());
        } else {
            self.actions.push(action);
        }
    }

    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Writes down what is to be done, the place and the counts, and then does it.
    pub(crate) async fn commit(
        &mut self,
        pass: &ErpFullPass,
        pending: &Pending,
    ) -> Result<(), Halt> {
        self.work.pending = ids_of(pending);
        self.run.progressed = pass.clock.now();
        if self.run.dry_run {
            if self.lines.len() >= PLAN_LINES_IN_A_PART {
                self.write_plan_lines(pass).await?;
            }
            return Ok(());
        }
        self.work.outbox = std::mem::take(&mut self.actions);
        self.save(pass).await?;
        self.act(pass).await?;
        if self.sent_lines > 0 {
            self.sent_lines = 0;
            if pass.imports_depth.depth().await? > pass.settings.most_waiting {
                return Err(Halt::ImportsAreDeep);
            }
        }
        Ok(())
    }

    async fn act(&mut self, pass: &ErpFullPass) -> Result<(), Halt> {
        let outbox = std::mem::take(&mut self.work.outbox);
        if !outbox.is_empty() {
            self.sent_lines += pass.act(self.run, &outbox).await?;
        }
        Ok(())
    }

    async fn save(&mut self, pass: &ErpFullPass) -> Result<(), Halt> {
        self.run.version += 1;
        self.run.work = Some(serde_json::to_string(&self.work)?);
        if pass.passes.save(self.run).await? {
            Ok(())
        } else {
            Err(Halt::Superseded)
        }
    }

    /// Leaves the run in good order when the invocation's time is nearly up.
    pub(crate) async fn check_time(
        &mut self,
        pass: &ErpFullPass,
        pending: &Pending,
        deadline: Deadline,
    ) -> Result<(), Halt> {
        if deadline.allows(STOP_BEFORE) {
            return Ok(());
        }
        self.commit(pass, pending).await?;
        Err(Halt::TimeIsUp)
    }

    /// Puts the lines of a plan away, and remembers the first of each group.
    async fn write_plan_lines(&mut self, pass: &ErpFullPass) -> Result<(), Halt> {
        let lines = std::mem::take(&mut self.lines);
        let plan = self.work.plan.get_or_insert_default();
        if lines.is_empty() {
            return Ok(());
        }
        plan.parts += 1;
        for line in &lines {
            let first = plan.first.entry(line.group.clone()).or_default();
            if first.len() < PLAN_LINES_SHOWN {
                first.push(line.clone());
            }
        }
        let body = report::json_lines(&lines)?;
        put_plan_lines(pass, self.run, plan.parts, body).await
    }
}

async fn put_plan_lines(
    pass: &ErpFullPass,
    run: &Run,
    part: u32,
    body: Vec<u8>,
) -> Result<(), Halt> {
    let key = format!("{}/lines-{part:04}.jsonl", plan_folder(run));
    let put = pass.reports.put(&key, "application/x-ndjson", body.into());
    Ok(put.await?)
}

/// Whether something was written down that was to be done and perhaps is not: its mappings may say that Norce was told.
fn has_outbox(run: &Run) -> Result<bool, Halt> {
    let work = run.work.as_deref().map(serde_json::from_str::<Work>);
    Ok(work
        .transpose()?
        .is_some_and(|work| !work.outbox.is_empty()))
}

fn plan_folder(run: &Run) -> String {
    format!("plans/{}", run.id)
}

impl ErpFullPass {
    /// Does what a message asks for, as far as the time goes.
    pub(crate) async fn step(&self, message: PassMessage, deadline: Deadline) -> Outcome {
        let result = match message {
            PassMessage::Start {
                run,
                scope,
                mode,
                kind,
                dry_run,
            } => {
                let run = self.new_run(run, scope, mode, kind, dry_run);
                if dry_run {
                    return self.plan_step(run, deadline).await;
                }
                self.run_step(run, deadline).await
            }
            PassMessage::Continue { run: id } => match self.passes.run(id).await {
                Ok(Some(run)) => self.run_step(run, deadline).await,
                Ok(None) => {
                    tracing::warn!(run = %id, "a pass that is to go on has no record (any more)");
                    return Outcome::Done;
                }
                Err(error) => Err(error.into()),
            },
            PassMessage::ContinuePlan { run } => match serde_json::from_str(&run) {
                Ok(run) => return self.plan_step(run, deadline).await,
                Err(error) => {
                    // The parser's words name places only: there is nothing personal in a run.
                    tracing::error!(%error, "a plan that is to go on cannot be read; ask for it again");
                    return Outcome::Done;
                }
            },
        };
        match result {
            Ok(outcome) => outcome,
            Err(Halt::Later { at_least, reason }) => Outcome::RetryAfter { at_least, reason },
            Err(halt) => Outcome::RetryAfter {
                at_least: None,
                reason: format!("{halt:?}"),
            },
        }
    }

    fn new_run(
        &self,
        id: Uuid,
        scope: Scope,
        mode: PassMode,
        kind: Option<EntityKind>,
        dry_run: bool,
    ) -> Run {
        let now = self.clock.now();
        Run {
            id,
            mode,
            kind,
            scope,
            dry_run,
            started: now,
            progressed: now,
            ended: None,
            counts: Counts::default(),
            cost: Cost::default(),
            watermarks_before: BTreeMap::new(),
            watermark_after: None,
            version: 0,
            work: None,
        }
    }

    /// A step of a run that writes.
    async fn run_step(&self, run: Run, deadline: Deadline) -> Result<Outcome, Halt> {
        let key = lease_key(&run);
        let invocation = Uuid::new_v4();
        let now = self.clock.now();
        let time = TimeDelta::from_std(deadline.remaining()).unwrap_or_default();
        let lease = Lease {
            run: run.id,
            invocation: Some(invocation),
            until: now + time + LEASE_MARGIN,
        };
        if let Err(holder) = self.passes.lease(key, lease, now).await? {
            return Ok(Outcome::RetryAfter {
                at_least: Some(WAIT_FOR_ANOTHER_RUN),
                reason: format!("pass {} walks over this register", holder.run),
            });
        }
        let result = self.leased_step(run, deadline).await;
        let keep_until = match &result {
            Ok(Some(_)) | Err(_) => Some(self.clock.now() + LEASE_BETWEEN_STEPS),
            Ok(None) => None,
        };
        self.passes.release(key, invocation, keep_until).await?;
        Ok(match result? {
            None => Outcome::Done,
            Some(Goes::On) => Outcome::Done,
            Some(Goes::OnLater { at_least, reason }) => Outcome::RetryAfter { at_least, reason },
        })
    }

    /// `None`: the run has ended.
    async fn leased_step(&self, run: Run, deadline: Deadline) -> Result<Option<Goes>, Halt> {
        let begin = Instant::now();
        // Under the lease nobody else writes it; what the message led to may be older.
        let mut run = self.passes.run(run.id).await?.unwrap_or(run);
        if run.ended.is_some() {
            return Ok(None);
        }
        let work = match &run.work {
            Some(work) => serde_json::from_str(work)?,
            None => Work::new(run.mode, run.kind, run.dry_run),
        };
        let mut step = Step {
            run: &mut run,
            work,
            actions: Vec::new(),
            lines: Vec::new(),
            sent_lines: 0,
        };
        step.run.cost.invocations += 1;
        let walked = match self.walk_on(&mut step, deadline).await {
            Err(Halt::CursorExpired) => {
                tracing::warn!(run = %step.run.id, restarts = step.work.restarts, "the ERP no longer knows the cursor of its listing; the listing starts over");
                step.part_again().map(|()| Some(WAIT_FOR_LISTING))
            }
            walked => walked.map(|()| None),
        };
        let wait = match walked {
            Ok(Some(wait)) => wait,
            Ok(None) => {
                step.run.cost.duration_ms += milliseconds(begin.elapsed());
                self.end(&mut run, None).await?;
                return Ok(None);
            }
            Err(Halt::TimeIsUp) => Duration::ZERO,
            Err(Halt::ImportsAreDeep) => WAIT_FOR_IMPORTS,
            Err(Halt::Endless { reason }) => return self.give_up(step.run.id, reason).await,
            Err(Halt::Superseded) => {
                tracing::info!(run = %step.run.id, "somebody else goes on with the pass");
                return Ok(Some(Goes::On));
            }
            Err(Halt::Later { at_least, reason }) => {
                return self.later(step.run.id, at_least, reason).await;
            }
            Err(halt @ Halt::CursorExpired) => return Err(halt),
        };
        step.run.cost.duration_ms += milliseconds(begin.elapsed());
        // What was written down is done: the next step need not do it once more.
        step.save(self).await?;
        tracing::info!(run = %run.id, seen = run.counts.seen, wait_ms = milliseconds(wait), "pass goes on in another invocation");
        let next = PassMessage::Continue { run: run.id };
        self.to_passes.send(&[next], wait).await?;
        Ok(Some(Goes::On))
    }

    async fn later(
        &self,
        id: Uuid,
        at_least: Option<Duration>,
        reason: String,
    ) -> Result<Option<Goes>, Halt> {
        if let Some(run) = self.passes.run(id).await?
            && self.clock.now() - run.progressed >= GIVE_UP_AFTER
            && !has_outbox(&run)?
        {
            return self.give_up(id, reason).await;
        }
        Ok(Some(Goes::OnLater { at_least, reason }))
    }

    /// Ends a run before its time, as it was saved: the next one sees again what was seen since.
    async fn give_up(&self, id: Uuid, reason: String) -> Result<Option<Goes>, Halt> {
        if let Some(mut run) = self.passes.run(id).await? {
            self.end(&mut run, Some(reason)).await?;
        }
        Ok(None)
    }

    async fn walk_on(&self, step: &mut Step<'_>, deadline: Deadline) -> Result<(), Halt> {
        if step.run.version == 0 {
            // Saved before anything else, so that there is a record however the pass ends.
            step.save(self).await?;
            let mode = step.run.mode.as_str();
            self.metrics.count(Metric::PassesStarted, mode);
        }
        if step.run.watermark_after.is_none() {
            self.take_watermarks(step.run, deadline).await?;
            step.save(self).await?;
        }
        step.act(self).await?;
        step.check_age(self)?;
        match step.run.mode {
            PassMode::Delta | PassMode::Full => self.walk(step, deadline).await,
            PassMode::Sweep => self.sweep(step, deadline).await,
        }
    }

    /// The watermark is taken before the walk begins, from the clock of the one that is walked over where it has one.
    async fn take_watermarks(&self, run: &mut Run, deadline: Deadline) -> Result<(), Halt> {
        let key = lease_key(run);
        for kind in kinds(run) {
            // Where the index of keys was never complete, everything has to be read once, as without a watermark: an
            // earlier version has left the watermark, and the full pass has no schedule unless somebody wants one.
            let is_indexed = key.sweep || self.key_index.coverage(run.scope, kind).await?.is_some();
            if let (Some(watermark), true) = (self.passes.watermark(key, kind).await?, is_indexed) {
                run.watermarks_before.insert(kind, watermark);
            }
        }
        let erp = self.erps.get(&run.scope).filter(|_| !key.sweep);
        let clock = match erp {
            Some(erp) => {
                run.cost.erp_calls += 1;
                erp.clock(deadline).await?
            }
            None => None,
        };
        run.watermark_after = Some(clock.unwrap_or_else(|| self.clock.now()));
        Ok(())
    }

    /// Everything is queued or owed: the watermarks move, and the run ends (P7).
    async fn end(&self, run: &mut Run, failed: Option<String>) -> Result<(), Halt> {
        if let (None, Some(watermark)) = (&failed, run.watermark_after) {
            for kind in kinds(run) {
                self.passes.advance(lease_key(run), kind, watermark).await?;
            }
        }
        run.ended = Some(Ended {
            at: self.clock.now(),
            failed,
        });
        run.work = None;
        run.version += 1;
        if !self.passes.save(run).await? {
            return Err(Halt::Superseded);
        }
        self.measure(run);
        log(run);
        Ok(())
    }

    /// The metrics of a run that has ended.
    fn measure(&self, run: &Run) {
        let (metrics, mode) = (&self.metrics, run.mode.as_str());
        let ended = match run.ended.as_ref().and_then(|ended| ended.failed.as_ref()) {
            Some(_) => Metric::PassesFailed,
            None => Metric::PassesEnded,
        };
        metrics.count(ended, mode);
        let time = (self.clock.now() - run.started).to_std();
        metrics.time(Metric::PassSeconds, mode, time.unwrap_or_default());
        let Counts {
            seen,
            unchanged,
            ref skipped,
            ..
        } = run.counts;
        let skipped: u64 = skipped.values().sum();
        let changed = seen.saturating_sub(unchanged).saturating_sub(skipped);
        metrics.record(Metric::PassRecordsSeen, mode, seen);
        metrics.record(Metric::PassRecordsChanged, mode, changed);
    }

    /// A step of a plan. It writes its report and nothing else (P10).
    async fn plan_step(&self, mut run: Run, deadline: Deadline) -> Outcome {
        match self.planned_step(&mut run, deadline).await {
            Ok(()) => Outcome::Done,
            Err(Halt::Later { reason, .. })
                if self.clock.now() - run.progressed >= GIVE_UP_AFTER =>
            {
                give_up_plan(&run, &reason)
            }
            Err(Halt::Endless { reason }) => give_up_plan(&run, &reason),
            Err(Halt::Later { at_least, reason }) => Outcome::RetryAfter { at_least, reason },
            Err(halt) => Outcome::RetryAfter {
                at_least: None,
                reason: format!("{halt:?}"),
            },
        }
    }

    async fn planned_step(&self, run: &mut Run, deadline: Deadline) -> Result<(), Halt> {
        let begin = Instant::now();
        let work = match &run.work {
            Some(work) => serde_json::from_str(work)?,
            None => Work::new(run.mode, run.kind, run.dry_run),
        };
        let mut step = Step {
            run: &mut *run,
            work,
            actions: Vec::new(),
            lines: Vec::new(),
            sent_lines: 0,
        };
        step.run.cost.invocations += 1;
        if step.run.watermark_after.is_none() {
            self.take_watermarks(step.run, deadline).await?;
        }
        step.check_age(self)?;
        let walked = match step.run.mode {
            PassMode::Delta | PassMode::Full => self.walk(&mut step, deadline).await,
            PassMode::Sweep => self.sweep(&mut step, deadline).await,
        };
        let goes_on_after = match walked {
            Ok(()) => None,
            Err(Halt::TimeIsUp) => Some(Duration::ZERO),
            Err(Halt::CursorExpired) => {
                step.plan_again(self).await?;
                Some(WAIT_FOR_LISTING)
            }
            Err(halt) => return Err(halt),
        };
        step.write_plan_lines(self).await?;
        let Step { mut work, .. } = step;
        run.cost.duration_ms += milliseconds(begin.elapsed());
        if let Some(wait) = goes_on_after {
            run.work = Some(serde_json::to_string(&work)?);
            let run = serde_json::to_string(run)?;
            return Ok(self
                .to_passes
                .send(&[PassMessage::ContinuePlan { run }], wait)
                .await?);
        }
        run.work = None;
        run.ended = Some(Ended {
            at: self.clock.now(),
            failed: None,
        });
        let folder = plan_folder(run);
        let plan = work.plan.take().unwrap_or_default();
        let first: Vec<PlanLine> = plan.first.into_values().flatten().collect();
        let html = report::html(run, &first);
        let summary = serde_json::to_vec_pretty(run)?;
        let json = "application/json";
        self.reports
            .put(&format!("{folder}/summary.json"), json, summary.into())
            .await?;
        // The page last: whoever sees it finds everything else.
        self.reports
            .put(
                &format!("{folder}/report.html"),
                "text/html; charset=utf-8",
                html.into(),
            )
            .await?;
        log(run);
        Ok(())
    }
}

/// Ends a plan without a report.
fn give_up_plan(run: &Run, reason: &str) -> Outcome {
    tracing::error!(run = %run.id, reason, "a plan is given up: ask for it again when that is mended");
    Outcome::Done
}

/// How a run goes on.
enum Goes {
    /// Through a message that was sent, or somebody else's.
    On,
    /// Through the same message, later.
    OnLater {
        at_least: Option<Duration>,
        reason: String,
    },
}

fn lease_key(run: &Run) -> LeaseKey {
    LeaseKey {
        scope: run.scope,
        sweep: run.mode == PassMode::Sweep,
    }
}

pub(crate) fn kinds(run: &Run) -> Vec<EntityKind> {
    match run.kind {
        Some(kind) => vec![kind],
        None => vec![EntityKind::Company, EntityKind::Customer],
    }
}

/// The summary of a run: one line for people, and its figures as fields.
fn log(run: &Run) {
    let summary = report::summary(run);
    match run.ended.as_ref().and_then(|ended| ended.failed.as_ref()) {
        Some(failed) => tracing::error!(
            run = %run.id, mode = %run.mode, scope = %run.scope, failed, summary,
            "pass given up: the next one begins from the same watermark"
        ),
        None => tracing::info!(
            run = %run.id,
            mode = %run.mode,
            scope = %run.scope,
            dry_run = run.dry_run,
            summary,
            seen = run.counts.seen,
            pages = run.cost.pages,
            query_calls = run.cost.query_calls,
            mapping_reads = run.cost.mapping_reads,
            mapping_writes = run.cost.mapping_writes,
            import_lines = run.cost.import_lines,
            erp_wait_ms = run.cost.erp_wait_ms,
            norce_wait_ms = run.cost.norce_wait_ms,
            duration_ms = run.cost.duration_ms,
            "pass ended"
        ),
    }
}
