//! Writes to the stores that no dry run describes.

use shared::StoreError;

/// The error of a write that a dry run does not describe, and therefore does not carry out.
pub(super) fn not_described(method: &str) -> StoreError {
    StoreError::new("dry run", format_args!("it does not describe `{method}`"))
}
