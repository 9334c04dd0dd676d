//! The Odoo adapter against a real Odoo 19. Where none is available, the tests say so and pass, unless `REQUIRE_ODOO`
//! is set, as it is in `.ci/run`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what is skipped is to be seen"
)]

mod behind_http;
mod crashes;
#[path = "../conformance/create_flow.rs"]
mod create_flow;
mod fixed_values;
mod register;
#[path = "../conformance/suite.rs"]
mod suite;

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use register::{Partners, is_write};
use serde_json::{Value, json};
use shared::{
    domain::{
        Address, AddressDetails, CountryCode, DeliveryAddress, EntityKind, EntityRef, ErpDetail,
        FieldGroup, FieldGroups, NorceId, OrganisationNumber, Personal, Scope, VatNumber,
    },
    erp::{
        CreateOutcome, Erp, ErpRecord, ExtraFields, IdempotencyKey, Listing, NaturalKey, Party,
        PartyKind, Resource, UpdateOutcome,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, ReqwestTransport},
};
use suite::{Faults, Subject};
use tests::{odoo::Odoo as Server, samples};
use tokio::{runtime::Runtime, sync::OnceCell};

/// The connections of the server below belong to it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
/// What all tests share that do not restart it.
static SHARED: OnceCell<Option<Shared>> = OnceCell::const_new();
/// More than the tests need.
const COMPANIES: usize = 35;

/// What [`make_gln_field`] makes.
const GLN_FIELD: &str = "x_gln";

/// A server, and companies in it that no test has had.
struct Shared {
    server: Arc<Server>,
    companies: Mutex<Vec<NonZeroU32>>,
}

impl Shared {
    async fn start() -> Option<Self> {
        let server = server().await?;
        let companies = Mutex::new(companies(&server).await);
        make_gln_field(&server).await;
        Some(Self { server, companies })
    }

    /// A company with an empty register.
    fn company(&self) -> NonZeroU32 {
        let mut companies = self.companies.lock().unwrap();
        companies.pop().expect("more COMPANIES")
    }
}

/// Runs a test on the shared server.
fn with_odoo(test: impl AsyncFnOnce(&Shared)) {
    RUNTIME.block_on(async {
        if let Some(shared) = SHARED.get_or_init(Shared::start).await {
            test(shared).await;
        }
    });
}

/// A new one, or none.
async fn server() -> Option<Arc<Server>> {
    match Server::start(|step: &str| eprintln!("{step}")).await {
        Ok(server) => Some(Arc::new(server)),
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
        database: Some(access.database.clone()),
        company: None,
        api_key: access.key.clone().into(),
        code_field: "ref".to_owned(),
        code_sequence: None,
        extra_fields: ExtraFields::default(),
        home_country: None,
    }
}

/// A company of Odoo with an empty register.
fn subject(server: &Arc<Server>, company: NonZeroU32) -> Subject {
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let faults = Arc::new(Faults::around(transport, is_write));
    let settings = OdooSettings {
        company: Some(company),
        ..settings(server)
    };
    let transport = faults.clone();
    let with_fixed_values = move |fixed| {
        let erp = Odoo::new(settings.clone(), transport.clone()).unwrap();
        Arc::new(erp.with_fixed_values(fixed)) as Arc<dyn Erp>
    };
    let partners = Partners {
        server: server.clone(),
        company,
    };
    Subject::new(Box::new(with_fixed_values), faults, Arc::new(partners))
}

/// Makes companies that the user of the adapter may see. All of them before the first test: while one is made, Odoo refuses
/// another one, and while the user gets one, it refuses requests for those that the user has.
async fn companies(server: &Server) -> Vec<NonZeroU32> {
    let names = (1..=COMPANIES).map(|number| json!({ "name": format!("Butik {number} AB") }));
    let companies = json!({ "vals_list": names.collect::<Vec<_>>() });
    let made = server.call("res.company", "create", companies).await;
    let made: Vec<NonZeroU32> = serde_json::from_value(made.unwrap()).unwrap();
    let own =
        json!({ "domain": [["login", "=", server.access().login]], "fields": ["company_ids"] });
    let user = server.call("res.users", "search_read", own).await.unwrap();
    let allowed: Vec<Value> = made.iter().map(|company| json!([4, company, 0])).collect();
    let allowed = json!({ "company_ids": allowed });
    let values = json!({ "ids": [user[0]["id"]], "vals": allowed });
    server.call("res.users", "write", values).await.unwrap();
    made
}

/// The field of a database that has a GLN under another name: Odoo's own comes with a module that brings the whole
/// accounting. Before the first test, because a new field locks all partners.
async fn make_gln_field(server: &Server) {
    let partners = json!({ "domain": [["model", "=", "res.partner"]], "fields": ["id"] });
    let partners = server.call("ir.model", "search_read", partners).await;
    let field = json!({ "vals_list": [{
        "model_id": partners.unwrap()[0]["id"], "name": GLN_FIELD, "field_description": "GLN", "ttype": "char",
    }] });
    server
        .call("ir.model.fields", "create", field)
        .await
        .unwrap();
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
        email: Personal::parse(email),
        ..samples::party(PartyKind::Person, "Bo Lund")
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
        .records
        .remove(0);
    assert_eq!(read.fields.price_lists, ["VIP"]);
    let cities: Vec<_> = read
        .fields
        .delivery_addresses
        .iter()
        .map(|it| it.address.city.clone())
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

/// The organisation number is a free text; a VAT number is one that its country's checksum lets through, or none: with
/// the module `base_vat` Odoo refuses the whole partner otherwise (erp-apis §2.4).
async fn numbers_are_written_in_the_form_that_odoo_takes(server: &Server) {
    let erp = adapter(settings(server));
    for (place, (number, vat_number, registry, vat)) in [
        (
            "556036-0793",
            "se 556036-0793 01",
            json!("5560360793"),
            json!("SE556036079301"),
        ),
        (
            "923 609 016",
            "NO 923 609 016 MVA",
            json!("923609016"),
            json!("NO923609016MVA"),
        ),
        (
            "13 74 81 36",
            "DK-13748136",
            json!("13748136"),
            json!("DK13748136"),
        ),
        (
            "2077474-0",
            "FI 2077474-0",
            json!("20774740"),
            json!("FI20774740"),
        ),
        // Old registers have wrong check digits, too.
        (
            "556036-0794",
            "SE556036079401",
            json!("5560360794"),
            json!(false),
        ),
        (
            "556036-0793",
            "556036-0793",
            json!("5560360793"),
            json!(false),
        ),
        // Of other countries we know no checksum.
        ("", "DE 136 695 976", json!(false), json!("DE136695976")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 900_040 + i64::try_from(place).unwrap();
        let party = Party {
            kind: PartyKind::Company,
            organisation_number: OrganisationNumber::parse(number),
            vat_number: VatNumber::parse(vat_number),
            ..person("")
        };
        let record = created(&erp, &without_code(id), &party).await;
        let partner = json!([["id", "=", record.id.id.parse::<i64>().unwrap()]]);
        let partner = server.partners(partner, &["company_registry", "vat"]).await;
        let partner = &partner.unwrap()[0];
        assert_eq!(partner["company_registry"], registry, "{number}");
        assert_eq!(partner["vat"], vat, "{vat_number}");
    }
    // With a country to go by, a bare number is as good.
    let party = Party {
        kind: PartyKind::Company,
        vat_number: VatNumber::parse("556036-0793"),
        address: Some(Address {
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..person("")
    };
    let record = created(&erp, &without_code(900_050), &party).await;
    let vat = VatNumber::parse("SE556036079301");
    assert_eq!(record.fields.vat_number, vat);
    let key = NaturalKey::organisation("SE556036079301", None);
    assert_eq!(party.keys(), Vec::from_iter(key));
}

/// A partner's field can hold several addresses, or one with a name (erp-apis §2.4): each finds the partner, and the shop
/// replaces them only by an address that is not among them.
async fn each_of_several_addresses_finds_the_partner_and_they_stay(server: &Server) {
    let erp = adapter(settings(server));
    let anna = person("several.anna@example.com");
    let record = created(&erp, &without_code(900_061), &anna).await;
    let id = record.id.id.parse::<i64>().unwrap();
    let keys = ["several.anna@example.com", "several.invoice@example.com"]
        .map(|email| NaturalKey::email(email).unwrap());
    for several in [
        "Several.Anna@example.com, several.invoice@example.com",
        "\"Ek, Anna\" <several.anna@example.com>; several.invoice@example.com",
    ] {
        let values = json!({ "ids": [id], "vals": { "email": several } });
        let written = server.call("res.partner", "write", values).await;
        written.unwrap();
        for key in &keys {
            let found = erp.find_by_key(&PartyKind::Person, key, soon()).await;
            let found: Vec<_> = found.unwrap().into_iter().map(|it| it.id).collect();
            assert_eq!(found, std::slice::from_ref(&record.id), "{several}");
        }
        let held = erp.holders_of_keys(EntityKind::Customer, &keys, soon());
        assert_eq!(held.await.unwrap().len(), keys.len(), "{several}");
        let seen = erp.get(&record.id, soon()).await.unwrap().unwrap();
        let outcome = erp.update(&seen, &anna, soon()).await.unwrap();
        let UpdateOutcome::Unchanged(there) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(there.fields.email, Personal::parse(several));
    }
    let seen = erp.get(&record.id, soon()).await.unwrap().unwrap();
    let moved = person("several.new@example.com");
    let outcome = erp.update(&seen, &moved, soon()).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Updated(_)), "{outcome:?}");
    let there = erp.get(&record.id, soon()).await.unwrap().unwrap();
    assert_eq!(there.fields.email, moved.email);
}

/// P15: a code that Odoo's sequence or the pattern gives, and that somebody has entered by hand, leads to nobody's partner. A
/// trial does not touch it either.
async fn a_code_that_was_not_asked_for_is_not_taken_from_its_partner(server: &Server) {
    let erp = adapter(settings(server));
    let key = without_code(900_170);
    let stranger = json!({ "vals_list": [{ "name": "Berit", "ref": "P900170" }] });
    let stranger = server
        .call("res.partner", "create", stranger)
        .await
        .unwrap()[0]
        .clone();
    for refused in [
        erp.create(&key, &person(""), soon()).await.unwrap_err(),
        erp.trial(&key, &person(""), soon()).await.unwrap_err(),
    ] {
        assert!(
            refused
                .to_string()
                .contains("code P900170 belongs to partner"),
            "{refused}"
        );
    }
    let there = server
        .partners(json!([["ref", "=", "P900170"]]), &["name"])
        .await
        .unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!(
        [&there[0]["id"], &there[0]["name"]],
        [&stranger, &json!("Berit")]
    );
}

/// P2: a partner without a code may be the customer who orders. It is never made a second time: somebody gives it a code.
async fn a_partner_without_a_code_is_not_made_again(server: &Server) {
    let erp = adapter(settings(server));
    for (field, key, kind) in [
        ("email", "anna.no.ref@example.com", PartyKind::Person),
        ("vat", "SE556036079301", PartyKind::Company),
    ] {
        let is_company = kind.is_organisation();
        let partner =
            json!({ "vals_list": [{ "name": "Ek", field: key, "is_company": is_company }] });
        let made = server.call("res.partner", "create", partner.clone()).await;
        let id = made.unwrap()[0].clone();
        let key = match kind {
            PartyKind::Person => NaturalKey::email(key).unwrap(),
            _ => NaturalKey::organisation(key, None).unwrap(),
        };
        let found = erp.find_by_key(&kind, &key, soon()).await;
        let refused = found.unwrap_err().to_string();
        assert!(
            refused.contains(&format!("{id} has no code: give it one")),
            "{refused}"
        );
        let code = json!({ "ids": [id], "vals": { "ref": format!("R{id}") } });
        server.call("res.partner", "write", code).await.unwrap();
        let found = erp.find_by_key(&kind, &key, soon()).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id.id, id.to_string());
        // Another one without a code is not in the way of the one that has one.
        server.call("res.partner", "create", partner).await.unwrap();
        let again = erp.find_by_key(&kind, &key, soon()).await.unwrap();
        assert_eq!(again, found);
    }
}

/// K7: what belongs to the former address does not stay beside the new one. A state that the shop does not name stays as long
/// as the address does.
async fn a_state_goes_with_its_address(server: &Server) {
    let erp = adapter(settings(server));
    let at = |line1: &str, postal_code: &str, city: &str, region: &str, country: &str| Party {
        address: Some(Address {
            line1: Personal::parse(line1),
            postal_code: Personal::parse(postal_code),
            city: Personal::parse(city),
            region: Personal::parse(region),
            country: country.parse().ok(),
            ..Address::default()
        }),
        ..person("")
    };
    let seen = async |record: &ErpRecord| {
        let partner = json!([["id", "=", record.id.id.parse::<i64>().unwrap()]]);
        let fields = ["street", "zip", "city", "state_id", "country_id"];
        let partner = server.partners(partner, &fields).await.unwrap()[0].clone();
        fields.map(|field| match &partner[field] {
            Value::Array(reference) => reference[1].as_str().unwrap().to_owned(),
            Value::String(text) => text.clone(),
            _ => String::new(),
        })
    };
    let los_angeles = at("Main St 1", "90001", "Los Angeles", "CA", "US");
    let record = created(&erp, &without_code(900_160), &los_angeles).await;
    let there = seen(&record).await;
    assert_eq!(there[3], "California (US)");
    let region = |record: &ErpRecord| {
        let address = record.fields.address.as_ref().unwrap();
        address.region.as_ref().map(|it| it.expose().to_owned())
    };
    assert_eq!(region(&record).as_deref(), Some("California"));
    let read = erp.get(&record.id, soon()).await.unwrap().unwrap();
    assert_eq!(read.fields, record.fields);
    let update = async |record: &ErpRecord, party: &Party| match erp
        .update(record, party, soon())
        .await
        .unwrap()
    {
        UpdateOutcome::Updated(record) => record,
        other => panic!("{other:?}"),
    };
    let same_place = at("Main St 2", "90001", "Los Angeles", "", "US");
    let record = update(&record, &same_place).await;
    assert_eq!(seen(&record).await[3], "California (US)");
    assert_eq!(region(&record).as_deref(), Some("California"));
    let new_york = at("Broadway 1", "10001", "New York", "", "US");
    let record = update(&record, &new_york).await;
    assert_eq!(region(&record), None);
    assert_eq!(
        seen(&record).await,
        ["Broadway 1", "10001", "New York", "", "United States"]
    );
    let hong_kong = at("Queen's Road 1", "", "Hong Kong", "", "HK");
    let record = update(&record, &hong_kong).await;
    assert_eq!(
        seen(&record).await,
        ["Queen's Road 1", "", "Hong Kong", "", "Hong Kong"]
    );
    let again = erp.update(&record, &hong_kong, soon()).await;
    assert!(
        matches!(again, Ok(UpdateOutcome::Unchanged(_))),
        "{again:?}"
    );
}

/// A user who may read contacts and no more is found out without a write.
async fn rights_are_told(server: &Server) {
    assert_eq!(
        adapter(settings(server)).may_write(soon()).await,
        Ok(Some(true))
    );
    let made = |model: &'static str, values: Value| async move {
        let made = server.call(model, "create", json!({ "vals_list": [values] }));
        made.await.unwrap()[0].as_i64().unwrap()
    };
    let internal = json!({ "domain": [["module", "=", "base"], ["name", "=", "group_user"]], "fields": ["res_id"] });
    let internal = server.call("ir.model.data", "search_read", internal).await;
    let user = json!({ "name": "Reader", "login": "reader", "group_ids": [[6, 0, [internal.unwrap()[0]["res_id"]]]] });
    let user = made("res.users", user).await;
    let users = json!({ "domain": [["model", "=", "res.users"]], "fields": ["id"] });
    let users = server.call("ir.model", "search_read", users).await.unwrap();
    // A key is made by a person in the settings otherwise.
    let code = format!(
        "key = env['res.users.apikeys'].with_user({user}).sudo()._generate(None, 'reader', False)\naction = {{'type': 'ir.actions.client', 'tag': key}}"
    );
    let action =
        json!({ "name": "Key", "model_id": users[0]["id"], "state": "code", "code": code });
    let action = made("ir.actions.server", action).await;
    let key = server
        .call("ir.actions.server", "run", json!({ "ids": [action] }))
        .await;
    let key = key.unwrap()["tag"].as_str().unwrap().to_owned();
    let reader = OdooSettings {
        api_key: key.into(),
        ..settings(server)
    };
    assert_eq!(adapter(reader).may_write(soon()).await, Ok(Some(false)));
}

/// Norce's delivery addresses are child partners of ours: made once, changed, archived and taken up again, while those
/// that people have made stay as they are.
async fn delivery_addresses_follow_the_shop(server: &Server) {
    let erp = adapter(settings(server));
    let address = |street: &str, country| Address {
        care_of: None,
        line1: Personal::parse(street),
        line2: None,
        postal_code: Personal::parse("211 11"),
        city: Personal::parse("Malmö"),
        region: None,
        country,
    };
    let party = |deliveries: &[(i64, &str, Option<CountryCode>)]| Party {
        address: Some(address("Storgatan 1", Some(CountryCode::SE))),
        delivery_addresses: Some(
            deliveries
                .iter()
                .map(|(id, street, country)| DeliveryAddress {
                    id: *id,
                    address: address(street, *country),
                    details: AddressDetails::default(),
                })
                .collect(),
        ),
        ..person("deliveries@example.com")
    };
    let mut seen = created(&erp, &without_code(900_030), &party(&[])).await;
    let id: i64 = seen.id.id.parse().unwrap();
    let by_hand = json!({ "vals_list": [
        { "parent_id": id, "type": "delivery", "street": "Hamnen 2", "zip": "211 11", "city": "Malmö" }
    ] });
    server.call("res.partner", "create", by_hand).await.unwrap();
    let streets = async || {
        let of_partner = json!([
            ["parent_id", "=", id],
            ["type", "=", "delivery"],
            ["active", "=", true]
        ]);
        let mut streets: Vec<String> = server
            .partners(of_partner, &["street"])
            .await
            .unwrap()
            .iter()
            .map(|it| it["street"].as_str().unwrap().to_owned())
            .collect();
        streets.sort();
        streets
    };
    let (se, dk) = (Some(CountryCode::SE), Some(CountryCode::DK));
    // The one that was made by hand is the same as one of the shop's, and is not made again.
    let steps: [(Party, bool, &[&str]); 6] = [
        (
            party(&[(1, "Lagret 1", se), (2, "Hamnen 2", None)]),
            true,
            &["Hamnen 2", "Lagret 1"],
        ),
        (
            party(&[(1, "Lagret 1", se), (2, "Hamnen 2", None)]),
            false,
            &["Hamnen 2", "Lagret 1"],
        ),
        (
            party(&[(1, "Lagret 9", dk)]),
            true,
            &["Hamnen 2", "Lagret 9"],
        ),
        (party(&[]), true, &["Hamnen 2"]),
        (
            party(&[(1, "Lagret 9", dk)]),
            true,
            &["Hamnen 2", "Lagret 9"],
        ),
        // Fields that the shop does not send stay as they are.
        (
            person("deliveries@example.com"),
            false,
            &["Hamnen 2", "Lagret 9"],
        ),
    ];
    for (party, writes, expected) in steps {
        seen = erp.get(&seen.id, soon()).await.unwrap().unwrap();
        match erp.update(&seen, &party, soon()).await.unwrap() {
            UpdateOutcome::Updated(_) => assert!(writes, "{expected:?}"),
            UpdateOutcome::Unchanged(_) => assert!(!writes, "{expected:?}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(streets().await, expected);
    }
    let children = json!([["parent_id", "=", id]]);
    let children = server.partners(children, &["country_id"]).await.unwrap();
    assert_eq!(children.len(), 2, "no address twice");
    let partner = json!([["id", "=", id]]);
    let partner = server.partners(partner, &["street"]).await.unwrap();
    assert_eq!(
        partner[0]["street"], "Storgatan 1",
        "the invoice address is another"
    );
}

/// The GLN where the database has a field for it, and the telephone of a delivery address, in both directions.
async fn the_details_of_addresses_are_written_and_read(server: &Server) {
    let with_gln = |field: &str| {
        adapter(OdooSettings {
            extra_fields: json!({ "gln": field }).to_string().parse().unwrap(),
            home_country: None,
            ..settings(server)
        })
    };
    let erp = with_gln(GLN_FIELD);
    let address = |street: &str| Address {
        line1: Personal::parse(street),
        city: Personal::parse("Malmö"),
        ..Address::default()
    };
    let delivery = |id, street: &str, gln: &str, phone: &str| DeliveryAddress {
        id,
        address: address(street),
        details: AddressDetails {
            gln: Personal::parse(gln),
            phone: Personal::parse(phone),
            ..AddressDetails::default()
        },
    };
    let party = |gln: &str, deliveries: Vec<DeliveryAddress>| Party {
        kind: PartyKind::Company,
        address: Some(address("Storgatan 1")),
        delivery_addresses: Some(deliveries),
        gln: Personal::parse(gln),
        ..person("details@example.com")
    };
    let first = || {
        party(
            "7300000000001",
            vec![delivery(1, "Lagret 1", "7300000000002", "040-1")],
        )
    };
    let mut seen = created(&erp, &without_code(900_060), &first()).await;
    assert_eq!(
        seen.fields.gln,
        ErpDetail::Field(Personal::parse("7300000000001"))
    );
    let id: i64 = seen.id.id.parse().unwrap();
    let by_hand = json!({ "vals_list": [
        { "parent_id": id, "type": "delivery", "street": "Hamnen 2", "city": "Malmö", "phone": "040-9" }
    ] });
    server.call("res.partner", "create", by_hand).await.unwrap();
    // As Odoo itself has them: the partner, and its delivery addresses by street.
    let held = async || {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_partner = json!(["|", ["id", "=", id], ["parent_id", "=", id]]);
        let fields = ["street", GLN_FIELD, "phone"];
        let rows = server.partners(of_partner, &fields).await.unwrap();
        let mut rows: Vec<[String; 3]> = rows
            .iter()
            .map(|row| fields.map(|field| text(&row[field])))
            .collect();
        rows.sort();
        rows.concat().join(" ")
    };
    let hand = "Hamnen 2  040-9";
    // A different telephone number does not duplicate an address that was entered by hand, and values that the shop lacks stay.
    let second = party(
        "",
        vec![
            delivery(1, "Lagret 1", "", "040-2"),
            delivery(2, "Hamnen 2", "7300000000003", "040-3"),
        ],
    );
    let invoice = "Storgatan 1 7300000000001 ";
    for (party, writes, lager) in [
        (first(), true, "Lagret 1 7300000000002 040-1"),
        (first(), false, "Lagret 1 7300000000002 040-1"),
        (second.clone(), true, "Lagret 1 7300000000002 040-2"),
        (second, false, "Lagret 1 7300000000002 040-2"),
    ] {
        seen = erp.get(&seen.id, soon()).await.unwrap().unwrap();
        match erp.update(&seen, &party, soon()).await.unwrap() {
            UpdateOutcome::Updated(_) => assert!(writes, "{lager}"),
            UpdateOutcome::Unchanged(_) => assert!(!writes, "{lager}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(held().await, [hand, lager, invoice].join(" "));
    }
    let groups = FieldGroups::of(&[FieldGroup::InvoiceAddress, FieldGroup::DeliveryAddresses]);
    let read = async |erp: &Odoo| {
        let read = erp.get_many(&[seen.id.clone()], groups, soon()).await;
        let fields = read.unwrap().records.remove(0).fields;
        let deliveries = fields.delivery_addresses.into_iter();
        let deliveries: Vec<_> = deliveries.map(|it| (it.gln, it.phone)).collect();
        (fields.gln, deliveries)
    };
    let field = |text: &str| ErpDetail::Field(Personal::parse(text));
    let phones = [field("040-9"), field("040-2")];
    let [by_hand, lager] = phones.clone();
    let expected = vec![(field(""), by_hand), (field("7300000000002"), lager)];
    assert_eq!(read(&erp).await, (field("7300000000001"), expected));

    // A database without Odoo's own field, and one that lacks a field that is configured.
    let plain = adapter(settings(server));
    let without = phones.map(|phone| (ErpDetail::NoField, phone)).to_vec();
    assert_eq!(read(&plain).await, (ErpDetail::NoField, without));
    let seen = plain.get(&seen.id, soon()).await.unwrap().unwrap();
    let other = party(
        "7300000000009",
        vec![delivery(1, "Lagret 1", "7300000000009", "")],
    );
    let outcome = plain.update(&seen, &other, soon()).await.unwrap();
    assert!(
        matches!(outcome, UpdateOutcome::Unchanged(_)),
        "{outcome:?}"
    );
    let refused = with_gln("x_no_such_field").get(&seen.id, soon()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("no field `x_no_such_field`: correct `gln` in ErpExtraFields"),
        "{refused}"
    );
    let corrected = with_gln(GLN_FIELD).get(&seen.id, soon()).await;
    assert!(matches!(corrected, Ok(Some(_))), "{corrected:?}");
}

/// P14: applications with a company of Odoo each see neither the other's partners nor those that belong to none.
async fn p14_companies_do_not_see_each_other(server: &Server, companies: [NonZeroU32; 2]) {
    let of = |company: NonZeroU32| {
        adapter(OdooSettings {
            company: Some(company),
            ..settings(server)
        })
    };
    let nobody = created(
        &adapter(settings(server)),
        &without_code(900_020),
        &person("p14@example.com"),
    )
    .await;
    let mut found = Vec::new();
    for (company, scope) in companies.iter().zip([1, 2]) {
        let erp = of(*company);
        // The same code and the same address in each.
        let key = IdempotencyKey {
            entity: EntityRef::customer(
                Scope::Application(i64::from(scope).try_into().unwrap()),
                NorceId::try_from(900_021).unwrap(),
            ),
            code: None,
        };
        let record = created(&erp, &key, &person("p14@example.com")).await;
        let email = NaturalKey::email("p14@example.com").unwrap();
        let hits = erp.find_by_key(&PartyKind::Person, &email, soon()).await;
        assert_eq!(hits.unwrap(), std::slice::from_ref(&record));
        let hits = erp
            .find_by_code(Resource::Customer, &record.code, soon())
            .await;
        assert_eq!(hits.unwrap(), std::slice::from_ref(&record));
        let listing = Listing {
            resource: Resource::Customer,
            kind: None,
            since: None,
            fields: FieldGroups::CODE,
        };
        let page = erp.page(&listing, None, soon()).await.unwrap();
        let listed: Vec<_> = page.records.into_iter().map(|it| it.id).collect();
        assert_eq!(listed, std::slice::from_ref(&record.id));
        assert_eq!(erp.get(&nobody.id, soon()).await.unwrap(), None);
        let partners = json!([["id", "=", record.id.id.parse::<i64>().unwrap()]]);
        let partner = server.partners(partners, &["company_id"]).await.unwrap();
        assert_eq!(partner[0]["company_id"][0], company.get());
        found.push(record);
    }
    let [first, second] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(first.code, second.code);
    assert_eq!(
        of(companies[0]).get(&second.id, soon()).await.unwrap(),
        None
    );
}

/// Odoo's own view of what a check has left: no code twice, and each of our external ids leads to one partner.
async fn assert_one_partner_each(server: &Server, company: NonZeroU32) {
    let ours = json!([["ref", "=like", "T%"], ["company_id", "=", company]]);
    let partners = server.partners(ours, &["ref"]).await.unwrap();
    let codes: BTreeSet<&str> = partners
        .iter()
        .filter_map(|partner| partner["ref"].as_str())
        .collect();
    assert_eq!(codes.len(), partners.len(), "a code stands twice");
    let made: Vec<&Value> = partners.iter().map(|partner| &partner["id"]).collect();
    let domain = json!([["module", "=", "norce"], ["res_id", "in", made]]);
    let names = json!({ "domain": domain, "fields": ["res_id"] });
    let names = server.call("ir.model.data", "search_read", names).await;
    assert_eq!(
        names.unwrap().as_array().map(Vec::len),
        Some(partners.len())
    );
}

/// The tests. Without Odoo they say so on standard error and pass.
mod where_odoo_runs {
    use super::*;

    macro_rules! tests {
        ($($check:ident),+ $(,)?) => {
            $(
                #[test]
                fn $check() {
                    with_odoo(async |odoo| {
                        let company = odoo.company();
                        suite::$check(&subject(&odoo.server, company)).await;
                        assert_one_partner_each(&odoo.server, company).await;
                    });
                }
            )+
        };
    }
    suite::for_each_check!(tests);

    #[test]
    fn rights_are_told() {
        with_odoo(async |odoo| super::rights_are_told(&odoo.server).await);
    }

    #[test]
    fn codes_come_from_a_sequence_or_from_the_id() {
        with_odoo(async |odoo| {
            super::codes_come_from_a_sequence_or_from_the_id(&odoo.server).await
        });
    }

    #[test]
    fn price_lists_and_delivery_addresses_are_read() {
        with_odoo(async |odoo| {
            super::price_lists_and_delivery_addresses_are_read(&odoo.server).await
        });
    }

    #[test]
    fn numbers_are_written_in_the_form_that_odoo_takes() {
        with_odoo(async |odoo| {
            super::numbers_are_written_in_the_form_that_odoo_takes(&odoo.server).await
        });
    }

    #[test]
    fn a_code_that_was_not_asked_for_is_not_taken_from_its_partner() {
        with_odoo(async |odoo| {
            super::a_code_that_was_not_asked_for_is_not_taken_from_its_partner(&odoo.server).await
        });
    }

    #[test]
    fn a_partner_without_a_code_is_not_made_again() {
        with_odoo(async |odoo| {
            super::a_partner_without_a_code_is_not_made_again(&odoo.server).await
        });
    }

    #[test]
    fn each_of_several_addresses_finds_the_partner_and_they_stay() {
        with_odoo(async |odoo| {
            super::each_of_several_addresses_finds_the_partner_and_they_stay(&odoo.server).await
        });
    }

    #[test]
    fn a_state_goes_with_its_address() {
        with_odoo(async |odoo| super::a_state_goes_with_its_address(&odoo.server).await);
    }

    #[test]
    fn delivery_addresses_follow_the_shop() {
        with_odoo(async |odoo| super::delivery_addresses_follow_the_shop(&odoo.server).await);
    }

    #[test]
    fn the_details_of_addresses_are_written_and_read() {
        with_odoo(async |odoo| {
            super::the_details_of_addresses_are_written_and_read(&odoo.server).await
        });
    }

    #[test]
    fn p14_companies_do_not_see_each_other() {
        with_odoo(async |odoo| {
            let companies = [odoo.company(), odoo.company()];
            super::p14_companies_do_not_see_each_other(&odoo.server, companies).await;
        });
    }

    #[test]
    fn the_conformance_suite_holds_behind_http() {
        with_odoo(async |odoo| {
            behind_http::the_conformance_suite_holds(&odoo.server, odoo.company()).await;
        });
    }

    /// On a server of its own, in which it installs an app.
    #[test]
    fn every_fixed_value_is_read_back() {
        RUNTIME.block_on(async {
            if let Some(server) = server().await {
                fixed_values::every_fixed_value_is_read_back(&server).await;
            }
        });
    }

    /// On a server of its own, which it restarts.
    #[test]
    fn p2_one_norce_entity_is_one_partner_wherever_the_work_is_cut_off() {
        RUNTIME.block_on(async {
            if let Some(server) = server().await {
                crashes::p2_one_partner_wherever_the_work_is_cut_off(&server).await;
            }
        });
    }
}
