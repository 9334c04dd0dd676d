//! Extra fields on an API page of the merchant's own (`ErpExtraBaseUrl`): only reads go there, so that new customers get
//! their posting groups from the templates of the standard page.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails must fail its test"
)]

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use shared::{
    domain::{EntityRef, ErpDetail, FieldGroups, NorceId, OrganisationNumber, Personal, Scope},
    erp::{
        CreateOutcome, Erp, ErpError, IdempotencyKey, Listing, Party, PartyKind, RecordPage,
        Resource, Unusable, UpdateOutcome,
        business_central::{BusinessCentral, BusinessCentralSettings, InvalidApiRoot},
    },
    http::Deadline,
};
use tests::{
    business_central_simulator::{
        Business, BusinessCentralSimulator, CompanySettings, CustomerRecord, Entity, Settings,
        TaxNumberFilter,
    },
    in_process::InProcess,
    samples,
};
use uuid::Uuid;

const BASE_URL: &str = "https://bc.example";
const EXTRA_FIELDS: &str = r#"{"priceList":"customerPriceGroup","organisationNumber":"registrationNumber","gln":"gln","flags":{"VIP":"isVip"}}"#;

struct World {
    simulator: BusinessCentralSimulator,
    company: Uuid,
    erp: BusinessCentral,
}

impl World {
    fn new() -> Self {
        let simulator = simulator();
        let company = simulator.companies()[0];
        let root = simulator.own_api_root(BASE_URL);
        let erp = adapter(&simulator, &root, EXTRA_FIELDS).unwrap();
        Self {
            simulator,
            company,
            erp,
        }
    }

    fn add(&self, properties: &Value) -> CustomerRecord {
        let added = self.simulator.add_customer(self.company, properties);
        added.unwrap()
    }

    async fn page(&self) -> Result<RecordPage, ErpError> {
        let listing = Listing {
            resource: Resource::Customer,
            kind: None,
            since: None,
            fields: FieldGroups::NONE,
        };
        self.erp.page(&listing, None, soon()).await
    }
}

/// A register with the merchant's own page.
fn simulator() -> BusinessCentralSimulator {
    BusinessCentralSimulator::new(Settings {
        companies: vec![CompanySettings {
            own_page: true,
            ..CompanySettings::named("Butiken AB")
        }],
        tax_number_filter: TaxNumberFilter::Filters,
        ..Settings::default()
    })
}

fn adapter(
    simulator: &BusinessCentralSimulator,
    extra_root: &str,
    extra_fields: &str,
) -> Result<BusinessCentral, InvalidApiRoot> {
    let settings = BusinessCentralSettings {
        extra_fields: extra_fields.parse().unwrap(),
        extra_root: Some(extra_root.parse().unwrap()),
        ..samples::business_central(simulator, BASE_URL)
    };
    BusinessCentral::new(settings, Arc::new(InProcess::new(simulator.router())))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(300))
}

fn company() -> Party {
    Party {
        organisation_number: OrganisationNumber::parse("556036-0793"),
        ..samples::party(PartyKind::Company, "Ek Bygg AB")
    }
}

async fn created(world: &World) -> shared::erp::ErpRecord {
    let key = IdempotencyKey {
        entity: EntityRef::company(Scope::Client, NorceId::try_from(7).unwrap()),
        code: None,
    };
    match world.erp.create(&key, &company(), soon()).await.unwrap() {
        CreateOutcome::Created(record) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn e2_a_new_customer_can_be_sold_to_although_extra_fields_are_read() {
    let world = World::new();
    let record = created(&world).await;
    let id: Uuid = record.id.id.parse().unwrap();
    let sold = world
        .simulator
        .do_business(world.company, id, Business::Order);
    assert_eq!(sold, Ok(()));
    assert_eq!(world.page().await.unwrap().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn e2_every_read_has_the_fields_of_the_own_page_and_the_version_of_the_standard_page() {
    let world = World::new();
    let there = world.add(&json!({
        "number": "K1", "displayName": "Ek Bygg AB", "type": "Company", "taxRegistrationNumber": "SE556036079301",
        "customerPriceGroup": "B2B", "registrationNumber": "556036-0793", "gln": "7350000000015", "isVip": true,
    }));
    let number = OrganisationNumber::parse("556036-0793");

    let page = world.page().await.unwrap();
    let listed = &page.records[0];
    assert_eq!(listed.fields.price_lists, ["B2B"]);
    assert_eq!(listed.fields.organisation_number, number);
    let gln = Personal::parse("7350000000015");
    assert_eq!(listed.fields.gln, ErpDetail::Field(gln));
    assert_eq!(listed.fields.flags, [("VIP".to_owned(), true)]);

    let id = &listed.id;
    let got = world.erp.get(id, soon()).await.unwrap().unwrap();
    let by_code = world
        .erp
        .find_by_code(Resource::Customer, &listed.code, soon());
    let key = company().keys().remove(0);
    let by_key = world
        .erp
        .find_by_key(&PartyKind::Company, &key, soon())
        .await;
    let many = world
        .erp
        .get_many(std::slice::from_ref(id), FieldGroups::NONE, soon());
    for record in [
        listed.clone(),
        got.clone(),
        by_code.await.unwrap().remove(0),
        by_key.unwrap().remove(0),
        many.await.unwrap().records.remove(0),
    ] {
        assert_eq!(record.fields.organisation_number, number);
        assert_eq!(record.version, there.etag);
    }

    let renamed = Party {
        name: Personal::parse("Ek Bygg i Lund AB").unwrap(),
        ..company()
    };
    let updated = world.erp.update(&got, &renamed, soon()).await.unwrap();
    assert!(matches!(updated, UpdateOutcome::Updated(_)), "{updated:?}");
}

#[tokio::test(start_paused = true)]
async fn e2_nothing_is_ever_written_to_the_own_page() {
    let world = World::new();
    let record = created(&world).await;
    let read = world.erp.get(&record.id, soon()).await.unwrap().unwrap();
    let block = shared::erp::Block::All;
    world
        .erp
        .update(
            &read,
            &Party {
                email: Personal::parse("ny@ekbygg.example"),
                ..company()
            },
            soon(),
        )
        .await
        .unwrap();
    world.erp.block(&record.id, block, soon()).await.unwrap();
    let requests = world.simulator.requests();
    assert!(requests.count(&Method::GET, Entity::OwnCustomers) > 0);
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        assert_eq!(requests.count(&method, Entity::OwnCustomers), 0, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_page_of_the_register_is_completed_forty_records_at_a_time() {
    let world = World::new();
    for number in 0..95 {
        world.add(&json!({
            "number": format!("K{number}"), "displayName": "Ek", "type": "Person",
            "customerPriceGroup": format!("G{number}"),
        }));
    }
    let page = world.page().await.unwrap();
    assert_eq!(page.records.len(), 95);
    for record in &page.records {
        let expected = record.code.as_str().replace('K', "G");
        assert_eq!(record.fields.price_lists, [expected]);
    }
    let requests = world.simulator.requests();
    assert_eq!(requests.count(&Method::GET, Entity::OwnCustomers), 3);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_own_page_hides_is_reported_and_its_fields_are_not_emptied_in_norce() {
    let world = World::new();
    let hidden = world.add(&json!({ "number": "K1", "displayName": "Ek", "type": "Company" }));
    world.add(&json!({ "number": "K2", "displayName": "Bo", "type": "Company" }));
    let hide = |company: &mut CompanySettings| company.hidden_from_own_page = vec![hidden.id];
    world
        .simulator
        .configure_company(world.company, hide)
        .unwrap();

    let page = world.page().await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.unusable.len(), 1);
    let Unusable::Unreadable(reason) = &page.unusable[0].reason else {
        panic!("{:?}", page.unusable[0].reason);
    };
    assert!(reason.contains("ERP_EXTRA_BASE_URL"), "{reason}");
    let id = page.unusable[0].id.clone().unwrap();
    let error = world.erp.get(&id, soon()).await.unwrap_err();
    assert!(matches!(error, ErpError::Unreadable(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_own_page_is_named_in_the_error() {
    let simulator = simulator();
    let company = simulator.companies()[0];
    let customer = json!({ "number": "K1", "displayName": "Ek", "type": "Company" });
    simulator.add_customer(company, &customer).unwrap();
    let wrong_root = simulator
        .own_api_root(BASE_URL)
        .replace("merchant", "agency");
    let right_root = simulator.own_api_root(BASE_URL);
    let wrong_field = r#"{"priceList":"priceGroup"}"#;
    for (root, fields) in [(&wrong_root, EXTRA_FIELDS), (&right_root, wrong_field)] {
        let erp = adapter(&simulator, root, fields).unwrap();
        let listing = Listing {
            resource: Resource::Customer,
            kind: None,
            since: None,
            fields: FieldGroups::NONE,
        };
        let error = erp.page(&listing, None, soon()).await.unwrap_err();
        assert!(error.to_string().contains("ERP_EXTRA_BASE_URL"), "{error}");
    }
}

#[test]
fn the_token_is_sent_to_no_other_server() {
    let simulator = simulator();
    for root in [
        "https://elsewhere.example/v2.0/t/production/api/merchant/crm/v1.0",
        "https://bc.example:8443/v2.0/t/production/api/merchant/crm/v1.0",
        "https://bc.example/api?tenant=x",
    ] {
        let erp = adapter(&simulator, root, EXTRA_FIELDS);
        assert_eq!(erp.err(), Some(InvalidApiRoot::Extra), "{root}");
    }
}
