//! A plan: the same walk, whose actions become the lines of a report. It writes nothing else (P10).

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    domain::{Clock, PassMessage},
    passes::{Ended, Run},
    queues::Queue,
    reports::Reports,
};

use crate::{
    progress::{Progress, Sink},
    report::{self, PlanLine},
    stop_reason::Result,
};

/// Lines of a plan in one object: a few megabytes.
const LINES_PER_PART: usize = 20_000;
/// The first lines of each group, which the report shows.
const LINES_SHOWN: usize = 20;

/// Writes the report of a plan.
pub(crate) struct Plan<'a> {
    pub(crate) reports: &'a dyn Reports,
    pub(crate) to_passes: &'a dyn Queue<PassMessage>,
    pub(crate) clock: &'a dyn Clock,
}

impl Plan<'_> {
    async fn put(&self, run: &Run, name: &str, of: &str, body: Vec<u8>) -> Result {
        let key = format!("plans/{}/{name}", run.id);
        Ok(self.reports.put(&key, of, body.into()).await?)
    }

    async fn put_part(&self, run: &Run, part: u32, body: Vec<u8>) -> Result {
        let name = format!("lines-{part:04}.jsonl");
        self.put(run, &name, "application/x-ndjson", body).await
    }

    /// Writes the lines, and remembers the first of each group.
    async fn write_lines(&self, progress: &mut Progress<'_>) -> Result {
        let lines = std::mem::take(&mut progress.lines);
        if lines.is_empty() {
            return Ok(());
        }
        let plan = progress.checkpoint.plan.get_or_insert_default();
        plan.parts += 1;
        for line in &lines {
            let first = plan.first.entry(line.group.clone()).or_default();
            if first.len() < LINES_SHOWN {
                first.push(line.clone());
            }
        }
        let body = report::json_lines(&lines)?;
        self.put_part(&progress.run, plan.parts, body).await
    }
}

#[async_trait]
impl Sink for Plan<'_> {
    async fn begin(&self, _: &mut Progress<'_>) -> Result {
        Ok(())
    }

    async fn save(&self, _: &mut Progress<'_>) -> Result {
        Ok(())
    }

    async fn commit(&self, progress: &mut Progress<'_>) -> Result {
        if progress.lines.len() < LINES_PER_PART {
            return Ok(());
        }
        self.write_lines(progress).await
    }

    async fn restart(&self, progress: &mut Progress<'_>) -> Result {
        progress.lines.clear();
        let plan = progress.checkpoint.plan.as_ref();
        let written = plan.map_or(0, |plan| plan.parts);
        progress.checkpoint.restart_plan(&mut progress.run)?;
        for part in 1..=written {
            self.put_part(&progress.run, part, Vec::new()).await?;
        }
        Ok(())
    }

    async fn hand_over(&self, progress: &mut Progress<'_>, delay: Duration) -> Result {
        self.write_lines(progress).await?;
        let run = &mut progress.run;
        run.cost = progress.meter.cost();
        run.work = Some(serde_json::to_string(&progress.checkpoint)?);
        let run = serde_json::to_string(run)?;
        let next = PassMessage::ContinuePlan { run };
        Ok(self.to_passes.send(&[next], delay).await?)
    }

    async fn end(&self, progress: &mut Progress<'_>) -> Result {
        self.write_lines(progress).await?;
        let plan = progress.checkpoint.plan.take().unwrap_or_default();
        let first: Vec<PlanLine> = plan.first.into_values().flatten().collect();
        let run = &mut progress.run;
        run.cost = progress.meter.cost();
        run.work = None;
        run.ended = Some(Ended {
            at: self.clock.now(),
            failed: None,
        });
        let summary = serde_json::to_vec_pretty(run)?;
        let page = report::html(run, &first).into_bytes();
        self.put(run, "summary.json", "application/json", summary)
            .await?;
        // The page last: whoever sees it finds everything else.
        self.put(run, "report.html", "text/html; charset=utf-8", page)
            .await?;
        report::log(run);
        Ok(())
    }

    async fn last_progress(&self, run: &Run) -> Result<Option<DateTime<Utc>>> {
        Ok(Some(run.progressed))
    }

    async fn give_up(&self, run: &Run, reason: String) -> Result {
        tracing::error!(run = %run.id, reason, "plan given up: correct the cause and request the plan again");
        Ok(())
    }
}
