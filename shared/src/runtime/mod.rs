//! Configuration, secrets, telemetry, batches and wiring: what turns the clients and stores into a running function.

// First: `read_fields!` is known from here on.
#[macro_use]
mod environment;

pub mod batch;
pub mod configuration;
pub mod context;
mod fixed_values;
mod refresh;
pub mod resources;
pub mod secrets;
mod serve;
mod sync_policy;
pub mod telemetry;
pub mod wiring;

pub use refresh::Refreshing;
pub use serve::{serve, serve_queue};
