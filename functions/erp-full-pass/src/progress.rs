//! A run at work in one invocation: what it has decided, and where that goes.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    domain::{Clock, ErpId},
    http::Deadline,
    passes::Run,
};

use crate::{
    action::{Action, Decision, NorceUpdate},
    checkpoint::{Checkpoint, MAX_REPLACED},
    meter::Meter,
    pending::{Pending, ids_of},
    report::PlanLine,
    stop_reason::{Result, StopReason},
};

/// A step stops this long before the invocation's time is up (P13): a page and what follows from it fit into it when
/// all is well.
pub(crate) const STOP_BEFORE: Duration = Duration::from_secs(30);

/// Where the decisions of a walk go, and how its run continues: the outbox of a pass, or the report of a plan.
#[async_trait]
pub(crate) trait Sink: Send + Sync {
    /// Records the run before anything else, and finishes what the invocation before may not have finished.
    async fn begin(&self, progress: &mut Progress<'_>) -> Result;

    /// Records the run.
    async fn save(&self, progress: &mut Progress<'_>) -> Result;

    /// Records what was decided together with the place in the walk and the counts, and carries it out.
    async fn commit(&self, progress: &mut Progress<'_>) -> Result;

    /// Starts over where the ERP no longer knows the cursor of its listing.
    async fn restart(&self, progress: &mut Progress<'_>) -> Result;

    /// Leaves the run to another invocation, after a delay.
    async fn hand_over(&self, progress: &mut Progress<'_>, delay: Duration) -> Result;

    /// Ends a run that has walked over everything.
    async fn end(&self, progress: &mut Progress<'_>) -> Result;

    /// When the run last got anything done, if it may be given up for that.
    async fn last_progress(&self, run: &Run) -> Result<Option<DateTime<Utc>>>;

    /// Ends a run early, as it was last recorded: the next one sees again what was seen since.
    async fn give_up(&self, run: &Run, reason: String) -> Result;
}

/// A run at work.
pub(crate) struct Progress<'a> {
    pub(crate) run: Run,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) meter: &'a Meter,
    /// Decided, and not recorded yet.
    pub(crate) actions: Vec<Action>,
    /// The same of a plan.
    pub(crate) lines: Vec<PlanLine>,
    /// Lines that were sent since the imports queue was last measured.
    pub(crate) sent_lines: u64,
    /// Bindings that were refused in this invocation because the mappings had something else.
    pub(crate) refusals: usize,
    pub(crate) sink: &'a dyn Sink,
    clock: &'a dyn Clock,
}

impl<'a> Progress<'a> {
    /// Continues a run, or begins it.
    pub(crate) fn new(
        run: Run,
        meter: &'a Meter,
        clock: &'a dyn Clock,
        sink: &'a dyn Sink,
    ) -> Result<Self> {
        Ok(Self {
            checkpoint: Checkpoint::of(&run)?,
            run,
            meter,
            actions: Vec::new(),
            lines: Vec::new(),
            sent_lines: 0,
            refusals: 0,
            clock,
            sink,
        })
    }

    /// Takes a decision about a record.
    pub(crate) fn decided(&mut self, decision: Decision, record: Option<&ErpId>) {
        if let Some(record) = record {
            self.checkpoint.refused.remove(record);
        }
        let owed = self.checkpoint.owed.as_mut();
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
                    self.lines.push(PlanLine::of_skipped(skipped));
                }
                true
            }
            Decision::Defer => {
                // It is seen again, at the end of the walk.
                self.run.counts.seen -= 1;
                if let Some(record) = record {
                    let owed = self.checkpoint.owed.get_or_insert_default();
                    owed.insert(record.clone());
                }
                return;
            }
            Decision::Act(action) => {
                let resolved = action.settles();
                self.act(action);
                resolved
            }
        };
        if let (true, true, Some(record)) = (was_owed, resolved, record) {
            self.act(Action::Resolve {
                record: record.clone(),
            });
        }
    }

    /// Notes a record whose binding was refused. It is counted when the pass decides about it again.
    pub(crate) fn refuse(&mut self, record: ErpId) {
        self.refusals += 1;
        self.run.counts.seen -= 1;
        self.checkpoint.refused.insert(record);
    }

    /// Takes an action.
    pub(crate) fn act(&mut self, action: Action) {
        action.count(&mut self.run.counts);
        if self.run.dry_run {
            let plan = self.checkpoint.plan.get_or_insert_default();
            if let Action::Update(NorceUpdate {
                replaces: Some(gone),
                ..
            }) = &action
                && plan.replaced.len() < MAX_REPLACED
            {
                plan.replaced.insert(gone.as_ref().clone());
            }
            self.lines.extend(PlanLine::of_action(&action));
        } else {
            self.actions.push(action);
        }
    }

    /// Clears the owed entry of a record that no longer exists in the ERP.
    pub(crate) fn resolve_gone(&mut self, record: &ErpId) {
        if let Some(owed) = &mut self.checkpoint.owed {
            owed.remove(record);
        }
        self.act(Action::Resolve {
            record: record.clone(),
        });
    }

    /// Records what was decided, and carries it out.
    pub(crate) async fn commit(&mut self, pending: &Pending) -> Result {
        self.checkpoint.pending = ids_of(pending);
        self.run.progressed = self.clock.now();
        self.sink.commit(self).await
    }

    /// Stops in good order when the invocation's time is nearly up.
    pub(crate) async fn check_time(&mut self, pending: &Pending, deadline: Deadline) -> Result {
        if deadline.allows(STOP_BEFORE) {
            return Ok(());
        }
        self.commit(pending).await?;
        Err(StopReason::TimeIsUp)
    }

    pub(crate) fn next_phase(&mut self) {
        self.checkpoint.next_phase(&self.run);
    }
}
