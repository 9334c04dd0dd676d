//! `submit-imports`: gathers the codes that wait on the imports queue and submits them to Norce as jobs.
//!
//! Norce answers an import with a job id, and a crash may come between its answer and our note of it. So the first poll
//! of a batch is scheduled, and the batch is recorded, *before* Norce is called: whatever happens to this invocation,
//! the poller finds the batch and settles it, by its job or by reading back what Norce has.

mod configuration;
mod relations;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use shared::{
    domain::{
        Clock, Code, EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, ImportLine,
        ImportRequest, JobMessage, Names, NorceAddresses, NorceFields, NorceId, Scope,
    },
    erp::{Erp, ErpError, ErpRecord},
    http::Deadline,
    import_jobs::{BatchState, ImportBatch, ImportJobs, MOST_FULL_LINES},
    mappings::{Mapping, Mappings},
    norce::{ImportError, ImportRow, ImportShape, NorceError, NorceImports, NorceQuery},
    owed::{OwedRecords, Reason},
    queues::Queue,
    runtime::{
        batch::{Source, receive_count, response, retry_delay},
        configuration::ImportSettings,
        delivery,
        metrics::{Metric, Metrics},
    },
};
use uuid::Uuid;

pub use configuration::Configuration;

use crate::relations::relations_of;

/// When the poller looks first. How long a job takes is not documented (norce-api §4.5); its looks become rarer from here.
const FIRST_POLL: Duration = Duration::from_secs(2);
/// Less than this and a batch is not begun: the record, the poll and the call to Norce fit into it when all is well.
const LEAST_TIME: Duration = Duration::from_secs(10);

/// The use case with everything that it needs.
pub struct SubmitImports {
    /// Writes to Norce.
    pub norce: Arc<dyn NorceImports>,
    /// Reads what a row must not take away: details of addresses, and relations.
    pub query: Arc<dyn NorceQuery>,
    /// Which lines went in which job.
    pub import_jobs: Arc<dyn ImportJobs>,
    /// To look after the jobs.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// For halves of a batch that Norce refused.
    pub imports: Arc<dyn Queue<ImportRequest>>,
    /// To note a line that Norce refused.
    pub mappings: Arc<dyn Mappings>,
    /// Records that cannot be synced yet.
    pub owed: Arc<dyn OwedRecords>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Batch size.
    pub settings: ImportSettings,
    /// Reads the values that lines say are to be told.
    pub erps: HashMap<Scope, Arc<dyn Erp>>,
    /// `CREATE_ACCOUNTS`: customers that are inserted get a login for each of their shops.
    pub create_accounts: bool,
    /// What an invocation measures.
    pub metrics: Metrics,
}

/// What lines must have in common to become one job. Companies come first in the order of the keys, and inserts before
/// updates: what a row refers to is then usually there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    customers: bool,
    updates: bool,
    scope: Scope,
    shape: ImportShape,
}

impl Key {
    const fn kind(self) -> EntityKind {
        if self.customers {
            EntityKind::Customer
        } else {
            EntityKind::Company
        }
    }
}

/// Lines that may become one job, each with the place of its record, and when the first of them was first submitted.
#[derive(Default)]
struct Gathered {
    lines: Vec<(usize, ImportLine)>,
    since: Option<DateTime<Utc>>,
    /// Of lines that are not gathered with others.
    delivery: Option<Delivery>,
}

/// A message whose lines become jobs of their own, and so the same batches at every delivery.
#[derive(Clone, Copy)]
struct Delivery {
    message: Uuid,
    is_repeat: bool,
}

impl Delivery {
    fn of(record: &SqsMessage) -> Option<Self> {
        Some(Self {
            message: record.message_id.as_ref()?.parse().ok()?,
            is_repeat: receive_count(record) > 1,
        })
    }

    /// The id of the batch with this number that the message becomes.
    fn batch(self, key: Key, number: usize, lines: usize) -> Uuid {
        let name = format!("{key:?}/{number}/{lines}");
        Uuid::new_v5(&self.message, name.as_bytes())
    }
}

/// Two lines that are equal in this do the same, whatever caused them.
#[derive(PartialEq, Eq, Hash)]
struct Sameness<'a> {
    id: Option<NorceId>,
    code: &'a Code,
    record: Option<&'a ErpId>,
    company: Option<NorceId>,
    contacts: &'a [NorceId],
    former_companies: &'a [NorceId],
}

impl<'a> Sameness<'a> {
    fn of(line: &'a ImportLine) -> Self {
        Self {
            id: line.id,
            code: &line.code,
            record: line.record.as_ref(),
            company: line.company,
            contacts: &line.contacts,
            former_companies: &line.former_companies,
        }
    }
}

/// What is read of a record that is inserted.
const FIELDS_OF_AN_INSERT: FieldGroups = FieldGroups::of(&[
    FieldGroup::Code,
    FieldGroup::Names,
    FieldGroup::ContactDetails,
    FieldGroup::InvoiceAddress,
    FieldGroup::Active,
]);

/// Whether Norce would take it as an insert (norce-api §3.4).
fn is_complete(kind: EntityKind, values: &NorceFields) -> bool {
    match (&values.names, kind) {
        (Some(Names::Customer { first, .. }), EntityKind::Customer) => {
            first.is_some() && values.email.is_some()
        }
        (Some(Names::Company(_)), EntityKind::Company) => values.organisation_number.is_some(),
        _ => false,
    }
}

const fn sets_addresses(shape: ImportShape) -> bool {
    shape.fields.has(FieldGroup::InvoiceAddress) || shape.fields.has(FieldGroup::DeliveryAddresses)
}

/// Something that a row must not take away could not be read.
fn unread(what: &str, error: &NorceError) -> NotNow {
    NotNow {
        at_least: match error {
            NorceError::RetryAfter { after, .. } => *after,
            _ => None,
        },
        reason: format!("{what}: {error}"),
    }
}

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
        source: Source<'_>,
        deadline: Deadline,
    ) -> SqsBatchResponse {
        let mut failures = Vec::new();
        let mut gathered: BTreeMap<Key, Gathered> = BTreeMap::new();
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
        for (key, group) in gathered.into_iter().chain(alone) {
            self.submit_group(key, group, &event.records, source, deadline, &mut failures)
                .await;
        }
        failures.sort_unstable();
        failures.dedup();
        response(failures)
    }

    /// Puts the lines of a request to those with which they can become one job.
    fn gather(&self, index: usize, request: ImportRequest, gathered: &mut BTreeMap<Key, Gathered>) {
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
        group: Gathered,
        records: &[SqsMessage],
        source: Source<'_>,
        deadline: Deadline,
        failures: &mut Vec<String>,
    ) {
        let (kind, scope) = (key.kind(), key.scope);
        let most = match key.shape {
            ImportShape::CODE => self.settings.batch_size.get(),
            _ => self.settings.batch_size.get().min(MOST_FULL_LINES),
        };
        for (number, batch) in group.lines.chunks(most).enumerate() {
            let mut unique: Vec<ImportLine> = Vec::with_capacity(batch.len());
            let mut known: HashSet<Sameness<'_>> = HashSet::with_capacity(batch.len());
            for (_, line) in batch {
                if known.insert(Sameness::of(line)) {
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
                        Err(NotNow::because("submitting them panicked"))
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
                    _ if panicked => retry_delay(receive_count(record), None),
                    at_least => match source.retry_later(record, at_least, &not_now.reason).await {
                        Some(delay) => delay,
                        None => continue,
                    },
                };
                source.return_to_queue([record], delay, failures).await;
            }
            tracing::warn!(%kind, %scope, lines = batch.len(), reason = not_now.reason, "lines wait to be submitted");
        }
    }

    /// Whether an earlier delivery was cut off after it had recorded this batch: then the poller settles it, and submits
    /// again what Norce does not have. Without this, every delivery of a message that kills its invocation would leave
    /// one more message like it.
    async fn is_polled(&self, batch: Uuid) -> Result<bool, NotNow> {
        let stored = self.import_jobs.get(batch).await;
        let is_there = stored.map_err(NotNow::because)?.is_some();
        if is_there {
            tracing::warn!(%batch, "an earlier delivery of these lines was cut off; the poller settles them");
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
    ) -> Result<(), NotNow> {
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
            .map_err(NotNow::because)?;
        self.import_jobs
            .record(&batch)
            .await
            .map_err(NotNow::because)?;
        match self
            .norce
            .import(kind, scope, key.shape, &rows, deadline)
            .await
        {
            Ok(submitted) => {
                let (job, lines) = (submitted.job, batch.lines.len());
                tracing::info!(batch = %batch.id, %job, %kind, %scope, fields = %key.shape.fields, lines, messages = ?submitted.messages, "import submitted");
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

    /// The rows of a batch, with the values that the ERP has now. What is not to be submitted (any more) is taken out of
    /// the batch.
    async fn rows(
        &self,
        batch: &mut ImportBatch,
        shape: ImportShape,
        deadline: Deadline,
    ) -> Result<Vec<ImportRow>, NotNow> {
        self.leave_out_forgotten(batch).await?;
        self.correct_outdated_relations(batch).await?;
        let relations = self.relations(batch, deadline).await?;
        self.refuse_untold_relations(batch, &relations).await?;
        let needs_values = shape.insert || !shape.fields.without(FieldGroups::CODE).is_empty();
        if !needs_values {
            let rows = batch.lines.iter().map(|line| ImportRow {
                line: line.clone(),
                values: NorceFields::default(),
                relations: relations_of(line, &relations),
            });
            return Ok(rows.collect());
        }
        let erp = self.erps.get(&batch.scope).ok_or_else(|| {
            NotNow::because(format!(
                "no ERP company is configured for scope {}",
                batch.scope
            ))
        })?;
        let fields = if shape.insert {
            shape.fields.union(FIELDS_OF_AN_INSERT)
        } else {
            shape.fields
        };
        let ids: Vec<ErpId> = batch
            .lines
            .iter()
            .filter_map(|line| line.record.clone())
            .collect();
        let records = erp.get_many(&ids, fields, deadline).await;
        let records: HashMap<ErpId, ErpRecord> = records
            .map_err(|error| NotNow {
                at_least: match &error {
                    ErpError::RetryAfter { after, .. } => *after,
                    _ => None,
                },
                reason: error.to_string(),
            })?
            .into_iter()
            .map(|record| (record.id.clone(), record.of_kind(batch.kind)))
            .collect();
        let addresses = self.addresses(batch, shape, &records, deadline).await?;
        let mut rows = Vec::with_capacity(batch.lines.len());
        for line in std::mem::take(&mut batch.lines) {
            let record = line.record.as_ref().and_then(|id| records.get(id));
            let is_unread = line.id.is_some_and(|id| !addresses.contains_key(&id));
            if sets_addresses(shape) && is_unread && record.is_some() {
                let detail = "an address of it is to be imported, and Norce Query does not show it, so that its GLN and telephone would be lost: see whether it is there in Norce Admin; the next pass tries it again";
                self.refuse(batch, &line, detail).await?;
                continue;
            }
            let values = record.map(|record| {
                let norces = line.id.and_then(|id| addresses.get(&id));
                norces.map_or_else(
                    || record.norce_fields(&NorceAddresses::default()),
                    |norces| record.norce_fields(norces),
                )
            });
            match values {
                Some(values) if !shape.insert || is_complete(batch.kind, &values) => {
                    batch.lines.push(line.clone());
                    rows.push(ImportRow {
                        relations: relations_of(&line, &relations),
                        line,
                        values,
                    });
                }
                Some(_) => {
                    let detail = "it is to be inserted in Norce, but lacks what Norce requires: a first and last name and an e-mail address, or a company's name and organisation number";
                    self.refuse(batch, &line, detail).await?;
                }
                None => {
                    tracing::info!(code = %line.code, correlation = %line.correlation, "a line is dropped: its record is gone from the ERP, or cannot be read");
                    if let (true, Some(record)) = (shape.insert, &line.record) {
                        self.mappings
                            .withdraw_insert(batch.scope, record)
                            .await
                            .map_err(NotNow::because)?;
                    }
                }
            }
        }
        Ok(rows)
    }

    /// The addresses that the entities of a batch have in Norce, where the rows set any: what a row leaves out of an address
    /// Norce empties (norce-api §3.3), and the ERP does not have all of it.
    async fn addresses(
        &self,
        batch: &ImportBatch,
        shape: ImportShape,
        records: &HashMap<ErpId, ErpRecord>,
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, NorceAddresses>, NotNow> {
        let has_record = |line: &&ImportLine| {
            let record = line.record.as_ref();
            record.is_some_and(|record| records.contains_key(record))
        };
        let lines = batch.lines.iter().filter(has_record);
        let mut ids: Vec<NorceId> = lines.filter_map(|line| line.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if !sets_addresses(shape) || ids.is_empty() {
            return Ok(HashMap::new());
        }
        let addresses = self
            .query
            .addresses(batch.kind, batch.scope, &ids, deadline);
        addresses
            .await
            .map_err(|error| unread("the addresses in Norce cannot be read", &error))
    }

    /// A customer that was forgotten since the line was queued is not sent anywhere any more (P12).
    async fn leave_out_forgotten(&self, batch: &mut ImportBatch) -> Result<(), NotNow> {
        let entities: Vec<EntityRef> = batch
            .lines
            .iter()
            .filter_map(|line| delivery::entity(batch, line))
            .collect();
        let mappings = self.mappings.get_many(&entities).await;
        let forgotten: HashSet<NorceId> = entities
            .iter()
            .zip(mappings.map_err(NotNow::because)?)
            .filter(|(_, mapping)| *mapping == Some(Mapping::Forgotten))
            .map(|(entity, _)| entity.id)
            .collect();
        batch
            .lines
            .retain(|line| line.id.is_none_or(|id| !forgotten.contains(&id)));
        Ok(())
    }

    async fn refuse(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        detail: &str,
    ) -> Result<(), NotNow> {
        delivery::refuse(
            self.mappings.as_ref(),
            self.owed.as_ref(),
            batch,
            line,
            Reason::Validation,
            detail,
            self.clock.now(),
        )
        .await
        .map_err(NotNow::because)?;
        self.metrics.count(Metric::ImportLines, "refused");
        Ok(())
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
                    return self.refuse(batch, line, &reason).await;
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
