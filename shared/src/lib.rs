//! What the functions share: the clients of Norce and of the ERPs, the stores, the queues and the runtime around them.
//!
//! The crate is layered, and an arrow only ever points down: `ARCHITECTURE.md` ("Layers") has the drawing, and
//! `tests/tests/architecture` checks it. The ports have one implementation here, on AWS; those in memory are in the crate `tests`.
//!
//! AWS SDK types stay inside the module that adapts them; nothing here knows of a function's use case.

pub mod activity;
pub mod aws;
pub mod breakers;
mod consistency;
pub mod domain;
pub mod erp;
mod gather;
pub mod http;
pub mod import_jobs;
pub mod logs;
pub mod mappings;
pub mod matching;
pub mod metrics;
pub mod norce;
pub mod orders;
pub mod owed;
pub mod passes;
pub mod port;
pub mod queues;
pub mod record_finder;
pub mod reports;
pub mod runtime;
mod since;
mod store_error;

pub use consistency::Consistency;
pub use since::Since;
pub use store_error::StoreError;
