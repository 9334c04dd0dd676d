//! Simulators of Norce and of the ERPs, the sandbox, end-to-end suites, benchmarks and sample events.

pub mod browser;
pub mod bundle;
pub mod business_central_simulator;
pub mod captured_logs;
pub mod console;
pub mod documents;
pub mod facade;
pub mod front;
pub mod in_process;
pub mod interruption;
pub mod lambda;
pub mod limits;
pub mod local_aws;
pub mod memory;
pub mod mutation;
pub mod norce_simulator;
pub mod odoo;
pub mod oidc_provider;
pub mod resources;
pub mod samples;
pub mod sandbox;
pub mod seeds;
pub mod sentences;
pub mod template;
pub mod tryton;
pub mod unreadable;
