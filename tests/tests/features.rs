//! Every crate has the same features whatever is built with it, so that no command compiles what another one has
//! compiled.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use sandbox_tools::{functions, variables_of_this_package, workspace};

/// The features of every crate that is compiled for what the arguments select.
fn features(arguments: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "tree", "--locked", "--prefix", "none", "--format", "{p}:{f}",
        ])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(arguments)
        .current_dir(workspace());
    for variable in variables_of_this_package() {
        cargo.env_remove(variable);
    }
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut features = BTreeMap::<String, BTreeSet<String>>::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (package, of_it) = line.split_once(':').unwrap();
        let of_it = of_it.trim_end_matches(" (*)").to_owned();
        features
            .entry(package.to_owned())
            .or_default()
            .insert(of_it);
    }
    features
}

/// What the one needs and the other has not compiled.
fn compiled_again(
    first: &BTreeMap<String, BTreeSet<String>>,
    then: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let differing = first.iter().filter_map(|(package, of_it)| {
        let then = then.get(package)?;
        (!of_it.is_subset(then)).then(|| format!("{package}: {of_it:?}, and {then:?}"))
    });
    differing.collect()
}

#[test]
fn sam_build_compiles_no_crate_for_one_function_that_it_has_compiled_for_another() {
    let functions = functions();
    assert!(functions.len() > 5, "{functions:?}");
    let mut together = vec!["--edges", "normal"];
    for function in &functions {
        together.extend(["--package", function]);
    }
    let together = features(&together);
    for function in &functions {
        let alone = features(&["--edges", "normal", "--package", function]);
        assert_eq!(compiled_again(&alone, &together), [""; 0], "{function}");
    }
}

#[test]
fn cargo_test_compiles_no_crate_that_cargo_sandbox_has_compiled() {
    let mut sandbox = vec!["--edges", "normal", "--package", "tests"];
    let functions = functions();
    for function in &functions {
        sandbox.extend(["--package", function]);
    }
    let sandbox = features(&sandbox);
    let started_by_cargo_run = features(&["--edges", "normal", "--package", "tests"]);
    assert_eq!(compiled_again(&started_by_cargo_run, &sandbox), [""; 0]);
    let tests = features(&["--edges", "normal,dev", "--workspace"]);
    assert_eq!(compiled_again(&sandbox, &tests), [""; 0]);
}
