//! `cargo sandbox`: reports what is missing on this machine, fetches the tools while everything is compiled, and then
//! runs the sandbox.
//!
//! The sandbox would fetch the tools and build the functions itself. Started here, the two run in parallel, and the functions are compiled
//! together with the simulators.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for a person at a terminal"
)]

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
    thread,
};

use sandbox_tools::{
    MINISTACK, ODOO, SAM, build, find_c_compiler, find_postgresql, find_python, target,
};

/// What asks for functions that are built otherwise, or for none.
const WITHOUT_FUNCTIONS: [&str; 6] = [
    "--release",
    "--customers",
    "--package",
    "--watch",
    "--help",
    "-h",
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match start(&arguments) {
        Ok(status) => status,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the sandbox; returns only when that is impossible.
fn start(arguments: &[OsString]) -> Result<ExitCode, String> {
    // `--option value` or `--option=value`.
    let has = |option: &str| {
        arguments.iter().any(|argument| {
            let argument = argument.to_string_lossy();
            argument.split('=').next() == Some(option)
        })
    };
    let with_odoo = arguments
        .iter()
        .any(|argument| argument == "odoo" || argument == "--erp=odoo");
    let fetching = if has("--help") || has("-h") {
        None
    } else {
        find_python().map_err(|error| error.to_string())?;
        find_c_compiler().map_err(|error| error.to_string())?;
        if with_odoo {
            find_postgresql().map_err(|error| error.to_string())?;
        }
        Some(thread::spawn(move || fetch(with_odoo)))
    };

    let with_functions = !WITHOUT_FUNCTIONS.into_iter().any(has);
    let built = build(with_functions).status();
    let built = built.map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !built.success() {
        // Cargo has said why.
        return Ok(ExitCode::FAILURE);
    }
    if let Some(fetching) = fetching {
        // The sandbox tries a failed installation again, and reports it.
        let _ = fetching.join();
    }
    // In place of this process, so that Ctrl-C goes to the sandbox alone.
    let program = target().join("debug/sandbox");
    let error = Command::new(&program).args(arguments).exec();
    Err(format!("{} cannot be started: {error}", program.display()))
}

fn fetch(with_odoo: bool) {
    let progress = |text: &str| println!("    {text}");
    let _ = SAM.install(&progress);
    let _ = MINISTACK.install(&progress);
    if with_odoo {
        let _ = ODOO.install(&progress);
    }
}
