//! One table, partition key `pk`: the stage and the subject, such as `to-erp#customer/client/123`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Dismissal, NewOwed, Owed, OwedPage, OwedRecords, Reason, Stage, Subject, key};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Database, Expression, Table, number, text},
    domain::{Cause, Code},
};

/// Owed records in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbOwed {
    table: Table,
}

impl DynamoDbOwed {
    /// The owed records in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "owed records"),
        }
    }
}

/// The attributes of [`Owed`] that an attempt overwrites: all but `first` and `attempts`.
#[derive(Serialize)]
struct Attempt<'a> {
    subject: &'a Subject,
    stage: Stage,
    reason: Reason,
    warned: Option<bool>,
    detail: &'a str,
    last: DateTime<Utc>,
    correlation: Uuid,
    code: Option<&'a Code>,
    cause: Option<Cause>,
}

/// A stored record. Norce's warning is stored beside a class that 0.2.0 knows, because that version reads this list while a
/// stack is updated, and after a rollback.
#[derive(Deserialize)]
struct Stored {
    #[serde(flatten)]
    owed: Owed,
    #[serde(default)]
    warned: bool,
}

impl From<Stored> for Owed {
    fn from(Stored { owed, warned }: Stored) -> Self {
        let reason = if warned { Reason::Warned } else { owed.reason };
        Self { reason, ..owed }
    }
}

#[derive(Serialize)]
struct Retried {
    retried: DateTime<Utc>,
}

#[derive(Serialize)]
struct Dismissed<'a> {
    dismissed: &'a Dismissal,
}

impl DynamoDbOwed {
    /// Sets attributes of a record; `false` if it is not on the list.
    async fn set(
        &self,
        subject: &Subject,
        stage: Stage,
        attributes: &impl Serialize,
    ) -> Result<bool, StoreError> {
        let values = self.table.to_item(attributes)?;
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.clone())));
        self.change(subject, stage, Expression::assign(values))
            .await
    }

    /// Changes a record; `false` if it is not on the list.
    async fn change(
        &self,
        subject: &Subject,
        stage: Stage,
        change: Expression,
    ) -> Result<bool, StoreError> {
        let there = Expression::new("attribute_exists(#first)").name("first");
        self.table
            .update_if(&key(subject, stage), change, there)
            .await
    }
}

#[async_trait]
impl OwedRecords for DynamoDbOwed {
    async fn put(&self, owed: NewOwed) -> Result<(), StoreError> {
        let owed = owed.cut();
        let warned = owed.reason == Reason::Warned;
        let attempt = Attempt {
            subject: &owed.subject,
            stage: owed.stage,
            reason: if warned {
                Reason::Validation
            } else {
                owed.reason
            },
            warned: warned.then_some(true),
            detail: &owed.detail,
            last: owed.at,
            correlation: owed.correlation,
            code: owed.code.as_ref(),
            cause: owed.cause,
        };
        let mut values = self.table.to_item(&attempt)?;
        // Without a value, the attribute of an earlier attempt is removed.
        let passing = ["code", "cause", "warned"].map(|name| (name, values.remove(name)));
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.clone())));
        let change = Expression::assign(values.chain(passing))
            .and_set("#first = if_not_exists(#first, :last)")
            .name("first")
            .and_set("#attempts = if_not_exists(#attempts, :none) + :one")
            .name("attempts")
            .value("none", number(0))
            .value("one", number(1));
        let key = key(&owed.subject, owed.stage);
        let another =
            Expression::new("attribute_not_exists(#correlation) OR #correlation <> :this")
                .name("correlation")
                .value("this", text(owed.correlation.to_string()));
        // A repeat with the same correlation id changes nothing: it is the same attempt after a crash.
        self.table.update_if(&key, change, another).await?;
        Ok(())
    }

    async fn resolve(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        // Usually nothing is owed, and a read costs a fraction of a write.
        if !self.is_listed(subject, stage).await? {
            return Ok(false);
        }
        self.table.delete(&key(subject, stage)).await
    }

    async fn is_listed(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        Ok(self.table.get(&key(subject, stage)).await?.is_some())
    }

    async fn get(&self, subject: &Subject, stage: Stage) -> Result<Option<Owed>, StoreError> {
        let key = key(subject, stage);
        let item = self.table.get(&key).await?;
        item.map(|item| self.table.read_item::<Stored>(item, &key).map(Owed::from))
            .transpose()
    }

    async fn note_retry(
        &self,
        subject: &Subject,
        stage: Stage,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.set(subject, stage, &Retried { retried: at }).await
    }

    async fn dismiss(
        &self,
        subject: &Subject,
        stage: Stage,
        dismissal: &Dismissal,
    ) -> Result<bool, StoreError> {
        self.set(
            subject,
            stage,
            &Dismissed {
                dismissed: dismissal,
            },
        )
        .await
    }

    async fn restore(&self, subject: &Subject, stage: Stage) -> Result<bool, StoreError> {
        let change = Expression::assign([("dismissed", None)]);
        self.change(subject, stage, change).await
    }

    async fn page(
        &self,
        after: Option<&str>,
        consistency: Consistency,
    ) -> Result<OwedPage, StoreError> {
        let (items, next) = self.table.scan_page(after, consistency).await?;
        let owed = items
            .into_iter()
            .map(|item| {
                self.table
                    .read_item::<Stored>(item, "an owed record")
                    .map(Owed::from)
            })
            .collect::<Result<_, _>>()?;
        Ok(OwedPage { owed, next })
    }
}
