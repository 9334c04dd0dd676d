//! A look-up finds every stored value that means the same key, and none that means another (P15): in Norce, and in
//! Business Central whatever a filter on VAT numbers does there.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{future::Future, time::Duration};

use proptest::{prelude::*, sample::select};
use serde_json::json;
use shared::{
    domain::{EmailKey, EntityKind, NaturalKey, PassMode, Scope},
    erp::PartyKind,
    http::Deadline,
    norce::LookupKey,
    record_finder::{Lookup, RecordFinder},
};
use tests::{
    bundle::{Bundle, Options, id},
    business_central_simulator::{CompanySettings, TaxNumberFilter},
    norce_simulator::{NewAddress, NewCompany, NewCustomer},
};

/// Each case is a bundle of its own.
const CASES: u32 = 24;
/// What the field `taxRegistrationNumber` of Business Central takes (erp-apis §1.2).
const LONGEST_IN_ERP: usize = 20;
const CALL: Duration = Duration::from_secs(60);

const MODES: [TaxNumberFilter; 4] = [
    TaxNumberFilter::Refused,
    TaxNumberFilter::Ignored,
    TaxNumberFilter::MatchesNothing,
    TaxNumberFilter::Filters,
];

/// A country, the number in its register, and what stands around it in its VAT number.
const NUMBERS: [(&str, &str, &str); 6] = [
    ("SE", "5560360793", "01"),
    ("SE", "5560125790", "01"),
    ("NO", "923609016", "MVA"),
    ("DK", "13748136", ""),
    ("FI", "20774740", ""),
    ("DE", "136695976", ""),
];

/// On paused time of its own.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// Both sides know the countries, and the ERP's register is an old one: nothing has checked the numbers in it.
fn bundle(mode: TaxNumberFilter) -> Bundle {
    let bundle = Bundle::new(&Options::default());
    for (id, code) in (1_000..).zip(["DK", "FI", "DE"]) {
        bundle.norce.add_country(id, code);
    }
    bundle.erp.configure(|erp| erp.tax_number_filter = mode);
    let without_formats = |company: &mut CompanySettings| {
        for country in &mut company.countries {
            country.vat_formats.clear();
        }
    };
    let erp = bundle.erp_company();
    bundle.erp.configure_company(erp, without_formats).unwrap();
    bundle
}

/// A number as somebody writes it: with or without its country's letters, in any case, with separators anywhere.
fn written() -> impl Strategy<Value = (usize, String)> {
    let parts = (
        0..NUMBERS.len(),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec("[ .-]?", 16),
    );
    parts.prop_map(|(place, has_letters, is_lower, separators)| {
        let (country, number, after) = NUMBERS[place];
        let text = match has_letters {
            true => format!("{country}{number}{after}"),
            false => number.to_owned(),
        };
        let text: String = text
            .chars()
            .zip(&separators)
            .enumerate()
            .map(|(at, (c, separator))| match at {
                0 => c.to_string(),
                _ => format!("{separator}{c}"),
            })
            .collect();
        match is_lower {
            true => (place, text.to_lowercase()),
            false => (place, text),
        }
    })
}

fn key_of(place: usize) -> NaturalKey {
    let (country, number, after) = NUMBERS[place];
    NaturalKey::organisation(&format!("{country}{number}{after}"), None).unwrap()
}

/// An address as somebody writes it, and its plain form.
fn addressed() -> impl Strategy<Value = (String, String)> {
    let parts = (
        "[a-zåäö][a-z.+]{0,6}[a-z]",
        select(&["example.com", "exämple.se", "xn--exmple-cua.se"]),
        prop::collection::vec(any::<bool>(), 40),
    );
    parts.prop_map(|(local, domain, upper)| {
        let plain = format!("{local}@{domain}");
        let written = plain
            .chars()
            .zip(upper)
            .map(|(c, is_upper)| match is_upper {
                true => c.to_uppercase().to_string(),
                false => c.to_string(),
            });
        (written.collect(), plain)
    })
}

/// The entities of Norce that a look-up finds, each with its keys.
async fn found(bundle: &Bundle, kind: EntityKind, key: &NaturalKey) -> Vec<i64> {
    let asked = LookupKey {
        code: "NOBODYS".parse().unwrap(),
        keys: vec![key.clone()],
    };
    let (norce, deadline) = (&bundle.full_pass.norce, Deadline::after(CALL));
    let found = norce
        .look_up(kind, Scope::Client, &[asked], deadline)
        .await
        .unwrap()
        .found;
    let found = found.iter().filter(|found| found.keys.contains(key));
    found.map(|found| found.id.get().into()).collect()
}

/// The ids of the records of the ERP that have a key, once a pass has read everything.
async fn holders(bundle: &Bundle, kind: &PartyKind, key: &NaturalKey) -> Vec<String> {
    let pass = &bundle.full_pass;
    let erp = pass.erps[&Scope::Client].as_ref();
    let index = pass.key_index.as_ref();
    let finder = RecordFinder::new(erp, index, &pass.fingerprints, Scope::Client);
    let keys = [key.clone()];
    match finder
        .find(kind, &keys, Deadline::after(CALL))
        .await
        .unwrap()
    {
        Lookup::Found(records) => records.into_iter().map(|record| record.id.id).collect(),
        other => unreachable!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(CASES)
    })]

    #[test]
    fn p15_a_company_of_norce_is_found_by_its_number_in_any_spelling_and_by_no_other((place, text) in written()) {
        let (ids, expected) = run(async {
            let bundle = bundle(TaxNumberFilter::Refused);
            let company = bundle.norce.add_company(NewCompany {
                name: Some("Bolaget".to_owned()),
                organization_no: Some(text.clone()),
                invoice_address: Some(NewAddress {
                    line1: Some("Gatan 1".to_owned()),
                    country_code: Some(NUMBERS[place].0.to_owned()),
                    ..NewAddress::default()
                }),
                ..NewCompany::default()
            });
            let mut ids = Vec::new();
            for other in 0..NUMBERS.len() {
                ids.push(found(&bundle, EntityKind::Company, &key_of(other)).await);
            }
            let expected: Vec<Vec<i64>> = (0..NUMBERS.len())
                .map(|other| if other == place { vec![company] } else { Vec::new() })
                .collect();
            (ids, expected)
        });
        prop_assert_eq!(ids, expected, "{}", text);
    }

    #[test]
    fn p15_a_company_of_the_erp_is_found_by_its_number_in_any_spelling_and_by_no_other(
        (place, text) in written(),
        mode in select(&MODES),
    ) {
        prop_assume!(text.len() <= LONGEST_IN_ERP);
        let (ids, expected) = run(async {
            let bundle = bundle(mode);
            let record = json!({ "displayName": "Bolaget", "type": "Company", "country": NUMBERS[place].0,
                "taxRegistrationNumber": text });
            let record = bundle.erp.add_customer(bundle.erp_company(), &record).unwrap();
            bundle.pass(PassMode::Full).await;
            let mut ids = Vec::new();
            for other in 0..NUMBERS.len() {
                ids.push(holders(&bundle, &PartyKind::Company, &key_of(other)).await);
            }
            let expected: Vec<Vec<String>> = (0..NUMBERS.len())
                .map(|other| if other == place { vec![record.id.to_string()] } else { Vec::new() })
                .collect();
            (ids, expected)
        });
        prop_assert_eq!(ids, expected, "{:?} {}", mode, text);
    }

    #[test]
    fn p15_a_customer_is_found_by_an_address_in_any_spelling_and_by_no_similar_one((text, plain) in addressed()) {
        let key = EmailKey::parse(&plain).unwrap();
        let similar = EmailKey::parse(&format!("x{plain}")).unwrap();
        run(async {
            let bundle = bundle(TaxNumberFilter::Refused);
            let customer = bundle.norce.add_customer(NewCustomer {
                email: Some(text.clone()),
                last_name: Some("Ek".to_owned()),
                ..NewCustomer::default()
            });
            let record = json!({ "displayName": "Ek", "type": "Person", "email": text });
            let record = bundle.erp.add_customer(bundle.erp_company(), &record).unwrap();
            bundle.pass(PassMode::Full).await;
            let norce = &bundle.full_pass.norce;
            for (key, is_it) in [(key, true), (similar, false)] {
                let deadline = Deadline::after(CALL);
                let ids = norce.customers_by_email(Scope::Client, &key, deadline).await.unwrap();
                let is_found = ids.iter().any(|it| it.id == id(customer));
                assert_eq!(is_found, is_it, "{text}");
                let key = NaturalKey::Email(key);
                let ids = found(&bundle, EntityKind::Customer, &key).await;
                assert_eq!(ids.contains(&customer), is_it, "{text}");
                let ids = holders(&bundle, &PartyKind::Person, &key).await;
                assert_eq!(ids.contains(&record.id.to_string()), is_it, "{text}");
            }
        });
    }
}
