//! `cargo mutate`: changes the product and says which changes no test notices.

use std::process::ExitCode;

use clap::Parser as _;
use tests::mutation::{self, Options};

fn main() -> ExitCode {
    mutation::run(&Options::parse())
}
