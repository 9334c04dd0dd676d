//! Every function at every log level, with events that succeed and events that fail.

use std::{fmt, sync::LazyLock};

use serde_json::{Value, json};
use shared::metrics::Metric;
use tests::{
    business_central_simulator::ApplicationAccess,
    console::Request,
    lambda::{
        binaries::FUNCTIONS,
        environment,
        fake_aws::{self, FakeAws, messages_to},
        logging::{self, Level},
        payloads::{event_post, sqs_bodies},
        runtime_api::{FunctionProcess, Output, Written},
    },
};
use uuid::Uuid;

use crate::stage::{CONSOLE_KEY, EVENT_SECRET, NORCE_SECRET, Stage, binary, change, change_event};

/// Personal data and secrets that the functions see, and texts that somebody puts where they do not belong.
pub(crate) const CANARIES: [&str; 11] = [
    "canary",
    "Kanarine",
    "Fogelström",
    "Vogelgatan",
    "Burstaden",
    "08-765 43 21",
    EVENT_SECRET,
    NORCE_SECRET,
    "business-central-secret",
    "Bearer ",
    "clientSecret\":\"",
];

/// What happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// An event as it comes most often: a post, a message, the count of what is owed, a question.
    Event,
    /// A delta pass: the step that its queue starts.
    Pass,
    /// A body of another shape, a queue that refuses, an unknown request.
    Fails,
    /// The function is invoked by hand with another payload.
    Malformed,
    /// The secrets are not what they must be.
    WrongSecret,
    /// A post has a wrong secret.
    Unauthorised,
    /// The ERP refuses the credentials, and the message is deferred.
    RefusedByErp,
    /// A message that breaks the function.
    PanicsOnEvent,
    /// An environment that breaks the process.
    PanicsAtStart,
    /// A variable is missing.
    Misconfigured,
    /// An event where the log format is text.
    Text,
}

impl Scenario {
    /// How severe the line is that has to be in the log.
    pub(crate) fn severity(self) -> Option<Level> {
        match self {
            Self::Event | Self::Pass | Self::Text => None,
            Self::Unauthorised | Self::RefusedByErp => Some(Level::Warn),
            Self::Fails
            | Self::Malformed
            | Self::WrongSecret
            | Self::PanicsOnEvent
            | Self::PanicsAtStart
            | Self::Misconfigured => Some(Level::Error),
        }
    }

    pub(crate) fn panics(self) -> bool {
        matches!(self, Self::PanicsOnEvent | Self::PanicsAtStart)
    }
}

/// The metrics that have to come of what happens.
pub(crate) const METRICS: &[(&str, Scenario, &[Metric])] = &[
    ("receive-events", Scenario::Event, &[Metric::Posts]),
    ("receive-events", Scenario::Unauthorised, &[Metric::Posts]),
    ("receive-events", Scenario::Fails, &[Metric::Posts]),
    ("change-events", Scenario::Event, &[Metric::Changes]),
    (
        "change-events",
        Scenario::RefusedByErp,
        &[Metric::Changes, Metric::WaitingSeconds],
    ),
    (
        "poll-jobs",
        Scenario::Event,
        &[Metric::ImportLines, Metric::OrderToCodeSeconds],
    ),
    (
        "erp-full-pass",
        Scenario::Event,
        &[
            Metric::OwedRecords,
            Metric::OldestOwedSeconds,
            Metric::OpenBreakers,
            Metric::BreakerOpenSeconds,
        ],
    ),
    ("console", Scenario::Unauthorised, &[Metric::SignIns]),
    (
        "erp-full-pass",
        Scenario::Pass,
        &[
            Metric::PassesStarted,
            Metric::PassesEnded,
            Metric::PassSeconds,
            Metric::PassRecordsSeen,
            Metric::PassRecordsChanged,
        ],
    ),
];

/// What a process did.
pub(crate) struct Run {
    pub(crate) function: &'static str,
    pub(crate) scenario: Scenario,
    /// The parameter `LogLevel`.
    pub(crate) log_level: Level,
    /// What the template makes of it for Lambda.
    pub(crate) application_log_level: Level,
    pub(crate) request_ids: Vec<Uuid>,
    pub(crate) answers: Vec<Result<Value, Value>>,
    /// What came to AWS meanwhile.
    pub(crate) requests: Vec<fake_aws::Request>,
    written: Written,
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            scenario,
            log_level,
            ..
        } = self;
        write!(formatter, "{function}, {scenario:?}, {log_level}")
    }
}

impl Run {
    /// Everything that was written, on either stream: Lambda puts both into the log.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let Written {
            standard_output,
            standard_error,
            ..
        } = &self.written;
        let lines = standard_output.iter().chain(standard_error);
        // The format is another one.
        lines
            .filter(|_| self.scenario != Scenario::Text)
            .map(String::as_str)
    }

    /// The same without the lines of metrics.
    pub(crate) fn log_lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.written.standard_output.iter();
        let lines = lines.chain(&self.written.standard_error);
        let lines = lines.map(String::as_str);
        lines.filter(|line| !logging::is_metrics(line))
    }
}

/// What the template makes of the parameter `LogLevel` for Lambda's own filter, which is the same for every function.
pub(crate) fn template_log_level(log_level: Level) -> Level {
    const TEMPLATE: &str = include_str!("../../../template.yaml");
    let settings: Vec<&str> = TEMPLATE
        .lines()
        .filter_map(|line| line.split_once("ApplicationLogLevel:"))
        .map(|(_, setting)| setting.trim().trim_end_matches('}').trim())
        .collect();
    assert_eq!(settings.len(), FUNCTIONS.len(), "one for each function");
    let all = |expected: &str| settings.iter().all(|setting| *setting == expected);
    if all("!If [LogsDebug, DEBUG, INFO]") {
        let condition = "LogsDebug: !Equals [!Ref LogLevel, DEBUG]";
        assert!(TEMPLATE.contains(condition), "no {condition}");
        if log_level == Level::Debug {
            Level::Debug
        } else {
            Level::Info
        }
    } else if all("!Ref LogLevel") {
        log_level
    } else {
        panic!("what ApplicationLogLevel is, is not known: {settings:?}")
    }
}

/// Everything that was run, once for all tests.
pub(crate) fn runs() -> &'static [Run] {
    static RUNS: LazyLock<Vec<Run>> = LazyLock::new(|| {
        // Built before the runtime starts: the build blocks.
        let _ = binary(FUNCTIONS[0]);
        // A test may be inside a runtime of its own.
        let work = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut runs = Vec::new();
                for level in Level::CHOICES {
                    runs.extend(AtLevel(level).play().await);
                }
                runs
            })
        });
        work.join().unwrap()
    });
    &RUNS
}

/// The id of the customer in the run with text lines.
pub(crate) const TEXT_CUSTOMER: i64 = 4711;

fn customer_changed(id: i64, secret: &str) -> Vec<u8> {
    let body = json!({ "ClientId": 1006, "CustomerId": id, "EntityChanged": "tClientCustomer" });
    event_post("/events/customer-changed", secret, &body.to_string())
}

fn message(body: impl Into<String>) -> Vec<u8> {
    sqs_bodies(&[(body.into(), None)])
}

fn messages(bodies: Vec<String>) -> Vec<u8> {
    assert!(!bodies.is_empty(), "nothing was sent");
    let bodies: Vec<(String, Option<String>)> =
        bodies.into_iter().map(|body| (body, None)).collect();
    sqs_bodies(&bodies)
}

fn request(request: &Value) -> Vec<u8> {
    request.to_string().into_bytes()
}

/// A request of the console's page, of a person who has signed in.
fn of_page(action: &str) -> Vec<u8> {
    let session = console::Session {
        subject: "canary-subject".to_owned(),
        name: "Kanarine Fogelström".to_owned(),
        role: console::Role::View,
        expires: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    };
    let key = console::seal::SealKey::new(CONSOLE_KEY.to_owned().into());
    let cookie = session.cookie(&key).unwrap();
    let page = Request::of_page(action, &json!({})).cookie(cookie.split(';').next().unwrap());
    request(&json!(page.event()))
}

/// All that is run at a level.
struct AtLevel(Level);

impl AtLevel {
    async fn play(self) -> Vec<Run> {
        let stage = Stage::new().await;
        let mut runs = Vec::new();
        let id = stage.add_customer();

        // The normal flow: each function gets what the one before has sent.
        let mut event = async |function, event| {
            let run = self
                .run(&stage, function, Scenario::Event, vec![event])
                .await;
            let requests = run.requests.clone();
            assert!(run.answers[0].is_ok(), "{run}: {:?}", run.answers);
            runs.push(run);
            requests
        };
        let _ = event("receive-events", customer_changed(id, EVENT_SECRET)).await;
        let sent = event("change-events", change_event(change(id))).await;
        let sent = event("submit-imports", messages(messages_to(&sent, "imports"))).await;
        stage.norce.settled().await;
        let _ = event("poll-jobs", messages(messages_to(&sent, "jobs"))).await;
        let has_code = stage.norce.customer(id).unwrap().row.customer_code;
        assert!(has_code.is_some(), "the code did not get to Norce");
        let _ = event("erp-full-pass", request(&json!({ "retry": "owed" }))).await;
        let _ = event("operator", request(&json!({ "action": "status" }))).await;
        let _ = event("console", of_page("status")).await;
        runs.push(self.pass(&stage).await);

        // Failures.
        stage.aws.refuse("AmazonSQS.SendMessageBatch");
        let post = customer_changed(id, EVENT_SECRET);
        let failed = self.run(&stage, "receive-events", Scenario::Fails, vec![post]);
        runs.push(failed.await);
        stage.aws.refuse_nothing();
        let post = customer_changed(id, "canary guess");
        let refused = self.run(&stage, "receive-events", Scenario::Unauthorised, vec![post]);
        runs.push(refused.await);
        let bad = r#"{"type":"entity","name":"Kanarine","email":"canary.first@example.com"}"#;
        for function in ["change-events", "submit-imports", "poll-jobs"] {
            let events = vec![message(bad)];
            runs.push(self.run(&stage, function, Scenario::Fails, events).await);
        }
        let nonsense = request(&json!({ "mode": "canary.first@example.com" }));
        let failed = self.run(&stage, "erp-full-pass", Scenario::Fails, vec![nonsense]);
        runs.push(failed.await);
        let nonsense = request(&json!({ "action": "explain", "email": ["canary@example.com"] }));
        let failed = self.run(&stage, "operator", Scenario::Fails, vec![nonsense]);
        runs.push(failed.await);
        let of_view = request(&json!({
            "action": "pass", "mode": "delta",
            "by": { "user": "canary-subject", "name": "Kanarine", "role": "view" },
        }));
        let refused = self.run(&stage, "operator", Scenario::Unauthorised, vec![of_view]);
        runs.push(refused.await);
        stage.aws.refuse("");
        let failed = self.run(&stage, "console", Scenario::Fails, vec![of_page("status")]);
        runs.push(failed.await);
        stage.aws.refuse_nothing();
        let callback = Request::new("GET", "/console/callback?state=canary&code=canary");
        let callback = request(&json!(callback.event()));
        let refused = self.run(&stage, "console", Scenario::Unauthorised, vec![callback]);
        runs.push(refused.await);
        for function in FUNCTIONS {
            let malformed = request(&json!({ "Records": "canary", "headers": "canary" }));
            let events = vec![malformed];
            runs.push(
                self.run(&stage, function, Scenario::Malformed, events)
                    .await,
            );
            runs.push(self.wrong_secret(&stage, function, id).await);
            runs.push(
                self.start_that_fails(&stage, function, Scenario::PanicsAtStart)
                    .await,
            );
            // `operator` answers all the same, so that its doctor can name the fault.
            if function != "operator" {
                let run = self.start_that_fails(&stage, function, Scenario::Misconfigured);
                runs.push(run.await);
            }
        }
        // A time at the end of all time, which overflows as soon as anything is added to it.
        let mut poison = serde_json::to_value(change(id)).unwrap();
        poison["received_at"] = json!("+262142-12-31T23:59:59Z");
        let events = vec![message(poison.to_string())];
        let panicked = self.run(&stage, "change-events", Scenario::PanicsOnEvent, events);
        runs.push(panicked.await);
        if self.0 == Level::Info {
            let post = customer_changed(TEXT_CUSTOMER, EVENT_SECRET);
            runs.push(
                self.run(&stage, "receive-events", Scenario::Text, vec![post])
                    .await,
            );
        }
        // Last, because it opens a breaker.
        stage
            .erp
            .configure(|settings| settings.access = ApplicationAccess::RefusedAsUnknown);
        let other = stage.add_customer();
        let events = vec![change_event(change(other))];
        let refused = self.run(&stage, "change-events", Scenario::RefusedByErp, events);
        runs.push(refused.await);
        runs
    }

    /// The variables of a run, as the template and Lambda set them.
    fn environment(&self, stage: &Stage, scenario: Scenario) -> environment::Variables {
        let mut variables = stage.environment.clone();
        let format = if scenario == Scenario::Text {
            "Text"
        } else {
            "JSON"
        };
        for (name, value) in [
            ("LOG_LEVEL", self.0.to_string()),
            (
                "AWS_LAMBDA_LOG_LEVEL",
                template_log_level(self.0).to_string(),
            ),
            ("AWS_LAMBDA_LOG_FORMAT", format.to_owned()),
        ] {
            environment::set(&mut variables, name, value);
        }
        variables
    }

    async fn run(
        &self,
        stage: &Stage,
        function: &'static str,
        scenario: Scenario,
        events: Vec<Vec<u8>>,
    ) -> Run {
        let environment = self.environment(stage, scenario);
        self.run_at(&stage.aws, environment, function, scenario, events)
            .await
    }

    async fn run_at(
        &self,
        aws: &FakeAws,
        environment: environment::Variables,
        function: &'static str,
        scenario: Scenario,
        events: Vec<Vec<u8>>,
    ) -> Run {
        let mut run = self.begin(function, scenario);
        aws.take_requests();
        let process = FunctionProcess::start(&binary(function), &environment, Output::Kept).await;
        let mut process = process.unwrap();
        process.until_ready().await.unwrap();
        for event in events {
            let answered = process.invoke(event).await.unwrap();
            run.request_ids.push(answered.request_id);
            run.answers.push(answered.answer);
            process.until_ready().await.unwrap();
        }
        run.written = process.end().await.unwrap();
        run.requests = aws.take_requests();
        run
    }

    fn begin(&self, function: &'static str, scenario: Scenario) -> Run {
        Run {
            function,
            scenario,
            log_level: self.0,
            application_log_level: template_log_level(self.0),
            request_ids: Vec::new(),
            answers: Vec::new(),
            requests: Vec::new(),
            written: Written::default(),
        }
    }

    async fn pass(&self, stage: &Stage) -> Run {
        let start = request(&json!({ "mode": "delta" }));
        let scenario = Scenario::Pass;
        let started = self
            .run(stage, "erp-full-pass", scenario, vec![start.clone()])
            .await;
        let go_on = messages(messages_to(&started.requests, "passes"));
        self.run(stage, "erp-full-pass", scenario, vec![go_on])
            .await
    }

    async fn wrong_secret(&self, stage: &Stage, function: &'static str, id: i64) -> Run {
        let aws = FakeAws::serve().await.unwrap();
        for secret in ["event", "norce", "erp", "fingerprint", "console-key"] {
            aws.set_secret(secret, r#"{"canary":"canary-of-a-secret""#);
        }
        let mut environment = self.environment(stage, Scenario::WrongSecret);
        environment::set(&mut environment, "AWS_ENDPOINT_URL", &aws.endpoint);
        let event = match function {
            "receive-events" => customer_changed(id, EVENT_SECRET),
            // `status` reads no secret.
            "operator" => request(&json!({ "action": "explain", "id": 1 })),
            "console" => of_page("status"),
            _ => message("{}"),
        };
        self.run_at(
            &aws,
            environment,
            function,
            Scenario::WrongSecret,
            vec![event],
        )
        .await
    }

    async fn start_that_fails(
        &self,
        stage: &Stage,
        function: &'static str,
        scenario: Scenario,
    ) -> Run {
        let mut environment = self.environment(stage, scenario);
        match scenario {
            // The runtime's own library expects a number.
            Scenario::PanicsAtStart => {
                let name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
                environment::set(&mut environment, name, "canary");
            }
            _ => {
                for name in ["NORCE_APPLICATIONS", "CONSOLE_URL"] {
                    environment::set(&mut environment, name, "");
                }
            }
        }
        let mut run = self.begin(function, scenario);
        let process = FunctionProcess::start(&binary(function), &environment, Output::Kept).await;
        run.written = process.unwrap().until_ended().await.unwrap();
        assert!(
            !run.written.status.success(),
            "{run}: it ended as if all were well"
        );
        run
    }
}
