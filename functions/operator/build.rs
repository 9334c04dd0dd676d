//! Determines the commit that is built, for `status`: `BUILD_COMMIT` if it is set, otherwise Git in a release build. In a debug
//! build, every commit would cause the tests, which link this library, to be compiled again.

#![allow(clippy::print_stdout, reason = "Cargo reads it")]

#[path = "build/commit.rs"]
mod commit;

use std::{env, path::Path};

/// The variable for a build without Git, such as one from an archive.
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

/// Whether a text is one word: anything else could be another instruction to Cargo.
fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric())
}
