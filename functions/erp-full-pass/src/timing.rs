//! How long calls take, for the cost of a run.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// Adds the time that a call takes to a sum of milliseconds.
pub(crate) trait Timed: Future + Sized {
    async fn timed(self, sum_ms: &mut u64) -> Self::Output {
        let begin = Instant::now();
        let output = self.await;
        *sum_ms += milliseconds(begin.elapsed());
        output
    }
}

impl<F: Future> Timed for F {}

/// Whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
