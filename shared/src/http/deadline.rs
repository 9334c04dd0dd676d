use std::time::Duration;

use tokio::time::Instant;

/// When the work at hand must have ended. Every remote call is bounded by it (P13).
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline this long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// The time that is left; zero when it is past.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether at least this much time is left.
    pub fn allows(self, duration: Duration) -> bool {
        self.remaining() >= duration
    }
}
