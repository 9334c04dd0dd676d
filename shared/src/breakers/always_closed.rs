use async_trait::async_trait;

use super::Breakers;
use crate::{StoreError, domain::Breaker};

/// Breakers that never open, for a person who checks a remote even while calls to it are paused.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysClosed;

#[async_trait]
impl Breakers for AlwaysClosed {
    async fn get(&self, _: &str) -> Result<Breaker, StoreError> {
        Ok(Breaker::Closed)
    }

    async fn replace(&self, _: &str, _: &Breaker, _: &Breaker) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError> {
        Ok(Vec::new())
    }
}
