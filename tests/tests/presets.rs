//! The presets of the README: what goes and what does not with exactly their parameters. In one process, with the
//! simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{collections::BTreeMap, fs};

use serde_json::json;
use shared::domain::PassMode;
use tests::{
    bundle::{Bundle, Options},
    documents::root,
    norce_simulator::NewCompany,
    samples::{self, address, order, order_of},
    template::Template,
};

/// A preset: what the README says of it, and its parameters.
struct Preset {
    words: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const ERP_OWNS_COMPANIES: &str = "code,price-lists,companies:names,companies:contact-details,companies:invoice-address,companies:vat-number";

const NORCES_ADVICE: Preset = Preset {
    words: "The ERP owns companies, and private persons stay in the shop (what Norce's academy is reported to advise)",
    parameters: &[
        ("SyncKinds", "companies,contacts"),
        ("ErpOwnedFields", ERP_OWNS_COMPANIES),
        ("ImportUnknown", "true"),
    ],
};
const SHARED: Preset = Preset {
    words: "All are synchronized: the shop owns persons and contacts, the ERP owns companies",
    parameters: &[
        ("SyncKinds", "persons,companies,contacts"),
        ("ErpOwnedFields", ERP_OWNS_COMPANIES),
    ],
};
const SHOP_OWNS: Preset = Preset {
    words: "All are synchronized, and the shop owns them (the default)",
    parameters: &[
        ("SyncKinds", "persons,companies,contacts"),
        ("ErpOwnedFields", "code,price-lists"),
    ],
};
const PRESETS: [Preset; 3] = [NORCES_ADVICE, SHARED, SHOP_OWNS];

impl Preset {
    fn options(&self) -> Options {
        let mut options = Options::default();
        for (name, value) in self.parameters {
            match *name {
                "SyncKinds" => options.sync_kinds = value.parse().unwrap(),
                "ErpOwnedFields" => options.erp_owns = value.parse().unwrap(),
                "ImportUnknown" => options.pass.import_unknown = value.parse().unwrap(),
                name => panic!("{name}: read it here"),
            }
        }
        options
    }

    /// Its row in the README.
    fn row(&self) -> String {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, value)| format!("`{name}={value}`"));
        let parameters: Vec<String> = parameters.collect();
        format!("| {} | {} |", self.words, parameters.join(" "))
    }
}

/// A shop in which a person and the contact of a company have ordered, with the customers of the ERP.
struct Day {
    bundle: Bundle,
    person: i64,
    company: i64,
    contact: i64,
}

/// The name and the telephone number of a record.
type Facts = (String, String);

impl Day {
    async fn new(preset: &Preset) -> Self {
        let bundle = Bundle::new(&preset.options());
        let [person, contact] = [1, 2].map(|it| bundle.norce.add_customer(samples::resident(it)));
        let company = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            organization_no: Some("556036-0793".to_owned()),
            vat_no: Some("SE556036079301".to_owned()),
            phone: Some("08-1".to_owned()),
            invoice_address: Some(address("Storgatan 1")),
            ..NewCompany::default()
        });
        bundle.norce.link(contact, company, true);
        bundle.norce.place_order(order_of(person));
        bundle
            .norce
            .place_order(order(Some(contact), Some(company)));
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Delta).await;
        Self {
            bundle,
            person,
            company,
            contact,
        }
    }

    fn in_erp(&self) -> BTreeMap<String, Facts> {
        let company = self.bundle.erp_company();
        let customers = self.bundle.erp.customers(company).into_iter();
        let customers = customers.map(|it| (it.r#type, (it.display_name, it.phone_number)));
        let contacts = self.bundle.erp.contacts(company).into_iter();
        let contacts = contacts.filter(|it| it.email == "anna.2@example.com");
        let contacts =
            contacts.map(|it| ("Contact".to_owned(), (it.display_name, it.phone_number)));
        customers.chain(contacts).collect()
    }

    /// Everything is renamed and gets another number in the shop.
    async fn change_shop(&self) {
        for id in [self.person, self.contact] {
            self.bundle.norce.change_customer(id, |it| {
                it.row.last_name = Some("Shop".to_owned());
                it.row.phone_number = Some("08-2".to_owned());
            });
        }
        self.bundle.norce.change_company(self.company, |it| {
            it.row.name = Some("Shop AB".to_owned());
            it.row.phone_number = Some("08-2".to_owned());
        });
        self.bundle.run_until_quiet().await;
    }

    /// Every debtor is renamed in the ERP.
    async fn change_erp(&self) {
        let company = self.bundle.erp_company();
        for record in self.bundle.erp.customers(company) {
            let name = json!({"displayName": format!("Anna Erp {}", record.r#type)});
            self.bundle
                .erp
                .edit_customer(company, record.id, &name)
                .unwrap();
        }
        self.bundle.pass(PassMode::Delta).await;
    }

    fn person_in_shop(&self) -> String {
        self.bundle
            .norce
            .customer(self.person)
            .unwrap()
            .row
            .last_name
            .unwrap()
    }

    fn company_in_shop(&self) -> String {
        self.bundle
            .norce
            .company(self.company)
            .unwrap()
            .row
            .name
            .unwrap()
    }

    /// A company and a person that the ERP alone has.
    async fn enter_in_erp(&self) -> [bool; 2] {
        let erp = self.bundle.erp_company();
        for properties in [
            json!({"number": "B9", "type": "Company", "displayName": "Nya Bolaget", "taxRegistrationNumber": "SE556012579001", "country": "SE"}),
            json!({"number": "K9", "type": "Person", "displayName": "Bo Ek", "email": "bo@example.com"}),
        ] {
            self.bundle.erp.add_customer(erp, &properties).unwrap();
        }
        self.bundle.pass(PassMode::Delta).await;
        let companies = self.bundle.norce.companies();
        let customers = self.bundle.norce.customers();
        [
            companies
                .iter()
                .any(|it| it.row.company_code.as_deref() == Some("B9")),
            customers
                .iter()
                .any(|it| it.row.customer_code.as_deref() == Some("K9")),
        ]
    }

    async fn assert_nothing_owed(&self) {
        let owed = self.bundle.owed.list().await.unwrap();
        assert!(owed.is_empty(), "{owed:#?}");
    }
}

fn facts(facts: &[(&str, &str, &str)]) -> BTreeMap<String, Facts> {
    let facts = facts.iter();
    facts
        .map(|(of, name, phone)| ((*of).to_owned(), ((*name).to_owned(), (*phone).to_owned())))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn with_norces_own_advice_companies_come_from_the_erp_and_no_person_is_in_it() {
    let day = Day::new(&NORCES_ADVICE).await;
    assert_eq!(
        day.in_erp(),
        facts(&[
            ("Company", "Bolaget AB", "08-1"),
            ("Contact", "Anna Ek 2", "08-123 45 67")
        ])
    );
    assert_eq!(day.bundle.customer_code(day.person), None);
    assert!(day.bundle.customer_code(day.contact).is_some());
    // The ERP keeps its company; the contact is the shop's.
    day.change_shop().await;
    assert_eq!(
        day.in_erp(),
        facts(&[
            ("Company", "Bolaget AB", "08-1"),
            ("Contact", "Anna Shop", "08-2")
        ])
    );
    day.change_erp().await;
    assert_eq!(day.company_in_shop(), "Anna Erp Company");
    assert_eq!(day.person_in_shop(), "Shop");
    assert_eq!(day.enter_in_erp().await, [true, false]);
    day.assert_nothing_owed().await;
}

#[tokio::test(start_paused = true)]
async fn with_shared_ownership_persons_are_the_shops_and_companies_the_erps() {
    let day = Day::new(&SHARED).await;
    assert_eq!(
        day.in_erp(),
        facts(&[
            ("Company", "Bolaget AB", "08-1"),
            ("Contact", "Anna Ek 2", "08-123 45 67"),
            ("Person", "Anna Ek 1", "08-123 45 67")
        ])
    );
    assert!(day.bundle.customer_code(day.person).is_some());
    day.change_shop().await;
    assert_eq!(
        day.in_erp(),
        facts(&[
            ("Company", "Bolaget AB", "08-1"),
            ("Contact", "Anna Shop", "08-2"),
            ("Person", "Anna Shop", "08-2")
        ])
    );
    day.change_erp().await;
    assert_eq!(day.company_in_shop(), "Anna Erp Company");
    assert_eq!(day.person_in_shop(), "Shop");
    assert_eq!(day.enter_in_erp().await, [false, false]);
    day.assert_nothing_owed().await;
}

#[tokio::test(start_paused = true)]
async fn with_the_default_everything_is_synchronized_and_the_shops() {
    let day = Day::new(&SHOP_OWNS).await;
    day.change_shop().await;
    assert_eq!(
        day.in_erp(),
        facts(&[
            ("Company", "Shop AB", "08-2"),
            ("Contact", "Anna Shop", "08-2"),
            ("Person", "Anna Shop", "08-2")
        ])
    );
    day.change_erp().await;
    assert_eq!(day.company_in_shop(), "Shop AB");
    assert_eq!(day.person_in_shop(), "Shop");
    assert_eq!(day.enter_in_erp().await, [false, false]);
    day.assert_nothing_owed().await;
}

#[test]
fn the_readme_has_the_parameters_of_these_tests() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Presets\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    let expected: Vec<String> = PRESETS.iter().map(Preset::row).collect();
    assert_eq!(rows[1..], expected);
}

#[test]
fn the_default_preset_is_what_the_template_has() {
    let template = Template::load().unwrap();
    for (name, value) in SHOP_OWNS.parameters {
        assert_eq!(
            template.as_value()["Parameters"][*name]["Default"],
            *value,
            "{name}"
        );
    }
}
