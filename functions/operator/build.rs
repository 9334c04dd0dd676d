//! Finds out which commit is built, for `status`. `BUILD_COMMIT` says it where it is set. Otherwise Git does, in a release build
//! only: a developer who commits would otherwise wait for the tests to be compiled again, since they link this library.

#![allow(clippy::print_stdout, reason = "Cargo reads it")]

#[path = "build/commit.rs"]
mod commit;

use std::{env, path::Path};

/// What says it, for a build in which Git cannot, such as one from an archive.
const GIVEN: &str = "BUILD_COMMIT";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-env-changed={GIVEN}");
    let given = env::var(GIVEN).ok();
    let mut commit = given.filter(|given| is_commit(given));
    if commit.is_none() && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        let sources = Path::new(".");
        commit = commit::commit(sources);
        for path in commit::watched(sources) {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    if let Some(commit) = commit {
        println!("cargo:rustc-env=OPERATOR_COMMIT={commit}");
    }
}

/// A word: anything else would be a line of its own to Cargo, or no id.
fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric())
}
