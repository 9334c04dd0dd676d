//! Requests of a person to `operator`, over the whole bundle in one process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod activity;
mod binding;
mod countries;
mod dead_letters;
mod doctor;
mod doctor_parts;
mod explain;
mod forget;
mod jobs;
mod mappings;
mod owed;
mod owed_acts;
mod passes;
mod process;
mod replay;
mod requests;
mod roles;
mod runs;
mod sentences;
mod setup;
mod status;
mod trial;
mod version;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_types::SdkConfig;
use bytes::Bytes;
use change_events::Failure;
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;
use http::Method;
use operator::{Configuration, MappingLine, Schedules, doctor::Stores};
use serde_json::{Value, json};
use shared::{
    activity::DynamoDbActivity,
    breakers::{Breakers, DynamoDbBreakers},
    domain::{
        ApplicationId, Cause, ChangeMessage, Clock, EntityKind, EntityRef, ErpCodes,
        FingerprintKey, PassMode, Permit, Registers, Resource, Scope,
    },
    erp::{
        Erp, ExtraFields,
        odoo::{Odoo, OdooSettings},
    },
    http::{Deadline, Transport, TransportError},
    import_jobs::{DynamoDbImportJobs, ImportJobs},
    logs::CloudWatchLogs,
    mappings::{CodeDelivery, DynamoDbMappings, Mapping, Mappings, Reservation},
    orders::{DynamoDbOrders, OrderRef},
    owed::DynamoDbOwed,
    passes::{DynamoDbPasses, Passes, Run},
    queues::{DeadLetters, DeadMessage, Inbox, SqsDeadLetters, SqsQueue},
    reports::{Reports, S3Reports},
    runtime::configuration::{Environment, ForgottenPolicy, MatchingPolicy},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_AGAIN, UNTIL_OWED, company, customer},
    business_central_simulator::{self, ApplicationAccess, Entity, Fault},
    captured_logs::CapturedText,
    local_aws::aws_at,
    norce_simulator::{
        Blank, CustomerRecord, Effect, Endpoint, EventType, NewCompany, NewCustomer, When,
    },
    samples::{order_of, person},
};
use uuid::Uuid;
/// A customer that has its code.
async fn somebody(bundle: &Bundle, number: i64) -> i64 {
    let customer = bundle.norce.add_customer(person(number));
    bundle.norce.place_order(order_of(customer));
    bundle.run_until_quiet().await;
    customer
}

/// A customer that the ERP refuses: it is owed.
async fn somebody_owed(bundle: &Bundle, number: i64) -> i64 {
    bundle.erp.refuse_where(|_| true);
    let customer = somebody(bundle, number).await;
    bundle.erp.refuse_nothing();
    customer
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(100))
}

fn summary(answer: &Value) -> &str {
    answer["summary"].as_str().unwrap()
}

async fn refusal(bundle: &Bundle, request: Value) -> String {
    bundle.ask(request).await.unwrap_err().to_string()
}

/// A configuration of AWS whose address nobody listens at.
async fn dead_aws() -> SdkConfig {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    aws_at(endpoint)
}

/// The only check that found a fault.
async fn only_fault(bundle: &Bundle, broken: &str) -> (String, String, String) {
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    let faulty: Vec<&Value> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false)
        .collect();
    let [faulty] = faulty.as_slice() else {
        panic!("{broken}: one fault was expected: {faulty:#?}");
    };
    let text = |field: &str| faulty[field].as_str().unwrap_or_default().to_owned();
    assert!(summary(&report).contains(&text("check")), "{report:#}");
    (text("check"), text("detail"), text("fix"))
}

fn odoo_settings() -> OdooSettings {
    OdooSettings {
        base_url: "http://odoo.localhost".parse().unwrap(),
        database: None,
        company: None,
        api_key: "key".into(),
        code_field: "ref".to_owned(),
        code_sequence: None,
        extra_fields: ExtraFields::default(),
        home_country: None,
    }
}

/// The faults that a report names, in its order.
fn faults(report: &Value) -> Vec<(String, String, String)> {
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    checks
        .filter(|check| check["ok"] == false)
        .map(|check| {
            (
                text(check, "check"),
                text(check, "detail"),
                text(check, "fix"),
            )
        })
        .collect()
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Everything that asking must leave as it is.
fn state(bundle: &Bundle) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        bundle.erp.customers(bundle.erp_company()),
        bundle.erp.contacts(bundle.erp_company()),
        bundle.norce.imports().len(),
        (bundle.changes.len(), bundle.imports.len()),
        bundle.owed,
        known(bundle),
    )
}

/// The mappings, which are in maps of no particular order.
fn known(bundle: &Bundle) -> Vec<String> {
    let text = format!("{:?}", bundle.mappings);
    let mut parts: Vec<String> = text.split("), ").map(str::to_owned).collect();
    parts.sort();
    parts
}

/// The lines of an export.
fn exported(bundle: &Bundle, answer: &Value) -> Vec<MappingLine> {
    let into = answer["into"].as_str().unwrap();
    let parts = bundle
        .reports
        .all()
        .into_iter()
        .filter(|(key, _)| key.starts_with(into));
    parts
        .flat_map(|(_, body)| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let lines: Vec<MappingLine> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            lines
        })
        .collect()
}

/// A line of `import-mappings`.
fn line(entity: EntityRef, code: &str, resource: Resource, record: impl ToString) -> Value {
    json!({
        "kind": entity.kind, "scope": entity.scope, "id": entity.id, "code": code,
        "erp": {"resource": resource, "id": record.to_string()},
    })
}

async fn import(bundle: &Bundle, lines: &[Value], dry_run: bool) -> Value {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let body = lines.join("\n").into();
    let seed = "mappings/seed.jsonl";
    bundle.reports.put(seed, "", body).await.unwrap();
    let request = json!({"action": "import-mappings", "from": seed, "dryRun": dry_run});
    bundle.ask(request).await.unwrap()
}

/// How many lines were bound, unchanged, conflicts and invalid.
fn counts(answer: &Value) -> [u64; 4] {
    ["bound", "unchanged", "conflicts", "invalid"].map(|count| answer[count].as_u64().unwrap())
}

/// A company that Norce and the ERP have: its Norce id, its record, and the number of its contact in the ERP.
fn firm(bundle: &Bundle, number: &str) -> (EntityRef, Uuid, String) {
    let name = format!("Bolaget {number} AB");
    let properties = json!({"number": number, "type": "Company", "displayName": name});
    let erp_company = bundle.erp_company();
    let record = bundle.erp.add_customer(erp_company, &properties).unwrap();
    let contacts = bundle.erp.contacts(erp_company);
    let contact = contacts.into_iter().find(|it| it.display_name == name);
    let id = bundle.norce.add_company(NewCompany {
        name: Some(name),
        ..NewCompany::default()
    });
    (company(id), record.id, contact.unwrap().number)
}

/// A contact of an organisation in the ERP.
fn contact_in_erp(bundle: &Bundle, number: &str, organisation: &str) -> Uuid {
    let properties = json!({
        "number": number, "type": "Person", "displayName": "Anna Ek", "companyNumber": organisation,
    });
    let contact = bundle.erp.add_contact(bundle.erp_company(), &properties);
    contact.unwrap().id
}

/// What a person does about lines, and the lines that are imported afterwards.
type Correct = for<'a> fn(&'a Bundle, Vec<Value>) -> LocalBoxFuture<'a, Vec<Value>>;

fn put_code_in_norce(bundle: &Bundle, customer: EntityRef, code: Option<&str>) {
    let code = code.map(str::to_owned);
    bundle
        .norce
        .change_customer(customer.id.get().into(), |record| {
            record.row.customer_code = code
        });
}

/// Checks an entity as if an event had arrived.
async fn replay(bundle: &Bundle, entity: EntityRef) {
    let request = json!({"action": "replay", "entity": entity.to_string()});
    bundle.ask(request).await.unwrap();
    bundle.quiet_within(UNTIL_OWED).await;
}

fn relate(bundle: &Bundle, customer: EntityRef, company: EntityRef) {
    let [customer, company] = [customer, company].map(|it| it.id.get().into());
    bundle.norce.link(customer, company, true);
}

/// The code of a customer in Norce.
fn code_of(bundle: &Bundle, customer: i64) -> String {
    let customer = bundle.norce.customer(customer).unwrap();
    customer.row.customer_code.unwrap()
}

/// Another record of somebody in the ERP.
fn record_in_erp(bundle: &Bundle, number: &str, kind: &str) -> Uuid {
    let properties = json!({"number": number, "type": kind, "displayName": "Anna Ek"});
    let record = bundle.erp.add_customer(bundle.erp_company(), &properties);
    record.unwrap().id
}
