//! What the functions share: the clients of Norce and of the ERPs, the stores, the queues and the runtime around them.
//!
//! The crate is layered and an arrow only ever points down:
//!
//! ```text
//! runtime   configuration, secrets, telemetry, batches, wiring
//!    │
//!    ├── record_finder, matching               which record of the ERP an entity is
//!    ├── norce, erp                            clients, over `http`
//!    ├── mappings, owed, orders, import_jobs, passes, queues, reports, logs, breakers, activity   stores and queues, each in memory and on AWS
//!    ▼
//! domain    values and rules: no I/O, no clock of its own, no AWS
//! ```
//!
//! AWS SDK types stay inside the module that adapts them; nothing here knows of a function's use case.

pub mod activity;
pub mod aws;
pub mod breakers;
mod consistency;
pub mod domain;
pub mod erp;
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
pub mod queues;
pub mod record_finder;
pub mod reports;
pub mod runtime;
mod since;
mod store_error;

pub use consistency::Consistency;
pub use since::Since;
pub use store_error::StoreError;
