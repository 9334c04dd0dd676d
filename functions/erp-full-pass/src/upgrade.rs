//! Passes in the middle that earlier versions have left, as `tests/tests/upgrade` keeps them: they are read, and there is
//! one in every place and with every action. A variant that is added does not compile until it stands here with the
//! version that brings it, and from that version on it needs a fixture (`tests/fixtures/README.md`).

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;
use shared::{
    domain::{EntityKind, Resource},
    passes::Run,
};

use crate::{
    action::{Action, What},
    run::{Part, Work},
};

#[derive(Deserialize)]
struct Middle {
    run: Run,
}

/// The works of all passes in the middle, with the versions that wrote them.
fn works() -> Vec<(String, Work)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut works = Vec::new();
    for version in fs::read_dir(fixtures).unwrap() {
        let version = version.unwrap();
        let Ok(files) = fs::read_dir(version.path().join("passes")) else {
            continue;
        };
        for file in files {
            let path = file.unwrap().path();
            if path.ends_with("plans.json") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let middles: Vec<Middle> = serde_json::from_str(&text).unwrap();
            for Middle { run } in middles {
                let work = serde_json::from_str(&run.work.unwrap())
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                works.push((version.file_name().into_string().unwrap(), work));
            }
        }
    }
    works
}

fn place(part: Part) -> (&'static str, &'static str) {
    match part {
        Part::Records {
            resource: Resource::Customer,
        } => ("0.1.0", "customers"),
        Part::Records {
            resource: Resource::Contact,
        } => ("0.1.0", "contacts"),
        Part::Owed => ("0.1.0", "owed"),
        Part::Changed {
            kind: EntityKind::Company,
        } => ("0.1.0", "changed companies"),
        Part::Changed {
            kind: EntityKind::Customer,
        } => ("0.1.0", "changed customers"),
        Part::Forgotten => ("0.1.0", "forgotten"),
        Part::Done => ("0.1.0", "done"),
    }
}

fn word(what: &What) -> (&'static str, &'static str) {
    match what {
        What::Bind => ("0.1.0", "bind"),
        What::Code => ("0.1.0", "code"),
        What::CodeAgain => ("0.1.0", "code again"),
        What::Rename { .. } => ("0.1.0", "rename"),
        What::Fields => ("0.1.0", "fields"),
        What::Insert => ("0.1.0", "insert"),
    }
}

fn name(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Tell(_) => ("0.1.0", "tell"),
        Action::Wait { .. } => ("0.1.0", "wait"),
        Action::Owe { .. } => ("0.1.0", "owe"),
        Action::Resolve { .. } => ("0.1.0", "resolve"),
        Action::Look { .. } => ("0.1.0", "look"),
    }
}

/// What every version has had since 0.1.0, and, with their versions, what has come since. The three functions above name
/// each.
const ALL: [(&str, &str); 25] = [
    ("0.1.0", "customers"),
    ("0.1.0", "contacts"),
    ("0.1.0", "owed"),
    ("0.1.0", "changed companies"),
    ("0.1.0", "changed customers"),
    ("0.1.0", "forgotten"),
    ("0.1.0", "done"),
    ("0.1.0", "tell"),
    ("0.1.0", "wait"),
    ("0.1.0", "owe"),
    ("0.1.0", "resolve"),
    ("0.1.0", "look"),
    ("0.1.0", "bind"),
    ("0.1.0", "code"),
    ("0.1.0", "code again"),
    ("0.1.0", "rename"),
    ("0.1.0", "fields"),
    ("0.1.0", "insert"),
    // Fields that need not be there.
    ("0.1.0", "cursor"),
    ("0.1.0", "after"),
    ("0.1.0", "pending"),
    ("0.1.0", "still owed"),
    ("0.1.0", "company"),
    ("0.1.0", "waits for"),
    ("0.1.0", "fingerprint"),
];

#[test]
fn there_is_a_pass_of_an_earlier_version_in_every_place_and_with_every_action() {
    let mut there = BTreeSet::new();
    for (_, work) in works() {
        there.insert(place(work.part));
        let fields = [
            ("cursor", work.cursor.is_some()),
            ("after", work.after.is_some()),
            ("pending", !work.pending.is_empty()),
            ("still owed", work.owed.is_some_and(|owed| !owed.is_empty())),
        ];
        there.extend(fields.iter().filter(|it| it.1).map(|it| ("0.1.0", it.0)));
        for action in &work.outbox {
            there.insert(name(action));
            if let Action::Tell(tell) | Action::Wait { tell, .. } = action {
                there.insert(word(&tell.what));
                let fields = [
                    ("company", tell.company.is_some()),
                    ("waits for", tell.waits_for.is_some()),
                    ("fingerprint", tell.fingerprint.is_some()),
                ];
                there.extend(fields.iter().filter(|it| it.1).map(|it| ("0.1.0", it.0)));
            }
        }
    }
    let version = |text: &str| -> Vec<u64> {
        let parts = text.split('.').map(|part| part.parse().unwrap());
        parts.collect()
    };
    let now = version(env!("CARGO_PKG_VERSION"));
    let wanted = ALL.into_iter().filter(|(since, _)| version(since) <= now);
    let missing: Vec<_> = wanted.filter(|it| !there.contains(it)).collect();
    assert!(missing.is_empty(), "no fixture: {missing:?}");
    // And the list is whole: what is there is on it.
    let unknown: Vec<_> = there.iter().filter(|it| !ALL.contains(it)).collect();
    assert!(unknown.is_empty(), "not on the list: {unknown:?}");
}
