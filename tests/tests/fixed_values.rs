//! Values that new records of the ERP get (`ERP_FIXED_VALUES`), with the simulated Business Central, in one process and on
//! paused time. `tests/conformance` checks for every ERP that they are set by the create and kept by updates.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    domain::{ErpId, PassMode, Resource},
    erp::Erp,
    owed::{Owed, Reason},
};
use tests::{
    bundle::{self, Bundle, Options},
    business_central_simulator::{
        CustomerRecord, Entity, Fault, LostAnswer, ReferenceRow, ReferenceTables,
    },
    norce_simulator::{NewAddress, NewCompany, NewCustomer, NewOrder},
    samples::{self, order},
};
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3_600);

/// Everything that a customer of Business Central can have.
const EVERYTHING: &str = r#"[
    {"set":{"paymentTerms":"30d","paymentMethod":"INVOICE","shipmentMethod":"EXW","currency":"SEK",
        "salesperson":"AH","taxArea":"DOMESTIC","dimensions":{"DEPARTMENT":"SHOP","AREA":"10"}}},
    {"when":{"kind":"companies","country":"NO"},"set":{"currency":"EUR","taxArea":"EU"}}]"#;
const DIMENSIONS: &str = r#"[{"set":{"dimensions":{"DEPARTMENT":"SHOP","AREA":"10"}}}]"#;

fn options(fixed_values: &'static str) -> Options {
    Options {
        fixed_values,
        ..Options::default()
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

async fn anna(bundle: &Bundle) -> i64 {
    let id = bundle.norce.add_customer(NewCustomer {
        phone: some("08-123 45"),
        ..samples::anna()
    });
    bundle.norce.place_order(order(Some(id), None));
    bundle.run_until_quiet().await;
    id
}

fn in_erp(bundle: &Bundle) -> CustomerRecord {
    let mut customers = bundle.erp.customers(bundle.erp_company());
    assert_eq!(customers.len(), 1, "{customers:?}");
    customers.remove(0)
}

fn dimensions(bundle: &Bundle, customer: Uuid) -> Vec<(String, String)> {
    bundle.erp.dimensions(bundle.erp_company(), customer)
}

fn shop_and_ten() -> Vec<(String, String)> {
    [("AREA", "10"), ("DEPARTMENT", "SHOP")]
        .map(|(code, value)| (code.to_owned(), value.to_owned()))
        .to_vec()
}

fn tables(bundle: &Bundle) -> ReferenceTables {
    let mut tables = ReferenceTables::default();
    let company = bundle.erp_company();
    let read = bundle
        .erp
        .configure_company(company, |settings| tables = settings.tables.clone());
    read.unwrap();
    tables
}

fn id_of(rows: &[ReferenceRow], code: &str) -> Uuid {
    rows.iter().find(|row| row.code == code).unwrap().id
}

async fn owed(bundle: &Bundle) -> Vec<Owed> {
    bundle.owed.list().await.unwrap()
}

fn writes(bundle: &Bundle) -> usize {
    bundle.erp.requests().writes.len()
}

/// A pass would bind the record, and then nobody would know that something is still to follow its create.
#[tokio::test(start_paused = true)]
async fn dimensions_follow_a_create_whose_record_a_pass_sees_first() {
    let bundle = Bundle::new(&options(DIMENSIONS));
    // Longer than a create is waited for.
    let slow = Fault::slow_work(7 * Duration::from_secs(60));
    let slow = slow.on(Method::POST, Entity::Customers).times(1);
    bundle.erp.inject(slow);
    let id = bundle.norce.add_customer(samples::anna());
    bundle.norce.place_order(order(Some(id), None));
    // The message of the order comes back later than this.
    bundle.run_for(8 * Duration::from_secs(60)).await;
    let record = in_erp(&bundle);
    assert_eq!(dimensions(&bundle, record.id), []);
    bundle.pass(PassMode::Full).await;
    bundle.quiet_within(HOUR).await;
    assert_eq!(dimensions(&bundle, record.id), shop_and_ten());
    assert_eq!(bundle.customer_code(id), Some(record.number));
}

#[tokio::test(start_paused = true)]
async fn a_new_customer_gets_every_value_of_its_kind_and_country() {
    let bundle = Bundle::new(&options(EVERYTHING));
    let tables = tables(&bundle);
    anna(&bundle).await;
    let record = in_erp(&bundle);
    assert_eq!(record.payment_terms_id, id_of(&tables.payment_terms, "30D"));
    assert_eq!(
        record.payment_method_id,
        id_of(&tables.payment_methods, "INVOICE")
    );
    assert_eq!(
        record.shipment_method_id,
        id_of(&tables.shipment_methods, "EXW")
    );
    assert_eq!(record.tax_area_id, id_of(&tables.tax_areas, "DOMESTIC"));
    assert_eq!(record.currency_code, "SEK");
    assert_eq!(record.salesperson_code, "AH");
    assert_eq!(dimensions(&bundle, record.id), shop_and_ten());

    let firm = bundle.norce.add_company(NewCompany {
        name: some("Bolaget AS"),
        invoice_address: Some(tests::norce_simulator::NewAddress {
            country_code: some("NO"),
            ..samples::address("Storgata 1")
        }),
        ..NewCompany::default()
    });
    bundle.norce.place_order(order(None, Some(firm)));
    bundle.run_until_quiet().await;
    let customers = bundle.erp.customers(bundle.erp_company());
    let firm = customers.iter().find(|it| it.r#type == "Company").unwrap();
    assert_eq!(firm.country, "NO");
    assert_eq!(firm.currency_code, "EUR");
    assert_eq!(firm.tax_area_id, id_of(&tables.tax_areas, "EU"));
    assert_eq!(firm.payment_terms_id, id_of(&tables.payment_terms, "30D"));
    assert_eq!(dimensions(&bundle, firm.id), shop_and_ten());
}

/// P14: an application's values are for its own register.
#[tokio::test(start_paused = true)]
async fn p14_an_application_has_values_of_its_own() {
    let bundle = Bundle::new(&Options {
        registers: shared::domain::Registers::Applications,
        ..options(
            r#"[{"set":{"salesperson":"AH"}},{"when":{"application":2},"set":{"salesperson":"JD"}}]"#,
        )
    });
    for (application, number) in [(1, 0), (2, 1)] {
        let customer = bundle.norce.add_customer(NewCustomer {
            application_id: Some(application),
            email: Some(format!("anna.{number}@example.com")),
            ..samples::anna()
        });
        bundle.norce.place_order(NewOrder {
            application_id: application,
            ..order(Some(customer), None)
        });
    }
    bundle.run_until_quiet().await;
    let companies = bundle.erp.companies();
    let salesperson = |place: usize| {
        let customers = bundle.erp.customers(companies[place]);
        let codes = customers.into_iter().map(|it| it.salesperson_code);
        codes.collect::<Vec<_>>()
    };
    assert_eq!([salesperson(0), salesperson(1)], [["AH"], ["JD"]]);
}

/// Values are looked up once in a process, and what people change in the ERP stays.
#[tokio::test(start_paused = true)]
async fn p5_an_update_leaves_fixed_values_as_they_are_in_the_erp() {
    let bundle = Bundle::new(&options(EVERYTHING));
    let customer = anna(&bundle).await;
    let record = in_erp(&bundle);
    let looked_up = bundle
        .erp
        .requests()
        .count(&Method::GET, Entity::References);
    let cod = id_of(&tables(&bundle).payment_terms, "COD");
    let edit = json!({ "paymentTermsId": cod, "salespersonCode": "JD" });
    let edited = bundle
        .erp
        .edit_customer(bundle.erp_company(), record.id, &edit);
    edited.unwrap();
    let before = writes(&bundle);
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = some("08-999 99");
    });
    bundle.run_until_quiet().await;
    let record = in_erp(&bundle);
    assert_eq!(record.phone_number, "08-999 99");
    assert_eq!(record.payment_terms_id, cod);
    assert_eq!(record.salesperson_code, "JD");
    assert_eq!(writes(&bundle), before + 1);
    let again = bundle
        .erp
        .requests()
        .count(&Method::GET, Entity::References);
    assert_eq!(again, looked_up);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_says_so_holds_for_updates_too_dimensions_among_them() {
    let bundle = Bundle::new(&options(
        r#"[{"set":{"paymentTerms":"30D","dimensions":{"DEPARTMENT":"SHOP"}},"also":"update"},
            {"set":{"dimensions":{"AREA":"10"}}}]"#,
    ));
    let company = bundle.erp_company();
    let record = json!({ "number": "K1", "displayName": "Anna Ek", "type": "Person" });
    let record = bundle.erp.add_customer(company, &record).unwrap();
    let customer = bundle.norce.add_customer(NewCustomer {
        code: some("K1"),
        ..samples::anna()
    });
    bundle.norce.place_order(order(Some(customer), None));
    bundle.run_until_quiet().await;
    for phone in ["08-999 97", "08-999 98"] {
        bundle.norce.change_customer(customer, |record| {
            record.row.phone_number = some(phone);
        });
        bundle.run_until_quiet().await;
    }
    let terms = id_of(&tables(&bundle).payment_terms, "30D");
    assert_eq!(in_erp(&bundle).payment_terms_id, terms);
    let department = vec![("DEPARTMENT".to_owned(), "SHOP".to_owned())];
    assert_eq!(dimensions(&bundle, record.id), department);
    assert!(owed(&bundle).await.is_empty(), "{:?}", bundle.owed);
    // What is there is not written again.
    let before = writes(&bundle);
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = some("08-999 99");
    });
    bundle.run_until_quiet().await;
    assert_eq!(writes(&bundle), before + 1);
}

/// P2: what a create leaves is made good, wherever it is cut off.
#[tokio::test(start_paused = true)]
async fn p2_dimensions_follow_the_create_wherever_it_is_cut_off() {
    let down = || Fault::status(StatusCode::SERVICE_UNAVAILABLE);
    let lost = || Fault::lost_answer(LostAnswer::ConnectionClosed);
    for (which, fault) in [
        down().on(Method::POST, Entity::DefaultDimensions).times(3),
        down().on(Method::GET, Entity::DefaultDimensions).times(9),
        lost().on(Method::POST, Entity::DefaultDimensions).times(1),
        lost().on(Method::POST, Entity::Customers).times(1),
        // The second dimension, when the first is written.
        down()
            .on(Method::POST, Entity::DefaultDimensions)
            .after(1)
            .times(3),
    ]
    .into_iter()
    .enumerate()
    {
        let bundle = Bundle::new(&options(DIMENSIONS));
        bundle.erp.inject(fault);
        anna(&bundle).await;
        tokio::time::sleep(HOUR).await;
        bundle.retry_owed().await;
        bundle.run_until_quiet().await;
        let record = in_erp(&bundle);
        assert_eq!(dimensions(&bundle, record.id), shop_and_ten(), "{which}");
        assert!(owed(&bundle).await.is_empty(), "{which}: {:?}", bundle.owed);
    }
}

/// What the create flow asks of the adapter can be asked again, and also of a record that is gone.
/// The server moves the address to another country, so that an update follows the create. The dimensions come first.
#[tokio::test(start_paused = true)]
async fn a_record_that_the_erp_has_altered_gets_its_dimensions_too() {
    let bundle = Bundle::new(&options(DIMENSIONS));
    let id = bundle.norce.add_customer(NewCustomer {
        invoice_address: Some(NewAddress {
            line1: some("Karl Johans gate 1"),
            // Of Stockholm, in the table of the ERP.
            zip_code: some("111 20"),
            city: some("Oslo"),
            country_code: some("NO"),
            ..NewAddress::default()
        }),
        ..samples::anna()
    });
    bundle.norce.place_order(order(Some(id), None));
    bundle.quiet_within(bundle::UNTIL_OWED).await;
    let record = in_erp(&bundle);
    assert_eq!([&*record.country, &*record.city], ["NO", "Oslo"]);
    assert_eq!(dimensions(&bundle, record.id), shop_and_ten());
    assert_eq!(bundle.customer_code(id), Some(record.number));
    let owed = owed(&bundle).await;
    assert_eq!(owed.len(), 1);
    assert!(
        owed[0].detail.contains("postal-code-of-another-country"),
        "{owed:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn completing_a_record_again_changes_nothing() {
    let bundle = Bundle::new(&options(DIMENSIONS));
    anna(&bundle).await;
    let record = in_erp(&bundle);
    let erps = bundle.operator.doctor.erps.as_ref().unwrap();
    let erp: &dyn Erp = erps.values().next().unwrap().as_ref();
    let party = samples::party(shared::erp::PartyKind::Person, "Anna Ek");
    let id = |id: Uuid| ErpId {
        resource: Resource::Customer,
        id: id.to_string(),
    };
    let soon = || shared::http::Deadline::after(HOUR);
    let before = writes(&bundle);
    erp.complete(&id(record.id), &party, soon()).await.unwrap();
    assert_eq!(writes(&bundle), before);
    erp.complete(&id(Uuid::new_v4()), &party, soon())
        .await
        .unwrap();
}

/// The refusal is owed, names the parameter and the value and nobody, and nothing is created until it is corrected.
#[tokio::test(start_paused = true)]
async fn p11_a_value_that_the_erp_does_not_have_is_owed_and_nothing_is_created() {
    for (fixed, text) in [
        (
            r#"[{"set":{"paymentTerms":"60D"}}]"#,
            "rule 1 of ErpFixedValues sets `paymentTerms` to `60D`, and the page Payment Terms of Business Central has no such code: add it there, or correct the parameter",
        ),
        (
            r#"[{"set":{"currency":"SEK"}},{"set":{"currency":"NOK"}}]"#,
            "rule 2 of ErpFixedValues sets `currency` to `NOK`, and the page Currencies of Business Central has no such code",
        ),
        (
            r#"[{"set":{"taxArea":"MOON"}}]"#,
            "rule 1 of ErpFixedValues sets `taxArea` to `MOON`, and the page VAT Business Posting Groups",
        ),
        (
            r#"[{"set":{"dimensions":{"MOON":"SHOP"}}}]"#,
            "rule 1 of ErpFixedValues sets `dimensions.MOON` to `SHOP`, and the page Dimensions of Business Central has no code `MOON`",
        ),
        (
            // A value of another dimension.
            r#"[{"set":{"dimensions":{"AREA":"SHOP"}}}]"#,
            "rule 1 of ErpFixedValues sets `dimensions.AREA` to `SHOP`, and the dimension `AREA` of Business Central has no such value",
        ),
    ] {
        let bundle = Bundle::new(&options(fixed));
        anna(&bundle).await;
        let listed = owed(&bundle).await;
        let [owed] = listed.as_slice() else {
            panic!("{listed:?}");
        };
        assert_eq!(owed.reason, Reason::Validation);
        assert!(owed.detail.contains(text), "{}", owed.detail);
        assert!(!owed.detail.contains("Anna"), "{}", owed.detail);
        assert_eq!(bundle.erp.customers(bundle.erp_company()).len(), 0);
        assert_eq!(writes(&bundle), 0);
        let doctor = json!({ "action": "doctor", "part": "erp" });
        let report = bundle.ask(doctor).await.unwrap();
        let faults: Vec<&Value> = checks(&report).filter(|it| it["ok"] == false).collect();
        let [fault] = faults.as_slice() else {
            panic!("{report:#}");
        };
        assert_eq!(fault["check"], "erp client: fixed values");
        assert!(
            fault["detail"].as_str().unwrap().contains(text),
            "{fault:#}"
        );
        let fix = fault["fix"].as_str().unwrap();
        assert!(fix.starts_with("Correct the code or name in ErpFixedValues"));
    }
}

fn checks(report: &Value) -> impl Iterator<Item = &Value> {
    report["checks"].as_array().unwrap().iter()
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_added_in_the_erp_lets_the_owed_create_succeed() {
    let bundle = Bundle::new(&options(r#"[{"set":{"paymentTerms":"60D"}}]"#));
    let customer = anna(&bundle).await;
    assert_eq!(owed(&bundle).await.len(), 1);
    let row = ReferenceRow::coded("60D");
    let added = row.clone();
    let company = bundle.erp_company();
    let configured = bundle.erp.configure_company(company, |settings| {
        settings.tables.payment_terms.push(added);
    });
    configured.unwrap();
    bundle
        .ask(json!({ "action": "owed", "do": "retry" }))
        .await
        .unwrap();
    bundle.run_until_quiet().await;
    assert_eq!(in_erp(&bundle).payment_terms_id, row.id);
    assert!(owed(&bundle).await.is_empty());
    assert!(bundle.binding(bundle::customer(customer)).await.is_some());
}

/// A person who asks what would happen sees the create, and nothing is written.
#[tokio::test(start_paused = true)]
async fn p10_explaining_a_create_with_dimensions_writes_nothing() {
    let bundle = Bundle::new(&options(DIMENSIONS));
    let customer = bundle.norce.add_customer(samples::anna());
    bundle.norce.place_order(order(Some(customer), None));
    let explained = bundle
        .ask(json!({ "action": "explain", "id": customer }))
        .await
        .unwrap();
    let now = explained["now"].to_string();
    assert!(now.contains("creat"), "{explained:#}");
    assert_eq!(writes(&bundle), 0);
}
