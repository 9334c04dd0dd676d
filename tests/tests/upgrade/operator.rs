//! What `operator` reads from an earlier version: the functions' logs, exports of mappings, and reports of plans.

use std::collections::BTreeMap;

use erp_full_pass::report::PlanLine;
use operator::MappingLine;
use serde_json::json;
use shared::{
    domain::{Clock as _, Scope},
    erp::{ErpId, Resource},
    logs::Logs as _,
    mappings::{Binding, Bound, CodeDelivery, Mappings as _},
    norce::events::{EventType, POSTED_ORDER},
    passes::Run,
    reports::Reports as _,
};
use tests::{
    bundle::{Bundle, Options, company, customer, id},
    memory::MemoryLogs,
    norce_simulator::{NewCompany, NewCustomer, NewOrder},
    samples,
};
use uuid::Uuid;

use crate::{
    fixtures::{self, versions},
    v0_1_0::code,
};

fn options() -> Options {
    Options {
        order_receiver: true,
        ..Options::default()
    }
}

/// The numbers of the two customers of [`logs`] in Norce: the one that ordered, and the one that the ERP refused.
const CUSTOMERS: [i64; 2] = [1, 6];

/// The logs of a day, in which one customer orders and the ERP refuses another.
pub(crate) async fn logs() -> BTreeMap<&'static str, String> {
    let bundle = Bundle::new(&options());
    let guard = bundle.logs.capture();
    for (number, middle_name) in CUSTOMERS
        .into_iter()
        .zip([None, samples::endless_middle_name()])
    {
        bundle.norce.start_ids_after(number - 1);
        let id = bundle.norce.add_customer(NewCustomer {
            email: Some(format!("anna.{number}@example.com")),
            first_name: Some("Anna".to_owned()),
            last_name: Some("Ek".to_owned()),
            middle_name,
            ..NewCustomer::default()
        });
        bundle.norce.place_order(NewOrder {
            application_id: 1,
            customer: Some(id),
            items: vec![("P1".to_owned(), 1.0)],
            ..NewOrder::default()
        });
        bundle.run_until_quiet().await;
    }
    drop(guard);
    let text = async |logs: &MemoryLogs| {
        let page = logs.find("", tests::bundle::start(), None).await.unwrap();
        let lines = page.lines.into_iter().map(|line| line.text + "\n");
        lines.collect::<String>()
    };
    BTreeMap::from([
        ("receive-events", text(&bundle.logs.receive_events).await),
        ("change-events", text(&bundle.logs.change_events).await),
    ])
}

/// What a binding of each state of a delivery looks like in an export.
pub(crate) async fn export() -> String {
    let bundle = Bundle::new(&Options::default());
    bind_all(&bundle).await;
    let answer = bundle.ask(json!({"action": "export-mappings"})).await;
    let into = answer.unwrap()["into"].as_str().unwrap().to_owned();
    let parts = bundle.reports.all().into_iter();
    let parts = parts.filter(|(key, _)| key.starts_with(&into));
    let mut lines: Vec<String> = parts
        .flat_map(|(_, body)| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            text.lines()
                .map(|line| format!("{line}\n"))
                .collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines.concat()
}

async fn bind_all(bundle: &Bundle) {
    let at = tests::bundle::start();
    let deliveries = [
        CodeDelivery::Pending,
        CodeDelivery::HandedOver { at },
        CodeDelivery::Confirmed { at },
        CodeDelivery::Refused { at },
    ];
    for (number, delivery) in (1_i64..).zip(deliveries) {
        let binding = Binding::new(
            code(&format!("C{number:03}")),
            ErpId {
                resource: match number {
                    1 => Resource::Contact,
                    _ => Resource::Customer,
                },
                id: Uuid::from_u128(number.unsigned_abs().into()).to_string(),
            },
            delivery,
        );
        let bound = bundle.mappings.bind(customer(number), binding).await;
        assert_eq!(bound.unwrap(), Bound::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn explain_finds_what_an_earlier_version_has_logged() {
    for version in versions() {
        let bundle = Bundle::new(&options());
        let logs = [
            ("receive-events", &bundle.logs.receive_events),
            ("change-events", &bundle.logs.change_events),
        ];
        for (function, log) in logs {
            for line in fixtures::read(&version, &format!("logs/{function}.jsonl")).lines() {
                log.write(bundle.clock.now(), line);
            }
        }
        let said = async |number: i64| -> String {
            let answer = bundle.ask(json!({"action": "explain", "id": number, "kind": "customer"}));
            let answer = answer.await.unwrap();
            let events = answer["last"]["events"].as_array().unwrap().iter();
            let events = events.filter_map(|event| event["said"].as_str());
            events.collect::<Vec<_>>().join("\n")
        };
        for number in CUSTOMERS {
            bundle.norce.start_ids_after(number - 1);
            bundle.norce.add_customer(NewCustomer::default());
            let said = said(number).await;
            assert!(said.contains("event accepted"), "{said}");
            let outcome = match number {
                1 => "outcome=\"created in the ERP as",
                _ => "reason=\"validation\"",
            };
            assert!(said.contains(outcome), "{said}");
        }
        // The doctor, too, looks for the names of the events.
        let accepted = fixtures::read(&version, "logs/receive-events.jsonl");
        let (changed, ordered) = (EventType::CustomerChanged, EventType::OrderReceived);
        for event in [changed.name(), ordered.name(), POSTED_ORDER] {
            assert!(accepted.contains(event), "{event}: {accepted}");
        }
    }
}

/// Adds the people of an export to Norce and the ERP, the first one as a contact, and returns their records in the ERP.
async fn unbound(bundle: &Bundle, people: usize) -> Vec<Uuid> {
    bundle.unsubscribe();
    let erp_company = bundle.erp_company();
    let mut records = Vec::new();
    for number in 1..=i64::try_from(people).unwrap() {
        bundle.norce.start_ids_after(number - 1);
        let anna = bundle.norce.add_customer(NewCustomer {
            first_name: Some("Anna".to_owned()),
            last_name: Some("Ek".to_owned()),
            ..NewCustomer::default()
        });
        let mut properties =
            json!({"number": format!("C{number:03}"), "type": "Person", "displayName": "Anna Ek"});
        if number > 1 {
            let record = bundle.erp.add_customer(erp_company, &properties);
            records.push(record.unwrap().id);
            continue;
        }
        let firm = json!({"number": "B1", "type": "Company", "displayName": "Bolaget AB"});
        let firm = bundle.erp.add_customer(erp_company, &firm).unwrap();
        let [organisation] = bundle.erp.contacts(erp_company).try_into().unwrap();
        properties["companyNumber"] = organisation.number.into();
        let contact = bundle.erp.add_contact(erp_company, &properties);
        records.push(contact.unwrap().id);
        let in_norce = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            ..NewCompany::default()
        });
        bundle.norce.link(anna, in_norce, true);
        let erp_id = ErpId {
            resource: Resource::Customer,
            id: firm.id.to_string(),
        };
        let binding = Binding::new(code("B1"), erp_id, CodeDelivery::Pending);
        let bound = bundle.mappings.bind(company(in_norce), binding).await;
        assert_eq!(bound.unwrap(), Bound::Done);
    }
    records
}

#[tokio::test(start_paused = true)]
async fn an_export_of_an_earlier_version_is_imported() {
    for version in versions() {
        let text = fixtures::read(&version, "objects/mappings.jsonl");
        let lines: Vec<MappingLine> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 4);
        for (number, line) in (1..).zip(&lines) {
            assert_eq!((line.id, line.scope), (id(number), Scope::Client));
            assert_eq!(line.code, code(&format!("C{number:03}")));
        }
        let import = json!({"action": "import-mappings", "from": "mappings/old.jsonl"});
        for is_known in [false, true] {
            let bundle = Bundle::new(&Options::default());
            let mut body = text.clone();
            if is_known {
                bind_all(&bundle).await;
            } else {
                // The simulator gives its records ids of its own.
                for (number, record) in (1..).zip(unbound(&bundle, lines.len()).await) {
                    body = body.replace(&Uuid::from_u128(number).to_string(), &record.to_string());
                }
            }
            let body = body.into();
            let put = bundle
                .reports
                .put("mappings/old.jsonl", "application/jsonl", body);
            put.await.unwrap();
            let answer = bundle.ask(import.clone()).await.unwrap();
            let count = |of: &str| answer[of].as_u64().unwrap();
            let expected = if is_known { (0, 4) } else { (4, 0) };
            assert_eq!((count("bound"), count("unchanged")), expected, "{answer:#}");
        }
    }
}

#[test]
fn the_reports_of_a_plan_of_an_earlier_version_are_read() {
    for version in versions() {
        let summary = fixtures::read(&version, "objects/plan-summary.json");
        let summary: Run = serde_json::from_str(&summary).unwrap();
        assert!(summary.dry_run && summary.ended.is_some());
        let lines = fixtures::read(&version, "objects/plan-lines.jsonl");
        let lines: Vec<PlanLine> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |group: &str| lines.iter().filter(|line| line.group == group).count() as u64;
        let counts = &summary.counts;
        assert_eq!(
            (of("code"), of("bound"), of("conflict")),
            (counts.codes, counts.bound, counts.conflicts)
        );
    }
}
