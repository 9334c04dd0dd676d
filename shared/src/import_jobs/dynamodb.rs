//! One table, partition key `pk`, time-to-live attribute `expires_at` (seconds since 1970):
//!
//! | `pk` | holds |
//! |---|---|
//! | `batch#<our id>` | a batch, its lines as one compact text |
//! | `job#<Norce's id>` | `batch`, our id of the batch that is this job |
//!
//! A line with a code alone takes at most 262 bytes: ten digits, a code of fifty characters of four bytes each, the
//! thirty-two digits of the correlation id, punctuation, and eleven bytes for the time of the order. Five hundred such lines
//! take at most 132 KB of the 400 KB limit of an item, and 51 KB with fifty letters and digits each. A line with more than a
//! code has its fields and its ERP record and takes about twice that, so a batch has at most
//! [`MOST_FULL_LINES`](super::MOST_FULL_LINES) of them.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BatchState, ImportBatch, ImportJobs};
use crate::{
    StoreError,
    aws::dynamodb::{Database, Expression, Item, Table, Write, number, text},
    domain::{Code, EntityKind, ImportLine, JobId, NorceId, Scope},
};

/// How long a settled batch is kept, from its recording: long enough for a question about last month's imports.
const KEPT: TimeDelta = TimeDelta::days(30);
/// Attempts to settle a batch that changed meanwhile. A batch changes twice in its life.
const ATTEMPTS: u32 = 5;

/// Import jobs in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbImportJobs {
    table: Table,
}

impl DynamoDbImportJobs {
    /// The import jobs in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "import jobs"),
        }
    }

    fn write_batch(&self, batch: &ImportBatch) -> Result<Item, StoreError> {
        let lines: Vec<StoredLine> = batch.lines.iter().map(StoredLine::from).collect();
        let lines = serde_json::to_string(&lines).map_err(|error| self.table.error(error))?;
        let ordered: Vec<i64> = batch
            .lines
            .iter()
            .map(|line| line.ordered_at.map_or(0, |at| at.timestamp()))
            .collect();
        let ordered = ordered
            .iter()
            .any(|at| *at != 0)
            .then(|| serde_json::to_string(&ordered).map_err(|error| self.table.error(error)))
            .transpose()?;
        self.table.to_item(&StoredBatch {
            id: batch.id,
            kind: batch.kind,
            scope: batch.scope,
            lines: Some(lines),
            state: BatchState::Submitting,
            recorded_at: batch.recorded_at,
            since: batch.since,
            ordered,
        })
    }

    fn read_batch(&self, item: Item, record: &str) -> Result<ImportBatch, StoreError> {
        let stored: StoredBatch = self.table.read_item(item, record)?;
        let lines: Vec<StoredLine> = match &stored.lines {
            // The parser's message quotes the text.
            Some(lines) => serde_json::from_str(lines).map_err(|_| {
                self.table.error(format_args!(
                    "the lines of {record} have an unexpected shape"
                ))
            })?,
            None => Vec::new(),
        };
        // Only for a metric: if it cannot be read, the lines are processed without it.
        let ordered: Vec<i64> = stored
            .ordered
            .and_then(|ordered| serde_json::from_str(&ordered).ok())
            .unwrap_or_default();
        let ordered = ordered
            .into_iter()
            .map(|at| DateTime::from_timestamp(at, 0).filter(|_| at != 0))
            .chain(std::iter::repeat(None));
        let lines = lines.into_iter().map(ImportLine::from).zip(ordered);
        let lines = lines.map(|(line, ordered_at)| ImportLine { ordered_at, ..line });
        Ok(ImportBatch {
            id: stored.id,
            kind: stored.kind,
            scope: stored.scope,
            lines: lines.collect(),
            state: stored.state,
            recorded_at: stored.recorded_at,
            since: stored.since,
        })
    }
}

/// A batch as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredBatch {
    id: Uuid,
    kind: EntityKind,
    scope: Scope,
    /// [`StoredLine`]s as JSON; absent once the batch is settled.
    lines: Option<String>,
    state: BatchState,
    recorded_at: DateTime<Utc>,
    since: DateTime<Utc>,
    /// When each line was ordered, in seconds since 1970 or 0 if it was not, as JSON; absent if none was. Kept beside the
    /// lines, so that a version that does not know it can still read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordered: Option<String>,
}

/// A stored line: one with a code alone has no attribute names.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredLine {
    Code(NorceId, Code, #[serde(with = "uuid::serde::simple")] Uuid),
    Full(ImportLine),
}

impl From<&ImportLine> for StoredLine {
    fn from(line: &ImportLine) -> Self {
        match line
            .id
            .filter(|_| line.is_code_only() && line.record.is_none())
        {
            Some(id) => Self::Code(id, line.code.clone(), line.correlation),
            None => Self::Full(ImportLine {
                ordered_at: None,
                ..line.clone()
            }),
        }
    }
}

impl From<StoredLine> for ImportLine {
    fn from(line: StoredLine) -> Self {
        match line {
            StoredLine::Code(id, code, correlation) => Self::code(id, code, correlation),
            StoredLine::Full(line) => line,
        }
    }
}

/// The item with Norce's id of a job.
#[derive(Serialize, Deserialize)]
struct StoredJob {
    batch: Uuid,
}

/// The prefix of the keys of batches.
const BATCH: &str = "batch#";

fn batch_key(batch: Uuid) -> String {
    format!("{BATCH}{batch}")
}

fn job_key(job: JobId) -> String {
    format!("job#{job}")
}

/// The batch is there and its state is (`=`) or is not (`<>`) this.
fn batch_state(comparison: &str, state: &str) -> Expression {
    Expression::new(format!(
        "attribute_exists(#state) AND #state.#state {comparison} :known_state"
    ))
    .name("state")
    .value("known_state", text(state))
}

#[async_trait]
impl ImportJobs for DynamoDbImportJobs {
    async fn record(&self, batch: &ImportBatch) -> Result<(), StoreError> {
        let item = self.write_batch(batch)?;
        // An attempt that arrives after the batch was withdrawn stores it again. Its poll, which is on the queue already, then
        // submits what Norce does not have.
        let put = Write::put(batch_key(batch.id), item).provided(Expression::nothing_there());
        self.table.write([put]).await?;
        Ok(())
    }

    async fn submitted(&self, batch: Uuid, job: JobId) -> Result<(), StoreError> {
        let change = Expression::assign([(
            "state",
            Some(self.table.to_attribute(BatchState::Submitted { job })?),
        )]);
        let writes = [
            Write::update(batch_key(batch), change).provided(batch_state("<>", "settled")),
            Write::put(job_key(job), self.table.to_item(&StoredJob { batch })?),
        ];
        self.table.write(writes).await.map(|_| ())
    }

    async fn withdraw(&self, batch: Uuid) -> Result<(), StoreError> {
        let delete = Write::delete(batch_key(batch)).provided(batch_state("=", "submitting"));
        self.table.write([delete]).await?;
        Ok(())
    }

    async fn get(&self, batch: Uuid) -> Result<Option<ImportBatch>, StoreError> {
        let item = self.table.get(&batch_key(batch)).await?;
        item.map(|item| self.read_batch(item, &format!("import batch {batch}")))
            .transpose()
    }

    async fn by_job(&self, job: JobId) -> Result<Option<ImportBatch>, StoreError> {
        let Some(item) = self.table.get(&job_key(job)).await? else {
            return Ok(None);
        };
        let StoredJob { batch } = self.table.read_item(item, &format!("import job {job}"))?;
        self.get(batch).await
    }

    async fn settle(&self, batch: Uuid) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let stored = match self.get(batch).await? {
                Some(stored) if stored.state != BatchState::Settled => stored,
                _ => return Ok(()),
            };
            let expiry = || Some(number((stored.recorded_at + KEPT).timestamp()));
            let change = Expression::assign([
                ("state", Some(self.table.to_attribute(BatchState::Settled)?)),
                ("lines", None),
                ("ordered", None),
                ("expires_at", expiry()),
            ]);
            // A job that is recorded in between has to expire as well.
            let unchanged = Expression::new("#state = :seen")
                .name("state")
                .value("seen", self.table.to_attribute(stored.state)?);
            let mut writes = vec![Write::update(batch_key(batch), change).provided(unchanged)];
            if let BatchState::Submitted { job } = stored.state {
                let change = Expression::assign([("expires_at", expiry())]);
                writes.push(Write::update(job_key(job), change));
            }
            if self.table.write_if(writes).await? {
                return Ok(());
            }
        }
        Err(self.table.error(format_args!(
            "import batch {batch} changed {ATTEMPTS} times in a row"
        )))
    }

    async fn open(&self) -> Result<Vec<ImportBatch>, StoreError> {
        let mut open = Vec::new();
        let read = self.table.for_each(BATCH, |item| {
            let batch = self.read_batch(item, "an import batch")?;
            if batch.state != BatchState::Settled {
                open.push(batch);
            }
            Ok(())
        });
        read.await?;
        open.sort_by_key(|batch| batch.recorded_at);
        Ok(open)
    }
}
