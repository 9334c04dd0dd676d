//! The functions' binaries.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use sandbox_tools::variables_of_this_package;

/// The packages of the functions; each binary has its package's name.
pub const FUNCTIONS: [&str; 7] = [
    "receive-events",
    "change-events",
    "submit-imports",
    "poll-jobs",
    "erp-full-pass",
    "operator",
    "console",
];

/// With what the binaries are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As Cargo built this program, which is the test target of this name: with its profile and into its directory. The
    /// features of dependencies are the workspace's, development dependencies included, so that next to `cargo test`
    /// nothing but the binaries themselves is left to do.
    LikeTest(&'static str),
    /// The release profile, with the features that a deployment has.
    Release,
}

/// Builds the binaries of packages with Cargo, which waits for others that build into the same directory; where they are.
///
/// # Errors
/// When Cargo cannot be started, or the build fails; Cargo says why on standard error.
pub fn build(packages: &[&str], how: Build) -> io::Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| env!("CARGO").to_owned());
    let mut build = Command::new(cargo);
    build.args([
        "build",
        "--locked",
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        build.args(["--bin", package]);
    }
    match how {
        Build::Release => {
            build.arg("--release");
            for package in packages {
                build.args(["--package", package]);
            }
        }
        Build::LikeTest(test) => {
            // Cargo heeds development dependencies where a target is named that needs them; this one is built already.
            build.args(["--workspace", "--test", test]);
            build.args(of_this_program(&std::env::current_exe()?));
        }
    }
    for name in variables_of_this_package() {
        build.env_remove(name);
    }
    let output = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "the functions could not be built: {}",
            output.status
        )));
    }
    directory(&String::from_utf8_lossy(&output.stdout), packages)
        .ok_or_else(|| io::Error::other("Cargo named no binary"))
}

/// The arguments with which Cargo builds to where this program is: `{target}/[{triple}/]{profile}/deps/{program}`.
fn of_this_program(program: &Path) -> Vec<String> {
    /// Cargo puts it into every directory that it builds into, also into that of a triple.
    const TAG: &str = "CACHEDIR.TAG";
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let mut directories = program.ancestors().skip(2);
    let profile = match directories.next().map(name).unwrap_or_default().as_str() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    };
    let mut arguments = vec!["--profile".to_owned(), profile];
    if let Some(root) = directories.next() {
        let target = match root.parent().filter(|outer| outer.join(TAG).exists()) {
            Some(outer) => {
                arguments.extend(["--target".to_owned(), name(root)]);
                outer
            }
            None => root,
        };
        arguments.extend(["--target-dir".to_owned(), target.display().to_string()]);
    }
    arguments
}

/// The paths of the binaries in Cargo's messages.
fn directory(messages: &str, packages: &[&str]) -> Option<PathBuf> {
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    messages.find_map(|message: Value| {
        if !packages.contains(&message["target"]["name"].as_str()?) {
            return None;
        }
        let executable = PathBuf::from(message["executable"].as_str()?);
        executable.parent().map(Path::to_owned)
    })
}
