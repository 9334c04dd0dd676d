//! Memory and processor time over many events.

use std::{path::Path, time::Duration};

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use aws_types::SdkConfig;
use chrono::Utc;
use serde::de::DeserializeOwned;
use serde_json::json;
use shared::{
    domain::{Cause, ChangeMessage, ImportRequest, JobMessage},
    queues::Message,
};
use tests::{
    bundle::customer,
    business_central_simulator,
    lambda::{environment, remotes::Remotes},
    local_aws::{LocalAws, Tools, create_table},
    samples::resident,
};
use uuid::Uuid;

use super::{
    CHECKPOINTS, EVENT_SECRET,
    measurement::{event_post, sqs_event},
    print_memory, started,
};

/// Messages of an invocation, as in the template.
const BATCH: usize = 10;
const IMPORTS_BATCH: usize = 100;

fn events() -> usize {
    CHECKPOINTS[CHECKPOINTS.len() - 1]
}

/// Runs invocations, each with so many events, and prints what it took.
async fn run(
    name: &str,
    binary: &Path,
    environment: &[(String, String)],
    invocations: impl IntoIterator<Item = (usize, Vec<u8>)>,
    is_well: impl Fn(&serde_json::Value) -> bool,
) {
    let mut process = started(binary, environment).await;
    process.until_ready().await.expect("it is ready");
    let mut done = 0;
    let mut checkpoints = Vec::new();
    let mut processor = Vec::new();
    for (events, payload) in invocations {
        let answered = process.invoke(payload).await.expect("it answers");
        let answer = answered.answer.expect("no error");
        assert!(is_well(&answer), "{name}: {answer}");
        done += events;
        if CHECKPOINTS.contains(&done) {
            checkpoints.push(process.memory().expect("it runs"));
            processor.push((done, process.processor_time().expect("it runs")));
        }
    }
    let per_event = match (processor.first(), processor.last()) {
        (Some((first, before)), Some((last, after))) if first < last => {
            (*after - *before) / u32::try_from(last - first).unwrap_or(u32::MAX)
        }
        _ => Duration::ZERO,
    };
    print_memory(name, &checkpoints, per_event);
    process.end().await.expect("it ends");
}

/// `receive-events`, one event per invocation.
pub(crate) async fn receive_events(binary: &Path, environment: &[(String, String)]) {
    let post = |number: usize| {
        let body =
            json!({ "ClientId": 1006, "CustomerId": number, "EntityChanged": "tClientCustomer" });
        (
            1,
            event_post("/events/customer-changed", EVENT_SECRET, &body.to_string()),
        )
    };
    let posts = (1..=events()).map(post);
    run("receive-events", binary, environment, posts, |answer| {
        answer["statusCode"] == 202
    })
    .await;
}

fn is_well(answer: &serde_json::Value) -> bool {
    answer["batchItemFailures"] == json!([])
}

/// Invocations with `batch` messages each.
fn invocations<M: Message>(
    messages: &[M],
    batch: usize,
    group: impl Fn(&M) -> Option<String> + Copy,
) -> impl Iterator<Item = (usize, Vec<u8>)> {
    messages
        .chunks(batch)
        .map(move |messages| (messages.len(), sqs_event(messages, group)))
}

/// The three others, each with what the one before has put on its queue: 10,000 customers are created in the ERP, their
/// codes submitted to Norce in a job each, and the jobs polled.
pub(crate) async fn sqs_functions(binaries: &Path) {
    let tools = Tools::ministack(|step: &str| println!("{step}"))
        .await
        .expect("MiniStack is installed");
    let aws = LocalAws::start(&tools, "benchmark", &[])
        .await
        .expect("MiniStack starts");
    let config = aws.aws_config();

    let erp = business_central_simulator::Settings {
        requests_per_window: usize::MAX,
        ..business_central_simulator::Settings::default()
    };
    let remotes = Remotes::serve("benchmark", "norce-client-secret", erp).await;
    let remotes = remotes.expect("a port");
    let norce = &remotes.norce;
    let customers: Vec<i64> = (0..events())
        .map(|number| norce.add_customer(resident(number)))
        .collect();

    let mut environment = remotes.variables(&aws.endpoint(), &remotes.addresses);
    let mut set = |name: &str, value: String| environment::set(&mut environment, name, value);
    for name in ["breakers", "code-mappings", "owed", "import-jobs", "passes"] {
        create_table(&config, name).await.expect("a table");
    }
    secret(&config, "fingerprint", json!({ "key": "benchmark" })).await;
    for (name, value) in remotes.secrets() {
        secret(&config, name, value).await;
    }
    for (variable, name) in [
        ("CHANGES_QUEUE_URL", "changes.fifo"),
        ("CHANGES_DEAD_LETTER_QUEUE_URL", "changes-dead.fifo"),
        ("IMPORTS_QUEUE_URL", "imports"),
        ("IMPORTS_DEAD_LETTER_QUEUE_URL", "imports-dead"),
        ("JOBS_QUEUE_URL", "jobs"),
        ("JOBS_DEAD_LETTER_QUEUE_URL", "jobs-dead"),
    ] {
        set(variable, queue(&config, name).await);
    }
    let url = |name: &str| {
        let variable = environment.iter().find(|(known, _)| known == name);
        variable.map(|(_, url)| url.clone()).expect("it is set")
    };

    let changes: Vec<ChangeMessage> = customers
        .iter()
        .map(|id| ChangeMessage::Entity {
            entity: customer(*id),
            cause: Cause::Changed,
            received_at: Utc::now(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        })
        .collect();
    let group = |message: &ChangeMessage| Some(message.group());
    let invoked = invocations(&changes, BATCH, group);
    run(
        "change-events",
        &binaries.join("change-events"),
        &environment,
        invoked,
        is_well,
    )
    .await;

    let imports: Vec<ImportRequest> = drain(&config, &url("IMPORTS_QUEUE_URL")).await;
    assert_eq!(imports.len(), events());
    let invoked = invocations(&imports, IMPORTS_BATCH, |_| None);
    run(
        "submit-imports",
        &binaries.join("submit-imports"),
        &environment,
        invoked,
        is_well,
    )
    .await;

    norce.settled().await;
    let jobs: Vec<JobMessage> = drain(&config, &url("JOBS_QUEUE_URL")).await;
    assert_eq!(jobs.len(), events());
    let invoked = invocations(&jobs, BATCH, |_| None);
    run(
        "poll-jobs",
        &binaries.join("poll-jobs"),
        &environment,
        invoked,
        is_well,
    )
    .await;
    let has_code = |id: &&i64| {
        let record = norce.customer(**id);
        record.is_some_and(|record| record.row.customer_code.is_some())
    };
    assert_eq!(customers.iter().filter(has_code).count(), events());
}

async fn secret(config: &SdkConfig, name: &str, value: serde_json::Value) {
    aws_sdk_secretsmanager::Client::new(config)
        .create_secret()
        .name(name)
        .secret_string(value.to_string())
        .send()
        .await
        .expect("a secret");
}

async fn queue(config: &SdkConfig, name: &str) -> String {
    let mut request = aws_sdk_sqs::Client::new(config)
        .create_queue()
        .queue_name(name);
    if name.ends_with(".fifo") {
        request = request.attributes(QueueAttributeName::FifoQueue, "true");
    }
    let queue = request.send().await.expect("a queue");
    queue.queue_url.expect("a URL")
}

/// Takes everything off a queue.
async fn drain<M: DeserializeOwned>(config: &SdkConfig, url: &str) -> Vec<M> {
    /// The first polls of jobs are sent with a delay of a few seconds.
    const LONGEST_WAIT_SECONDS: i32 = 10;
    const MOST: i32 = 10;
    let sqs = aws_sdk_sqs::Client::new(config);
    let mut bodies = Vec::new();
    loop {
        let answer = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(MOST)
            .wait_time_seconds(LONGEST_WAIT_SECONDS)
            .send()
            .await
            .expect("messages");
        let messages = answer.messages.unwrap_or_default();
        if messages.is_empty() {
            return bodies;
        }
        let entries = messages.iter().enumerate().map(|(number, message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(message.receipt_handle.clone().expect("a receipt"))
                .build()
                .expect("an entry")
        });
        sqs.delete_message_batch()
            .queue_url(url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .expect("an answer");
        for message in messages {
            let body = message.body.unwrap_or_default();
            bodies.push(serde_json::from_str(&body).expect("a message"));
        }
    }
}
