//! Registers of Business Central as merchants have them: countries of their own, no country, vendors. In one process, with
//! the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use serde_json::json;
use shared::{
    domain::PassMode,
    owed::{OwedRecords, Stage, Subject},
};
use tests::{
    bundle::{Bundle, Options, company, customer},
    business_central_simulator::{CompanySettings, Country},
    norce_simulator::{NewAddress, NewCompany, NewCustomer},
    samples::{order_of, order_of_company},
};

fn bundle(options: &Options, set_up: impl FnOnce(&mut CompanySettings)) -> Bundle {
    let bundle = Bundle::new(options);
    let configured = bundle.erp.configure_company(bundle.erp_company(), set_up);
    configured.expect("a company");
    bundle
}

/// Leaves these codes in the table "Country/Region".
fn only_countries(codes: &'static [&'static str]) -> impl FnOnce(&mut CompanySettings) {
    move |company| {
        company.home_country = codes[0].to_owned();
        company.countries = codes
            .iter()
            .map(|code| Country {
                code: (*code).to_owned(),
                vat_formats: Vec::new(),
            })
            .collect();
    }
}

fn person_in(country: &str) -> NewCustomer {
    NewCustomer {
        first_name: Some("Eleni".to_owned()),
        last_name: Some("Pappa".to_owned()),
        email: Some("eleni@example.com".to_owned()),
        invoice_address: Some(NewAddress {
            line1: Some("Ermou 1".to_owned()),
            zip_code: Some("105 63".to_owned()),
            city: Some("Athina".to_owned()),
            country_code: Some(country.to_owned()),
            ..NewAddress::default()
        }),
        ..NewCustomer::default()
    }
}

#[tokio::test(start_paused = true)]
async fn k13_countries_go_out_as_the_erp_names_them() {
    for (countries, configured, sent) in [
        (&["SE", "EL"][..], "", "EL"),
        (&["SE", "GR", "EL"], "", "GR"),
        (&["SE", "HELLAS"], "GR=HELLAS", "HELLAS"),
    ] {
        let options = Options {
            erp_countries: configured,
            home_country: "SE",
            ..Options::default()
        };
        let bundle = bundle(&options, only_countries(countries));
        bundle.norce.add_country(300, "GR");
        let eleni = bundle.norce.add_customer(person_in("GR"));
        bundle.norce.place_order(order_of(eleni));
        bundle.run_until_quiet().await;
        let there = bundle.erp.customers(bundle.erp_company());
        assert_eq!(there.len(), 1, "{configured}");
        assert_eq!(there[0].country, sent);
        // What is in step is not written again.
        let writes = bundle.erp.requests().carried_out().count();
        bundle
            .norce
            .change_customer(eleni, |row| row.row.title = None);
        bundle.run_until_quiet().await;
        assert_eq!(bundle.erp.requests().carried_out().count(), writes);
    }
}

/// Business Central leaves the country blank for its own.
#[tokio::test(start_paused = true)]
async fn e9_a_blank_country_is_the_home_country_and_stays_blank() {
    let options = Options {
        home_country: "SE",
        ..Options::default()
    };
    let bundle = bundle(&options, |_| {});
    let there = json!({ "number": "K1", "displayName": "Anna Ek", "type": "Person", "email": "anna@example.com",
        "addressLine1": "Storgatan 1", "postalCode": "222 22", "city": "Lund" });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &there)
        .unwrap();
    let anna = bundle.norce.add_customer(NewCustomer {
        first_name: Some("Anna".to_owned()),
        last_name: Some("Ek".to_owned()),
        email: Some("anna@example.com".to_owned()),
        phone: Some("046-1".to_owned()),
        invoice_address: Some(NewAddress {
            line1: Some("Storgatan 1".to_owned()),
            zip_code: Some("222 22".to_owned()),
            city: Some("Lund".to_owned()),
            country_code: Some("SE".to_owned()),
            ..NewAddress::default()
        }),
        ..NewCustomer::default()
    });
    bundle.norce.place_order(order_of(anna));
    bundle.run_until_quiet().await;
    let there = bundle.erp.customers(bundle.erp_company());
    assert_eq!(there.len(), 1);
    assert_eq!([&*there[0].country, &*there[0].phone_number], ["", "046-1"]);
}

#[tokio::test(start_paused = true)]
async fn k12_a_number_without_a_country_is_one_of_the_home_country() {
    let options = Options {
        home_country: "DK",
        ..Options::default()
    };
    let bundle = bundle(&options, |company| company.home_country = "DK".to_owned());
    let there = json!({ "number": "K1", "displayName": "Kobenhavn ApS", "type": "Company", "taxRegistrationNumber": "13748136" });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &there)
        .unwrap();
    bundle.pass(PassMode::Full).await;
    let of_shop = |name: &str, number: &str| {
        let id = bundle.norce.add_company(NewCompany {
            name: Some(name.to_owned()),
            organization_no: Some(number.to_owned()),
            ..NewCompany::default()
        });
        bundle.norce.place_order(order_of_company(id));
        id
    };
    let found = of_shop("Kobenhavn ApS", "13748136");
    let made = of_shop("Aarhus ApS", "29 40 34 73");
    bundle.run_until_quiet().await;
    for id in [found, made] {
        let subject = Subject::Entity(company(id));
        assert_eq!(bundle.owed.get(&subject, Stage::ToErp).await.unwrap(), None);
    }
    let there = bundle.erp.customers(bundle.erp_company());
    let there: Vec<_> = there
        .iter()
        .map(|it| (&*it.display_name, &*it.tax_registration_number))
        .collect();
    assert_eq!(
        there,
        [("Aarhus ApS", "DK29403473"), ("Kobenhavn ApS", "13748136")]
    );
}

/// Contacts of vendors are contacts of the ERP as well. None of them becomes a customer of the shop.
#[tokio::test(start_paused = true)]
async fn e5_a_vendors_contact_is_nobodys_customer() {
    let bundle = bundle(&Options::default(), |_| {});
    let person = json!({ "displayName": "Vera Ek", "email": "vera@example.com" });
    let vendor = bundle
        .erp
        .add_vendor_person(bundle.erp_company(), "Leverantor AB", &person);
    let vendor = vendor.unwrap();
    let vera = bundle.norce.add_customer(NewCustomer {
        first_name: Some("Vera".to_owned()),
        last_name: Some("Ek".to_owned()),
        email: Some("vera@example.com".to_owned()),
        ..NewCustomer::default()
    });
    for _ in 0..2 {
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
    }
    assert_eq!(bundle.customer_code(vera), None);
    bundle.norce.place_order(order_of(vera));
    bundle.run_until_quiet().await;
    let code = bundle.customer_code(vera).expect("a code");
    assert_ne!(code, vendor.number);
    let subject = Subject::Entity(customer(vera));
    assert_eq!(bundle.owed.get(&subject, Stage::ToErp).await.unwrap(), None);
}

/// A contact of an organisation that the shop does not have yet is owed rather than skipped, and both ends that the text names
/// clear it.
#[tokio::test(start_paused = true)]
async fn a_contact_waits_for_its_organisation_to_be_in_norce() {
    for they_are_two_people in [false, true] {
        let bundle = bundle(&Options::default(), |_| {});
        let erp_company = bundle.erp_company();
        let there = json!({ "number": "K1", "displayName": "Ek AB", "type": "Company", "taxRegistrationNumber": "SE556036079301" });
        bundle.erp.add_customer(erp_company, &there).unwrap();
        let organisation = bundle.erp.contacts(erp_company).remove(0);
        let there = json!({ "displayName": "Vera Ek", "type": "Person", "companyNumber": organisation.number, "email": "vera@example.com" });
        let contact = bundle.erp.add_contact(erp_company, &there).unwrap();
        let vera = bundle.norce.add_customer(NewCustomer {
            first_name: Some("Vera".to_owned()),
            last_name: Some("Ek".to_owned()),
            email: Some("vera@example.com".to_owned()),
            ..NewCustomer::default()
        });
        bundle.pass(PassMode::Full).await;
        bundle.run_until_quiet().await;
        let owed = bundle.owed.list().await.unwrap();
        assert_eq!(owed.len(), 1, "{owed:#?}");
        assert!(
            owed[0].detail.contains("which is not in Norce"),
            "{owed:#?}"
        );
        assert_eq!(bundle.customer_code(vera), None);
        if they_are_two_people {
            let subject = owed[0].subject.to_string();
            let dismiss = json!({ "action": "owed", "do": "dismiss", "subject": subject, "because": "two people" });
            bundle.ask(dismiss).await.unwrap();
        } else {
            let company = bundle.norce.add_company(NewCompany {
                name: Some("Ek AB".to_owned()),
                organization_no: Some("556036-0793".to_owned()),
                ..NewCompany::default()
            });
            bundle.norce.link(vera, company, true);
            bundle.run_until_quiet().await;
        }
        for _ in 0..2 {
            bundle.pass(PassMode::Full).await;
            bundle.run_until_quiet().await;
        }
        let open = bundle.owed.list().await.unwrap();
        let open: Vec<_> = open.iter().filter(|it| it.dismissed.is_none()).collect();
        assert!(open.is_empty(), "{open:#?}");
        let expected = (!they_are_two_people).then_some(contact.number);
        assert_eq!(bundle.customer_code(vera), expected);
    }
}
