//! Breakers: which remotes are left alone for now, as all functions see it.

mod always_closed;
mod dynamodb;
mod memory;

use async_trait::async_trait;

pub use always_closed::AlwaysClosed;
pub use dynamodb::DynamoDbBreakers;
pub use memory::MemoryBreakers;

use crate::{StoreError, domain::Breaker};

/// The states of all breakers, by the name of the remote, such as `erp/client` or `norce/app-1`.
#[async_trait]
pub trait Breakers: Send + Sync {
    /// The state of one; closed where nothing is kept of it.
    async fn get(&self, remote: &str) -> Result<Breaker, StoreError>;

    /// Puts a state in the place of the one that was seen; `false`: it is another by now.
    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, StoreError>;

    /// All of which something is kept.
    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError>;
}
