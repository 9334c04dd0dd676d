//! One table, partition key `pk`, time-to-live attribute `expires_at` (seconds since 1970):
//!
//! | `pk` | holds |
//! |---|---|
//! | `run#<id>` | a [`Run`] as JSON, and its `version` |
//! | `lease#erp#client` | the lease of a walk over a scope: `run`, `invocation`, `until` |
//! | `watermark#erp#client#customer` | `at` |
//! | `owed-sample#1988800` | an [`OwedSample`], by its quarter of an hour since 1970 |
//! | `waiting#client#customer#5d11…#7` | lines that wait until Norce has that company, each an attribute of one of 16 items |
//!
//! Earlier versions kept the lines in a single item without the last part of the key, and without an expiry. That item is
//! read as well, and gets an expiry when lines are removed from it.

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    LastRuns, Lease, LeaseKey, NewestRuns, OwedSample, Passes, Run, RunFilter, quarter, waiting_key,
};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Database, Expression, Item, Table, Write, Written, number, text},
    domain::{EntityKind, ErpId, ImportLine, Scope},
};

/// Maximum size of a stored run: an item of DynamoDB has at most 400 KB, including names and the other attributes.
const MAX_RUN_BYTES: usize = 390 * 1024;

/// How long lines wait for their company, from the latest of them. Every pass renews the lines of the records that still
/// wait, so that only unneeded lines expire.
const WAITING_KEPT: TimeDelta = TimeDelta::days(30);

/// The prefix of the attributes of lines.
const LINE: &str = "line ";

/// Passes in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbPasses {
    table: Table,
}

#[derive(Serialize, Deserialize)]
struct StoredRun {
    run: String,
    version: u64,
    expires_at: i64,
}

/// How long samples are kept: a month, with some days to spare.
const SAMPLES_KEPT: TimeDelta = TimeDelta::days(35);

#[derive(Serialize, Deserialize)]
struct StoredSample {
    #[serde(flatten)]
    sample: OwedSample,
    expires_at: i64,
}

fn sample_key(quarter: i64) -> String {
    format!("owed-sample#{quarter}")
}

impl DynamoDbPasses {
    /// The passes in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "passes"),
        }
    }

    fn read_run(&self, item: Item) -> Result<Run, StoreError> {
        let stored: StoredRun = self.table.read_item(item, "a pass")?;
        serde_json::from_str(&stored.run).map_err(|_| {
            self.table
                .error("the item of a pass has an unexpected shape")
        })
    }

    fn line_text(&self, line: &ImportLine) -> Result<String, StoreError> {
        serde_json::to_string(line).map_err(|error| self.table.error(error))
    }

    fn lease_item(&self, lease: &Lease) -> Result<Item, StoreError> {
        let mut item = self.table.to_item(lease)?;
        item.insert("until".to_owned(), text(moment(lease.until)));
        Ok(item)
    }
}

fn run_key(id: Uuid) -> String {
    format!("run#{id}")
}

fn walk(key: LeaseKey) -> &'static str {
    if key.sweep { "sweep" } else { "erp" }
}

fn lease_key(key: LeaseKey) -> String {
    format!("lease#{}#{}", walk(key), key.scope)
}

fn watermark_key(key: LeaseKey, kind: EntityKind) -> String {
    format!("watermark#{}#{}#{kind}", walk(key), key.scope)
}

fn company_key(scope: Scope, company: &ErpId) -> String {
    format!("waiting#{scope}#{}#{}", company.resource, company.id)
}

/// The attribute of a line that waits.
fn line_attribute(line: &ImportLine) -> String {
    format!("{LINE}{}", waiting_key(line))
}

/// A time with a fixed number of digits, so that texts compare like times.
fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

#[async_trait]
impl Passes for DynamoDbPasses {
    async fn lease(
        &self,
        key: LeaseKey,
        wanted: Lease,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Lease>, StoreError> {
        let item = self.lease_item(&wanted)?;
        let gives_way = Expression::new(
            "attribute_not_exists(#until) OR #until <= :now OR (#run = :run AND (attribute_not_exists(#invocation) OR #invocation = :invocation))",
        )
        .name("until")
        .name("run")
        .name("invocation")
        .value("now", text(moment(now)))
        .value("run", text(wanted.run.to_string()))
        .value(
            "invocation",
            text(wanted.invocation.unwrap_or_default().to_string()),
        );
        // An attempt that arrives after the release takes the lease again until it expires. It never displaces another holder.
        let put = Write::put(lease_key(key), item).provided(gives_way);
        let written = self.table.write([put]).await?;
        match written {
            Written::Done => Ok(Ok(())),
            Written::Refused(mut refusals) => self
                .table
                .read_item(refusals.take(0).unwrap_or_default(), "a lease")
                .map(Err),
        }
    }

    async fn release(
        &self,
        key: LeaseKey,
        invocation: Uuid,
        keep_until: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let ours = Expression::new("#invocation = :ours")
            .name("invocation")
            .value("ours", text(invocation.to_string()));
        let write = match keep_until {
            None => Write::delete(lease_key(key)),
            Some(until) => Write::update(
                lease_key(key),
                Expression::assign([("invocation", None), ("until", Some(text(moment(until))))]),
            ),
        };
        let written = self.table.write([write.provided(ours)]).await;
        // Refused if another invocation holds it by now.
        written.map(|_| ())
    }

    async fn holder(&self, key: LeaseKey, now: DateTime<Utc>) -> Result<Option<Lease>, StoreError> {
        let item = self.table.get(&lease_key(key)).await?;
        let lease: Option<Lease> = item
            .map(|item| self.table.read_item(item, "a lease"))
            .transpose()?;
        Ok(lease.filter(|lease| lease.until > now))
    }

    async fn run(&self, id: Uuid) -> Result<Option<Run>, StoreError> {
        let item = self.table.get(&run_key(id)).await?;
        item.map(|item| self.read_run(item)).transpose()
    }

    async fn last_runs(&self) -> Result<Vec<Run>, StoreError> {
        let mut last = LastRuns::default();
        let read = self.table.for_each("run#", |item| {
            last.add(self.read_run(item)?);
            Ok(())
        });
        read.await?;
        Ok(last.into_newest_first())
    }

    async fn runs(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Run>, StoreError> {
        let mut newest = NewestRuns::new(filter, limit);
        let read = self.table.for_each("run#", |item| {
            newest.add(self.read_run(item)?);
            Ok(())
        });
        read.await?;
        Ok(newest.runs.into_vec())
    }

    async fn note_owed(&self, sample: &OwedSample) -> Result<(), StoreError> {
        let stored = StoredSample {
            sample: sample.clone(),
            expires_at: (sample.at + SAMPLES_KEPT).timestamp(),
        };
        let item = self.table.to_item(&stored)?;
        let put = Write::put(sample_key(quarter(sample.at)), item);
        self.table.write([put]).await?;
        Ok(())
    }

    async fn owed_samples(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<OwedSample>, StoreError> {
        let keys = (quarter(from)..=quarter(to)).map(sample_key).collect();
        // A chart may lack its last point for a second.
        let items = self.table.get_many(keys, Consistency::Eventual).await;
        let mut samples = Vec::new();
        for item in items?.into_iter().flatten() {
            let stored: StoredSample = self.table.read_item(item, "a sample")?;
            samples.push(stored.sample);
        }
        samples.retain(|sample| sample.at >= from && sample.at <= to);
        Ok(samples)
    }

    async fn save(&self, run: &Run) -> Result<bool, StoreError> {
        let text = serde_json::to_string(run).map_err(|error| self.table.error(error))?;
        if text.len() > MAX_RUN_BYTES {
            return Err(self.table.error(format_args!(
                "pass {} has {} bytes to be stored; an item has at most {MAX_RUN_BYTES}",
                run.id,
                text.len()
            )));
        }
        let stored = StoredRun {
            run: text,
            version: run.version,
            expires_at: run.kept_until().timestamp(),
        };
        let before = i64::try_from(run.version.saturating_sub(1)).unwrap_or(i64::MAX);
        let next = if run.version == 1 {
            Expression::nothing_there()
        } else {
            Expression::new("#version = :before")
                .name("version")
                .value("before", number(before))
        };
        let item = self.table.to_item(&stored)?;
        let put = Write::put(run_key(run.id), item).provided(next);
        self.table.write_if([put]).await
    }

    async fn watermark(
        &self,
        key: LeaseKey,
        kind: EntityKind,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let item = self.table.get(&watermark_key(key, kind)).await;
        #[derive(Deserialize)]
        struct Watermark {
            at: DateTime<Utc>,
        }
        let item = item?;
        item.map(|item| {
            self.table
                .read_item::<Watermark>(item, "a watermark")
                .map(|watermark| watermark.at)
        })
        .transpose()
    }

    async fn advance(
        &self,
        key: LeaseKey,
        kind: EntityKind,
        to: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let change = Expression::assign([("at", Some(text(moment(to))))]);
        let earlier = Expression::new("attribute_not_exists(#at) OR #at <= :new")
            .name("at")
            .value("new", text(moment(to)));
        let key = watermark_key(key, kind);
        let moved = self.table.update_if(&key, change, earlier).await;
        // Refused if it is later already.
        moved.map(|_| ())
    }

    async fn wait_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
        line: &ImportLine,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let list = company_key(scope, company);
        let (name, value) = (line_attribute(line), text(self.line_text(line)?));
        self.table
            .add_entry(&list, &name, value, at + WAITING_KEPT)
            .await
    }

    async fn waiting_for_company(
        &self,
        scope: Scope,
        company: &ErpId,
    ) -> Result<Vec<ImportLine>, StoreError> {
        let list = company_key(scope, company);
        let lines = self.table.entries(&list, LINE).await?;
        lines
            .into_values()
            .map(|line| {
                let line = line.as_s().ok();
                line.and_then(|line| serde_json::from_str(line).ok())
                    .ok_or_else(|| {
                        self.table.error(format_args!(
                            "a line that waits for {company} has an unexpected shape"
                        ))
                    })
            })
            .collect()
    }

    async fn stop_waiting(
        &self,
        scope: Scope,
        company: &ErpId,
        lines: &[ImportLine],
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let list = company_key(scope, company);
        let entry = |line| Ok((line_attribute(line), Some(text(self.line_text(line)?))));
        let entries: Result<_, StoreError> = lines.iter().map(entry).collect();
        self.table
            .remove_entries(&list, entries?, Some(at + WAITING_KEPT))
            .await
    }
}
