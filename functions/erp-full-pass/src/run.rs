//! One step of a run: what one invocation does for it.
//!
//! 1. It takes the lease of the scope, so that no two passes walk over it at the same time. A plan needs none.
//! 2. It repeats what was recorded last, in case the invocation before was cut off while it did it.
//! 3. It walks on. From time to time it records what is to be done, the place and the counts, and then does it.
//! 4. It ends the run, or leaves it to the next message, and releases the lease.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use shared::{
    domain::{PassMessage, PassMode},
    http::Deadline,
    mappings::key_index::{KeyIndex, ReadOnly},
    passes::{Cost, Counts, Lease, Run},
    record_finder::RecordFinder,
    runtime::batch::Outcome,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    checkpoint::{kinds, lease_key},
    configuration::synced_groups,
    erp_walk::ErpWalk,
    executor::Executor,
    hint::{Hint, Hints},
    key_index::KeyListing,
    lookups::Lookups,
    meter::{Meter, milliseconds},
    norce_walk::NorceWalk,
    outbox::Outbox,
    plan::Plan,
    ports::ErpFullPass,
    progress::{Progress, Sink},
    resolver::Resolver,
    rules::Rules,
    stop_reason::{Result, StopReason},
};

/// How long a lease outlives the invocation that holds it, for its last writes.
const LEASE_MARGIN: TimeDelta = TimeDelta::seconds(5);
/// How long a run keeps its lease while its next message is under way; longer than the longest delay of a message.
const LEASE_BETWEEN_STEPS: TimeDelta = TimeDelta::minutes(30);
/// How long a run waits for another one over the same scope, until it tries again.
const WAIT_FOR_ANOTHER_RUN: Duration = Duration::from_secs(60);
/// How long a run waits for the imports queue to get shorter, until it looks again.
const WAIT_FOR_IMPORTS: Duration = Duration::from_secs(60);
/// How long a run waits before it starts a listing over: the ERP may just have been restarted.
const WAIT_FOR_LISTING: Duration = Duration::from_secs(10);
/// A run that gets nothing done for so long is given up; the next one starts from the same watermark.
const GIVE_UP_AFTER: TimeDelta = TimeDelta::hours(24);
/// A run that goes on for so long is given up, whatever it gets done: an ERP whose listing never ends would keep it
/// going for ever. A full pass over a million records that waits for its imports takes days.
const MAX_RUN_AGE: TimeDelta = TimeDelta::days(7);

/// Works on runs.
pub(crate) struct Runner<'a>(pub(crate) &'a ErpFullPass);

/// How a run continues.
enum Continuation {
    /// Not at all: it has ended.
    Ended,
    /// Through a message that was sent, or that another invocation has.
    NextMessage,
    /// Through the same message, later.
    SameMessage {
        at_least: Option<Duration>,
        reason: String,
    },
}

impl Runner<'_> {
    /// Does what a message asks for, as far as the time goes.
    pub(crate) async fn handle(&self, message: PassMessage, deadline: Deadline) -> Outcome {
        let run = match message {
            PassMessage::Start {
                run,
                scope,
                mode,
                kind,
                dry_run,
            } => {
                let now = self.0.clock.now();
                Run {
                    id: run,
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
            PassMessage::ErpChanged {
                company,
                records,
                received_at,
                correlation,
            } => {
                let hint = Hint {
                    company,
                    records,
                    received_at,
                    correlation,
                };
                return match Hints(self.0).handle(hint, deadline).await {
                    Ok(()) => Outcome::Done,
                    Err(stop) => retry(stop),
                };
            }
            PassMessage::Continue { run: id } => match self.0.passes.run(id).await {
                Ok(Some(run)) => run,
                Ok(None) => {
                    tracing::warn!(run = %id, "the run of a pass is no longer stored; its message is dropped");
                    return Outcome::Done;
                }
                Err(error) => return retry(error.into()),
            },
            PassMessage::ContinuePlan { run } => match serde_json::from_str(&run) {
                Ok(run) => run,
                Err(error) => {
                    // The parser's words name places only: there is nothing personal in a run.
                    tracing::error!(%error, "the state of a plan cannot be read; request the plan again");
                    return Outcome::Done;
                }
            },
        };
        let continuation = if run.dry_run {
            self.plan(run, deadline).await
        } else {
            self.leased(run, deadline).await
        };
        match continuation {
            Ok(Continuation::Ended | Continuation::NextMessage) => Outcome::Done,
            Ok(Continuation::SameMessage { at_least, reason }) => {
                Outcome::RetryAfter { at_least, reason }
            }
            Err(stop) => retry(stop),
        }
    }

    /// A step of a plan.
    async fn plan(&self, run: Run, deadline: Deadline) -> Result<Continuation> {
        let plan = Plan {
            reports: self.0.reports.as_ref(),
            to_passes: self.0.to_passes.as_ref(),
            clock: self.0.clock.as_ref(),
        };
        let meter = Meter::new(run.cost.clone());
        self.step(run, &meter, &plan, deadline).await
    }

    /// A step of a run that writes, under the lease of its scope.
    async fn leased(&self, run: Run, deadline: Deadline) -> Result<Continuation> {
        let (passes, key) = (&self.0.passes, lease_key(&run));
        let invocation = Uuid::new_v4();
        let now = self.0.clock.now();
        let time = TimeDelta::from_std(deadline.remaining()).unwrap_or_default();
        let lease = Lease {
            run: run.id,
            invocation: Some(invocation),
            until: now + time + LEASE_MARGIN,
        };
        if let Err(holder) = passes.lease(key, lease, now).await? {
            return Ok(Continuation::SameMessage {
                at_least: Some(WAIT_FOR_ANOTHER_RUN),
                reason: format!("pass {} is walking over this scope", holder.run),
            });
        }
        let continuation = self.recorded(run, deadline).await;
        let keep_until = match &continuation {
            Ok(Continuation::Ended) => None,
            Ok(_) | Err(_) => Some(self.0.clock.now() + LEASE_BETWEEN_STEPS),
        };
        passes.release(key, invocation, keep_until).await?;
        continuation
    }

    async fn recorded(&self, run: Run, deadline: Deadline) -> Result<Continuation> {
        let pass = self.0;
        // Under the lease no other invocation writes it; the message's may be older.
        let run = pass.passes.run(run.id).await?.unwrap_or(run);
        if run.ended.is_some() {
            return Ok(Continuation::Ended);
        }
        let meter = Meter::new(run.cost.clone());
        let outbox = Outbox {
            executor: Executor::new(pass, run.scope, run.id, &meter),
            to_passes: pass.to_passes.as_ref(),
            imports_depth: pass.imports_depth.as_ref(),
            most_waiting: pass.settings.most_waiting,
            metrics: &pass.metrics,
        };
        self.step(run, &meter, &outbox, deadline).await
    }

    /// The step of either kind of run.
    async fn step(
        &self,
        run: Run,
        meter: &Meter,
        sink: &dyn Sink,
        deadline: Deadline,
    ) -> Result<Continuation> {
        let mut progress = Progress::new(run, meter, self.0.clock.as_ref(), sink)?;
        let reason = match self.advance(&mut progress, deadline).await {
            Err(StopReason::Endless { reason }) => reason,
            Err(StopReason::Later { at_least, reason }) => {
                let last = sink.last_progress(&progress.run).await?;
                let now = self.0.clock.now();
                if last.is_none_or(|last| now - last < GIVE_UP_AFTER) {
                    return Ok(Continuation::SameMessage { at_least, reason });
                }
                reason
            }
            continuation => return continuation,
        };
        sink.give_up(&progress.run, reason).await?;
        Ok(Continuation::Ended)
    }

    /// Walks on, and ends the run or hands it over.
    async fn advance(
        &self,
        progress: &mut Progress<'_>,
        deadline: Deadline,
    ) -> Result<Continuation> {
        let begin = Instant::now();
        let meter = progress.meter;
        meter.add(|cost| cost.invocations += 1);
        let delay = match self.walk(progress, deadline).await {
            Ok(()) => None,
            Err(StopReason::TimeIsUp) => Some(Duration::ZERO),
            Err(StopReason::ImportsAreDeep) => Some(WAIT_FOR_IMPORTS),
            Err(StopReason::CursorExpired) => {
                tracing::warn!(run = %progress.run.id, "the ERP no longer knows the cursor of its listing; the listing starts over");
                progress.sink.restart(progress).await?;
                Some(WAIT_FOR_LISTING)
            }
            Err(StopReason::Superseded) => {
                tracing::info!(run = %progress.run.id, "another invocation saved this pass and owns it now");
                return Ok(Continuation::NextMessage);
            }
            Err(stop) => return Err(stop),
        };
        let duration = milliseconds(begin.elapsed());
        meter.add(|cost| cost.duration_ms += duration);
        match delay {
            None => {
                progress.sink.end(progress).await?;
                Ok(Continuation::Ended)
            }
            Some(delay) => {
                progress.sink.hand_over(progress, delay).await?;
                Ok(Continuation::NextMessage)
            }
        }
    }

    async fn walk(&self, progress: &mut Progress<'_>, deadline: Deadline) -> Result {
        let pass = self.0;
        progress.sink.begin(progress).await?;
        if progress.run.watermark_after.is_none() {
            self.take_watermarks(progress, deadline).await?;
            progress.sink.save(progress).await?;
            let run = &progress.run;
            if let (PassMode::Delta, false, Some(keeper)) =
                (run.mode, run.dry_run, &pass.erp_events)
                && let Some(erp) = pass.erps.get(&run.scope)
            {
                keeper
                    .keep(erp.as_ref(), run.scope, pass.clock.now(), deadline)
                    .await;
            }
        }
        if pass.clock.now() - progress.run.started >= MAX_RUN_AGE {
            return Err(StopReason::Endless {
                reason: format!(
                    "it has not ended in {} days: check whether the ERP lists more than it has, or Norce takes imports more slowly than they come",
                    MAX_RUN_AGE.num_days()
                ),
            });
        }
        if progress.run.mode == PassMode::Sweep {
            let walk = NorceWalk {
                norce: pass.norce.as_ref(),
                mappings: pass.mappings.as_ref(),
                overlap: pass.settings.sweep_overlap,
                sync_kinds: pass.settings.sync_kinds,
                deadline,
            };
            return walk.walk(progress).await;
        }
        let index: Arc<dyn KeyIndex> = if progress.run.dry_run {
            Arc::new(ReadOnly(pass.key_index.clone()))
        } else {
            pass.key_index.clone()
        };
        let walk = self
            .erp_walk(&progress.run, index.as_ref(), progress.meter, deadline)
            .await?;
        walk.walk(progress).await
    }

    async fn erp_walk<'a>(
        &'a self,
        run: &Run,
        index: &'a dyn KeyIndex,
        meter: &'a Meter,
        deadline: Deadline,
    ) -> Result<ErpWalk<'a>> {
        let (pass, scope) = (self.0, run.scope);
        let erp = pass.erps.get(&scope).map(AsRef::as_ref).ok_or_else(|| {
            StopReason::later(format!("no ERP company is configured for scope {scope}"))
        })?;
        let capabilities = erp.capabilities(deadline).await?;
        let synced = synced_groups(pass.settings.erp_owns, erp.name(), capabilities);
        let synced = synced.map_err(StopReason::later)?;
        Ok(ErpWalk {
            resolver: Resolver {
                rules: Rules {
                    scope,
                    settings: &pass.settings,
                    fingerprints: &pass.fingerprints,
                    synced,
                    code_case: capabilities.code_case,
                    takes_new_records: pass.takes_new_records(scope),
                },
                lookups: Lookups {
                    scope,
                    seen_from: pass.shops.seen_from(scope),
                    erp,
                    norce: pass.norce.as_ref(),
                    mappings: pass.mappings.as_ref(),
                    finder: RecordFinder::new(erp, index, &pass.fingerprints, scope),
                    meter,
                    deadline,
                    companies: std::sync::Mutex::default(),
                },
                clock: pass.clock.as_ref(),
            },
            keys: KeyListing {
                index: pass.key_index.as_ref(),
                fingerprints: &pass.fingerprints,
                overlap: pass.settings.overlap,
                meter,
            },
            owed: pass.owed.as_ref(),
            retry: pass.owed_retry(),
        })
    }

    /// Takes the watermark before the walk begins, from the clock of the system that is walked over where it has one.
    async fn take_watermarks(&self, progress: &mut Progress<'_>, deadline: Deadline) -> Result {
        let (pass, run) = (self.0, &mut progress.run);
        let key = lease_key(run);
        for kind in kinds(run) {
            // Where the index of keys was never complete, everything has to be read once, as without a watermark: an
            // earlier version has left the watermark, and the full pass has no schedule unless somebody wants one.
            let is_indexed = key.sweep || pass.key_index.coverage(run.scope, kind).await?.is_some();
            if let (Some(watermark), true) = (pass.passes.watermark(key, kind).await?, is_indexed) {
                run.watermarks_before.insert(kind, watermark);
            }
        }
        let erp = pass.erps.get(&run.scope).filter(|_| !key.sweep);
        let clock = match erp {
            Some(erp) => progress.meter.erp_call(erp.clock(deadline)).await?,
            None => None,
        };
        run.watermark_after = Some(clock.unwrap_or_else(|| pass.clock.now()));
        Ok(())
    }
}

fn retry(stop: StopReason) -> Outcome {
    match stop {
        StopReason::Later { at_least, reason } => Outcome::RetryAfter { at_least, reason },
        stop => Outcome::RetryAfter {
            at_least: None,
            reason: format!("{stop:?}"),
        },
    }
}
