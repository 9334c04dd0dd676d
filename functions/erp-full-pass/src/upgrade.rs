//! Passes in the middle that earlier versions have left, as `tests/tests/upgrade` keeps them: they are read, and there is
//! one in every place and with every action. A variant that is added does not compile until it stands here with the
//! version that brings it, and from that version on it needs a fixture (`tests/fixtures/README.md`).

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;
use shared::{
    domain::{EntityKind, Resource},
    passes::Run,
};

use crate::{
    action::{Action, UpdateKind},
    checkpoint::{Checkpoint, Phase},
};

#[derive(Deserialize)]
struct Middle {
    run: Run,
}

/// The checkpoints of all passes in the middle, as they are stored.
fn stored() -> Vec<String> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut checkpoints = Vec::new();
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
            checkpoints.extend(middles.into_iter().map(|middle| middle.run.work.unwrap()));
        }
    }
    checkpoints
}

fn checkpoints() -> impl Iterator<Item = Checkpoint> {
    let read = |text: String| serde_json::from_str(&text).unwrap();
    stored().into_iter().map(read)
}

fn place(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::Records {
            resource: Resource::Customer,
        } => ("0.1.0", "customers"),
        Phase::Records {
            resource: Resource::Contact,
        } => ("0.1.0", "contacts"),
        Phase::Owed => ("0.1.0", "owed"),
        Phase::Changed {
            kind: EntityKind::Company,
        } => ("0.1.0", "changed companies"),
        Phase::Changed {
            kind: EntityKind::Customer,
        } => ("0.1.0", "changed customers"),
        Phase::Forgotten => ("0.1.0", "forgotten"),
        Phase::Done => ("0.1.0", "done"),
    }
}

fn word(what: &UpdateKind) -> (&'static str, &'static str) {
    match what {
        UpdateKind::Bind => ("0.1.0", "bind"),
        UpdateKind::Code => ("0.1.0", "code"),
        UpdateKind::CodeAgain => ("0.1.0", "code again"),
        UpdateKind::Rename { .. } => ("0.1.0", "rename"),
        UpdateKind::Fields => ("0.1.0", "fields"),
        UpdateKind::Insert => ("0.1.0", "insert"),
    }
}

fn name(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::Update(_) => ("0.1.0", "tell"),
        Action::Wait { .. } => ("0.1.0", "wait"),
        Action::Owe { .. } => ("0.1.0", "owe"),
        Action::Resolve { .. } => ("0.1.0", "resolve"),
        Action::Recheck { .. } => ("0.1.0", "look"),
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
    for checkpoint in checkpoints() {
        there.insert(place(checkpoint.phase));
        let fields = [
            ("cursor", checkpoint.cursor.is_some()),
            ("after", checkpoint.after.is_some()),
            ("pending", !checkpoint.pending.is_empty()),
            (
                "still owed",
                checkpoint.owed.is_some_and(|owed| !owed.is_empty()),
            ),
        ];
        there.extend(fields.iter().filter(|it| it.1).map(|it| ("0.1.0", it.0)));
        for action in &checkpoint.outbox {
            there.insert(name(action));
            if let Action::Update(update) | Action::Wait { update, .. } = action {
                there.insert(word(&update.what));
                let fields = [
                    ("company", update.company.is_some()),
                    ("waits for", update.waits_for.is_some()),
                    ("fingerprint", update.fingerprint.is_some()),
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

/// Whether everything in a value is in the other one under the same names.
fn is_within(former: &Value, now: &Value) -> bool {
    match (former, now) {
        (Value::Object(former), Value::Object(now)) => former.iter().all(|(name, value)| {
            let now = now.get(name);
            now.is_some_and(|now| is_within(value, now))
        }),
        (Value::Array(former), Value::Array(now)) => {
            let mut pairs = former.iter().zip(now);
            former.len() == now.len() && pairs.all(|(former, now)| is_within(former, now))
        }
        _ => former == now,
    }
}

#[test]
fn a_pass_is_recorded_under_the_names_that_earlier_versions_read() {
    for text in stored() {
        let former: Value = serde_json::from_str(&text).unwrap();
        let checkpoint: Checkpoint = serde_json::from_str(&text).unwrap();
        let now = serde_json::to_value(checkpoint).unwrap();
        assert!(is_within(&former, &now), "{former:#} became {now:#}");
    }
}
