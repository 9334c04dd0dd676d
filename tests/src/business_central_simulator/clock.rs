use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// The server's time of day. The default follows tokio's clock, so that time that is paused or advanced in a test is
/// paused or advanced here as well.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// A clock that shows `start` now and then runs with tokio's.
    pub fn starting_at(start: DateTime<Utc>) -> Self {
        let anchor = Instant::now();
        Self::from_fn(move || start + anchor.elapsed())
    }

    /// Any other clock.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::starting_at(Utc::now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", self.now())
    }
}
