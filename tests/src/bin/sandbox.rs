//! `cargo sandbox`: the whole integration on this machine, and a day in the shop.

use std::process::ExitCode;

use clap::Parser as _;
use tests::sandbox::{self, Options};

#[tokio::main]
async fn main() -> ExitCode {
    sandbox::run(Options::parse()).await
}
