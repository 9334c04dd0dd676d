//! Configuration, secrets, telemetry, batches and wiring: what turns the clients and stores into a running function.

pub mod aws;
pub mod batch;
pub mod configuration;
pub mod delivery;
pub mod guard;
mod renewed;
pub mod secrets;
pub mod telemetry;
pub mod wiring;

pub use renewed::Renewed;
