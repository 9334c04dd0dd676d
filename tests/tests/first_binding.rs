//! The first binding of a record that the ERP already had: it overwrites none of the ERP's values until the shop
//! changes them. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use serde_json::{Value, json};
use shared::{
    domain::{FirstBindingWrites, PartyTypes, PassMode},
    mappings::{Mapping, Mappings},
    reports::Reports,
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::CustomerRecord,
    norce_simulator::{NewCompany, NewCustomer},
    samples::{self, address, order_of},
};
use uuid::Uuid;

fn bundle(first_binding_writes: FirstBindingWrites) -> Bundle {
    Bundle::new(&Options {
        first_binding_writes,
        ..Options::default()
    })
}

/// Anna in the shop.
fn anna(code: Option<&str>) -> NewCustomer {
    NewCustomer {
        code: code.map(str::to_owned),
        phone: Some("08-1".to_owned()),
        cell_phone: Some("070-1".to_owned()),
        invoice_address: Some(address("Storgatan 1")),
        ..samples::anna()
    }
}

/// Anna in the ERP: with another name, telephone number and address.
fn in_erp(bundle: &Bundle) -> CustomerRecord {
    let properties = json!({
        "number": "K1", "type": "Person", "displayName": "Anna Maria Ek", "email": "anna@example.com",
        "phoneNumber": "08-9", "addressLine1": "Gamla vägen 9", "postalCode": "411 01", "city": "Göteborg", "country": "SE",
    });
    let record = bundle.erp.add_customer(bundle.erp_company(), &properties);
    record.unwrap()
}

fn record(bundle: &Bundle) -> CustomerRecord {
    let [record] = bundle
        .erp
        .customers(bundle.erp_company())
        .try_into()
        .unwrap();
    record
}

/// The fields that the ERP keeps, as `explain` lists them.
async fn kept(bundle: &Bundle, anna: i64) -> (Value, String) {
    let explained = bundle
        .ask(json!({"action": "explain", "id": anna}))
        .await
        .unwrap();
    let summary = explained["summary"].as_str().unwrap().to_owned();
    assert!(!explained.to_string().contains("Maria"), "{explained:#}");
    (explained["mapping"]["kept"].clone(), summary)
}

/// How Anna is bound.
#[derive(Debug, Clone, Copy)]
enum Way {
    FirstOrder,
    CodeInNorce,
    Pass,
    Import,
    Rebind,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::FirstOrder,
        Self::CodeInNorce,
        Self::Pass,
        Self::Import,
        Self::Rebind,
    ];

    async fn bind(self, bundle: &Bundle, record: Uuid) -> i64 {
        let code = matches!(self, Self::CodeInNorce).then_some("K1");
        let id = bundle.norce.add_customer(anna(code));
        match self {
            Self::FirstOrder => {
                bundle.norce.place_order(order_of(id));
            }
            Self::CodeInNorce => {}
            Self::Pass => {
                bundle.run_until_quiet().await;
                bundle.pass(PassMode::Delta).await;
            }
            Self::Import => {
                let line = json!({
                    "kind": "customer", "scope": "client", "id": id, "code": "K1",
                    "erp": {"resource": "customer", "id": record},
                });
                let body = line.to_string().into();
                bundle.reports.put("mappings/a", "", body).await.unwrap();
                let request = json!({"action": "import-mappings", "from": "mappings/a"});
                bundle.ask(request).await.unwrap();
            }
            Self::Rebind => {
                bundle.run_until_quiet().await;
                let request = json!({
                    "action": "rebind", "id": id, "toCode": "K1", "confirm": true, "reason": "a test",
                });
                bundle.ask(request).await.unwrap();
            }
        }
        bundle.run_until_quiet().await;
        // An event without a change.
        let replay = json!({"action": "replay", "entity": customer(id).to_string()});
        bundle.ask(replay).await.unwrap();
        bundle.run_until_quiet().await;
        id
    }
}

#[tokio::test(start_paused = true)]
async fn e10_a_first_binding_writes_nothing_over_the_erps_values() {
    for way in Way::ALL {
        let bundle = bundle(FirstBindingWrites::default());
        let before = in_erp(&bundle);
        let id = way.bind(&bundle, before.id).await;
        let mapping = bundle.mappings.get(customer(id)).await.unwrap();
        assert!(matches!(mapping, Some(Mapping::Bound(_))), "{way:?}");
        let bound = record(&bundle);
        let text = |record: &CustomerRecord| {
            [
                &record.display_name,
                &record.phone_number,
                &record.address_line1,
                &record.city,
                &record.postal_code,
            ]
            .map(String::clone)
        };
        assert_eq!(text(&bound), text(&before), "{way:?}");
        let (fields, summary) = kept(&bundle, id).await;
        assert_eq!(
            fields,
            json!(["name", "phone", "mobile", "address"]),
            "{way:?}"
        );
        assert!(
            summary.contains("keeps name, phone, mobile, address until the shop changes it"),
            "{summary}"
        );

        // The shop changes one of them: that one is the shop's from then on.
        bundle.norce.change_customer(id, |record| {
            record.row.phone_number = Some("08-2".to_owned());
        });
        bundle.run_until_quiet().await;
        let changed = record(&bundle);
        assert_eq!(changed.phone_number, "08-2", "{way:?}");
        assert_eq!(changed.display_name, before.display_name, "{way:?}");
        assert_eq!(changed.address_line1, before.address_line1, "{way:?}");
        assert_eq!(
            kept(&bundle, id).await.0,
            json!(["name", "mobile", "address"])
        );
        // Also back to what it was when she was bound.
        bundle.norce.change_customer(id, |record| {
            record.row.phone_number = Some("08-1".to_owned());
        });
        bundle.run_until_quiet().await;
        assert_eq!(record(&bundle).phone_number, "08-1", "{way:?}");
        bundle.norce.change_customer(id, |record| {
            record.row.last_name = Some("Berg".to_owned());
        });
        bundle.run_until_quiet().await;
        let changed = record(&bundle);
        assert_eq!(changed.display_name, "Anna Berg", "{way:?}");
        assert_eq!(changed.address_line1, before.address_line1, "{way:?}");
        assert_eq!(
            kept(&bundle, id).await.0,
            json!(["mobile", "address"]),
            "{way:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn e10_what_the_erps_record_lacks_is_filled_in() {
    let bundle = bundle(FirstBindingWrites::default());
    let properties = json!({"number": "K1", "type": "Person", "displayName": "Anna Maria Ek"});
    let company = bundle.erp_company();
    bundle.erp.add_customer(company, &properties).unwrap();
    let id = bundle.norce.add_customer(anna(Some("K1")));
    bundle.run_until_quiet().await;
    let bound = record(&bundle);
    assert_eq!(bound.display_name, "Anna Maria Ek");
    assert_eq!(bound.phone_number, "08-1");
    assert_eq!(bound.email, "anna@example.com");
    assert_eq!(bound.address_line1, "Storgatan 1");
    assert_eq!(kept(&bundle, id).await.0, json!(["name"]));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_first_binding_writes_names_is_written_at_once_and_no_other() {
    for writes in ["", "persons", "companies", "persons, companies"] {
        let bundle = bundle(writes.parse().unwrap());
        in_erp(&bundle);
        let company = bundle.erp_company();
        let firm = json!({
            "number": "B1", "type": "Company", "displayName": "Gamla Bolaget", "taxRegistrationNumber": "SE556036079301",
            "country": "SE",
        });
        bundle.erp.add_customer(company, &firm).unwrap();
        bundle.norce.add_customer(anna(Some("K1")));
        bundle.norce.add_company(NewCompany {
            code: Some("B1".to_owned()),
            name: Some("Bolaget AB".to_owned()),
            organization_no: Some("556036-0793".to_owned()),
            vat_no: Some("SE556036079301".to_owned()),
            ..NewCompany::default()
        });
        bundle.run_until_quiet().await;
        let names: Vec<String> = bundle
            .erp
            .customers(company)
            .into_iter()
            .map(|record| record.display_name)
            .collect();
        let firm = match writes.contains("companies") {
            true => "Bolaget AB",
            false => "Gamla Bolaget",
        };
        let person = match writes.contains("persons") {
            true => "Anna Ek",
            false => "Anna Maria Ek",
        };
        assert_eq!(names, [firm, person], "{writes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_created_record_has_everything_and_the_erp_keeps_nothing_of_it() {
    let bundle = bundle(FirstBindingWrites::default());
    let id = bundle.norce.add_customer(anna(None));
    bundle.norce.place_order(order_of(id));
    bundle.run_until_quiet().await;
    let created = record(&bundle);
    assert_eq!(created.address_line1, "Storgatan 1");
    assert_eq!(created.phone_number, "08-1");
    assert_eq!(kept(&bundle, id).await.0, Value::Null);
    // A hand in the ERP is overwritten by the next change in the shop, as ever.
    bundle
        .erp
        .edit_customer(
            bundle.erp_company(),
            created.id,
            &json!({"displayName": "X"}),
        )
        .unwrap();
    bundle.norce.change_customer(id, |record| {
        record.row.phone_number = Some("08-2".to_owned());
    });
    bundle.run_until_quiet().await;
    assert_eq!(record(&bundle).display_name, "Anna Ek");
}

#[test]
fn first_binding_writes_is_a_list_of_kinds() {
    assert_eq!(
        "persons , companies,contacts".parse(),
        Ok(FirstBindingWrites(PartyTypes::ALL))
    );
    assert_eq!("".parse(), Ok(FirstBindingWrites::default()));
    let fault = "person".parse::<FirstBindingWrites>().unwrap_err();
    assert!(fault.contains("`persons`"), "{fault}");
}
