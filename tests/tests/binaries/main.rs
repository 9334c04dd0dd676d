//! The output of the functions' own binaries under a stand-in for Lambda: log lines, metric lines and trace headers.
//!
//! The binaries are built once and run at every log level, each event in a process of its own; every rule is then
//! checked against all of the output.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and what an event costs is to be read"
)]

mod authority;
mod private_ca;
mod runs;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use runs::{CANARIES, Run, Scenario, TEXT_CUSTOMER, runs, template_log_level};
use serde_json::Value;
use shared::{
    logs::LogLine,
    metrics::{self as catalogue, NAMESPACE, STACK_DIMENSION},
};
use tests::{
    bundle::customer,
    lambda::{
        binaries::FUNCTIONS,
        fake_aws::Request,
        logging::{self, Level, Metric, PLATFORM_LINES},
        runtime_api::{TRACE, TRACE_ROOT},
    },
};
use uuid::Uuid;

/// The bytes that an event may leave in the logs at `INFO`, Lambda's own two lines among them. A ratchet for the cost
/// model: what was counted when it was written, and a quarter for longer names and numbers. A change that logs more
/// has to correct the cost model too.
const MOST_BYTES_OF_AN_EVENT: [(&str, usize); 7] = [
    ("receive-events", 1_200),
    ("change-events", 1_200),
    ("submit-imports", 900),
    ("poll-jobs", 1_500),
    // The heartbeat, which has a metric for each class of owed records.
    ("erp-full-pass", 1_500),
    ("operator", 900),
    ("console", 900),
];

/// What was wrong, and in which run.
fn assert_nothing(wrong: Vec<String>) {
    let wrong: BTreeSet<String> = wrong.into_iter().collect();
    let count = wrong.len();
    let first: Vec<String> = wrong.into_iter().take(40).collect();
    assert!(first.is_empty(), "{count} faults:\n{}", first.join("\n"));
}

#[test]
fn an_invocation_that_fails_leaves_an_error_in_the_log_group_at_every_level() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for run in runs() {
        let Some(severity) = run.scenario.severity() else {
            continue;
        };
        seen.insert((run.function, run.scenario));
        // At `ERROR` nobody asked for warnings.
        if severity < run.log_level {
            continue;
        }
        let arrived = run.log_lines().any(|line| {
            logging::level(line) >= severity && logging::survives(line, run.application_log_level)
        });
        if !arrived {
            wrong.push(format!("{run}: no {severity}"));
        }
    }
    for function in FUNCTIONS {
        assert!(
            seen.contains(&(function, Scenario::WrongSecret)),
            "{function}"
        );
        assert!(seen.contains(&(function, Scenario::Fails)), "{function}");
    }
    assert_nothing(wrong);
}

#[test]
fn a_panic_leaves_an_error_with_its_place_and_without_its_message() {
    let mut wrong = Vec::new();
    for run in runs().iter().filter(|run| run.scenario.panics()) {
        let panic = run.log_lines().find_map(|line| {
            let (value, level) = logging::parse(line).ok()?;
            (value["fields"]["message"] == "panic").then_some((value, level, line))
        });
        let Some((value, level, line)) = panic else {
            wrong.push(format!("{run}: no line"));
            continue;
        };
        let place = value["fields"]["place"].as_str().unwrap_or_default();
        if level != Level::Error || !place.contains(".rs:") {
            wrong.push(format!("{run}: {line}"));
        }
        if !logging::survives(line, run.application_log_level) {
            wrong.push(format!("{run}: dropped by Lambda"));
        }
    }
    assert_nothing(wrong);
}

#[test]
fn no_line_is_below_the_level_and_information_is_there_where_it_was_asked_for() {
    let mut wrong = Vec::new();
    for run in runs() {
        let levels: Vec<Level> = run.log_lines().map(logging::level).collect();
        if let Some(below) = levels.iter().find(|level| **level < run.log_level) {
            wrong.push(format!("{run}: a line of {below}"));
        }
        let is_told = levels.contains(&Level::Info);
        if run.scenario == Scenario::Event && run.log_level <= Level::Info && !is_told {
            wrong.push(format!("{run}: nothing of the event"));
        }
    }
    assert_nothing(wrong);
}

#[test]
fn every_line_is_json_with_a_time_and_a_level() {
    let mut wrong = Vec::new();
    for run in runs() {
        for line in run.lines() {
            if let Err(error) = logging::parse(line) {
                wrong.push(format!("{run}: {error}: {line}"));
            }
        }
    }
    assert_nothing(wrong);
}

/// The UUIDs in a line, with hyphens.
fn uuids(line: &str) -> Vec<Uuid> {
    const LENGTH: usize = 36;
    line.as_bytes()
        .windows(LENGTH)
        .filter_map(|text| Uuid::try_parse_ascii(text).ok())
        .collect()
}

#[test]
fn every_line_of_an_invocation_has_its_request_id_once_and_repeats_no_identifier() {
    let mut wrong = Vec::new();
    for run in runs() {
        for line in run.lines() {
            let ids = uuids(line);
            let distinct: BTreeSet<&Uuid> = ids.iter().collect();
            if distinct.len() < ids.len() {
                wrong.push(format!("{run}: an identifier twice: {line}"));
            }
            // The trace is in Lambda's own lines where there is one, and X-Ray knows the request id.
            if line.contains(TRACE_ROOT) {
                wrong.push(format!("{run}: the trace as a second identifier: {line}"));
            }
            let requests = ids.iter().filter(|id| run.request_ids.contains(id)).count();
            let is_of_an_invocation = !run.request_ids.is_empty() && !logging::is_metrics(line);
            if is_of_an_invocation && requests != 1 {
                wrong.push(format!("{run}: {requests} request ids: {line}"));
            }
        }
    }
    assert_nothing(wrong);
}

/// Whether a metric has the unit and the dimensions of the catalogue, which alarms and the dashboard are tested against.
fn is_of_the_catalogue(metric: &Metric) -> bool {
    catalogue::Metric::ALL.iter().any(|known| {
        let (stack, second) = match metric.dimensions.as_slice() {
            [stack] => (stack, None),
            [stack, second] => (stack, Some(second)),
            _ => return false,
        };
        let is_second = match (known.dimension(), second) {
            (None, None) => true,
            (Some((name, values)), Some((of, value))) => {
                name == of && values.contains(&value.as_str())
            }
            _ => false,
        };
        metric.name == known.name()
            && metric.unit == known.unit().as_str()
            && stack.0 == STACK_DIMENSION
            && stack.1 == "shop"
            && is_second
    })
}

/// The metrics of a run that get to CloudWatch.
fn metrics(run: &Run) -> Vec<Metric> {
    let lines = run.lines().filter(|line| logging::is_metrics(line));
    let lines = lines.filter(|line| logging::survives(line, run.application_log_level));
    lines
        .flat_map(|line| logging::metrics(line).unwrap_or_default())
        .collect()
}

#[test]
fn every_metric_line_arrives_at_every_level_and_is_one_that_cloudwatch_takes() {
    let mut wrong = Vec::new();
    let mut names: BTreeMap<(&str, Scenario), BTreeMap<Level, BTreeSet<String>>> = BTreeMap::new();
    for run in runs() {
        for line in run.lines().filter(|line| logging::is_metrics(line)) {
            match logging::metrics(line) {
                Err(error) => wrong.push(format!("{run}: {error}: {line}")),
                Ok(metrics) => {
                    for metric in metrics {
                        if metric.namespace != NAMESPACE || !is_of_the_catalogue(&metric) {
                            wrong.push(format!("{run}: {metric:?}"));
                        }
                    }
                }
            }
            if !logging::survives(line, run.application_log_level) {
                wrong.push(format!("{run}: dropped by Lambda: {line}"));
            }
        }
        let found = metrics(run).into_iter().map(|metric| metric.name).collect();
        let of = names.entry((run.function, run.scenario)).or_default();
        of.insert(run.log_level, found);
    }
    for ((function, scenario), by_level) in &names {
        let distinct: BTreeSet<&BTreeSet<String>> = by_level.values().collect();
        if distinct.len() != 1 {
            wrong.push(format!("{function}, {scenario:?}: {by_level:?}"));
        }
    }
    // What the alarms and the dashboard rest on.
    for (function, scenario, expected) in runs::METRICS {
        let found = names.get(&(*function, *scenario)).into_iter().flatten();
        for (level, found) in found {
            for metric in *expected {
                let name = metric.name();
                if !found.contains(name) {
                    wrong.push(format!("{function}, {scenario:?} at {level}: no {name}"));
                }
            }
        }
    }
    assert_nothing(wrong);
}

#[test]
fn p11_nothing_personal_and_no_secret_is_in_any_line() {
    let mut wrong = Vec::new();
    for run in runs() {
        for line in run.lines() {
            for canary in CANARIES {
                if line.contains(canary) {
                    wrong.push(format!("{run}: {canary}: {line}"));
                }
            }
        }
    }
    assert_nothing(wrong);
}

#[test]
fn what_an_event_leaves_in_the_logs_is_bounded() {
    let platform: usize = PLATFORM_LINES.iter().map(|line| line.len()).sum();
    println!("bytes of log an event; Lambda's own lines are {platform} (estimated) of the total");
    println!(
        "{:<16} {:<12} {:<6} {:>6} {:>8} {:>7}",
        "", "", "", "lines", "metrics", "total"
    );
    let mut wrong = Vec::new();
    for run in runs() {
        if !matches!(run.scenario, Scenario::Event | Scenario::Pass) {
            continue;
        }
        let arrived = run.lines();
        let arrived = arrived.filter(|line| logging::survives(line, run.application_log_level));
        let (of_metrics, of_log): (Vec<&str>, Vec<&str>) =
            arrived.partition(|line| logging::is_metrics(line));
        let bytes = |lines: &[&str]| -> usize { lines.iter().map(|line| line.len()).sum() };
        let total = bytes(&of_log) + bytes(&of_metrics) + platform * run.request_ids.len();
        println!(
            "{:<16} {:<12} {:<6} {:>6} {:>8} {total:>7}",
            run.function,
            format!("{:?}", run.scenario),
            run.log_level.to_string(),
            bytes(&of_log),
            bytes(&of_metrics),
        );
        let bound = MOST_BYTES_OF_AN_EVENT
            .into_iter()
            .find(|(function, _)| *function == run.function)
            .unwrap();
        let counts = run.scenario == Scenario::Event && run.log_level >= Level::Info;
        if counts && total > bound.1 {
            wrong.push(format!("{run}: {total} bytes"));
        }
    }
    assert_nothing(wrong);
}

/// A function without its secrets handles nothing: its messages come back after the usual wait and not only after the
/// visibility time-out of their queue, and the invocation counts as an error, for its alarm.
#[test]
fn messages_that_a_function_without_its_secrets_cannot_handle_come_back_soon() {
    let mut functions = BTreeSet::new();
    for run in runs() {
        let reads_a_queue = !matches!(run.function, "receive-events" | "operator" | "console");
        if run.scenario != Scenario::WrongSecret || !reads_a_queue {
            continue;
        }
        functions.insert(run.function);
        assert!(run.answers[0].is_err(), "{run}");
        let waits = |request: &&Request| request.target == "AmazonSQS.ChangeMessageVisibility";
        assert_eq!(run.requests.iter().filter(waits).count(), 1, "{run}");
    }
    assert_eq!(functions.len(), 4, "{functions:?}");
}

/// An error of the function would raise its alarm whenever a user mistypes or lacks a role.
#[test]
fn what_a_user_of_the_console_is_refused_is_an_answer_and_no_error_of_the_function() {
    let mut refused = 0;
    for run in runs() {
        if (run.function, run.scenario) != ("operator", Scenario::Unauthorised) {
            continue;
        }
        let answer = run.answers[0].as_ref();
        let answer = answer.unwrap_or_else(|error| panic!("{run}: {error}"));
        assert_eq!(answer["refused"]["kind"], "role", "{run}");
        refused += 1;
    }
    assert!(refused > 0);
}

/// This is what lets AWS count a chain of invocations through the queues, and why the template allows recursion
/// (`RecursiveLoop: Allow`): a pass and a poll go on through many of them. Should this fail, the reason in the template
/// does not hold any more.
#[test]
fn what_a_function_sends_to_aws_carries_the_trace_of_its_invocation() {
    let mut wrong = Vec::new();
    let mut functions = BTreeSet::new();
    for run in runs() {
        for request in &run.requests {
            functions.insert(run.function);
            if request.trace.as_deref() != Some(TRACE) {
                wrong.push(format!(
                    "{run}: {} with {:?}",
                    request.target, request.trace
                ));
            }
        }
    }
    assert_eq!(functions.len(), FUNCTIONS.len(), "{functions:?}");
    assert_nothing(wrong);
}

#[test]
fn where_the_format_is_text_lines_can_be_read_and_are_found_by_the_operator() {
    let run = runs()
        .iter()
        .find(|run| run.scenario == Scenario::Text)
        .unwrap();
    let lines: Vec<&str> = run.log_lines().collect();
    let subject = customer(TEXT_CUSTOMER).to_string();
    let line = lines.iter().find(|line| line.contains(&subject)).unwrap();
    assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
    assert!(line.chars().all(|sign| !sign.is_control()), "{line:?}");
    assert!(line.contains(" INFO "), "{line}");
    let at = chrono::Utc::now();
    let text = (*line).to_owned();
    let said = LogLine { at, text }.said();
    assert!(said.starts_with("event accepted "), "{said}");
}

#[test]
fn lambda_drops_nothing_that_the_template_lets_a_function_write() {
    for level in Level::CHOICES {
        let application = template_log_level(level);
        assert!(
            application <= level,
            "{level}: Lambda lets through {application} and above"
        );
        assert!(
            application <= Level::Info,
            "{level}: metric lines are dropped"
        );
    }
}
