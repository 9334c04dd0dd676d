//! One table, partition key `pk`: the name of the remote. A state is stored as one text, which a condition compares.

use async_trait::async_trait;

use super::Breakers;
use crate::{
    StoreError,
    aws::dynamodb::{Database, Expression, Item, KEY, Table, text},
    domain::Breaker,
};

const STATE: &str = "state";

/// Breakers in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbBreakers {
    table: Table,
}

impl DynamoDbBreakers {
    /// The breakers in a table.
    pub fn new(database: impl Into<Database>, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(database, table, "breakers"),
        }
    }

    fn written(&self, breaker: &Breaker) -> Result<String, StoreError> {
        serde_json::to_string(breaker).map_err(|error| self.table.error(error))
    }

    fn read(&self, item: &Item) -> Result<Breaker, StoreError> {
        let state = item.get(STATE).and_then(|state| state.as_s().ok());
        state
            .and_then(|state| serde_json::from_str(state).ok())
            .ok_or_else(|| self.table.error("a state cannot be read"))
    }
}

#[async_trait]
impl Breakers for DynamoDbBreakers {
    async fn get(&self, remote: &str) -> Result<Breaker, StoreError> {
        match self.table.get(remote).await? {
            Some(item) => self.read(&item),
            None => Ok(Breaker::Closed),
        }
    }

    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, StoreError> {
        let as_seen = match seen {
            Breaker::Closed => "attribute_not_exists(#state) OR #state = :seen",
            _ => "#state = :seen",
        };
        let condition = Expression::new(as_seen)
            .name(STATE)
            .value("seen", text(self.written(seen)?));
        let change = Expression::assign([(STATE, Some(text(self.written(next)?)))]);
        self.table.update_if(remote, change, condition).await
    }

    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError> {
        let items = self.table.scan().await?;
        let named = items.iter().map(|item| {
            let remote = item.get(KEY).and_then(|key| key.as_s().ok());
            Ok((remote.cloned().unwrap_or_default(), self.read(item)?))
        });
        named.collect()
    }
}
