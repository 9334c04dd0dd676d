//! `submit-imports`: gathers the codes that wait on the imports queue and submits them to Norce as jobs.
//!
//! Norce answers an import with a job id, and a crash may come between its answer and our note of it. So a batch is
//! recorded, and its first poll is scheduled, *before* Norce is called: whatever happens to this invocation, the
//! poller finds the batch and settles it, by its job or by reading back what Norce has.

mod configuration;

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::FutureExt;
use shared::{
    domain::{Clock, EntityKind, ImportLine, ImportRequest, JobMessage, Scope},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch, ImportJobs},
    mappings::Mappings,
    norce::{ImportError, NorceError, NorceImports},
    owed::{OwedRecords, Reason},
    queues::{Inbox, Queue},
    runtime::{
        batch::{give_back, parse, receive_count, response, retry_delay},
        configuration::ImportSettings,
        delivery,
    },
};
use uuid::Uuid;

pub use configuration::Configuration;

/// When the poller looks first. How long a job takes is not documented (norce-api §4.5); its looks become rarer from here.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// Less than this and a batch is not begun: the record, the poll and the call to Norce fit into it when all is well.
const LEAST_TIME: Duration = Duration::from_secs(10);

/// The use case with everything that it needs.
pub struct SubmitImports {
    /// Writes to Norce.
    pub norce: Arc<dyn NorceImports>,
    /// Which lines went in which job.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// To look after the jobs.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// For halves of a batch that Norce refused.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// To note a line that Norce refused.
    pub mappings: Arc<dyn Mappings>,
    /// What could not be brought across.
    pub owed: Arc<dyn OwedRecords>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Batch size.
    pub settings: ImportSettings,
}

/// Requests whose lines may become one job, each with the place of its record.
type Gathered = Vec<(usize, ImportRequest)>;

/// Why a batch was not submitted.
struct NotNow {
    at_least: Option<Duration>,
    reason: String,
}

impl NotNow {
    fn because(error: impl std::fmt::Display) -> Self {
        Self {
            at_least: None,
            reason: error.to_string(),
        }
    }
}

impl SubmitImports {
    /// Submits the lines of a batch of records; those that could not be submitted are given back.
    pub async fn handle(
        &self,
        event: &SqsEvent,
        inbox: &dyn Inbox,
        deadline: Deadline,
    ) -> SqsBatchResponse {
        let mut failures = Vec::new();
        // Companies come first in the order of the keys' parts: a contact's company is then usually there before it.
        let mut gathered: BTreeMap<(bool, Scope), Gathered> = BTreeMap::new();
        let mut alone = Vec::new();
        for (index, record) in event.records.iter().enumerate() {
            match parse::<ImportRequest>(record, inbox).await {
                Ok(received) if received.message.alone => {
                    alone.push(vec![(index, received.message)]);
                }
                Ok(received) => {
                    let request = received.message;
                    let key = (request.kind == EntityKind::Customer, request.scope);
                    gathered.entry(key).or_default().push((index, request));
                }
                Err(Some(delay)) => give_back([record], inbox, delay, &mut failures).await,
                Err(None) => {}
            }
        }
        for group in gathered.into_values().chain(alone) {
            self.submit_group(group, &event.records, inbox, deadline, &mut failures)
                .await;
        }
        response(failures)
    }

    /// Submits a group as jobs of at most the configured size. A record whose lines could not all be submitted is
    /// given back whole: repeating the others changes nothing.
    async fn submit_group(
        &self,
        group: Gathered,
        records: &[SqsMessage],
        inbox: &dyn Inbox,
        deadline: Deadline,
        failures: &mut Vec<String>,
    ) {
        let Some((_, first)) = group.first() else {
            return;
        };
        let (kind, scope) = (first.kind, first.scope);
        let since = group.iter().filter_map(|(_, request)| request.since).min();
        let mut lines: Vec<(usize, ImportLine)> = Vec::new();
        for (index, request) in group {
            for line in request.lines {
                lines.push((index, line));
            }
        }
        for batch in lines.chunks(self.settings.batch_size.get()) {
            let mut unique: Vec<ImportLine> = Vec::with_capacity(batch.len());
            for (_, line) in batch {
                if !unique
                    .iter()
                    .any(|known| known.id == line.id && known.code == line.code)
                {
                    unique.push(line.clone());
                }
            }
            let result = if deadline.allows(LEAST_TIME) {
                let work = self.submit(kind, scope, unique, since, deadline);
                // A panic costs these lines an attempt, and not the whole invocation (P6).
                AssertUnwindSafe(work)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| {
                        Err(NotNow {
                            at_least: None,
                            reason: "submitting them panicked".to_owned(),
                        })
                    })
            } else {
                Err(NotNow {
                    at_least: Some(Duration::ZERO),
                    reason: "time is nearly up".to_owned(),
                })
            };
            let Err(not_now) = result else { continue };
            let mut last = None;
            for (index, _) in batch {
                if last == Some(*index) {
                    continue;
                }
                last = Some(*index);
                let Some(record) = records.get(*index) else {
                    continue;
                };
                let delay = match not_now.at_least {
                    Some(Duration::ZERO) => Duration::ZERO,
                    at_least => retry_delay(receive_count(record), at_least),
                };
                give_back([record], inbox, delay, failures).await;
            }
            tracing::warn!(%kind, %scope, lines = batch.len(), reason = not_now.reason, "lines wait to be submitted");
        }
    }

    async fn submit(
        &self,
        kind: EntityKind,
        scope: Scope,
        lines: Vec<ImportLine>,
        since: Option<chrono::DateTime<chrono::Utc>>,
        deadline: Deadline,
    ) -> Result<(), NotNow> {
        let now = self.clock.now();
        let batch = ImportBatch {
            id: Uuid::new_v4(),
            kind,
            scope,
            lines,
            state: BatchState::Submitting,
            recorded_at: now,
            since: since.unwrap_or(now),
        };
        self.import_jobs
            .record(&batch)
            .await
            .map_err(NotNow::because)?;
        self.jobs
            .send(
                &[JobMessage::Poll {
                    batch: batch.id,
                    attempt: 0,
                }],
                FIRST_POLL,
            )
            .await
            .map_err(NotNow::because)?;
        let rows: Vec<shared::norce::ImportRow> = batch
            .lines
            .iter()
            .map(|line| shared::norce::ImportRow {
                line: line.clone(),
                values: shared::domain::NorceFields::default(),
            })
            .collect(); // SCAFFOLD
        match self
            .norce
            .import(
                kind,
                scope,
                shared::norce::ImportShape::CODE,
                &rows,
                deadline,
            )
            .await
        {
            Ok(submitted) => {
                let (job, lines) = (submitted.job, batch.lines.len());
                tracing::info!(batch = %batch.id, %job, %kind, %scope, lines, messages = ?submitted.messages, "import submitted");
                if let Err(error) = self.import_jobs.submitted(batch.id, job).await {
                    tracing::warn!(batch = %batch.id, %job, %error, "the job could not be noted; the poller reads back instead");
                }
                Ok(())
            }
            Err(ImportError::Unknown(error)) => {
                tracing::warn!(batch = %batch.id, %error, "it is not known whether Norce took the import; the poller reads back");
                Ok(())
            }
            Err(ImportError::NotTaken(error)) => {
                let outcome = self.not_taken(&batch, error).await;
                // Last, so that a crash before leaves the batch to the poller.
                self.import_jobs
                    .withdraw(batch.id)
                    .await
                    .map_err(NotNow::because)?;
                outcome
            }
        }
    }

    /// Norce has taken nothing. A refusal is traced to its line by halves, so that one poison row does not hold its
    /// neighbours back (P9).
    async fn not_taken(&self, batch: &ImportBatch, error: NorceError) -> Result<(), NotNow> {
        let reason = error.to_string();
        match error {
            NorceError::RetryAfter { after, .. } => Err(NotNow {
                at_least: after,
                reason,
            }),
            NorceError::Authentication { .. } | NorceError::Configuration(_) => Err(NotNow {
                at_least: None,
                reason,
            }),
            NorceError::Refused { .. } | NorceError::Unreadable(_) => {
                if let [line] = batch.lines.as_slice() {
                    return delivery::refuse(
                        self.mappings.as_ref(),
                        self.owed.as_ref(),
                        batch,
                        line,
                        Reason::Validation,
                        &reason,
                        self.clock.now(),
                    )
                    .await
                    .map_err(NotNow::because);
                }
                tracing::warn!(batch = %batch.id, lines = batch.lines.len(), reason, "Norce refused a batch; it is halved");
                self.imports
                    .send(&delivery::halves(batch, &batch.lines), Duration::ZERO)
                    .await
                    .map_err(NotNow::because)
            }
        }
    }
}
