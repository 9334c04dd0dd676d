//! Limits of time and number, each at both ends. A limit stands here as a number, not as the constant of the code, so
//! that a change of the constant is noticed.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod batch;
mod changes;
mod guard;
mod jobs;
mod lists;
mod operator;
mod passes;
mod refresh;

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    domain::{EntityKind, ImportLine, ImportRequest, Scope},
    import_jobs::{BatchState, ImportBatch},
};
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A message of `imports`.
fn request_of(kind: EntityKind, lines: Vec<ImportLine>) -> ImportRequest {
    ImportRequest {
        kind,
        scope: Scope::Client,
        lines,
        alone: false,
        since: None,
    }
}

/// An import that is on its way to Norce.
fn batch_of(kind: EntityKind, line: ImportLine, at: DateTime<Utc>) -> ImportBatch {
    ImportBatch {
        id: Uuid::new_v4(),
        kind,
        scope: Scope::Client,
        lines: vec![line],
        state: BatchState::Submitting,
        recorded_at: at,
        since: at,
    }
}
