//! The alarms, the dashboard and the access log of the template: every failure that would otherwise be silent raises an
//! alarm whose text a person can act on, and one screen shows whether everything is well, and if not, where.
//!
//! The local AWS evaluates alarms without their dimensions and their treatment of missing data, extracts no metrics
//! from log lines and writes no access log. So these are rules over what CloudFormation makes of the template.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
    time::Duration,
};

use serde_json::{Value, json};
use shared::{
    metrics::{Metric, NAMESPACE, STACK_DIMENSION},
    runtime::batch::LONGEST_WAIT,
};
use tests::{
    documents::anchor,
    norce_simulator::RETRY_DELAYS,
    template::{self, Rendered, Stack, Template},
};

/// What CloudWatch knows of the metrics of a function, a queue or an API: namespace, dimension, names. From the lists
/// "Metrics" in the guides of Lambda, SQS and API Gateway (HTTP APIs).
const OF_AWS: [(&str, &str, &[&str]); 3] = [
    (
        "AWS/Lambda",
        "FunctionName",
        &[
            "ConcurrentExecutions",
            "Duration",
            "Errors",
            "Invocations",
            "RecursiveInvocationsDropped",
            "Throttles",
        ],
    ),
    (
        "AWS/SQS",
        "QueueName",
        &[
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesDeleted",
            "NumberOfMessagesReceived",
            "NumberOfMessagesSent",
        ],
    ),
    (
        "AWS/ApiGateway",
        "ApiId",
        &[
            "4xx",
            "5xx",
            "Count",
            "DataProcessed",
            "IntegrationLatency",
            "Latency",
        ],
    ),
];

/// A failure, and the alarm that it rings.
struct Rings {
    /// What happens.
    failure: &'static str,
    /// The alarm's logical name.
    alarm: &'static str,
    /// Namespace and name of the metric.
    metric: &'static str,
    /// What the metric is of: a resource of the template, or the value of our second dimension.
    of: &'static str,
    /// When it rings.
    when: &'static str,
}

const fn rings(
    failure: &'static str,
    alarm: &'static str,
    metric: &'static str,
    of: &'static str,
    when: &'static str,
) -> Rings {
    Rings {
        failure,
        alarm,
        metric,
        of,
        when,
    }
}

/// Which failure rings which alarm, with the defaults of all parameters.
#[rustfmt::skip]
const FAILURES: [Rings; 45] = [
    rings("the event secret, the order login or the URL is wrong", "RefusedPostsAlarm", "AWS/ApiGateway 4xx", "Api", "Sum >= 10 in 3600 s"),
    rings("posts cannot be queued", "ApiErrorAlarm", "AWS/ApiGateway 5xx", "Api", "Sum > 0 in 300 s"),
    rings("a change is set aside", "ChangesDeadLetterAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", "ChangesDeadLetterQueue", "Maximum > 0 in 300 s"),
    rings("an import is set aside", "ImportsDeadLetterAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", "ImportsDeadLetterQueue", "Maximum > 0 in 300 s"),
    rings("the check of a job is set aside", "JobsDeadLetterAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", "JobsDeadLetterQueue", "Maximum > 0 in 300 s"),
    rings("a pass is set aside", "PassesDeadLetterAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", "PassesDeadLetterQueue", "Maximum > 0 in 300 s"),
    rings("the merchant's integration fails on an order", "OutgoingOrdersDeadLetterAlarm", "AWS/SQS ApproximateNumberOfMessagesVisible", "OutgoingOrdersDeadLetterQueue", "Maximum > 0 in 300 s"),
    rings("a change waits for Norce or the ERP", "ChangesWaitingAlarm", "NorceCustomerSync WaitingSeconds", "changes", "Maximum > 3600 in 3600 s"),
    rings("an import waits for Norce or the ERP", "ImportsWaitingAlarm", "NorceCustomerSync WaitingSeconds", "imports", "Maximum > 3600 in 3600 s"),
    rings("the check of a job waits for Norce", "JobsWaitingAlarm", "NorceCustomerSync WaitingSeconds", "jobs", "Maximum > 3600 in 3600 s"),
    rings("a pass waits for Norce or the ERP", "PassesWaitingAlarm", "NorceCustomerSync WaitingSeconds", "passes", "Maximum > 3600 in 3600 s"),
    rings("nobody takes the changes", "ChangesAgeAlarm", "AWS/SQS ApproximateAgeOfOldestMessage", "ChangesQueue", "Maximum > 3600 in 300 s"),
    rings("nobody takes the imports", "ImportsAgeAlarm", "AWS/SQS ApproximateAgeOfOldestMessage", "ImportsQueue", "Maximum > 3600 in 300 s"),
    rings("nobody takes the checks of jobs", "JobsAgeAlarm", "AWS/SQS ApproximateAgeOfOldestMessage", "JobsQueue", "Maximum > 3600 in 300 s"),
    rings("nobody takes the passes", "PassesAgeAlarm", "AWS/SQS ApproximateAgeOfOldestMessage", "PassesQueue", "Maximum > 3600 in 300 s"),
    rings("the merchant's integration takes no orders", "OutgoingOrdersAgeAlarm", "AWS/SQS ApproximateAgeOfOldestMessage", "OutgoingOrdersQueue", "Maximum > 3600 in 300 s"),
    rings("Norce does not finish an import", "OpenBatchAlarm", "NorceCustomerSync OpenBatchSeconds", "", "Maximum > 14400 in 3600 s"),
    rings("Norce or the ERP stays unavailable", "UnavailableRemoteAlarm", "NorceCustomerSync BreakerOpenSeconds", "", "Maximum > 1800 in 1800 s"),
    rings("passes over the ERP do not start or do not end", "ErpPassAgeAlarm", "NorceCustomerSync PassAgeSeconds", "erp", "Maximum > 14400 in 1800 s"),
    rings("sweeps do not start or do not end", "SweepAgeAlarm", "NorceCustomerSync PassAgeSeconds", "sweep", "Maximum > 14400 in 1800 s"),
    rings("a delta pass fails", "DeltaPassFailedAlarm", "NorceCustomerSync PassesFailed", "delta", "Sum > 0 in 300 s"),
    rings("a full pass fails", "FullPassFailedAlarm", "NorceCustomerSync PassesFailed", "full", "Sum > 0 in 300 s"),
    rings("a sweep fails", "SweepPassFailedAlarm", "NorceCustomerSync PassesFailed", "sweep", "Sum > 0 in 300 s"),
    rings("a record stays owed", "OldestOwedAlarm", "NorceCustomerSync OldestOwedSeconds", "", "Maximum > 86400 in 1800 s"),
    rings("the schedule, its function or its metrics stop", "HeartbeatAlarm", "NorceCustomerSync OwedRecords", "", "SampleCount < 1 in 1800 s, or no data"),
    rings("posts meet a broken function", "ReceiveEventsErrorAlarm", "AWS/Lambda Errors", "ReceiveEvents", "Sum > 0 in 300 s"),
    rings("changes meet a broken function", "ChangeEventsErrorAlarm", "AWS/Lambda Errors", "ChangeEvents", "Sum > 0 in 300 s"),
    rings("imports meet a broken function", "SubmitImportsErrorAlarm", "AWS/Lambda Errors", "SubmitImports", "Sum > 0 in 300 s"),
    rings("jobs meet a broken function", "PollJobsErrorAlarm", "AWS/Lambda Errors", "PollJobs", "Sum > 0 in 300 s"),
    rings("passes meet a broken function", "ErpFullPassErrorAlarm", "AWS/Lambda Errors", "ErpFullPass", "Sum > 0 in 300 s"),
    rings("a person meets a broken function", "OperatorErrorAlarm", "AWS/Lambda Errors", "Operator", "Sum > 0 in 300 s"),
    rings("no room for posts in the account", "ReceiveEventsThrottleAlarm", "AWS/Lambda Throttles", "ReceiveEvents", "Sum > 0 in 300 s, 2 of 3"),
    rings("no room for changes in the account", "ChangeEventsThrottleAlarm", "AWS/Lambda Throttles", "ChangeEvents", "Sum > 0 in 300 s, 2 of 3"),
    rings("no room for imports in the account", "SubmitImportsThrottleAlarm", "AWS/Lambda Throttles", "SubmitImports", "Sum > 0 in 300 s, 2 of 3"),
    rings("no room for jobs in the account", "PollJobsThrottleAlarm", "AWS/Lambda Throttles", "PollJobs", "Sum > 0 in 300 s, 2 of 3"),
    rings("no room for passes in the account", "ErpFullPassThrottleAlarm", "AWS/Lambda Throttles", "ErpFullPass", "Sum > 0 in 300 s, 2 of 3"),
    rings("no room for a person in the account", "OperatorThrottleAlarm", "AWS/Lambda Throttles", "Operator", "Sum > 0 in 300 s, 2 of 3"),
    rings("somebody tries to get into the console", "ConsoleSignInAlarm", "NorceCustomerSync SignIns", "refused", "Sum >= 20 in 3600 s"),
    rings("the console's requests are not answered", "ConsoleApiErrorAlarm", "AWS/ApiGateway 5xx", "ConsoleApi", "Sum > 2 in 300 s"),
    rings("the console meets a broken function", "ConsoleErrorAlarm", "AWS/Lambda Errors", "ConsoleFunction", "Sum > 0 in 300 s"),
    rings("no room for the console", "ConsoleThrottleAlarm", "AWS/Lambda Throttles", "ConsoleFunction", "Sum > 0 in 300 s, 2 of 3"),
    rings("a change is taken for a loop", "ChangeEventsRecursionAlarm", "AWS/Lambda RecursiveInvocationsDropped", "ChangeEvents", "Sum > 0 in 300 s"),
    rings("an import is taken for a loop", "SubmitImportsRecursionAlarm", "AWS/Lambda RecursiveInvocationsDropped", "SubmitImports", "Sum > 0 in 300 s"),
    rings("a slow job is taken for a loop", "PollJobsRecursionAlarm", "AWS/Lambda RecursiveInvocationsDropped", "PollJobs", "Sum > 0 in 300 s"),
    rings("a long pass is taken for a loop", "ErpFullPassRecursionAlarm", "AWS/Lambda RecursiveInvocationsDropped", "ErpFullPass", "Sum > 0 in 300 s"),
];

const TOPIC: &str = "arn:aws:sns:eu-north-1:123456789012:alarms";
const RUNBOOK: &str = "https://example.com/shop/functions/operator/README.md";

/// The parameters without a default, with values that nothing here depends on.
const NEEDED: [(&str, &str); 7] = [
    ("NorceBaseUrl", "https://example.api-se.norce.tech"),
    (
        "NorceSecretArn",
        "arn:aws:secretsmanager:eu-north-1:123456789012:secret:norce-AbCdEf",
    ),
    ("NorceAccountId", "1"),
    ("NorceApplications", "[]"),
    (
        "EventSecretArn",
        "arn:aws:secretsmanager:eu-north-1:123456789012:secret:event-AbCdEf",
    ),
    ("ErpBaseUrl", "https://erp.example.com"),
    (
        "ErpSecretArn",
        "arn:aws:secretsmanager:eu-north-1:123456789012:secret:erp-AbCdEf",
    ),
];
/// What turns everything on that an alarm depends on.
const EVERYTHING: [(&str, &str); 5] = [
    ("AlarmTopicArn", TOPIC),
    ("RunbookUrl", RUNBOOK),
    ("Console", "cognito"),
    ("OrderReceiver", "true"),
    (
        "OrderSecretArn",
        "arn:aws:secretsmanager:eu-north-1:123456789012:secret:orders-AbCdEf",
    ),
];

fn stack() -> Stack {
    Stack {
        name: "shop".to_owned(),
        account: "123456789012".to_owned(),
        region: "eu-north-1".to_owned(),
    }
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template::load().unwrap());

fn render(parameters: &[(&str, &str)]) -> Rendered {
    let parameters = [&NEEDED[..], parameters].concat();
    TEMPLATE.render(&stack(), &parameters).unwrap()
}

fn everything() -> Rendered {
    render(&EVERYTHING)
}

/// Every combination of what makes an alarm come and go, on top of the rest.
static VARIANTS: LazyLock<Vec<Rendered>> = LazyLock::new(|| {
    let switches = [
        "orders",
        "OwedSchedule",
        "DeltaSchedule",
        "FullSchedule",
        "SweepSchedule",
        "RunbookUrl",
        "Console",
    ];
    let variant = |bits: u32| {
        let mut parameters = Vec::new();
        for (index, switch) in switches.into_iter().enumerate() {
            match (switch, bits & (1 << index) != 0) {
                ("orders", true) => parameters.extend(&EVERYTHING[3..]),
                ("orders", false) => {}
                ("Console", is_on) => {
                    parameters.push((switch, if is_on { "cognito" } else { "none" }))
                }
                ("RunbookUrl", is_given) => {
                    parameters.push((switch, if is_given { RUNBOOK } else { "" }))
                }
                (schedule, true) => parameters.push((schedule, "rate(1 hour)")),
                (schedule, false) => parameters.push((schedule, "DISABLED")),
            }
        }
        render(&parameters)
    };
    (0..1 << switches.len()).map(variant).collect()
});

fn alarms(rendered: &Rendered) -> impl Iterator<Item = (&str, &Value)> {
    rendered
        .of_type("AWS::CloudWatch::Alarm")
        .map(|(name, alarm)| (name, &alarm["Properties"]))
}

/// A number of a rendered template, where a parameter's value is text.
fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        value => value.as_u64().unwrap(),
    }
}

/// A metric as CloudWatch identifies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct MetricId {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

impl MetricId {
    fn of_alarm(alarm: &Value) -> Self {
        let dimensions = alarm["Dimensions"].as_array().unwrap();
        Self {
            namespace: text(&alarm["Namespace"]),
            name: text(&alarm["MetricName"]),
            dimensions: dimensions
                .iter()
                .map(|dimension| (text(&dimension["Name"]), text(&dimension["Value"])))
                .collect(),
        }
    }

    fn ours(name: &str, second: Option<(&str, &str)>) -> Self {
        let stack = (STACK_DIMENSION.to_owned(), stack().name);
        let second = second.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
            dimensions: [stack].into_iter().chain(second).collect(),
        }
    }

    /// What it is of: the resource that its dimension names, or the value of our second dimension.
    fn of(&self, rendered: &Rendered) -> String {
        if self.namespace == NAMESPACE {
            let second = self
                .dimensions
                .iter()
                .find(|(name, _)| *name != STACK_DIMENSION);
            return second.map(|(_, value)| value.clone()).unwrap_or_default();
        }
        let (_, value) = self.dimensions.first_key_value().unwrap();
        resource_named(rendered, value)
            .unwrap_or_else(|| panic!("nothing in the stack is named {value}"))
    }
}

/// The logical name of the function, queue or API that a dimension's value names.
fn resource_named(rendered: &Rendered, value: &str) -> Option<String> {
    let found = rendered.resources.iter().find(|(name, resource)| {
        let properties = &resource["Properties"];
        match resource["Type"].as_str() {
            Some("AWS::Serverless::Function") => properties["FunctionName"] == value,
            // CloudFormation makes the name: stack, logical name, something random.
            Some("AWS::SQS::Queue") => value.contains(&format!("-{name}-")),
            Some("AWS::ApiGatewayV2::Api") => template::api_id(name) == value,
            _ => false,
        }
    });
    found.map(|(name, _)| name.clone())
}

/// Every metric of ours.
fn catalogue() -> BTreeSet<MetricId> {
    let metrics = Metric::ALL
        .iter()
        .flat_map(|metric| match metric.dimension() {
            None => vec![MetricId::ours(metric.name(), None)],
            Some((dimension, values)) => values
                .iter()
                .map(|value| MetricId::ours(metric.name(), Some((dimension, value))))
                .collect(),
        });
    metrics.collect()
}

/// Why CloudWatch will never have a metric, if so.
fn fault_of(metric: &MetricId, rendered: &Rendered) -> Option<String> {
    if metric.namespace == NAMESPACE {
        return (!catalogue().contains(metric)).then(|| format!("{metric:?} is none of ours"));
    }
    let known = OF_AWS.iter().find(|(namespace, dimension, names)| {
        let dimensions: Vec<_> = metric.dimensions.keys().collect();
        *namespace == metric.namespace
            && names.contains(&metric.name.as_str())
            && dimensions == [dimension]
    });
    let Some((namespace, ..)) = known else {
        return Some(format!("AWS has no {metric:?}"));
    };
    let (_, value) = metric.dimensions.first_key_value()?;
    let resource =
        resource_named(rendered, value).and_then(|name| rendered.resources[&name]["Type"].as_str());
    let expected = match *namespace {
        "AWS/Lambda" => "AWS::Serverless::Function",
        "AWS/SQS" => "AWS::SQS::Queue",
        _ => "AWS::ApiGatewayV2::Api",
    };
    (resource != Some(expected)).then(|| format!("{metric:?} is of no resource of the stack"))
}

fn when(alarm: &Value) -> String {
    let sign = match alarm["ComparisonOperator"].as_str().unwrap() {
        "GreaterThanThreshold" => ">",
        "GreaterThanOrEqualToThreshold" => ">=",
        "LessThanThreshold" => "<",
        other => other,
    };
    let mut when = format!(
        "{} {sign} {} in {} s",
        text(&alarm["Statistic"]),
        number(&alarm["Threshold"]),
        number(&alarm["Period"]),
    );
    let periods = number(&alarm["EvaluationPeriods"]);
    match &alarm["DatapointsToAlarm"] {
        Value::Null if periods == 1 => {}
        Value::Null => when += &format!(", {periods} of {periods}"),
        points => when += &format!(", {points} of {periods}"),
    }
    match alarm["TreatMissingData"].as_str() {
        Some("notBreaching") => {}
        Some("breaching") => when += ", or no data",
        other => when += &format!(", {other:?}"),
    }
    when
}

#[test]
fn every_failure_rings_its_alarm() {
    let rendered = everything();
    let found: BTreeMap<_, _> = alarms(&rendered)
        .map(|(name, alarm)| {
            let metric = MetricId::of_alarm(alarm);
            let of = metric.of(&rendered);
            (
                name.to_owned(),
                (
                    format!("{} {}", metric.namespace, metric.name),
                    of,
                    when(alarm),
                ),
            )
        })
        .collect();
    let expected: BTreeMap<_, _> = FAILURES
        .iter()
        .map(|rings| {
            let what = (
                rings.metric.to_owned(),
                rings.of.to_owned(),
                rings.when.to_owned(),
            );
            (rings.alarm.to_owned(), what)
        })
        .collect();
    for Rings { failure, alarm, .. } in &FAILURES {
        assert_eq!(
            found.get(*alarm),
            expected.get(*alarm),
            "{alarm}, which rings when {failure}"
        );
    }
    let unexplained: Vec<_> = found
        .keys()
        .filter(|alarm| !expected.contains_key(*alarm))
        .collect();
    assert!(
        unexplained.is_empty(),
        "which failure rings {unexplained:?}?"
    );
}

/// What the alarms watch, by the metric's name.
fn watched(rendered: &Rendered, name: &str) -> BTreeSet<String> {
    alarms(rendered)
        .map(|(_, alarm)| MetricId::of_alarm(alarm))
        .filter(|metric| metric.name == name)
        .map(|metric| metric.of(rendered))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_function_and_every_queue_is_watched() {
    let rendered = everything();
    let functions: BTreeSet<_> = rendered
        .functions()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(watched(&rendered, "Errors"), functions);
    assert_eq!(watched(&rendered, "Throttles"), functions);

    let sources: Vec<_> = rendered
        .of_type("AWS::Lambda::EventSourceMapping")
        .map(|(_, source)| &source["Properties"])
        .collect();
    let fed: BTreeSet<_> = sources
        .iter()
        .map(|source| resource_named(&rendered, source["FunctionName"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(watched(&rendered, "RecursiveInvocationsDropped"), fed);

    let queue_of = |arn: &Value| {
        rendered
            .resource_of("AWS::SQS::Queue", arn)
            .unwrap()
            .0
            .to_owned()
    };
    let dead_letters: BTreeSet<_> = rendered
        .of_type("AWS::SQS::Queue")
        .filter_map(|(_, queue)| queue["Properties"].get("RedrivePolicy"))
        .map(|redrive| queue_of(&redrive["deadLetterTargetArn"]))
        .collect();
    assert_eq!(
        watched(&rendered, "ApproximateNumberOfMessagesVisible"),
        dead_letters
    );

    // Our own functions report what they return to their queues. What nobody receives shows in SQS's own age, on those and on
    // the merchant's.
    let ours: BTreeSet<_> = sources
        .iter()
        .map(|source| queue_of(&source["EventSourceArn"]))
        .collect();
    let names: BTreeSet<_> = ours
        .iter()
        .map(|queue| queue.trim_end_matches("Queue").to_lowercase())
        .collect();
    assert_eq!(watched(&rendered, "WaitingSeconds"), names);
    let read_by_somebody: BTreeSet<_> = rendered
        .of_type("AWS::SQS::Queue")
        .map(|(name, _)| name.to_owned())
        .filter(|name| !dead_letters.contains(name))
        .collect();
    assert_eq!(
        watched(&rendered, "ApproximateAgeOfOldestMessage"),
        read_by_somebody
    );

    assert_eq!(
        watched(&rendered, "PassesFailed"),
        set(&["delta", "full", "sweep"])
    );
    assert_eq!(watched(&rendered, "PassAgeSeconds"), set(&["erp", "sweep"]));
}

#[test]
fn every_alarm_watches_a_metric_that_exists() {
    for rendered in VARIANTS.iter() {
        let faults: Vec<_> = alarms(rendered)
            .filter_map(|(_, alarm)| fault_of(&MetricId::of_alarm(alarm), rendered))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

/// The first step for a person: ask `operator`, or open a page of AWS.
const FIRST_STEPS: [&str; 6] = [
    "{\"action\":\"",
    "log group",
    "in the SQS console",
    "EventBridge Scheduler",
    "Service Quotas",
    "check that it runs",
];
/// Words of our own that a person who is woken by an alarm need not know.
const JARGON: [&str; 9] = [
    "breaker",
    "watermark",
    "walk",
    "poll",
    "parked",
    "deferred",
    "fingerprint",
    "poison",
    "hop",
];

#[test]
fn every_alarm_says_what_happened_and_what_to_do_first() {
    let rendered = everything();
    let mut seen = BTreeSet::new();
    for (name, alarm) in alarms(&rendered) {
        let description = text(&alarm["AlarmDescription"]);
        // The longest that CloudWatch takes.
        assert!(description.len() <= 1_024, "{name}: {description}");
        let (happened, first) = description
            .split_once(" First: ")
            .unwrap_or_else(|| panic!("{name} does not say what to do first: {description}"));
        assert!(
            happened.ends_with('.') && first.ends_with('.'),
            "{name}: {description}"
        );
        assert!(
            FIRST_STEPS.iter().any(|step| first.contains(step)),
            "{name}: {first}"
        );
        let words: Vec<_> = happened
            .split(|character: char| !(character.is_alphanumeric() || character == '-'))
            .collect();
        let jargon: Vec<_> = JARGON.iter().filter(|word| words.contains(*word)).collect();
        assert!(jargon.is_empty(), "{name} says {jargon:?}: {happened}");
        assert!(
            seen.insert(description.clone()),
            "{name} has another's description: {description}"
        );
    }
}

/// The requests that the descriptions suggest are requests that the operator's function takes.
#[test]
fn the_operator_takes_what_the_descriptions_suggest() {
    let rendered = everything();
    let mut suggested = BTreeSet::new();
    for (name, alarm) in alarms(&rendered) {
        let description = text(&alarm["AlarmDescription"]);
        for (start, _) in description.match_indices("{\"action\"") {
            let length = description[start..].find('}').unwrap() + 1;
            let request =
                description[start..start + length].replace("<time>", "2026-11-26T00:00:00Z");
            let request: Value = serde_json::from_str(&request).unwrap();
            assert!(
                operator::Request::parse(request.clone()).is_ok(),
                "{name}: {request}"
            );
            suggested.insert(text(&request["action"]));
        }
    }
    assert_eq!(
        suggested,
        set(&[
            "dead-letters",
            "doctor",
            "jobs",
            "owed",
            "pass",
            "replay",
            "status"
        ])
    );
}

#[test]
fn alarms_notify_the_topic_when_they_ring_and_when_they_end() {
    for (name, alarm) in alarms(&everything()) {
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm[actions], json!([TOPIC]), "{name}");
        }
    }
    for (name, alarm) in alarms(&render(&[])) {
        for actions in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm.get(actions), None, "{name}");
        }
    }
}

#[test]
fn an_alarm_that_needs_a_schedule_goes_with_it() {
    let without = |schedules: &[&str]| -> BTreeSet<String> {
        let disabled: Vec<_> = schedules
            .iter()
            .map(|schedule| (*schedule, "DISABLED"))
            .collect();
        let rendered = render(&[&EVERYTHING[..], &disabled].concat());
        let left: BTreeSet<_> = alarms(&rendered).map(|(name, _)| name.to_owned()).collect();
        let all = everything();
        let all = alarms(&all).map(|(name, _)| name.to_owned());
        all.filter(|name| !left.contains(name)).collect()
    };
    assert_eq!(without(&["OwedSchedule"]), set(&["HeartbeatAlarm"]));
    assert_eq!(without(&["SweepSchedule"]), set(&["SweepAgeAlarm"]));
    // The full schedule is off by default, and the delta schedule is enough.
    assert_eq!(without(&["DeltaSchedule"]), set(&["ErpPassAgeAlarm"]));
    let full_only = render(&[
        ("DeltaSchedule", "DISABLED"),
        ("FullSchedule", "rate(7 days)"),
    ]);
    assert!(full_only.resources.contains_key("ErpPassAgeAlarm"));
    let without_orders = render(&[]);
    let for_orders = ["OutgoingOrdersAgeAlarm", "OutgoingOrdersDeadLetterAlarm"];
    assert!(
        for_orders
            .iter()
            .all(|alarm| !without_orders.resources.contains_key(*alarm))
    );
}

/// Of CloudWatch: a period is a multiple of a minute; all periods of an alarm together are a day at most, and seven days
/// when each is an hour or longer.
#[test]
fn cloudwatch_takes_every_period() {
    let heartbeat = &TEMPLATE.as_value()["Parameters"]["HeartbeatAlarmSeconds"]["AllowedValues"];
    for seconds in heartbeat.as_array().unwrap() {
        let seconds = seconds.to_string();
        let rendered = render(
            &[
                &EVERYTHING[..],
                &[("HeartbeatAlarmSeconds", seconds.as_str())],
            ]
            .concat(),
        );
        for (name, alarm) in alarms(&rendered) {
            let period = number(&alarm["Period"]);
            let days = if period >= 3_600 { 7 } else { 1 };
            let together = period * number(&alarm["EvaluationPeriods"]);
            assert!(
                period.is_multiple_of(60) && together <= days * 86_400,
                "{name}: {period} s, {together} s"
            );
        }
    }
}

/// A fault that is reported only at each check of a message must stay visible between two checks.
#[test]
fn alarms_on_waiting_work_do_not_fall_silent_between_two_looks() {
    let rendered = everything();
    let reported = ["WaitingSeconds", "OpenBatchSeconds"];
    for (name, alarm) in alarms(&rendered) {
        if reported.contains(&alarm["MetricName"].as_str().unwrap()) {
            let period = Duration::from_secs(number(&alarm["Period"]));
            assert!(period >= 2 * LONGEST_WAIT, "{name}: {period:?}");
        }
    }
}

/// Seconds of a schedule such as `rate(1 day)`.
fn interval(schedule: &str) -> u64 {
    let rate = schedule
        .strip_prefix("rate(")
        .and_then(|rate| rate.strip_suffix(')'));
    let (count, unit) = rate.and_then(|rate| rate.split_once(' ')).unwrap();
    let unit = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        other => panic!("{other}"),
    };
    count.parse::<u64>().unwrap() * unit
}

#[test]
fn the_defaults_fit_each_other() {
    let default = |name: &str| &TEMPLATE.as_value()["Parameters"][name]["Default"];
    let seconds = |name: &str| number(default(name));
    let every = |name: &str| interval(default(name).as_str().unwrap());
    assert!(seconds("HeartbeatAlarmSeconds") >= 2 * every("OwedSchedule"));
    assert!(seconds("ErpPassAlarmSeconds") >= 2 * every("DeltaSchedule"));
    assert!(seconds("SweepAlarmSeconds") >= 2 * every("SweepSchedule"));
    assert!(seconds("OldestMessageAlarmSeconds") > LONGEST_WAIT.as_secs());
    assert!(seconds("OpenBatchAlarmSeconds") < 3_600 * seconds("ImportGiveUpHours"));

    // One event that Norce has refused, again and again, rings within the hour; fewer posts are stray ones.
    let mut at = Duration::ZERO;
    let repeated = RETRY_DELAYS.iter().filter(|delay| {
        at += **delay;
        at < Duration::from_secs(3_600)
    });
    let posts = 1 + u64::try_from(repeated.count()).unwrap();
    assert_eq!(seconds("RefusedPostsAlarmCount"), posts);
}

/// The body of the dashboard.
fn dashboard(rendered: &Rendered) -> Value {
    let body = text(&rendered.resources["Dashboard"]["Properties"]["DashboardBody"]);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn widgets(dashboard: &Value) -> &[Value] {
    dashboard["widgets"].as_array().unwrap()
}

/// The metrics of a widget. A line of it is namespace, name, then names and values of dimensions in turn, and options.
fn metrics_of(widget: &Value) -> Vec<MetricId> {
    let lines = widget["properties"]["metrics"]
        .as_array()
        .into_iter()
        .flatten();
    lines
        .map(|line| {
            let words: Vec<String> = line
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let [namespace, name, dimensions @ ..] = words.as_slice() else {
                panic!("{line} is no metric");
            };
            MetricId {
                namespace: namespace.clone(),
                name: name.clone(),
                dimensions: dimensions
                    .chunks(2)
                    .map(|pair| (pair[0].clone(), pair[1].clone()))
                    .collect(),
            }
        })
        .collect()
}

#[test]
fn the_dashboard_fits_the_grid_of_cloudwatch() {
    let columns = 24;
    for rendered in VARIANTS.iter() {
        let dashboard = dashboard(rendered);
        let mut taken = BTreeMap::new();
        for widget in widgets(&dashboard) {
            let [x, y, width, height] =
                ["x", "y", "width", "height"].map(|member| widget[member].as_u64().unwrap());
            let title = &widget["properties"]["title"];
            assert!(width > 0 && height > 0 && x + width <= columns, "{title}");
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                let other = taken.insert(cell, title.clone());
                assert_eq!(other, None, "{title} lies over it at {cell:?}");
            }
        }
        // The first look goes to the alarms, which are on top.
        assert_eq!(widgets(&dashboard)[0]["type"], "alarm");
        assert_eq!(
            (&widgets(&dashboard)[0]["x"], &widgets(&dashboard)[0]["y"]),
            (&json!(0), &json!(0))
        );
        let rows = taken.keys().map(|(_, y)| y).max().unwrap() + 1;
        assert_eq!(
            u64::try_from(taken.len()).unwrap(),
            rows * columns,
            "the dashboard has gaps"
        );
    }
}

#[test]
fn every_widget_shows_metrics_that_exist() {
    for rendered in VARIANTS.iter() {
        let dashboard = dashboard(rendered);
        for widget in widgets(&dashboard) {
            let properties = &widget["properties"];
            match widget["type"].as_str().unwrap() {
                "metric" => {
                    let metrics = metrics_of(widget);
                    assert!(!metrics.is_empty(), "{properties}");
                    let faults: Vec<_> = metrics
                        .iter()
                        .filter_map(|metric| fault_of(metric, rendered))
                        .collect();
                    assert!(faults.is_empty(), "{}: {faults:#?}", properties["title"]);
                    assert_eq!(properties["region"], stack().region);
                    let lines = properties["annotations"]["horizontal"].as_array();
                    for line in lines.into_iter().flatten() {
                        assert!(line["value"].is_u64(), "{}: {line}", properties["title"]);
                    }
                }
                "alarm" => assert!(properties["alarms"].is_array()),
                "text" => assert!(properties["markdown"].is_string()),
                other => panic!("a widget of the type {other}"),
            }
        }
    }
}

#[test]
fn every_metric_of_ours_and_of_every_alarm_is_on_the_dashboard() {
    let rendered = everything();
    let dashboard = dashboard(&rendered);
    let shown: BTreeSet<_> = widgets(&dashboard).iter().flat_map(metrics_of).collect();
    let hidden: Vec<_> = catalogue()
        .into_iter()
        .filter(|metric| !shown.contains(metric))
        .collect();
    assert!(hidden.is_empty(), "not on the dashboard: {hidden:#?}");
    for (name, alarm) in alarms(&rendered) {
        let metric = MetricId::of_alarm(alarm);
        assert!(
            shown.contains(&metric),
            "{name} rings, and the dashboard does not show {metric:?}"
        );
    }
}

#[test]
fn the_dashboard_shows_every_alarm_that_exists() {
    for rendered in VARIANTS.iter() {
        let dashboard = dashboard(rendered);
        let shown = widgets(&dashboard)[0]["properties"]["alarms"]
            .as_array()
            .unwrap();
        let shown: Vec<_> = shown
            .iter()
            .map(|arn| {
                rendered
                    .resource_of("AWS::CloudWatch::Alarm", arn)
                    .unwrap()
                    .0
            })
            .collect();
        let once: BTreeSet<_> = shown.iter().copied().collect();
        assert_eq!(once.len(), shown.len());
        assert_eq!(once, alarms(rendered).map(|(name, _)| name).collect());
    }
}

#[test]
fn the_links_of_the_dashboard_lead_to_sections_of_the_runbook() {
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/operator/README.md");
    let runbook = fs::read_to_string(runbook).unwrap();
    let headings = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or(line.strip_prefix("### ")));
    let anchors: BTreeSet<_> = headings.map(anchor).collect();
    let body = dashboard(&everything()).to_string();
    let links: BTreeSet<_> = body
        .match_indices(RUNBOOK)
        .map(|(at, _)| body[at + RUNBOOK.len()..].split(')').next().unwrap())
        .collect();
    assert!(links.len() >= 5, "{links:?}");
    for link in links {
        let found = link
            .strip_prefix('#')
            .is_some_and(|link| anchors.contains(link));
        assert!(found, "the runbook has no section {link}");
    }
    // Without an address there is nothing to lead to.
    assert!(!dashboard(&render(&[])).to_string().contains("]("));
}

#[test]
fn the_access_log_has_what_explains_a_refusal_and_nothing_personal() {
    let rendered = render(&[("LogRetentionDays", "14"), ("Console", "cognito")]);
    let stages: Vec<_> = rendered.of_type("AWS::ApiGatewayV2::Stage").collect();
    assert_eq!(stages.len(), 2);
    for (stage, group) in [
        ("ApiStage", "ApiLogGroup"),
        ("ConsoleStage", "ConsoleApiLogGroup"),
    ] {
        let settings = &rendered.resources[stage]["Properties"]["AccessLogSettings"];
        is_fit(settings, &rendered.resources[group]["Properties"]);
    }
}

fn is_fit(settings: &Value, group: &Value) {
    let name = text(&group["LogGroupName"]);
    assert_eq!(number(&group["RetentionInDays"]), 14);
    let destination = text(&settings["DestinationArn"]);
    assert!(
        destination.ends_with(&format!(":log-group:{name}")),
        "{destination}"
    );

    let format = text(&settings["Format"]);
    assert!(!format.contains('\n'), "a line for each request");
    let format: BTreeMap<String, String> = serde_json::from_str(&format).unwrap();
    // Nothing that the client can write, nothing about who it is.
    let variables = [
        ("requestId", "requestId"),
        ("time", "requestTime"),
        ("routeKey", "routeKey"),
        ("status", "status"),
        ("integrationStatus", "integrationStatus"),
        ("integrationLatency", "integrationLatency"),
        ("responseLatency", "responseLatency"),
        ("responseLength", "responseLength"),
        ("error", "error.responseType"),
    ];
    let expected =
        variables.map(|(name, variable)| (name.to_owned(), format!("$context.{variable}")));
    assert_eq!(format, BTreeMap::from(expected));
}
