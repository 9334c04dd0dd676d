//! How long ago something was, in a process that Lambda may have frozen meanwhile.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Two clocks of one machine differ by parts of a second, and nothing depends on a freeze that is shorter than this.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

/// A moment whose age counts while the process is frozen.
///
/// Between two invocations Lambda freezes the process, for minutes or hours. Whether the monotonic clock goes on then is
/// not documented (it may stand still, as over a suspended machine), and an age taken from [`Instant`] alone could keep a
/// revoked secret in use for days. The time of day goes on, but can be set back. So an age is the longer of the two:
/// something kept may be thought older than it is, and is read again, but never younger.
///
/// For everything that is kept from one invocation to the next. Deadlines and durations within an invocation use
/// [`Instant`].
#[derive(Debug, Clone, Copy)]
pub struct Since {
    monotonic: Instant,
    time_of_day: SystemTime,
}

impl Since {
    /// The current time.
    pub fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            time_of_day: SystemTime::now(),
        }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Duration {
        // Set back beyond this moment, the time of day says nothing.
        let by_time_of_day = self.time_of_day.elapsed().unwrap_or_default();
        let monotonic = self.monotonic.elapsed();
        if by_time_of_day > monotonic + CLOCKS_DIFFER {
            by_time_of_day
        } else {
            monotonic
        }
    }

    /// The moment as it looks after the process was frozen for a time in which its monotonic clock stood still.
    #[cfg(test)]
    pub(crate) fn frozen_for(self, time: Duration) -> Self {
        Self {
            time_of_day: self.time_of_day - time,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn an_age_counts_while_the_monotonic_clock_stands_still() {
        let since = Since::now();
        assert!(since.elapsed() < HOUR);
        assert!(since.frozen_for(HOUR).elapsed() >= HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn an_age_counts_though_the_time_of_day_is_set_back() {
        let now = Since::now();
        let since = Since {
            time_of_day: now.time_of_day + 2 * HOUR,
            ..now
        };
        assert_eq!(since.elapsed(), Duration::ZERO);
        tokio::time::advance(HOUR).await;
        assert_eq!(since.elapsed(), HOUR);
    }
}
