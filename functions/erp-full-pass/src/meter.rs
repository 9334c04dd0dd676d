//! What a run costs.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::{mappings::READ_BATCH_SIZE, passes::Cost};
use tokio::time::Instant;

/// The cost of a run so far. Whoever makes a call has it counted here, so that no rule has to know of it.
pub(crate) struct Meter(Mutex<Cost>);

impl Meter {
    /// Goes on from what the run has cost in earlier invocations.
    pub(crate) const fn new(cost: Cost) -> Self {
        Self(Mutex::new(cost))
    }

    pub(crate) fn cost(&self) -> Cost {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn add(&self, count: impl FnOnce(&mut Cost)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Mapping items that are read, in batches.
    pub(crate) fn mappings_read(&self, items: usize) {
        self.add(|cost| {
            cost.mapping_reads += items as u64;
            cost.mapping_read_requests += items.div_ceil(READ_BATCH_SIZE) as u64;
        });
    }

    /// A mapping that is written.
    pub(crate) async fn mapping_write<F: Future>(&self, write: F) -> F::Output {
        self.add(|cost| cost.mapping_writes += 1);
        write.await
    }

    /// A question to the ERP besides its pages.
    pub(crate) async fn erp_call<F: Future>(&self, call: F) -> F::Output {
        self.add(|cost| cost.erp_calls += 1);
        self.erp_wait(call).await
    }

    /// The wait for a page of the ERP.
    pub(crate) async fn erp_wait<F: Future>(&self, call: F) -> F::Output {
        let (output, waited) = timed(call).await;
        self.add(|cost| cost.erp_wait_ms += waited);
        output
    }

    /// The wait for Norce. How many requests a look-up takes, the answer says.
    pub(crate) async fn norce_wait<F: Future>(&self, call: F) -> F::Output {
        let (output, waited) = timed(call).await;
        self.add(|cost| cost.norce_wait_ms += waited);
        output
    }
}

async fn timed<F: Future>(call: F) -> (F::Output, u64) {
    let begin = Instant::now();
    let output = call.await;
    (output, milliseconds(begin.elapsed()))
}

/// Whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
