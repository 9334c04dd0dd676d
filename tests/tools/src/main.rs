//! `cargo sandbox`: says what is missing on this machine, fetches the tools while everything is compiled, and then is the sandbox.
//!
//! The sandbox fetches and builds itself what is not there. Begun here, both take as long as the longer of them, and the functions are
//! compiled side by side with the simulators.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for a person at a terminal"
)]

use std::{
    env,
    ffi::OsString,
    fmt, io,
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
        Ok(never) => match never {},
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the sandbox, or says why not.
fn start(arguments: &[OsString]) -> Result<std::convert::Infallible, String> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let with_odoo = has("odoo") || has("--erp=odoo");
    let fetching = if has("--help") || has("-h") {
        None
    } else {
        find_python().map_err(said)?;
        find_c_compiler().map_err(said)?;
        if with_odoo {
            find_postgresql().map_err(said)?;
        }
        Some(thread::spawn(move || fetch(with_odoo)))
    };

    let with_functions = !WITHOUT_FUNCTIONS.into_iter().any(has);
    let built = build(with_functions).status();
    let built = built.map_err(|error| cannot_start("cargo", &error))?;
    if !built.success() {
        return Err(String::new());
    }
    if let Some(fetching) = fetching {
        // A failure is met by the sandbox as well, which says it where it stops.
        let _ = fetching.join();
    }
    // In the place of this process, so that Ctrl-C goes to the sandbox alone.
    let program = target().join("debug/sandbox");
    let error = Command::new(&program).args(arguments).exec();
    Err(cannot_start(&program.display().to_string(), &error))
}

fn fetch(with_odoo: bool) {
    let progress = |text: &str| println!("    {text}");
    let _ = SAM.install(&progress);
    let _ = MINISTACK.install(&progress);
    if with_odoo {
        let _ = ODOO.install(&progress);
    }
}

fn said(error: impl fmt::Display) -> String {
    error.to_string()
}

fn cannot_start(program: &str, error: &io::Error) -> String {
    format!("{program} cannot be started: {error}")
}
