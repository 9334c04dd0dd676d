//! Breakers: the remotes to which calls are paused, shared by all functions.

mod always_closed;
mod dynamodb;
mod guard;

use async_trait::async_trait;

pub use always_closed::AlwaysClosed;
pub use dynamodb::DynamoDbBreakers;
pub use guard::{Guard, RateLimit, Remote};

use crate::{StoreError, domain::Breaker};

/// The states of all breakers, by the name of the remote, such as `erp/client` or `norce/app-1`.
#[async_trait]
pub trait Breakers: Send + Sync {
    /// The state of one breaker; closed if none is stored.
    async fn get(&self, remote: &str) -> Result<Breaker, StoreError>;

    /// Replaces the state that was read; `false` if it has changed meanwhile.
    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, StoreError>;

    /// All stored breakers.
    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError>;
}
