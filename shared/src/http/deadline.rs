use std::time::Duration;

use tokio::time::Instant;

/// A step that has begun may take so long until it is cut off: a few calls of a remote that is slow.
const LONGEST_STEP: Duration = Duration::from_secs(8);

/// When the work at hand must have ended. Every remote call is bounded by it (P13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// When everything is over.
    end: Instant,
    /// When remote calls end: the end, or earlier where a caller waits for the answer.
    stop: Instant,
    /// When the last step begins.
    last_step: Instant,
}

impl Deadline {
    /// A deadline this long from now.
    pub fn after(duration: Duration) -> Self {
        let end = Instant::now() + duration;
        Self {
            end,
            stop: end,
            last_step: end,
        }
    }

    /// The same deadline for a caller who waits this long for an answer: remote calls end by then, and no step begins so late that
    /// it would be cut off. Whether there is time for a step stays a matter of the end, because a step rarely needs the time
    /// that is kept for it.
    pub fn stopping_after(self, duration: Duration) -> Self {
        let now = Instant::now();
        let for_a_step = LONGEST_STEP.min(duration / 3);
        Self {
            stop: self.stop.min(now + duration),
            last_step: self.last_step.min(now + (duration - for_a_step)),
            ..self
        }
    }

    /// The time that is left; zero when it is past.
    pub fn remaining(self) -> Duration {
        self.stop.saturating_duration_since(Instant::now())
    }

    /// Whether a step may begin for which this much time is kept.
    pub fn allows(self, duration: Duration) -> bool {
        let now = Instant::now();
        now <= self.last_step && self.end.saturating_duration_since(now) >= duration
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_last_step_begins_while_there_is_time_for_it_before_the_stop() {
        let deadline = Deadline::after(48 * SECOND).stopping_after(24 * SECOND);
        // A step for which 20 seconds are kept fits into the whole, and begins in time before the stop.
        advance(16 * SECOND).await;
        assert!(deadline.allows(20 * SECOND));
        assert_eq!(deadline.remaining(), 8 * SECOND);
        advance(SECOND).await;
        assert!(!deadline.allows(Duration::ZERO));
        advance(7 * SECOND).await;
        assert_eq!(deadline.remaining(), Duration::ZERO);
        // The end counts all the same, and an earlier stop is not put off.
        let deadline = Deadline::after(10 * SECOND).stopping_after(24 * SECOND);
        assert!(!deadline.allows(11 * SECOND));
        let earlier = Deadline::after(48 * SECOND).stopping_after(6 * SECOND);
        assert_eq!(earlier.stopping_after(24 * SECOND).remaining(), 6 * SECOND);
    }
}
