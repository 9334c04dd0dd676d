//! A plan writes nothing, and the pass then does what the plan says (P10).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use erp_full_pass::{PassSettings, report::PlanLine};
use serde_json::{Value, json};
use shared::{
    domain::{FirstBindingWrites, ImportRequest, PartyField, PartyTypes, PassMode, PassRequest},
    mappings::{Mapping, Mappings},
    passes::Run,
};
use tests::{
    bundle::{Bundle, Options, company},
    business_central_simulator::CustomerRecord,
    norce_simulator::{Blank, CodeList, EventType, NewCompany, NewCustomer},
};
use uuid::Uuid;

use crate::{
    ended,
    fields::{contact_in_erp, organisation_in_erp},
    in_erp,
    listing::many_cases_whose_listing_starts_over,
    many_cases, owed, person, person_in_erp,
    refused_bindings::many_refusals,
    writes,
};

/// What a plan left.
struct Plan {
    run: Run,
    lines: Vec<PlanLine>,
    page: String,
}

/// A plan of a slow ERP starts over as often as it may, a minute at a time.
const LONGEST_PLAN: Duration = Duration::from_secs(3_600);

async fn plan(bundle: &Bundle) -> Plan {
    let request = PassRequest {
        mode: PassMode::Full,
        kind: None,
        application: None,
        dry_run: true,
    };
    let id: Uuid = bundle.start(&request).await[0];
    bundle.quiet_within(LONGEST_PLAN).await;
    let reports: BTreeMap<String, String> = bundle
        .reports
        .all()
        .into_iter()
        .filter_map(|(key, body)| {
            let name = key.strip_prefix(&format!("plans/{id}/"))?.to_owned();
            Some((name, String::from_utf8(body.to_vec()).unwrap()))
        })
        .collect();
    let lines = reports
        .iter()
        .filter(|(name, _)| name.starts_with("lines-"))
        .flat_map(|(_, text)| text.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    Plan {
        run: serde_json::from_str(&reports["summary.json"]).unwrap(),
        lines,
        page: reports["report.html"].clone(),
    }
}

/// Everything that a plan must not touch.
fn stored(bundle: &Bundle) -> (String, String, (usize, usize)) {
    (
        format!("{:?} {:?}", bundle.mappings, bundle.owed),
        format!("{:?}", bundle.passes),
        writes(bundle),
    )
}

#[tokio::test(start_paused = true)]
async fn p10_a_plan_writes_nothing_and_says_what_the_pass_then_does() {
    let bundle = Bundle::new(&Options::default());
    many_cases(&bundle).await;
    says_what_the_pass_does(&bundle).await;
}

#[tokio::test(start_paused = true)]
async fn p10_a_plan_says_what_becomes_of_bindings_that_the_mappings_refuse() {
    let bundle = Bundle::new(&Options::default());
    many_refusals(&bundle).await;
    says_what_the_pass_does(&bundle).await;
}

async fn says_what_the_pass_does(bundle: &Bundle) {
    let before = stored(bundle);
    let plan = plan(bundle).await;
    assert_eq!(before, stored(bundle));
    assert!(plan.page.contains("Nothing was written"));
    assert!(!plan.page.contains("@example") && !plan.page.contains("Anna"));
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run), &plan.run.counts);
    let of = |group: &str| plan.lines.iter().filter(|line| line.group == group).count() as u64;
    assert_eq!(of("code"), run.counts.codes);
    assert_eq!(of("bound"), run.counts.bound);
    assert_eq!(of("conflict"), run.counts.conflicts);
    assert_eq!(of("skipped"), run.counts.skipped.values().sum::<u64>());
    // Whoever reads it learns why, and gets no place to go on from.
    for line in &plan.lines {
        let says_why = ["conflict", "waiting", "skipped"].contains(&line.group.as_str());
        let reason = line.reason.as_deref();
        let replaces = reason.is_some_and(|reason| reason.starts_with("it takes the place of"));
        assert_eq!(reason.is_some(), says_why || replaces, "{line:?}");
    }
    assert_eq!(plan.run.work, None);
    // Line by line: every code that was promised is there.
    for line in plan.lines.iter().filter(|line| line.group == "code") {
        let id = line.norce_id.unwrap();
        let code = line.code.as_ref().map(ToString::to_string);
        assert_eq!(bundle.customer_code(id.get().into()), code);
    }
}

/// The ERP keeps its values at a first binding (E10), and a plan says so by the names of the fields, as far as a pass has both
/// sides; what it names is what `explain` lists then.
#[tokio::test(start_paused = true)]
async fn e10_a_plan_says_which_fields_of_a_first_binding_the_erp_keeps() {
    let persons = FirstBindingWrites(PartyTypes {
        persons: true,
        ..PartyTypes::default()
    });
    for first_binding_writes in [FirstBindingWrites::default(), persons] {
        let bundle = Bundle::new(&Options {
            first_binding_writes,
            extended_erp: true,
            ..Options::default()
        });
        // Nothing but the pass binds anybody.
        bundle.unsubscribe();
        // By the key, which both sides have; by the code, with the same key and with another one or none.
        let [by_key, same, other, none] = [1, 2, 3, 4].map(|who| person_in_erp(&bundle, who));
        bundle.norce.add_customer(person(1));
        for (record, email) in [
            (&same, Some("anna.2@example.com")),
            (&other, Some("anna.33@example.com")),
            (&none, None),
        ] {
            bundle.norce.add_customer(NewCustomer {
                code: Some(record.number.clone()),
                email: email.map(str::to_owned),
                ..person(5)
            });
        }
        let firm = in_erp(
            &bundle,
            &json!({"displayName": "Bolaget AB", "type": "Company", "country": "SE", "email": "b@example.com",
                "registrationNumber": "556036-0793"}),
        );
        bundle.norce.add_company(NewCompany {
            code: Some(firm.number.clone()),
            name: Some("Bolaget".to_owned()),
            email: Some("bolaget@example.com".to_owned()),
            ..NewCompany::default()
        });
        let plan = plan(&bundle).await;
        let kept = |record: &CustomerRecord| {
            let code = Some(record.number.parse().unwrap());
            let mut lines = plan.lines.iter().filter(|line| line.code == code);
            let (line, None) = (lines.next().unwrap(), lines.next()) else {
                panic!("{:#?}", plan.lines);
            };
            assert!(["code", "bound"].contains(&line.group.as_str()), "{line:?}");
            line.kept.clone()
        };
        let of_persons = [&by_key, &same, &other, &none].map(kept);
        let email = Some(vec![PartyField::Email]);
        let expected = match first_binding_writes.0.persons {
            true => [None, None, None, None],
            false => [Some(Vec::new()), Some(Vec::new()), email, Some(Vec::new())],
        };
        assert_eq!(of_persons, expected);
        // What else differs is known when the shop's whole record is read.
        assert_eq!(kept(&firm), Some(Vec::new()));
        assert!(plan.page.contains("the ERP keeps the values that differ"));
        assert_eq!(
            plan.page.contains("known to differ: email"),
            !first_binding_writes.0.persons
        );
        for value in ["anna.3", "example.com", "556036", "Bolaget"] {
            let text = format!("{:?} {}", plan.lines, plan.page);
            assert!(!text.contains(value), "P11: {value}");
        }

        bundle.pass(PassMode::Full).await;
        for line in plan.lines.iter().filter(|line| line.norce_id.is_some()) {
            let entity = format!("{}/client/{}", line.kind, line.norce_id.unwrap());
            bundle
                .ask(json!({"action": "replay", "entity": entity}))
                .await
                .unwrap();
            bundle.run_until_quiet().await;
            let explained = bundle.ask(json!({"action": "explain", "entity": entity}));
            let explained = explained.await.unwrap();
            let said = explained["mapping"]["kept"].as_array();
            for field in line.kept.iter().flatten() {
                let is_said = said.is_some_and(|said| said.contains(&json!(field)));
                assert!(is_said, "{line:?}: {explained:#}");
            }
        }
    }
}

/// By its code, too: what an event does not bind, a pass does not bind either.
#[tokio::test(start_paused = true)]
async fn p15_a_company_is_not_bound_by_code_to_a_record_with_another_organisation_number() {
    for by_pass in [true, false] {
        for corrected_in_erp in [true, false] {
            let bundle = Bundle::new(&Options {
                extended_erp: true,
                ..Options::default()
            });
            bundle.norce.unsubscribe(EventType::CompanyChanged);
            let record = in_erp(
                &bundle,
                &json!({"displayName": "Bolaget AB", "type": "Company", "country": "SE",
                    "registrationNumber": "556036-0793"}),
            );
            let firm = bundle.norce.add_company(NewCompany {
                code: Some(record.number.clone()),
                name: Some("Grannen AB".to_owned()),
                organization_no: Some("556012-5790".to_owned()),
                ..NewCompany::default()
            });
            let look = async || {
                if by_pass {
                    let planned = plan(&bundle).await.run.counts;
                    let run = bundle.pass(PassMode::Full).await;
                    assert_eq!(*ended(&run), planned, "P10");
                } else {
                    let replay = json!({"action": "replay", "entity": company(firm).to_string()});
                    bundle.ask(replay).await.unwrap();
                }
                bundle.run_until_quiet().await;
                bundle.mappings.get(company(firm)).await.unwrap()
            };
            assert_eq!(look().await, None);
            let texts = owed(&bundle).await;
            let [text] = texts.as_slice() else {
                panic!("{texts:?}");
            };
            let text = format!("{text:?}");
            assert!(text.contains("has another organisation number"), "{text}");
            let advice = "correct the code in Norce, or the number on the side where it is wrong";
            assert!(text.contains(advice), "{text}");
            if corrected_in_erp {
                let number = json!({"registrationNumber": "556012-5790"});
                let erp_company = bundle.erp_company();
                let edited = bundle.erp.edit_customer(erp_company, record.id, &number);
                edited.unwrap();
            } else {
                bundle.norce.change_company(firm, |firm| {
                    firm.row.organization_no = Some("556036-0793".to_owned());
                });
            }
            let mapping = look().await;
            assert!(matches!(mapping, Some(Mapping::Bound(_))), "{mapping:?}");
            let texts = owed(&bundle).await;
            assert!(texts.is_empty(), "{texts:?}");
        }
    }
}

/// What was only planned before the listing started over is not planned twice.
#[tokio::test(start_paused = true)]
async fn p10_a_plan_whose_listing_starts_over_says_everything_once() {
    let lines = |plan: &Plan| {
        let without_id = |line: &PlanLine| PlanLine {
            record: None,
            ..line.clone()
        };
        let lines = plan.lines.iter().map(without_id);
        let mut lines: Vec<String> = lines.map(|line| format!("{line:?}")).collect();
        lines.sort();
        lines
    };
    let rows = |plan: &Plan| plan.page.matches("<tr>").count();
    let [(undisturbed, _), again @ ..] = many_cases_whose_listing_starts_over().await;
    let undisturbed = plan(&undisturbed).await;
    assert_eq!(undisturbed.run.cost.invocations, 1);
    for (bundle, invocations) in again {
        let plan = plan(&bundle).await;
        assert_eq!(plan.run.cost.invocations, invocations);
        assert_eq!(plan.run.counts, undisturbed.run.counts);
        assert_eq!(lines(&plan), lines(&undisturbed));
        assert_eq!(rows(&plan), rows(&undisturbed));
    }
}

/// A register in which anything can be the matter.
async fn anything(bundle: &Bundle, random: &mut fastrand::Rng) {
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
    bundle.norce.add_code(CodeList::PriceLists, "VIP", 7);
    let mut known = Vec::new();
    for number in 0..random.usize(1..60) {
        // Few addresses, so that some come more than once.
        let who = random.usize(0..40);
        let in_norce = random.u8(..);
        let record = match random.u8(..6) {
            0 => in_erp(
                bundle,
                &json!({"displayName": format!("Bolaget {number}"), "type": "Company",
                    "taxRegistrationNumber": format!("SE{}01", organisation_number(who))}),
            ),
            1 => in_erp(
                bundle,
                &json!({"displayName": "Nobody", "type": "Person", "email": ""}),
            ),
            2 => in_erp(
                bundle,
                &json!({"displayName": format!("Bo Ek {who}"), "type": "Person", "blocked": "All",
                    "email": format!("anna.{who}@example.com"), "customerPriceGroup": "VIP"}),
            ),
            _ => person_in_erp(bundle, who),
        };
        let code = match in_norce % 4 {
            0 => Some(record.number.clone()),
            1 => Some(format!("OTHER{number}")),
            _ => None,
        };
        if in_norce < 150 && record.r#type == "Company" {
            bundle.norce.add_company(NewCompany {
                name: Some(format!("Bolaget {number}")),
                organization_no: Some(organisation_number(who)),
                code,
                ..NewCompany::default()
            });
        } else if in_norce < 200 {
            let id = bundle.norce.add_customer(NewCustomer {
                code,
                ..person(who)
            });
            if in_norce.is_multiple_of(16) {
                bundle.norce.forget_customer(id, &Blank::Null, false);
            }
        }
        known.push(record);
    }
    bundle.run_until_quiet().await;
    if random.bool() {
        // Some of it is known, and then changes.
        bundle.pass(PassMode::Full).await;
        let company = bundle.erp_company();
        for record in known {
            let change: Value = match random.u8(..8) {
                0 => json!({"number": format!("{}-R", record.number)}),
                1 => json!({"blocked": "All"}),
                2 => json!({"customerPriceGroup": "VIP"}),
                3 => json!({"email": format!("anna.{}@example.com", random.usize(0..40))}),
                _ => continue,
            };
            bundle
                .erp
                .edit_customer(company, record.id, &change)
                .unwrap();
        }
    }
}

/// A Swedish organisation number with its check digit.
fn organisation_number(number: usize) -> String {
    let digits = format!("556{number:06}");
    let sum: u32 = digits
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 } else { digit })
        .map(|product| product / 10 + product % 10)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[tokio::test(start_paused = true)]
async fn p10_of_any_register_the_pass_does_exactly_what_its_plan_said() {
    const REGISTERS: u64 = 60;
    let mut groups = BTreeSet::new();
    for seed in 0..REGISTERS {
        let mut random = fastrand::Rng::with_seed(seed);
        let bundle = Bundle::new(&Options {
            extended_erp: true,
            pass: PassSettings {
                import_unknown: random.bool(),
                ..PassSettings::default()
            },
            ..Options::default()
        });
        anything(&bundle, &mut random).await;
        let before = stored(&bundle);
        let plan = plan(&bundle).await;
        assert_eq!(before, stored(&bundle), "seed {seed}");
        groups.extend(plan.lines.iter().map(|line| line.group.clone()));

        let imports = bundle.norce.imports().len();
        let messages = bundle.delivered.lock().unwrap().len();
        let run = bundle.start_pass(PassMode::Full).await[0];
        while bundle.pass_step().await {}
        let run = bundle.run(run).await;
        assert_eq!(ended(&run), &plan.run.counts, "seed {seed}");
        // What is owed is what the plan called a conflict, in the same words.
        let owed: Vec<String> = owed(&bundle)
            .await
            .into_iter()
            .map(|(_, detail)| detail)
            .collect();
        let conflicts = plan.lines.iter().filter(|line| line.group == "conflict");
        let mut conflicts: Vec<String> = conflicts.filter_map(|it| it.reason.clone()).collect();
        conflicts.sort();
        assert_eq!(owed, conflicts, "seed {seed}");
        // Every line of the plan becomes one line of a message and one row, and there are no others.
        bundle.run_until_quiet().await;
        let told = |line: &&PlanLine| {
            matches!(
                line.group.as_str(),
                "code" | "renamed" | "fields" | "insert"
            ) || line.fields.is_some()
        };
        let mut planned: Vec<(Option<i64>, Option<String>)> = plan
            .lines
            .iter()
            .filter(told)
            .map(|line| {
                let fields = line.fields.as_deref().unwrap_or_default();
                let has_code = fields.split(',').any(|field| field == "code");
                let id = line.norce_id.map(|id| i64::from(id.get()));
                let code = line.code.as_ref().map(ToString::to_string);
                (id, code.filter(|_| has_code))
            })
            .collect();
        let mut rows: Vec<(Option<i64>, Option<String>)> = bundle.norce.imports()[imports..]
            .iter()
            .flat_map(|import| &import.rows)
            .map(|row| {
                let id = row.get("Id").and_then(Value::as_i64);
                (
                    id,
                    row.get("Code").and_then(Value::as_str).map(str::to_owned),
                )
            })
            .collect();
        planned.sort();
        rows.sort();
        assert_eq!(planned, rows, "seed {seed}");
        let delivered = bundle.delivered.lock().unwrap();
        let requests = delivered[messages..]
            .iter()
            .filter_map(|body| serde_json::from_str::<ImportRequest>(body).ok());
        let lines: usize = requests.map(|request| request.lines.len()).sum();
        assert_eq!(lines, planned.len(), "seed {seed}");
    }
    // The registers have had everything in them.
    for group in [
        "bound", "code", "conflict", "fields", "insert", "renamed", "skipped",
    ] {
        assert!(groups.contains(group), "{group} is missing in {groups:?}");
    }
}

/// Only one of the two fits somebody in Norce: which of them that is cannot be told all the same.
#[tokio::test(start_paused = true)]
async fn p3_a_key_or_code_that_two_records_of_the_erp_have_is_a_conflict_in_plan_and_pass() {
    let whose = |key: &str| format!("its {key} is that of the ERP record");
    let same_key = |key: &str| format!("has the same {key}");
    let same_code = "is also that of another record of the ERP".to_owned();
    type SetUp = fn(&Bundle);
    let cases: [(&str, SetUp, [u64; 3], String); 4] = [
        (
            "two persons, one of them known by its code",
            |bundle| {
                let [_, known] = [1, 1].map(|number| person_in_erp(bundle, number));
                bundle.norce.add_customer(person(1));
                bundle.norce.add_customer(NewCustomer {
                    code: Some(known.number),
                    ..person(2)
                });
            },
            [1, 1, 0],
            whose("e-mail address"),
        ),
        (
            "two organisations, one of them known by its code",
            |bundle| {
                let of = |name| {
                    json!({"displayName": name, "type": "Company",
                        "taxRegistrationNumber": "SE556036079301"})
                };
                in_erp(bundle, &of("Bolaget"));
                let known = in_erp(bundle, &of("Bolaget Norr"));
                for (code, number) in [(None, "556036-0793"), (Some(known.number), "556012-5790")] {
                    bundle.norce.add_company(NewCompany {
                        name: Some(number.to_owned()),
                        organization_no: Some(number.to_owned()),
                        code,
                        ..NewCompany::default()
                    });
                }
            },
            [1, 1, 0],
            whose("organisation or VAT number"),
        ),
        (
            "two persons that Norce does not have",
            |bundle| {
                for _ in 0..2 {
                    person_in_erp(bundle, 1);
                }
            },
            [2, 0, 0],
            same_key("e-mail address"),
        ),
        (
            "a person and a contact with one code",
            |bundle| {
                let organisation = organisation_in_erp(bundle);
                let contact = contact_in_erp(bundle, &organisation, 1);
                let company = bundle.erp_company();
                let person = person_in_erp(bundle, 2);
                bundle
                    .erp
                    .rename_customer(company, person.id, &contact.number)
                    .unwrap();
                bundle.norce.add_customer(super::person(1));
                bundle.norce.add_customer(super::person(2));
            },
            // The organisation is inserted.
            [2, 0, 1],
            same_code,
        ),
    ];
    for (case, set_up, [conflicts, bound, inserted], words) in cases {
        let bundle = Bundle::new(&Options {
            pass: PassSettings {
                import_unknown: true,
                ..PassSettings::default()
            },
            ..Options::default()
        });
        bundle
            .norce
            .configure(|settings| settings.events.drop_chance = 1.0);
        set_up(&bundle);
        bundle.run_until_quiet().await;
        let plan = plan(&bundle).await;
        let counts = &plan.run.counts;
        assert_eq!(
            (
                counts.conflicts,
                counts.bound,
                counts.inserted,
                counts.codes
            ),
            (conflicts, bound, inserted, 0),
            "{case}"
        );
        let run = bundle.pass(PassMode::Full).await;
        assert_eq!(ended(&run), counts, "{case}");
        let planned = plan.lines.iter().filter(|line| line.group == "conflict");
        let mut planned: Vec<String> = planned.filter_map(|line| line.reason.clone()).collect();
        planned.sort();
        let owed = owed(&bundle).await;
        assert!(
            owed.iter().all(|(_, detail)| detail.contains(&words)),
            "{case}: {owed:?}"
        );
        let owed: Vec<String> = owed.into_iter().map(|(_, detail)| detail).collect();
        assert_eq!(owed, planned, "{case}");
    }
}
