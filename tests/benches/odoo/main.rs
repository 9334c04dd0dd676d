//! The Odoo adapter against a real Odoo 19 of its own on this machine: single creates, and listings of a register of
//! partners; and how much of it is Odoo's time. For that the same JSON-2 calls are made once more with nothing but an
//! HTTP client, and the processor time of this process is measured, which is the adapter's.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

#[path = "../measurement/mod.rs"]
mod measurement;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use measurement::{machine, micros, millis, per_second, process_time};
use serde_json::{Value, json};
use shared::{
    domain::{EntityRef, FieldGroup, FieldGroups, NorceId, Personal, Scope},
    erp::{
        CreateOutcome, Erp, ExtraFields, IdempotencyKey, Listing, Party, PartyKind, Resource,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, ReqwestTransport},
};
use tests::{odoo::Odoo as Server, samples};

const PARTNERS: usize = 20_000;
/// Partners that one request of the independent client makes.
const BULK: usize = 500;
/// Partners of a page of a listing, as the adapter asks for them.
const PAGE: usize = 500;
const CREATES: usize = 200;
const AT_ONCE: [usize; 2] = [1, 4];

/// What some calls have taken.
struct Taken {
    elapsed: Duration,
    processor: Duration,
}

async fn measure<T>(work: impl Future<Output = T>) -> (T, Taken) {
    let (start, processor) = (Instant::now(), process_time());
    let result = work.await;
    let taken = Taken {
        elapsed: start.elapsed(),
        processor: process_time() - processor,
    };
    (result, taken)
}

/// A line of the table: all of it, and for each record.
fn print(what: &str, records: usize, taken: &Taken) {
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    let each = taken.elapsed / records;
    println!(
        "{what:<44} {records:>7} {:>8.2} s {:>10} {:>9} {:>10}",
        taken.elapsed.as_secs_f64(),
        millis(each),
        per_second(each),
        micros(taken.processor / records),
    );
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn adapter(server: &Server) -> Odoo {
    let access = server.access();
    let settings = OdooSettings {
        base_url: access.url.parse().expect("an address"),
        database: Some(access.database.clone()),
        company: None,
        api_key: access.key.clone().into(),
        code_field: "ref".to_owned(),
        code_sequence: None,
        extra_fields: ExtraFields::default(),
        home_country: None,
    };
    let transport = ReqwestTransport::new().expect("an HTTP client");
    Odoo::new(settings, Arc::new(transport)).expect("an adapter")
}

async fn create(erp: &Odoo, number: usize) {
    let id = i64::try_from(number)
        .ok()
        .and_then(|number| NorceId::try_from(number).ok());
    let key = IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, id.expect("an id")),
        code: None,
    };
    let party = Party {
        email: Personal::parse(format!("anna.{number}@example.com")),
        phone: Personal::parse("08-123 45 67"),
        ..samples::party(PartyKind::Person, &format!("Anna Ek {number}"))
    };
    let outcome = erp.create(&key, &party, soon()).await;
    assert!(
        matches!(outcome, Ok(CreateOutcome::Created(_))),
        "{outcome:?}"
    );
}

/// The four calls of a create: whether it was made before, whether its code is taken, making it, and reading it.
async fn create_raw(server: &Server, number: usize) {
    let name = format!("customer_{number}");
    let code = format!("RAW{number}");
    let row = json!([
        format!("raw.{name}"),
        code,
        format!("Anna Ek {number}"),
        format!("anna.raw.{number}@example.com"),
        "08-123 45 67",
        "False"
    ]);
    let fields = [
        "active",
        "city",
        "company_registry",
        "country_id",
        "email",
        "function",
        "is_company",
        "name",
        "parent_id",
        "phone",
        "ref",
        "street",
        "street2",
        "type",
        "vat",
        "write_date",
        "zip",
    ];
    let partner = |domain: Value| {
        let context = json!({ "active_test": false, "lang": "en_US" });
        json!({ "domain": domain, "fields": fields, "order": "id", "limit": 3, "context": context })
    };
    let made_before = json!({
        "domain": [["module", "=", "raw"], ["name", "=", name]],
        "fields": ["res_id"],
        "limit": 1,
    });
    let columns = ["id", "ref", "name", "email", "phone", "is_company"];
    let row = json!({ "fields": columns, "data": [row] });
    let mut id = Value::Null;
    for (model, method, arguments) in [
        ("ir.model.data", "search_read", Some(made_before)),
        (
            "res.partner",
            "search_read",
            Some(partner(json!([["ref", "=", code]]))),
        ),
        ("res.partner", "load", Some(row)),
        ("res.partner", "search_read", None),
    ] {
        let arguments = arguments.unwrap_or_else(|| partner(json!([["id", "=", id]])));
        let answer = server.call(model, method, arguments).await;
        id = answer.expect("an answer")["ids"][0].clone();
    }
}

async fn fill(server: &Server) {
    for from in (0..PARTNERS).step_by(BULK) {
        let partner = |number: usize| {
            json!({
                "name": format!("Bo Lund {number}"),
                "ref": format!("B{number:06}"),
                "email": format!("bo.{number}@example.com"),
                "phone": "08-765 43 21",
                "street": "Storgatan 1",
                "zip": "114 55",
                "city": "Stockholm",
            })
        };
        let partners: Vec<Value> = (from..from + BULK).map(partner).collect();
        let made = server
            .call("res.partner", "create", json!({ "vals_list": partners }))
            .await;
        made.expect("partners");
    }
}

async fn list(erp: &Odoo, listing: &Listing) -> usize {
    let (mut records, mut cursor) = (0, None);
    loop {
        let page = erp.page(listing, cursor.as_ref(), soon()).await;
        let page = page.expect("a page");
        records += page.records.len();
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
}

/// The same pages, with the fields that the adapter asks for when it asks for none beyond the code.
async fn list_raw(server: &Server) -> usize {
    let fields = [
        "active",
        "company_registry",
        "email",
        "is_company",
        "parent_id",
        "type",
        "vat",
        "write_date",
        "ref",
    ];
    let (mut records, mut last) = (0, 0);
    loop {
        let page = server.call(
            "res.partner",
            "search_read",
            json!({
                "domain": ["|", ["parent_id", "=", false], ["is_company", "=", true], ["id", ">", last]],
                "fields": fields,
                "order": "id",
                "limit": PAGE,
                "context": { "active_test": false, "lang": "en_US" },
            }),
        );
        let page = page.await.expect("a page");
        let rows = page.as_array().expect("rows");
        records += rows.len();
        match rows.last() {
            Some(row) if rows.len() == PAGE => last = row["id"].as_i64().expect("an id"),
            _ => return records,
        }
    }
}

async fn run(server: &Server) {
    println!("Odoo 19 and its adapter on one machine ({})", machine());
    println!(
        "{:<44} {:>7} {:>10} {:>10} {:>9} {:>10}",
        "", "records", "elapsed", "each", "rate", "processor"
    );
    let erp = adapter(server);
    // Countries are looked up once.
    create(&erp, 1).await;
    let mut number = 2;
    for at_once in AT_ONCE {
        let numbers = number..number + CREATES;
        number += CREATES;
        let work = stream::iter(numbers.clone()).map(|number| create(&erp, number));
        let ((), taken) = measure(work.buffer_unordered(at_once).collect::<()>()).await;
        print(&format!("create, {at_once} at once"), CREATES, &taken);
        let work = stream::iter(numbers).map(|number| create_raw(server, number));
        let ((), taken) = measure(work.buffer_unordered(at_once).collect::<()>()).await;
        print(
            &format!("… the same calls without it, {at_once} at once"),
            CREATES,
            &taken,
        );
    }
    let before = erp.clock(soon()).await.expect("an answer").expect("a time");
    let ((), taken) = measure(fill(server)).await;
    print(
        &format!("made in bulk, {BULK} in a request"),
        PARTNERS,
        &taken,
    );
    let all = Listing {
        resource: Resource::Customer,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    };
    let delta = Listing {
        since: Some(before),
        ..all.clone()
    };
    let whole = Listing {
        fields: FieldGroups::of(&[
            FieldGroup::Names,
            FieldGroup::ContactDetails,
            FieldGroup::InvoiceAddress,
            FieldGroup::DeliveryAddresses,
        ]),
        ..all.clone()
    };
    for (what, listing) in [
        ("full listing, codes", &all),
        ("delta listing, codes", &delta),
        ("full listing, names to delivery addresses", &whole),
    ] {
        let (records, taken) = measure(list(&erp, listing)).await;
        assert!(records >= PARTNERS, "{records}");
        print(what, records, &taken);
    }
    let (records, taken) = measure(list_raw(server)).await;
    print("… the first one's calls without it", records, &taken);
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match Server::start(|step: &str| eprintln!("{step}")).await {
            Ok(server) => run(&server).await,
            Err(error) => println!("SKIPPED: {error}"),
        }
    });
}
