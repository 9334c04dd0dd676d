use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use shared::{StoreError, breakers::Breakers, domain::Breaker};

/// Breakers in memory.
#[derive(Debug, Default)]
pub struct MemoryBreakers(Mutex<BTreeMap<String, Breaker>>);

impl MemoryBreakers {
    fn states(&self) -> MutexGuard<'_, BTreeMap<String, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Breakers for MemoryBreakers {
    async fn get(&self, remote: &str) -> Result<Breaker, StoreError> {
        Ok(self.states().get(remote).cloned().unwrap_or_default())
    }

    async fn replace(
        &self,
        remote: &str,
        seen: &Breaker,
        next: &Breaker,
    ) -> Result<bool, StoreError> {
        let mut states = self.states();
        let is_as_seen = states.get(remote).unwrap_or(&Breaker::Closed) == seen;
        if is_as_seen {
            states.insert(remote.to_owned(), next.clone());
        }
        Ok(is_as_seen)
    }

    async fn list(&self) -> Result<Vec<(String, Breaker)>, StoreError> {
        let states = self.states();
        let states = states.iter();
        Ok(states
            .map(|(remote, state)| (remote.clone(), state.clone()))
            .collect())
    }
}
