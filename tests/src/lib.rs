//! Simulators of Norce and of the ERPs, the sandbox, end-to-end suites, benchmarks and sample events.

pub mod local_aws;
