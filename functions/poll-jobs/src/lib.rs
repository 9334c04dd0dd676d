//! `poll-jobs`: follows every import job until each of its lines is settled: confirmed, refused in Norce's own words,
//! submitted again, or given up and owed (P9).
//!
//! Polling is the truth; a `JobCompletedEvent` only makes the look come early. A batch without a job (its caller died,
//! or Norce's answer was lost) is settled by reading back which codes Norce has.
//!
//! ```text
//! ports    what the function is made of
//! job_log  what a job and its log say about its lines
//! confirm  lines that Norce has carried out
//! settle   lines that it has not: submitted again, or owed
//! waiting  lines that wait for a company
//! error    what can go wrong with a look at a job
//! ```

mod configuration;
mod confirm;
mod error;
mod job_log;
mod ports;
mod settle;
mod waiting;

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use shared::{
    domain::{ImportLine, JobId, JobMessage},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch},
    metrics::Metric,
    norce::{Job, JobLogEntry, JobStatus},
    owed::Reason,
    queues::MAX_DELAY,
    runtime::batch::{Handler, Outcome, Received},
};
use uuid::Uuid;

use crate::{
    error::PollError,
    job_log::{RowResults, words},
    settle::Progress,
};

pub use configuration::Configuration;
pub use ports::PollJobs;

/// The first wait between two looks at a job; it doubles up to a quarter of an hour.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// After this time the function that submits (time-out one minute) has noted the job, or has died.
const SUBMISSION_ENDS_AFTER: TimeDelta = TimeDelta::minutes(2);
/// The first look is planned before the batch is recorded. So many looks are as long as that function has at most.
const LOOKS_UNTIL_RECORDED: u32 = 6;

/// A job that fails as a whole, with one row and without naming it, is submitted again for so long: longer than a restart
/// or a deployment at Norce. Then it is owed, and tried again by itself less often.
const REMOTE_FAULT_OWED_AFTER: Duration = Duration::from_secs(3_600);
/// An open batch that cannot be read for so long, because Norce or a store does not answer, is given up unread: longer
/// than any outage that is only waited out, and as long as SQS keeps a message.
const LONGEST_OUTAGE: Duration = Duration::from_secs(14 * 24 * 3_600);
/// Deliveries of a `JobCompletedEvent`, about a quarter of an hour. By then the batch's own poll has looked.
const DELIVERIES_OF_A_HINT: u32 = 10;

#[async_trait]
impl Handler<JobMessage> for PollJobs {
    async fn handle(&self, received: Received<JobMessage>, deadline: Deadline) -> Outcome {
        let result = match received.message {
            JobMessage::Completed { job } => match self.completed(JobId(job), deadline).await {
                Err(error) if received.receive_count >= DELIVERIES_OF_A_HINT => {
                    tracing::warn!(job, %error, "could not check a completed job; the next poll of its batch does");
                    Ok(())
                }
                result => result,
            },
            JobMessage::Poll { batch, attempt } => self.poll(batch, attempt, deadline).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::RetryAfter {
                at_least: error.after(),
                reason: error.to_string(),
            },
        }
    }
}

impl PollJobs {
    /// Norce says that a job has ended.
    async fn completed(&self, job: JobId, deadline: Deadline) -> Result<(), PollError> {
        match self.import_jobs.by_job(job).await? {
            // Another integration's, or one whose id is not noted yet: the batch's own poll sees to that.
            None => tracing::debug!(%job, "ignored a completed job of another integration"),
            Some(batch) => {
                if self.look(&batch, deadline).await? == Progress::Running {
                    tracing::info!(%job, batch = %batch.id, "a job reported as completed is still running");
                }
            }
        }
        Ok(())
    }

    /// Looks at a batch, and plans the next look while it is not settled.
    async fn poll(&self, id: Uuid, attempt: u32, deadline: Deadline) -> Result<(), PollError> {
        let Some(batch) = self.import_jobs.get(id).await? else {
            return match attempt < LOOKS_UNTIL_RECORDED {
                true => self.look_again(id, attempt).await,
                // It was withdrawn, or never came to be.
                false => Ok(()),
            };
        };
        match self.look_or_give_up(&batch, deadline).await {
            Ok(Progress::Settled) => Ok(()),
            Ok(Progress::Running) => self.look_again(id, attempt).await,
            Err(error) if self.age(&batch) >= self.longest_age(&error) => {
                self.give_up_unread(&batch, &error).await
            }
            // The same message waits: in an outage no chain of messages gets longer.
            Err(error) => {
                tracing::warn!(batch = %id, %error, "could not check a batch; it is checked again later");
                Err(error)
            }
        }
    }

    async fn look_or_give_up(
        &self,
        batch: &ImportBatch,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let progress = self.look(batch, deadline).await?;
        if progress == Progress::Settled {
            return Ok(progress);
        }
        let age = (self.clock.now() - batch.recorded_at).to_std();
        self.metrics
            .time(Metric::OpenBatchSeconds, "", age.unwrap_or_default());
        if self.age(batch) >= self.give_up_after {
            return self.give_up(batch, deadline).await;
        }
        Ok(progress)
    }

    /// How old a batch becomes whose looks end with this error.
    fn longest_age(&self, error: &PollError) -> Duration {
        match error.is_lasting() {
            true => self.give_up_after,
            false => self.give_up_after.max(LONGEST_OUTAGE),
        }
    }

    async fn look_again(&self, id: Uuid, attempt: u32) -> Result<(), PollError> {
        // A message of its own for each look: the number of looks is not bounded by the queue's receive count, but by
        // the age at which the batch is given up.
        let next = JobMessage::Poll {
            batch: id,
            attempt: attempt.saturating_add(1),
        };
        Ok(self.jobs.send(&[next], poll_delay(attempt)).await?)
    }

    /// Looks at a batch and settles what can be settled.
    async fn look(&self, batch: &ImportBatch, deadline: Deadline) -> Result<Progress, PollError> {
        match batch.state {
            BatchState::Settled => Ok(Progress::Settled),
            BatchState::Submitting
                if self.clock.now() < batch.recorded_at + SUBMISSION_ENDS_AFTER =>
            {
                Ok(Progress::Running)
            }
            BatchState::Submitting => {
                tracing::warn!(batch = %batch.id, "a batch has no job; reading the outcome from Norce Query");
                let rest = self
                    .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
                    .await?;
                self.submit_again(batch, rest, true).await?;
                self.settled(batch).await
            }
            BatchState::Submitted { job } => match self.norce.job(job, deadline).await? {
                Some(Job {
                    status: JobStatus::Running,
                    ..
                }) => Ok(Progress::Running),
                Some(job) => self.ended(batch, &job, deadline).await,
                None => {
                    tracing::warn!(batch = %batch.id, %job, "Norce does not know the job; reading the outcome from Norce Query");
                    let rest = self
                        .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
                        .await?;
                    self.submit_again(batch, rest, true).await?;
                    self.settled(batch).await
                }
            },
        }
    }

    /// Settles the lines of a job that has ended.
    async fn ended(
        &self,
        batch: &ImportBatch,
        job: &Job,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let succeeded = job.status == JobStatus::Succeeded;
        // Of codes alone Query tells more than the log. Anything else can be imported in part, which only the log says.
        let log =
            if succeeded && job.failed == 0 && batch.lines.iter().all(ImportLine::is_code_only) {
                Vec::new()
            } else {
                self.norce.job_log(job.id, deadline).await?
            };
        let results = RowResults::of(&batch.lines, &log);
        if succeeded && results.refused.len() >= job.failed as usize {
            self.refuse_rows(batch, job, &results).await?;
            return self.carried_out(batch, job, &results, deadline).await;
        }
        if results.refused.is_empty()
            && let [line] = batch.lines.as_slice()
        {
            return self.failed_alone(batch, job, line, &log, deadline).await;
        }
        self.refuse_rows(batch, job, &results).await?;
        let halve = results.refused.is_empty();
        let rest = results.taken.into_iter().cloned().collect();
        let rest = self.confirm_what_norce_has(batch, rest, deadline).await?;
        self.submit_again(batch, rest, halve).await?;
        self.settled(batch).await
    }

    async fn refuse_rows(
        &self,
        batch: &ImportBatch,
        job: &Job,
        results: &RowResults<'_>,
    ) -> Result<(), PollError> {
        for (line, message) in &results.refused {
            let detail = format!("Norce refused the row (job {}): {message}", job.id);
            self.refuse(batch, line, Reason::Validation, &detail)
                .await?;
        }
        Ok(())
    }

    /// Norce says that it has carried lines out: they are confirmed once it shows them, and owed if it never does.
    async fn carried_out(
        &self,
        batch: &ImportBatch,
        job: &Job,
        results: &RowResults<'_>,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let taken: Vec<ImportLine> = results.taken.iter().copied().cloned().collect();
        let (shown, unseen) = self.shown(batch, taken, deadline).await?;
        let mut hidden = self.confirm(batch, shown, results, deadline).await?;
        hidden.extend(unseen);
        if hidden.is_empty() {
            return self.settled(batch).await;
        }
        if self.age(batch) >= self.give_up_after {
            let detail = format!(
                "Norce says that job {} has imported the row, and does not show what it said: see what removes it in Norce, another integration or a rule there; the next change or pass submits it again",
                job.id
            );
            for line in &hidden {
                self.refuse(batch, line, Reason::TimedOut, &detail).await?;
            }
            return self.settled(batch).await;
        }
        tracing::info!(batch = %batch.id, job = %job.id, lines = hidden.len(), "Norce Query does not show the imported codes yet");
        if hidden.len() == batch.lines.len() {
            return Ok(Progress::Running);
        }
        self.look_again_at(batch, job, hidden).await?;
        self.settled(batch).await
    }

    /// Lines of a job that need another look become a batch of their own, so that the others are settled once. Its look is
    /// planned before it is recorded, and its id is always the same, so that a crash anywhere only repeats that.
    async fn look_again_at(
        &self,
        batch: &ImportBatch,
        job: &Job,
        lines: Vec<ImportLine>,
    ) -> Result<(), PollError> {
        let rest = ImportBatch {
            id: Uuid::new_v5(&batch.id, b"lines that Norce does not show yet"),
            lines,
            state: BatchState::Submitting,
            ..batch.clone()
        };
        self.look_again(rest.id, 0).await?;
        self.import_jobs.record(&rest).await?;
        Ok(self.import_jobs.submitted(rest.id, job.id).await?)
    }

    /// The only row of a job failed, or the job failed before it came to its row.
    async fn failed_alone(
        &self,
        batch: &ImportBatch,
        job: &Job,
        line: &ImportLine,
        log: &[JobLogEntry],
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let rest = vec![line.clone()];
        let rest = self.confirm_what_norce_has(batch, rest, deadline).await?;
        if rest.is_empty() {
            return self.settled(batch).await;
        }
        let words = words(job, log);
        // A job that names no row has failed by itself: Norce's fault, which mostly passes.
        let is_of_norce = job.status == JobStatus::Failed;
        if is_of_norce && self.age(batch) < REMOTE_FAULT_OWED_AFTER {
            self.submit_again(batch, rest, false).await?;
            return self.settled(batch).await;
        }
        let reason = if is_of_norce {
            Reason::RemoteFault
        } else {
            Reason::Validation
        };
        self.refuse(batch, line, reason, &words).await?;
        self.settled(batch).await
    }

    /// The configured time is over: what Norce does not have now is owed.
    async fn give_up(
        &self,
        batch: &ImportBatch,
        deadline: Deadline,
    ) -> Result<Progress, PollError> {
        let rest = self
            .confirm_what_norce_has(batch, batch.lines.clone(), deadline)
            .await?;
        self.owe(batch, &rest).await?;
        self.settled(batch).await
    }

    /// What Norce has cannot be read, and will not be: every line is owed. Where Norce has it after all, the next look
    /// at the entity resolves that.
    async fn give_up_unread(
        &self,
        batch: &ImportBatch,
        error: &PollError,
    ) -> Result<(), PollError> {
        let days = self.age(batch).as_secs() / (24 * 3_600);
        tracing::error!(batch = %batch.id, days, %error, lines = batch.lines.len(), "gave up a batch whose outcome cannot be read from Norce; its lines are owed and retried");
        let detail = format!(
            "what became of the import cannot be read from Norce ({error}): mend that; the code is submitted again by itself, other fields by the next pass"
        );
        for line in &batch.lines {
            self.refuse(batch, line, Reason::TimedOut, &detail).await?;
        }
        self.settled(batch).await?;
        Ok(())
    }
}

/// The wait before the next look, from 2 s to 15 min.
fn poll_delay(attempt: u32) -> Duration {
    FIRST_POLL
        .saturating_mul(1 << attempt.min(16))
        .min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_from_every_two_seconds_to_every_quarter_of_an_hour() {
        assert_eq!(poll_delay(0), Duration::from_secs(2));
        assert_eq!(poll_delay(3), Duration::from_secs(16));
        assert_eq!(poll_delay(u32::MAX), Duration::from_secs(15 * 60));
    }
}
