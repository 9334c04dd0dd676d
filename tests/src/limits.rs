//! Limits of time and number, each tested at both ends: short of the limit nothing happens, and at the limit it does.
//!
//! A test of one end alone passes with any longer limit, or with any shorter one.

use std::{fmt::Debug, time::Duration};

use chrono::TimeDelta;

/// Something that a limit is given in.
pub trait Limit: Copy + Debug {
    /// The last value that is short of the limit.
    fn short_of(self) -> Self;
}

impl Limit for Duration {
    /// Tokio's timers have no finer grain.
    fn short_of(self) -> Self {
        self.saturating_sub(Self::from_millis(1))
    }
}

impl Limit for TimeDelta {
    fn short_of(self) -> Self {
        self - Self::milliseconds(1)
    }
}

macro_rules! number {
    ($($number:ty),+) => {$(
        impl Limit for $number {
            fn short_of(self) -> Self {
                self.saturating_sub(1)
            }
        }
    )+};
}

number!(u32, u64, usize);

/// Asserts that something does not happen short of the limit, and happens at it. `happens` tries a value in a world of
/// its own, and says whether it has happened there.
///
/// # Panics
/// When it happens too early, or not at the limit.
pub async fn at_both_ends<L: Limit>(limit: L, happens: impl AsyncFn(L) -> bool) {
    let early = limit.short_of();
    assert!(!happens(early).await, "it happens at {early:?} already");
    assert!(happens(limit).await, "it does not happen at {limit:?}");
}
