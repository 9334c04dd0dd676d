//! One table, partition key `pk`: the name of the remote. A state is one text, so that a condition compares it whole.

use async_trait::async_trait;
use aws_config::SdkConfig;

use super::{Breakers, BreakersError};
use crate::{
    domain::Breaker,
    dynamodb::{Expression, Item, KEY, Table, text},
};

const STATE: &str = "state";

/// Breakers in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbBreakers {
    table: Table,
}

impl DynamoDbBreakers {
    /// The breakers in a table.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self {
            table: Table::new(config, table),
        }
    }
}

fn written(breaker: &Breaker) -> Result<String, BreakersError> {
    serde_json::to_string(breaker).map_err(|error| BreakersError(error.to_string()))
}

fn read(item: &Item) -> Result<Breaker, BreakersError> {
    let state = item.get(STATE).and_then(|state| state.as_s().ok());
    state
        .and_then(|state| serde_json::from_str(state).ok())
        .ok_or_else(|| BreakersError("a state cannot be read".to_owned()))
}

#[async_trait]
impl Breakers for DynamoDbBreakers {
    async fn get(&self, remote: &str) -> Result<Breaker, BreakersError> {
        match self.table.get(remote).await.map_err(BreakersError)? {
            Some(item) => read(&item),
            None => Ok(Breaker::Closed),
        }
    }

    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, BreakersError> {
        let as_seen = match seen {
            Breaker::Closed => "attribute_not_exists(#state) OR #state = :seen",
            _ => "#state = :seen",
        };
        let condition = Expression::new(as_seen)
            .name(STATE)
            .value("seen", text(written(seen)?));
        let change = Expression::assign([(STATE, Some(text(written(next)?)))]);
        self.table
            .update_if(remote, change, condition)
            .await
            .map_err(BreakersError)
    }

    async fn list(&self) -> Result<Vec<(String, Breaker)>, BreakersError> {
        let items = self.table.scan().await.map_err(BreakersError)?;
        let named = items.iter().map(|item| {
            let remote = item.get(KEY).and_then(|key| key.as_s().ok());
            Ok((remote.cloned().unwrap_or_default(), read(item)?))
        });
        named.collect()
    }
}
