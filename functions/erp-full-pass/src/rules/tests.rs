//! The rules as tables: what is known about a record, and what is decided.

use shared::{
    domain::Personal,
    erp::{CompanyKey, ErpFields, Unusable, UnusableRecord, company_hash},
    mappings::Reservation,
};

use super::*;
use crate::candidates::Rival;

/// What makes a case different from the usual one.
type Change<'a, T> = &'a dyn Fn(&mut T);

fn norce_id(id: i64) -> NorceId {
    id.try_into().unwrap()
}

fn key() -> FingerprintKey {
    FingerprintKey::new(b"key of the rules")
}

fn settings() -> PassSettings {
    PassSettings {
        import_unknown: true,
        ..PassSettings::default()
    }
}

fn now() -> DateTime<Utc> {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn erp_id(resource: Resource, id: &str) -> ErpId {
    ErpId {
        resource,
        id: id.to_owned(),
    }
}

/// A customer that is a person, with everything that Norce requires.
fn person() -> ErpRecord {
    ErpRecord {
        id: erp_id(Resource::Customer, "r1"),
        code: code("C1"),
        version: "1".to_owned(),
        modified: None,
        organisation: false,
        blocked: false,
        company: None,
        fields: ErpFields {
            name: Personal::parse("Anna Ek"),
            email: Personal::parse("anna@example.com"),
            price_lists: vec!["RETAIL".to_owned()],
            ..ErpFields::default()
        },
    }
}

fn contact() -> ErpRecord {
    ErpRecord {
        id: erp_id(Resource::Contact, "k1"),
        company: Some(CompanyKey("O1".to_owned())),
        ..person()
    }
}

fn entry_of(record: &ErpRecord, rules: &Rules<'_>) -> RecordEntry {
    RecordEntry {
        kind: record.entity_kind(),
        id: Some(norce_id(7)),
        code: record.code.clone(),
        erp_fingerprint: rules.changed(record, None).unwrap().0,
        confirmed: true,
        indexed: None,
    }
}

fn binding(record: &ErpRecord, delivery: CodeDelivery) -> Mapping {
    let (code, id) = (record.code.clone(), record.id.clone());
    Mapping::Bound(Binding::new(code, id, delivery))
}

fn confirmed() -> CodeDelivery {
    CodeDelivery::Confirmed { at: now() }
}

fn found(id: NorceId, keys: &ErpRecord) -> LookupHit {
    LookupHit {
        id,
        code: None,
        keys: keys.keys(keys.entity_kind()),
        registered: None,
        active: true,
        forgotten: false,
    }
}

fn rival(record: &ErpRecord, id: &str, code_of: &str, owner: Owner) -> Rival {
    Rival {
        id: erp_id(Resource::Customer, id),
        keys: record.keys(record.entity_kind()),
        candidate: ErpCandidate {
            code: code(code_of),
            owner,
            blocked: false,
            fits: true,
            made: false,
        },
    }
}

/// Runs a test with rules under which the ERP owns the code, the price lists and the relations.
fn with_rules(change: impl FnOnce(&mut PassSettings), test: impl FnOnce(&Rules<'_>)) {
    let mut settings = settings();
    change(&mut settings);
    let groups = [FieldGroup::PriceLists, FieldGroup::CompanyRelations];
    test(&Rules {
        scope: Scope::Client,
        settings: &settings,
        fingerprints: &key(),
        synced: FieldGroups::CODE.union(FieldGroups::of(&groups)).into(),
        code_case: CodeCase::Ignored,
        takes_new_records: true,
    });
}

/// A decision in a few words.
fn said(decision: &Decision) -> String {
    let of = |update: &NorceUpdate| {
        let id = update.id.map(|id| format!(" {id}")).unwrap_or_default();
        format!("{:?}{id}: {}", update.what, update.fields)
    };
    match decision {
        Decision::Unchanged => "unchanged".to_owned(),
        Decision::Defer => "deferred".to_owned(),
        Decision::Skip(skipped) => format!("skipped: {}", skipped.reason),
        Decision::Act(Action::Update(update)) => of(update),
        Decision::Act(Action::Wait { update, company }) => {
            format!("{company} first; {}", of(update))
        }
        Decision::Act(Action::Owe { reason, detail, .. }) => {
            format!("{}: {detail}", reason.as_str())
        }
        Decision::Act(other) => format!("{other:?}"),
    }
}

fn assert_says(case: &str, decision: &Decision, wanted: &str) {
    let said = said(decision);
    assert!(said.contains(wanted), "{case}: {said}, not {wanted}");
}

#[test]
fn the_mapping_of_a_record_decides_what_is_done_or_why_it_is_looked_up() {
    with_rules(
        |_| {},
        |rules| {
            let record = person();
            let entry = entry_of(&record, rules);
            let loose = ErpRecord {
                company: None,
                ..contact()
            };
            let other_lists = ErpRecord {
                fields: ErpFields {
                    price_lists: vec!["TRADE".to_owned()],
                    ..record.fields.clone()
                },
                ..record.clone()
            };
            let moved = ErpRecord {
                company: Some(CompanyKey("O2".to_owned())),
                ..contact()
            };
            let announced = RecordEntry {
                id: None,
                ..entry.clone()
            };
            let renamed = RecordEntry {
                code: code("C0"),
                ..entry.clone()
            };
            let open = RecordEntry {
                confirmed: false,
                ..entry.clone()
            };
            let of_contact = entry_of(&contact(), rules);
            #[rustfmt::skip]
            let cases = [
                ("nothing is known", &record, None, "Unknown"),
                ("a contact of nothing", &loose, None, "skipped: a contact of no organisation"),
                ("announced as an insert", &record, Some(&announced), "Unknown"),
                ("another code", &record, Some(&renamed), "Renamed"),
                ("never confirmed", &record, Some(&open), "Unconfirmed"),
                ("as it was", &record, Some(&entry), "unchanged"),
                ("other price lists", &other_lists, Some(&entry), "Fields 7: price-lists"),
                ("another organisation", &moved, Some(&of_contact), "Unconfirmed"),
            ];
            for (case, record, entry, wanted) in cases {
                let said = match rules.first_pass(record, entry).unwrap() {
                    FirstPass::Decided(decision) => said(&decision),
                    FirstPass::LookUp(reason) => format!("{reason:?}"),
                };
                assert_eq!(said, wanted, "{case}");
            }
        },
    );
}

#[test]
fn a_bound_record_is_corrected_and_never_against_another_code() {
    let overdue = CodeDelivery::HandedOver {
        at: now() - HAND_OVER_AGAIN_AFTER,
    };
    let under_way = CodeDelivery::HandedOver {
        at: now() - HAND_OVER_AGAIN_AFTER + TimeDelta::seconds(1),
    };
    let refused = CodeDelivery::Refused { at: now() };
    let reserved = Mapping::Reserved(Reservation {
        token: uuid::Uuid::nil(),
        since: now(),
        until: now(),
        natural_key: None,
    });
    let record = person();
    let bound = |delivery| Some(binding(&record, delivery));
    let former = |delivery| {
        let Some(Mapping::Bound(mut binding)) = bound(delivery) else {
            panic!("bound")
        };
        binding.former_code = Some(code("C00"));
        Some(Mapping::Bound(binding))
    };
    let all = FieldGroups::of(&[FieldGroup::Code, FieldGroup::PriceLists]);
    #[rustfmt::skip]
    let cases = [
        ("confirmed", "C1", all, bound(confirmed()), None, "unchanged"),
        ("still under way", "C1", all, bound(under_way), None, "unchanged"),
        ("overdue", "C1", all, bound(overdue), None, "CodeAgain 7: code"),
        ("refused", "C1", all, bound(refused), None, "CodeAgain 7: code"),
        ("not handed over", "C1", all, bound(CodeDelivery::Pending), None, "CodeAgain 7: code"),
        ("forgotten", "C1", all, Some(Mapping::Forgotten), None, "skipped: forgotten in Norce"),
        ("unbound", "C1", all, None, None, "conflict: its mapping to"),
        ("reserved", "C1", all, Some(reserved), None, "conflict: its mapping to"),
        ("renamed, Norce has none", "C0", all, bound(confirmed()), None, "Rename"),
        ("renamed, Norce has the former", "C0", all, bound(confirmed()), Some("C0"), "Rename"),
        ("renamed, Norce has the new one", "C0", all, bound(confirmed()), Some("C1"), "Rename"),
        ("renamed, Norce has the former in other letters", "C0", all, bound(confirmed()), Some("c0"), "Rename"),
        ("renamed twice", "C0", all, former(confirmed()), Some("C00"), "Rename"),
        ("renamed, Norce has a third", "C0", all, bound(confirmed()), Some("C9"), "conflict: the ERP renamed code C0 to C1, but Norce has another code for customer/client/7"),
        ("renamed, the shop owns codes", "C0", FieldGroups::NONE, bound(confirmed()), None, "conflict: the ERP renamed code C0 to C1, and the code is not among ERP_OWNED_FIELDS"),
    ];
    for (case, entry_code, owns, mapping, in_norce, wanted) in cases {
        with_rules(
            |settings| settings.erp_owns = owns.into(),
            |rules| {
                let entry = RecordEntry {
                    code: code(entry_code),
                    ..entry_of(&record, rules)
                };
                let pending = PendingRecord::new(record.clone(), Some(entry));
                let in_norce = in_norce.map(code);
                let decision = rules.bound(&pending, mapping.as_ref(), in_norce.as_ref(), now());
                assert_says(case, &decision.unwrap().unwrap(), wanted);
            },
        );
    }
}

#[test]
fn an_entity_with_the_code_of_a_record_is_bound_unless_it_is_another_ones() {
    with_rules(
        |_| {},
        |rules| {
            let record = person();
            let entity = rules.entity(EntityKind::Customer, norce_id(7));
            let other = ErpRecord {
                code: code("C5"),
                ..record.clone()
            };
            let gone: Change<'_, Facts> = &|facts: &mut Facts| {
                facts.gone.insert(entity, record.id.clone());
            };
            let usual: Change<'_, Facts> = &|_| {};
            let twice: Change<'_, Facts> = &|facts: &mut Facts| {
                facts.twice.insert(norce_id(7));
            };
            let bound = |record| Some(binding(record, confirmed()));
            #[rustfmt::skip]
            let cases = [
                ("nothing is known", None, usual, None),
                ("forgotten", Some(Mapping::Forgotten), usual, Some("skipped: forgotten in Norce")),
                ("bound to another record", bound(&record), usual, Some("conflict: its code C1 belongs to customer 7")),
                ("bound to another code", bound(&other), usual, Some("which is bound to code C5: correct the code in Norce")),
                ("bound to a record that is gone", bound(&other), gone, None),
                ("two records", None, twice, Some("and so does another record of the ERP")),
            ];
            for (case, mapping, change, wanted) in cases {
                let mut facts = Facts::default();
                let mappings = mapping.map(|mapping| (entity, mapping));
                facts.mappings.extend(mappings);
                change(&mut facts);
                let refused = rules.refused(&record, norce_id(7), &facts);
                assert_eq!(refused.is_some(), wanted.is_some(), "{case}");
                if let (Some(decision), Some(wanted)) = (refused, wanted) {
                    assert_says(case, &decision, wanted);
                }
            }
            let bound = rules
                .bind(UpdateKind::Bind, &record, &found(norce_id(7), &record))
                .unwrap();
            assert_says("bound", &bound, "Bind 7: price-lists");
        },
    );
}

#[test]
fn p15_what_others_have_as_well_is_an_obstacle_and_only_where_it_decides() {
    let record = person();
    let entity = found(norce_id(7), &record);
    let by_key = Hit::Keys(vec![&entity]);
    let by_code = Hit::Code(&entity);
    let email = record.keys(EntityKind::Customer).remove(0);
    let usual: Change<'_, Facts> = &|_| {};
    let twin: Change<'_, Facts> = &|facts: &mut Facts| {
        let holder = erp_id(Resource::Contact, "k9");
        facts.code_holders.push((code("C1"), holder));
    };
    let itself: Change<'_, Facts> =
        &|facts: &mut Facts| facts.code_holders.push((code("C1"), person().id));
    let crowded: Change<'_, Facts> = &|facts: &mut Facts| {
        facts.rivals.crowded.insert(email.clone());
    };
    let not_yet: Change<'_, Facts> = &|facts: &mut Facts| {
        facts
            .rivals
            .not_yet
            .insert(email.clone(), "not all is read".to_owned());
    };
    #[rustfmt::skip]
    let cases = [
        ("nothing", &by_key, true, usual, None),
        ("its own code", &by_code, true, itself, None),
        ("another's code", &by_code, true, twin, Some("conflict: its code C1 is also that of another record")),
        ("crowded", &by_key, true, crowded, Some("conflict: more than")),
        ("crowded, but bound by its code", &by_code, true, crowded, None),
        ("crowded, and to be inserted", &Hit::Nobody, true, crowded, Some("conflict: more than")),
        ("crowded, and to be skipped", &Hit::Nobody, false, crowded, None),
        ("not known yet", &by_key, true, not_yet, Some("missing-prerequisite: not all is read")),
        ("not known yet, but bound by its code", &by_code, true, not_yet, None),
        ("not known yet, and to be skipped", &Hit::Nobody, false, not_yet, None),
    ];
    for (case, hit, import_unknown, change, wanted) in cases {
        with_rules(
            |settings| settings.import_unknown = import_unknown,
            |rules| {
                let mut facts = Facts::default();
                change(&mut facts);
                let obstacle = rules.obstacle(&record, hit, &facts);
                assert_eq!(obstacle.is_some(), wanted.is_some(), "{case}");
                if let (Some(decision), Some(wanted)) = (obstacle, wanted) {
                    assert_says(case, &decision, wanted);
                }
            },
        );
    }
}

#[test]
fn a_shared_key_binds_the_one_entity_that_has_no_record() {
    let record = person();
    let free = found(norce_id(7), &record);
    let coded = LookupHit {
        code: Some(code("C8")),
        ..found(norce_id(8), &record)
    };
    let second = found(norce_id(9), &record);
    let own: Change<'_, PassSettings> = &|_: &mut PassSettings| {};
    let any: Change<'_, PassSettings> =
        &|settings: &mut PassSettings| settings.matching.erp_codes = ErpCodes::All;
    let known: Change<'_, PassSettings> =
        &|settings: &mut PassSettings| settings.matching.erp_codes = ErpCodes::Known;
    #[rustfmt::skip]
    let cases = [
        ("one", own, vec![&free], false, "Code 7: code,price-lists"),
        ("two", own, vec![&free, &second], false, "conflict: "),
        ("one that has a record", known, vec![&coded], true, "skipped: not in Norce, where others"),
        ("one with a code that is no record's", known, vec![&coded], false, "Code 8: code,price-lists"),
        ("one with a code that may be a record's", any, vec![&coded], false, "conflict: "),
    ];
    for (case, change, entities, in_erp, wanted) in cases {
        with_rules(
            |settings| {
                settings.import_unknown = false;
                change(settings);
            },
            |rules| {
                let facts = Facts::default();
                let unsettled = rules.unsettled_codes(&record, &entities, &facts.rivals);
                let in_erp: HashSet<&Code> = unsettled.into_iter().filter(|_| in_erp).collect();
                let decision = rules
                    .by_key(&record, &entities, &facts, &in_erp, now())
                    .unwrap();
                assert_says(case, &decision, wanted);
            },
        );
    }
}

#[test]
fn a_record_that_norce_does_not_have_is_inserted_only_when_it_can_be() {
    let record = person();
    let blocked = ErpRecord {
        blocked: true,
        ..record.clone()
    };
    let without_email = ErpRecord {
        fields: ErpFields {
            email: None,
            ..record.fields.clone()
        },
        ..record.clone()
    };
    let rivals = |owner| Rivals {
        records: vec![rival(&record, "r2", "C2", owner)],
        ..Rivals::default()
    };
    let nobody = Rivals::default;
    #[rustfmt::skip]
    let cases = [
        ("complete", &record, true, true, nobody(), "Insert: code,price-lists"),
        ("not wanted", &record, false, true, nobody(), "skipped: not in Norce"),
        ("blocked", &blocked, true, true, nobody(), "skipped: not in Norce, and blocked in the ERP"),
        ("no scope of its own", &record, true, false, nobody(), "skipped: not in Norce, and whether it belongs"),
        ("without an e-mail address", &without_email, true, true, nobody(), "skipped: not in Norce, and lacks what Norce requires"),
        ("one of two", &record, true, true, rivals(Owner::Nobody), "conflict: another record of the ERP (C2)"),
        ("the other is forgotten", &record, true, true, rivals(Owner::Forgotten), "Insert: code,price-lists"),
        ("one of two, not wanted", &record, false, true, rivals(Owner::Nobody), "skipped: not in Norce"),
    ];
    for (case, record, import_unknown, takes, rivals, wanted) in cases {
        with_rules(
            |settings| settings.import_unknown = import_unknown,
            |rules| {
                let rules = Rules {
                    takes_new_records: takes,
                    fingerprints: rules.fingerprints,
                    settings: rules.settings,
                    ..*rules
                };
                let decision = rules.new_in_norce(record, &rivals).unwrap();
                assert_says(case, &decision, wanted);
            },
        );
    }
}

#[test]
fn a_contact_is_related_to_its_company_or_waits_for_it_and_the_rest_does_not() {
    with_rules(
        |_| {},
        |rules| {
            let record = contact();
            let company = erp_id(Resource::Customer, "o1");
            let all = FieldGroups::of(&[FieldGroup::PriceLists, FieldGroup::CompanyRelations]);
            let relation = RELATIONS;
            let not_there = || Organisation::NotInNorce(company.clone());
            #[rustfmt::skip]
            let cases = [
                ("it is there", UpdateKind::Fields, Some(norce_id(7)), all, Organisation::InNorce(norce_id(21)), "Fields 7: price-lists,company-relations", false),
                ("the ERP ended it", UpdateKind::Fields, Some(norce_id(7)), all, Organisation::None, "Fields 7: price-lists", false),
                ("it is no customer", UpdateKind::Fields, Some(norce_id(7)), all, Organisation::Unknown, "conflict: the customer of its organisation", false),
                ("an insert", UpdateKind::Insert, None, all, not_there(), "first; Insert: price-lists,company-relations", false),
                ("other fields", UpdateKind::Fields, Some(norce_id(7)), all, not_there(), "Fields 7: price-lists", true),
                ("nothing else", UpdateKind::Fields, Some(norce_id(7)), relation, not_there(), "first; Fields 7: ", false),
                ("a first binding", UpdateKind::Bind, Some(norce_id(7)), relation, not_there(), "Bind 7: ", true),
            ];
            for (case, what, id, fields, organisation, wanted, waits) in cases {
                let update = norce_update(what, &record, id, (None, fields));
                let decision = rules
                    .relate(update, &record, None, organisation, vec![norce_id(5)])
                    .unwrap();
                assert_says(case, &decision, wanted);
                if let Decision::Act(Action::Update(update)) = decision {
                    assert_eq!(update.waits_for.is_some(), waits, "{case}");
                    assert_eq!(update.former_companies, [norce_id(5)], "{case}");
                }
            }
            // What Norce has of the relation stays in the fingerprint until it has the new one.
            let former = company_hash(&CompanyKey("O0".to_owned()), rules.fingerprints).unwrap();
            let sent = Fingerprint::from(format!("company-relations:{former}@12"));
            let update = norce_update(UpdateKind::Fields, &record, Some(norce_id(7)), (None, all));
            let decision = rules
                .relate(update, &record, Some(&sent), not_there(), Vec::new())
                .unwrap();
            let Decision::Act(Action::Update(update)) = decision else {
                panic!("an update")
            };
            assert_eq!(
                sent_company(update.fingerprint.as_ref()),
                sent_company(Some(&sent))
            );
        },
    );
}

#[test]
fn a_first_binding_says_what_the_erp_keeps() {
    let record = person();
    let same = found(norce_id(7), &record);
    let other = ErpRecord {
        fields: ErpFields {
            email: Personal::parse("ek@example.com"),
            ..record.fields.clone()
        },
        ..record.clone()
    };
    let none = LookupHit {
        keys: Vec::new(),
        ..same.clone()
    };
    #[rustfmt::skip]
    let cases = [
        ("the same address", &same, false, Kept::Unnamed),
        ("another address", &found(norce_id(7), &other), false, Kept::Email),
        ("no address", &none, false, Kept::Unnamed),
        ("the shop's values are written", &found(norce_id(7), &other), true, Kept::Nothing),
    ];
    for (case, found, writes, kept) in cases {
        with_rules(
            |settings| settings.first_binding_writes.0.persons = writes,
            |rules| {
                let decision = rules.bind(UpdateKind::Code, &record, found).unwrap();
                let Decision::Act(Action::Update(update)) = decision else {
                    panic!("{case}")
                };
                assert_eq!(update.kept, kept, "{case}");
            },
        );
    }
}

#[test]
fn a_record_that_cannot_be_used_is_skipped_or_owed() {
    let id = || Some(person().id);
    let unreadable = || Unusable::Unreadable("field No is empty".to_owned());
    #[rustfmt::skip]
    let cases = [
        (Unusable::NoCode, id(), "skipped: no code in the ERP"),
        (unreadable(), None, "skipped: cannot be read, nor which one it is"),
        (unreadable(), id(), "remote-fault: the ERP's record cannot be read: field No is empty"),
    ];
    for (reason, id, wanted) in cases {
        assert_eq!(said(&unusable(None, UnusableRecord { id, reason })), wanted);
    }
    assert_eq!(said(&gone(None)), "skipped: gone from the ERP meanwhile");
}
