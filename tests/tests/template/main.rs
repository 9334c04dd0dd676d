//! Rules of the template that only a real account would enforce, each over all resources of its kind, so that a new
//! function, queue or table is covered.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

mod console;
mod environment;
mod kinds;
mod names;
mod options;
mod outliving;
mod parameters;
mod samconfig;

use serde_json::{Value, json};
use shared::runtime::batch::{DELIVERIES_BEFORE_REQUEUE, LONGEST_WAIT};
use tests::template::{Rendered, Stack, Template};

use parameters::{EVERY_OPTION, REQUIRED, with};

/// The longest name of a stack whose functions' names fit: Lambda takes 64 characters, and the longest name of a function
/// adds 15 to the stack's. The README says so.
const LONGEST_STACK_NAME: usize = 49;
/// The longest time that an HTTP API waits for an integration (API Gateway quotas, "Maximum integration timeout").
const LONGEST_INTEGRATION_MILLISECONDS: u64 = 30_000;
/// How long Norce waits for the answer to a post (norce-api §6).
const NORCE_WAITS_MILLISECONDS: u64 = 5_000;
/// How long the AWS CLI and `sam remote invoke` wait for an answer before they ask again: the `read_timeout` of botocore.
const COMMAND_LINE_WAITS_SECONDS: u64 = 60;
/// More than a cold start of any function takes (tests/benches/README.md).
const COLD_START_SECONDS: u64 = 5;

fn template() -> Template {
    Template::load().unwrap()
}

fn stack() -> Stack {
    Stack::with_name_of(LONGEST_STACK_NAME)
}

fn render(parameters: &[(&str, &str)]) -> Rendered {
    template().render(&stack(), parameters).unwrap()
}

/// The template with no option on, and with every option on.
fn renderings() -> [Rendered; 2] {
    [render(REQUIRED), render(&with(REQUIRED, EVERY_OPTION))]
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Each queue that a function reads: the queue's name and properties, the function's, and the mapping's properties.
fn sources(rendered: &Rendered) -> Vec<(&str, &Value, &Value, &Value)> {
    let mappings = rendered.of_type("AWS::Lambda::EventSourceMapping");
    let sources = mappings.map(|(name, mapping)| {
        let mapping = &mapping["Properties"];
        let (queue, resource) = rendered
            .resource_of("AWS::SQS::Queue", &mapping["EventSourceArn"])
            .unwrap_or_else(|| panic!("{name} reads no queue of the template"));
        let function = rendered
            .functions()
            .find(|(_, function)| function["Properties"]["FunctionName"] == mapping["FunctionName"])
            .unwrap_or_else(|| panic!("{name} calls no function of the template"))
            .1;
        (
            queue,
            &resource["Properties"],
            &function["Properties"],
            mapping,
        )
    });
    sources.collect()
}

/// Lambda ends a chain of about 16 invocations that goes through SQS unless the function allows it: passes, polls and
/// batches that are halved make longer ones by design.
#[test]
fn no_function_is_stopped_as_a_loop() {
    for rendered in renderings() {
        assert!(rendered.functions().count() >= 6);
        for (name, function) in rendered.functions() {
            assert_eq!(function["Properties"]["RecursiveLoop"], "Allow", "{name}");
        }
    }
}

#[test]
fn no_message_that_only_waits_becomes_a_dead_letter() {
    // It is sent again at the first delivery that finds the count reached; the rest is for deliveries that were cut off.
    let margin = 2;
    for rendered in renderings() {
        let mut with_redrive = 0;
        for (name, queue) in rendered.of_type("AWS::SQS::Queue") {
            let redrive = &queue["Properties"]["RedrivePolicy"];
            if redrive.is_null() {
                continue;
            }
            with_redrive += 1;
            let count = number(&redrive["maxReceiveCount"]);
            let least = u64::from(DELIVERIES_BEFORE_REQUEUE * margin);
            assert!(count >= least, "{name}: {count} deliveries, {least} needed");
            // What SQS accepts.
            assert!(count <= 1_000, "{name}: {count} deliveries");
        }
        for (name, queue, ..) in sources(&rendered) {
            assert!(!queue["RedrivePolicy"].is_null(), "{name}");
        }
        assert!(with_redrive >= 4);
    }
}

/// However long a remote asks to wait, SQS must not drop a message before it is sent again.
#[test]
fn a_message_that_only_waits_is_sent_again_before_its_queue_drops_it() {
    let longest = (LONGEST_WAIT * DELIVERIES_BEFORE_REQUEUE).as_secs();
    for rendered in renderings() {
        for (name, queue, ..) in sources(&rendered) {
            let kept = number(&queue["MessageRetentionPeriod"]);
            assert!(kept > longest, "{name}: {kept} s, {longest} s needed");
        }
    }
}

/// A message of a standard queue keeps its age when it moves to the dead-letter queue.
#[test]
fn a_dead_letter_is_kept_at_least_as_long_as_its_queue_keeps_messages() {
    for rendered in renderings() {
        for (name, queue) in rendered.of_type("AWS::SQS::Queue") {
            let queue = &queue["Properties"];
            let Some((_, dead_letters)) = rendered.resource_of(
                "AWS::SQS::Queue",
                &queue["RedrivePolicy"]["deadLetterTargetArn"],
            ) else {
                assert!(queue["RedrivePolicy"].is_null(), "{name}");
                continue;
            };
            let dead_letters = &dead_letters["Properties"];
            let kept = |queue: &Value| number(&queue["MessageRetentionPeriod"]);
            assert!(kept(dead_letters) >= kept(queue), "{name}");
            assert_eq!(dead_letters["FifoQueue"], queue["FifoQueue"], "{name}");
        }
    }
}

/// AWS advises six times the function's timeout and the batching window, so that a throttled batch is not delivered a
/// second time meanwhile.
#[test]
fn a_message_stays_invisible_while_its_function_may_work_on_it() {
    // A pass holds a lease against a second delivery, and goes on soon after an invocation that died.
    let exceptions = ["PassesQueue"];
    let mut seen = Vec::new();
    for rendered in renderings() {
        for (name, queue, function, mapping) in sources(&rendered) {
            let timeout = number(&function["Timeout"]);
            let window = &mapping["MaximumBatchingWindowInSeconds"];
            let window = if window.is_null() { 0 } else { number(window) };
            let visibility = number(&queue["VisibilityTimeout"]);
            if exceptions.contains(&name) {
                assert!(visibility > timeout, "{name}");
                seen.push(name.to_owned());
            } else {
                assert!(visibility >= 6 * timeout + window, "{name}");
            }
            // Lambda counts failures per message only where it is asked to.
            assert_eq!(
                mapping["FunctionResponseTypes"],
                json!(["ReportBatchItemFailures"]),
                "{name}"
            );
        }
    }
    assert!(
        exceptions
            .iter()
            .all(|name| seen.iter().any(|seen| seen == name))
    );
}

/// Every caller of a function waits at least as long as the function may run, so that none is cut off in the middle of its work.
#[test]
fn a_function_ends_before_its_caller_gives_up() {
    for rendered in renderings() {
        let mut integrations = 0;
        for (name, integration) in rendered.of_type("AWS::ApiGatewayV2::Integration") {
            let integration = &integration["Properties"];
            let uri = integration["IntegrationUri"].as_str().unwrap();
            let (_, function) = rendered
                .functions()
                .find(|(_, function)| {
                    let function = function["Properties"]["FunctionName"].as_str().unwrap();
                    uri.ends_with(&format!(":{function}"))
                })
                .unwrap_or_else(|| panic!("{name} calls no function"));
            let waits = number(&integration["TimeoutInMillis"]);
            let runs = number(&function["Properties"]["Timeout"]) * 1_000;
            assert!(waits >= runs, "{name}");
            assert!(waits <= LONGEST_INTEGRATION_MILLISECONDS, "{name}");
            // The function answers by itself within Norce's time: this is for a slow start only.
            assert!(runs >= NORCE_WAITS_MILLISECONDS, "{name}");
            integrations += 1;
        }
        assert!(integrations > 0);
        // What neither a queue, an API nor a schedule calls is called by a person.
        let called: Vec<String> = rendered
            .resources
            .values()
            .filter(|resource| {
                let kind = resource["Type"].as_str().unwrap();
                kind == "AWS::Lambda::EventSourceMapping"
                    || kind == "AWS::ApiGatewayV2::Integration"
                    || kind == "AWS::Scheduler::Schedule"
            })
            .map(Value::to_string)
            .collect();
        let mut by_person = Vec::new();
        for (name, function) in rendered.functions() {
            let function = &function["Properties"];
            let own = function["FunctionName"].as_str().unwrap();
            let own = [format!("\"{own}\""), format!(":{own}\"")];
            let is_called = called
                .iter()
                .any(|caller| own.iter().any(|own| caller.contains(own)));
            if !is_called {
                by_person.push(name);
                // Time for a cold start is added to the function's own.
                let longest = number(&function["Timeout"]) + COLD_START_SECONDS;
                assert!(longest < COMMAND_LINE_WAITS_SECONDS, "{name}");
            }
        }
        assert_eq!(by_person, ["Operator"]);
        for (name, function) in rendered.functions() {
            // Lambda's limit.
            assert!(number(&function["Properties"]["Timeout"]) <= 900, "{name}");
        }
    }
}

#[test]
fn the_longest_stack_name_fits_the_names_of_the_functions() {
    let longest = |stack: usize| {
        let stack = Stack::with_name_of(stack);
        let rendered = template().render(&stack, REQUIRED).unwrap();
        let names = rendered.functions().map(|(_, function)| {
            let name = function["Properties"]["FunctionName"].as_str();
            name.unwrap().len()
        });
        names.max().unwrap()
    };
    assert_eq!(longest(LONGEST_STACK_NAME), 64);
    assert!(longest(LONGEST_STACK_NAME + 1) > 64);
}

/// Turning `OrderReceiver` off must not delete orders that the merchant's order integration has not read yet.
#[test]
fn orders_outlive_their_receiver() {
    let orders = [
        ("OrderReceiver", "true"),
        (
            "OrderSecretArn",
            "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:orders-AbCdEf",
        ),
    ];
    let (on, off) = (render(&with(REQUIRED, &orders)), render(REQUIRED));
    for kind in ["AWS::SQS::Queue", "AWS::DynamoDB::Table"] {
        assert!(on.of_type(kind).count() > 0);
        for (name, resource) in on.of_type(kind) {
            assert_eq!(off.resources.get(name), Some(resource), "{name}");
        }
    }
    for output in ["OutgoingOrdersQueueUrl", "OutgoingOrdersDeadLetterQueueUrl"] {
        assert!(off.outputs.contains_key(output), "{output}");
    }
}

/// What holds what cannot be had again: it outlives its stack unless asked otherwise, and never outlives a first
/// deployment that failed.
#[test]
fn data_outlives_the_stack_and_a_failed_first_deployment_leaves_nothing() {
    // They hold nothing that is not found out again: which remotes are down, and work that Norce or the ERP repeats or that
    // a pass finds. People sign in to the console again.
    let exceptions = ["Breakers", "ResourceNames", "ConsoleKey", "ConsoleClient"];
    let of_orders = ["OutgoingOrdersQueue", "OutgoingOrdersDeadLetterQueue"];
    for (policy, deletion) in [("Retain", "RetainExceptOnCreate"), ("Delete", "Delete")] {
        let console = ("Console", "cognito");
        let rendered = render(&with(REQUIRED, &[("TableDeletionPolicy", policy), console]));
        let mut retained = 0;
        for (name, resource) in &rendered.resources {
            let keeps_data = match resource["Type"].as_str().unwrap() {
                "AWS::DynamoDB::Table" | "AWS::S3::Bucket" | "AWS::SecretsManager::Secret" => {
                    !exceptions.contains(&name.as_str())
                }
                "AWS::SQS::Queue" => of_orders.contains(&name.as_str()),
                _ => false,
            };
            let attributes = (
                &resource["DeletionPolicy"],
                &resource["UpdateReplacePolicy"],
            );
            if keeps_data {
                assert_eq!(attributes, (&json!(deletion), &json!(policy)), "{name}");
                retained += 1;
            } else {
                assert_eq!(attributes, (&Value::Null, &Value::Null), "{name}");
            }
        }
        assert!(retained >= 9, "{retained}");
    }
}
