//! `cargo ci`: the gate, `.ci/run`.

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use sandbox_tools::variables_of_this_package;
use tests::documents::root;

#[expect(clippy::print_stderr, reason = "a program for a person at a terminal")]
fn main() -> ExitCode {
    let mut gate = Command::new(root().join(".ci/run"));
    for variable in variables_of_this_package() {
        gate.env_remove(variable);
    }
    // In the place of this process, so that Ctrl-C goes to the gate alone.
    let error: io::Error = gate.exec();
    eprintln!(".ci/run cannot be started: {error}");
    ExitCode::FAILURE
}
