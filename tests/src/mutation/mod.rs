//! Mutation testing: small changes to the product, one at a time, each followed by the suites that can notice it. A
//! change that survives is behaviour that no test covers.
//!
//! [cargo-mutants](https://mutants.rs) makes the changes, in a copy of the workspace that is kept under `target`, so that
//! the second run compiles little.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal"
)]

mod suites;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use fastrand::Rng;
use serde::Deserialize;
use thiserror::Error;

/// The version of cargo-mutants that is installed: another one may make other mutants of the same seed.
const VERSION: &str = "27.1.0";
/// How long a mutant may take to build, in seconds: the first of a run builds everything.
const BUILD_SECONDS: u32 = 1_800;
/// How long its tests may take, in seconds, before it counts as noticed: they take less than two minutes.
const TEST_SECONDS: u32 = 300;

/// What can be asked of it.
#[derive(Debug, clap::Parser)]
#[command(
    name = "cargo mutate",
    about = "Changes the product and says which changes no test notices",
    long_about = "Changes the product in a copy of the workspace, one small change at a time, runs the suites that can \
                  notice it, and lists what survives. Give the files that you have \
                  changed, or a sample of all files by its seed."
)]
pub struct Options {
    /// Files of the product, such as shared/src/breakers/guard.rs
    #[arg(required_unless_present = "sample")]
    files: Vec<String>,
    /// So many mutants, drawn at random; of the files, or of the whole product where none are given
    #[arg(long, value_name = "NUMBER")]
    sample: Option<usize>,
    /// Makes the same sample again
    #[arg(long, requires = "sample", value_name = "NUMBER")]
    seed: Option<u64>,
    /// Says which mutants and suites it would be, and tests none
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Error)]
enum MutationError {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{0} failed; its output is above")]
    Step(String),
    #[error("cargo-mutants answers something else than expected: {0}")]
    Unexpected(String),
    #[error("there is nothing to change in {0}. The paths are those from the top of the workspace")]
    NoMutants(String),
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> MutationError {
    let what = what.into();
    move |source| MutationError::Io { what, source }
}

/// A change, as cargo-mutants lists it.
#[derive(Debug, Clone, Deserialize)]
struct Mutant {
    name: String,
    file: String,
    package: String,
}

/// What became of the mutants.
#[derive(Debug, Default)]
struct Results {
    noticed: usize,
    unbuildable: usize,
    survivors: Vec<String>,
}

/// Tests the mutants and says what survives. Fails only where they could not be tested: a survivor is a question and no
/// error.
pub fn run(options: &Options) -> ExitCode {
    match test(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn test(options: &Options) -> Result<(), MutationError> {
    let workspace = sandbox_tools::workspace();
    let directory = workspace.join("target/mutants");
    install(&directory)?;
    let mut mutants = list(&workspace, &directory, &options.files)?;
    if mutants.is_empty() {
        return Err(MutationError::NoMutants(options.files.join(", ")));
    }
    if let Some(sample) = options.sample {
        let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        Rng::with_seed(seed).shuffle(&mut mutants);
        mutants.truncate(sample);
        println!("{} mutants, of the seed {seed}", mutants.len());
    }
    let groups = by_suites(mutants);
    if options.list {
        for ((package, suites), mutants) in &groups {
            println!("{package} and {}:", suites.join(", "));
            for mutant in mutants {
                println!("  {}", mutant.name);
            }
        }
        return Ok(());
    }
    let copy = directory.join("workspace");
    copy_workspace(&workspace, &copy)?;
    let mut results = Results::default();
    for ((package, suites), mutants) in &groups {
        println!(
            "\n{package}, by its own tests and {}: {} mutants",
            suites.join(", "),
            mutants.len()
        );
        let run = test_group(&directory, &copy, package, suites, mutants)?;
        results.add(&run, mutants)?;
    }
    println!(
        "\n{} noticed, {} survive, {} cannot be built",
        results.noticed,
        results.survivors.len(),
        results.unbuildable
    );
    for survivor in &results.survivors {
        println!("  {survivor}");
    }
    Ok(())
}

/// Mutants by their package and suites: each group is a run of cargo-mutants.
fn by_suites(mutants: Vec<Mutant>) -> BTreeMap<(String, &'static [&'static str]), Vec<Mutant>> {
    let mut groups: BTreeMap<_, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutants {
        let suites = suites::of(&mutant.file);
        let group = groups.entry((mutant.package.clone(), suites)).or_default();
        group.push(mutant);
    }
    groups
}

fn succeeds(what: &str, command: &mut Command) -> Result<(), MutationError> {
    let status = command.status().map_err(io_error(what))?;
    if status.success() {
        Ok(())
    } else {
        Err(MutationError::Step(what.to_owned()))
    }
}

fn install(directory: &Path) -> Result<(), MutationError> {
    let installed = cargo_mutants(directory)
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION));
    if installed {
        return Ok(());
    }
    println!("installing cargo-mutants {VERSION}, once");
    let mut install = Command::new("cargo");
    install
        .args([
            "install",
            "--quiet",
            "--locked",
            "--force",
            "--version",
            VERSION,
            "--root",
        ])
        .arg(directory)
        .arg("cargo-mutants");
    succeeds("cargo install cargo-mutants", &mut install)
}

fn cargo_mutants(directory: &Path) -> Command {
    let mut command = Command::new(directory.join("bin/cargo-mutants"));
    command.arg("mutants");
    command
}

fn list(
    workspace: &Path,
    directory: &Path,
    files: &[String],
) -> Result<Vec<Mutant>, MutationError> {
    let mut command = cargo_mutants(directory);
    command.args(["--list", "--json", "--dir"]).arg(workspace);
    for file in files {
        command.args(["--file", file]);
    }
    let output = command
        .output()
        .map_err(io_error("cargo-mutants cannot be started"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(MutationError::Unexpected(said));
    }
    let mutants: Result<Vec<Mutant>, _> = serde_json::from_slice(&output.stdout);
    mutants.map_err(|error| MutationError::Unexpected(error.to_string()))
}

/// Brings the copy up to date: what is tracked, and what is new and not ignored. A file that is the same keeps its time,
/// so that nothing is compiled because of it.
fn copy_workspace(workspace: &Path, copy: &Path) -> Result<(), MutationError> {
    let wanted = files(workspace)?;
    for file in &wanted {
        let (from, to) = (workspace.join(file), copy.join(file));
        let Ok(content) = fs::read(&from) else {
            // Tracked, and deleted in the working tree.
            continue;
        };
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        let unwritable = || io_error(format!("{} cannot be written", to.display()));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(unwritable())?;
        }
        fs::copy(&from, &to).map_err(unwritable())?;
    }
    if copy.join(".git").exists() {
        for file in files(copy)? {
            if !wanted.contains(&file) || !workspace.join(&file).exists() {
                let _ = fs::remove_file(copy.join(file));
            }
        }
    } else {
        // For `.gitignore`, and so that no repository above is asked.
        succeeds(
            "git init",
            Command::new("git").args(["init", "--quiet"]).arg(copy),
        )?;
    }
    Ok(())
}

fn files(directory: &Path) -> Result<BTreeSet<String>, MutationError> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(directory)
        .output()
        .map_err(io_error("git cannot be started"))?;
    if !output.status.success() {
        return Err(MutationError::Step("git ls-files".to_owned()));
    }
    let files = output.stdout.split(|byte| *byte == 0);
    let files = files.filter(|file| !file.is_empty());
    Ok(files
        .map(|file| String::from_utf8_lossy(file).into_owned())
        .collect())
}

/// Tests the mutants of a group; returns where cargo-mutants has written what became of them.
fn test_group(
    directory: &Path,
    copy: &Path,
    package: &str,
    suites: &[&str],
    mutants: &[Mutant],
) -> Result<PathBuf, MutationError> {
    let output = directory
        .join("runs")
        .join(format!("{package}-{}", suites.join("-")));
    if output.exists() {
        fs::remove_dir_all(&output)
            .map_err(io_error(format!("{} cannot be removed", output.display())))?;
    }
    fs::create_dir_all(&output)
        .map_err(io_error(format!("{} cannot be made", output.display())))?;
    let mut command = cargo_mutants(directory);
    command
        .args(["--in-place", "--dir"])
        .arg(copy)
        .arg("--output")
        .arg(&output)
        .args(["--baseline", "skip", "--no-shuffle", "--colors", "never"])
        .args(["--build-timeout", &BUILD_SECONDS.to_string()])
        .args(["--timeout", &TEST_SECONDS.to_string()])
        .args(["--test-package", package, "--test-package", "tests"]);
    // Fields that are left out of a struct are changed whatever the expression says (27.1.0), so that the files are given, too.
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    for file in files {
        command.args(["--file", file]);
    }
    for mutant in mutants {
        command.args(["--re", &format!("^{}$", escaped(&mutant.name))]);
    }
    command.args(["--", "--lib"]);
    for suite in suites {
        command.args(["--test", suite]);
    }
    // Its exit code says that something survives, which is what is to be found out.
    command
        .status()
        .map_err(io_error("cargo-mutants cannot be started"))?;
    Ok(output.join("mutants.out"))
}

/// A text as a regular expression that matches it.
fn escaped(text: &str) -> String {
    // Not all punctuation: `\<` would be the beginning of a word.
    const SPECIAL: &str = r"\.+*?()|[]{}^$";
    let mut expression = String::with_capacity(text.len());
    for character in text.chars() {
        if SPECIAL.contains(character) {
            expression.push('\\');
        }
        expression.push(character);
    }
    expression
}

impl Results {
    /// Adds what became of those that were asked for.
    fn add(&mut self, run: &Path, asked: &[Mutant]) -> Result<(), MutationError> {
        let asked: BTreeSet<&str> = asked.iter().map(|mutant| mutant.name.as_str()).collect();
        let lines = |name: &str| -> Result<Vec<String>, MutationError> {
            let file = run.join(name);
            let text = fs::read_to_string(&file)
                .map_err(io_error(format!("{} cannot be read", file.display())))?;
            let lines = text.lines().filter(|line| asked.contains(line));
            Ok(lines.map(str::to_owned).collect())
        };
        self.noticed += lines("caught.txt")?.len() + lines("timeout.txt")?.len();
        self.unbuildable += lines("unviable.txt")?.len();
        self.survivors.extend(lines("missed.txt")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_by_itself_only() {
        assert_eq!(
            escaped("shared/src/a.rs:1:5: replace f -> Option<u8> with Some(0)"),
            r"shared/src/a\.rs:1:5: replace f -> Option<u8> with Some\(0\)"
        );
    }
}
