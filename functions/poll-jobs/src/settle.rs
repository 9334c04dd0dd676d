//! How lines end that Norce did not import: they are submitted again, or owed.

use std::time::Duration;

use shared::{
    domain::ImportLine,
    import_jobs::{ImportBatch, Settlement},
    metrics::Metric,
    owed::Reason,
    queues::MAX_DELAY,
};

use crate::{error::PollError, ports::PollJobs};

/// Lines are submitted again after a quarter of their age: soon at first, rarely when Norce keeps failing.
const RESUBMIT_AFTER_AGE_DIVIDED_BY: u32 = 4;

/// What a look at a batch showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Running,
    Settled,
}

impl PollJobs {
    pub(crate) fn settlement<'a>(&'a self, batch: &'a ImportBatch) -> Settlement<'a> {
        Settlement {
            mappings: self.mappings.as_ref(),
            owed: self.owed.as_ref(),
            batch,
            now: self.clock.now(),
        }
    }

    pub(crate) async fn refuse(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        reason: Reason,
        detail: &str,
    ) -> Result<(), PollError> {
        self.settlement(batch).refuse(line, reason, detail).await?;
        let result = match reason {
            Reason::TimedOut => "timed-out",
            _ => "refused",
        };
        self.metrics.count(Metric::ImportLines, result);
        let entity = batch.entity(line).map(|entity| entity.to_string());
        tracing::warn!(entity, code = %line.code, reason = reason.as_str(), detail, correlation = %line.correlation, "code is owed");
        Ok(())
    }

    pub(crate) async fn owe(
        &self,
        batch: &ImportBatch,
        lines: &[ImportLine],
    ) -> Result<(), PollError> {
        let hours = self.give_up_after.as_secs() / 3_600;
        for line in lines {
            let detail = format!(
                "Norce has not finished the import in {hours} h: look at its integration status in Norce Admin; the next change or pass submits the code again"
            );
            self.refuse(batch, line, Reason::TimedOut, &detail).await?;
        }
        Ok(())
    }

    /// Submits lines again as jobs of their own: as one, or, where nothing told which row is to blame, in halves, so
    /// that a poison row is alone in the end (P9). Lines that are too old by now are given up instead.
    pub(crate) async fn submit_again(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        halve: bool,
    ) -> Result<(), PollError> {
        if lines.is_empty() {
            return Ok(());
        }
        let age = self.age(batch);
        if age >= self.give_up_after {
            return self.owe(batch, &lines).await;
        }
        let delay = (age / RESUBMIT_AFTER_AGE_DIVIDED_BY).min(MAX_DELAY);
        tracing::info!(batch = %batch.id, lines = lines.len(), halve, delay_ms = delay.as_millis(), "lines are submitted again");
        let requests = if halve {
            batch.halves(&lines)
        } else {
            vec![batch.again(lines)]
        };
        Ok(self.imports.send(&requests, delay).await?)
    }

    pub(crate) fn age(&self, batch: &ImportBatch) -> Duration {
        (self.clock.now() - batch.since)
            .to_std()
            .unwrap_or_default()
    }

    /// Last of all, so that a crash before it only repeats what changes nothing.
    pub(crate) async fn settled(&self, batch: &ImportBatch) -> Result<Progress, PollError> {
        self.import_jobs.settle(batch.id).await?;
        Ok(Progress::Settled)
    }
}
