//! The documents: every link has its target, and every command and request that they show is accepted.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use clap::Parser as _;
use tests::{
    documents::{Document, documents, root},
    sandbox,
};

/// A newcomer reads no more before the first command.
const LONGEST_README: usize = 200;

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// The targets of its links, without those of other sites.
fn links(document: &Document) -> Vec<String> {
    let lines: Vec<&str> = document.lines_outside_code().collect();
    let text = lines.join("\n");
    let links = text.split("](").skip(1);
    let links = links.map(|rest| rest.split(')').next().unwrap().to_owned());
    links
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents().unwrap();
    let anchors: BTreeMap<&Path, BTreeSet<String>> = documents
        .iter()
        .map(|document| (document.path.as_path(), document.anchors().collect()))
        .collect();
    let mut wrong = Vec::new();
    let mut followed = 0;
    for document in &documents {
        for link in links(document) {
            let (file, anchor) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let path = match file {
                "" => document.path.clone(),
                file => plain(&document.path.parent().unwrap().join(file)),
            };
            let has_anchor = || {
                anchors
                    .get(path.as_path())
                    .is_some_and(|all| all.contains(anchor))
            };
            if !root().join(&path).exists() || !anchor.is_empty() && !has_anchor() {
                wrong.push(format!("{}: {link}", document.path.display()));
            }
            followed += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(followed > 40, "{followed}");
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().count();
    assert!(lines <= LONGEST_README, "{lines} lines");
}

/// Names of targets in a folder of the tests: files, and folders with a `main.rs`.
fn targets(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("tests").join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let names = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

/// Targets of tests and benchmarks, flags of the sandbox: each of them exists.
#[test]
fn every_command_of_cargo_is_taken() {
    let (tests, benches) = (targets("tests"), targets("benches"));
    let mut wrong = Vec::new();
    let mut tried = 0;
    for document in documents().unwrap() {
        for command in document.commands() {
            let words: Vec<&str> = command.split_whitespace().collect();
            let Some(at) = words.iter().position(|word| *word == "cargo") else {
                continue;
            };
            let words = &words[at..];
            let after = |flag: &str| {
                let place = words.iter().position(|word| *word == flag);
                place.and_then(|place| words.get(place + 1).copied())
            };
            let is_taken = match words.get(1) {
                Some(&"sandbox") => sandbox::Options::try_parse_from(&words[1..]).is_ok(),
                Some(&"test") => after("--test").is_none_or(|name| tests.contains(name)),
                Some(&"bench") => after("--bench").is_none_or(|name| benches.contains(name)),
                _ => continue,
            };
            tried += 1;
            if !is_taken {
                wrong.push(format!("{}: {command}", document.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 20, "{tried}");
}
