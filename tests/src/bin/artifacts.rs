//! `cargo artifacts`: what is deployed without Rust.

use std::process::ExitCode;

use clap::Parser as _;
use tests::sandbox::artifacts::{self, Options};

#[tokio::main]
async fn main() -> ExitCode {
    artifacts::run(&Options::parse()).await
}
