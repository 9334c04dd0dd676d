//! One table, partition key `pk`: the id of the entry; time-to-live attribute `expires_at` (seconds since 1970).

use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use super::{Activity, ActivityPage, Entry, Outcome, RETENTION};
use crate::{
    Consistency, StoreError,
    aws::dynamodb::{Database, Expression, Table, Write},
};

/// The activity record in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbActivity {
    table: Table,
}

impl DynamoDbActivity {
    /// The activity record in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "activity record"),
        }
    }
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    expires_at: i64,
}

#[async_trait]
impl Activity for DynamoDbActivity {
    async fn start(&self, entry: &Entry) -> Result<(), StoreError> {
        let stored = Stored {
            entry,
            expires_at: (entry.at + RETENTION).timestamp(),
        };
        let item = self.table.to_item(&stored)?;
        // An attempt that arrives late must not overwrite the outcome.
        let put = Write::put(entry.id.to_string(), item).provided(Expression::nothing_there());
        self.table.write([put]).await?;
        Ok(())
    }

    async fn complete(
        &self,
        id: Uuid,
        subjects: &[String],
        outcome: &Outcome,
    ) -> Result<bool, StoreError> {
        let change = Expression::assign([
            ("subjects", Some(self.table.to_attribute(subjects)?)),
            ("outcome", Some(self.table.to_attribute(outcome)?)),
        ]);
        let there = Expression::new("attribute_exists(#did)").name("did");
        self.table.update_if(&id.to_string(), change, there).await
    }

    async fn get(&self, id: Uuid) -> Result<Option<Entry>, StoreError> {
        let key = id.to_string();
        let item = self.table.get(&key).await?;
        item.map(|item| self.table.read_item(item, &key))
            .transpose()
    }

    async fn page(&self, after: Option<&str>) -> Result<ActivityPage, StoreError> {
        let (items, next) = self.table.scan_page(after, Consistency::Strong).await?;
        let entries = items
            .into_iter()
            .map(|item| {
                self.table
                    .read_item(item, "an entry of the activity record")
            })
            .collect::<Result<_, _>>()?;
        Ok(ActivityPage { entries, next })
    }
}
