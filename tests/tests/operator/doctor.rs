//! `doctor`: each fault with its fix.

use super::*;

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

type Break = Box<dyn Fn(&mut Bundle, &SdkConfig)>;

/// A check, what breaks it, and what the doctor says then.
struct BrokenCheck {
    check: &'static str,
    /// Part of the text about the fault.
    detail: &'static str,
    /// Part of the text about what to do.
    fix: &'static str,
    how: Break,
}

fn broken(check: &'static str, detail: &'static str, fix: &'static str, how: Break) -> BrokenCheck {
    BrokenCheck {
        check,
        detail,
        fix,
        how,
    }
}

fn change_stores(change: fn(&mut Stores, &SdkConfig)) -> Break {
    Box::new(move |bundle, aws| change(&mut bundle.operator.doctor.stores, aws))
}

fn change_schedules(change: fn(&mut Schedules)) -> Break {
    Box::new(move |bundle, _| change(&mut bundle.operator.doctor.schedules))
}

fn norce_answers(endpoints: &'static [Endpoint], status: u16) -> Break {
    Box::new(move |bundle, _| {
        let effect = Effect::status(status);
        bundle.norce.inject(endpoints, When::Always, effect);
    })
}

fn erp_answers(fault: fn() -> Fault) -> Break {
    Box::new(move |bundle, _| bundle.erp.inject(fault()))
}

fn broken_configuration() -> Vec<BrokenCheck> {
    vec![
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
    ]
}

fn broken_norce() -> Vec<BrokenCheck> {
    vec![
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
            norce_answers(&[Endpoint::JobPing], 403),
        ),
        broken(
            "norce query",
            "403",
            "resources of Query's",
            norce_answers(&[Endpoint::Applications], 403),
        ),
        broken(
            "norce query",
            "503",
            "Norce is up",
            norce_answers(&[Endpoint::Applications], 503),
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
            norce_answers(&[Endpoint::JobGet], 403),
        ),
        broken(
            "norce registers",
            "(customer) that belong to no application",
            "CustomersByApplication=with-shared",
            Box::new(|bundle, _| {
                bundle.norce.add_customer(person(7));
                let shops = bundle.operator.doctor.shops.as_mut().unwrap();
                shops.registers = Registers::Applications;
            }),
        ),
    ]
}

fn broken_erp() -> Vec<BrokenCheck> {
    vec![
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
            erp_answers(|| Fault::status(http::StatusCode::FORBIDDEN).on_entity(Entity::Contacts)),
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
            "erp client: countries",
            "HomeCountry is NO, and the company of Business Central is in SE",
            "Set HomeCountry to SE and deploy",
            Box::new(|bundle, _| {
                let elsewhere = Bundle::new(&Options {
                    home_country: "NO",
                    ..Options::default()
                });
                bundle.operator.doctor.erps = elsewhere.operator.doctor.erps;
            }),
        ),
        broken(
            "erp client: fixed values",
            "rule 1 of ErpFixedValues sets `paymentTerms` to `60D`",
            "ErpFixedValues and deploy",
            Box::new(|bundle, _| {
                let fixed = Bundle::new(&Options {
                    fixed_values: r#"[{"set":{"paymentTerms":"60D"}}]"#,
                    ..Options::default()
                });
                bundle.operator.doctor.erps = fixed.operator.doctor.erps;
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
    ]
}

fn broken_queues_and_stores() -> Vec<BrokenCheck> {
    vec![
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
            change_stores(|stores, aws| {
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
            change_stores(|stores, aws| {
                stores.owed = Some(Arc::new(DynamoDbOwed::new(aws, "none")));
            }),
        ),
        broken(
            "table import jobs",
            "cannot be reached",
            "IMPORT_JOBS_TABLE",
            change_stores(|stores, aws| {
                stores.import_jobs = Some(Arc::new(DynamoDbImportJobs::new(aws, "none")));
            }),
        ),
        broken(
            "table breakers",
            "cannot be reached",
            "BREAKERS_TABLE",
            change_stores(|stores, aws| {
                stores.breakers = Some(Arc::new(DynamoDbBreakers::new(aws, "none")));
            }),
        ),
        broken(
            "table activity",
            "cannot be reached",
            "ACTIVITY_TABLE",
            change_stores(|stores, aws| {
                stores.activity = Some(Arc::new(DynamoDbActivity::new(aws, "none")));
            }),
        ),
        broken(
            "bucket reports",
            "cannot be reached",
            "REPORTS_BUCKET",
            change_stores(|stores, aws| {
                stores.reports = Some(Arc::new(S3Reports::new(aws, "none")));
            }),
        ),
    ]
}

fn switched_off_schedules() -> Vec<BrokenCheck> {
    vec![
        broken(
            "schedule delta pass",
            "switched off",
            "DeltaSchedule",
            change_schedules(|schedules| {
                schedules.delta = Some("DISABLED".to_owned());
            }),
        ),
        broken(
            "schedule sweep",
            "switched off",
            "SweepSchedule",
            change_schedules(|schedules| schedules.sweep = None),
        ),
        broken(
            "schedule owed records",
            "switched off",
            "OwedSchedule",
            change_schedules(|schedules| schedules.owed = None),
        ),
    ]
}

/// Breaks each secret, queue and dead-letter queue, and returns the checks that failed.
async fn checks_of_each_secret_and_queue(dead: &SdkConfig) -> BTreeSet<String> {
    let url = "http://127.0.0.1:1/000000000000/queue";
    let mut seen_broken = BTreeSet::new();
    for index in 0..4 {
        let mut bundle = Bundle::new(&Options::default());
        bundle.operator.doctor.secrets[index].read = Err("it cannot be read".to_owned());
        let (check, _, fix) = only_fault(&bundle, "a secret").await;
        assert!(fix.contains(check.trim_start_matches("secret ")), "{fix}");
        seen_broken.insert(check);
        let mut bundle = Bundle::new(&Options::default());
        let queue = &mut bundle.operator.doctor.queues[index];
        queue.depth = Arc::new(SqsQueue::<ChangeMessage>::new(dead, url));
        seen_broken.insert(only_fault(&bundle, "a queue").await.0);
        let mut bundle = Bundle::new(&Options::default());
        let queue = &mut bundle.operator.doctor.queues[index];
        queue.dead_letters = Arc::new(SqsDeadLetters::new(dead, url, url));
        seen_broken.insert(only_fault(&bundle, "a dead-letter queue").await.0);
    }
    seen_broken
}

#[tokio::test(start_paused = true)]
async fn doctor_names_the_fault_and_the_fix_of_each_check_broken_in_turn() {
    let well = Bundle::new(&Options::default());
    let report = well.ask(json!({"action": "doctor"})).await.unwrap();
    assert!(summary(&report).starts_with("All 42"), "{report:#}");

    let dead = dead_aws().await;
    let cases = [
        broken_configuration(),
        broken_norce(),
        broken_erp(),
        broken_queues_and_stores(),
        switched_off_schedules(),
    ];
    let mut seen_broken = checks_of_each_secret_and_queue(&dead).await;
    for case in cases.into_iter().flatten() {
        let check = case.check;
        let mut bundle = Bundle::new(&Options::default());
        (case.how)(&mut bundle, &dead);
        let (name, detail, fix) = only_fault(&bundle, check).await;
        assert_eq!(name, check);
        assert!(detail.contains(case.detail), "{check}: {detail}");
        assert!(fix.contains(case.fix), "{check}: {fix}");
        for text in [&name, &detail, &fix] {
            assert!(!text.contains("-secret"), "{text}");
        }
        seen_broken.insert(name);
    }
    let names = report["checks"].as_array().unwrap().iter();
    let never_broken: Vec<&str> = names
        .map(|check| check["check"].as_str().unwrap())
        .filter(|check| !seen_broken.contains(*check))
        .collect();
    // The next test breaks these: what breaks them breaks others too.
    assert_eq!(never_broken, SEVERAL_EFFECTS);
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
            5,
            "ErpBaseUrl",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
            }),
        ),
        (
            "erp client: reachable",
            5,
            "Microsoft Entra applications",
            Box::new(|bundle, _| {
                bundle
                    .erp
                    .configure(|settings| settings.access = ApplicationAccess::RefusedAsUnknown);
            }),
        ),
        (
            "erp client: reachable",
            5,
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

#[tokio::test(start_paused = true)]
async fn doctor_names_the_events_that_do_not_arrive_although_norce_has_a_reason_to_post_them() {
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
            .contains("had none to send")
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
    assert!(report.to_string().contains("not checked: set LogLevel"));
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
