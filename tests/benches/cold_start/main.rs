//! The functions as processes, under a Runtime API on loopback:
//!
//! 1. their size, and the time from the start of the process to the first request for an event, next to that of a
//!    function that does nothing;
//! 2. how long after a cold start `receive-events` has answered;
//! 3. memory and processor time over 10,000 events.
//!
//! It builds the functions itself, with the release profile. After `--`, the word `starts` leaves out 3, and `--beside` with a
//! directory measures the functions there, of another version, in turns with them.
//!
//! `receive-events` talks to stand-ins of Secrets Manager and SQS that answer at once; the others to MiniStack and to the
//! simulators, over sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

#[path = "../measurement/mod.rs"]
mod measurement;
mod memory;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use measurement::{event_post, machine, median, megabytes, millis};
use serde_json::json;
use tests::lambda::{
    binaries::{self, Build, FUNCTIONS},
    environment::every_variable,
    fake_aws::FakeAws,
    runtime_api::{FunctionProcess, Memory, Output},
};

const EMPTY: &str = "empty-function";
/// Starts of each, taken in turns, so that they all have the same of what else the machine does.
const STARTS: usize = 101;
const EVENT_SECRET: &str = "a-secret-of-the-usual-length-4b1f";
/// Events after which memory is looked at.
const CHECKPOINTS: [usize; 3] = [1_000, 5_000, 10_000];

fn main() {
    let packages: Vec<&str> = FUNCTIONS.into_iter().chain([EMPTY]).collect();
    let binaries = binaries::build(&packages, Build::Release).expect("the functions build");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let aws = FakeAws::serve().await.expect("a port");
        aws.set_secret("event", json!({ "current": EVENT_SECRET }).to_string());
        let environment = every_variable(&aws.endpoint);
        println!("\n{}", machine());
        let directories: Vec<PathBuf> = [binaries].into_iter().chain(beside()).collect();
        starts(&directories, &environment).await;
        for binaries in &directories {
            first_answer(binaries, &environment).await;
        }
        if std::env::args().any(|argument| argument == "starts") {
            return;
        }
        println!("\nmemory and processor time per event ({})", machine());
        println!(
            "{:<16} {:>10} {:>10} {:>10} {:>10} {:>12}",
            "", "1,000", "5,000", "10,000", "peak", "processor"
        );
        for binaries in &directories {
            println!("{}", binaries.display());
            memory::receive_events(&binaries.join("receive-events"), &environment).await;
            memory::sqs_functions(binaries).await;
        }
    });
}

/// The directory after `--beside`.
fn beside() -> Option<PathBuf> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--beside");
    arguments.next()?;
    Some(measurement::beside(arguments.next()))
}

async fn started(binary: &Path, environment: &[(String, String)]) -> FunctionProcess {
    let process = FunctionProcess::start(binary, environment, Output::Discarded).await;
    process.expect("the function starts")
}

async fn starts(directories: &[PathBuf], environment: &[(String, String)]) {
    let functions = FUNCTIONS.into_iter().flat_map(|name| {
        let there = directories.iter().map(move |binaries| binaries.join(name));
        there.filter(|binary| binary.exists())
    });
    let binaries: Vec<PathBuf> = [directories[0].join(EMPTY)]
        .into_iter()
        .chain(functions)
        .collect();
    let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); binaries.len()];
    for _ in 0..STARTS {
        for (binary, (times, processor, resident)) in binaries.iter().zip(&mut samples) {
            let mut process = started(binary, environment).await;
            times.push(process.until_ready().await.expect("it is ready"));
            processor.push(process.processor_time().expect("it runs"));
            resident.push(process.memory().expect("it runs").resident);
            process.end().await.expect("it ends");
        }
    }
    let medians: Vec<(Duration, Duration, u64)> = samples
        .into_iter()
        .map(|(times, processor, resident)| (median(times), median(processor), median(resident)))
        .collect();
    let (empty_time, empty_processor, _) = medians[0];
    println!(
        "{:<16} {:>9} {:>10} {:>6} {:>12} {:>6} {:>10}",
        "", "size", "start", "ratio", "processor", "ratio", "memory"
    );
    for (binary, (time, processor, resident)) in binaries.iter().zip(medians) {
        let size = binary.metadata().expect("a binary").len();
        let name = binary.file_name().expect("a name").to_string_lossy();
        println!(
            "{name:<16} {:>9} {:>10} {:>6.2} {:>12} {:>6.2} {:>10}",
            megabytes(size),
            millis(time),
            time.as_secs_f64() / empty_time.as_secs_f64(),
            millis(processor),
            processor.as_secs_f64() / empty_processor.as_secs_f64(),
            megabytes(resident),
        );
    }
}

async fn first_answer(binaries: &Path, environment: &[(String, String)]) {
    let body = json!({ "ClientId": 1006, "CustomerId": 4711, "EntityChanged": "tClientCustomer" });
    let payload = event_post("/events/customer-changed", EVENT_SECRET, &body.to_string());
    let binary = binaries.join("receive-events");
    let mut times = Vec::with_capacity(STARTS);
    let mut processor = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let mut process = started(&binary, environment).await;
        let answered = process.until_answered(payload.clone()).await;
        times.push(answered.expect("it answers"));
        processor.push(process.processor_time().expect("it runs"));
        process.end().await.expect("it ends");
    }
    println!(
        "receive-events, process start to the first event answered: {} (processor {})",
        millis(median(times)),
        millis(median(processor)),
    );
}

/// A line of the table of memory.
fn print_memory(name: &str, checkpoints: &[Memory], per_event: Duration) {
    let resident: Vec<String> = checkpoints
        .iter()
        .map(|memory| format!("{:>10}", megabytes(memory.resident)))
        .collect();
    let peak = checkpoints.last().map_or(0, |memory| memory.peak);
    println!(
        "{name:<16} {} {:>10} {:>12}",
        resident.join(" "),
        megabytes(peak),
        measurement::micros(per_event),
    );
}
