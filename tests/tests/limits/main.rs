//! Limits of time and of number, each at both ends. A limit is written here as a number and not as the constant that the
//! code has, so that a change of the constant is noticed.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod batch;
mod changes;
mod guard;
mod jobs;
mod operator;
mod passes;
mod renewed;

use std::time::Duration;

use tests::norce_simulator::NewCustomer;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn person(number: i64) -> NewCustomer {
    NewCustomer {
        email: Some(format!("anna.{number}@example.com")),
        first_name: Some("Anna".to_owned()),
        last_name: Some(format!("Ek {number}")),
        ..NewCustomer::default()
    }
}
