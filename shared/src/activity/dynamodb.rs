//! One table, partition key `pk`: the id of the entry; time-to-live attribute `expires_at` (seconds since 1970).

use async_trait::async_trait;
use aws_config::SdkConfig;
use serde::Serialize;
use uuid::Uuid;

use super::{Activity, ActivityError, ActivityPage, Entry, Outcome, RETENTION};
use crate::{
    Consistency,
    dynamodb::{Expression, Table, Write, attribute, from_item, to_item},
};

/// The activity record in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbActivity {
    table: Table,
}

impl DynamoDbActivity {
    /// The activity record in a table.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(config, table),
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
    async fn start(&self, entry: &Entry) -> Result<(), ActivityError> {
        let stored = Stored {
            entry,
            expires_at: (entry.at + RETENTION).timestamp(),
        };
        let item = to_item(&stored).map_err(ActivityError)?;
        let put = Write::put(entry.id.to_string(), item);
        self.table.write([put]).await.map_err(ActivityError)?;
        Ok(())
    }

    async fn complete(
        &self,
        id: Uuid,
        subjects: &[String],
        outcome: &Outcome,
    ) -> Result<bool, ActivityError> {
        let change = Expression::assign([
            (
                "subjects",
                Some(attribute(subjects).map_err(ActivityError)?),
            ),
            ("outcome", Some(attribute(outcome).map_err(ActivityError)?)),
        ]);
        let there = Expression::new("attribute_exists(#did)").name("did");
        self.table
            .update_if(&id.to_string(), change, there)
            .await
            .map_err(ActivityError)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Entry>, ActivityError> {
        let key = id.to_string();
        let item = self.table.get(&key).await.map_err(ActivityError)?;
        item.map(|item| from_item(item, &key))
            .transpose()
            .map_err(ActivityError)
    }

    async fn page(&self, after: Option<&str>) -> Result<ActivityPage, ActivityError> {
        let page = self.table.scan_page(after, Consistency::Strong).await;
        let (items, next) = page.map_err(ActivityError)?;
        let entries = items
            .into_iter()
            .map(|item| from_item(item, "an entry of the activity record"))
            .collect::<Result<_, _>>()
            .map_err(ActivityError)?;
        Ok(ActivityPage { entries, next })
    }
}
