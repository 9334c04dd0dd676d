use std::time::Duration;

use tokio::time::Instant;

/// When the work at hand must have ended. Every remote call is bounded by it (P13).
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When everything is over.
    end: Instant,
    /// When remote calls end, and after which no step begins: the end, or earlier where somebody waits for the answer.
    stop: Instant,
}

impl Deadline {
    /// A deadline this long from now.
    pub fn after(duration: Duration) -> Self {
        let end = Instant::now() + duration;
        Self { end, stop: end }
    }

    /// The same deadline for somebody who waits this long for an answer: remote calls end by then, and no step begins later.
    /// Whether there is time for a step stays a matter of the end, because a step rarely needs the time that is kept for it.
    pub fn stopping_after(self, duration: Duration) -> Self {
        let stop = self.stop.min(Instant::now() + duration);
        Self { stop, ..self }
    }

    /// The time that is left; zero when it is past.
    pub fn remaining(self) -> Duration {
        self.stop.saturating_duration_since(Instant::now())
    }

    /// Whether at least this much time is left.
    pub fn allows(self, duration: Duration) -> bool {
        let now = Instant::now();
        now <= self.stop && self.end.saturating_duration_since(now) >= duration
    }
}
