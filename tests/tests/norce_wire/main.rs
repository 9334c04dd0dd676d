//! The requests of the Norce clients to the byte, and how they read answers that the simulator never gives.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod connect;
mod joint;
mod query;
mod script;
