//! The index of natural keys, which passes and events fill: it finds the ERP record with a key, whatever a filter of
//! the ERP does.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails must fail its test"
)]

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    Consistency,
    domain::{Clock, EmailKey, EntityKind, PassMode, PassRequest, Scope},
    erp::NaturalKey,
    mappings::key_index::KeyIndex,
    mappings::{Mapping, Mappings},
    owed::{OwedRecords, Reason},
    passes::{Counts, LeaseKey, Passes, Run},
};
use tests::{
    bundle::{Bundle, Options, SOON, company, customer},
    business_central_simulator::{CompanySettings, CustomerRecord, Entity, Fault, TaxNumberFilter},
    in_process::InProcess,
    norce_simulator::{Blank, NewAddress, NewCompany},
    samples::{order_of, order_of_company, person},
    unreadable::Unreadable,
};
use uuid::Uuid;

const MODES: [TaxNumberFilter; 4] = [
    TaxNumberFilter::Refused,
    TaxNumberFilter::Ignored,
    TaxNumberFilter::MatchesNothing,
    TaxNumberFilter::Filters,
];
/// The organisation number of the company that is looked for, as Norce has it, and spellings of its VAT number.
const NUMBER: &str = "556036-0793";
const SPELLINGS: [&str; 4] = [
    "SE556036079301",
    "SE 556036-0793 01",
    "se 5560360793 01",
    "SE.556036.0793.01",
];
/// More companies than are listed to see what the index lacks: the pages are small.
const MANY: usize = 20;
const PAGE_SIZE: usize = 2;
const HOUR: Duration = Duration::from_secs(3_600);

fn bundle(mode: TaxNumberFilter) -> Bundle {
    let bundle = Bundle::new(&Options::default());
    bundle.erp.configure(|erp| erp.tax_number_filter = mode);
    // A country without formats takes any spelling, and old records have it.
    let without_formats = |company: &mut CompanySettings| {
        for country in &mut company.countries {
            country.vat_formats.clear();
        }
    };
    let configured = bundle
        .erp
        .configure_company(bundle.erp_company(), without_formats);
    configured.unwrap();
    bundle
}

/// A register that is too large to be read in passing, of companies and of persons.
async fn large(mode: TaxNumberFilter) -> Bundle {
    let bundle = bundle(mode);
    bundle.erp.configure(|erp| erp.page_size = PAGE_SIZE);
    for number in 0..MANY {
        in_erp(
            &bundle,
            &json!({"displayName": format!("Other {number}"), "type": "Company", "country": "DK",
                "taxRegistrationNumber": format!("GB{:08}", 10_000_000 + number)}),
        );
    }
    // Longer ago than passes overlap.
    tokio::time::sleep(HOUR).await;
    bundle
}

fn in_erp(bundle: &Bundle, properties: &Value) -> CustomerRecord {
    let added = bundle.erp.add_customer(bundle.erp_company(), properties);
    added.unwrap()
}

/// The company in the ERP.
fn company_in_erp(bundle: &Bundle, spelling: &str) -> CustomerRecord {
    in_erp(
        bundle,
        &json!({"displayName": "Bolaget AB", "type": "Company", "country": "SE",
            "taxRegistrationNumber": spelling}),
    )
}

fn edit(bundle: &Bundle, record: &CustomerRecord, properties: &Value) {
    let company = bundle.erp_company();
    let edited = bundle.erp.edit_customer(company, record.id, properties);
    edited.unwrap();
}

/// A Swedish company in Norce.
fn company_in_norce(bundle: &Bundle, number: &str) -> i64 {
    bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some(number.to_owned()),
        invoice_address: Some(NewAddress {
            line1: Some("Storgatan 1".to_owned()),
            city: Some("Stockholm".to_owned()),
            country_code: Some("SE".to_owned()),
            ..NewAddress::default()
        }),
        ..NewCompany::default()
    })
}

/// The company comes to life in Norce, with its first order.
fn company_orders(bundle: &Bundle) -> i64 {
    let id = company_in_norce(bundle, NUMBER);
    bundle.norce.place_order(order_of_company(id));
    id
}

fn person_orders(bundle: &Bundle, number: usize) -> i64 {
    let id = bundle.norce.add_customer(person(number));
    bundle.norce.place_order(order_of(id));
    id
}

fn companies(bundle: &Bundle) -> usize {
    let customers = bundle.erp.customers(bundle.erp_company());
    let companies = customers.iter().filter(|record| record.r#type == "Company");
    companies.count()
}

async fn bound_to(bundle: &Bundle, id: i64) -> Option<String> {
    let binding = bundle.binding(company(id)).await?;
    Some(binding.erp_id.id)
}

async fn owed(bundle: &Bundle) -> Vec<(Reason, String)> {
    let mut owed = Vec::new();
    let mut after = None;
    loop {
        let page = bundle
            .owed
            .page(after.as_deref(), Consistency::Strong)
            .await
            .unwrap();
        owed.extend(page.owed.into_iter().map(|owed| (owed.reason, owed.detail)));
        match page.next {
            Some(next) => after = Some(next),
            None => return owed,
        }
    }
}

fn vat(text: &str) -> NaturalKey {
    NaturalKey::organisation(text, None).unwrap()
}

fn email(text: &str) -> NaturalKey {
    NaturalKey::Email(EmailKey::parse(text).unwrap())
}

async fn listed(bundle: &Bundle, key: NaturalKey) -> Vec<String> {
    let keys = [key];
    let holders = bundle
        .mappings
        .holders(Scope::Client, &keys, Consistency::Strong);
    let holders = holders.await.unwrap().remove(0).records;
    holders.into_iter().map(|record| record.id).collect()
}

async fn is_whole(bundle: &Bundle, kind: EntityKind) -> bool {
    let coverage = bundle.mappings.coverage(Scope::Client, kind);
    coverage.await.unwrap().is_some()
}

async fn pass_over(bundle: &Bundle, mode: PassMode, kind: Option<EntityKind>) -> Run {
    let request = PassRequest {
        mode,
        kind,
        application: None,
        dry_run: false,
    };
    let run = bundle.start(&request).await[0];
    while bundle.pass_step().await {}
    let run = bundle.run(run).await;
    assert_eq!(run.ended.as_ref().unwrap().failed, None);
    run
}

#[tokio::test(start_paused = true)]
async fn p2_a_company_of_the_erp_is_found_in_any_spelling_whatever_a_filter_does() {
    for mode in MODES {
        for spelling in SPELLINGS {
            for is_large in [false, true] {
                let bundle = if is_large {
                    large(mode).await
                } else {
                    bundle(mode)
                };
                let record = company_in_erp(&bundle, spelling);
                let before = companies(&bundle);
                // A filter that filters finds the one spelling; the others are found by the index.
                if is_large || mode == TaxNumberFilter::Filters {
                    bundle.pass(PassMode::Full).await;
                }
                let id = company_orders(&bundle);
                bundle.run_until_quiet().await;
                let context = format!("{mode:?}, {spelling}, large: {is_large}");
                assert_eq!(owed(&bundle).await, [], "{context}");
                assert_eq!(
                    bound_to(&bundle, id).await,
                    Some(record.id.to_string()),
                    "{context}"
                );
                assert_eq!(companies(&bundle), before, "{context}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_company_that_the_erp_does_not_have_is_created_once_whatever_a_filter_does() {
    for mode in MODES {
        let bundle = large(mode).await;
        bundle.pass(PassMode::Full).await;
        let id = company_orders(&bundle);
        bundle.run_until_quiet().await;
        assert_eq!(owed(&bundle).await, [], "{mode:?}");
        assert_eq!(companies(&bundle), MANY + 1, "{mode:?}");
        let record = bound_to(&bundle, id).await.unwrap();
        assert_eq!(listed(&bundle, vat(SPELLINGS[0])).await, [record]);
    }
}

/// The advice is followed to its end: the operator's full pass, and nothing else.
#[tokio::test(start_paused = true)]
async fn p2_before_everything_was_read_nothing_is_created_on_a_guess_and_a_full_pass_ends_it() {
    for mode in [
        TaxNumberFilter::Refused,
        TaxNumberFilter::Ignored,
        TaxNumberFilter::MatchesNothing,
    ] {
        for is_there in [true, false] {
            let bundle = large(mode).await;
            let record = is_there.then(|| company_in_erp(&bundle, SPELLINGS[1]));
            let before = companies(&bundle);
            let id = company_orders(&bundle);
            bundle.run_until_quiet().await;
            let [(reason, detail)] = &owed(&bundle).await[..] else {
                panic!("{:?}", owed(&bundle).await);
            };
            assert_eq!(*reason, Reason::MissingPrerequisite, "{detail}");
            let action = json!({"action": "pass", "mode": "full"});
            assert!(detail.contains(&action.to_string()), "{detail}");
            assert!(detail.contains("VAT number"), "{detail}");
            assert!(!detail.contains("5560360793"), "{detail}");
            assert_eq!(companies(&bundle), before);
            assert_eq!(bound_to(&bundle, id).await, None);

            bundle.ask(action).await.unwrap();
            while bundle.pass_step().await {}
            // Not at the end of the wait that an owed record has otherwise.
            bundle.quiet_within(SOON).await;
            assert_eq!(owed(&bundle).await, [], "{mode:?}");
            let bound = bound_to(&bundle, id).await.unwrap();
            match record {
                Some(record) => {
                    assert_eq!(bound, record.id.to_string());
                    assert_eq!(companies(&bundle), before);
                }
                None => assert_eq!(companies(&bundle), before + 1),
            }
        }
    }
}

/// A pass over a register that nobody has read yet: what it cannot tell on its way, it tells at its end.
#[tokio::test(start_paused = true)]
async fn a_first_pass_gives_companies_their_codes_and_finds_numbers_that_two_have() {
    for mode in MODES {
        let bundle = large(mode).await;
        let record = company_in_erp(&bundle, SPELLINGS[0]);
        let id = company_in_norce(&bundle, NUMBER);
        let twice = "SE556012579001";
        for name in ["Twin Norr", "Twin Syd"] {
            in_erp(
                &bundle,
                &json!({"displayName": name, "type": "Company", "taxRegistrationNumber": twice}),
            );
        }
        company_in_norce(&bundle, "556012-5790");
        bundle
            .norce
            .configure(|settings| settings.events.drop_chance = 1.0);
        let run = bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        let Counts {
            seen,
            codes,
            conflicts,
            ref skipped,
            ..
        } = run.counts;
        let skipped: u64 = skipped.values().sum();
        assert_eq!((codes, conflicts), (1, 2), "{mode:?}: {:?}", run.counts);
        assert_eq!(seen, MANY as u64 + 3, "each is counted once");
        assert_eq!(seen, codes + conflicts + skipped, "{:?}", run.counts);
        assert_eq!(bound_to(&bundle, id).await, Some(record.id.to_string()));
        let owed = owed(&bundle).await;
        assert!(
            owed.iter().all(|(reason, _)| *reason == Reason::Conflict),
            "{owed:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_entered_or_changed_since_the_last_pass_is_found() {
    for mode in MODES {
        let bundle = large(mode).await;
        let other = in_erp(
            &bundle,
            &json!({"displayName": "Bolaget AB", "type": "Company"}),
        );
        bundle.pass(PassMode::Full).await;
        tokio::time::sleep(HOUR).await;
        edit(
            &bundle,
            &other,
            &json!({"taxRegistrationNumber": SPELLINGS[0]}),
        );
        let id = company_orders(&bundle);
        bundle.run_until_quiet().await;
        assert_eq!(owed(&bundle).await, [], "{mode:?}");
        assert_eq!(bound_to(&bundle, id).await, Some(other.id.to_string()));
        assert_eq!(companies(&bundle), MANY + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn so_much_was_entered_since_the_last_pass_that_a_delta_is_waited_for() {
    let bundle = large(TaxNumberFilter::Refused).await;
    bundle.pass(PassMode::Full).await;
    tokio::time::sleep(HOUR).await;
    for number in 0..MANY {
        in_erp(
            &bundle,
            &json!({"displayName": format!("New {number}"), "type": "Company"}),
        );
    }
    let record = company_in_erp(&bundle, SPELLINGS[1]);
    let id = company_orders(&bundle);
    bundle.run_until_quiet().await;
    assert_eq!(owed(&bundle).await[0].0, Reason::MissingPrerequisite);
    tokio::time::sleep(HOUR).await;
    pass_over(&bundle, PassMode::Delta, None).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
    assert_eq!(owed(&bundle).await, []);
    assert_eq!(bound_to(&bundle, id).await, Some(record.id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_key_changed_is_not_found_by_the_old_one() {
    for mode in MODES {
        let bundle = large(mode).await;
        let record = company_in_erp(&bundle, SPELLINGS[0]);
        bundle.pass(PassMode::Full).await;
        assert_eq!(
            listed(&bundle, vat(SPELLINGS[0])).await,
            [record.id.to_string()]
        );
        let other = "SE556012579001";
        edit(&bundle, &record, &json!({ "taxRegistrationNumber": other }));
        let id = company_orders(&bundle);
        bundle.run_until_quiet().await;
        let bound = bound_to(&bundle, id).await.unwrap();
        assert_ne!(bound, record.id.to_string(), "{mode:?}");
        assert_eq!(listed(&bundle, vat(SPELLINGS[0])).await, [bound]);
    }
}

/// A record that is gone from the ERP is taken off the list by the look-up that finds that out.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_gone_is_not_found() {
    let bundle = large(TaxNumberFilter::Refused).await;
    let record = company_in_erp(&bundle, SPELLINGS[0]);
    bundle.pass(PassMode::Full).await;
    let deleted = bundle.erp.delete_customer(bundle.erp_company(), record.id);
    deleted.unwrap();
    let id = company_orders(&bundle);
    bundle.run_until_quiet().await;
    let bound = bound_to(&bundle, id).await.unwrap();
    assert_eq!(listed(&bundle, vat(SPELLINGS[0])).await, [bound]);
}

/// One of several addresses of a record is no exact value of its field, and no filter finds it.
#[tokio::test(start_paused = true)]
async fn a_person_is_found_by_each_of_several_addresses_of_the_record() {
    let bundle = bundle(TaxNumberFilter::Refused);
    let record = in_erp(
        &bundle,
        &json!({"displayName": "Anna Ek", "type": "Person",
            "email": "work@example.com;Anna.1@Example.com"}),
    );
    bundle.pass(PassMode::Full).await;
    let id = person_orders(&bundle, 1);
    bundle.run_until_quiet().await;
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(id)).await.unwrap() else {
        panic!("{:?}", owed(&bundle).await);
    };
    assert_eq!(binding.erp_id.id, record.id.to_string());
}

#[tokio::test(start_paused = true)]
async fn p12_a_forgotten_customer_leaves_no_entry_and_a_pass_makes_none() {
    let bundle = bundle(TaxNumberFilter::Refused);
    // One was created by us, the other was there and was listed before it was bound.
    in_erp(
        &bundle,
        &json!({"displayName": "Anna Ek", "type": "Person", "email": "anna.2@example.com"}),
    );
    bundle.pass(PassMode::Full).await;
    let ids = [1, 2].map(|number| person_orders(&bundle, number));
    bundle.run_until_quiet().await;
    let addresses = [1, 2].map(|number| format!("anna.{number}@example.com"));
    for address in &addresses {
        assert_eq!(listed(&bundle, email(address)).await.len(), 1);
    }
    for id in ids {
        assert!(bundle.norce.forget_customer(id, &Blank::Null, true));
    }
    bundle.run_until_quiet().await;
    for again in [false, true] {
        for address in &addresses {
            assert_eq!(listed(&bundle, email(address)).await, [""; 0], "{again}");
        }
        // The records are in the ERP all the same.
        bundle.pass(PassMode::Full).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p10_a_plan_lists_nothing() {
    let bundle = bundle(TaxNumberFilter::Refused);
    company_in_erp(&bundle, SPELLINGS[0]);
    let request = PassRequest {
        mode: PassMode::Full,
        kind: None,
        application: None,
        dry_run: true,
    };
    let before = format!("{:?}", bundle.mappings);
    bundle.start(&request).await;
    while bundle.pass_step().await {}
    assert_eq!(format!("{:?}", bundle.mappings), before);
    bundle.pass(PassMode::Full).await;
    assert_eq!(listed(&bundle, vat(SPELLINGS[0])).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pass_makes_the_index_whole_for_what_it_has_read_to_the_end() {
    let bundle = large(TaxNumberFilter::Refused).await;
    let (companies, persons) = (EntityKind::Company, EntityKind::Customer);
    let run = pass_over(&bundle, PassMode::Full, Some(companies)).await;
    assert_eq!(run.cost.index_writes, MANY as u64);
    assert!(is_whole(&bundle, companies).await);
    assert!(!is_whole(&bundle, persons).await);
    // A delta without a watermark reads everything.
    pass_over(&bundle, PassMode::Delta, None).await;
    assert!(is_whole(&bundle, persons).await);
    let until = async || {
        let coverage = bundle.mappings.coverage(Scope::Client, companies);
        coverage.await.unwrap().unwrap()
    };
    let before = until().await;
    tokio::time::sleep(HOUR).await;
    // What is unchanged is not written again.
    let run = pass_over(&bundle, PassMode::Full, None).await;
    assert_eq!(run.cost.index_writes, 0);
    tokio::time::sleep(HOUR).await;
    pass_over(&bundle, PassMode::Delta, None).await;
    let after = until().await;
    assert!(before.whole_at < after.whole_at && after.whole_at < after.until);
}

/// An earlier version has left a watermark and no index, and nobody wants full passes on a schedule.
#[tokio::test(start_paused = true)]
async fn a_delta_reads_everything_once_where_the_index_was_never_complete() {
    let bundle = large(TaxNumberFilter::Refused).await;
    let key = LeaseKey {
        scope: Scope::Client,
        sweep: false,
    };
    for kind in [EntityKind::Company, EntityKind::Customer] {
        let advanced = bundle.passes.advance(key, kind, bundle.clock.now());
        advanced.await.unwrap();
    }
    let record = company_in_erp(&bundle, SPELLINGS[1]);
    let id = company_orders(&bundle);
    bundle.run_until_quiet().await;
    assert_eq!(owed(&bundle).await[0].0, Reason::MissingPrerequisite);
    tokio::time::sleep(HOUR).await;
    let run = pass_over(&bundle, PassMode::Delta, None).await;
    assert_eq!(run.counts.seen, MANY as u64 + 1);
    bundle.quiet_within(SOON).await;
    assert_eq!(owed(&bundle).await, []);
    assert_eq!(bound_to(&bundle, id).await, Some(record.id.to_string()));
    tokio::time::sleep(HOUR).await;
    let run = pass_over(&bundle, PassMode::Delta, None).await;
    assert!(run.counts.seen <= 1, "{:?}", run.counts);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_does_not_get_to_its_end_makes_nothing_whole() {
    let bundle = large(TaxNumberFilter::Refused).await;
    up_to_the_contacts(&bundle).await;
    assert!(!is_whole(&bundle, EntityKind::Company).await);
    bundle.erp.clear_faults();
    bundle.run_until_quiet().await;
    assert!(is_whole(&bundle, EntityKind::Company).await);
}

/// The records that it has read before are in no index.
#[tokio::test(start_paused = true)]
async fn a_run_that_an_earlier_version_began_makes_nothing_whole() {
    let bundle = large(TaxNumberFilter::Refused).await;
    let id = up_to_the_contacts(&bundle).await;
    let mut run = bundle.run(id).await;
    let mut work: Value = serde_json::from_str(run.work.as_deref().unwrap()).unwrap();
    let removed = work.as_object_mut().unwrap().remove("lists_keys");
    assert_eq!(removed, Some(json!(true)));
    run.work = Some(work.to_string());
    run.version += 1;
    assert!(bundle.passes.save(&run).await.unwrap());
    bundle.erp.clear_faults();
    bundle.run_until_quiet().await;
    assert!(bundle.run(id).await.ended.is_some());
    assert!(!is_whole(&bundle, EntityKind::Company).await);
    // The next one reads everything once more.
    pass_over(&bundle, PassMode::Delta, None).await;
    assert!(is_whole(&bundle, EntityKind::Company).await);
}

/// A full pass that has read all customers, and no contacts.
async fn up_to_the_contacts(bundle: &Bundle) -> Uuid {
    let run = bundle.start_pass(PassMode::Full).await[0];
    let unavailable = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
    bundle
        .erp
        .inject(unavailable.on(Method::GET, Entity::Contacts));
    bundle.pass_step().await;
    let listed = listed(bundle, vat("GB10000000")).await;
    assert_eq!(listed.len(), 1, "the customers were read");
    run
}

/// The company is in the index, and cannot be read when it orders.
#[tokio::test(start_paused = true)]
async fn p2_a_listed_record_that_cannot_be_read_is_not_taken_for_gone() {
    let unreadable = Unreadable::default();
    let bundle = Bundle::with_transport(&Options::default(), |simulator| {
        unreadable.around(Arc::new(InProcess::new(simulator)))
    });
    bundle
        .erp
        .configure(|erp| erp.tax_number_filter = TaxNumberFilter::Ignored);
    let record = company_in_erp(&bundle, SPELLINGS[0]);
    pass_over(&bundle, PassMode::Full, None).await;
    unreadable.spoil(record.id);
    let id = company_orders(&bundle);
    bundle.run_for(HOUR).await;
    assert_eq!(companies(&bundle), 1);
    let still_owed = owed(&bundle).await;
    assert_eq!(still_owed.len(), 1, "{still_owed:?}");
    assert!(
        still_owed[0].1.contains("cannot be used yet"),
        "{still_owed:?}"
    );
    unreadable.mend(record.id);
    bundle.run_for(HOUR).await;
    pass_over(&bundle, PassMode::Delta, None).await;
    bundle.run_until_quiet().await;
    assert_eq!(companies(&bundle), 1);
    assert_eq!(bound_to(&bundle, id).await, Some(record.id.to_string()));
}
