//! Identity as a table: every situation of a key against the table in `functions/change-events/README.md`, and the
//! first order against the pass.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use shared::{
    domain::{EntityKind, EntityRef, NorceId, Scope},
    matching::{
        Conflict, ErpCandidate, NorceCandidate, Owner, RecordVerdict, SharedEmail, Standing,
        Verdict, by_code, by_key, of_record,
    },
};

const README: &str = include_str!("../../functions/change-events/README.md");

fn id(number: i64) -> NorceId {
    NorceId::try_from(number).unwrap()
}

fn entity(kind: EntityKind, number: i64) -> EntityRef {
    EntityRef {
        kind,
        scope: Scope::Client,
        id: id(number),
    }
}

/// What a record of the ERP can be to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Nobodys,
    NobodysBlocked,
    Others,
    OthersBlocked,
    Forgotten,
    AnotherKind,
    Own,
    Made,
}

const RECORDS: [Record; 8] = [
    Record::Nobodys,
    Record::NobodysBlocked,
    Record::Others,
    Record::OthersBlocked,
    Record::Forgotten,
    Record::AnotherKind,
    Record::Own,
    Record::Made,
];

const STANDINGS: [Standing; 6] = [
    Standing::Free,
    Standing::Creating,
    Standing::HasRecord,
    Standing::HasOtherCode,
    Standing::Inactive,
    Standing::Forgotten,
];

impl Record {
    fn candidate(self, kind: EntityKind, place: usize) -> ErpCandidate {
        ErpCandidate {
            code: format!("C{place}").parse().unwrap(),
            owner: match self {
                Self::Nobodys | Self::NobodysBlocked | Self::AnotherKind | Self::Made => {
                    Owner::Nobody
                }
                Self::Others | Self::OthersBlocked => Owner::Entity(entity(kind, 99)),
                Self::Forgotten => Owner::Forgotten,
                Self::Own => Owner::Entity(entity(kind, 1)),
            },
            blocked: matches!(self, Self::NobodysBlocked | Self::OthersBlocked),
            fits: self != Self::AnotherKind,
            made: self == Self::Made,
        }
    }
}

/// All lists of up to so many of these, in any order.
fn lists<T: Copy>(of: &[T], most: usize) -> Vec<Vec<T>> {
    let mut lists = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..most {
        longest = longest
            .iter()
            .flat_map(|list: &Vec<T>| {
                of.iter().map(move |one| {
                    let mut list = list.clone();
                    list.push(*one);
                    list
                })
            })
            .collect();
        lists.extend(longest.clone());
    }
    lists
}

/// The rows of the README's table: the cells of each.
fn rows() -> Vec<[String; 3]> {
    let (_, section) = README.split_once("## Who is who").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        let cells: Vec<String> = cells.map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().unwrap()
    })
    .collect()
}

/// Whether a row of the README is about this situation.
fn applies(row: &[String; 3], others: &[Standing], records: &[Record]) -> bool {
    let counts = |other: &&Standing| !matches!(other, Standing::Inactive | Standing::Forgotten);
    let has_others = others.iter().any(|other| counts(&other));
    let of_others = match row[0].as_str() {
        "any" => true,
        "none" => !has_others,
        "some" => has_others,
        "some, one of which is being created" => others.contains(&Standing::Creating),
        other => panic!("{other}"),
    };
    let live: Vec<&Record> = records
        .iter()
        .filter(|record| !matches!(record, Record::Forgotten | Record::AnotherKind))
        .collect();
    let made = live
        .iter()
        .filter(|record| ***record == Record::Made)
        .count();
    let is_own = live.iter().any(|record| **record == Record::Own) || made == 1;
    let nobodys = live.iter().filter(|record| {
        matches!(
            record,
            Record::Nobodys | Record::NobodysBlocked | Record::Made
        )
    });
    let nobodys = nobodys.count();
    let of_records = match row[1].as_str() {
        "its own" => is_own,
        "some, which are nobody's" => nobodys > 0,
        "none" => live.is_empty() && !records.contains(&Record::Forgotten),
        "of forgotten customers only" => live.is_empty() && records.contains(&Record::Forgotten),
        "others' only" => !live.is_empty() && nobodys == 0,
        "one, which is nobody's" => live == [&Record::Nobodys],
        "one, which is nobody's and blocked" => live == [&Record::NobodysBlocked],
        "several, of which some are nobody's" => live.len() > 1 && nobodys > 0,
        other => panic!("{other}"),
    };
    of_others && of_records
}

fn in_words(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Create => "a new record",
        Verdict::Match(_) => "a match",
        Verdict::Conflict(_) => "a conflict",
        Verdict::Wait => "it waits for the end of that create",
    }
}

/// What a row says, under a setting of `SharedEmail`.
fn says(row: &[String; 3], kind: EntityKind, shared: SharedEmail) -> &str {
    let (first, exception) = row[2].split_once("; with ").unwrap_or((&row[2], ""));
    let setting = format!("`SharedEmail={}` ", shared.as_str());
    match exception.strip_prefix(&setting) {
        Some(then) if kind == EntityKind::Customer => then,
        _ => first,
    }
}

#[test]
fn every_situation_of_a_key_is_decided_as_the_readme_says() {
    let rows = rows();
    assert_eq!(rows.len(), 9);
    let mut used = vec![0; rows.len()];
    for kind in [EntityKind::Customer, EntityKind::Company] {
        for shared in SharedEmail::ALL {
            for records in lists(&RECORDS, 3) {
                for others in lists(&STANDINGS, 2) {
                    let candidates: Vec<ErpCandidate> = records
                        .iter()
                        .enumerate()
                        .map(|(place, record)| record.candidate(kind, place))
                        .collect();
                    let other_entities: Vec<NorceCandidate> = others
                        .iter()
                        .zip(2..)
                        .map(|(standing, number)| NorceCandidate {
                            id: id(number),
                            standing: *standing,
                        })
                        .collect();
                    let verdict = by_key(entity(kind, 1), &candidates, &other_entities, shared);
                    let case = format!("{kind} {shared:?} {records:?} {others:?}: {verdict:?}");
                    let mut about = rows
                        .iter()
                        .enumerate()
                        .filter(|(_, row)| applies(row, &others, &records));
                    let (place, row) = about.next().expect(&case);
                    used[place] += 1;
                    assert_eq!(in_words(&verdict), says(row, kind, shared), "{case}");
                    // Whatever is decided, nobody gets what is another's.
                    if let Verdict::Match(place) = verdict {
                        assert!(
                            matches!(records[place], Record::Nobodys | Record::Own | Record::Made),
                            "{case}"
                        );
                    }
                }
            }
        }
    }
    assert!(used.iter().all(|times| *times > 0), "{used:?}");
}

/// A pass looks from the record's side. It binds nothing that a first order would not.
#[test]
fn p15_a_pass_matches_only_what_every_first_order_would() {
    let records = [
        Record::Nobodys,
        Record::NobodysBlocked,
        Record::Others,
        Record::Forgotten,
        Record::AnotherKind,
    ];
    let mut matched = 0;
    for kind in [EntityKind::Customer, EntityKind::Company] {
        for shared in SharedEmail::ALL {
            for record in [Record::Nobodys, Record::NobodysBlocked] {
                for other_records in lists(&records, 2) {
                    for standings in lists(&STANDINGS, 3) {
                        let candidate = record.candidate(kind, 0);
                        let rivals: Vec<ErpCandidate> = other_records
                            .iter()
                            .zip(1..)
                            .map(|(record, place)| record.candidate(kind, place))
                            .collect();
                        let entities: Vec<NorceCandidate> = standings
                            .iter()
                            .zip(1..)
                            .map(|(standing, number)| NorceCandidate {
                                id: id(number),
                                standing: *standing,
                            })
                            .collect();
                        let scope = Scope::Client;
                        let verdict =
                            of_record(kind, scope, &candidate, &entities, &rivals, shared);
                        let RecordVerdict::Match(chosen) = verdict else {
                            continue;
                        };
                        matched += 1;
                        let all: Vec<ErpCandidate> =
                            [&candidate].into_iter().chain(&rivals).cloned().collect();
                        for NorceCandidate { id, .. } in entities.iter().filter(|entity| {
                            matches!(entity.standing, Standing::Free | Standing::Creating)
                        }) {
                            let others: Vec<NorceCandidate> = entities
                                .iter()
                                .filter(|other| other.id != *id)
                                .copied()
                                .collect();
                            let entity = EntityRef {
                                kind,
                                scope,
                                id: *id,
                            };
                            let first_order = by_key(entity, &all, &others, shared);
                            assert_eq!(first_order, Verdict::Match(0), "{standings:?}");
                            assert_eq!(chosen, *id, "{standings:?}");
                        }
                    }
                }
            }
        }
    }
    assert!(matched > 0);
}

#[test]
fn a_code_leads_to_the_one_record_that_is_nobody_else_s() {
    let code = "C0".parse().unwrap();
    for kind in [EntityKind::Customer, EntityKind::Company] {
        for records in lists(&RECORDS, 2) {
            let candidates: Vec<ErpCandidate> = records
                .iter()
                .map(|record| record.candidate(kind, 0))
                .collect();
            let verdict = by_code(entity(kind, 1), &code, &candidates);
            let is_right = match (records.as_slice(), &verdict) {
                ([], Verdict::Conflict(Conflict::UnknownCode { .. })) => true,
                ([_, _], Verdict::Conflict(Conflict::SeveralRecordsWithCode { .. })) => true,
                ([Record::Forgotten], Verdict::Conflict(Conflict::CodeOfForgotten { .. })) => true,
                ([Record::AnotherKind], Verdict::Conflict(Conflict::CodeDoesNotFit { .. })) => true,
                (
                    [Record::Others | Record::OthersBlocked],
                    Verdict::Conflict(Conflict::CodeOfAnother { owner, .. }),
                ) => *owner == entity(kind, 99),
                // That the shop and the ERP agree on the code is a statement, also about a closed record.
                (
                    [Record::Nobodys | Record::NobodysBlocked | Record::Own | Record::Made],
                    Verdict::Match(0),
                ) => true,
                _ => false,
            };
            assert!(is_right, "{kind} {records:?}: {verdict:?}");
        }
    }
}
