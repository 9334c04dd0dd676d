//! `receive-events` warm, in one process: from the bytes that the Runtime API hands over to the bytes that it gets back,
//! log lines included, with queues in memory. What is missing of a real invocation are the two calls of the Runtime API
//! and the one of SQS.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

mod measurement;

use std::{hint::black_box, sync::Arc, time::Duration};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use measurement::{event_post, log_to_nowhere, machine, median, micros, per_second, thread_time};
use receive_events::{Configuration, MAX_BODY_BYTES, ReceiveEvents};
use serde_json::json;
use shared::{
    domain::{ChangeMessage, JobMessage},
    http::ReqwestTransport,
    queues::Message,
    runtime::secrets::Secrets,
};
use tests::{
    memory::{MemoryQueue, Redrive},
    resources::{MemoryResources, MemorySecrets, environment},
};

const SECRET: &str = "a-secret-of-the-usual-length-4b1f";
/// Few, so that the queue in memory, which is slower the longer it is, does not count.
const REQUESTS_PER_ROUND: u32 = 200;
const ROUNDS: usize = 301;

/// What comes, and how it is answered.
fn cases() -> Vec<(&'static str, Vec<u8>, i64)> {
    let customer = json!({
        "ClientId": 1006,
        "CustomerId": 4711,
        "EntityChanged": "tClientCustomer"
    });
    let customer = customer.to_string();
    let order = json!({
        "ClientId": 1006,
        "ApplicationId": 1,
        "ClientOrderRef": "1234567",
        "Source": "WEB",
        "Email": "anna@example.com",
        "FirstName": "Anna",
        "LastName": "Ek"
    });
    let order = order.to_string();
    let job = json!({ "ClientId": 1006, "JobId": 99, "StatusId": 2 }).to_string();
    let too_long = format!(r#"{{"CustomerId":1,"x":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    vec![
        (
            "customer changed",
            event_post("/events/customer-changed", SECRET, &customer),
            202,
        ),
        (
            "order received",
            event_post("/events/order-received", SECRET, &order),
            202,
        ),
        (
            "job completed",
            event_post("/events/job-completed", SECRET, &job),
            202,
        ),
        (
            "wrong secret",
            event_post("/events/customer-changed", "guess", &customer),
            401,
        ),
        (
            "not JSON",
            event_post("/events/customer-changed", SECRET, "<xml/>"),
            400,
        ),
        (
            "longer than 64 KiB",
            event_post("/events/customer-changed", SECRET, &too_long),
            400,
        ),
    ]
}

fn drain<M: Message>(queue: &MemoryQueue<M>) {
    for message in queue.receive(usize::MAX) {
        queue.delete(&message.receipt);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    log_to_nowhere();
    let redrive = Redrive {
        visibility: Duration::from_secs(720),
        max_receives: 50,
    };
    let changes = Arc::new(MemoryQueue::fifo(redrive));
    let jobs = Arc::new(MemoryQueue::standard(redrive));
    let events = json!({ "current": SECRET, "previous": "the-secret-that-was-in-use-before" });
    let resources = MemoryResources {
        secrets: Secrets::of(MemorySecrets([("events", events)].into())),
        ..MemoryResources::new(Arc::new(ReqwestTransport::new().expect("a client")))
    };
    let resources = resources
        .with_queue::<ChangeMessage>("changes", changes.clone())
        .with_queue::<JobMessage>("jobs", jobs.clone());
    let configuration = Configuration::read(environment(&[])).expect("a configuration");
    let function = ReceiveEvents::build(configuration, &resources);
    println!("receive-events, warm, in one process ({})", machine());
    println!("{:<20} {:>10} {:>16}", "", "processor", "one core");
    for (name, bytes, status) in cases() {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = thread_time();
            for _ in 0..REQUESTS_PER_ROUND {
                let mut payload = serde_json::Deserializer::from_slice(black_box(&bytes));
                // `lambda_runtime` reads payloads like this.
                let request: ApiGatewayV2httpRequest =
                    serde_path_to_error::deserialize(&mut payload).expect("a payload");
                let response = function.handle(&request).await;
                assert_eq!(response.status_code, status, "{name}");
                black_box(serde_json::to_vec(&response).expect("a response"));
            }
            rounds.push((thread_time() - start) / REQUESTS_PER_ROUND);
            drain(&changes);
            drain(&jobs);
        }
        let time = median(rounds);
        println!("{name:<20} {:>10} {:>16}", micros(time), per_second(time));
    }
}
