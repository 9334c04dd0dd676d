//! Identity (P15): which ERP record a customer or company of Norce is matched with, over registers as merchants have
//! them: shared numbers, placeholders, spellings, other countries, blocked records, households, records of forgotten
//! customers. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::{
    domain::{Clock, ErpId, PassMode, Resource},
    erp::PersonRule,
    mappings::{Binding, Bound, CodeDelivery, Mapping, Mappings, Reservation, Reserved},
    owed::Reason,
    runtime::configuration::{ForgottenPolicy, MatchingPolicy},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_OWED, company, customer},
    business_central_simulator::{CompanySettings, Country, CustomerRecord},
    norce_simulator::{Blank, NewAddress, NewCompany, NewCustomer},
    samples::{order_of, order_of_company, person},
};

use uuid::Uuid;

/// What is owed is tried again at least once a day.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An organisation with a number, in a country.
fn organisation(name: &str, number: &str, country: &str) -> NewCompany {
    NewCompany {
        name: Some(name.to_owned()),
        organization_no: Some(number.to_owned()),
        invoice_address: Some(NewAddress {
            line1: Some("Storgatan 1".to_owned()),
            zip_code: Some("114 55".to_owned()),
            city: Some("Stad".to_owned()),
            country_code: Some(country.to_owned()),
            ..NewAddress::default()
        }),
        ..NewCompany::default()
    }
}

/// Both sides know these countries, and the ERP's register is an old one: nothing has checked the numbers in it.
fn of_many_countries(options: &Options) -> Bundle {
    let bundle = Bundle::new(options);
    let codes = ["DE", "DK", "ES", "FI", "FR", "GB", "IE", "NO", "PL", "SE"];
    for (id, code) in (1_000..).zip(codes) {
        bundle.norce.add_country(id, code);
    }
    let erp = bundle.erp_company();
    let configure = |settings: &mut CompanySettings| {
        settings.countries = codes
            .map(|code| Country {
                code: code.to_owned(),
                vat_formats: Vec::new(),
            })
            .to_vec();
    };
    bundle.erp.configure_company(erp, configure).unwrap();
    bundle
}

fn in_erp(bundle: &Bundle, properties: &Value) -> CustomerRecord {
    let company = bundle.erp_company();
    let added = bundle.erp.add_customer(company, properties);
    added.expect("a customer")
}

fn all_in_erp(bundle: &Bundle) -> Vec<CustomerRecord> {
    bundle.erp.customers(bundle.erp_company())
}

fn company_code(bundle: &Bundle, id: i64) -> Option<String> {
    bundle.norce.company(id).unwrap().row.company_code
}

fn customer_code(bundle: &Bundle, id: i64) -> Option<String> {
    bundle.norce.customer(id).unwrap().row.customer_code
}

/// What is owed: why, and the sentence for a person.
async fn owed(bundle: &Bundle) -> Vec<(Reason, String)> {
    let owed = bundle.owed.list().await.unwrap();
    owed.into_iter()
        .map(|owed| (owed.reason, owed.detail))
        .collect()
}

async fn assert_nothing_owed(bundle: &Bundle, case: &str) {
    assert_eq!(owed(bundle).await, [], "{case}");
}

/// Tries again what is owed until it has had its day.
async fn a_day_later(bundle: &Bundle) {
    tokio::time::sleep(DAY).await;
    bundle.retry_owed().await;
    bundle.run_until_quiet().await;
}

/// Another customer registers with the address of one who was forgotten. The record in the ERP was the forgotten one's.
#[tokio::test(start_paused = true)]
async fn p15_the_record_of_a_forgotten_customer_is_nobody_s() {
    for forgotten in [ForgottenPolicy::Keep, ForgottenPolicy::All] {
        let case = format!("{forgotten:?}");
        let bundle = Bundle::new(&Options {
            forgotten,
            order_receiver: true,
            ..Options::default()
        });
        let first = bundle.norce.add_customer(person(1));
        bundle.norce.place_order(order_of(first));
        bundle.post_orders();
        bundle.run_until_quiet().await;
        let [old] = all_in_erp(&bundle).try_into().unwrap();
        bundle.norce.forget_customer(first, &Blank::Null, true);
        bundle.run_until_quiet().await;
        let second = bundle.norce.add_customer(NewCustomer {
            first_name: Some("Beata".to_owned()),
            ..person(1)
        });
        bundle.norce.place_order(order_of(second));
        bundle.post_orders();
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, &case).await;
        let code = customer_code(&bundle, second).unwrap();
        assert_ne!(code, old.number, "{case}");
        let records = all_in_erp(&bundle);
        assert_eq!(records.len(), 2, "{case}");
        let kept = records.iter().find(|record| record.id == old.id).unwrap();
        assert_eq!(kept.display_name, old.display_name, "{case}");
    }
}

/// The same digits in another country are another organisation, for the pass and for the first order alike.
#[tokio::test(start_paused = true)]
async fn p15_the_same_digits_in_another_country_are_another_organisation() {
    // The number in Norce and its country, and the VAT number in the ERP.
    for (number, country, vat_number) in [
        ("13748136", "GB", "DK13748136"),
        ("13748136", "DE", "DK13748136"),
        ("20774740", "DK", "FI20774740"),
        ("923609016", "FR", "NO923609016MVA"),
        ("5560360793", "PL", "SE556036079301"),
        ("123456782", "IE", "GB123456782"),
        ("B12345674", "ES", "DK12345674"),
    ] {
        let case = format!("{number} {country} and {vat_number}");
        let bundle = of_many_countries(&Options::default());
        let stranger = json!({ "displayName": "Kobenhavn ApS", "type": "Company", "taxRegistrationNumber": vat_number });
        let stranger = in_erp(&bundle, &stranger);
        let ours = bundle
            .norce
            .add_company(organisation("London Ltd", number, country));
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        assert_eq!(company_code(&bundle, ours), None, "{case}");
        bundle.norce.place_order(order_of_company(ours));
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, &case).await;
        let code = company_code(&bundle, ours).unwrap();
        assert_ne!(code, stranger.number, "{case}");
        let after = all_in_erp(&bundle);
        assert!(after.contains(&stranger), "{case}");
    }
}

/// A placeholder is no number: two companies that have it are two, it is not sent, and another number beside it counts.
#[tokio::test(start_paused = true)]
async fn p15_a_placeholder_is_no_number() {
    for number in [
        "000000-0000",
        "0000000000",
        "111111-1111",
        "999999-9999",
        "123456-7890",
        "16000000-0000",
        "0",
        "-",
        "saknas",
        "N/A",
        "ingen",
        "x",
    ] {
        let bundle = Bundle::new(&Options::default());
        let firms = ["Beta AB", "Gamma AB"].map(|name| {
            let firm = bundle.norce.add_company(organisation(name, number, "SE"));
            bundle.norce.place_order(order_of_company(firm));
            firm
        });
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, number).await;
        let records = all_in_erp(&bundle);
        let mut names: Vec<&str> = records.iter().map(|it| it.display_name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Beta AB", "Gamma AB"], "{number}");
        assert!(
            records
                .iter()
                .all(|it| it.tax_registration_number.is_empty()),
            "{number}"
        );
        let codes = firms.map(|firm| company_code(&bundle, firm));
        assert!(codes[0].is_some() && codes[0] != codes[1], "{number}");
    }
    for vat_no in ["saknas", "none", "SE000000000001", "-", "SE", "okänt"] {
        let bundle = Bundle::new(&Options::default());
        let firm = bundle.norce.add_company(NewCompany {
            vat_no: Some(vat_no.to_owned()),
            ..organisation("Beta AB", "556036-0793", "SE")
        });
        bundle.norce.place_order(order_of_company(firm));
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, vat_no).await;
        let [record] = all_in_erp(&bundle).try_into().unwrap();
        assert_eq!(record.tax_registration_number, "SE556036079301", "{vat_no}");
    }
}

/// A placeholder address belongs to no customer.
#[tokio::test(start_paused = true)]
async fn p15_a_placeholder_is_no_address() {
    for email in ["saknas@saknas.se", "noemail@shop.se", "none@example.com"] {
        let bundle = Bundle::new(&Options::default());
        for number in [1, 2] {
            let id = bundle.norce.add_customer(NewCustomer {
                email: Some(email.to_owned()),
                ..person(number)
            });
            bundle.norce.place_order(order_of(id));
        }
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, email).await;
        let records = all_in_erp(&bundle);
        let mut names: Vec<&str> = records.iter().map(|it| it.display_name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Anna Ek 1", "Anna Ek 2"], "{email}");
    }
}

/// Two schools of one municipality have its number; the ERP has one of them. The first order of the other and a pass say
/// the same, and what they say ends it.
#[tokio::test(start_paused = true)]
async fn p15_a_shared_number_is_a_question_for_a_person_until_the_record_is_somebody_s() {
    let number = "212000-0142";
    let bundle = Bundle::new(&Options::default());
    let record = json!({ "displayName": "Skola A", "type": "Company", "taxRegistrationNumber": "SE212000014201" });
    let record = in_erp(&bundle, &record);
    let [a, b] = ["Skola A", "Skola B"]
        .map(|name| bundle.norce.add_company(organisation(name, number, "SE")));
    bundle.norce.place_order(order_of_company(b));
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_eq!(all_in_erp(&bundle), std::slice::from_ref(&record));
    assert_eq!([a, b].map(|id| company_code(&bundle, id)), [None, None]);
    let texts = owed(&bundle).await;
    assert_eq!(texts.len(), 2, "{texts:?}");
    for (reason, text) in &texts {
        assert_eq!(*reason, Reason::Conflict);
        assert!(
            text.contains("which record is whose cannot be told"),
            "{text}"
        );
        assert!(text.contains(&record.number), "{text}");
    }
    // "Put each record's code on its company in Norce."
    bundle.norce.change_company(a, |company| {
        company.row.company_code = Some(record.number.clone())
    });
    bundle.run_until_quiet().await;
    a_day_later(&bundle).await;
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_nothing_owed(&bundle, "the advice was followed").await;
    let after = all_in_erp(&bundle);
    assert_eq!(after.len(), 2);
    assert!(
        after
            .iter()
            .any(|it| it.id == record.id && it.display_name == "Skola A")
    );
    let code = company_code(&bundle, b).unwrap();
    assert!(
        after
            .iter()
            .any(|it| it.number == code && it.display_name == "Skola B")
    );
}

/// Two of a municipality order at the same time: the record that one of them is making is no question for a person.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_being_made_for_another_is_waited_for() {
    let bundle = Bundle::new(&Options::default());
    let record = json!({ "displayName": "Skola A", "type": "Company", "taxRegistrationNumber": "SE212000014201" });
    let record = in_erp(&bundle, &record);
    let [a, b] = ["Skola A", "Skola B"].map(|name| {
        bundle
            .norce
            .add_company(organisation(name, "212000-0142", "SE"))
    });
    bundle.run_until_quiet().await;
    let now = bundle.clock.now();
    let reservation = Reservation {
        token: Uuid::new_v4(),
        since: now,
        until: now + TimeDelta::minutes(10),
        natural_key: None,
    };
    let reserved = bundle.mappings.reserve(company(a), reservation).await;
    assert_eq!(reserved.unwrap(), Reserved::New);
    bundle.norce.place_order(order_of_company(b));
    bundle.run_for(Duration::from_secs(60)).await;
    assert_nothing_owed(&bundle, "it waits").await;
    assert_eq!(all_in_erp(&bundle), std::slice::from_ref(&record));
    let id = ErpId {
        resource: Resource::Customer,
        id: record.id.to_string(),
    };
    let code = record.number.parse().unwrap();
    let binding = Binding::new(code, id, CodeDelivery::Pending);
    let bound = bundle.mappings.bind(company(a), binding).await;
    assert_eq!(bound.unwrap(), Bound::Done);
    bundle.run_until_quiet().await;
    assert_nothing_owed(&bundle, "both have a record").await;
    assert_eq!(all_in_erp(&bundle).len(), 2);
    assert!(company_code(&bundle, b).is_some_and(|code| code != record.number));
}

/// The other way that the text names: none of the records is this one's.
#[tokio::test(start_paused = true)]
async fn p15_a_shared_number_ends_as_well_with_a_record_made_by_hand() {
    let bundle = Bundle::new(&Options::default());
    let record = json!({ "displayName": "Skola C", "type": "Company", "taxRegistrationNumber": "SE212000014201" });
    let record = in_erp(&bundle, &record);
    let [a, b] = ["Skola A", "Skola B"].map(|name| {
        bundle
            .norce
            .add_company(organisation(name, "212000-0142", "SE"))
    });
    bundle.norce.place_order(order_of_company(b));
    bundle.run_until_quiet().await;
    assert_eq!(owed(&bundle).await.len(), 1);
    let made = in_erp(
        &bundle,
        &json!({ "displayName": "Skola B", "type": "Company" }),
    );
    bundle.norce.change_company(b, |company| {
        company.row.company_code = Some(made.number.clone())
    });
    bundle.run_until_quiet().await;
    assert_nothing_owed(&bundle, "the advice was followed").await;
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(company(b)).await.unwrap() else {
        panic!("not bound");
    };
    assert_eq!(binding.code.as_str(), made.number);
    assert_eq!(company_code(&bundle, a), None);
    assert!(all_in_erp(&bundle).contains(&record));
}

/// Several of a municipality, none of which the ERP has: each gets its own record, and so do those that come later.
#[tokio::test(start_paused = true)]
async fn companies_that_share_a_number_get_records_of_their_own() {
    let bundle = Bundle::new(&Options::default());
    let schools: Vec<i64> = (0..4)
        .map(|school| {
            let name = format!("Skola {school}");
            bundle
                .norce
                .add_company(organisation(&name, "212000-0142", "SE"))
        })
        .collect();
    for school in &schools[..3] {
        bundle.norce.place_order(order_of_company(*school));
    }
    bundle.run_until_quiet().await;
    bundle.norce.place_order(order_of_company(schools[3]));
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_nothing_owed(&bundle, "four schools").await;
    let records = all_in_erp(&bundle);
    assert_eq!(records.len(), 4);
    for school in schools {
        let name = bundle.norce.company(school).unwrap().row.name.unwrap();
        let code = company_code(&bundle, school).unwrap();
        assert!(
            records
                .iter()
                .any(|it| it.number == code && it.display_name == name)
        );
    }
}

/// A number is the same in every spelling of either side.
#[tokio::test(start_paused = true)]
async fn an_organisation_is_found_in_any_spelling() {
    let spellings: [(&str, &[&str], &[&str]); 5] = [
        (
            "SE",
            &[
                "556036-0793",
                "5560360793",
                "16556036-0793",
                "165560360793",
                "SE556036079301",
            ],
            &[
                "SE556036079301",
                "SE 556036-0793 01",
                "556036079301",
                "5560360793",
                "556036-0793",
            ],
        ),
        (
            "DK",
            &[
                "13748136",
                "13 74 81 36",
                "DK13748136",
                "DK 13748136",
                "CVR 13748136",
            ],
            &["13748136", "DK13748136", "DK 13 74 81 36", "DK-13748136"],
        ),
        (
            "NO",
            &["923609016", "923 609 016", "923 609 016 MVA", "NO923609016"],
            &[
                "NO923609016MVA",
                "NO 923 609 016 MVA",
                "923609016",
                "NO923609016",
            ],
        ),
        (
            "FI",
            &["2077474-0", "20774740", "FI20774740"],
            &["FI20774740", "2077474-0", "FI 2077474-0"],
        ),
        (
            "GB",
            &["GB 123 4567 82", "123456782", "GB123456782"],
            &[
                "GB123456782",
                "GB 123 4567 82",
                "GB 123456782",
                "123 4567 82",
            ],
        ),
    ];
    for (country, in_norce, stored) in spellings {
        for (number, vat_number) in in_norce
            .iter()
            .flat_map(|number| stored.iter().map(move |vat_number| (*number, *vat_number)))
        {
            for with_vat_number in [false, true] {
                let case = format!("{number} {country} and {vat_number}, {with_vat_number}");
                let bundle = of_many_countries(&Options::default());
                let record = json!({ "displayName": "Bolaget", "type": "Company", "country": country,
                    "taxRegistrationNumber": vat_number });
                let record = in_erp(&bundle, &record);
                let mut ours = organisation("Bolaget", number, country);
                if with_vat_number {
                    ours.vat_no = ours.organization_no.take();
                }
                let ours = bundle.norce.add_company(ours);
                bundle.norce.place_order(order_of_company(ours));
                bundle.run_until_quiet().await;
                assert_nothing_owed(&bundle, &case).await;
                assert_eq!(all_in_erp(&bundle).len(), 1, "{case}");
                assert_eq!(company_code(&bundle, ours), Some(record.number), "{case}");
            }
        }
    }
}

/// The ERP decides whether letters count.
#[tokio::test(start_paused = true)]
async fn a_code_is_compared_as_the_erp_compares_it() {
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    let record = json!({ "number": "K1001", "displayName": "Anna Ek 1", "type": "Person", "email": "anna.1@example.com" });
    let record = in_erp(&bundle, &record);
    let anna = bundle.norce.add_customer(NewCustomer {
        code: Some("k1001".to_owned()),
        ..person(1)
    });
    for _ in 0..3 {
        bundle.norce.place_order(order_of(anna));
        bundle.post_orders();
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, "k1001").await;
    }
    assert_eq!(all_in_erp(&bundle).len(), 1);
    assert_eq!(all_in_erp(&bundle)[0].id, record.id);
    assert_eq!(bundle.take_outgoing_orders().len(), 3);
}

/// A closed account is no silent match: the order waits for a person, and each way of the text ends it.
#[tokio::test(start_paused = true)]
async fn a_blocked_record_is_matched_by_no_key() {
    for unblock in [true, false] {
        let bundle = Bundle::new(&Options {
            order_receiver: true,
            ..Options::default()
        });
        let record = json!({ "displayName": "Anna Ek 1", "type": "Person", "email": "anna.1@example.com", "blocked": "All" });
        let record = in_erp(&bundle, &record);
        let anna = bundle.norce.add_customer(person(1));
        bundle.norce.place_order(order_of(anna));
        bundle.post_orders();
        bundle.quiet_within(UNTIL_OWED).await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        assert_eq!(customer_code(&bundle, anna), None);
        assert!(bundle.norce.customer(anna).unwrap().row.is_active);
        assert_eq!(bundle.take_outgoing_orders().len(), 0);
        let texts = owed(&bundle).await;
        assert!(
            texts
                .iter()
                .any(|(_, text)| text.contains("is blocked: unblock it")),
            "{texts:?}"
        );
        let erp = bundle.erp_company();
        if unblock {
            bundle
                .erp
                .edit_customer(erp, record.id, &json!({ "blocked": " " }))
                .unwrap();
        } else {
            let other = in_erp(
                &bundle,
                &json!({ "displayName": "Anna Ek 1", "type": "Person" }),
            );
            bundle.norce.change_customer(anna, |customer| {
                customer.row.customer_code = Some(other.number);
            });
        }
        bundle.run_until_quiet().await;
        a_day_later(&bundle).await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        let texts = owed(&bundle).await;
        let of_record = |text: &str| !unblock && text.contains(&record.number);
        assert!(
            texts.iter().all(|(_, text)| of_record(text)),
            "{unblock}: {texts:?}"
        );
        assert_eq!(bundle.take_outgoing_orders().len(), 1, "{unblock}");
    }
}

/// Norce can make up codes: such a one gives way to the ERP's.
#[tokio::test(start_paused = true)]
async fn a_code_that_is_not_the_erp_s_gives_way_to_it() {
    for erp_codes in ["known", "C*"] {
        let bundle = Bundle::new(&Options {
            order_receiver: true,
            matching: MatchingPolicy {
                erp_codes: erp_codes.parse().unwrap(),
                ..MatchingPolicy::default()
            },
            ..Options::default()
        });
        // One is new to the ERP, the other is there.
        let known =
            json!({ "displayName": "Anna Ek 2", "type": "Person", "email": "anna.2@example.com" });
        let known = in_erp(&bundle, &known);
        let ids = [1, 2].map(|number| {
            let id = bundle.norce.add_customer(NewCustomer {
                code: Some(format!("1000{number}")),
                ..person(number)
            });
            bundle.norce.place_order(order_of(id));
            id
        });
        bundle.post_orders();
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, erp_codes).await;
        let records = all_in_erp(&bundle);
        assert_eq!(records.len(), 2, "{erp_codes}");
        let codes = ids.map(|id| customer_code(&bundle, id).unwrap());
        assert!(
            records.iter().any(|it| it.number == codes[0]),
            "{erp_codes}"
        );
        assert_eq!(codes[1], known.number, "{erp_codes}");
        assert_eq!(bundle.take_outgoing_orders().len(), 2, "{erp_codes}");
    }
}

/// Old registers have consumers of the type that organisations have: by its code such a record is the customer that Norce
/// says it is.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_matched_by_code_is_what_norce_says_it_is() {
    let bundle = Bundle::new(&Options::default());
    let record =
        json!({ "displayName": "Anna Ek 1", "type": "Company", "email": "anna.1@example.com" });
    let record = in_erp(&bundle, &record);
    let anna = bundle.norce.add_customer(NewCustomer {
        code: Some(record.number.clone()),
        ..person(1)
    });
    for phone in ["08-1", "08-2"] {
        bundle.norce.change_customer(anna, |customer| {
            customer.row.phone_number = Some(phone.to_owned());
        });
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        assert_nothing_owed(&bundle, phone).await;
        assert_eq!(all_in_erp(&bundle).len(), 1);
    }
    assert_eq!(all_in_erp(&bundle)[0].phone_number, "08-2");
    let bound = bundle.mappings.get(customer(anna)).await.unwrap();
    assert!(matches!(bound, Some(Mapping::Bound(_))));
}

/// What a person is in the ERP is the merchant's to say where the ERP's types say something else.
#[tokio::test(start_paused = true)]
async fn the_rule_for_persons_decides_what_a_key_finds() {
    let consumer =
        json!({ "displayName": "Anna Ek 1", "type": "Company", "email": "anna.1@example.com" });
    let trader = json!({ "displayName": "Bolaget", "type": "Person", "country": "SE", "taxRegistrationNumber": "SE556036079301" });
    // Whether the consumer is found by the address, and the organisation by its number.
    for (persons, finds_consumer, finds_trader) in [
        (PersonRule::ByType, false, false),
        (PersonRule::WithoutNumber, true, true),
        (PersonRule::All, true, false),
    ] {
        for by_pass in [false, true] {
            let case = format!("{persons}, by a pass: {by_pass}");
            let bundle = of_many_countries(&Options {
                persons,
                ..Options::default()
            });
            let [consumer, trader] = [&consumer, &trader].map(|record| in_erp(&bundle, record));
            let anna = bundle.norce.add_customer(person(1));
            let firm = bundle
                .norce
                .add_company(organisation("Bolaget", "556036-0793", "SE"));
            bundle.run_until_quiet().await;
            if by_pass {
                bundle.pass(PassMode::Full).await;
            } else {
                bundle.norce.place_order(order_of(anna));
                bundle.norce.place_order(order_of_company(firm));
            }
            bundle.run_until_quiet().await;
            assert_nothing_owed(&bundle, &case).await;
            let of_anna = customer_code(&bundle, anna);
            assert_eq!(of_anna == Some(consumer.number), finds_consumer, "{case}");
            let of_firm = company_code(&bundle, firm);
            assert_eq!(of_firm == Some(trader.number), finds_trader, "{case}");
            let made = 2 - usize::from(finds_consumer) - usize::from(finds_trader);
            let made = if by_pass { 0 } else { made };
            assert_eq!(all_in_erp(&bundle).len(), 2 + made, "{case}");
        }
    }
}

/// The ERP keeps the people of vendors and of other customers in one list of contacts.
#[tokio::test(start_paused = true)]
async fn p15_a_contact_is_matched_by_code_in_its_own_organisation_only() {
    for of_own in [true, false] {
        let bundle = Bundle::new(&Options::default());
        let erp = bundle.erp_company();
        let [own, other] = ["Own AB", "Other AB"]
            .map(|name| in_erp(&bundle, &json!({ "displayName": name, "type": "Company" })));
        let organisation_of = |name: &str| {
            let contacts = bundle.erp.contacts(erp);
            let contact = contacts.into_iter().find(|it| it.display_name == name);
            contact.expect("a company contact").number
        };
        let of = organisation_of(if of_own { "Own AB" } else { "Other AB" });
        let contact = json!({ "number": "CT900", "type": "Person", "displayName": "Bo Berg", "companyNumber": of });
        let contact = bundle.erp.add_contact(erp, &contact).unwrap();
        let firm = bundle.norce.add_company(NewCompany {
            code: Some(own.number.clone()),
            name: Some("Own AB".to_owned()),
            ..NewCompany::default()
        });
        let anna = bundle.norce.add_customer(NewCustomer {
            code: Some("CT900".to_owned()),
            ..person(1)
        });
        bundle.norce.link(anna, firm, true);
        bundle.run_until_quiet().await;
        bundle.norce.change_customer(anna, |customer| {
            customer.row.phone_number = Some("08-1".to_owned());
        });
        bundle.run_until_quiet().await;
        let after = bundle.erp.contacts(erp);
        let after = after.iter().find(|it| it.id == contact.id).unwrap();
        let texts = owed(&bundle).await;
        if of_own {
            assert_eq!(texts, [], "{other:?}");
            assert_eq!(after.phone_number, "08-1");
        } else {
            assert_eq!(
                after, &contact,
                "another organisation's contact is left as it is"
            );
            assert_eq!(texts.len(), 1, "{texts:?}");
            assert!(
                texts[0].1.contains("a contact of another organisation"),
                "{texts:?}"
            );
            // "move the contact in the ERP"
            let moved = json!({ "companyNumber": organisation_of("Own AB") });
            bundle.erp.edit_contact(erp, contact.id, &moved).unwrap();
            a_day_later(&bundle).await;
            assert_nothing_owed(&bundle, "the contact was moved").await;
        }
    }
}

/// The domain of an address has two forms, and either side may hold either.
#[tokio::test(start_paused = true)]
async fn an_address_is_found_in_either_form_of_its_domain() {
    let forms = [
        "asta@exämple.se",
        "Asta@EXÄMPLE.se",
        "asta@xn--exmple-cua.se",
    ];
    for in_norce in forms {
        for stored in forms {
            for by_pass in [false, true] {
                let case = format!("{in_norce} and {stored}, by a pass: {by_pass}");
                let bundle = Bundle::new(&Options::default());
                let record = json!({ "displayName": "Asta Ek", "type": "Person", "email": stored });
                let record = in_erp(&bundle, &record);
                let asta = bundle.norce.add_customer(NewCustomer {
                    email: Some(in_norce.to_owned()),
                    ..person(1)
                });
                bundle.run_until_quiet().await;
                if by_pass {
                    bundle.pass(PassMode::Full).await;
                } else {
                    bundle.norce.place_order(order_of(asta));
                }
                bundle.run_until_quiet().await;
                assert_nothing_owed(&bundle, &case).await;
                assert_eq!(all_in_erp(&bundle).len(), 1, "{case}");
                assert_eq!(customer_code(&bundle, asta), Some(record.number), "{case}");
            }
        }
    }
}
