//! Configuration, secrets, telemetry, batches and wiring: what turns the clients and stores into a running function.

pub mod aws;
pub mod batch;
pub mod configuration;
pub mod delivery;
pub mod guard;
pub mod metrics;
mod renewed;
pub mod secrets;
mod serve;
pub mod telemetry;
pub mod wiring;

pub use renewed::Renewed;
pub use serve::serve;
