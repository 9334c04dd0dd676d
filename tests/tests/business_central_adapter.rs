//! The Business Central adapter against the simulator, which refuses what the real server refuses.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails must fail its test"
)]

use std::{future::Future, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::json;
use shared::{
    domain::{
        Address, Code, CountryCode, EntityKind, EntityRef, FieldGroups, NorceId,
        OrganisationNumber, Personal, Scope, VatNumber,
    },
    erp::{
        Block, CompanyKey, CreateOutcome, Erp, ErpError, ErpId, ErpRecord, FilterProof,
        IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind, Resource, UpdateOutcome,
        business_central::{BusinessCentral, BusinessCentralSettings},
    },
    http::Deadline,
};
use tests::{
    business_central_simulator::{
        ApplicationAccess, Business, BusinessCentralSimulator, CompanySettings, ContactRecord,
        Country, CustomerRecord, EmailChains, Entity, Fault, LostAnswer, PostCode, Settings,
        TaxNumberFilter,
    },
    in_process::InProcess,
    samples,
};
use uuid::Uuid;

const BASE_URL: &str = "https://bc.example";

/// One company of the ERP and the adapter in front of it.
struct World {
    simulator: BusinessCentralSimulator,
    company: Uuid,
    erp: BusinessCentral,
}

impl World {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let simulator = BusinessCentralSimulator::new(settings);
        let company = simulator.companies()[0];
        let erp = adapter(&simulator, company);
        Self {
            simulator,
            company,
            erp,
        }
    }

    /// A filter on VAT numbers filters.
    fn that_filters() -> Self {
        Self::with(Settings {
            tax_number_filter: TaxNumberFilter::Filters,
            ..Settings::default()
        })
    }

    /// The number series allows numbers that the client chooses.
    fn with_manual_numbers() -> Self {
        let world = Self::new();
        world.configure(|company| {
            company.customer_numbers.manual = true;
            company.contact_numbers.manual = true;
        });
        world
    }

    fn configure(&self, change: impl FnOnce(&mut CompanySettings)) {
        self.simulator
            .configure_company(self.company, change)
            .unwrap();
    }

    fn customers(&self) -> Vec<CustomerRecord> {
        self.simulator.customers(self.company)
    }

    fn persons_of_companies(&self) -> Vec<ContactRecord> {
        let mut contacts = self.simulator.contacts(self.company);
        contacts.retain(|contact| contact.r#type == "Person" && !contact.company_number.is_empty());
        contacts
    }

    /// The one customer.
    fn customer(&self) -> CustomerRecord {
        let customers = self.customers();
        assert_eq!(customers.len(), 1);
        customers[0].clone()
    }

    fn count(&self, method: Method) -> usize {
        self.simulator.requests().count(&method, Entity::Customers)
    }

    async fn create(&self, code: Option<&str>, party: &Party) -> Result<CreateOutcome, ErpError> {
        self.erp.create(&keyed(code), party, soon()).await
    }

    async fn created(&self, party: &Party) -> ErpRecord {
        match self.create(None, party).await {
            Ok(CreateOutcome::Created(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    async fn find(&self, kind: &PartyKind, key: &NaturalKey) -> Vec<ErpRecord> {
        self.erp.find_by_key(kind, key, soon()).await.unwrap()
    }

    async fn find_code(&self, code: &str) -> Vec<ErpRecord> {
        let code: Code = code.parse().unwrap();
        let found = self.erp.find_by_code(Resource::Customer, &code, soon());
        found.await.unwrap()
    }

    fn add_customer(&self, number: &str, kind: &str, email: &str) -> CustomerRecord {
        let properties =
            json!({ "number": number, "displayName": number, "type": kind, "email": email });
        self.simulator
            .add_customer(self.company, &properties)
            .unwrap()
    }
}

fn adapter(simulator: &BusinessCentralSimulator, company: Uuid) -> BusinessCentral {
    let settings = BusinessCentralSettings {
        company,
        ..samples::business_central(simulator, BASE_URL)
    };
    BusinessCentral::new(settings, Arc::new(InProcess::new(simulator.router()))).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(300))
}

fn keyed(code: Option<&str>) -> IdempotencyKey {
    IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(12).unwrap()),
        code: code.map(|code| code.parse().unwrap()),
    }
}

fn text(text: &str) -> Option<Personal> {
    Personal::parse(text)
}

fn email_key(text: &str) -> NaturalKey {
    NaturalKey::email(text).unwrap()
}

fn person() -> Party {
    Party {
        email: text("Anna.Ek@Example.com"),
        mobile: text("070-123 45 67"),
        address: Some(Address {
            care_of: text("Bo Ek"),
            line1: text("Storgatan 1"),
            postal_code: text("222 22"),
            city: text("Lund"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..samples::party(PartyKind::Person, "Anna Ek")
    }
}

fn company() -> Party {
    Party {
        kind: PartyKind::Company,
        name: text("Ek Bygg AB").unwrap(),
        email: text("info@ekbygg.example"),
        phone: text("046-12 34 56"),
        mobile: None,
        organisation_number: OrganisationNumber::parse("556036-0793"),
        ..person()
    }
}

fn contact(company: &ErpId, email: &str) -> Party {
    Party {
        kind: PartyKind::Contact {
            company: Some(company.clone()),
        },
        email: text(email),
        title: text("Inköpare med ansvar för elva anläggningar"),
        ..person()
    }
}

fn placed(postal_code: &str, city: &str, country: CountryCode) -> Party {
    Party {
        address: Some(Address {
            line1: text("Storgatan 1"),
            postal_code: text(postal_code),
            city: text(city),
            country: Some(country),
            ..Address::default()
        }),
        ..person()
    }
}

fn named(name: &str) -> Party {
    Party {
        name: text(name).unwrap(),
        ..person()
    }
}

fn lost_answers() -> [LostAnswer; 4] {
    [
        LostAnswer::GatewayTimeout,
        LostAnswer::BadGatewayPage,
        LostAnswer::ConnectionClosed,
        LostAnswer::TruncatedBody,
    ]
}

/// No part of any sample person may stand in a message.
fn assert_impersonal(error: &impl std::fmt::Debug) {
    let text = format!("{error:?}").to_lowercase();
    for part in [
        "anna",
        "ek bygg",
        "example.com",
        "storgatan",
        "070",
        "556036",
    ] {
        assert!(!text.contains(part), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_and_a_company_get_numbers_of_the_series() {
    let world = World::new();
    let record = world.created(&person()).await;
    assert_eq!(record.code.as_str(), "C00010");
    let there = world.customer();
    assert_eq!(record.id.id, there.id.to_string());
    assert_eq!(record.version, there.etag);
    assert_eq!(
        (there.r#type.as_str(), there.display_name.as_str()),
        ("Person", "Anna Ek")
    );
    assert_eq!(there.email, "Anna.Ek@Example.com");
    assert_eq!(there.phone_number, "070-123 45 67");
    assert_eq!(
        (there.address_line1.as_str(), there.address_line2.as_str()),
        ("c/o Bo Ek", "Storgatan 1")
    );

    let record = world.created(&company()).await;
    let there = &world.customers()[1];
    assert_eq!(record.code.as_str(), there.number);
    assert_eq!(there.r#type, "Company");
    assert_eq!(there.tax_registration_number, "SE556036079301");
    assert_eq!(record.fields.vat_number, VatNumber::parse("SE556036079301"));
    assert!(!record.blocked);
}

#[tokio::test(start_paused = true)]
async fn p2_a_keyed_create_whose_answer_is_lost_is_found_again() {
    for instead in lost_answers() {
        let world = World::with_manual_numbers();
        world.simulator.inject(Fault::lost_answer(instead).times(1));
        let outcome = world.create(Some("N12"), &person()).await;
        let Ok(CreateOutcome::AlreadyThere(record)) = outcome else {
            panic!("{instead:?}: {outcome:?}");
        };
        assert_eq!(record.id.id, world.customer().id.to_string());
        assert_eq!(world.count(Method::POST), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_keyed_create_that_is_repeated_meets_the_first_one() {
    for status in [StatusCode::BAD_REQUEST, StatusCode::CONFLICT] {
        let world = World::with_manual_numbers();
        world
            .simulator
            .configure(|settings| settings.same_key_status = status);
        let first = world.create(Some("n12"), &person()).await;
        let Ok(CreateOutcome::Created(first)) = first else {
            panic!("{first:?}");
        };
        let again = world.create(Some("N12"), &person()).await;
        assert_eq!(again, Ok(CreateOutcome::AlreadyThere(first)));
        assert_eq!(world.customer().number, "N12");
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_number_of_another_type_of_record_is_never_adopted() {
    let world = World::with_manual_numbers();
    world.create(Some("N12"), &company()).await.unwrap();
    for fault in [None, Some(LostAnswer::ConnectionClosed)] {
        if let Some(instead) = fault {
            world.simulator.inject(Fault::lost_answer(instead).times(1));
        }
        let error = world.create(Some("N12"), &person()).await.unwrap_err();
        assert!(matches!(error, ErpError::Refused { .. }), "{error:?}");
        assert_eq!(world.customer().display_name, "Ek Bygg AB");
    }
}

#[tokio::test(start_paused = true)]
async fn p2_without_a_number_a_lost_create_is_ambiguous_and_the_natural_key_finds_it() {
    for instead in lost_answers() {
        for party in [person(), company()] {
            let world = World::that_filters();
            world.simulator.inject(Fault::lost_answer(instead).times(1));
            let outcome = world.create(None, &party).await.unwrap();
            assert!(matches!(outcome, CreateOutcome::Ambiguous { .. }));
            assert_impersonal(&outcome);
            let key = party.keys().remove(0);
            let found = world.find(&party.kind, &key).await;
            assert_eq!(found[0].id.id, world.customer().id.to_string());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_create_that_is_carried_out_late_is_there_when_it_has_settled() {
    let world = World::with_manual_numbers();
    let late = Fault::slow_work(Duration::from_secs(90));
    world
        .simulator
        .inject(late.on(Method::POST, Entity::Customers).times(1));
    let outcome = world.create(Some("N12"), &person()).await.unwrap();
    assert!(matches!(outcome, CreateOutcome::Ambiguous { .. }));
    assert!(world.find_code("N12").await.is_empty());
    tokio::time::sleep(
        world
            .erp
            .capabilities(soon())
            .await
            .unwrap()
            .create_settles_after,
    )
    .await;
    assert_eq!(world.find_code("N12").await.len(), 1);
    assert_eq!(world.count(Method::POST), 1);
}

#[tokio::test(start_paused = true)]
async fn p2_whatever_stands_in_between_one_create_makes_at_most_one_record() {
    for status in [500, 502, 503, 504, 408] {
        let world = World::with_manual_numbers();
        let status = StatusCode::from_u16(status).unwrap();
        let fault = Fault::status(status).on(Method::POST, Entity::Customers);
        world.simulator.inject(fault.as_html().times(1));
        let outcome = world.create(Some("N12"), &person()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous { .. })));
        let outcome = world.create(Some("N12"), &person()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Created(_))));
        assert_eq!(world.count(Method::POST), 2);
        world.customer();
    }
}

#[tokio::test(start_paused = true)]
async fn a_chosen_number_needs_a_series_that_allows_it() {
    let world = World::new();
    let error = world.create(Some("N12"), &person()).await.unwrap_err();
    let ErpError::Refused { code, message, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(code, "Application_DialogException");
    assert!(message.contains("Manual Nos."), "{message}");
    assert!(!message.contains("CorrelationId"), "{message}");
    assert!(world.customers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p11_what_a_rule_of_the_erp_refuses_is_refused_without_naming_anybody() {
    let world = World::new();
    world.simulator.refuse_where(|_| true);
    let error = world.create(None, &person()).await.unwrap_err();
    assert!(matches!(error, ErpError::Refused { .. }), "{error:?}");
    let wrong = Party {
        email: text("anna.ek.example.com"),
        ..person()
    };
    world.simulator.refuse_nothing();
    let error = world.create(None, &wrong).await.unwrap_err();
    assert!(matches!(error, ErpError::Refused { .. }), "{error:?}");
    assert_impersonal(&error);
    assert!(world.customers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_writes_what_differs_and_never_the_number() {
    let world = World::new();
    let seen = world.created(&person()).await;
    let outcome = world
        .erp
        .update(&seen, &named("Anna Eksson"), soon())
        .await
        .unwrap();
    let UpdateOutcome::Updated(record) = outcome else {
        panic!("{outcome:?}");
    };
    let there = world.customer();
    assert_eq!(record.version, there.etag);
    assert_eq!(
        (there.display_name.as_str(), there.number.as_str()),
        ("Anna Eksson", "C00010")
    );
    let requests = world.simulator.requests();
    assert_eq!(
        requests.writes.last().unwrap().body,
        json!({ "displayName": "Anna Eksson" })
    );
}

#[tokio::test(start_paused = true)]
async fn p5_what_is_there_already_is_not_written_again() {
    let world = World::new();
    for party in [
        person(),
        company(),
        placed("111 20", "Stockholm", CountryCode::SE),
    ] {
        let seen = world.created(&party).await;
        let outcome = world.erp.update(&seen, &party, soon()).await;
        assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(seen)));
    }
    assert_eq!(world.count(Method::PATCH), 0);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_changed_is_stale_and_a_deleted_one_is_missing() {
    let world = World::new();
    let seen = world.created(&person()).await;
    let id: Uuid = seen.id.id.parse().unwrap();
    let website = json!({ "website": "https://ek.example" });
    world
        .simulator
        .edit_customer(world.company, id, &website)
        .unwrap();
    let changed = named("Anna Eksson");
    let outcome = world.erp.update(&seen, &changed, soon()).await;
    assert_eq!(outcome, Ok(UpdateOutcome::Stale));
    let seen = world.erp.get(&seen.id, soon()).await.unwrap().unwrap();
    let outcome = world.erp.update(&seen, &changed, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    world.simulator.delete_customer(world.company, id).unwrap();
    let outcome = world.erp.update(&seen, &named("Anna"), soon()).await;
    assert_eq!(outcome, Ok(UpdateOutcome::Gone));
    assert_eq!(world.erp.get(&seen.id, soon()).await, Ok(None));
    assert_eq!(
        world.erp.block(&seen.id, Block::All, soon()).await,
        Ok(UpdateOutcome::Gone)
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_answer_is_lost_is_seen_to_be_done() {
    for instead in lost_answers() {
        let world = World::new();
        let seen = world.created(&person()).await;
        world.simulator.inject(Fault::lost_answer(instead).times(1));
        let changed = named("Anna Eksson");
        let outcome = world.erp.update(&seen, &changed, soon()).await;
        let seen = match outcome.unwrap() {
            UpdateOutcome::Stale => world.erp.get(&seen.id, soon()).await.unwrap().unwrap(),
            UpdateOutcome::Updated(record) => record,
            other => panic!("{instead:?}: {other:?}"),
        };
        let outcome = world.erp.update(&seen, &changed, soon()).await;
        assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_was_renamed_by_hand_is_still_the_same_record() {
    let world = World::new();
    let seen = world.created(&person()).await;
    let id = seen.id.id.parse().unwrap();
    world
        .simulator
        .rename_customer(world.company, id, "VIP1")
        .unwrap();
    let record = world.erp.get(&seen.id, soon()).await.unwrap().unwrap();
    assert_eq!(record.code.as_str(), "VIP1");
    let outcome = world
        .erp
        .update(&record, &named("Anna Eksson"), soon())
        .await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    assert_eq!(world.customer().number, "VIP1");
}

#[tokio::test(start_paused = true)]
async fn a_move_to_another_country_keeps_the_whole_address() {
    let world = World::new();
    let seen = world.created(&person()).await;
    let moved = placed("0154", "Oslo", CountryCode::NO);
    let outcome = world.erp.update(&seen, &moved, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    let there = world.customer();
    assert_eq!(
        [
            there.address_line1,
            there.address_line2,
            there.postal_code,
            there.city,
            there.country
        ],
        ["Storgatan 1", "", "0154", "Oslo", "NO"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_image_is_what_the_server_made_of_it() {
    let world = World::new();
    let mut party = placed("111 20", "", CountryCode::SE);
    party.address.as_mut().unwrap().city = None;
    let record = world.created(&party).await;
    assert_eq!(record.fields.address.unwrap().city, text("STOCKHOLM"));
}

/// What an address in the ERP becomes when the shop's customer moves: lines, postal code, city, county, country.
async fn moved(world: &World, from: Address, to: Address) -> [String; 6] {
    let at = |address: Address| Party {
        address: Some(address),
        ..person()
    };
    let seen = world.created(&at(from)).await;
    let outcome = world.erp.update(&seen, &at(to.clone()), soon()).await;
    let Ok(UpdateOutcome::Updated(record)) = outcome else {
        panic!("{outcome:?}");
    };
    let again = world.erp.update(&record, &at(to), soon()).await;
    assert!(
        matches!(again, Ok(UpdateOutcome::Unchanged(_))),
        "{again:?}"
    );
    let there = world.customer();
    [
        there.address_line1,
        there.address_line2,
        there.postal_code,
        there.city,
        there.state,
        there.country,
    ]
}

fn at_place(line1: &str, postal_code: &str, city: &str, region: &str, country: &str) -> Address {
    Address {
        line1: text(line1),
        postal_code: text(postal_code),
        city: text(city),
        region: text(region),
        country: country.parse().ok(),
        ..Address::default()
    }
}

#[tokio::test(start_paused = true)]
async fn k7_an_address_is_one_value() {
    let hong_kong = |company: &mut CompanySettings| {
        company.countries.push(Country {
            code: "HK".to_owned(),
            vat_formats: Vec::new(),
        });
    };
    for (from, to, there) in [
        (
            at_place("Storgatan 1", "114 55", "Stockholm", "", "SE"),
            at_place("Queen's Road 1", "", "Hong Kong", "", "HK"),
            ["Queen's Road 1", "", "", "Hong Kong", "", "HK"],
        ),
        (
            at_place("Main St 1", "90001", "Los Angeles", "CA", "US"),
            at_place("Broadway 1", "10001", "New York", "", "US"),
            ["Broadway 1", "", "10001", "New York", "", "US"],
        ),
        (
            at_place("Main St 1", "90001", "Los Angeles", "CA", "US"),
            at_place("", "10001", "New York", "NY", "US"),
            ["", "", "10001", "New York", "NY", "US"],
        ),
        // A country alone: nothing of the former one stays.
        (
            at_place("Storgatan 1", "114 55", "Stockholm", "", "SE"),
            at_place("", "", "", "", "NO"),
            ["", "", "", "", "", "NO"],
        ),
        // Only the street is new: the ERP's county stays.
        (
            at_place("Main St 1", "90001", "Los Angeles", "CA", "US"),
            at_place("Main St 2", "90001", "Los Angeles", "", "US"),
            ["Main St 2", "", "90001", "Los Angeles", "CA", "US"],
        ),
    ] {
        let world = World::new();
        world.configure(hong_kong);
        assert_eq!(moved(&world, from.clone(), to.clone()).await, there);
        // Whether or not the server clears the place by itself.
        let world = World::new();
        world.configure(hong_kong);
        world.configure(|company| company.country_required_in_addresses = true);
        assert_eq!(moved(&world, from, to).await, there);
    }
}

#[tokio::test(start_paused = true)]
async fn e7_a_company_that_moves_abroad_gets_country_and_vat_number_together() {
    let world = World::new();
    let seen = world.created(&company()).await;
    let mut danish = Party {
        organisation_number: None,
        vat_number: VatNumber::parse("DK13748136"),
        ..company()
    };
    danish.address = Some(at_place("Strøget 1", "2100", "København", "", "DK"));
    let outcome = world.erp.update(&seen, &danish, soon()).await;
    assert!(
        matches!(outcome, Ok(UpdateOutcome::Updated(_))),
        "{outcome:?}"
    );
    let there = world.customer();
    assert_eq!(
        [&*there.country, &*there.tax_registration_number],
        ["DK", "DK13748136"]
    );
}

/// The number is removed before the move, and restored if the move is refused.
#[tokio::test(start_paused = true)]
async fn e7_a_refused_move_leaves_the_vat_number_as_it_was() {
    let world = World::new();
    let seen = world.created(&company()).await;
    let mut abroad = Party {
        organisation_number: None,
        vat_number: VatNumber::parse("PT501964843"),
        ..company()
    };
    // Business Central does not know the country.
    abroad.address = Some(at_place("Rua 1", "1000", "Lisboa", "", "PT"));
    let error = world.erp.update(&seen, &abroad, soon()).await.unwrap_err();
    assert!(matches!(error, ErpError::Refused { .. }), "{error:?}");
    let there = world.customer();
    assert_eq!(
        [&*there.country, &*there.tax_registration_number],
        ["SE", "SE556036079301"]
    );
}

#[tokio::test(start_paused = true)]
async fn e8_a_postal_code_of_another_country_does_not_take_the_address_there() {
    let world = World::new();
    let seen = world
        .created(&placed("0154", "Oslo", CountryCode::NO))
        .await;
    let to = placed("111 20", "Oslo", CountryCode::NO);
    let error = world.erp.update(&seen, &to, soon()).await.unwrap_err();
    assert!(
        error.to_string().contains("postal-code-of-another-country"),
        "{error}"
    );
    assert_impersonal(&error);
    let there = world.customer();
    assert_eq!(
        [&*there.country, &*there.city, &*there.postal_code],
        ["NO", "Oslo", ""]
    );
    // Its advice helps.
    world.configure(|company| {
        company.post_codes.push(PostCode {
            code: "111 20".to_owned(),
            city: "OSLO".to_owned(),
            county: String::new(),
            country: "NO".to_owned(),
        });
    });
    let seen = world.erp.get(&seen.id, soon()).await.unwrap().unwrap();
    let outcome = world.erp.update(&seen, &to, soon()).await;
    assert!(
        matches!(outcome, Ok(UpdateOutcome::Updated(_))),
        "{outcome:?}"
    );
    assert_eq!(
        [world.customer().country, world.customer().postal_code],
        ["NO", "111 20"]
    );

    let world = World::new();
    let made = world.create(None, &to).await;
    assert!(matches!(made, Ok(CreateOutcome::Altered(_))), "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn e6_a_contact_has_nothing_of_its_company_that_the_shop_does_not_say() {
    let world = World::new();
    let organisation = world.created(&company()).await;
    let bare = samples::party(
        PartyKind::Contact {
            company: Some(organisation.id.clone()),
        },
        "Bo Lund",
    );
    let made = world.create(None, &bare).await;
    assert!(matches!(made, Ok(CreateOutcome::Created(_))), "{made:?}");
    let people = world.persons_of_companies();
    let there = &people[0];
    for value in [
        &there.email,
        &there.phone_number,
        &there.address_line1,
        &there.postal_code,
        &there.city,
    ] {
        assert_eq!(value, "");
    }
}

/// The server fills in the county of a known postal code. That is neither written again nor owed.
#[tokio::test(start_paused = true)]
async fn a_county_that_the_postal_code_brings_is_left() {
    let world = World::new();
    world.configure(|company| {
        company.post_codes.push(PostCode {
            code: "222 22".to_owned(),
            city: "LUND".to_owned(),
            county: "Skåne".to_owned(),
            country: "SE".to_owned(),
        });
    });
    let organisation = world.created(&company()).await;
    let made = world
        .create(None, &contact(&organisation.id, "bo@example.com"))
        .await;
    let Ok(CreateOutcome::Created(record)) = made else {
        panic!("{made:?}");
    };
    assert_eq!(world.persons_of_companies()[0].state, "Skåne");
    let mut party = contact(&organisation.id, "bo@example.com");
    party.emptied = [shared::domain::ShopField::Region].into();
    let outcome = world.erp.update(&record, &party, soon()).await;
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn k20_a_value_that_identifies_nobody_does_not_stop_a_record() {
    let world = World::new();
    let party = Party {
        phone: text("08-123 45 67 vx"),
        mobile: None,
        ..person()
    };
    world.created(&party).await;
    assert_eq!(world.customer().phone_number, "");
}

#[tokio::test(start_paused = true)]
async fn look_ups_find_every_holder_and_never_a_similar_one() {
    let world = World::new();
    let key = email_key("anna.ek@example.com");
    assert!(world.find(&PartyKind::Person, &key).await.is_empty());
    world.add_customer("1", "Person", "banna.ek@example.com");
    world.add_customer("2", "Company", "anna.ek@example.com");
    assert!(world.find(&PartyKind::Person, &key).await.is_empty());
    world.add_customer("3", "Person", "ANNA.EK@example.com");
    let found = world.find(&PartyKind::Person, &key).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code.as_str(), "3");
    // One to a page.
    world.simulator.configure(|settings| settings.page_size = 1);
    for number in ["4", "5"] {
        world.add_customer(number, "Person", "anna.ek@example.com");
    }
    assert_eq!(world.find(&PartyKind::Person, &key).await.len(), 3);

    assert_eq!(world.find_code("3").await.len(), 1);
    assert!(world.find_code("33").await.is_empty());
    assert!(world.find_code("' or number ne '").await.is_empty());
    assert!(world.find_code(&"N".repeat(21)).await.is_empty());
    let quoted = email_key("o'hara@example.com");
    world.add_customer("6", "Person", "O'Hara@example.com");
    assert_eq!(world.find(&PartyKind::Person, &quoted).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_to_another_host_is_not_followed() {
    let world = World::with(Settings {
        next_link_origin: Some("https://elsewhere.example".to_owned()),
        page_size: 1,
        ..Settings::default()
    });
    world.add_customer("1", "Person", "anna.ek@example.com");
    world.add_customer("2", "Person", "anna.ek@example.com");
    let key = email_key("anna.ek@example.com");
    let found = world
        .erp
        .find_by_key(&PartyKind::Person, &key, soon())
        .await;
    assert!(matches!(found, Err(ErpError::Unreadable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_company_is_found_by_its_vat_number_however_it_is_written() {
    let world = World::that_filters();
    let record = world.created(&company()).await;
    let bare = Party {
        vat_number: VatNumber::parse("556036-0793"),
        organisation_number: None,
        ..company()
    };
    for party in [company(), bare] {
        let key = party.keys().remove(0);
        assert_eq!(
            world.find(&party.kind, &key).await,
            std::slice::from_ref(&record)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn contacts_belong_to_their_company_and_are_found_among_its_people_only() {
    let world = World::new();
    let first = world.created(&company()).await;
    let second = world
        .created(&Party {
            organisation_number: OrganisationNumber::parse("2021005489"),
            ..company()
        })
        .await;
    let anna = contact(&first.id, "anna@ek.example");
    let record = world.created(&anna).await;
    let there = &world.persons_of_companies()[0];
    assert_eq!(record.id.resource, Resource::Contact);
    assert_eq!(record.id.id, there.id.to_string());
    assert_eq!(there.job_title, "Inköpare med ansvar för elva a");
    assert_eq!(there.mobile_phone_number, "070-123 45 67");
    let company_contact = world
        .simulator
        .contacts(world.company)
        .into_iter()
        .find(|contact| contact.number == there.company_number)
        .unwrap();
    assert_eq!(company_contact.tax_registration_number, "SE556036079301");

    let key = email_key("ANNA@ek.example");
    assert_eq!(
        world.find(&anna.kind, &key).await,
        std::slice::from_ref(&record)
    );
    let elsewhere = contact(&second.id, "anna@ek.example");
    assert!(world.find(&elsewhere.kind, &key).await.is_empty());
    assert!(world.find(&PartyKind::Person, &key).await.is_empty());

    let outcome = world.erp.update(&record, &anna, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
    let changed = Party {
        mobile: text("070-999 99 99"),
        ..anna.clone()
    };
    let outcome = world.erp.update(&record, &changed, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    let requests = world.simulator.requests();
    assert_eq!(
        requests.writes.last().unwrap().body,
        json!({ "mobilePhoneNumber": "070-999 99 99" })
    );
    let outcome = world.erp.block(&record.id, Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(record)) if record.blocked));
    assert!(world.persons_of_companies()[0].privacy_blocked);
}

/// A person inherits from its organisation what it lacks or had from the former one, and the country always.
#[tokio::test(start_paused = true)]
async fn a_contact_that_moves_keeps_what_it_has_and_lacks() {
    let world = World::new();
    let from = Party {
        phone: text("08-1"),
        email: text("info@from.example"),
        ..company()
    };
    let from = world.created(&from).await;
    let to = Party {
        phone: text("22-2"),
        mobile: text("99-2"),
        email: text("info@to.example"),
        ..placed("0154", "Oslo", CountryCode::NO)
    };
    let to = Party {
        kind: PartyKind::Company,
        ..to
    };
    let to = world.created(&to).await;
    let whole = contact(&from.id, "bo@example.com");
    let addresses = [None, whole.address.clone(), company().address];
    for (address, phone) in addresses
        .into_iter()
        .zip([None, text("08-9"), text("08-1")])
    {
        let party = Party {
            address,
            phone,
            mobile: None,
            ..whole.clone()
        };
        let before = world.created(&party).await;
        // As it is in the shop: what the ERP has filled in by itself is put right with the first update.
        let before = match world.erp.update(&before, &party, soon()).await.unwrap() {
            UpdateOutcome::Updated(record) | UpdateOutcome::Unchanged(record) => record,
            other => panic!("{other:?}"),
        };
        let moved = Party {
            kind: PartyKind::Contact {
                company: Some(to.id.clone()),
            },
            ..party
        };
        let outcome = world.erp.update(&before, &moved, soon()).await.unwrap();
        let UpdateOutcome::Updated(after) = outcome else {
            panic!("{outcome:?}");
        };
        assert_ne!(after.company, before.company);
        assert_eq!(after.fields, before.fields);
        let again = world.erp.update(&after, &moved, soon()).await;
        assert!(matches!(again, Ok(UpdateOutcome::Unchanged(_))));
        world
            .erp
            .block(&after.id, Block::All, soon())
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_contact_whose_answer_is_lost_is_found_again() {
    for instead in lost_answers() {
        let world = World::with_manual_numbers();
        let organisation = world.created(&company()).await;
        world.simulator.inject(
            Fault::lost_answer(instead)
                .on_entity(Entity::Contacts)
                .times(2),
        );
        let anna = contact(&organisation.id, "anna@ek.example");
        let outcome = world.create(Some("N12"), &anna).await;
        assert!(matches!(outcome, Ok(CreateOutcome::AlreadyThere(_))));
        let bo = contact(&organisation.id, "bo@ek.example");
        let outcome = world.create(None, &bo).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous { .. })));
        let key = bo.keys().remove(0);
        assert_eq!(world.find(&bo.kind, &key).await.len(), 1);
        assert_eq!(world.persons_of_companies().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_contact_of_a_customer_without_a_company_contact_is_refused() {
    let world = World::new();
    world.configure(|company| company.contact_for_new_customer = false);
    let organisation = world.created(&company()).await;
    let anna = contact(&organisation.id, "anna@ek.example");
    assert!(
        world
            .find(&anna.kind, &email_key("anna@ek.example"))
            .await
            .is_empty()
    );
    let error = world.create(None, &anna).await.unwrap_err();
    assert!(
        error.to_string().contains("Bus. Rel. Code for Customers"),
        "{error}"
    );
    assert!(world.simulator.contacts(world.company).is_empty());
}

#[tokio::test(start_paused = true)]
async fn vat_numbers_have_the_form_of_their_country() {
    for (number, country, vat) in [
        ("556036-0793", CountryCode::SE, "SE556036079301"),
        ("16556036-0793", CountryCode::SE, "SE556036079301"),
        ("923 609 016", CountryCode::NO, "NO923609016MVA"),
        ("13748136", CountryCode::DK, "DK13748136"),
        ("2077474-0", CountryCode::FI, "FI20774740"),
        // A wrong check digit: nothing follows from it, and there is no field for it.
        ("556036-0794", CountryCode::SE, ""),
    ] {
        let world = World::new();
        let mut party = Party {
            organisation_number: OrganisationNumber::parse(number),
            ..company()
        };
        if let Some(address) = &mut party.address {
            address.country = Some(country);
        }
        world.created(&party).await;
        assert_eq!(world.customer().tax_registration_number, vat, "{number}");
    }
    let world = World::new();
    let wrong = Party {
        vat_number: VatNumber::parse("SE5560360793"),
        ..company()
    };
    let error = world.create(None, &wrong).await.unwrap_err();
    assert!(matches!(error, ErpError::Refused { .. }), "{error:?}");
    assert_impersonal(&error);
}

#[tokio::test(start_paused = true)]
async fn e12_an_invoice_block_leaves_payments_open_and_the_twin_contact_is_closed_too() {
    let stopped = |world: &World, customer: &ErpId| {
        let id = customer.id.parse().unwrap();
        let stops = |business: &Business| {
            let done = world.simulator.do_business(world.company, id, *business);
            done.is_err()
        };
        Business::ALL.into_iter().filter(stops).collect::<Vec<_>>()
    };
    for (block, expected) in [
        (Block::Invoice, &Business::ALL[..3]),
        (Block::All, &Business::ALL[..]),
    ] {
        let world = World::new();
        let record = world.created(&person()).await;
        let twins = || world.simulator.contacts(world.company);
        assert_eq!(twins().len(), 1);
        for attempt in 0..2 {
            let outcome = world.erp.block(&record.id, block, soon()).await.unwrap();
            let again = matches!(outcome, UpdateOutcome::Unchanged(_));
            assert_eq!(again, attempt == 1, "{outcome:?}");
            assert_eq!(stopped(&world, &record.id), expected);
            assert!(twins()[0].privacy_blocked);
        }
        // A weaker block does not replace a stronger one.
        let outcome = world
            .erp
            .block(&record.id, Block::All, soon())
            .await
            .unwrap();
        assert!(matches!(outcome, UpdateOutcome::Updated(_)) == (block == Block::Invoice));
        let outcome = world
            .erp
            .block(&record.id, Block::Invoice, soon())
            .await
            .unwrap();
        assert!(matches!(outcome, UpdateOutcome::Unchanged(_)));
    }
}

/// Consumers of old registers are of type Company (erp-apis §1.3), and so are their contacts.
#[tokio::test(start_paused = true)]
async fn e12_a_blocked_customer_of_type_company_closes_its_own_contact_and_nobody_elses() {
    let world = World::new();
    let organisation = world.created(&company()).await;
    let buyer = contact(&organisation.id, "buyer@ekbygg.example");
    world.created(&buyer).await;
    let outcome = world.erp.block(&organisation.id, Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    let contacts = world.simulator.contacts(world.company);
    assert_eq!(contacts.len(), 2);
    for contact in contacts {
        let is_own = contact.r#type == "Company";
        assert_eq!(contact.privacy_blocked, is_own, "{}", contact.r#type);
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_closes_a_customer_once() {
    let world = World::new();
    let record = world.created(&person()).await;
    let outcome = world.erp.block(&record.id, Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(record)) if record.blocked));
    assert_eq!(world.customer().blocked, "All");
    let outcome = world.erp.block(&record.id, Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
    assert_eq!(world.count(Method::PATCH), 1);

    let world = World::new();
    let record = world.created(&person()).await;
    world
        .simulator
        .block_for_privacy(world.company, record.id.id.parse().unwrap())
        .unwrap();
    let outcome = world.erp.block(&record.id, Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_withdrawn_is_renewed() {
    let world = World::new();
    world.created(&person()).await;
    world.simulator.revoke_tokens();
    world.created(&company()).await;
    assert_eq!(world.customers().len(), 2);
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(world.find_code("C00010").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_may_not_is_a_matter_of_credentials() {
    for access in [
        ApplicationAccess::RefusedAsUnknown,
        ApplicationAccess::RefusedAsForbidden,
    ] {
        let world = World::with(Settings {
            access,
            ..Settings::default()
        });
        let error = world.create(None, &person()).await.unwrap_err();
        assert!(
            matches!(error, ErpError::Authentication { .. }),
            "{error:?}"
        );
    }
    let world = World::with(Settings {
        applications: vec![],
        ..Settings::default()
    });
    let error = world.create(None, &person()).await.unwrap_err();
    assert!(
        matches!(error, ErpError::Authentication { .. }),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("business-central-secret"));
    let elsewhere = adapter(&World::new().simulator, Uuid::from_u128(7));
    let id = ErpId {
        resource: Resource::Customer,
        id: Uuid::from_u128(8).to_string(),
    };
    let error = elsewhere.get(&id, soon()).await.unwrap_err();
    assert!(
        matches!(error, ErpError::Authentication { .. }),
        "{error:?}"
    );
}

async fn expect_retry<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, ErpError>>,
) -> Option<Duration> {
    match call.await {
        Err(ErpError::RetryAfter { after, .. }) => after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn p8_an_erp_that_is_busy_or_down_is_asked_again_later() {
    let world = World::new();
    let record = world.created(&person()).await;
    let changed = named("Anna Eksson");
    for status in [408, 429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        world.simulator.inject(Fault::status(status).as_html());
        assert_eq!(expect_retry(world.erp.get(&record.id, soon())).await, None);
        expect_retry(world.erp.update(&record, &changed, soon())).await;
        let key = email_key("anna.ek@example.com");
        expect_retry(world.erp.find_by_key(&PartyKind::Person, &key, soon())).await;
        world.simulator.clear_faults();
        let wait = Duration::from_secs(600);
        world
            .simulator
            .inject(Fault::status(status).retry_after(wait));
        let after = expect_retry(world.erp.block(&record.id, Block::All, soon())).await;
        assert_eq!(after, Some(wait));
        world.simulator.clear_faults();
    }
    assert_eq!(world.customer().display_name, "Anna Ek");
    let outcome = world.erp.update(&record, &changed, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
}

#[tokio::test(start_paused = true)]
async fn p8_a_create_over_the_rate_limit_made_nothing() {
    let world = World::new();
    let busy = Fault::status(StatusCode::TOO_MANY_REQUESTS);
    world
        .simulator
        .inject(busy.retry_after(Duration::from_secs(600)));
    let after = expect_retry(world.create(None, &person())).await;
    assert_eq!(after, Some(Duration::from_secs(600)));
    assert!(world.customers().is_empty());
}

/// Of no call to the ERP: neither a read nor a write, for customers or for contacts.
#[tokio::test(start_paused = true)]
async fn p13_nothing_is_sent_when_no_time_is_left() {
    let world = World::new();
    let record = world.created(&person()).await;
    let organisation = world.created(&company()).await;
    let of_contact = contact(&organisation.id, "bo@example.com");
    let (id, code) = (&record.id, &record.code);
    let (person_key, codes) = (email_key("anna@example.com"), [(id.clone(), code.clone())]);
    let keys = std::slice::from_ref(&person_key);
    let listing = |resource| Listing {
        resource,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    };
    let sent = || format!("{:?}", world.simulator.requests());
    let before = sent();
    let over = Deadline::after(Duration::ZERO);
    let erp = &world.erp;
    expect_retry(erp.create(&keyed(None), &named("Bo Ek"), over)).await;
    expect_retry(erp.create(&keyed(None), &of_contact, over)).await;
    expect_retry(erp.update(&record, &named("Anna Berg"), over)).await;
    expect_retry(erp.block(id, Block::All, over)).await;
    expect_retry(erp.get(id, over)).await;
    expect_retry(erp.get_many(std::slice::from_ref(id), FieldGroups::CODE, over)).await;
    expect_retry(erp.find_by_key(&PartyKind::Person, &person_key, over)).await;
    expect_retry(erp.holders_of_keys(EntityKind::Customer, keys, over)).await;
    expect_retry(erp.other_holders_of_codes(EntityKind::Customer, &codes, over)).await;
    expect_retry(erp.company_of(&CompanyKey("CT1".to_owned()), over)).await;
    expect_retry(erp.clock(over)).await;
    for resource in [Resource::Customer, Resource::Contact] {
        expect_retry(erp.find_by_code(resource, code, over)).await;
        expect_retry(erp.page(&listing(resource), None, over)).await;
    }
    assert_eq!(sent(), before);
}

#[tokio::test(start_paused = true)]
async fn p14_two_companies_do_not_see_each_other() {
    let settings = Settings::default();
    let second = CompanySettings::named("Butikken AS");
    let id = second.id;
    let companies = [settings.companies.clone(), vec![second]].concat();
    let world = World::with(Settings {
        companies,
        ..settings
    });
    let other = adapter(&world.simulator, id);
    let record = world.created(&person()).await;
    assert_eq!(other.get(&record.id, soon()).await, Ok(None));
    let found = other.find_by_code(Resource::Customer, &record.code, soon());
    assert_eq!(found.await, Ok(vec![]));
    world
        .simulator
        .inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).in_company(world.company));
    let outcome = other.create(&keyed(None), &person(), soon()).await;
    assert!(matches!(outcome, Ok(CreateOutcome::Created(_))));
    assert_eq!(world.simulator.customers(id).len(), 1);
}

/// Puts a text into a party.
type Put = fn(&mut Party, Option<Personal>);

fn address(party: &mut Party) -> &mut Address {
    party.address.get_or_insert_default()
}

/// Every text of a company and the longest one that Business Central takes (erp-apis §1.2).
const TEXTS: [(&str, usize, Put); 8] = [
    ("displayName", 100, |party, text| {
        party.name = text.unwrap_or_else(|| party.name.clone());
    }),
    ("email", 80, |party, text| {
        party.email = text
            .and_then(|text| Personal::parse(format!("{}@b.se", text.expose().replace(' ', ""))));
    }),
    ("phoneNumber", 30, |party, text| party.phone = text),
    ("addressLine1", 100, |party, text| {
        address(party).line1 = text
    }),
    ("addressLine2", 50, |party, text| {
        address(party).line2 = text
    }),
    ("postalCode", 20, |party, text| {
        address(party).postal_code = text;
    }),
    ("city", 30, |party, text| address(party).city = text),
    ("state", 30, |party, text| address(party).region = text),
];

/// A character of one and one of two UTF-16 code units, neither of them a letter.
const CHARACTERS: [(&str, usize); 2] = [("7", 1), ("🏠", 2)];

#[tokio::test(start_paused = true)]
async fn the_longest_text_goes_through_and_a_longer_one_is_not_sent() {
    for (field, max, put) in TEXTS {
        for (character, units) in CHARACTERS {
            let world = World::new();
            let room = if field == "email" {
                max - "@b.se".len()
            } else {
                max
            };
            let mut party = company();
            address(&mut party).care_of = None;
            put(&mut party, text(&character.repeat(room / units)));
            let record = world.created(&party).await;
            let outcome = world.erp.update(&record, &party, soon()).await;
            assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(record)), "{field}");

            put(&mut party, text(&character.repeat(room / units + 1)));
            if field == "phoneNumber" {
                // It identifies nobody.
                let created = world.created(&party).await;
                assert_eq!(created.fields.phone, None);
                continue;
            }
            let error = world.create(None, &party).await.unwrap_err();
            assert!(
                matches!(error, ErpError::Refused { field: Some(it), .. } if it == field),
                "{field}: {error:?}"
            );
            assert_eq!(world.count(Method::POST), 1);
        }
    }
}

/// A company with texts up to a little more than what their fields take, each of them missing now and then.
fn any_company() -> impl Strategy<Value = Party> {
    let texts = TEXTS.map(|(_, max, _)| {
        let words = prop::collection::vec("[0-9🏠]{1,12}", 0..=max / 9);
        prop::option::of(words.prop_map(move |words| {
            let joined = words.join(" ");
            joined.chars().take(max * 51 / 50).collect::<String>()
        }))
    });
    texts.prop_map(|texts| {
        let mut party = company();
        address(&mut party).care_of = None;
        for ((_, _, put), value) in TEXTS.into_iter().zip(texts) {
            put(&mut party, value.as_deref().and_then(text));
        }
        party
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A text that the adapter lets through is one that Business Central takes and gives back unchanged.
    #[test]
    fn whatever_is_sent_fits(party in any_company()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new();
            match world.create(None, &party).await {
                Ok(CreateOutcome::Created(seen)) => {
                    let outcome = world.erp.update(&seen, &party, soon()).await;
                    prop_assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(seen)));
                }
                Err(ErpError::Refused { field, .. }) => {
                    prop_assert!(field.is_some(), "refused by the server: {:?}", field);
                    prop_assert_eq!(world.count(Method::POST), 0);
                }
                other => prop_assert!(false, "{:?}", other),
            }
            Ok(())
        })?;
    }
}

/// A filter goes into the address, whose length the server limits.
#[tokio::test]
async fn keys_are_looked_up_fifteen_at_a_time() {
    let world = World::new();
    for (keys, requests) in [(1, 1), (15, 1), (16, 2), (30, 2), (31, 3)] {
        let keys: Vec<NaturalKey> = (0..keys)
            .map(|number| format!("anna.{number}@example.com"))
            .map(|email| NaturalKey::email(&email).unwrap())
            .collect();
        world.simulator.forget_requests();
        let holders = world
            .erp
            .holders_of_keys(EntityKind::Customer, &keys, soon())
            .await;
        assert_eq!(holders.unwrap(), []);
        let log = world.simulator.requests();
        let asked = log.count(&Method::GET, Entity::Customers);
        assert_eq!(asked, requests, "{} keys", keys.len());
    }
}

/// A filter on VAT numbers may be refused, be ignored, match nothing, or filter; one on addresses filters.
#[tokio::test]
async fn what_a_filter_does_is_found_out_by_trying_it_once() {
    for (mode, expected) in [
        (TaxNumberFilter::Refused, FilterProof::Refused),
        (TaxNumberFilter::Ignored, FilterProof::Ignored),
        (TaxNumberFilter::MatchesNothing, FilterProof::MatchesNothing),
        (TaxNumberFilter::Filters, FilterProof::Filters),
    ] {
        let world = World::with(Settings {
            tax_number_filter: mode,
            ..Settings::default()
        });
        let proof = async |field| world.erp.key_filter(field, soon()).await.unwrap();
        // A register in which there is nothing to try it with, and then a number that is none.
        assert_eq!(proof(KeyField::VatNumber).await, FilterProof::Unknown);
        assert_eq!(proof(KeyField::Email).await, FilterProof::Unknown);
        let add = |name: &str, country: &str, number: &str| {
            let properties = json!({"displayName": name, "type": "Company", "country": country,
                "taxRegistrationNumber": number});
            let added = world.simulator.add_customer(world.company, &properties);
            added.unwrap();
        };
        add("None", "US", "SAKNAS");
        assert_eq!(proof(KeyField::VatNumber).await, FilterProof::Unknown);
        add("Acme", "SE", "SE556036079301");
        add("Other", "SE", "SE556012579001");
        world.add_customer("N1", "Person", "Anna.Ek@example.com");
        for _ in 0..2 {
            assert_eq!(proof(KeyField::VatNumber).await, expected, "{mode:?}");
            assert_eq!(proof(KeyField::Email).await, FilterProof::Filters);
            // It is remembered.
            world.simulator.forget_requests();
        }
        let log = world.simulator.requests();
        assert_eq!(log.count(&Method::GET, Entity::Customers), 0);
    }
}

/// With one company alone, a filter that is ignored returns what a filter that filters would.
#[tokio::test]
async fn a_filter_that_is_ignored_is_seen_to_be_in_a_register_of_one() {
    let world = World::with(Settings {
        tax_number_filter: TaxNumberFilter::Ignored,
        ..Settings::default()
    });
    world.created(&company()).await;
    let proof = world.erp.key_filter(KeyField::VatNumber, soon()).await;
    assert_eq!(proof.unwrap(), FilterProof::Ignored);
}

/// Where a server refuses several addresses in one filter, each one is a request, and nobody is missed.
#[tokio::test]
async fn several_addresses_are_asked_for_one_by_one_where_a_chain_is_refused() {
    for (chains, first, then) in [
        (EmailChains::WithSchemaVersion, 1, 1),
        // Refused once, and then three requests for each resource.
        (EmailChains::Refused, 1 + 3, 3),
    ] {
        let world = World::with(Settings {
            email_chains: chains,
            ..Settings::default()
        });
        let ids: Vec<Uuid> = (0..2)
            .map(|number| {
                let email = format!("anna.{number}@example.com");
                world
                    .add_customer(&format!("N{number}"), "Person", &email)
                    .id
            })
            .collect();
        let keys: Vec<NaturalKey> = (0..3)
            .map(|number| format!("anna.{number}@example.com"))
            .map(|email| NaturalKey::email(&email).unwrap())
            .collect();
        for requests in [first, then] {
            world.simulator.forget_requests();
            let found = world
                .erp
                .holders_of_keys(EntityKind::Customer, &keys, soon());
            let mut found: Vec<String> = found
                .await
                .unwrap()
                .into_iter()
                .map(|(_, id)| id.id)
                .collect();
            found.sort();
            let mut expected: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            expected.sort();
            assert_eq!(found, expected);
            let log = world.simulator.requests();
            let asked = log.count(&Method::GET, Entity::Customers);
            assert_eq!(asked, requests, "{chains:?}");
        }
    }
}

/// Business Central's field holds several addresses: the finance department's stay where the shop's is one of them.
#[tokio::test]
async fn an_address_that_is_one_of_several_is_left_there_and_another_one_takes_their_place() {
    let world = World::with_manual_numbers();
    let record = world.created(&person()).await;
    let several = "Anna.Ek@example.com;finance@example.com";
    let id: Uuid = record.id.id.parse().unwrap();
    world
        .simulator
        .edit_customer(world.company, id, &json!({ "email": several }))
        .unwrap();
    let seen = world.erp.get(&record.id, soon()).await.unwrap().unwrap();
    let outcome = world.erp.update(&seen, &person(), soon()).await.unwrap();
    assert!(
        matches!(outcome, UpdateOutcome::Unchanged(_)),
        "{outcome:?}"
    );
    let moved = Party {
        email: text("anna.ny@example.com"),
        ..person()
    };
    let outcome = world.erp.update(&seen, &moved, soon()).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Updated(_)), "{outcome:?}");
    assert_eq!(world.customers()[0].email, "anna.ny@example.com");
}
