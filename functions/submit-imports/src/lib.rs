//! `submit-imports`: gathers the codes that wait on the imports queue and submits them to Norce as jobs.
//!
//! Norce answers an import with a job id, and a crash may come between its answer and our note of it. So the first poll
//! of a batch is scheduled, and the batch is recorded, *before* Norce is called: whatever happens to this invocation,
//! the poller finds the batch and settles it, by its job or by reading back what Norce has.
//!
//! ```text
//! ports      what the function is made of
//! group      which lines become one job
//! rows       the rows of a job: what the ERP has now, and what Norce must not lose
//! relations  relations to companies that a row ends
//! refusal    lines that can never be imported
//! deferred   why a batch is not submitted now, and how its messages are given back
//! ```

mod configuration;
mod deferred;
mod group;
mod ports;
mod refusal;
mod relations;
mod rows;

use std::{
    collections::{BTreeMap, HashSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use shared::{
    domain::{EntityKind, ImportLine, ImportRequest, JobMessage},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch, MOST_FULL_LINES},
    norce::{CallError, ImportShape, NorceError},
    runtime::batch::{Source, response},
};
use uuid::Uuid;

pub use configuration::Configuration;
pub use ports::SubmitImports;

use crate::{
    deferred::{Deferred, DeferredMessages},
    group::{Delivery, Key, LineGroup, LineIdentity},
};

/// When the poller looks first. How long a job takes is not documented (norce-api §4.5); its looks become rarer from here.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// Less than this and a batch is not begun: the record, the poll and the call to Norce fit into it when all is well.
const LEAST_TIME: Duration = Duration::from_secs(10);

impl SubmitImports {
    /// Submits the lines of a batch of records; those that could not be submitted are given back.
    pub async fn handle(
        &self,
        event: &SqsEvent,
        source: Source<'_>,
        deadline: Deadline,
    ) -> SqsBatchResponse {
        let mut failures = Vec::new();
        let mut gathered: BTreeMap<Key, LineGroup> = BTreeMap::new();
        let mut alone = Vec::new();
        for (index, record) in event.records.iter().enumerate() {
            match source.parse::<ImportRequest>(record).await {
                Ok(received) if received.message.alone => {
                    let mut own = BTreeMap::new();
                    self.gather(index, received.message, &mut own);
                    for group in own.values_mut() {
                        group.delivery = Delivery::of(record);
                    }
                    alone.extend(own);
                }
                Ok(received) => self.gather(index, received.message, &mut gathered),
                Err(Some(delay)) => {
                    source.return_to_queue([record], delay, &mut failures).await;
                }
                Err(None) => {}
            }
        }
        let mut waiting = DeferredMessages::default();
        for (key, group) in gathered.into_iter().chain(alone) {
            self.submit_group(key, group, deadline, &mut waiting).await;
        }
        waiting
            .give_back(&event.records, source, &mut failures)
            .await;
        failures.sort_unstable();
        failures.dedup();
        response(failures)
    }

    /// Puts the lines of a request to those with which they can become one job.
    fn gather(
        &self,
        index: usize,
        request: ImportRequest,
        gathered: &mut BTreeMap<Key, LineGroup>,
    ) {
        let ImportRequest {
            kind,
            scope,
            lines,
            since,
            ..
        } = request;
        for line in lines {
            let shape = ImportShape::of(kind, &line, self.create_accounts);
            let key = Key {
                customers: kind == EntityKind::Customer,
                updates: !shape.insert,
                scope,
                shape,
            };
            let group = gathered.entry(key).or_default();
            group.lines.push((index, line));
            group.since = match (group.since, since) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }

    /// Submits a group as jobs of at most the configured size. A record whose lines could not all be submitted is
    /// given back whole: repeating the others changes nothing.
    async fn submit_group(
        &self,
        key: Key,
        group: LineGroup,
        deadline: Deadline,
        waiting: &mut DeferredMessages,
    ) {
        let (kind, scope) = (key.kind(), key.scope);
        let most = match key.shape {
            ImportShape::CODE => self.settings.batch_size.get(),
            _ => self.settings.batch_size.get().min(MOST_FULL_LINES),
        };
        for (number, batch) in group.lines.chunks(most).enumerate() {
            let mut unique: Vec<ImportLine> = Vec::with_capacity(batch.len());
            let mut known: HashSet<LineIdentity<'_>> = HashSet::with_capacity(batch.len());
            for (_, line) in batch {
                if known.insert(LineIdentity::of(line)) {
                    unique.push(line.clone());
                }
            }
            let mut panicked = false;
            let (id, is_repeat) = match group.delivery {
                Some(delivery) => (delivery.batch(key, number, batch.len()), delivery.is_repeat),
                None => (Uuid::new_v4(), false),
            };
            let result = if deadline.allows(LEAST_TIME) {
                let work = async {
                    if is_repeat && self.is_polled(id).await? {
                        return Ok(());
                    }
                    self.submit(id, key, unique, group.since, deadline).await
                };
                // A panic costs these lines an attempt, and not the whole invocation (P6).
                AssertUnwindSafe(work)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| {
                        panicked = true;
                        Err(Deferred::because("submitting them panicked"))
                    })
            } else {
                Err(Deferred {
                    at_least: Some(Duration::ZERO),
                    reason: "time is nearly up".to_owned(),
                })
            };
            let Err(deferred) = result else { continue };
            let messages = batch.iter().map(|(index, _)| *index);
            waiting.add(messages, &deferred, panicked);
            tracing::warn!(%kind, %scope, lines = batch.len(), reason = deferred.reason, "lines wait to be submitted");
        }
    }

    /// Whether an earlier delivery was cut off after it had recorded this batch: then the poller settles it, and submits
    /// again what Norce does not have. Without this, every delivery of a message that kills its invocation would leave
    /// one more message like it.
    async fn is_polled(&self, batch: Uuid) -> Result<bool, Deferred> {
        let stored = self.import_jobs.get(batch).await;
        let is_there = stored.map_err(Deferred::because)?.is_some();
        if is_there {
            tracing::warn!(%batch, "an earlier delivery of these lines was interrupted; poll-jobs settles them");
        }
        Ok(is_there)
    }

    async fn submit(
        &self,
        id: Uuid,
        key: Key,
        lines: Vec<ImportLine>,
        since: Option<DateTime<Utc>>,
        deadline: Deadline,
    ) -> Result<(), Deferred> {
        let (kind, scope, now) = (key.kind(), key.scope, self.clock.now());
        let mut batch = ImportBatch {
            id,
            kind,
            scope,
            lines,
            state: BatchState::Submitting,
            recorded_at: now,
            since: since.unwrap_or(now),
        };
        let rows = self.rows(&mut batch, key.shape, deadline).await?;
        if rows.is_empty() {
            return Ok(());
        }
        // First of all, so that there is no batch that nobody looks after, wherever this ends.
        self.jobs
            .send(
                &[JobMessage::Poll {
                    batch: batch.id,
                    attempt: 0,
                }],
                FIRST_POLL,
            )
            .await
            .map_err(Deferred::because)?;
        self.import_jobs
            .record(&batch)
            .await
            .map_err(Deferred::because)?;
        match self
            .norce
            .import(kind, scope, key.shape, &rows, deadline)
            .await
        {
            Ok(submitted) => {
                let (job, lines) = (submitted.job, batch.lines.len());
                tracing::info!(batch = %batch.id, %job, %kind, %scope, fields = %key.shape.fields, lines, messages = ?submitted.messages, "import submitted");
                if let Err(error) = self.import_jobs.submitted(batch.id, job).await {
                    tracing::warn!(batch = %batch.id, %job, %error, "could not store an import job; poll-jobs reads the outcome from Norce");
                }
                Ok(())
            }
            Err(CallError::OutcomeUnknown(error)) => {
                tracing::warn!(batch = %batch.id, %error, "the outcome of an import is unknown; poll-jobs reads it from Norce");
                Ok(())
            }
            Err(CallError::NotDone(error)) => {
                let outcome = self.not_taken(&batch, error).await;
                // Last, so that a crash before leaves the batch to the poller.
                self.import_jobs
                    .withdraw(batch.id)
                    .await
                    .map_err(Deferred::because)?;
                outcome
            }
        }
    }

    /// Norce has taken nothing. A refusal is traced to its line by halves, so that one poison row does not hold its
    /// neighbours back (P9).
    async fn not_taken(&self, batch: &ImportBatch, error: NorceError) -> Result<(), Deferred> {
        let reason = error.to_string();
        match error {
            NorceError::RetryAfter { after, .. } => Err(Deferred {
                at_least: after,
                reason,
            }),
            NorceError::Authentication { .. } | NorceError::Configuration(_) => Err(Deferred {
                at_least: None,
                reason,
            }),
            NorceError::Refused { .. } | NorceError::Unreadable(_) => {
                if let [line] = batch.lines.as_slice() {
                    return self.refuse(batch, line, &reason).await;
                }
                tracing::warn!(batch = %batch.id, lines = batch.lines.len(), reason, "Norce refused a batch; it is halved");
                self.imports
                    .send(&batch.halves(&batch.lines), Duration::ZERO)
                    .await
                    .map_err(Deferred::because)
            }
        }
    }
}
