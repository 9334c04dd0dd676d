//! `jobs`: imports under way, with their state in Norce.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, JobId, NorceId, Scope},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch},
    norce::{Job, JobStatus},
};
use uuid::Uuid;

use crate::{
    error::Refusal,
    ports::Ports,
    sentence::{self, Sentence, say, words},
};

/// Imports shown by default; each costs a call to Norce.
const SHOWN: usize = 20;
/// The maximum number of imports shown.
const MAX_SHOWN: usize = 200;
/// Concurrent calls to Norce.
const JOB_CONCURRENCY: usize = 4;
/// The maximum number of lines of a job's log shown: the log of a failed job is repetitive.
const MAX_LOG_LINES: usize = 50;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct JobsRequest {
    /// One of Norce's jobs, with its log and its lines.
    pub job: Option<i64>,
    /// The number of imports to show.
    pub limit: Option<usize>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobsAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The imports, the oldest first.
    pub jobs: Vec<ShownJob>,
}

/// An import as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownJob {
    /// The id of the batch.
    pub batch: Uuid,
    /// Norce's id of the job; `null`: Norce is being called, or the caller crashed before it recorded the job.
    pub job: Option<JobId>,
    /// Customers or companies.
    pub kind: EntityKind,
    /// The scope.
    pub scope: Scope,
    /// The number of lines that are not settled.
    pub lines: usize,
    /// When it was recorded.
    pub recorded: DateTime<Utc>,
    /// When its lines were first submitted.
    pub since: DateTime<Utc>,
    /// Whether every line is settled.
    pub settled: bool,
    /// The state in Norce.
    #[serde(flatten, serialize_with = "sentence::norce")]
    pub norce: Sentence,
    /// With `job`: Norce's log without personal data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// With `job`: its lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<ShownLine>,
}

/// A line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownLine {
    /// Norce's id; `null`: the line inserts a new record.
    pub id: Option<NorceId>,
    /// The ERP's code.
    pub code: Code,
    /// The correlation id in the logs.
    pub correlation: Uuid,
}

impl Ports {
    pub(crate) async fn jobs(
        &self,
        request: &JobsRequest,
        deadline: Deadline,
    ) -> Result<JobsAnswer, Refusal> {
        if let Some(job) = request.job {
            return self.one_job(JobId(job), deadline).await;
        }
        let open = self.import_jobs.open().await?;
        let limit = request.limit.unwrap_or(SHOWN).min(MAX_SHOWN);
        let jobs: Vec<ShownJob> = stream::iter(open.iter().take(limit))
            .map(|batch| self.shown(batch, deadline))
            .buffered(JOB_CONCURRENCY)
            .collect()
            .await;
        let lines: usize = open.iter().map(|batch| batch.lines.len()).sum();
        let summary = match open.first() {
            None => say!("jobs-none"),
            Some(oldest) => {
                let age = self.change_events.clock.now() - oldest.since;
                let age = age.to_std().unwrap_or_default();
                say!("jobs-listed", imports = open.len(), lines, age)
            }
        };
        Ok(JobsAnswer { summary, jobs })
    }

    async fn one_job(&self, job: JobId, deadline: Deadline) -> Result<JobsAnswer, Refusal> {
        let batch = self
            .import_jobs
            .by_job(job)
            .await?
            .ok_or_else(|| Refusal::Request(say!("job-of-others", job)))?;
        let mut shown = self.shown(&batch, deadline).await;
        let log = self.connect.job_log(job, deadline).await?;
        let log = log.into_iter().take(MAX_LOG_LINES);
        shown.log = log.map(|entry| entry.message).collect();
        let lines = batch.lines.into_iter().map(|line| ShownLine {
            id: line.id,
            code: line.code,
            correlation: line.correlation,
        });
        shown.waiting = lines.collect();
        Ok(JobsAnswer {
            summary: say!("job", job, norce = shown.norce),
            jobs: vec![shown],
        })
    }

    async fn shown(&self, batch: &ImportBatch, deadline: Deadline) -> ShownJob {
        let norce = match batch.state {
            BatchState::Submitted { job } => match self.connect.job(job, deadline).await {
                Ok(Some(job)) => in_norce(&job),
                Ok(None) => say!("job-unknown"),
                Err(error) => words(error),
            },
            BatchState::Settled => say!("job-settled"),
            BatchState::Submitting => say!("job-submitting"),
        };
        ShownJob {
            batch: batch.id,
            job: job_of(batch),
            kind: batch.kind,
            scope: batch.scope,
            lines: batch.lines.len(),
            recorded: batch.recorded_at,
            since: batch.since,
            settled: batch.state == BatchState::Settled,
            norce,
            log: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

/// Norce's id of the job that imports a batch; `None`: Norce is being called, or the batch is settled.
pub(crate) const fn job_of(batch: &ImportBatch) -> Option<JobId> {
    match batch.state {
        BatchState::Submitted { job } => Some(job),
        BatchState::Submitting | BatchState::Settled => None,
    }
}

fn in_norce(job: &Job) -> Sentence {
    let Job { failed, total, .. } = job;
    let state = match job.status {
        JobStatus::Running => "running",
        JobStatus::Succeeded => "finished",
        JobStatus::Failed => "failed",
        JobStatus::ValidationFailed => "failed at validation",
    };
    say!("job-state", state, failed, total)
}
