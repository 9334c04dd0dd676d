//! The Odoo adapter against a real Odoo 19. Where none can be had, the tests say so and pass, unless `REQUIRE_ODOO` is
//! set, as it is in `.ci/run`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what is skipped is to be seen"
)]

#[path = "conformance/suite.rs"]
mod suite;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use shared::{
    domain::{EntityRef, FieldGroup, FieldGroups, NorceId, Personal, Scope},
    erp::{
        CreateOutcome, Erp, ErpRecord, ExtraFields, IdempotencyKey, Listing, Party, PartyKind,
        Resource,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, ReqwestTransport},
};
use suite::{Faults, Subject};
use tests::odoo::Odoo as Server;

async fn server() -> Option<Server> {
    match Server::start(|step: &str| eprintln!("{step}")).await {
        Ok(server) => Some(server),
        Err(error) if std::env::var_os("REQUIRE_ODOO").is_some() => panic!("{error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn settings(server: &Server) -> OdooSettings {
    let access = server.access();
    OdooSettings {
        base_url: access.url.parse().unwrap(),
        database: access.database.clone(),
        api_key: access.key.clone().into(),
        code_field: "ref".to_owned(),
        code_sequence: None,
        extra_fields: ExtraFields::default(),
    }
}

fn subject(server: &Server) -> Subject {
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let faults = Arc::new(Faults::around(transport));
    let erp = Odoo::new(settings(server), faults.clone()).unwrap();
    Subject::new(Arc::new(erp), faults)
}

fn adapter(settings: OdooSettings) -> Odoo {
    Odoo::new(settings, Arc::new(ReqwestTransport::new().unwrap())).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn without_code(id: i64) -> IdempotencyKey {
    IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(id).unwrap()),
        code: None,
    }
}

fn person(email: &str) -> Party {
    Party {
        kind: PartyKind::Person,
        name: Personal::parse("Bo Lund").unwrap(),
        email: Personal::parse(email),
        phone: None,
        mobile: None,
        title: None,
        organisation_number: None,
        vat_number: None,
        address: None,
    }
}

async fn created(erp: &Odoo, key: &IdempotencyKey, party: &Party) -> ErpRecord {
    match erp.create(key, party, soon()).await.unwrap() {
        CreateOutcome::Created(record) => record,
        other => panic!("{other:?}"),
    }
}

async fn codes_come_from_a_sequence_or_from_the_id(server: &Server) {
    let sequence = json!({ "vals_list": [
        { "name": "Customers", "code": "norce.customer", "prefix": "KUND", "padding": 5 }
    ] });
    server
        .call("ir.sequence", "create", sequence)
        .await
        .unwrap();
    let drawing = adapter(OdooSettings {
        code_sequence: Some("norce.customer".to_owned()),
        ..settings(server)
    });
    let key = without_code(900_001);
    let record = created(&drawing, &key, &person("sequence@example.com")).await;
    assert_eq!(record.code.as_str(), "KUND00001");
    // A repeat finds it and draws no other number.
    let again = drawing
        .create(&key, &person("sequence@example.com"), soon())
        .await;
    assert_eq!(again.unwrap(), CreateOutcome::AlreadyThere(record));
    let other = created(&drawing, &without_code(900_002), &person("b@example.com")).await;
    assert_eq!(other.code.as_str(), "KUND00002");
    // A sequence that is not there is an error, and nothing is made without a code.
    let missing = adapter(OdooSettings {
        code_sequence: Some("no.such.sequence".to_owned()),
        ..settings(server)
    });
    let (key, party) = (without_code(900_003), person("c@example.com"));
    let refused = missing.create(&key, &party, soon());
    let refused = refused.await.unwrap_err().to_string();
    assert!(refused.contains("no.such.sequence"), "{refused}");
    let made = server
        .partners(json!([["email", "=", "c@example.com"]]), &["ref"])
        .await;
    assert_eq!(made.unwrap().len(), 0);
    let plain = adapter(settings(server));
    let record = created(&plain, &without_code(900_004), &person("d@example.com")).await;
    assert_eq!(record.code.as_str(), "P900004");
}

async fn price_lists_and_delivery_addresses_are_read(server: &Server) {
    let erp = adapter(OdooSettings {
        extra_fields: r#"{"priceList":"specific_property_product_pricelist"}"#
            .parse()
            .unwrap(),
        ..settings(server)
    });
    let record = created(&erp, &without_code(900_010), &person("prices@example.com")).await;
    let id: i64 = record.id.id.parse().unwrap();
    let list = json!({ "vals_list": [{ "name": "VIP" }] });
    let list = server
        .call("product.pricelist", "create", list)
        .await
        .unwrap();
    let values = json!({ "ids": [id], "vals": { "property_product_pricelist": list[0] } });
    server.call("res.partner", "write", values).await.unwrap();
    let address = json!({ "vals_list": [
        { "parent_id": id, "type": "delivery", "name": "Lager", "street": "Hamnen 2", "city": "Malmö" }
    ] });
    server.call("res.partner", "create", address).await.unwrap();
    let groups = FieldGroups::of(&[FieldGroup::PriceLists, FieldGroup::DeliveryAddresses]);
    let read = erp
        .get_many(&[record.id], groups, soon())
        .await
        .unwrap()
        .remove(0);
    assert_eq!(read.image.price_lists, ["VIP"]);
    let cities: Vec<_> = read
        .image
        .delivery_addresses
        .iter()
        .map(|it| it.city.clone())
        .collect();
    assert_eq!(cities, [Personal::parse("Malmö")]);
    // The address is a partner, and nobody's contact.
    let listing = Listing {
        resource: Resource::Contact,
        kind: None,
        since: None,
        fields: groups,
    };
    let contacts = erp.page(&listing, None, soon()).await.unwrap();
    assert!(contacts.unusable.is_empty(), "{:?}", contacts.unusable);
}

#[tokio::test]
async fn odoo_does_what_every_erp_must() {
    let Some(server) = server().await else {
        return;
    };
    let subject = subject(&server);
    suite::run(&subject).await;
    // Odoo's own view of it: no code twice, and each of our external ids leads to one partner.
    let partners = server
        .partners(json!([["ref", "!=", false]]), &["ref"])
        .await
        .unwrap();
    let mut codes: Vec<&str> = partners
        .iter()
        .filter_map(|it| it["ref"].as_str())
        .collect();
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count, "a code stands twice");
    assert!(count > 20, "{count}");
    let names = json!({ "domain": [["module", "=", "norce"]], "fields": ["res_id"] });
    let names = server
        .call("ir.model.data", "search_read", names)
        .await
        .unwrap();
    assert_eq!(names.as_array().map(Vec::len), Some(count));
    codes_come_from_a_sequence_or_from_the_id(&server).await;
    price_lists_and_delivery_addresses_are_read(&server).await;
    // It is all there after a restart.
    server.restart().await.unwrap();
    let after = server
        .partners(json!([["ref", "!=", false]]), &["ref"])
        .await
        .unwrap();
    assert!(after.len() > count);
}
