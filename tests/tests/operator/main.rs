//! What a person asks `operator`, over the whole bundle in one process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod activity;
mod doctor_parts;
mod owed;
mod process;
mod requests;
mod runs;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::{
    Builder as HttpClientBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use bytes::Bytes;
use change_events::Verdict;
use chrono::TimeDelta;
use futures_util::future::LocalBoxFuture;
use http::Method;
use operator::{Configuration, MappingLine, Schedules, doctor};
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
    mappings::{Binding, CodeDelivery, DynamoDbMappings, Mapping, Mappings, Reservation},
    orders::{DynamoDbOrders, OrderRef},
    owed::DynamoDbOwed,
    passes::{DynamoDbPasses, Passes, Run},
    queues::{DeadLetters, DeadMessage, Inbox, QueueError, SqsDeadLetters, SqsQueue},
    reports::{Reports, S3Reports},
    runtime::configuration::{Environment, ForgottenPolicy, MatchingPolicy},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_AGAIN, UNTIL_OWED, company, customer},
    business_central_simulator::{self, ApplicationAccess, Entity, Fault},
    captured_logs::CapturedText,
    norce_simulator::{
        Blank, CustomerRecord, Effect, Endpoint, EventType, NewCompany, NewCustomer, NewOrder, When,
    },
};
use uuid::Uuid;

fn person(number: i64) -> NewCustomer {
    NewCustomer {
        email: Some(format!("anna.{number}@example.com")),
        first_name: Some("Anna".to_owned()),
        last_name: Some(format!("Ek {number}")),
        ..NewCustomer::default()
    }
}

fn order_of(customer: i64) -> NewOrder {
    NewOrder {
        application_id: 1,
        customer: Some(customer),
        items: vec![("P1".to_owned(), 100.0)],
        ..NewOrder::default()
    }
}

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

#[tokio::test(start_paused = true)]
async fn status_counts_what_waits_and_what_is_owed() {
    let bundle = Bundle::new(&Options::default());
    let quiet = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        summary(&quiet),
        "Messages waiting: 0, dead letters: 0, owed: 0, imports under way: 0; no pass has run yet."
    );
    somebody_owed(&bundle, 1).await;
    bundle.pass(PassMode::Delta).await;
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    bundle
        .jobs
        .dead_letter("{}", None, "not a job")
        .await
        .unwrap();
    bundle
        .norce
        .place_order(order_of(bundle.norce.add_customer(person(2))));
    bundle.norce.settled().await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        status["owed"]["owed"],
        json!({"validation": 1}),
        "{status:#}"
    );
    let jobs = json!({"queue": "jobs", "waiting": 0, "deadLetters": 1});
    assert_eq!(status["queues"][2], jobs);
    assert!(
        status["queues"][0]["waiting"].as_u64().unwrap() >= 1,
        "{status:#}"
    );
    assert_eq!(status["lastRuns"][0]["mode"], "delta");
    let marks = status["watermarks"].as_array().unwrap();
    assert!(
        marks
            .iter()
            .any(|mark| mark["walk"] == "erp" && !mark["at"].is_null())
    );
    assert!(
        summary(&status).contains("(the oldest for 2 h"),
        "{status:#}"
    );
    assert!(
        summary(&status).ends_with("the last pass (delta) ended 2 h 0 min ago."),
        "{status:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_listed_tried_again_and_dismissed() {
    let bundle = Bundle::new(&Options::default());
    let first = somebody_owed(&bundle, 1).await;
    let second = somebody_owed(&bundle, 2).await;
    let listed = bundle
        .ask(json!({"action": "owed", "reason": "validation"}))
        .await
        .unwrap();
    assert_eq!(listed["found"], 2, "{listed:#}");
    assert_eq!(
        listed["owed"][0]["subject"],
        format!("customer/client/{first}")
    );
    for filter in [
        json!({"reason": "conflict"}),
        json!({"kind": "company"}),
        json!({"application": 7}),
    ] {
        let mut request = json!({"action": "owed"});
        request
            .as_object_mut()
            .unwrap()
            .extend(filter.as_object().unwrap().clone());
        assert_eq!(bundle.ask(request).await.unwrap()["found"], 0, "{filter}");
    }

    let without_reason = json!({"action": "owed", "do": "dismiss", "kind": "customer"});
    assert!(refusal(&bundle, without_reason).await.contains("`because`"));
    let everything = json!({"action": "owed", "do": "dismiss", "because": "tired"});
    assert!(refusal(&bundle, everything).await.contains("filter"));
    let subject = format!("customer/client/{second}");
    let dismissed = bundle
        .ask(json!({"action": "owed", "do": "dismiss", "subject": subject, "because": "a test of anna@example.com"}))
        .await
        .unwrap();
    assert_eq!(dismissed["dismissed"], 1, "{dismissed:#}");
    let left = bundle
        .ask(json!({"action": "owed", "dismissed": true}))
        .await
        .unwrap();
    assert_eq!(
        left["owed"][0]["dismissed"], "a test of [e-mail]",
        "{left:#}"
    );

    let retried = bundle
        .ask(json!({"action": "owed", "do": "retry"}))
        .await
        .unwrap();
    assert_eq!(
        retried["retried"], 1,
        "the dismissed one is left alone: {retried:#}"
    );
    // So that the schedule does not try it at once, too.
    let now = bundle.clock.now();
    for owed in bundle.owed.list().await.unwrap() {
        let expected = owed.dismissed.is_none().then_some(now);
        assert_eq!(owed.retried, expected, "{}", owed.subject);
    }
    bundle.run_until_quiet().await;
    let owed = bundle.owed.list().await.unwrap();
    assert_eq!(
        owed.len(),
        1,
        "the one that was tried again is done: {owed:#?}"
    );
    assert_eq!(owed[0].subject.to_string(), subject);
}

/// A configuration of AWS whose address nobody listens at.
async fn dead_aws() -> SdkConfig {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let http_client = HttpClientBuilder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .region(Region::new("eu-north-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .load()
        .await
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

/// Checks that cannot fail alone.
const SEVERAL_EFFECTS: [&str; 9] = [
    "norce identity",
    "events about changed customers",
    "events about changed companies",
    "events about new orders",
    "erp client: reachable",
    "erp client: customers can be read",
    "erp client: filters",
    "index of keys client: customer",
    "table passes",
];

/// An Odoo without partners, which lets nobody make one.
struct ReadOnlyOdoo(Arc<dyn Clock>);

#[async_trait]
impl Transport for ReadOnlyOdoo {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let body = match request.uri().path().rsplit('/').next() {
            Some("has_access") => "false",
            Some("search_count") => "0",
            _ => "[]",
        };
        let answer = http::Response::builder().header("date", self.0.now().to_rfc2822());
        Ok(answer.body(body.into()).unwrap())
    }
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
    }
}

type Break = Box<dyn Fn(&mut Bundle, &SdkConfig)>;

#[tokio::test(start_paused = true)]
async fn doctor_names_the_fault_and_the_fix_of_each_check_broken_in_turn() {
    let well = Bundle::new(&Options::default());
    let report = well.ask(json!({"action": "doctor"})).await.unwrap();
    assert!(summary(&report).starts_with("All 40"), "{report:#}");

    let dead = dead_aws().await;
    let broken = |check: &'static str, detail: &'static str, fix: &'static str, how: Break| {
        (check, detail, fix, how)
    };
    let stores = |change: fn(&mut doctor::Stores, &SdkConfig)| -> Break {
        Box::new(move |bundle, aws| change(&mut bundle.operator.doctor.stores, aws))
    };
    let norce = |endpoints: &'static [Endpoint], status: u16| -> Break {
        Box::new(move |bundle, _| {
            bundle
                .norce
                .inject(endpoints, When::Always, Effect::status(status));
        })
    };
    let erp =
        |fault: fn() -> Fault| -> Break { Box::new(move |bundle, _| bundle.erp.inject(fault())) };
    let schedule = |change: fn(&mut Schedules)| -> Break {
        Box::new(move |bundle, _| change(&mut bundle.operator.doctor.schedules))
    };
    let cases = [
        broken(
            "configuration",
            "NORCE_ACCOUNT_ID: is not set",
            "deploy it again",
            Box::new(|bundle, _| {
                bundle.operator.doctor.faults = vec!["NORCE_ACCOUNT_ID: is not set".to_owned()];
            }),
        ),
        broken(
            "secret ERP_SECRET_ARN",
            "is not JSON",
            "Secrets Manager",
            Box::new(|bundle, _| {
                bundle.operator.doctor.secrets[3].read =
                    Err("the secret is not JSON of the form {…}".to_owned());
            }),
        ),
        broken(
            "norce",
            "NORCE_BASE_URL is faulty",
            "Correct the configuration",
            Box::new(|bundle, _| {
                bundle.operator.doctor.norce = Err("NORCE_BASE_URL is faulty".to_owned());
            }),
        ),
        broken(
            "norce connect",
            "403",
            "resources of Connect's customer imports",
            norce(&[Endpoint::JobPing], 403),
        ),
        broken(
            "norce query",
            "403",
            "resources of Query's",
            norce(&[Endpoint::Applications], 403),
        ),
        broken(
            "norce query",
            "503",
            "Norce is up",
            norce(&[Endpoint::Applications], 503),
        ),
        broken(
            "norce query",
            "no application 3",
            "NorceApplications",
            Box::new(|bundle, _| {
                let shops = bundle.operator.doctor.shops.as_mut().unwrap();
                let text = r#"[{"id":1,"key":"00000000-0000-0000-0000-000000000001"},{"id":3,"key":"00000000-0000-0000-0000-000000000003"}]"#;
                shops.applications = text.parse().unwrap();
            }),
        ),
        broken(
            "norce query",
            "application 2 has another key",
            "NorceApplications",
            Box::new(|bundle, _| {
                let shops = bundle.operator.doctor.shops.as_mut().unwrap();
                let text = r#"[{"id":1,"key":"00000000-0000-0000-0000-000000000001"},{"id":2,"key":"00000000-0000-0000-0000-000000000003"}]"#;
                shops.applications = text.parse().unwrap();
            }),
        ),
        broken(
            "norce rows",
            "IsForgotten",
            "does not have IsForgotten of Customers/Customers, by its own `$metadata`",
            Box::new(|bundle, _| {
                let lacks = vec![("Customer", "IsForgotten")];
                bundle
                    .norce
                    .configure(|settings| settings.query_lacks = lacks);
            }),
        ),
        broken(
            "norce job",
            "403",
            "Connect's jobs",
            norce(&[Endpoint::JobGet], 403),
        ),
        broken(
            "norce registers",
            "customers that belong to no application",
            "CustomersByApplication=with-shared",
            Box::new(|bundle, _| {
                bundle.norce.add_customer(person(7));
                let shops = bundle.operator.doctor.shops.as_mut().unwrap();
                shops.registers = Registers::Applications;
            }),
        ),
        broken(
            "erp",
            "no ERP company",
            "Correct the configuration",
            Box::new(|bundle, _| {
                bundle.operator.doctor.erps = Err("no ERP company for scope client".to_owned());
            }),
        ),
        broken(
            "erp client: contacts can be read",
            "403",
            "permission sets for customers and contacts",
            erp(|| Fault::status(http::StatusCode::FORBIDDEN).on_entity(Entity::Contacts)),
        ),
        broken(
            "erp client: records can be written",
            "does not let these credentials",
            "right to create contacts",
            Box::new(|bundle, _| {
                let server = Arc::new(ReadOnlyOdoo(bundle.clock.clone()));
                let erp = Odoo::new(odoo_settings(), server).unwrap();
                let erp: Arc<dyn Erp> = Arc::new(erp);
                bundle.operator.doctor.erps = Ok([(Scope::Client, erp)].into());
            }),
        ),
        broken(
            "erp client: owned fields",
            "flags",
            "ErpExtraFields",
            Box::new(|bundle, _| {
                bundle.operator.doctor.erp_owns = "code,flags".parse().unwrap();
            }),
        ),
        broken(
            "index of keys client: company",
            "Business Central refuses a filter on it",
            r#"{"action":"pass","mode":"full"}"#,
            Box::new(|bundle, _| {
                let company = json!({"displayName": "Bolaget AB", "type": "Company",
                    "taxRegistrationNumber": "SE556036079301"});
                let added = bundle.erp.add_customer(bundle.erp_company(), &company);
                added.unwrap();
            }),
        ),
        broken(
            "queue jobs: reachable",
            "the queue cannot be reached",
            "JOBS_QUEUE_URL",
            Box::new(|bundle, aws| {
                bundle.operator.doctor.queues[2].depth = Arc::new(SqsQueue::<ChangeMessage>::new(
                    aws,
                    "http://127.0.0.1:1/000000000000/jobs",
                ));
            }),
        ),
        broken(
            "queue jobs: no dead letters",
            "the queue cannot be reached",
            "JOBS_DEAD_LETTER_QUEUE_URL",
            Box::new(|bundle, aws| {
                let url = "http://127.0.0.1:1/000000000000/jobs";
                bundle.operator.doctor.queues[2].dead_letters =
                    Arc::new(SqsDeadLetters::new(aws, url, url));
            }),
        ),
        broken(
            "table code mappings",
            "cannot be reached",
            "CODE_MAPPINGS_TABLE",
            stores(|stores, aws| {
                stores.mappings = Some(Arc::new(DynamoDbMappings::new(
                    aws,
                    "none",
                    FingerprintKey::new(b"k"),
                )));
            }),
        ),
        broken(
            "table owed records",
            "cannot be reached",
            "OWED_TABLE",
            stores(|stores, aws| {
                stores.owed = Some(Arc::new(DynamoDbOwed::new(aws, "none")));
            }),
        ),
        broken(
            "table import jobs",
            "cannot be reached",
            "IMPORT_JOBS_TABLE",
            stores(|stores, aws| {
                stores.import_jobs = Some(Arc::new(DynamoDbImportJobs::new(aws, "none")));
            }),
        ),
        broken(
            "table breakers",
            "cannot be reached",
            "BREAKERS_TABLE",
            stores(|stores, aws| {
                stores.breakers = Some(Arc::new(DynamoDbBreakers::new(aws, "none")));
            }),
        ),
        broken(
            "table activity",
            "cannot be reached",
            "ACTIVITY_TABLE",
            stores(|stores, aws| {
                stores.activity = Some(Arc::new(DynamoDbActivity::new(aws, "none")));
            }),
        ),
        broken(
            "bucket reports",
            "cannot be reached",
            "REPORTS_BUCKET",
            stores(|stores, aws| {
                stores.reports = Some(Arc::new(S3Reports::new(aws, "none")));
            }),
        ),
        broken(
            "schedule delta pass",
            "switched off",
            "DeltaSchedule",
            schedule(|schedules| {
                schedules.delta = Some("DISABLED".to_owned());
            }),
        ),
        broken(
            "schedule sweep",
            "switched off",
            "SweepSchedule",
            schedule(|schedules| schedules.sweep = None),
        ),
        broken(
            "schedule owed records",
            "switched off",
            "OwedSchedule",
            schedule(|schedules| schedules.owed = None),
        ),
    ];
    let mut seen_broken: BTreeSet<String> = BTreeSet::new();
    for (check, detail, fix, how) in cases {
        let mut bundle = Bundle::new(&Options::default());
        how(&mut bundle, &dead);
        let found = only_fault(&bundle, check).await;
        assert_eq!(found.0, check);
        assert!(found.1.contains(detail), "{check}: {}", found.1);
        assert!(found.2.contains(fix), "{check}: {}", found.2);
        assert!(!format!("{found:?}").contains("-secret"), "{found:?}");
        seen_broken.insert(found.0);
    }
    // Those of which there are several alike.
    for index in 0..4 {
        let mut bundle = Bundle::new(&Options::default());
        bundle.operator.doctor.secrets[index].read = Err("it cannot be read".to_owned());
        let (check, _, fix) = only_fault(&bundle, "a secret").await;
        assert!(fix.contains(check.trim_start_matches("secret ")), "{fix}");
        seen_broken.insert(check);
        let mut bundle = Bundle::new(&Options::default());
        let url = "http://127.0.0.1:1/000000000000/queue";
        let queue = &mut bundle.operator.doctor.queues[index];
        queue.depth = Arc::new(SqsQueue::<ChangeMessage>::new(&dead, url));
        seen_broken.insert(only_fault(&bundle, "a queue").await.0);
        let mut bundle = Bundle::new(&Options::default());
        let queue = &mut bundle.operator.doctor.queues[index];
        queue.dead_letters = Arc::new(SqsDeadLetters::new(&dead, url, url));
        seen_broken.insert(only_fault(&bundle, "a dead-letter queue").await.0);
    }
    let names = report["checks"].as_array().unwrap().iter();
    let never_broken: Vec<&str> = names
        .map(|check| check["check"].as_str().unwrap())
        .filter(|check| !seen_broken.contains(*check))
        .collect();
    // The next test breaks these: what breaks them breaks others too.
    assert_eq!(never_broken, SEVERAL_EFFECTS);
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

#[tokio::test(start_paused = true)]
async fn doctor_names_the_cause_first_where_one_fault_has_several_effects() {
    let cases: [(&str, usize, &str, Break); 9] = [
        (
            "index of keys client: customer",
            2,
            "CODE_MAPPINGS_TABLE",
            Box::new(|bundle, aws| {
                let key = FingerprintKey::new(b"k");
                let index = DynamoDbMappings::new(aws, "none", key);
                bundle.operator.doctor.stores.key_index = Some(Arc::new(index));
            }),
        ),
        (
            "events about changed customers",
            3,
            "log group of receive-events",
            Box::new(|bundle, aws| {
                let log = CloudWatchLogs::new(aws, "none");
                bundle.operator.doctor.events = Some(Ok(Arc::new(log)));
            }),
        ),
        (
            "norce identity",
            5,
            "clientSecret",
            Box::new(|bundle, _| {
                bundle
                    .norce
                    .inject(&[Endpoint::Token], When::Always, Effect::status(401));
            }),
        ),
        (
            "erp client: reachable",
            4,
            "ErpBaseUrl",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
            }),
        ),
        (
            "erp client: reachable",
            4,
            "Microsoft Entra applications",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .configure(|settings| settings.access = ApplicationAccess::RefusedAsUnknown);
            }),
        ),
        (
            "erp client: reachable",
            4,
            "ERP is up",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .inject(Fault::slow_answer(Duration::from_secs(3_600)));
            }),
        ),
        (
            "erp client: reachable",
            1,
            "clock",
            Box::new(|bundle, _| {
                let now = bundle.clock.now();
                bundle.erp.configure(|settings| {
                    settings.clock = business_central_simulator::Clock::from_fn(move || {
                        now + TimeDelta::hours(1)
                    });
                });
            }),
        ),
        (
            "table passes",
            3,
            "PASSES_TABLE",
            Box::new(|bundle, aws| {
                bundle.operator.doctor.stores.passes =
                    Some(Arc::new(DynamoDbPasses::new(aws, "none")));
            }),
        ),
        (
            "configuration",
            3,
            "deploy it again",
            Box::new(|bundle, _| {
                let configuration = Configuration::read(Environment::new(|_| None));
                assert!(
                    configuration.faults.len() > 10,
                    "{:?}",
                    configuration.faults
                );
                let doctor = &mut bundle.operator.doctor;
                doctor.faults = configuration.faults;
                doctor.norce = Err("NORCE_BASE_URL is not set".to_owned());
                doctor.erps = Err("ERP_KIND is not set".to_owned());
                bundle.operator.stack = Err("NORCE_BASE_URL is not set".to_owned());
                bundle.operator.ports = Err("NORCE_BASE_URL is not set".to_owned());
            }),
        ),
    ];
    let dead = dead_aws().await;
    let mut seen_broken: BTreeSet<String> = BTreeSet::new();
    for (cause, count, fix, how) in cases {
        let mut bundle = Bundle::new(&Options::default());
        how(&mut bundle, &dead);
        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        let faults = faults(&report);
        assert_eq!(
            (faults[0].0.as_str(), faults.len()),
            (cause, count),
            "{faults:#?}"
        );
        assert!(faults[0].2.contains(fix), "{cause}, {fix}: {faults:#?}");
        seen_broken.extend(faults.into_iter().map(|fault| fault.0));
        if bundle.operator.ports.is_err() {
            let refused = refusal(&bundle, json!({"action": "status"})).await;
            assert!(refused.contains("doctor"), "{refused}");
        }
    }
    for check in SEVERAL_EFFECTS {
        assert!(seen_broken.contains(check), "{check} was not broken");
    }
}

#[tokio::test(start_paused = true)]
async fn doctor_sees_dead_letters_and_passes_that_failed_or_are_stuck() {
    let bundle = Bundle::new(&Options::default());
    bundle.imports.dead_letter("{}", None, "no").await.unwrap();
    let (check, _, fix) = only_fault(&bundle, "dead letters").await;
    assert_eq!(check, "queue imports: no dead letters");
    assert!(
        fix.contains(r#"{"action":"dead-letters","queue":"imports""#),
        "{fix}"
    );

    let bundle = Bundle::new(&Options::default());
    let run = bundle.pass(PassMode::Delta).await;
    assert!(faults(&bundle.ask(json!({"action": "doctor"})).await.unwrap()).is_empty());
    let mut failed = Run {
        id: Uuid::new_v4(),
        version: 1,
        started: run.started + TimeDelta::minutes(1),
        ..run
    };
    failed.ended.as_mut().unwrap().failed = Some("the ERP refuses the credentials".to_owned());
    assert!(bundle.passes.save(&failed).await.unwrap());
    let (check, detail, fix) = only_fault(&bundle, "a pass that failed").await;
    assert_eq!(check, "schedule delta pass");
    assert!(detail.contains("refuses the credentials"), "{detail}");
    assert!(fix.contains(r#"{"action":"pass","mode":"delta"}"#), "{fix}");

    let stuck = Run {
        id: Uuid::new_v4(),
        started: failed.started + TimeDelta::minutes(1),
        ended: None,
        ..failed
    };
    assert!(bundle.passes.save(&stuck).await.unwrap());
    tokio::time::sleep(Duration::from_secs(25 * 3_600)).await;
    let (_, detail, fix) = only_fault(&bundle, "a pass that is stuck").await;
    assert!(detail.contains("has run since"), "{detail}");
    assert!(fix.contains("log of erp-full-pass"), "{fix}");
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn doctor_sees_which_events_do_not_come_although_norce_has_an_occasion() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    let check = async |name: &str| {
        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        let mut checks = checks.into_iter();
        checks.find(|check| check["check"] == name).unwrap()
    };
    let customers = "events about changed customers";
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        ..NewCompany::default()
    });
    let change = |customer, phone: &str| {
        bundle.norce.change_customer(customer, |record| {
            record.row.phone_number = Some(phone.to_owned());
        });
        bundle.norce.change_company(company, |record| {
            record.row.phone_number = Some(phone.to_owned());
        });
    };
    assert!(
        check(customers).await["detail"]
            .as_str()
            .unwrap()
            .contains("no occasion")
    );

    // All subscriptions are on.
    let customer = somebody(&bundle, 1).await;
    change(customer, "08-765 43 21");
    bundle.run_until_quiet().await;
    tokio::time::sleep(HOUR).await;
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert_eq!(faults(&report), []);
    for name in [
        customers,
        "events about changed companies",
        "events about new orders",
    ] {
        let check = check(name).await;
        assert!(
            check["detail"].as_str().unwrap().contains("they come"),
            "{check}"
        );
    }

    // A day without any, and without an occasion: imports of our own are none.
    tokio::time::sleep(25 * HOUR).await;
    for event in [EventType::CustomerChanged, EventType::CompanyChanged] {
        bundle.norce.unsubscribe(event);
    }
    somebody(&bundle, 2).await;
    tokio::time::sleep(HOUR).await;
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert_eq!(faults(&report), []);

    for event in [EventType::OrderReceived, EventType::OrderConfirmed] {
        bundle.norce.unsubscribe(event);
    }
    tokio::time::sleep(25 * HOUR).await;
    change(customer, "08-765 43 22");
    bundle.norce.place_order(order_of(customer));
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert_eq!(faults(&report), [], "events may be on the way");
    tokio::time::sleep(HOUR).await;
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    let fixes: Vec<(String, bool)> = faults(&report)
        .into_iter()
        .zip(["customer-changed", "company-changed", "order-received"])
        .map(|((check, _, fix), address)| (check, fix.contains(address)))
        .collect();
    let expected = [
        customers,
        "events about changed companies",
        "events about new orders",
    ];
    assert_eq!(fixes, expected.map(|check| (check.to_owned(), true)));
}

#[tokio::test(start_paused = true)]
async fn doctor_does_not_look_for_lines_that_are_not_written() {
    let mut bundle = Bundle::new(&Options::default());
    bundle.operator.doctor.events = Some(Err("set LogLevel to INFO".to_owned()));
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert_eq!(faults(&report), []);
    assert!(report.to_string().contains("not looked at: set LogLevel"));
}

#[tokio::test(start_paused = true)]
async fn doctor_names_the_fault_and_the_fix_of_what_posted_orders_need() {
    let options = Options {
        order_receiver: true,
        ..Options::default()
    };
    let dead = dead_aws().await;
    let url = "http://127.0.0.1:1/000000000000/queue";
    let cases: [(&str, &str, Break); 4] = [
        (
            "secret ORDER_SECRET_ARN",
            "ORDER_SECRET_ARN",
            Box::new(|bundle, _| {
                bundle.operator.doctor.secrets[4].read = Err("it is not there".to_owned());
            }),
        ),
        (
            "queue outgoing orders: reachable",
            "OUTGOING_ORDERS_QUEUE_URL",
            Box::new(move |bundle, aws| {
                let queue = bundle.operator.doctor.outgoing_orders.as_mut().unwrap();
                queue.depth = Arc::new(SqsQueue::<ChangeMessage>::new(aws, url));
            }),
        ),
        (
            "queue outgoing orders: no dead letters",
            "OUTGOING_ORDERS_DEAD_LETTER_QUEUE_URL",
            Box::new(move |bundle, aws| {
                let queue = bundle.operator.doctor.outgoing_orders.as_mut().unwrap();
                queue.dead_letters = Arc::new(SqsDeadLetters::new(aws, url, url));
            }),
        ),
        (
            "table orders",
            "ORDERS_TABLE",
            Box::new(|bundle, aws| {
                let orders = DynamoDbOrders::new(aws, "none");
                bundle.operator.doctor.stores.orders = Some(Arc::new(orders));
            }),
        ),
    ];
    for (check, fix, how) in cases {
        let mut bundle = Bundle::new(&options);
        how(&mut bundle, &dead);
        let found = only_fault(&bundle, check).await;
        assert_eq!(found.0, check);
        assert!(found.2.contains(fix), "{check}: {}", found.2);
    }
    let bundle = Bundle::new(&options);
    let refused = bundle.outgoing_orders.dead_letter("{}", Some("g"), "no");
    refused.await.unwrap();
    let (check, _, fix) = only_fault(&bundle, "dead letters").await;
    assert_eq!(check, "queue outgoing orders: no dead letters");
    assert!(fix.contains("order integration"), "{fix}");
}

#[tokio::test(start_paused = true)]
async fn p8_status_and_doctor_say_which_remote_is_left_alone() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    bundle
        .erp
        .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
    let customer = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(customer));
    bundle.run_for(2 * HOUR).await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    let breaker = status["breakers"].as_array().unwrap().iter();
    let mut breaker = breaker.filter(|breaker| breaker["remote"] == "erp/client");
    let breaker = breaker.next().unwrap();
    assert_eq!(breaker["state"], "open", "{status:#}");
    assert!(breaker["nextProbe"].is_string(), "{status:#}");
    assert!(
        summary(&status)
            .starts_with("erp/client has been unavailable for 1 h 59 min; calls are paused and retried automatically."),
        "{status:#}"
    );
    // A person sees the remote itself, and not that it is left alone.
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    let reachable = &faults(&report)[0];
    assert_eq!(reachable.0, "erp client: reachable");
    assert!(reachable.1.contains("503"), "{reachable:?}");
    bundle.erp.clear_faults();
    let (check, detail, fix) = only_fault(&bundle, "the breaker is open").await;
    assert_eq!(check, "table breakers");
    assert!(detail.contains("erp/client") && fix.contains("by itself"));

    let recovering = async || {
        let status = bundle.ask(json!({"action": "status"})).await.unwrap();
        status["breakers"].to_string()
    };
    while bundle
        .breakers
        .get("erp/client")
        .await
        .unwrap()
        .permit(bundle.clock.now())
        != Permit::Go(None)
        && !recovering().await.contains("recovering")
    {
        bundle.run_for(Duration::from_secs(30)).await;
    }
    assert!(recovering().await.contains(r#""state":"recovering""#));
    bundle.run_until_quiet().await;
    tokio::time::sleep(HOUR).await;
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(status["breakers"][0]["state"], "closed", "{status:#}");
    assert!(
        summary(&status).starts_with("Messages waiting: 0"),
        "{status:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn explain_tells_the_last_events() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    let customer = somebody(&bundle, 1).await;
    for number in 0..30 {
        bundle.norce.change_customer(customer, |record| {
            record.row.phone_number = Some(format!("08-765 43 {number:02}"));
        });
        bundle.run_until_quiet().await;
    }
    let other = format!("customer/client/{customer}7");
    bundle.logs.change_events.write(
        bundle.clock.now(),
        format!(r#"{{"fields":{{"message":"change handled","subject":"{other}"}}}}"#),
    );
    let explained = bundle
        .ask(json!({"action": "explain", "id": customer}))
        .await
        .unwrap();
    let last = explained["last"]["events"].as_array().unwrap();

    assert_eq!(last.len(), 20, "{explained:#}");
    assert!(explained["last"].get("incomplete").is_none());
    let said = |event: &Value| event["said"].as_str().unwrap().to_owned();
    let of = |function| {
        let mut events = last.iter().filter(|event| event["function"] == function);
        said(events.next_back().unwrap())
    };
    let (accepted, handled) = (of("receive-events"), of("change-events"));
    assert!(accepted.starts_with("event accepted"), "{accepted}");
    assert!(accepted.contains(r#"event="CustomerChangedNotification""#));
    assert!(
        handled.starts_with("change handled") && handled.contains(r#"outcome="updated"#),
        "{handled}"
    );
    let thread = |said: &str| said.split(r#"correlation=""#).nth(1).unwrap()[..36].to_owned();
    assert_eq!(thread(&accepted), thread(&handled));
    assert!(
        !last.iter().any(|event| said(event).contains(&other)),
        "{explained:#}"
    );

    // What cannot be searched is said, and the rest is answered.
    let mut bundle = bundle;
    let dead = dead_aws().await;
    let ports = bundle.operator.ports.as_mut().unwrap();
    ports.logs[1].logs = Arc::new(CloudWatchLogs::new(&dead, "none"));
    let explained = bundle
        .ask(json!({"action": "explain", "id": customer}))
        .await
        .unwrap();
    let incomplete = explained["last"]["incomplete"].as_str().unwrap();
    assert!(
        incomplete.starts_with("change-events: the log cannot be searched"),
        "{incomplete}"
    );
    assert!(!explained["last"]["events"].as_array().unwrap().is_empty());
}

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

#[tokio::test(start_paused = true)]
async fn explain_says_what_then_happens_and_writes_nothing() {
    let bundle = Bundle::new(&Options {
        code_pattern: Some("{kind}{id}"),
        forgotten: ForgottenPolicy::Block,
        ..Options::default()
    });
    // Everything is looked at by hand.
    for event in [
        EventType::CustomerChanged,
        EventType::CompanyChanged,
        EventType::OrderReceived,
        EventType::OrderConfirmed,
    ] {
        bundle.norce.unsubscribe(event);
    }
    let add = |number| bundle.norce.add_customer(person(number));
    let look = async |id: i64| {
        bundle
            .change_events
            .look_at(customer(id), Cause::Changed, deadline())
            .await
    };

    let no_order = add(1);
    let [
        ordered,
        twin_of_the_erp,
        changed,
        in_step,
        renamed,
        forgotten,
        refused,
    ] = [2, 3, 4, 5, 6, 7, 8].map(|number| {
        let id = add(number);
        bundle.norce.place_order(order_of(id));
        id
    });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &json!({"number": "BC1", "displayName": "Anna Ek 3", "type": "Person", "email": "anna.3@example.com"}))
        .unwrap();
    for id in [changed, in_step, renamed, forgotten] {
        look(id).await;
    }
    bundle.run_until_quiet().await;
    for id in [changed, in_step, renamed, forgotten] {
        look(id).await;
    }
    bundle.norce.change_customer(changed, |record| {
        record.row.phone_number = Some("08-123 45 67".to_owned())
    });
    bundle.norce.change_customer(renamed, |record| {
        record.row.customer_code = Some("OTHER".to_owned())
    });
    bundle.norce.forget_customer(forgotten, &Blank::Null, false);
    let with_code = add(9);
    bundle.norce.change_customer(with_code, |record| {
        record.row.customer_code = Some("NOWHERE".to_owned())
    });
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    let contact = add(10);
    bundle.norce.link(contact, company, true);
    bundle.norce.place_order(order_of(contact));
    let nobody = 99_999;

    /// Of what would be done, that it is nothing.
    const NOTHING: &str = "[]";
    for (id, words, would) in [
        (no_order, "no order yet", NOTHING),
        (
            ordered,
            "created in the ERP as P",
            "create a customer in the ERP, under code P",
        ),
        (
            twin_of_the_erp,
            "found in the ERP as BC1",
            "bind customer/client/",
        ),
        (changed, "updated", "compare the ERP's record"),
        (in_step, "unchanged", NOTHING),
        (renamed, "owed (conflict): Norce has code OTHER", NOTHING),
        (forgotten, "forgotten; blocked in the ERP", "block P"),
        (with_code, "owed (conflict)", NOTHING),
        (
            contact,
            "owed (missing-prerequisite)",
            "look at company/client/",
        ),
        (nobody, "is not in Norce", NOTHING),
        (refused, "created", "create"),
    ] {
        let before = state(&bundle);
        let explained = bundle
            .ask(json!({"action": "explain", "id": id}))
            .await
            .unwrap();
        assert_eq!(state(&bundle), before, "{words}: asking writes nothing");
        let outcome = explained["now"]["outcome"].as_str().unwrap().to_owned();
        let real = match look(id).await {
            Verdict::Done(done) => done,
            Verdict::Owed { reason, detail } => format!("owed ({}): {detail}", reason.as_str()),
            Verdict::Later(reason) => panic!("{id} waits: {reason}"),
        };
        assert!(real.contains(words), "{words}: {real}");
        let steps = explained["now"]["would"].to_string();
        if steps.contains("compare the ERP's record") {
            // Whether anything differs is found out by writing only, and only there both outcomes are one.
            assert!(outcome.contains("updated in the ERP"), "{outcome}");
            let either = |words: &str| {
                words
                    .replace("unchanged", "updated in the ERP")
                    .replace(" and updated in the ERP", "")
            };
            assert_eq!(either(&outcome), either(&real), "{explained:#}");
        } else {
            assert_eq!(outcome, real, "{explained:#}");
        }
        match would {
            NOTHING => assert_eq!(steps, NOTHING, "{words}"),
            would => assert!(steps.contains(would), "{would}: {steps}"),
        }
        assert!(!explained.to_string().contains("anna."), "{explained:#}");
        assert!(
            summary(&explained).contains("If an event came now"),
            "{explained:#}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn explain_finds_the_customer_that_a_person_means() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let name = format!("customer/client/{anna}");
    let code = bundle
        .norce
        .customer(anna)
        .unwrap()
        .row
        .customer_code
        .unwrap();
    for whom in [
        json!({"id": anna}),
        json!({"entity": name}),
        json!({"code": code}),
        json!({"email": " Anna.1@EXAMPLE.com"}),
    ] {
        let mut request = json!({"action": "explain"});
        request
            .as_object_mut()
            .unwrap()
            .extend(whom.as_object().unwrap().clone());
        let parsed = format!("{:?}", operator::Request::parse(request.clone()).unwrap());
        assert!(
            !parsed.to_lowercase().contains("example.com"),
            "P11: {parsed}"
        );
        let explained = bundle.ask(request).await.unwrap();
        assert_eq!(explained["entity"], name, "{whom}");
        assert_eq!(
            (
                &explained["mapping"]["state"],
                &explained["mapping"]["code"]
            ),
            (&json!("bound"), &json!(code))
        );
        assert_eq!(explained["norce"]["code"], json!(code));
    }
    bundle.norce.add_customer(person(1));
    for (request, words) in [
        (json!({"action": "explain"}), "one of `entity`"),
        (
            json!({"action": "explain", "id": 1, "code": "x"}),
            "one of `entity`",
        ),
        (
            json!({"action": "explain", "email": "anna.1@example.com"}),
            "name one by `entity`",
        ),
        (
            json!({"action": "explain", "email": "nobody@example.com"}),
            "no customer has this e-mail address",
        ),
        (
            json!({"action": "explain", "email": "x", "kind": "company"}),
            "not looked up by e-mail",
        ),
        (
            json!({"action": "explain", "entity": "customer/app-7/1"}),
            "there is no scope app-7",
        ),
        (
            json!({"action": "explain", "entity": "anna.1@example.com"}),
            "customer/client/<id>",
        ),
    ] {
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains(words), "{refused}");
        assert!(!refused.contains("@"), "P11: {refused}");
    }
    let two = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let refused = refusal(&two, json!({"action": "explain", "id": 1})).await;
    assert!(refused.contains("app-1, app-2"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn replay_sends_entities_again_and_goes_on_where_it_left_off() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-123 45 67".to_owned())
    });
    let plan =
        json!({"action": "replay", "entity": format!("customer/client/{anna}"), "dryRun": true});
    assert_eq!(bundle.ask(plan).await.unwrap()["sent"], 1);
    assert!(bundle.changes.is_empty());
    let replayed = bundle
        .ask(json!({"action": "replay", "entities": [format!("customer/client/{anna}")]}))
        .await
        .unwrap();
    assert_eq!(replayed["sent"], 1, "{replayed:#}");
    bundle.run_until_quiet().await;
    let record = &bundle.erp.customers(bundle.erp_company())[0];
    assert_eq!(record.phone_number, "08-123 45 67");

    for request in [
        json!({"action": "replay"}),
        json!({"action": "replay", "entity": "customer/client/1", "since": "2026-11-01T00:00:00Z"}),
    ] {
        assert!(
            refusal(&bundle, request)
                .await
                .contains("name what to replay")
        );
    }

    tokio::time::sleep(Duration::from_secs(60)).await;
    let since = bundle.clock.now();
    for number in 0..4_500 {
        bundle.norce.add_customer(person(100 + number));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let until = bundle.clock.now();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let late = bundle.norce.add_customer(person(9_999));
    let mut request =
        json!({"action": "replay", "since": since, "until": until, "cause": "ordered"});
    let mut total = 0;
    for go in 1.. {
        let replayed = bundle.ask(request.clone()).await.unwrap();
        total += replayed["sent"].as_u64().unwrap();
        match replayed.get("after") {
            Some(after) => request["after"] = after.clone(),
            None => {
                assert!(go > 2, "{go} goes");
                break;
            }
        }
    }
    assert_eq!(
        (total, bundle.changes.len()),
        (4_500, 4_500),
        "each once, none that came later ({late})"
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_and_a_pass_are_started_as_the_schedules_start_them() {
    let bundle = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let planned = bundle
        .ask(json!({"action": "plan", "mode": "full", "application": 2}))
        .await
        .unwrap();
    assert_eq!(planned["runs"][0]["scope"], "app-2", "{planned:#}");
    let started = bundle
        .ask(json!({"action": "pass", "mode": "full"}))
        .await
        .unwrap();
    assert_eq!(started["runs"].as_array().unwrap().len(), 2);
    assert_eq!(started.get("reports"), None);
    bundle.run_until_quiet().await;
    let report = planned["reports"][0].as_str().unwrap();
    assert!(bundle.reports.all().contains_key(report), "{report}");
    let status = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        status["lastRuns"].as_array().unwrap().len(),
        2,
        "a plan is no run: {status:#}"
    );
    let refused = refusal(
        &bundle,
        json!({"action": "pass", "mode": "full", "application": 7}),
    )
    .await;
    assert!(refused.contains("application 7"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_counted_shown_and_sent_again() {
    let bundle = Bundle::new(&Options::default());
    let anna = bundle.norce.add_customer(person(1));
    bundle.run_until_quiet().await;
    for number in 0..12 {
        let message = ChangeMessage::Entity {
            entity: customer(anna),
            cause: Cause::Ordered,
            received_at: bundle.clock.now() + TimeDelta::seconds(number),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        };
        let body = serde_json::to_string(&message).unwrap();
        bundle
            .changes
            .dead_letter(&body, Some(&message.group()), "tried too often")
            .await
            .unwrap();
    }
    bundle
        .imports
        .dead_letter("{\"mail\":\"anna.1@example.com\"}", None, "not an import")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    let counted = bundle.ask(json!({"action": "dead-letters"})).await.unwrap();
    assert_eq!(summary(&counted), "Dead letters: 13.");

    let shown = bundle
        .ask(json!({"action": "dead-letters", "do": "show", "queue": "imports"}))
        .await
        .unwrap();
    assert_eq!(
        shown["messages"][0]["body"], "{\"mail\":\"[e-mail]\"}",
        "{shown:#}"
    );
    assert_eq!(
        (
            &shown["messages"][0]["reason"],
            &shown["messages"][0]["ageSeconds"]
        ),
        (&json!("not an import"), &json!(7_200))
    );
    let shown = bundle
        .ask(json!({"action": "dead-letters", "do": "show", "limit": 12}))
        .await
        .unwrap();
    assert_eq!(shown["messages"].as_array().unwrap().len(), 12);

    let redriven = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive", "queue": "changes", "limit": 11}))
        .await
        .unwrap();
    assert_eq!(
        (&redriven["redriven"], bundle.changes.dead_letters().len()),
        (&json!(11), 1),
        "{redriven:#}"
    );
    let message = &bundle.changes.receive(1)[0];
    assert_eq!(message.group, Some(customer(anna).to_string()));
    let rest = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive"}))
        .await
        .unwrap();
    assert_eq!(rest["redriven"], 2, "{rest:#}");
    bundle.quiet_within(UNTIL_AGAIN).await;
    assert_eq!(bundle.erp.customers(bundle.erp_company()).len(), 1);
    assert_eq!(
        bundle.imports.dead_letters().len(),
        1,
        "what cannot be handled comes back"
    );
    let refused = refusal(&bundle, json!({"action": "dead-letters", "queue": "x"})).await;
    assert!(
        refused.contains("changes, imports, jobs, passes"),
        "{refused}"
    );
}

/// A dead-letter queue to which everything comes back at once.
struct Bottomless;

#[async_trait]
impl DeadLetters for Bottomless {
    async fn count(&self) -> Result<u64, QueueError> {
        Ok(2)
    }

    async fn look(&self, _: Duration) -> Result<Vec<DeadMessage>, QueueError> {
        Ok(vec![DeadMessage {
            id: "id".to_owned(),
            receipt: "receipt".to_owned(),
            body: "{}".to_owned(),
            group: None,
            reason: None,
            age: Duration::ZERO,
        }])
    }

    async fn put_back(&self, _: &DeadMessage) -> Result<(), QueueError> {
        Ok(())
    }

    async fn redrive(&self, _: &DeadMessage) -> Result<(), QueueError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_not_sent_round_and_round() {
    let mut bundle = Bundle::new(&Options::default());
    let stack = bundle.operator.stack.as_mut().unwrap();
    stack.queues[0].dead_letters = Arc::new(Bottomless);
    let redriven = bundle
        .ask(json!({"action": "dead-letters", "do": "redrive"}))
        .await
        .unwrap();
    assert_eq!(redriven["redriven"], 2);
}

#[tokio::test(start_paused = true)]
async fn jobs_shows_imports_that_are_under_way_with_what_norce_says() {
    let bundle = Bundle::new(&Options::default());
    assert_eq!(
        summary(&bundle.ask(json!({"action": "jobs"})).await.unwrap()),
        "No import is under way."
    );
    bundle
        .norce
        .inject(&[Endpoint::JobGet], When::Times(3), Effect::status(503));
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    while bundle.import_jobs.open().await.unwrap().is_empty() {
        bundle.run_for(Duration::from_millis(100)).await;
    }
    let jobs = bundle.ask(json!({"action": "jobs"})).await.unwrap();
    assert_eq!(jobs["jobs"][0]["lines"], 1, "{jobs:#}");
    assert!(
        summary(&jobs).starts_with("1 imports with 1 lines are under way"),
        "{jobs:#}"
    );
    let explained = bundle
        .ask(json!({"action": "explain", "id": anna}))
        .await
        .unwrap();
    let job = jobs["jobs"][0]["job"].clone();
    assert_eq!(explained["imports"][0]["job"], job, "{explained:#}");
    let one = bundle
        .ask(json!({"action": "jobs", "job": job}))
        .await
        .unwrap();
    assert_eq!(one["jobs"][0]["waiting"][0]["id"], anna, "{one:#}");
    bundle.run_until_quiet().await;
    let settled = bundle
        .ask(json!({"action": "jobs", "job": job}))
        .await
        .unwrap();
    assert_eq!(settled["jobs"][0]["settled"], true, "{settled:#}");
    assert!(
        refusal(&bundle, json!({"action": "jobs", "job": 987_654}))
            .await
            .contains("no import with job")
    );
}

#[tokio::test(start_paused = true)]
async fn p12_a_customer_is_forgotten_by_hand_once_it_is_confirmed() {
    let bundle = Bundle::new(&Options {
        forgotten: ForgottenPolicy::Block,
        ..Options::default()
    });
    let anna = somebody(&bundle, 1).await;
    bundle.erp.refuse_where(|_| true);
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-1".to_owned())
    });
    bundle.run_until_quiet().await;
    bundle.erp.refuse_nothing();
    assert_eq!(bundle.owed.list().await.unwrap().len(), 1);

    let before = state(&bundle);
    let asked = bundle
        .ask(json!({"action": "forget", "id": anna}))
        .await
        .unwrap();
    assert_eq!(state(&bundle), before);
    assert_eq!(asked["forgotten"], false);
    assert!(asked["would"].to_string().contains("block "), "{asked:#}");
    assert!(summary(&asked).contains("\"confirm\":true"), "{asked:#}");

    let done = bundle
        .ask(json!({"action": "forget", "email": "anna.1@example.com", "confirm": true}))
        .await
        .unwrap();
    assert_eq!(done["forgotten"], true, "{done:#}");
    assert_eq!(
        bundle.mappings.get(customer(anna)).await.unwrap(),
        Some(Mapping::Forgotten)
    );
    assert!(bundle.owed.list().await.unwrap().is_empty());
    assert_eq!(bundle.erp.customers(bundle.erp_company())[0].blocked, "All");
    let explained = bundle
        .ask(json!({"action": "explain", "id": anna}))
        .await
        .unwrap();
    assert_eq!(explained["now"]["outcome"], "nothing: it is forgotten");
    let company = json!({"action": "forget", "entity": "company/client/1", "confirm": true});
    assert!(refusal(&bundle, company).await.contains("customers only"));
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

async fn binding(bundle: &Bundle, entity: EntityRef) -> Option<Binding> {
    match bundle.mappings.get(entity).await.unwrap() {
        Some(Mapping::Bound(binding)) => Some(binding),
        _ => None,
    }
}

/// A customer of Norce and its unbound record in the ERP.
async fn unbound(bundle: &Bundle, number: i64, code: &str) -> (EntityRef, Uuid) {
    let record = record_in_erp(bundle, code, "Person");
    let id = bundle.norce.add_customer(person(number));
    bundle.run_until_quiet().await;
    (customer(id), record)
}

#[tokio::test(start_paused = true)]
async fn mappings_are_exported_and_imported_and_nothing_is_overwritten() {
    let bundle = Bundle::new(&Options::default());
    let people = [
        somebody(&bundle, 1).await,
        somebody(&bundle, 2).await,
        somebody(&bundle, 3).await,
    ];
    bundle.norce.forget_customer(people[2], &Blank::Null, true);
    bundle.run_until_quiet().await;
    let answer = bundle
        .ask(json!({"action": "export-mappings"}))
        .await
        .unwrap();
    assert_eq!(
        (&answer["lines"], answer.get("next")),
        (&json!(2), None),
        "no tombstone: {answer:#}"
    );
    let lines = exported(&bundle, &answer);
    let from = answer["into"].clone();
    let again = json!({"action": "import-mappings", "from": from});
    let unchanged = bundle.ask(again.clone()).await.unwrap();
    assert_eq!(counts(&unchanged), [0, 2, 0, 0], "{unchanged:#}");

    // A stack that does not know the first one yet: the line is what binds it, and Norce is seen to have the code.
    let anna = customer(people[0]);
    let known = binding(&bundle, anna).await.unwrap();
    bundle.mappings.unbind(anna, &known.erp_id).await.unwrap();
    let bound = bundle.ask(again).await.unwrap();
    assert_eq!(counts(&bound), [1, 1, 0, 0], "{bound:#}");
    let imported = binding(&bundle, anna).await.unwrap();
    assert_eq!(
        (&imported.code, &imported.erp_id),
        (&known.code, &known.erp_id)
    );
    assert!(
        matches!(imported.delivery, CodeDelivery::Confirmed { .. }),
        "{imported:?}"
    );

    // Stored mappings are not overwritten, and each faulty line is reported by its number.
    let (berta, _) = unbound(&bundle, 4, "K4").await;
    let (cora, of_cora) = unbound(&bundle, 5, "K5").await;
    let other = record_in_erp(&bundle, "K9", "Person");
    let is_customer = Resource::Customer;
    let mut seed: Vec<String> = [
        line(cora, "K5", is_customer, of_cora),
        line(customer(people[1]), "K9", is_customer, other),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    seed.extend([
        String::new(),
        "no JSON".to_owned(),
        line(berta, "K5", is_customer, of_cora).to_string(),
        line(berta, lines[0].code.as_str(), is_customer, &lines[0].erp.id).to_string(),
        json!({"kind": "customer", "scope": "app-7", "id": 5, "code": "X", "erp": {"resource": "customer", "id": "x"}}).to_string(),
        json!({"kind": "company", "scope": "client", "id": 5, "code": "X", "erp": {"resource": "contact", "id": "x"}}).to_string(),
        json!({"kind": "customer", "scope": "client", "id": 5, "code": "X", "erp": {"resource": "customer", "id": "x"}, "name": "Anna"}).to_string(),
        json!({"kind": "customer", "scope": "client", "id": "Anna Ek", "code": "X", "erp": {"resource": "customer", "id": "x"}}).to_string(),
    ]);
    bundle
        .reports
        .put("mappings/all.jsonl", "", seed.join("\n").into())
        .await
        .unwrap();
    let before = state(&bundle);
    let request = json!({"action": "import-mappings", "from": "mappings/all", "dryRun": true});
    let planned = bundle.ask(request).await.unwrap();
    assert_eq!(state(&bundle), before, "a dry run writes nothing");
    let stored = binding(&bundle, customer(people[1])).await;
    let request = json!({"action": "import-mappings", "from": "mappings/all"});
    let done = bundle.ask(request).await.unwrap();
    for answer in [&planned, &done] {
        assert_eq!(counts(answer), [1, 0, 3, 5], "{answer:#}");
        let mut places: Vec<u64> = answer["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["line"].as_u64().unwrap())
            .collect();
        places.sort_unstable();
        assert_eq!(places, [2, 4, 5, 6, 7, 8, 9, 10], "{answer:#}");
        assert!(!answer.to_string().contains("Anna"), "P11: {answer:#}");
    }
    assert_eq!(planned["problems"], done["problems"]);
    assert_eq!(binding(&bundle, customer(people[1])).await, stored, "P3");
    assert_eq!(binding(&bundle, berta).await, None);
    let bound = binding(&bundle, cora).await.unwrap();
    assert_eq!(bound.erp_id.id, of_cora.to_string());
    assert_eq!(bound.delivery, CodeDelivery::Pending, "Norce has no code");
    for (from, words) in [
        ("plans/x", "begins with mappings/"),
        ("mappings/none", "nothing under"),
    ] {
        let refused = refusal(&bundle, json!({"action": "import-mappings", "from": from})).await;
        assert!(refused.contains(words), "{refused}");
    }
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

/// Lines of which the last one is wrong.
struct Wrong {
    given: for<'a> fn(&'a Bundle) -> LocalBoxFuture<'a, Vec<Value>>,
    /// What the problem says.
    says: &'static str,
    /// What it says that can be done, and somebody who does it.
    ways: &'static [(&'static str, Correct)],
}

fn entity_of(line: &Value) -> EntityRef {
    let line: MappingLine = serde_json::from_value(line.clone()).unwrap();
    EntityRef {
        kind: line.kind,
        scope: line.scope,
        id: line.id,
    }
}

fn record_of(line: &Value) -> Uuid {
    line["erp"]["id"].as_str().unwrap().parse().unwrap()
}

fn put_code_in_norce(bundle: &Bundle, customer: EntityRef, code: Option<&str>) {
    let code = code.map(str::to_owned);
    bundle
        .norce
        .change_customer(customer.id.get().into(), |record| {
            record.row.customer_code = code
        });
}

/// An entity is looked at as if an event had come.
async fn replay(bundle: &Bundle, entity: EntityRef) {
    let request = json!({"action": "replay", "entity": entity.to_string()});
    bundle.ask(request).await.unwrap();
    bundle.quiet_within(UNTIL_OWED).await;
}

fn put_number_in_norce(bundle: &Bundle, company: EntityRef, number: &str) {
    bundle
        .norce
        .change_company(company.id.get().into(), |record| {
            record.row.organization_no = Some(number.to_owned());
        });
}

fn relate(bundle: &Bundle, customer: EntityRef, company: EntityRef) {
    let [customer, company] = [customer, company].map(|it| it.id.get().into());
    bundle.norce.link(customer, company, true);
}

const NAME_ANOTHER: (&str, Correct) = ("name another record", |bundle, mut lines| {
    Box::pin(async {
        let entity = entity_of(lines.last().unwrap());
        let kind = match entity.kind {
            EntityKind::Customer => "Person",
            EntityKind::Company => "Company",
        };
        let other = record_in_erp(bundle, "K77", kind);
        *lines.last_mut().unwrap() = line(entity, "K77", Resource::Customer, other);
        lines
    })
});

const LEAVE_OUT: (&str, Correct) = ("leave it out", |_, mut lines| {
    Box::pin(async {
        lines.pop();
        lines
    })
});

/// Every way in which a line cannot be right.
const WRONG_LINES: &[Wrong] = &[
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let erp_company = bundle.erp_company();
                bundle.erp.delete_customer(erp_company, record).unwrap();
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP has no customer with id",
        ways: &[("correct the id of the record", NAME_ANOTHER.1)],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, _) = unbound(bundle, 1, "K1").await;
                vec![line(anna, "K1", Resource::Customer, "4711")]
            })
        },
        says: "is no id of Business Central",
        ways: &[("whose ids are GUIDs", NAME_ANOTHER.1)],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                vec![line(anna, "K2", Resource::Customer, record)]
            })
        },
        says: "has code K1, not K2",
        ways: &[
            ("correct the code", |_, mut lines| {
                Box::pin(async {
                    lines[0]["code"] = json!("K1");
                    lines
                })
            }),
            ("or the id of the record", |bundle, mut lines| {
                Box::pin(async {
                    let other = record_in_erp(bundle, "K2", "Person");
                    lines[0]["erp"]["id"] = json!(other);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let anna = customer(bundle.norce.add_customer(person(1)));
                let record = record_in_erp(bundle, "K1", "Company");
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 is a company, and customer/client/",
        ways: &[
            ("correct its type in the ERP", |bundle, lines| {
                Box::pin(async {
                    let (erp_company, record) = (bundle.erp_company(), record_of(&lines[0]));
                    let person = json!({"type": "Person"});
                    let edited = bundle.erp.edit_customer(erp_company, record, &person);
                    edited.unwrap();
                    lines
                })
            }),
            NAME_ANOTHER,
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, _, _) = firm(bundle, "B1");
                let record = record_in_erp(bundle, "K1", "Person");
                vec![line(firm, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 is a customer, and company/client/",
        ways: &[NAME_ANOTHER],
    },
    // She has the code of her company in Norce, as old registers have it.
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, record, _) = firm(bundle, "B1");
                let anna = customer(bundle.norce.add_customer(NewCustomer {
                    code: Some("B1".to_owned()),
                    ..person(1)
                }));
                relate(bundle, anna, firm);
                vec![line(anna, "B1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code B1 is a company, and customer/client/",
        ways: &[],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, record, _) = firm(bundle, "B1");
                let erp_company = bundle.erp_company();
                let numbers = json!({"country": "SE", "registrationNumber": "556036-0793"});
                let edited = bundle.erp.edit_customer(erp_company, record, &numbers);
                edited.unwrap();
                put_number_in_norce(bundle, firm, "556012-5790");
                vec![line(firm, "B1", Resource::Customer, record)]
            })
        },
        says: "has another organisation number than company/client/",
        ways: &[
            NAME_ANOTHER,
            ("correct the number where it is wrong", |bundle, lines| {
                Box::pin(async {
                    put_number_in_norce(bundle, entity_of(&lines[0]), "556036-0793");
                    lines
                })
            }),
            ("correct the number where it is wrong", |bundle, lines| {
                Box::pin(async {
                    let (erp_company, record) = (bundle.erp_company(), record_of(&lines[0]));
                    let number = json!({"registrationNumber": "556012-5790"});
                    let edited = bundle.erp.edit_customer(erp_company, record, &number);
                    edited.unwrap();
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (hers, hers_in_erp, _) = firm(bundle, "B1");
                let (_, _, others) = firm(bundle, "B2");
                let anna = customer(bundle.norce.add_customer(person(1)));
                relate(bundle, anna, hers);
                let contact = contact_in_erp(bundle, "KT1", &others);
                vec![
                    line(hers, "B1", Resource::Customer, hers_in_erp),
                    line(anna, "KT1", Resource::Contact, contact),
                ]
            })
        },
        says: "belongs to another organisation than customer/client/",
        ways: &[
            ("name another record", |bundle, mut lines| {
                Box::pin(async {
                    let contacts = bundle.erp.contacts(bundle.erp_company());
                    let mut contacts = contacts.into_iter();
                    let hers = contacts.find(|it| it.display_name == "Bolaget B1 AB");
                    let contact = contact_in_erp(bundle, "KT2", &hers.unwrap().number);
                    let anna = entity_of(&lines[1]);
                    lines[1] = line(anna, "KT2", Resource::Contact, contact);
                    lines
                })
            }),
            ("to that organisation in Norce", |bundle, mut lines| {
                Box::pin(async {
                    let anna = entity_of(&lines[1]);
                    let [hers, others] = bundle.norce.companies().try_into().unwrap();
                    bundle.norce.unlink(anna.id.get().into(), hers.row.id);
                    relate(bundle, anna, company(others.row.id));
                    let records = bundle.erp.customers(bundle.erp_company());
                    let record = records.iter().find(|it| it.number == "B2").unwrap();
                    // Its line comes after hers.
                    lines.push(line(
                        company(others.row.id),
                        "B2",
                        Resource::Customer,
                        record.id,
                    ));
                    lines
                })
            }),
            ("move the contact in the ERP", |bundle, lines| {
                Box::pin(async {
                    let erp_company = bundle.erp_company();
                    let contacts = bundle.erp.contacts(erp_company);
                    let mut contacts = contacts.into_iter();
                    let hers = contacts.find(|it| it.display_name == "Bolaget B1 AB");
                    let to = json!({"companyNumber": hers.unwrap().number});
                    let moved = bundle
                        .erp
                        .edit_contact(erp_company, record_of(&lines[1]), &to);
                    moved.unwrap();
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (hers, _, contact_of) = firm(bundle, "B1");
                let anna = customer(bundle.norce.add_customer(person(1)));
                relate(bundle, anna, hers);
                let contact = contact_in_erp(bundle, "KT1", &contact_of);
                vec![line(anna, "KT1", Resource::Contact, contact)]
            })
        },
        says: "which is not bound to an ERP record",
        ways: &[(
            "by a line of `import-mappings`, together with",
            |bundle, mut lines| {
                Box::pin(async {
                    let [hers] = bundle.norce.companies().try_into().unwrap();
                    let [record] = bundle
                        .erp
                        .customers(bundle.erp_company())
                        .try_into()
                        .unwrap();
                    let hers = company(hers.row.id);
                    lines.push(line(hers, "B1", Resource::Customer, record.id));
                    lines
                })
            },
        )],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let id = anna.id.get().into();
                bundle.norce.forget_customer(id, &Blank::Null, false);
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "is forgotten in Norce and is never bound again",
        ways: &[LEAVE_OUT],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let record = record_in_erp(bundle, "K1", "Person");
                vec![line(customer(987), "K1", Resource::Customer, record)]
            })
        },
        says: "Norce does not have customer/client/987",
        ways: &[
            LEAVE_OUT,
            ("correct its id", |bundle, mut lines| {
                Box::pin(async {
                    lines[0]["id"] = json!(bundle.norce.add_customer(person(1)));
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let survivor = bundle.norce.add_customer(person(2));
                let id = anna.id.get().into();
                bundle.norce.merge_customer(id, survivor, false);
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "was merged into customer/client/",
        ways: &[("name customer/client/", |bundle, mut lines| {
            Box::pin(async {
                let merged = bundle.norce.customer(lines[0]["id"].as_i64().unwrap());
                lines[0]["id"] = json!(merged.unwrap().row.replacement_customer_id);
                lines
            })
        })],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let berta = customer(bundle.norce.add_customer(person(2)));
                put_code_in_norce(bundle, berta, Some("K1"));
                replay(bundle, berta).await;
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 belongs to customer/client/",
        ways: &[
            NAME_ANOTHER,
            ("rebind customer/client/", |bundle, lines| {
                Box::pin(async {
                    record_in_erp(bundle, "K2", "Person");
                    let rebind = json!({
                        "action": "rebind", "email": "anna.2@example.com", "toCode": "K2",
                        "confirm": true, "reason": "a test",
                    });
                    bundle.ask(rebind).await.unwrap();
                    bundle.run_until_quiet().await;
                    lines
                })
            }),
        ],
    },
    // Nothing binds the other one yet.
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let berta = customer(bundle.norce.add_customer(person(2)));
                put_code_in_norce(bundle, berta, Some("K1"));
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "Norce has code K1 for customer/client/",
        ways: &[
            NAME_ANOTHER,
            ("remove the code from customer/client/", |bundle, lines| {
                Box::pin(async {
                    let mut customers = bundle.norce.customers().into_iter();
                    let has_code = |it: &CustomerRecord| it.row.customer_code.is_some();
                    let berta = customers.find(has_code).unwrap();
                    put_code_in_norce(bundle, customer(berta.row.id), None);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                put_code_in_norce(bundle, anna, Some("K8"));
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "Norce has code K8 for customer/client/",
        ways: &[
            ("name the record with code K8", |bundle, mut lines| {
                Box::pin(async {
                    let other = record_in_erp(bundle, "K8", "Person");
                    lines[0] = line(entity_of(&lines[0]), "K8", Resource::Customer, other);
                    lines
                })
            }),
            ("correct the code in Norce", |bundle, lines| {
                Box::pin(async {
                    put_code_in_norce(bundle, entity_of(&lines[0]), Some("K1"));
                    lines
                })
            }),
            ("or remove it there", |bundle, lines| {
                Box::pin(async {
                    put_code_in_norce(bundle, entity_of(&lines[0]), None);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let forgotten = somebody(bundle, 2).await;
                let of_forgotten = binding(bundle, customer(forgotten)).await.unwrap();
                let forget = json!({"action": "forget", "id": forgotten, "confirm": true});
                bundle.ask(forget).await.unwrap();
                let anna = customer(bundle.norce.add_customer(person(1)));
                let code = of_forgotten.code.as_str();
                vec![line(anna, code, Resource::Customer, of_forgotten.erp_id.id)]
            })
        },
        says: "belonged to a forgotten customer",
        ways: &[NAME_ANOTHER],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let record = record_in_erp(bundle, "K1", "Person");
                let anna = bundle.norce.add_customer(NewCustomer {
                    first_name: None,
                    last_name: None,
                    ..person(1)
                });
                vec![line(customer(anna), "K1", Resource::Customer, record)]
            })
        },
        says: "has no name in Norce",
        ways: &[("fill it in there", |bundle, lines| {
            Box::pin(async {
                let id = lines[0]["id"].as_i64().unwrap();
                bundle.norce.change_customer(id, |record| {
                    record.row.last_name = Some("Ek".to_owned());
                });
                lines
            })
        })],
    },
];

/// A line is a claim: the same rule as everywhere says whether the record can be the entity's (P15), and what a problem says
/// that can be done leads to a bound entity with which nothing is wrong.
#[tokio::test(start_paused = true)]
async fn p15_a_line_that_norce_or_the_erp_contradicts_is_not_bound_and_its_advice_helps() {
    for wrong in WRONG_LINES {
        let none: &[(&str, Correct)] = &[("", LEAVE_OUT.1)];
        let ways = if wrong.ways.is_empty() {
            none
        } else {
            wrong.ways
        };
        for (says, correct) in ways {
            // An ERP that tells organisation numbers apart.
            let bundle = Bundle::new(&Options {
                extended_erp: true,
                ..Options::default()
            });
            // Nothing but the lines binds anybody.
            bundle.norce.unsubscribe(EventType::CustomerChanged);
            bundle.norce.unsubscribe(EventType::CompanyChanged);
            let lines = (wrong.given)(&bundle).await;
            let others = u64::try_from(lines.len() - 1).unwrap();
            let before = state(&bundle);
            let planned = import(&bundle, &lines, true).await;
            assert_eq!(state(&bundle), before, "{}", wrong.says);
            let done = import(&bundle, &lines, false).await;
            for answer in [&planned, &done] {
                assert_eq!(
                    counts(answer),
                    [others, 0, 1, 0],
                    "{}: {answer:#}",
                    wrong.says
                );
                let [problem] = answer["problems"].as_array().unwrap().as_slice() else {
                    panic!("{answer:#}");
                };
                assert_eq!(problem["line"], lines.len(), "{answer:#}");
                let reason = problem["reason"].as_str().unwrap();
                assert!(reason.contains(wrong.says), "{}: {reason}", wrong.says);
                assert!(reason.contains(says), "{says}: {reason}");
                assert!(!reason.contains("Ek") && !reason.contains("example"), "P11");
            }
            let wrong_entity = entity_of(lines.last().unwrap());
            assert_eq!(binding(&bundle, wrong_entity).await, None, "{}", wrong.says);

            let corrected = correct(&bundle, lines).await;
            let way = format!("{} -> {says}", wrong.says);
            let all = u64::try_from(corrected.len()).unwrap();
            let planned = import(&bundle, &corrected, true).await;
            let done = import(&bundle, &corrected, false).await;
            for answer in [&planned, &done] {
                let [bound, unchanged, conflicts, invalid] = counts(answer);
                assert_eq!((conflicts, invalid), (0, 0), "{way}: {answer:#}");
                assert_eq!(bound + unchanged, all, "{way}: {answer:#}");
            }
            bundle.run_until_quiet().await;
            for line in &corrected {
                let entity = entity_of(line);
                replay(&bundle, entity).await;
                let bound = binding(&bundle, entity).await.unwrap();
                assert_eq!(bound.erp_id.id, record_of(line).to_string(), "{way}");
                let id = entity.id.get().into();
                let in_norce = match entity.kind {
                    EntityKind::Customer => bundle.norce.customer(id).unwrap().row.customer_code,
                    EntityKind::Company => bundle.norce.company(id).unwrap().row.company_code,
                };
                assert_eq!(in_norce.as_deref(), Some(bound.code.as_str()), "{way}");
            }
            let owed = bundle.owed.list().await.unwrap();
            assert!(owed.is_empty(), "{way}: {owed:#?}");
        }
    }
}

/// What the README says that a line costs: calls to Norce Query, and to the ERP.
#[tokio::test(start_paused = true)]
async fn a_line_costs_as_many_calls_as_the_readme_says() {
    let bundle = Bundle::new(&Options::default());
    for event in EventType::ALL {
        bundle.norce.unsubscribe(event);
    }
    let (anna, of_anna) = unbound(&bundle, 1, "K1").await;
    put_code_in_norce(&bundle, anna, Some("K1"));
    let (berta, of_berta) = unbound(&bundle, 2, "K2").await;
    let (firm, of_firm, organisation) = firm(&bundle, "B1");
    let (cora, of_cora) = (
        customer(bundle.norce.add_customer(person(3))),
        contact_in_erp(&bundle, "KT3", &organisation),
    );
    relate(&bundle, cora, firm);
    // The first calls fetch what is kept afterwards, tokens for example.
    let _ = bundle
        .ask(json!({"action": "explain", "id": cora.id}))
        .await;
    let asked = |bundle: &Bundle| {
        let of_norce = [
            Endpoint::Customers,
            Endpoint::Companies,
            Endpoint::CustomerCompanies,
        ];
        let of_norce = of_norce.map(|it| bundle.norce.requests_to(it));
        let requests = bundle.erp.requests();
        let of_erp = [
            Entity::Customers,
            Entity::Contacts,
            Entity::ContactsInformation,
        ];
        let of_erp = of_erp.map(|it| requests.count(&Method::GET, it));
        (of_norce.iter().sum::<u64>(), of_erp.iter().sum::<usize>())
    };
    for (line, expected) in [
        (line(anna, "K1", Resource::Customer, of_anna), (1, 1)),
        (line(berta, "K2", Resource::Customer, of_berta), (2, 1)),
        (line(firm, "B1", Resource::Customer, of_firm), (2, 1)),
        (line(cora, "KT3", Resource::Contact, of_cora), (2, 4)),
    ] {
        let before = asked(&bundle);
        let answer = import(&bundle, &[line], false).await;
        assert_eq!(counts(&answer), [1, 0, 0, 0], "{answer:#}");
        let after = asked(&bundle);
        let cost = (after.0 - before.0, after.1 - before.1);
        assert_eq!(cost, expected, "{answer:#}");
    }
}

/// The ERP ignores the case of a code, and what is stored is the code as the ERP has it.
#[tokio::test(start_paused = true)]
async fn a_line_is_bound_whatever_the_case_of_its_code_where_the_erp_ignores_it() {
    let bundle = Bundle::new(&Options::default());
    let (anna, record) = unbound(&bundle, 1, "K1").await;
    let lines = [line(anna, "k1", Resource::Customer, record)];
    assert_eq!(counts(&import(&bundle, &lines, false).await), [1, 0, 0, 0]);
    assert_eq!(binding(&bundle, anna).await.unwrap().code.as_str(), "K1");
    assert_eq!(counts(&import(&bundle, &lines, false).await), [0, 1, 0, 0]);
}

/// A code that is not the ERP's gives way to the record's, as on a first order.
#[tokio::test(start_paused = true)]
async fn a_code_in_norce_that_is_not_the_erps_gives_way_to_that_of_a_line() {
    for erp_codes in [ErpCodes::Known, ErpCodes::Forms(vec!["K*".to_owned()])] {
        let bundle = Bundle::new(&Options {
            matching: MatchingPolicy {
                erp_codes: erp_codes.clone(),
                ..MatchingPolicy::default()
            },
            ..Options::default()
        });
        let (anna, record) = unbound(&bundle, 1, "K1").await;
        put_code_in_norce(&bundle, anna, Some("WEB-1"));
        bundle.run_until_quiet().await;
        let lines = [line(anna, "K1", Resource::Customer, record)];
        let answer = import(&bundle, &lines, false).await;
        assert_eq!(counts(&answer), [1, 0, 0, 0], "{erp_codes:?}: {answer:#}");
        replay(&bundle, anna).await;
        assert_eq!(code_of(&bundle, anna.id.get().into()), "K1");
        assert!(bundle.owed.list().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn p12_an_order_that_waits_for_who_is_forgotten_by_hand_is_let_go() {
    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    bundle.erp.refuse_where(|_| true);
    let customer = bundle.norce.add_customer(person(1));
    let order = bundle.norce.place_order(order_of(customer));
    bundle.quiet_within(UNTIL_OWED).await;
    let order = OrderRef {
        application: ApplicationId::try_from(1).unwrap(),
        client_order_ref: order.client_order_ref,
    };
    assert_eq!(bundle.orders.expires(&order), None, "it waits");
    let asked = bundle
        .ask(json!({"action": "forget", "id": customer}))
        .await;
    let would = asked.unwrap()["would"].to_string();
    assert!(would.contains("look at order/"), "{would}");
    let forget = json!({"action": "forget", "id": customer, "confirm": true});
    bundle.ask(forget).await.unwrap();
    bundle.run_until_quiet().await;
    assert!(bundle.orders.expires(&order).is_some());
    assert!(bundle.outgoing_orders.is_empty());
}

#[tokio::test(start_paused = true)]
async fn p2_a_create_that_is_under_way_is_explained_and_not_bound_over() {
    let bundle = Bundle::new(&Options::default());
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    let now = bundle.clock.now();
    let reservation = Reservation {
        token: Uuid::new_v4(),
        since: now,
        until: now + TimeDelta::minutes(10),
        natural_key: None,
    };
    let reserved = bundle.mappings.reserve(customer(anna), reservation).await;
    reserved.unwrap();
    let explained = bundle.ask(json!({"action": "explain", "id": anna})).await;
    let explained = explained.unwrap();
    assert_eq!(explained["mapping"]["state"], "reserved", "{explained:#}");
    let outcome = explained["now"]["outcome"].as_str().unwrap();
    assert!(outcome.contains("may still be under way"), "{outcome}");

    let line = json!({"kind": "customer", "scope": "client", "id": anna, "code": "A1", "erp": {"resource": "customer", "id": "r"}});
    let body = line.to_string().into();
    bundle.reports.put("mappings/a", "", body).await.unwrap();
    let imported = bundle
        .ask(json!({"action": "import-mappings", "from": "mappings/a"}))
        .await
        .unwrap();
    assert_eq!(imported["conflicts"], 1, "{imported:#}");
    let kept = bundle.mappings.get(customer(anna)).await.unwrap();
    assert!(matches!(kept, Some(Mapping::Reserved(_))), "{kept:?}");
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

#[tokio::test(start_paused = true)]
async fn an_entity_is_unbound_once_it_is_confirmed_with_a_reason() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let code = code_of(&bundle, anna);
    let before = state(&bundle);
    let asked = bundle
        .ask(json!({"action": "unbind", "code": code}))
        .await
        .unwrap();
    assert_eq!(state(&bundle), before);
    assert_eq!(asked["done"], false, "{asked:#}");
    let would = format!("unbind customer/client/{anna} from code {code}");
    assert_eq!(asked["would"][0], would, "{asked:#}");
    // What then happens is what would happen to somebody who was never seen.
    let outcome = asked["now"]["outcome"].as_str().unwrap();
    assert!(
        outcome.starts_with(&format!("bound as {code}")),
        "{outcome}"
    );
    assert!(summary(&asked).contains("\"confirm\":true"), "{asked:#}");

    for reason in [json!(null), json!(""), json!("  ")] {
        let request = json!({"action": "unbind", "id": anna, "confirm": true, "reason": reason});
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains("`reason`"), "{refused}");
    }
    assert_eq!(state(&bundle), before);

    let logged = CapturedText::default();
    let done = {
        let _captured = logged.capture(tracing::Level::INFO);
        let request = json!({
            "action": "unbind", "email": "anna.1@example.com", "confirm": true,
            "reason": "bound to the wrong record, says anna.1@example.com",
        });
        bundle.ask(request).await.unwrap()
    };
    assert_eq!(done["done"], true, "{done:#}");
    assert_eq!(bundle.mappings.get(customer(anna)).await.unwrap(), None);
    let logged = logged.text();
    for words in [
        format!("customer/client/{anna}"),
        code.clone(),
        "bound to the wrong record".to_owned(),
    ] {
        assert!(logged.contains(&words), "{words}: {logged}");
    }
    assert!(!logged.contains("example.com"), "{logged}");

    let again = json!({"action": "unbind", "id": anna, "confirm": true, "reason": "again"});
    let refused = refusal(&bundle, again).await;
    assert!(refused.contains("nothing to unbind"), "{refused}");
    // Nothing but the mapping has changed, and the next event finds the record again.
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-1".to_owned())
    });
    bundle.run_until_quiet().await;
    let mapping = bundle.mappings.get(customer(anna)).await.unwrap();
    assert!(
        matches!(mapping, Some(Mapping::Bound(binding)) if binding.code.as_str() == code),
        "bound again"
    );
    assert_eq!(bundle.erp.customers(bundle.erp_company()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entity_is_bound_to_another_record_and_norce_gets_its_code() {
    let by_code: fn(&str, Uuid) -> Value = |code, _| json!({"toCode": code});
    let by_id: fn(&str, Uuid) -> Value =
        |_, id| json!({"toRecord": {"resource": "customer", "id": id}});
    for name in [by_code, by_id] {
        let bundle = Bundle::new(&Options::default());
        let anna = somebody(&bundle, 1).await;
        let former = code_of(&bundle, anna);
        let other = record_in_erp(&bundle, "K9", "Person");
        let mut request = json!({"action": "rebind", "id": anna, "reason": "a duplicate"});
        let fields = request.as_object_mut().unwrap();
        fields.extend(name("K9", other).as_object().unwrap().clone());

        let before = state(&bundle);
        let asked = bundle.ask(request.clone()).await.unwrap();
        assert_eq!(state(&bundle), before);
        assert_eq!(asked["done"], false, "{asked:#}");
        let would = format!("bind customer/client/{anna} to code K9");
        assert!(asked["would"].to_string().contains(&would), "{asked:#}");
        let then = asked["now"]["would"].to_string();
        assert!(then.contains("hand the code K9 to Norce"), "{asked:#}");

        request["confirm"] = json!(true);
        let done = bundle.ask(request.clone()).await.unwrap();
        assert_eq!(done["done"], true, "{done:#}");
        let mapping = bundle.mappings.get(customer(anna)).await.unwrap();
        let Some(Mapping::Bound(binding)) = mapping else {
            panic!("not bound");
        };
        assert_eq!(binding.former_code.unwrap().as_str(), former);
        // Norce still has the former code, which is no conflict.
        bundle.norce.change_customer(anna, |record| {
            record.row.phone_number = Some("08-1".to_owned())
        });
        bundle.run_until_quiet().await;
        assert_eq!(code_of(&bundle, anna), "K9");
        assert!(bundle.owed.list().await.unwrap().is_empty());
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains("bound to code K9 already"), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn p15_a_record_that_does_not_fit_is_not_bound_by_hand() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let berta = somebody(&bundle, 2).await;
    record_in_erp(&bundle, "B1", "Company");
    let gone = record_in_erp(&bundle, "K8", "Person");
    let company = bundle.erp_company();
    bundle.erp.delete_customer(company, gone).unwrap();
    record_in_erp(&bundle, "K9", "Person");
    let forgotten = somebody(&bundle, 3).await;
    bundle.norce.forget_customer(forgotten, &Blank::Null, true);
    bundle.run_until_quiet().await;
    // An employee of a bound company, and a contact of another one.
    let (hers, hers_in_erp, _) = firm(&bundle, "F1");
    let (_, _, others) = firm(&bundle, "F2");
    let employee = customer(bundle.norce.add_customer(person(4)));
    relate(&bundle, employee, hers);
    bundle.run_until_quiet().await;
    let bound = [line(hers, "F1", Resource::Customer, hers_in_erp)];
    assert_eq!(counts(&import(&bundle, &bound, false).await), [1, 0, 0, 0]);
    let stranger = contact_in_erp(&bundle, "KT1", &others);
    // Somebody whose code is in Norce and nowhere else yet.
    let record_of_dora = record_in_erp(&bundle, "K6", "Person");
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    let dora = customer(bundle.norce.add_customer(person(5)));
    put_code_in_norce(&bundle, dora, Some("K6"));
    let employee = i64::from(employee.id.get());
    let before = state(&bundle);
    let berta_is = format!("belongs to customer/client/{berta}");
    for (who, to, words) in [
        (
            anna,
            json!({"toCode": code_of(&bundle, berta)}),
            berta_is.as_str(),
        ),
        (anna, json!({"toCode": "B1"}), "is a company"),
        (anna, json!({"toCode": "K7"}), "no such record"),
        (
            anna,
            json!({"toRecord": {"resource": "customer", "id": gone}}),
            "no such record",
        ),
        (anna, json!({}), "`toCode`"),
        (
            anna,
            json!({"toCode": "K9", "toRecord": {"resource": "customer", "id": gone}}),
            "`toCode`",
        ),
        (forgotten, json!({"toCode": "K9"}), "is never bound again"),
        (employee, json!({"toCode": "KT1"}), "another organisation"),
        (
            employee,
            json!({"toRecord": {"resource": "contact", "id": stranger}}),
            "another organisation",
        ),
        (
            anna,
            json!({"toRecord": {"resource": "customer", "id": record_of_dora}}),
            "Norce has code K6 for customer/client/",
        ),
        (987, json!({"toCode": "K9"}), "Norce does not have"),
    ] {
        for confirm in [false, true] {
            let mut request =
                json!({"action": "rebind", "id": who, "confirm": confirm, "reason": "a test"});
            let fields = request.as_object_mut().unwrap();
            fields.extend(to.as_object().unwrap().clone());
            let refused = refusal(&bundle, request).await;
            assert!(refused.contains(words), "{to}, {confirm}: {refused}");
        }
    }
    assert_eq!(state(&bundle), before);
}
