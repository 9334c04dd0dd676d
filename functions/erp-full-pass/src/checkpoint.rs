//! What is recorded of a run between two invocations, besides what people see of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{EntityKind, ErpId, NorceId, PassMode, Resource},
    erp::Cursor,
    passes::{Counts, LeaseKey, Run},
};

use crate::{
    action::Action,
    report::PlanLine,
    stop_reason::{Result, StopReason},
};

/// How often the ERP may lose the cursor of one listing, as it does when it is restarted, before the run is given up.
const MAX_RESTARTS: u32 = 10;

/// How many replaced records a plan remembers: each takes 90 to 160 bytes of a message of at most 1 MiB. Any others it also
/// counts as gone.
pub(crate) const MAX_REPLACED: usize = 2_000;

/// What a run is walking over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// The ERP's records.
    Records { resource: Resource },
    /// Owed records that the walk has not met.
    Owed,
    /// Norce's changed entities.
    Changed { kind: EntityKind },
    /// Norce's forgotten customers.
    Forgotten,
    /// Nothing is left.
    Done,
}

/// Where a run continues, and what it is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    #[serde(rename = "part")]
    pub(crate) phase: Phase,
    /// The next page of the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// How often this phase has started over; of a plan, how often all of it has.
    #[serde(default, skip_serializing_if = "is_zero")]
    restarts: u32,
    /// The last entity of Norce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<NorceId>,
    /// Records that have to be looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<ErpId>,
    /// Records whose bindings were refused, because the mappings had something else. The pass decides about them again before
    /// it goes on. A version that does not know this field leaves them to the next full pass.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) refused: BTreeSet<ErpId>,
    /// Records that were owed when the run began and that it has not met yet, and those that it defers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owed: Option<BTreeSet<ErpId>>,
    /// Where a full pass goes on comparing the bound entities with the ERP, before it retries what is owed. Absent when that
    /// is done, and in a run that an earlier version began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bindings: Option<BindingsPlace>,
    /// Everything that was read since the run began is in the index of natural keys. A run that a version without the
    /// index began goes on without it.
    #[serde(default)]
    pub(crate) lists_keys: bool,
    /// Actions that are under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outbox: Vec<Action>,
    /// The counts when the phase began.
    counts_before: Counts,
    /// Of a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PlanCheckpoint>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A place in the listing of the bound entities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindingsPlace {
    /// The end of the last page; absent at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

/// What is recorded of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanCheckpoint {
    /// Objects with lines that were written.
    pub(crate) parts: u32,
    /// The first lines of each group.
    pub(crate) first: BTreeMap<String, Vec<PlanLine>>,
    /// Bound records that the ERP no longer has and that the pass would replace, [`MAX_REPLACED`] at most.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) replaced: BTreeSet<ErpId>,
}

impl Checkpoint {
    /// Where a run continues, or begins.
    pub(crate) fn of(run: &Run) -> Result<Self> {
        match &run.work {
            Some(work) => Ok(serde_json::from_str(work)?),
            None => Ok(Self::new(run)),
        }
    }

    fn new(run: &Run) -> Self {
        let phase = match (run.mode, run.kind) {
            (PassMode::Sweep, Some(EntityKind::Customer)) => Phase::Changed {
                kind: EntityKind::Customer,
            },
            // Companies first.
            (PassMode::Sweep, _) => Phase::Changed {
                kind: EntityKind::Company,
            },
            // All customers, with the companies among them, come before the contacts of these.
            (PassMode::Delta | PassMode::Full, _) => Phase::Records {
                resource: Resource::Customer,
            },
        };
        Self {
            phase,
            cursor: None,
            restarts: 0,
            after: None,
            pending: Vec::new(),
            refused: BTreeSet::new(),
            owed: None,
            bindings: (run.mode == PassMode::Full).then(BindingsPlace::default),
            lists_keys: true,
            outbox: Vec::new(),
            counts_before: Counts::default(),
            plan: run.dry_run.then(PlanCheckpoint::default),
        }
    }

    /// Continues with the next phase.
    pub(crate) fn next_phase(&mut self, run: &Run) {
        self.phase = match self.phase {
            Phase::Records {
                resource: Resource::Customer,
            } if run.kind != Some(EntityKind::Company) => Phase::Records {
                resource: Resource::Contact,
            },
            Phase::Changed {
                kind: EntityKind::Company,
            } if run.kind.is_none() => Phase::Changed {
                kind: EntityKind::Customer,
            },
            Phase::Changed {
                kind: EntityKind::Customer,
            } => Phase::Forgotten,
            Phase::Records { .. } => Phase::Owed,
            Phase::Owed | Phase::Changed { .. } | Phase::Forgotten | Phase::Done => Phase::Done,
        };
        self.cursor = None;
        // A plan starts over as a whole, and would never stop doing so.
        if !run.dry_run {
            self.restarts = 0;
        }
        self.after = None;
        self.count_from_here(&run.counts);
    }

    /// Sets the counts from which the phase starts over.
    pub(crate) fn count_from_here(&mut self, counts: &Counts) {
        self.counts_before = counts.clone();
    }

    /// Starts the phase over, unless it has done so too often. What was done stays counted; what was only seen is seen
    /// again.
    pub(crate) fn restart_phase(&mut self, counts: &mut Counts) -> Result {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(StopReason::Endless {
                reason: format!(
                    "the ERP forgot the place in its listing {} times: check whether it restarts repeatedly, or expires cursors sooner than a step of a pass takes",
                    self.restarts
                ),
            });
        }
        let before = &self.counts_before;
        counts.seen = before.seen;
        counts.unchanged = before.unchanged;
        counts.conflicts = before.conflicts;
        counts.skipped.clone_from(&before.skipped);
        self.cursor = None;
        self.pending.clear();
        self.refused.clear();
        Ok(())
    }

    /// Starts a plan over as a whole, unless it has done so too often: nothing was done, and everything is listed again.
    pub(crate) fn restart_plan(&mut self, run: &mut Run) -> Result {
        self.restart_phase(&mut run.counts)?;
        run.counts = Counts::default();
        *self = Self {
            restarts: self.restarts,
            ..Self::new(run)
        };
        Ok(())
    }
}

/// Whether a run has recorded actions that may be unfinished: its mappings may say that Norce has what it has not.
pub(crate) fn has_outbox(run: &Run) -> Result<bool> {
    Ok(!Checkpoint::of(run)?.outbox.is_empty())
}

/// What keeps two runs apart.
pub(crate) fn lease_key(run: &Run) -> LeaseKey {
    LeaseKey {
        scope: run.scope,
        sweep: run.mode == PassMode::Sweep,
    }
}

/// The kinds that a run walks over.
pub(crate) fn kinds(run: &Run) -> Vec<EntityKind> {
    match run.kind {
        Some(kind) => vec![kind],
        None => vec![EntityKind::Company, EntityKind::Customer],
    }
}

/// The time from which a delta pass reads the records of a resource; `None`: all of them.
pub(crate) fn since(run: &Run, resource: Resource, overlap: TimeDelta) -> Option<DateTime<Utc>> {
    if run.mode != PassMode::Delta {
        return None;
    }
    let kinds: &[EntityKind] = match (resource, run.kind) {
        (Resource::Contact, _) | (_, Some(EntityKind::Customer)) => &[EntityKind::Customer],
        (_, Some(EntityKind::Company)) => &[EntityKind::Company],
        (_, None) => &[EntityKind::Company, EntityKind::Customer],
    };
    let watermarks = kinds
        .iter()
        .map(|kind| run.watermarks_before.get(kind).copied());
    // Where one of them is missing, everything has to be read once.
    let earliest = watermarks.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    Some(earliest - overlap)
}
