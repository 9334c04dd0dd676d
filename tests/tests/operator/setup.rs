//! `doctor`'s list of what is left to set up: each state of each point, and the way from a stack with nothing but its
//! secrets to the end of the list.

use shared::logs::{LogPage, Logs, LogsError};
use shared::passes::Ended;
use tests::bundle::ALARM_TOPIC;

use super::*;

/// The points, in their order.
const POINTS: [&str; 14] = [
    "configuration",
    "secrets",
    "norce",
    "erp-read",
    "events-customers",
    "events-companies",
    "events-orders",
    "alarms",
    "plan",
    "schedules",
    "erp-write",
    "norce-account",
    "events-jobs",
    "first-code",
];
const MINUTE: Duration = Duration::from_secs(60);
/// What an order of somebody new shows.
const SHOWN_BY_AN_ORDER: [&str; 5] = [
    "events-orders",
    "erp-write",
    "norce-account",
    "events-jobs",
    "first-code",
];

async fn report(bundle: &Bundle) -> Value {
    bundle.ask(json!({"action": "doctor"})).await.unwrap()
}

fn points(report: &Value) -> &[Value] {
    report["setup"].as_array().unwrap()
}

/// The point of a report; nothing: it is left out.
fn find<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    points(report).iter().find(|point| point["id"] == id)
}

/// The state of a point, what was seen, and what to do.
async fn point(bundle: &Bundle, id: &str) -> (String, String, String) {
    let report = report(bundle).await;
    let point = find(&report, id).unwrap_or_else(|| panic!("{id}: {report:#}"));
    let text = |member: &str| point[member].as_str().unwrap_or_default().to_owned();
    let (state, fix) = (text("state"), text("fix"));
    assert_eq!(state == "done", fix.is_empty(), "{point:#}");
    (state, text("detail"), fix)
}

async fn expect(bundle: &Bundle, id: &str, state: &str, detail: &str, fix: &str) {
    let found = point(bundle, id).await;
    assert_eq!(found.0, state, "{id}: {found:?}");
    assert!(found.1.contains(detail), "{id}: {found:?}");
    assert!(found.2.contains(fix), "{id}: {found:?}");
}

/// A stack in which everything has happened once.
async fn set_up() -> (Bundle, tracing::subscriber::DefaultGuard) {
    let bundle = Bundle::new(&Options::default());
    let captured = bundle.logs.capture();
    let customer = somebody(&bundle, 1).await;
    let (company, ..) = firm(&bundle, "C00900");
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-765 43 21".to_owned());
    });
    bundle
        .norce
        .change_company(company.id.get().into(), |record| {
            record.row.phone_number = Some("08-765 43 22".to_owned());
        });
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    (bundle, captured)
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_set_up_has_every_point_done_and_says_nothing_of_it() {
    let (bundle, _captured) = set_up().await;
    let report = report(&bundle).await;
    let ids: Vec<&str> = points(&report)
        .iter()
        .map(|point| point["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, POINTS);
    for point in points(&report) {
        assert_eq!(point["state"], "done", "{point:#}");
        assert!(point.get("fix").is_none(), "{point:#}");
    }
    let checks = report["checks"].as_array().unwrap().len();
    assert_eq!(summary(&report), format!("All {checks} checks are well."));
}

/// A fault in a stack that has worked is the matter of its check alone.
#[tokio::test(start_paused = true)]
async fn an_outage_of_a_stack_that_is_set_up_is_no_point_of_its_set_up() {
    let (bundle, _captured) = set_up().await;
    bundle
        .erp
        .inject(Fault::status(http::StatusCode::SERVICE_UNAVAILABLE));
    let report = report(&bundle).await;
    assert!(
        summary(&report).ends_with("Each says what to do."),
        "{report:#}"
    );
    assert_eq!(find(&report, "erp-read").unwrap()["state"], "todo");
}

#[tokio::test(start_paused = true)]
async fn the_summary_counts_what_is_left_and_names_what_can_be_done_first() {
    let mut bundle = Bundle::new(&Options::default());
    let first = report(&bundle).await;
    // Everything that an order shows, the other events, and the plan.
    let begin = format!(
        "All {} checks are well. Points of the set-up that are left: 8; the first is `plan`: no plan shows yet",
        first["checks"].as_array().unwrap().len()
    );
    assert!(summary(&first).starts_with(&begin), "{first:#}");
    // What a person does comes before what has to happen, and in the order of the list.
    bundle.operator.doctor.schedules.sweep = None;
    bundle.operator.doctor.alarm_topic = Some(String::new());
    let second = report(&bundle).await;
    assert!(summary(&second).contains("Each says what to do. Points of the set-up that are left: 10; the first is `alarms`: the alarms notify nobody."), "{second:#}");
    // Beside the text stands the same as data.
    let left = &second["summarySaid"]["then"];
    assert_eq!(left["code"], "setup-left");
    assert_eq!(left["params"]["left"], 10);
    assert_eq!(left["params"]["point"], "alarms");
}

#[tokio::test(start_paused = true)]
async fn only_the_whole_doctor_has_the_list() {
    let bundle = Bundle::new(&Options::default());
    for part in ["norce", "erp", "aws", "events", "schedules"] {
        let request = json!({"action": "doctor", "part": part});
        let report = bundle.ask(request).await.unwrap();
        assert!(report.get("setup").is_none(), "{report:#}");
        assert!(summary(&report).ends_with("are well."), "{report:#}");
    }
    assert!(!points(&report(&bundle).await).is_empty());
}

/// The list asks the ERP nothing, and Norce only whether the account of the imports has ever changed anything.
#[tokio::test(start_paused = true)]
async fn the_list_asks_nothing_that_a_check_has_asked() {
    let bundle = Bundle::new(&Options::default());
    let asked = || {
        let norce: u64 = bundle.norce.requests().values().sum();
        let erp = bundle.erp.requests();
        let of = |entity| erp.count(&Method::GET, entity);
        (of(Entity::Customers) + of(Entity::Contacts), norce)
    };
    report(&bundle).await;
    let begin = asked();
    for part in ["norce", "erp", "aws", "events", "schedules"] {
        let request = json!({"action": "doctor", "part": part});
        bundle.ask(request).await.unwrap();
    }
    let after_parts = asked();
    report(&bundle).await;
    let after_whole = asked();
    assert!(after_parts.0 > begin.0 && after_parts.1 > begin.1);
    assert_eq!(after_whole.0 - after_parts.0, after_parts.0 - begin.0);
    assert_eq!(after_whole.1 - after_parts.1, after_parts.1 - begin.1 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_point_of_the_checks_has_the_fix_of_the_first_fault() {
    type Break = fn(&mut Bundle);
    let cases: [(&str, &str, &str, Break); 8] = [
        (
            "configuration",
            "NORCE_ACCOUNT_ID: is not set",
            "deploy it again",
            |bundle| {
                bundle.operator.doctor.faults = vec!["NORCE_ACCOUNT_ID: is not set".to_owned()];
            },
        ),
        (
            "secrets",
            "secret ERP_SECRET_ARN: it is not there",
            "Create or correct the secret that ERP_SECRET_ARN names",
            |bundle| {
                bundle.operator.doctor.secrets[3].read = Err("it is not there".to_owned());
            },
        ),
        (
            "norce",
            "norce: it could not be checked",
            "Correct the configuration",
            |bundle| {
                bundle.operator.doctor.norce = Err("NORCE_BASE_URL is faulty".to_owned());
            },
        ),
        ("norce", "norce identity: ", "clientSecret", |bundle| {
            let refuse = Effect::status(401);
            bundle
                .norce
                .inject(&[Endpoint::Token], When::Always, refuse);
        }),
        ("norce", "norce job: ", "Connect's jobs", |bundle| {
            let refuse = Effect::status(403);
            bundle
                .norce
                .inject(&[Endpoint::JobGet], When::Always, refuse);
        }),
        (
            "erp-read",
            "erp client: contacts can be read: ",
            "permission sets",
            |bundle| {
                let refuse = Fault::status(http::StatusCode::FORBIDDEN);
                bundle.erp.inject(refuse.on_entity(Entity::Contacts));
            },
        ),
        ("erp-read", "erp: ", "Correct the configuration", |bundle| {
            bundle.operator.doctor.erps = Err("no ERP company for scope client".to_owned());
        }),
        (
            "schedules",
            "schedule sweep: it is switched off",
            "Set SweepSchedule",
            |bundle| bundle.operator.doctor.schedules.sweep = Some("DISABLED".to_owned()),
        ),
    ];
    let well = Bundle::new(&Options::default());
    for (id, detail, fix, broken) in cases {
        assert_eq!(point(&well, id).await.0, "done", "{id}");
        let mut bundle = Bundle::new(&Options::default());
        broken(&mut bundle);
        expect(&bundle, id, "todo", detail, fix).await;
    }
}

/// An Odoo without partners, whose key may write or not.
struct TellingOdoo {
    clock: Arc<dyn Clock>,
    may_write: &'static str,
}

#[async_trait]
impl Transport for TellingOdoo {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let body = match request.uri().path().rsplit('/').next() {
            Some("has_access") => self.may_write,
            Some("search_count") => "0",
            _ => "[]",
        };
        let answer = http::Response::builder().header("date", self.clock.now().to_rfc2822());
        Ok(answer.body(body.into()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_right_to_write_is_what_the_erp_reports_or_else_what_was_written() {
    for (may_write, state, fix) in [
        ("true", "done", ""),
        ("false", "todo", "right to create contacts"),
    ] {
        let mut bundle = Bundle::new(&Options::default());
        let clock = bundle.clock.clone();
        let server = Arc::new(TellingOdoo { clock, may_write });
        let erp: Arc<dyn Erp> = Arc::new(Odoo::new(odoo_settings(), server).unwrap());
        bundle.operator.doctor.erps = Ok([(Scope::Client, erp)].into());
        expect(&bundle, "erp-write", state, "", fix).await;
    }

    let mut bundle = Bundle::new(&Options::default());
    let captured = bundle.logs.capture();
    expect(
        &bundle,
        "erp-write",
        "waiting",
        "no record has been written yet",
        "Place an order",
    )
    .await;
    // A pass that finds a code in Norce binds it, and writes nothing to the ERP.
    record_in_erp(&bundle, "K1", "Person");
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    let known = bundle.norce.add_customer(person(5));
    put_code_in_norce(&bundle, customer(known), Some("K1"));
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_eq!(point(&bundle, "first-code").await.0, "done");
    assert_eq!(point(&bundle, "norce-account").await.0, "waiting");
    assert_eq!(point(&bundle, "erp-write").await.0, "waiting");

    bundle.erp.refuse_where(|_| true);
    somebody(&bundle, 1).await;
    assert_eq!(point(&bundle, "erp-write").await.0, "waiting", "refused");
    bundle.erp.refuse_nothing();
    somebody(&bundle, 2).await;
    expect(&bundle, "erp-write", "done", "a record was written at", "").await;

    bundle.operator.doctor.changes = Some(Err("set LogLevel to INFO".to_owned()));
    assert_eq!(find(&report(&bundle).await, "erp-write"), None);
    drop(captured);

    // So does a record that was there and is changed.
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    record_in_erp(&bundle, "K1", "Person");
    let known = bundle.norce.add_customer(person(5));
    put_code_in_norce(&bundle, customer(known), Some("K1"));
    bundle.pass(PassMode::Full).await;
    bundle.run_until_quiet().await;
    assert_eq!(point(&bundle, "erp-write").await.0, "waiting", "bound");
    bundle.subscribe();
    for phone in ["08-765 43 21", "08-765 43 22"] {
        bundle.norce.change_customer(known, |record| {
            record.row.phone_number = Some(phone.to_owned());
        });
        bundle.run_until_quiet().await;
    }
    assert_eq!(point(&bundle, "erp-write").await.0, "done");
}

#[tokio::test(start_paused = true)]
async fn each_type_of_event_waits_until_one_has_been_taken() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    let waits = async |id: &str, address: &str, occasion: &str| {
        expect(
            &bundle,
            id,
            "waiting",
            "none has been received yet",
            address,
        )
        .await;
        expect(&bundle, id, "waiting", "", occasion).await;
    };
    let customers = ("events-customers", "/customer-changed", "of a customer in");
    let companies = ("events-companies", "/company-changed", "of a company in");
    let orders = ("events-orders", "/order-received", "place an order");
    let jobs = ("events-jobs", "/job-completed", "without a code");
    let all = [customers, companies, orders, jobs];
    for (id, address, occasion) in all {
        waits(id, address, occasion).await;
    }
    // One after the other, as the first event of its type comes: who is made has changed.
    let steps: [(&str, &dyn Fn()); 4] = [
        ("events-customers", &|| {
            bundle.norce.add_customer(person(1));
        }),
        ("events-companies", &|| {
            firm(&bundle, "C00900");
        }),
        ("events-orders", &|| {
            bundle.norce.unsubscribe(EventType::JobCompleted);
            let buyer = bundle.norce.add_customer(person(3));
            bundle.norce.place_order(order_of(buyer));
        }),
        ("events-jobs", &|| {
            bundle.subscribe();
            let other = bundle.norce.add_customer(person(2));
            bundle.norce.place_order(order_of(other));
        }),
    ];
    for (done, (id, step)) in steps.iter().enumerate() {
        step();
        bundle.run_until_quiet().await;
        expect(&bundle, id, "done", "one was received at", "").await;
        for (later, ..) in &all[done + 1..] {
            assert_eq!(point(&bundle, later).await.0, "waiting", "{id}: {later}");
        }
    }
    // It stays done, also when none has come for days.
    tokio::time::sleep(25 * HOUR).await;
    for (id, ..) in all {
        expect(&bundle, id, "done", "one was received at", "").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_confirmed_or_posted_counts_as_the_event_of_an_order() {
    let bundle = Bundle::new(&Options::default());
    let captured = bundle.logs.capture();
    bundle.norce.unsubscribe(EventType::OrderReceived);
    let order = bundle
        .norce
        .place_order(order_of(bundle.norce.add_customer(person(1))));
    bundle.run_until_quiet().await;
    assert_eq!(point(&bundle, "events-orders").await.0, "waiting");
    assert!(bundle.norce.confirm_order(order.id, "SO-1"));
    bundle.run_until_quiet().await;
    assert_eq!(point(&bundle, "events-orders").await.0, "done");
    drop(captured);

    let bundle = Bundle::new(&Options {
        order_receiver: true,
        ..Options::default()
    });
    let _captured = bundle.logs.capture();
    expect(
        &bundle,
        "events-orders",
        "waiting",
        "",
        "Enter the output OrderUrl",
    )
    .await;
    somebody(&bundle, 1).await;
    assert_eq!(point(&bundle, "events-orders").await.0, "done");
}

/// A log that cannot be searched.
struct Silent;

#[async_trait]
impl Logs for Silent {
    async fn find(
        &self,
        _: &str,
        _: chrono::DateTime<chrono::Utc>,
        _: Option<&str>,
    ) -> Result<LogPage, LogsError> {
        Err(LogsError("access is denied".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_are_missed_or_cannot_be_seen_are_not_taken_for_waiting() {
    let ids = ["events-customers", "events-companies", "events-orders"];
    let mut bundle = Bundle::new(&Options::default());
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    let customer = bundle.norce.add_customer(person(1));
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-765 43 21".to_owned());
    });
    tokio::time::sleep(HOUR).await;
    expect(
        &bundle,
        ids[0],
        "todo",
        "Norce has changed customers of the last day, and no event came",
        "{EventUrl}/customer-changed",
    )
    .await;

    bundle.operator.doctor.events = Some(Ok(Arc::new(Silent)));
    for id in ids {
        expect(&bundle, id, "todo", "access is denied", "log group").await;
    }
    // No check looks for this one.
    expect(
        &bundle,
        "events-jobs",
        "waiting",
        "access is denied",
        "again in some minutes",
    )
    .await;

    bundle.operator.doctor.events = Some(Err("set LogLevel to INFO".to_owned()));
    let unseen = report(&bundle).await;
    for id in ids.into_iter().chain(["events-jobs"]) {
        assert_eq!(find(&unseen, id), None, "{id}");
    }
    bundle.operator.doctor.events = None;
    expect(
        &bundle,
        ids[0],
        "waiting",
        "before earlier points are done",
        "points with a fault",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn alarms_that_notify_nobody_are_a_point() {
    let mut bundle = Bundle::new(&Options::default());
    expect(&bundle, "alarms", "done", ALARM_TOPIC, "").await;
    bundle.operator.doctor.alarm_topic = Some(String::new());
    expect(
        &bundle,
        "alarms",
        "todo",
        "notify nobody",
        "set AlarmTopicArn",
    )
    .await;
    // A template of an earlier version does not say.
    bundle.operator.doctor.alarm_topic = None;
    assert_eq!(find(&report(&bundle).await, "alarms"), None);
}

#[tokio::test(start_paused = true)]
async fn the_first_pass_is_planned_or_has_walked_already() {
    let bundle = Bundle::new(&Options::default());
    let (id, fix) = ("plan", r#"{"action":"plan","mode":"full"}"#);
    expect(&bundle, id, "todo", "no plan shows yet", fix).await;
    // A sweep walks over Norce, and its report is no plan.
    bundle.pass(PassMode::Sweep).await;
    assert_eq!(point(&bundle, id).await.0, "todo");
    let planned = json!({"action": "plan", "mode": "full"});
    let planned = bundle.ask(planned).await.unwrap();
    assert_eq!(point(&bundle, id).await.0, "todo", "it is still being made");
    bundle.run_until_quiet().await;
    let plan = planned["runs"][0]["run"].as_str().unwrap();
    expect(&bundle, id, "done", plan, "").await;

    // After a pass it is too late for a plan; one that failed before it did anything can be planned still.
    for (mode, codes, failed, state) in [
        (PassMode::Delta, 0, None, "done"),
        (PassMode::Full, 0, Some("the ERP refuses"), "todo"),
        (PassMode::Full, 1, Some("the ERP refuses"), "done"),
        (PassMode::Sweep, 0, None, "todo"),
    ] {
        let bundle = Bundle::new(&Options::default());
        let mut run = bundle.pass(PassMode::Sweep).await;
        run.id = Uuid::new_v4();
        run.version = 1;
        run.mode = mode;
        run.counts.codes = codes;
        run.ended = Some(Ended {
            at: run.started,
            failed: failed.map(str::to_owned),
        });
        assert!(bundle.passes.save(&run).await.unwrap());
        let found = point(&bundle, id).await;
        assert_eq!(found.0, state, "{mode} {codes} {failed:?}: {found:?}");
    }

    let dead = dead_aws().await;
    let mut bundle = Bundle::new(&Options::default());
    bundle.operator.doctor.stores.reports = Some(Arc::new(S3Reports::new(&dead, "none")));
    expect(&bundle, id, "todo", "bucket reports: ", "REPORTS_BUCKET").await;
    bundle.operator.doctor.stores.passes = None;
    assert_eq!(point(&bundle, id).await.0, "waiting");
}

#[tokio::test(start_paused = true)]
async fn the_account_and_the_first_code_wait_for_an_import() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    expect(
        &bundle,
        "norce-account",
        "waiting",
        "account 17 has imported nothing yet",
        "NorceAccountId",
    )
    .await;
    expect(
        &bundle,
        "first-code",
        "waiting",
        "no code",
        "Place an order",
    )
    .await;
    // What somebody else changes shows nothing, nor does a code on its way.
    let customer = bundle.norce.add_customer(person(1));
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-765 43 21".to_owned());
    });
    bundle.norce.place_order(order_of(customer));
    while bundle.changes_step().await || bundle.imports.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(point(&bundle, "first-code").await.0, "waiting");
    assert_eq!(point(&bundle, "norce-account").await.0, "waiting");
    bundle.run_until_quiet().await;
    expect(&bundle, "norce-account", "done", "account 17", "").await;
    let subject = format!("customer/client/{customer}");
    expect(&bundle, "first-code", "done", &subject, "").await;
    // Norce names the last one who changed the customer: the code that was imported shows the account still.
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-765 43 22".to_owned());
    });
    bundle.run_until_quiet().await;
    expect(&bundle, "norce-account", "done", "account 17", "").await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_at_yet_waits_for_earlier_points() {
    let mut bundle = Bundle::new(&Options::default());
    bundle
        .norce
        .inject(&[Endpoint::Token], When::Always, Effect::status(401));
    bundle.operator.doctor.stores.mappings = None;
    for id in ["norce-account", "first-code"] {
        expect(
            &bundle,
            id,
            "waiting",
            "before earlier points are done",
            "points with a fault",
        )
        .await;
    }
    let dead = dead_aws().await;
    let mappings = DynamoDbMappings::new(&dead, "none", FingerprintKey::new(b"k"));
    bundle.operator.doctor.stores.mappings = Some(Arc::new(mappings));
    expect(
        &bundle,
        "first-code",
        "todo",
        "table code mappings: ",
        "CODE_MAPPINGS_TABLE",
    )
    .await;
}

/// A newcomer deploys the template with secrets that can be read and little else, and does what the first open point says, until
/// none is left.
#[tokio::test(start_paused = true)]
async fn the_list_leads_from_a_stack_with_nothing_but_its_secrets_to_its_end() {
    let mut bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    bundle.unsubscribe();
    let shopper = bundle.norce.add_customer(person(1));
    let (company, ..) = firm(&bundle, "C00900");

    let doctor = &mut bundle.operator.doctor;
    let whole = (doctor.norce.clone(), doctor.schedules.clone());
    doctor.faults = vec!["NORCE_APPLICATIONS: is not JSON".to_owned()];
    doctor.norce = Err("its part of the configuration is faulty".to_owned());
    doctor.alarm_topic = Some(String::new());
    doctor.schedules.delta = Some("DISABLED".to_owned());
    let refuse = Effect::status(401);
    bundle
        .norce
        .inject(&[Endpoint::Token], When::Always, refuse);
    bundle
        .erp
        .configure(|settings| settings.access = ApplicationAccess::RefusedAsUnknown);

    let mut followed = Vec::new();
    loop {
        let before = report(&bundle).await;
        let said = &before["summarySaid"]["then"];
        if said.is_null() {
            assert!(summary(&before).ends_with("checks are well."), "{before:#}");
            break;
        }
        let id = said["params"]["point"].as_str().unwrap().to_owned();
        let open = find(&before, &id).unwrap();
        let fix = open["fix"].as_str().unwrap();
        let says = |words: &str| assert!(fix.contains(words), "{id}, {words}: {fix}");
        match id.as_str() {
            "configuration" => {
                says("Correct these parameters of the stack");
                says("deploy it again");
                bundle.operator.doctor.faults.clear();
                bundle.operator.doctor.norce = whole.0.clone();
            }
            "norce" => {
                says("Compare clientId and clientSecret in the secret of NorceSecretArn");
                bundle.norce.clear_faults();
            }
            "erp-read" => {
                says("\"Microsoft Entra applications\" is enabled");
                bundle
                    .erp
                    .configure(|settings| settings.access = ApplicationAccess::Granted);
            }
            "alarms" => {
                says("set AlarmTopicArn to its ARN");
                bundle.operator.doctor.alarm_topic = Some(ALARM_TOPIC.to_owned());
            }
            "plan" => {
                says(r#"Run {"action":"plan","mode":"full"}"#);
                let plan = json!({"action": "plan", "mode": "full"});
                let plan = bundle.ask(plan).await.unwrap();
                bundle.run_until_quiet().await;
                says(r#"read it with {"action":"plan","show":"<run>"}"#);
                let show = json!({"action": "plan", "show": plan["runs"][0]["run"]});
                bundle.ask(show).await.unwrap();
            }
            "schedules" => {
                says("Set DeltaSchedule");
                bundle.operator.doctor.schedules = whole.1.clone();
            }
            "events-customers" => {
                says("Subscribe to CustomerChangedNotification in Norce Admin");
                bundle.subscribe();
                says("change the telephone number of a customer in Norce Admin");
                bundle.norce.change_customer(shopper, |record| {
                    record.row.phone_number = Some("08-765 43 21".to_owned());
                });
            }
            "events-companies" => {
                says("change the telephone number of a company in Norce Admin");
                let company = company.id.get().into();
                bundle.norce.change_company(company, |record| {
                    record.row.phone_number = Some("08-765 43 22".to_owned());
                });
            }
            "events-orders" => {
                says("place an order in the shop");
                bundle.norce.place_order(order_of(shopper));
            }
            other => panic!("{other} is not done by what was done before it: {before:#}"),
        }
        bundle.run_until_quiet().await;
        // A client that was refused a token does not ask for the next one at once.
        tokio::time::sleep(5 * MINUTE).await;
        let after = point(&bundle, &id).await;
        assert_eq!(after.0, "done", "{id}: {after:?}");
        followed.push(id);
        assert!(followed.len() <= POINTS.len(), "{followed:?}");
    }
    // What a person does comes first; the order shows the rest.
    let expected = [
        "configuration",
        "norce",
        "erp-read",
        "alarms",
        "plan",
        "schedules",
        "events-customers",
        "events-companies",
        "events-orders",
    ];
    assert_eq!(followed, expected);
    for id in SHOWN_BY_AN_ORDER {
        assert_eq!(point(&bundle, id).await.0, "done", "{id}");
    }
}
