//! What a person asks `operator`, over the whole bundle in one process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::{
    Builder as HttpClientBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use chrono::TimeDelta;
use operator::{Configuration, Schedules, doctor};
use serde_json::{Value, json};
use shared::{
    domain::{ChangeMessage, Clock, FingerprintKey, PassMode},
    import_jobs::DynamoDbImportJobs,
    mappings::DynamoDbMappings,
    owed::{DynamoDbOwed, OwedRecords},
    passes::{DynamoDbPasses, Passes, Run},
    queues::{Inbox, SqsDeadLetters, SqsQueue},
    reports::S3Reports,
    runtime::configuration::Environment,
};
use tests::{
    bundle::{Bundle, Options},
    business_central_simulator::{self, ApplicationAccess, Entity, Fault},
    norce_simulator::{Effect, Endpoint, NewCustomer, NewOrder, When},
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

fn summary(answer: &Value) -> &str {
    answer["summary"].as_str().unwrap()
}

async fn refusal(bundle: &Bundle, request: Value) -> String {
    bundle.ask(request).await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_understood_is_told_what_is() {
    let bundle = Bundle::new(&Options::default());
    for (request, words) in [
        (json!({"action": "stauts"}), "`status`"),
        (json!({"action": "owed", "reson": "conflict"}), "`reason`"),
        (json!({"action": "owed", "reason": "?"}), "`conflict`"),
        (json!({}), "action"),
        (json!("status"), "{\"action\":\"status\"}"),
    ] {
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains(words), "{refused}");
    }
    // P11: what was in the wrong place may be personal.
    let refused = refusal(
        &bundle,
        json!({"action": "owed", "limit": "anna.1@example.com"}),
    )
    .await;
    assert!(!refused.contains("anna"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn status_counts_what_waits_and_what_is_owed() {
    let bundle = Bundle::new(&Options::default());
    let quiet = bundle.ask(json!({"action": "status"})).await.unwrap();
    assert_eq!(
        summary(&quiet),
        "0 messages wait, 0 are dead letters, 0 records are owed, 0 import jobs are under way; no pass has run yet."
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
    (text("check"), text("detail"), text("cure"))
}

type Break = Box<dyn Fn(&mut Bundle, &SdkConfig)>;

#[tokio::test(start_paused = true)]
async fn doctor_names_the_fault_and_the_cure_of_each_check_broken_in_turn() {
    let well = Bundle::new(&Options::default());
    let report = well.ask(json!({"action": "doctor"})).await.unwrap();
    assert!(summary(&report).starts_with("All 2"), "{report:#}");

    let dead = dead_aws().await;
    let broken = |check: &'static str, detail: &'static str, cure: &'static str, how: Break| {
        (check, detail, cure, how)
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
            "erp client: owned fields",
            "flags",
            "ErpExtraFields",
            Box::new(|bundle, _| {
                bundle.operator.doctor.erp_owns = "code,flags".parse().unwrap();
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
    for (check, detail, cure, how) in cases {
        let mut bundle = Bundle::new(&Options::default());
        how(&mut bundle, &dead);
        let found = only_fault(&bundle, check).await;
        assert_eq!(found.0, check);
        assert!(found.1.contains(detail), "{check}: {}", found.1);
        assert!(found.2.contains(cure), "{check}: {}", found.2);
        assert!(!format!("{found:?}").contains("-secret"), "{found:?}");
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
                text(check, "cure"),
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn doctor_names_the_cause_first_where_one_fault_has_several_effects() {
    let cases: [(&str, usize, &str, Break); 7] = [
        (
            "norce identity",
            3,
            "clientSecret",
            Box::new(|bundle, _| {
                bundle
                    .norce
                    .inject(&[Endpoint::Token], When::Always, Effect::status(401));
            }),
        ),
        (
            "erp client: reachable",
            3,
            "ErpBaseUrl",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
            }),
        ),
        (
            "erp client: reachable",
            3,
            "Microsoft Entra applications",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .configure(|settings| settings.access = ApplicationAccess::RefusedAsUnknown);
            }),
        ),
        (
            "erp client: reachable",
            3,
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
                bundle.operator.ports = Err("NORCE_BASE_URL is not set".to_owned());
            }),
        ),
    ];
    let dead = dead_aws().await;
    for (cause, count, cure, how) in cases {
        let mut bundle = Bundle::new(&Options::default());
        how(&mut bundle, &dead);
        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        let faults = faults(&report);
        assert_eq!(
            (faults[0].0.as_str(), faults.len()),
            (cause, count),
            "{faults:#?}"
        );
        assert!(faults[0].2.contains(cure), "{cause}, {cure}: {faults:#?}");
        if bundle.operator.ports.is_err() {
            let refused = refusal(&bundle, json!({"action": "status"})).await;
            assert!(refused.contains("doctor"), "{refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn doctor_sees_dead_letters_and_passes_that_failed_or_are_stuck() {
    let bundle = Bundle::new(&Options::default());
    bundle.imports.dead_letter("{}", None, "no").await.unwrap();
    let (check, _, cure) = only_fault(&bundle, "dead letters").await;
    assert_eq!(check, "queue imports: no dead letters");
    assert!(
        cure.contains(r#"{"action":"dead-letters","queue":"imports""#),
        "{cure}"
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
    let (check, detail, cure) = only_fault(&bundle, "a pass that failed").await;
    assert_eq!(check, "schedule delta pass");
    assert!(detail.contains("refuses the credentials"), "{detail}");
    assert!(
        cure.contains(r#"{"action":"pass","mode":"delta"}"#),
        "{cure}"
    );

    let stuck = Run {
        id: Uuid::new_v4(),
        started: failed.started + TimeDelta::minutes(1),
        ended: None,
        ..failed
    };
    assert!(bundle.passes.save(&stuck).await.unwrap());
    tokio::time::sleep(Duration::from_secs(25 * 3_600)).await;
    let (_, detail, cure) = only_fault(&bundle, "a pass that is stuck").await;
    assert!(detail.contains("has run since"), "{detail}");
    assert!(cure.contains("log of erp-full-pass"), "{cure}");
}
