//! The heartbeat: metrics of the state that no event changes, with every run of `OwedSchedule`. When none come, an alarm
//! rings: then nothing else can be trusted either.

use shared::{
    StoreError,
    breakers::Breakers,
    domain::{Clock, EntityKind, Scope},
    metrics::{Metric, Metrics},
    owed::OwedCounts,
    passes::{LeaseKey, OwedSample, Passes},
};

/// The stores whose state is measured.
pub(crate) struct Heartbeat<'a> {
    pub(crate) passes: &'a dyn Passes,
    pub(crate) breakers: &'a dyn Breakers,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) metrics: &'a Metrics,
}

impl Heartbeat<'_> {
    /// Measures the owed records, the age of the watermarks, and the breakers; and stores how much is owed, for charts.
    pub(crate) async fn measure(&self, owed: &OwedCounts) -> Result<(), StoreError> {
        let metrics = self.metrics;
        metrics.record(Metric::OwedRecords, "", owed.total());
        metrics.record(Metric::OldestOwedSeconds, "", owed.oldest_seconds);
        for (reason, count) in &owed.owed {
            metrics.record(Metric::OwedRecordsByReason, reason, *count);
        }
        let now = self.clock.now();
        for (walk, sweep) in [("erp", false), ("sweep", true)] {
            for scope in self.scopes.iter().copied() {
                for kind in [EntityKind::Customer, EntityKind::Company] {
                    let key = LeaseKey { scope, sweep };
                    // Before its first pass has ended a scope has no watermark, and a large one takes hours to get there.
                    if let Some(watermark) = self.passes.watermark(key, kind).await? {
                        let age = (now - watermark).to_std().unwrap_or_default();
                        metrics.time(Metric::PassAgeSeconds, walk, age);
                    }
                }
            }
        }
        let breakers = self.breakers.list().await?;
        let unavailable: Vec<_> = breakers
            .iter()
            .filter_map(|(_, breaker)| breaker.unavailable_since(now))
            .collect();
        let longest = unavailable.iter().min().map(|since| now - *since);
        let longest = longest.and_then(|longest| longest.to_std().ok());
        let open = u64::try_from(unavailable.len()).unwrap_or(u64::MAX);
        metrics.record(Metric::OpenBreakers, "", open);
        metrics.time(Metric::BreakerOpenSeconds, "", longest.unwrap_or_default());
        let sample = OwedSample {
            at: now,
            owed: owed.total(),
            dismissed: owed.dismissed,
            oldest_seconds: owed.oldest_seconds,
        };
        self.passes.note_owed(&sample).await?;
        Ok(())
    }
}
