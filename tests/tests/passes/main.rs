//! The scheduled pass in one process: the real functions and clients, the simulators, paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod fields;
mod listing;
mod owed_again;
mod plan;
mod refused_bindings;
mod unreadable;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{Clock, EntityKind, PassMode, Registers},
    http::{Transport, TransportError},
    mappings::{CodeDelivery, Mapping, Mappings},
    owed::Reason,
    passes::{Counts, LeaseKey, Passes, Run},
};
use tests::{
    bundle::{Bundle, Options, application, company, customer},
    business_central_simulator::{CustomerRecord, Entity, Fault, LostAnswer},
    in_process::InProcess,
    interruption::Moment,
    norce_simulator::{Blank, NewCompany, NewCustomer, NewOrder},
    samples::person,
};
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn in_erp(bundle: &Bundle, properties: &Value) -> CustomerRecord {
    bundle
        .erp
        .add_customer(bundle.erp_company(), properties)
        .unwrap()
}

fn person_in_erp(bundle: &Bundle, number: usize) -> CustomerRecord {
    in_erp(
        bundle,
        &json!({"displayName": format!("Anna Ek {number}"), "type": "Person",
            "email": format!("Anna.{number}@Example.com")}),
    )
}

async fn owed(bundle: &Bundle) -> Vec<(Reason, String)> {
    let mut owed: Vec<_> = bundle
        .owed
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|owed| (owed.reason, owed.detail))
        .collect();
    owed.sort_by(|a, b| a.1.cmp(&b.1));
    owed
}

/// From now on, only passes hear of what happens in Norce.
fn drop_events(bundle: &Bundle) {
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
}

fn writes(bundle: &Bundle) -> (usize, usize) {
    (bundle.norce.imports().len(), bundle.norce.jobs().len())
}

fn ended(run: &Run) -> &Counts {
    let ended = run.ended.as_ref().expect("the run has not ended");
    assert_eq!(ended.failed, None);
    &run.counts
}

#[tokio::test(start_paused = true)]
async fn a_customer_made_by_hand_in_the_erp_gives_norce_its_code() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(person(1));
    bundle.run_until_quiet().await;
    let record = person_in_erp(&bundle, 1);
    let run = bundle.pass(PassMode::Delta).await;
    let counts = ended(&run);
    assert_eq!((counts.seen, counts.codes), (1, 1));
    assert_eq!(bundle.customer_code(id), Some(record.number.clone()));
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(id)).await.unwrap() else {
        panic!("not bound");
    };
    assert_eq!(binding.code.as_str(), record.number);
    assert!(matches!(binding.delivery, CodeDelivery::Confirmed { .. }));
    // The bare minimum and the code.
    let import = bundle.norce.imports().pop().unwrap();
    assert_eq!(import.rows, vec![json!({"Id": id, "Code": record.number})]);
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p5_a_second_pass_finds_everything_unchanged_and_writes_nothing() {
    let bundle = Bundle::new(&Options::default());
    for number in 0..30 {
        bundle.norce.add_customer(person(number));
        person_in_erp(&bundle, number);
    }
    bundle.run_until_quiet().await;
    let first = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&first).codes, 30);
    // How far the index is complete moves with every pass, as the watermarks do.
    let stored = || {
        let stored = format!("{:?}", bundle.mappings);
        let (stored, _) = stored.split_once("coverage: ").unwrap();
        stored.to_owned()
    };
    let (mappings, before) = (stored(), writes(&bundle));
    let second = bundle.pass(PassMode::Full).await;
    assert_eq!(
        (ended(&second).seen, ended(&second).unchanged),
        (30, 30),
        "{second:#?}"
    );
    assert_eq!(writes(&bundle), before);
    assert_eq!(stored(), mappings);
    assert_eq!(
        (second.cost.mapping_writes, second.cost.index_writes),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_existing_register_is_bound_without_an_import() {
    let bundle = Bundle::new(&Options::default());
    let record = person_in_erp(&bundle, 1);
    let id = bundle.norce.add_customer(NewCustomer {
        code: Some(record.number.clone()),
        ..person(1)
    });
    bundle.run_until_quiet().await;
    let before = writes(&bundle);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).bound + ended(&run).unchanged, 1);
    assert_eq!(writes(&bundle), before);
    assert!(matches!(
        bundle.mappings.get(customer(id)).await.unwrap(),
        Some(Mapping::Bound(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn p3_what_is_not_certain_is_a_conflict_and_never_a_guess() {
    let bundle = Bundle::new(&Options::default());
    // Two in Norce have the address.
    let twins = [1, 1].map(|number| bundle.norce.add_customer(person(number)));
    person_in_erp(&bundle, 1);
    // Two in the ERP have it.
    let one = bundle.norce.add_customer(person(2));
    person_in_erp(&bundle, 2);
    person_in_erp(&bundle, 2);
    // Norce has another code.
    let other = bundle.norce.add_customer(NewCustomer {
        code: Some("ELSEWHERE".to_owned()),
        ..person(3)
    });
    person_in_erp(&bundle, 3);
    bundle.run_until_quiet().await;
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!((ended(&run).conflicts, ended(&run).codes), (4, 0));
    for id in twins.into_iter().chain([one]) {
        assert_eq!(bundle.customer_code(id), None);
    }
    assert_eq!(bundle.customer_code(other).as_deref(), Some("ELSEWHERE"));
    let owed = owed(&bundle).await;
    let conflicts = owed
        .iter()
        .filter(|(reason, _)| *reason == Reason::Conflict);
    assert!(conflicts.count() >= 4, "{owed:#?}");
    assert!(owed.iter().all(|(_, detail)| !detail.contains('@')));

    // Somebody corrects one of them in the ERP, and what was owed of it goes.
    let extra = bundle.erp.customers(bundle.erp_company()).remove(2);
    bundle
        .erp
        .edit_customer(
            bundle.erp_company(),
            extra.id,
            &json!({"email": "else@example.com"}),
        )
        .unwrap();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).codes, 1);
    assert!(bundle.customer_code(one).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_renamed_code_reaches_norce() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    bundle
        .erp
        .rename_customer(bundle.erp_company(), record.id, "RENAMED")
        .unwrap();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).renamed, 1, "{run:#?}");
    assert_eq!(bundle.customer_code(id).as_deref(), Some("RENAMED"));
    assert!(owed(&bundle).await.is_empty());
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(id)).await.unwrap() else {
        panic!("not bound");
    };
    assert_eq!(
        (binding.code.as_str(), binding.former_code),
        ("RENAMED", None)
    );
    // A code that somebody has corrected in Norce meanwhile is not overwritten.
    bundle.norce.change_customer(id, |customer| {
        customer.row.customer_code = Some("BYHAND".to_owned());
    });
    bundle
        .erp
        .rename_customer(bundle.erp_company(), record.id, "AGAIN")
        .unwrap();
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!((ended(&run).renamed, ended(&run).conflicts), (0, 1));
    assert_eq!(bundle.customer_code(id).as_deref(), Some("BYHAND"));
}

#[tokio::test(start_paused = true)]
async fn what_the_erp_owns_is_told_and_nothing_else() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,price-lists,active".parse().unwrap(),
        ..Options::default()
    });
    let id = bundle.norce.add_customer(person(1));
    let record = person_in_erp(&bundle, 1);
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    let edit = |properties: Value| {
        let company = bundle.erp_company();
        bundle
            .erp
            .edit_customer(company, record.id, &properties)
            .unwrap();
    };
    // A name is the shop's: nothing to tell.
    edit(json!({"displayName": "Another Name"}));
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!((ended(&run).seen, ended(&run).unchanged), (1, 1));
    edit(json!({"blocked": "All"}));
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).fields, 1);
    let import = bundle.norce.imports().pop().unwrap();
    assert_eq!(import.rows, vec![json!({"Id": id, "IsActive": false})]);
    assert!(!bundle.norce.customer(id).unwrap().row.is_active);
    edit(json!({"blocked": " "}));
    bundle.pass(PassMode::Delta).await;
    assert!(bundle.norce.customer(id).unwrap().row.is_active);
}

#[tokio::test(start_paused = true)]
async fn fields_that_were_handed_to_the_erp_are_not_sent_to_it() {
    let bundle = Bundle::new(&Options {
        erp_owns: "code,names,contact-details,active".parse().unwrap(),
        ..Options::default()
    });
    let id = bundle.norce.add_customer(person(1));
    bundle.run_until_quiet().await;
    bundle.norce.place_order(NewOrder {
        application_id: 1,
        customer: Some(id),
        items: vec![("P1".to_owned(), 1.0)],
        ..NewOrder::default()
    });
    bundle.run_until_quiet().await;
    let record = bundle.erp.customers(bundle.erp_company()).remove(0);
    assert_eq!(record.display_name, "Anna Ek 1", "a create has everything");
    bundle.norce.change_customer(id, |customer| {
        customer.row.last_name = Some("Berg".to_owned());
        customer.row.phone_number = Some("08-1".to_owned());
    });
    bundle.run_until_quiet().await;
    let after = bundle.erp.customers(bundle.erp_company()).remove(0);
    assert_eq!(after.etag, record.etag, "nothing was written");
    bundle
        .erp
        .edit_customer(
            bundle.erp_company(),
            record.id,
            &json!({"displayName": "Anna Maria Ek", "phoneNumber": "08-2"}),
        )
        .unwrap();
    bundle.pass(PassMode::Delta).await;
    let customer = bundle.norce.customer(id).unwrap().row;
    assert_eq!(customer.first_name.as_deref(), Some("Anna Maria"));
    assert_eq!(customer.last_name.as_deref(), Some("Ek"));
    assert_eq!(customer.phone_number.as_deref(), Some("08-2"));
}

#[tokio::test(start_paused = true)]
async fn p7_the_watermark_moves_when_all_is_queued_or_owed_and_passes_overlap() {
    let bundle = Bundle::new(&Options::default());
    let key = LeaseKey {
        scope: shared::domain::Scope::Client,
        sweep: false,
    };
    let watermark = async || {
        bundle
            .passes
            .watermark(key, EntityKind::Customer)
            .await
            .unwrap()
    };
    bundle.norce.add_customer(person(1));
    person_in_erp(&bundle, 1);
    bundle.run_until_quiet().await;
    let begin = bundle.clock.now();
    let run = bundle.pass(PassMode::Delta).await;
    let first = watermark().await.unwrap();
    assert_eq!(Some(first), run.watermark_after);
    assert!(
        (first - begin).num_seconds().abs() <= 1,
        "taken before the walk"
    );
    // A record of a little before the watermark, which was committed late, is seen all the same.
    let late = person_in_erp(&bundle, 2);
    bundle.norce.add_customer(person(2));
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).seen, 2, "the overlap reads the first one again");
    assert_eq!(ended(&run).codes, 1);
    drop(late);
    // While the ERP cannot be read the watermark stays.
    let before = watermark().await;
    bundle.erp.inject(
        Fault::lost_answer(LostAnswer::TruncatedBody)
            .on(Method::GET, Entity::Customers)
            .lasting(DAY * 3),
    );
    let run = bundle.start_pass(PassMode::Delta).await[0];
    bundle.run_for(DAY * 2).await;
    let failed = bundle.run(run).await.ended.expect("given up").failed;
    assert!(failed.is_some());
    assert_eq!(watermark().await, before);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_page_and_ten_minutes_of_429_end_as_designed() {
    const RECORDS: usize = 1_200;
    let bundle = Bundle::new(&Options::default());
    for number in 0..RECORDS {
        person_in_erp(&bundle, number);
    }
    let ids: Vec<i64> = (0..10)
        .map(|number| bundle.norce.add_customer(person(number * 100)))
        .collect();
    bundle.run_until_quiet().await;
    bundle.erp.inject(
        Fault::lost_answer(LostAnswer::TruncatedBody)
            .on(Method::GET, Entity::Customers)
            .after(2)
            .times(1),
    );
    let begin = bundle.clock.now();
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).seen, RECORDS as u64);
    for id in &ids {
        assert!(bundle.customer_code(*id).is_some(), "{id}");
    }
    assert!((bundle.clock.now() - begin).num_minutes() < 10);

    bundle
        .erp
        .inject(Fault::status(StatusCode::TOO_MANY_REQUESTS).lasting(Duration::from_secs(600)));
    let begin = bundle.clock.now();
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(
        (ended(&run).seen, ended(&run).unchanged),
        (RECORDS as u64, 10)
    );
    assert_eq!(ended(&run).skipped["not in Norce"], RECORDS as u64 - 10);
    let minutes = (bundle.clock.now() - begin).num_minutes();
    assert!((10..45).contains(&minutes), "{minutes}");
    assert!(bundle.passes_queue.dead_letters().is_empty());
}

/// Takes the numbers of some records, and the version of one, out of what the ERP answers.
struct Spoiling(InProcess);

#[async_trait]
impl Transport for Spoiling {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let response = self.0.send(request, timeout).await?;
        Ok(response.map(|body| {
            let text = String::from_utf8_lossy(&body)
                .replace(r#""number":"C00012""#, r#""number":"""#)
                .replace(r#""number":"C00013""#, r#""number":"  ""#)
                .replace(
                    r#""blocked":"_x0020_","country":"","email":"Anna.5@Example.com""#,
                    r#""blocked":7,"email":"Anna.5@Example.com""#,
                );
            Bytes::from(text)
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_code_is_skipped_and_one_that_cannot_be_read_is_owed() {
    let bundle = Bundle::with_transport(&Options::default(), |simulator| {
        Arc::new(Spoiling(InProcess::new(simulator)))
    });
    let ids: Vec<i64> = (0..10)
        .map(|number| {
            person_in_erp(&bundle, number);
            bundle.norce.add_customer(person(number))
        })
        .collect();
    bundle.run_until_quiet().await;
    let run = bundle.pass(PassMode::Full).await;
    let counts = ended(&run);
    assert_eq!((counts.seen, counts.codes), (10, 7), "{counts:?}");
    assert_eq!(counts.skipped["no code in the ERP"], 2);
    assert_eq!(counts.skipped["owed: remote-fault"], 1);
    let owed = owed(&bundle).await;
    assert_eq!(owed.len(), 1);
    assert!(owed[0].1.contains("cannot be read"), "{owed:?}");
    let with_code = ids.iter().filter(|id| bundle.customer_code(**id).is_some());
    assert_eq!(with_code.count(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_unknown_records_cost_one_look_up() {
    use tests::norce_simulator::Endpoint;
    let bundle = Bundle::new(&Options::default());
    for number in 0..1_000 {
        person_in_erp(&bundle, number);
    }
    bundle.run_until_quiet().await;
    let before = bundle.norce.requests_to(Endpoint::Customers);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).skipped["not in Norce"], 1_000);
    assert_eq!(bundle.norce.requests_to(Endpoint::Customers) - before, 10);
    assert_eq!(run.cost.query_calls, 10);
    // Ten requests for the entries of the records, ten for those in the index of keys, and forty for what is known of the
    // unknown.
    assert_eq!(run.cost.mapping_read_requests, 10 + 10 + 40);
    assert_eq!(run.cost.index_writes, 1_000);
}

/// What a pass over each kind of case costs: the cost model rests on these numbers, and people see them of every pass.
#[tokio::test(start_paused = true)]
async fn a_pass_counts_the_calls_that_it_makes() {
    let bundle = Bundle::new(&Options::default());
    many_cases(&bundle).await;
    let counted = |cost: &shared::passes::Cost| {
        [
            ("pages", cost.pages),
            ("calls to the ERP", cost.erp_calls),
            ("calls to Norce", cost.query_calls),
            ("mappings read", cost.mapping_reads),
            ("requests for them", cost.mapping_read_requests),
            ("mappings written", cost.mapping_writes),
            ("lines", cost.import_lines),
        ]
    };
    for (mode, expected) in [
        // A register that is new to us, with some of everything. In the end the ERP is asked for the bound records once more.
        (PassMode::Full, [3, 21, 7, 4_340, 48, 560, 280]),
        // Most of it is unchanged; what is in conflict is asked about again, and the index of keys about what was bound together.
        (PassMode::Full, [3, 11, 2, 2_660, 28, 0, 0]),
        (PassMode::Sweep, [5, 0, 5, 1_260, 13, 0, 0]),
    ] {
        let run = bundle.pass(mode).await;
        let counted = counted(&run.cost);
        assert_eq!(counted.map(|(_, count)| count), expected, "{counted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sweep_heals_dropped_events_and_finds_who_was_forgotten() {
    let bundle = Bundle::new(&Options::default());
    let ids: Vec<i64> = (0..3)
        .map(|number| bundle.norce.add_customer(person(number)))
        .collect();
    for id in &ids {
        bundle.norce.place_order(NewOrder {
            application_id: 1,
            customer: Some(*id),
            items: vec![("P1".to_owned(), 1.0)],
            ..NewOrder::default()
        });
    }
    bundle.run_until_quiet().await;
    tokio::time::sleep(DAY).await;
    bundle.pass(PassMode::Sweep).await;
    tokio::time::sleep(DAY).await;
    // No event arrives about any of this.
    drop_events(&bundle);
    bundle.norce.change_customer(ids[0], |customer| {
        customer.row.phone_number = Some("08-99".to_owned());
    });
    bundle.norce.forget_customer(ids[1], &Blank::Null, false);
    bundle.run_until_quiet().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let run = bundle.pass(PassMode::Sweep).await;
    assert_eq!(
        (ended(&run).queued, ended(&run).forgotten),
        (2, 1),
        "{run:#?}"
    );
    let phones: Vec<String> = bundle
        .erp
        .customers(bundle.erp_company())
        .into_iter()
        .map(|record| record.phone_number)
        .collect();
    assert!(phones.contains(&"08-99".to_owned()), "{phones:?}");
    assert_eq!(
        bundle.mappings.get(customer(ids[1])).await.unwrap(),
        Some(Mapping::Forgotten)
    );
    // P12: the pass does not bring them back.
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).skipped["forgotten in Norce"], 1);
    // Nor does a sweep; changes before the last one are within the overlap, and are checked once more.
    let run = bundle.pass(PassMode::Sweep).await;
    let counts = ended(&run);
    assert_eq!((counts.queued, counts.forgotten), (1, 0));
    assert_eq!(counts.unchanged, counts.seen - 1);
    tokio::time::sleep(DAY).await;
    for seen_before in [true, false] {
        let run = bundle.pass(PassMode::Sweep).await;
        let counts = ended(&run);
        assert_eq!(
            (counts.queued, counts.forgotten),
            (u64::from(seen_before), 0)
        );
        tokio::time::sleep(DAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_sweep_leaves_an_old_register_alone() {
    let bundle = Bundle::new(&Options::default());
    for number in 0..20 {
        bundle.norce.add_customer(person(number));
    }
    bundle.run_until_quiet().await;
    tokio::time::sleep(DAY).await;
    bundle.norce.add_customer(person(20));
    bundle.run_until_quiet().await;
    let run = bundle.pass(PassMode::Sweep).await;
    assert_eq!((ended(&run).seen, ended(&run).queued), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn p14_applications_with_the_same_addresses_and_codes_do_not_see_each_other() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let mut ids = BTreeMap::new();
    for (number, company) in [(1, bundle.erp_companies[0]), (2, bundle.erp_companies[1])] {
        for who in 0..5 {
            let id = bundle.norce.add_customer(NewCustomer {
                application_id: Some(number),
                ..person(who)
            });
            let record = bundle
                .erp
                .add_customer(
                    company,
                    &json!({"displayName": "Anna Ek", "type": "Person",
                        "email": format!("anna.{who}@example.com")}),
                )
                .unwrap();
            ids.insert((number, who), (id, record.number));
        }
    }
    bundle.run_until_quiet().await;
    // The first application's ERP company is down.
    bundle.erp.inject(
        Fault::status(StatusCode::SERVICE_UNAVAILABLE)
            .in_company(bundle.erp_companies[0])
            .lasting(Duration::from_secs(1_800)),
    );
    let runs = bundle.start_pass(PassMode::Full).await;
    assert_eq!(runs.len(), 2);
    bundle.run_for(Duration::from_secs(600)).await;
    for who in 0..5 {
        let (first, _) = &ids[&(1, who)];
        let (second, code) = &ids[&(2, who)];
        assert_eq!(bundle.customer_code(*first), None);
        assert_eq!(bundle.customer_code(*second).as_ref(), Some(code));
    }
    bundle.quiet_within(DAY / 24).await;
    for ((number, _), (id, code)) in &ids {
        assert_eq!(bundle.customer_code(*id).as_ref(), Some(code));
        let entity = shared::domain::EntityRef {
            scope: application(*number),
            ..customer(*id)
        };
        assert!(matches!(
            bundle.mappings.get(entity).await.unwrap(),
            Some(Mapping::Bound(_))
        ));
    }
    for run in runs {
        assert_eq!(ended(&bundle.run(run).await).codes, 5);
    }
    assert!(bundle.norce.contract_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_passes_never_walk_over_one_register_at_the_same_time() {
    let bundle = Bundle::new(&Options::default());
    for number in 0..5 {
        bundle.norce.add_customer(person(number));
        person_in_erp(&bundle, number);
    }
    bundle.run_until_quiet().await;
    let runs = [
        bundle.start_pass(PassMode::Full).await[0],
        bundle.start_pass(PassMode::Delta).await[0],
    ];
    // Two invocations at once, with an ERP that takes its time: only one of them walks.
    bundle
        .erp
        .inject(Fault::slow_answer(Duration::from_secs(5)).on(Method::GET, Entity::Customers));
    tokio::join!(bundle.pass_step(), bundle.pass_step());
    let mut begun = 0;
    for run in runs {
        begun += usize::from(bundle.passes.run(run).await.unwrap().is_some());
    }
    assert_eq!(begun, 1, "the other one waits for its turn");
    bundle.run_until_quiet().await;
    let [first, second] = [bundle.run(runs[0]).await, bundle.run(runs[1]).await];
    assert_eq!(ended(&first).codes + ended(&second).codes, 5);
}

/// A register in which every rule has something to do.
async fn many_cases(bundle: &Bundle) {
    drop_events(bundle);
    for number in 0..700 {
        let properties = json!({"displayName": format!("Anna Ek {number}"), "type": "Person",
            "email": format!("anna.{number}@example.com"),
            "blocked": if number % 50 == 7 { "All" } else { " " }});
        let record = in_erp(bundle, &properties);
        match number % 10 {
            0..=3 => {
                bundle.norce.add_customer(person(number));
            }
            4..=7 => {
                bundle.norce.add_customer(NewCustomer {
                    code: Some(record.number),
                    ..person(number)
                });
            }
            8 => {
                bundle.norce.add_customer(NewCustomer {
                    code: Some(format!("OTHER{number}")),
                    ..person(number)
                });
            }
            _ => {}
        }
    }
    bundle.run_until_quiet().await;
}

/// What the two sides and the stores hold, without times and random ids.
async fn state(bundle: &Bundle) -> BTreeMap<String, String> {
    let numbers: BTreeMap<Uuid, String> = bundle
        .erp
        .customers(bundle.erp_company())
        .into_iter()
        .map(|record| (record.id, record.number))
        .collect();
    let mut state = BTreeMap::new();
    for record in bundle.norce.customers() {
        let entity = customer(record.row.id);
        let mapping = match bundle.mappings.get(entity).await.unwrap() {
            Some(Mapping::Bound(binding)) => format!(
                "{} {} {}",
                binding.code,
                numbers[&Uuid::parse_str(&binding.erp_id.id).unwrap()],
                matches!(binding.delivery, CodeDelivery::Confirmed { .. })
            ),
            other => format!("{other:?}"),
        };
        let row = (record.row.customer_code, record.row.is_active);
        state.insert(entity.to_string(), format!("{row:?} {mapping}"));
    }
    let mut owed: Vec<String> = bundle
        .owed
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|owed| format!("{:?} {:?} {}", owed.code, owed.reason, owed.attempts))
        .collect();
    owed.sort();
    state.insert("owed".to_owned(), owed.join("\n"));
    state
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_is_killed_anywhere_ends_as_if_it_had_not_been() {
    let counts = killed_anywhere(many_cases, 60).await;
    assert!(counts.codes > 200 && counts.bound > 200 && counts.conflicts > 50);
}

#[tokio::test(start_paused = true)]
async fn a_pass_whose_bindings_are_refused_ends_the_same_wherever_it_is_killed() {
    let counts = killed_anywhere(refused_bindings::many_refusals, 60).await;
    assert_eq!((counts.bound, counts.conflicts), (80, 40));
}

/// Kills passes over a register, each up to three times, and compares what they leave with what an undisturbed pass leaves,
/// whose counts it returns.
async fn killed_anywhere(register: impl AsyncFn(&Bundle), passes: usize) -> Counts {
    let undisturbed = Bundle::new(&Options::default());
    register(&undisturbed).await;
    undisturbed.interruption.clear();
    let run = undisturbed.start_pass(PassMode::Full).await[0];
    while undisturbed.pass_step().await {}
    let calls = undisturbed.interruption.calls().len();
    undisturbed.run_until_quiet().await;
    let counts = ended(&undisturbed.run(run).await).clone();
    let expected = state(&undisturbed).await;

    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..passes {
        let bundle = Bundle::new(&Options::default());
        register(&bundle).await;
        let run = bundle.start_pass(PassMode::Full).await[0];
        // Several deaths of one run, each somewhere else.
        for _ in 0..random.usize(1..4) {
            let moment = [Moment::Before, Moment::During, Moment::After][random.usize(..3)];
            let call = random.usize(..calls);
            bundle.interruption.plan(call, moment);
            bundle.pass_step().await;
            bundle.interruption.clear();
            // Its message comes back after the visibility time-out.
            tokio::time::sleep(Duration::from_secs(331)).await;
        }
        bundle.run_until_quiet().await;
        assert_eq!(ended(&bundle.run(run).await), &counts);
        assert_eq!(state(&bundle).await, expected);
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn companies_are_found_by_their_organisation_number() {
    let bundle = Bundle::new(&Options::default());
    let id = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    let record = in_erp(
        &bundle,
        &json!({"displayName": "Bolaget Aktiebolag", "type": "Company",
            "taxRegistrationNumber": "SE556036079301"}),
    );
    bundle.run_until_quiet().await;
    let run = bundle.pass(PassMode::Delta).await;
    assert_eq!(ended(&run).codes, 1, "{run:#?}");
    assert_eq!(
        bundle.norce.company(id).unwrap().row.company_code,
        Some(record.number)
    );
    assert!(matches!(
        bundle.mappings.get(company(id)).await.unwrap(),
        Some(Mapping::Bound(_))
    ));
}

/// A message of a queue has a size, and an import a number of rows.
#[tokio::test(start_paused = true)]
async fn the_lines_of_a_pass_are_sent_in_messages_of_a_hundred() {
    let bundle = Bundle::new(&Options::default());
    for number in 0..250 {
        bundle.norce.add_customer(person(number));
        person_in_erp(&bundle, number);
    }
    bundle.run_until_quiet().await;
    bundle.delivered.lock().unwrap().clear();
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).codes, 250);
    let delivered = bundle.delivered.lock().unwrap();
    let mut lines: Vec<usize> = delivered
        .iter()
        .filter_map(|body| {
            let body: Value = serde_json::from_str(body).unwrap();
            Some(body["lines"].as_array()?.len())
        })
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [50, 100, 100]);
}
