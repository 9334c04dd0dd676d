//! A pass that writes: its run is recorded with what it is about to do, before it does it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    domain::PassMessage,
    metrics::{Metric, Metrics},
    passes::{Counts, Ended, Run},
    queues::{Queue, QueueDepth},
};

use crate::{
    checkpoint::{has_outbox, kinds, lease_key},
    executor::Executor,
    meter::milliseconds,
    progress::{Progress, Sink},
    report,
    stop_reason::{Result, StopReason},
};

/// Records actions in the run, and carries them out.
pub(crate) struct Outbox<'a> {
    pub(crate) executor: Executor<'a>,
    pub(crate) to_passes: &'a dyn Queue<PassMessage>,
    pub(crate) imports_depth: &'a dyn QueueDepth,
    /// Messages on the imports queue above which a pass waits.
    pub(crate) most_waiting: u64,
    pub(crate) metrics: &'a Metrics,
}

impl Outbox<'_> {
    async fn execute(&self, progress: &mut Progress<'_>) -> Result {
        let actions = std::mem::take(&mut progress.checkpoint.outbox);
        if !actions.is_empty() {
            let counts = &mut progress.run.counts;
            let executed = self.executor.execute(counts, &actions).await?;
            progress.sent_lines += executed.lines;
            for record in executed.refused {
                progress.refuse(record);
            }
        }
        Ok(())
    }

    async fn ended(&self, run: &mut Run, failed: Option<String>) -> Result {
        run.ended = Some(Ended {
            at: self.executor.clock.now(),
            failed,
        });
        run.work = None;
        run.version += 1;
        if !self.executor.passes.save(run).await? {
            return Err(StopReason::Superseded);
        }
        self.measure(run);
        report::log(run);
        Ok(())
    }

    /// The metrics of a run that has ended.
    fn measure(&self, run: &Run) {
        let (metrics, mode) = (self.metrics, run.mode.as_str());
        let ended = match run.ended.as_ref().and_then(|ended| ended.failed.as_ref()) {
            Some(_) => Metric::PassesFailed,
            None => Metric::PassesEnded,
        };
        metrics.count(ended, mode);
        let time = (self.executor.clock.now() - run.started).to_std();
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
}

#[async_trait]
impl Sink for Outbox<'_> {
    async fn begin(&self, progress: &mut Progress<'_>) -> Result {
        if progress.run.version == 0 {
            // Before anything else, so that there is a record however the pass ends.
            self.save(progress).await?;
            let mode = progress.run.mode.as_str();
            self.metrics.count(Metric::PassesStarted, mode);
        }
        self.execute(progress).await
    }

    async fn save(&self, progress: &mut Progress<'_>) -> Result {
        let run = &mut progress.run;
        run.version += 1;
        run.cost = progress.meter.cost();
        run.work = Some(serde_json::to_string(&progress.checkpoint)?);
        if self.executor.passes.save(run).await? {
            Ok(())
        } else {
            Err(StopReason::Superseded)
        }
    }

    async fn commit(&self, progress: &mut Progress<'_>) -> Result {
        progress.checkpoint.outbox = std::mem::take(&mut progress.actions);
        self.save(progress).await?;
        self.execute(progress).await?;
        if progress.sent_lines > 0 {
            progress.sent_lines = 0;
            if self.imports_depth.depth().await? > self.most_waiting {
                return Err(StopReason::ImportsAreDeep);
            }
        }
        Ok(())
    }

    async fn restart(&self, progress: &mut Progress<'_>) -> Result {
        progress.actions.clear();
        let counts = &mut progress.run.counts;
        progress.checkpoint.restart_phase(counts)
    }

    async fn hand_over(&self, progress: &mut Progress<'_>, delay: Duration) -> Result {
        // What was recorded is done: the next invocation need not repeat it.
        self.save(progress).await?;
        let run = &progress.run;
        tracing::info!(run = %run.id, seen = run.counts.seen, wait_ms = milliseconds(delay), "pass continues in another invocation");
        let next = PassMessage::Continue { run: run.id };
        Ok(self.to_passes.send(&[next], delay).await?)
    }

    /// Everything is queued or owed: the watermarks move, and the run ends (P7).
    async fn end(&self, progress: &mut Progress<'_>) -> Result {
        let run = &mut progress.run;
        run.cost = progress.meter.cost();
        if let Some(watermark) = run.watermark_after {
            for kind in kinds(run) {
                self.executor
                    .passes
                    .advance(lease_key(run), kind, watermark)
                    .await?;
            }
        }
        self.ended(run, None).await
    }

    async fn last_progress(&self, run: &Run) -> Result<Option<DateTime<Utc>>> {
        let Some(stored) = self.executor.passes.run(run.id).await? else {
            return Ok(None);
        };
        Ok((!has_outbox(&stored)?).then_some(stored.progressed))
    }

    async fn give_up(&self, run: &Run, reason: String) -> Result {
        match self.executor.passes.run(run.id).await? {
            Some(mut stored) => self.ended(&mut stored, Some(reason)).await,
            None => Ok(()),
        }
    }
}
