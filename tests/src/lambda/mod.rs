//! Lambda as a function sees it, for tests and benchmarks that run the functions' own binaries: the Runtime API, the
//! payloads, how Lambda and CloudWatch read the output of a process, and as much of the other AWS services as the
//! functions ask for. Everything is on loopback and needs nothing but this workspace.

pub mod binaries;
pub mod environment;
pub mod fake_aws;
pub mod logging;
pub mod payloads;
pub mod remotes;
pub mod runtime_api;
