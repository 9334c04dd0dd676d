use std::fmt;

use thiserror::Error;

/// A store or a queue could not be reached. It is always worth retrying: a write may or may not have been carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the {store} cannot be reached: {reason}")]
pub struct StoreError {
    store: &'static str,
    reason: String,
}

impl StoreError {
    /// The error of a store with this name, such as `owed records`. The reason has no personal data.
    pub fn new(store: &'static str, reason: impl fmt::Display) -> Self {
        Self {
            store,
            reason: reason.to_string(),
        }
    }
}
