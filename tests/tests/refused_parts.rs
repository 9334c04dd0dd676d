//! A single name that a tenant's Query does not have makes Query refuse the whole request. The clients then leave
//! optional parts out, and `doctor` reports them. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use serde_json::json;
use shared::mappings::{Mapping, Mappings};
use tests::{
    bundle::{Bundle, Options, company, customer},
    norce_simulator::{Endpoint, NewCompany, NewCustomer},
    samples::{self, address, order_of},
};

/// What is asked for and can be done without: the type, the property or navigation property, and the set that has it.
const OPTIONAL: [(&str, &str, &str); 14] = [
    ("Customer", "Title", "Customers/Customers"),
    ("Customer", "MiddleName", "Customers/Customers"),
    ("Customer", "LastOrderDate", "Customers/Customers"),
    ("Customer", "ReplacementCustomerId", "Customers/Customers"),
    ("Customer", "Account", "Customers/Customers"),
    ("Customer", "Flags", "Customers/Customers"),
    ("CustomerAddress", "Gln", "Customers/Customers"),
    (
        "CustomerAddress",
        "ShippingPhoneNumber",
        "Customers/Customers",
    ),
    ("CustomerAddress", "Code", "Customers/Customers"),
    ("CustomerAddress", "IsPrimary", "Customers/Customers"),
    ("Company", "Addresses", "Customers/Companies"),
    ("Company", "Flags", "Customers/Companies"),
    ("Order", "Buyer", "Orders/Orders"),
    ("Order", "Payer", "Orders/Orders"),
];

fn anna() -> NewCustomer {
    NewCustomer {
        invoice_address: Some(address("Storgatan 1")),
        ..samples::anna()
    }
}

async fn is_bound(bundle: &Bundle, entity: shared::domain::EntityRef) -> bool {
    let mapping = bundle.mappings.get(entity).await.unwrap();
    matches!(mapping, Some(Mapping::Bound(_)))
}

#[tokio::test(start_paused = true)]
async fn a_part_that_norce_query_refuses_is_left_out_and_named_by_doctor() {
    let every: Vec<_> = OPTIONAL.to_vec();
    for lacking in OPTIONAL.map(|part| vec![part]).into_iter().chain([every]) {
        let bundle = Bundle::new(&Options::default());
        let names = lacking
            .iter()
            .map(|(kind, part, _)| (*kind, *part))
            .collect();
        bundle
            .norce
            .configure(|settings| settings.query_lacks = names);
        let bolaget = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            organization_no: Some("556036-0793".to_owned()),
            invoice_address: Some(address("Storgatan 1")),
            ..NewCompany::default()
        });
        let person = bundle.norce.add_customer(anna());
        let contact = bundle.norce.add_customer(NewCustomer {
            email: Some("bo@example.com".to_owned()),
            ..anna()
        });
        bundle.norce.link(contact, bolaget, true);
        for buyer in [person, contact] {
            bundle.norce.place_order(order_of(buyer));
        }
        bundle.run_until_quiet().await;
        let owed = bundle.owed.list().await.unwrap();
        assert!(owed.is_empty(), "{lacking:?}: {owed:#?}");
        for entity in [customer(person), customer(contact), company(bolaget)] {
            assert!(is_bound(&bundle, entity).await, "{lacking:?}: {entity}");
        }
        // Found out once, and not asked again.
        let asked = |bundle: &Bundle| bundle.norce.requests_to(Endpoint::Customers);
        bundle.norce.change_customer(person, |record| {
            record.row.phone_number = Some("08-1".to_owned());
        });
        let before = asked(&bundle);
        bundle.run_until_quiet().await;
        assert_eq!(asked(&bundle) - before, 1, "{lacking:?}");

        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        assert!(
            report["summary"].as_str().unwrap().contains("well"),
            "{report:#}"
        );
        let rows = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["check"] == "norce rows")
            .unwrap();
        for (kind, part, set) in &lacking {
            let relation = match *kind {
                "CustomerAddress" => "Addresses/",
                _ => "",
            };
            let named = format!("{relation}{part} of {set}");
            assert!(
                rows["detail"].as_str().unwrap().contains(&named),
                "{rows:#}"
            );
        }
    }
}

/// What Query says of itself is compared with what is read, and a description is not needed.
#[tokio::test(start_paused = true)]
async fn the_doctor_reads_what_query_says_of_itself() {
    /// A property of a type.
    type Property = (&'static str, &'static str);
    let table: [(bool, Option<Property>, &str); 4] = [
        (true, None, "its `$metadata` has all of them"),
        (false, None, "it has no `$metadata` to compare with"),
        (
            true,
            Some(("Customer", "Title")),
            "its `$metadata` does not have Title of Customers/Customers",
        ),
        // Nothing works without an address's town.
        (
            true,
            Some(("CustomerAddress", "City")),
            "Query does not have Addresses/City of Customers/Customers, by its own `$metadata`",
        ),
    ];
    for (describes_itself, lacks, expected) in table {
        let bundle = Bundle::new(&Options::default());
        bundle.norce.configure(|settings| {
            settings.query_describes_itself = describes_itself;
            settings.query_lacks = lacks.into_iter().collect();
        });
        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        let checks = report["checks"].as_array().unwrap();
        let rows = checks.iter().find(|check| check["check"] == "norce rows");
        let rows = rows.unwrap().to_string();
        assert!(
            rows.contains(expected),
            "{lacks:?}, {describes_itself}: {rows}"
        );
    }
}
