//! One behavioural suite for both implementations of every store and queue: in memory, and on the local AWS.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the suites are functions that run only in tests"
)]

mod activity;
mod breakers;
mod faults;
mod import_jobs;
mod joint;
mod key_index;
mod local;
mod logs;
mod many_bindings;
mod mappings;
mod orders;
mod owed;
mod passes;
mod queues;
mod reports;
mod single_writes;

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::{ApplicationId, Code, EntityRef, NorceId, Scope};

/// Makes a test of each function of a suite, for each of its two implementations. The functions take what `memory()`
/// and `aws()` of the surrounding module make.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(super::memory()).await;
                }
            )+
        }
        mod aws {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(super::aws().await).await;
                }
            )+
        }
    };
}
use suite;

/// A moment, some minutes after an arbitrary one, with a fraction of a second that has to survive.
fn minute(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap() + TimeDelta::minutes(minutes)
}

fn norce_id(id: i64) -> NorceId {
    NorceId::try_from(id).unwrap()
}

fn customer(id: i64) -> EntityRef {
    EntityRef::customer(Scope::Client, norce_id(id))
}

fn application(id: i64) -> ApplicationId {
    ApplicationId::try_from(id).unwrap()
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}
