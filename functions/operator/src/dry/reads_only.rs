//! The calls of a dry run to the stores.

use shared::{StoreError, port::Access};

/// Carries out reads only: a write that a dry run does not describe fails.
pub(super) async fn reads_only<T>(
    access: Access,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match access {
        Access::Read => call.await,
        Access::Write => Err(StoreError::new("dry run", "it does not write")),
    }
}
