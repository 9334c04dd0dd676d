//! The functions as processes, under a Runtime API on loopback:
//!
//! 1. their size, and the time from the start of the process to the first request for an event, next to that of a
//!    function that does nothing;
//! 2. how long after a cold start `receive-events` has answered;
//! 3. memory and processor time over 10,000 events.
//!
//! It builds the functions itself, with the release profile. The word `starts` after `--` leaves out 3.
//!
//! `receive-events` talks to stand-ins of Secrets Manager and SQS that answer at once; the others to MiniStack and to the
//! simulators, over sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

mod fake_aws;
#[path = "../measurement/mod.rs"]
mod measurement;
mod memory;
mod runtime_api;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use measurement::{event_post, machine, median, millis};
use runtime_api::{FunctionProcess, Memory};
use serde_json::json;
use tests::local_aws::{REGION, ROOT_KEY};
use uuid::Uuid;

const FUNCTIONS: [&str; 6] = [
    "receive-events",
    "change-events",
    "submit-imports",
    "poll-jobs",
    "erp-full-pass",
    "operator",
];
const EMPTY: &str = "empty-function";
/// Starts of each, taken in turns, so that they all have the same of what else the machine does.
const STARTS: usize = 101;
const EVENT_SECRET: &str = "a-secret-of-the-usual-length-4b1f";
/// Events after which memory is looked at.
const CHECKPOINTS: [usize; 3] = [1_000, 5_000, 10_000];

fn main() {
    let binaries = build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let aws = fake_aws::serve(EVENT_SECRET).await;
        let environment = environment(&aws);
        println!("\n{}", machine());
        starts(&binaries, &environment).await;
        first_answer(&binaries, &environment).await;
        if std::env::args().any(|argument| argument == "starts") {
            return;
        }
        println!("\nmemory and processor time per event ({})", machine());
        println!(
            "{:<16} {:>10} {:>10} {:>10} {:>10} {:>12}",
            "", "1,000", "5,000", "10,000", "peak", "processor"
        );
        memory::receive_events(&binaries.join("receive-events"), &environment).await;
        memory::sqs_functions(&binaries).await;
    });
}

/// Builds with the release profile; the directory of the binaries.
fn build() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(cargo);
    build.args(["build", "--release"]);
    for package in FUNCTIONS.into_iter().chain([EMPTY]) {
        build.args(["--package", package]);
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What `cargo bench` has told this program of its own package would make build scripts run again.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(name);
        }
    }
    assert!(
        build.status().expect("cargo runs").success(),
        "the build failed"
    );
    // This program is in `release/deps` too.
    let program = std::env::current_exe().expect("a path");
    let directory = program.parent().and_then(Path::parent);
    directory.expect("a target directory").to_owned()
}

/// Everything that any of the functions reads, where nothing but the AWS address is reached.
fn environment(aws: &str) -> Vec<(String, String)> {
    let applications = json!([{ "id": 1, "key": Uuid::from_u128(1) }]).to_string();
    let company = Uuid::from_u128(0xb1).to_string();
    [
        ("AWS_ACCESS_KEY_ID", ROOT_KEY),
        ("AWS_SECRET_ACCESS_KEY", ROOT_KEY),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", aws),
        ("NORCE_BASE_URL", "http://localhost:9"),
        ("NORCE_SCOPE", "prod"),
        ("NORCE_SECRET_ARN", "norce"),
        ("NORCE_ACCOUNT_ID", "17"),
        ("NORCE_APPLICATIONS", &applications),
        ("ERP_KIND", "business-central"),
        ("ERP_BASE_URL", "http://localhost:9"),
        ("ERP_TOKEN_URL", "http://localhost:9"),
        ("ERP_SECRET_ARN", "erp"),
        ("ERP_COMPANY", &company),
        ("CREATE_IN_ERP", "always"),
        // A line is a job, so that the poller has as many jobs to look after.
        ("IMPORT_BATCH_SIZE", "1"),
        ("EVENT_SECRET_ARN", "event"),
        ("FINGERPRINT_SECRET_ARN", "fingerprint"),
        ("CODE_MAPPINGS_TABLE", "code-mappings"),
        ("BREAKERS_TABLE", "breakers"),
        ("OWED_TABLE", "owed"),
        ("IMPORT_JOBS_TABLE", "import-jobs"),
        ("PASSES_TABLE", "passes"),
        ("REPORTS_BUCKET", "reports"),
        ("RECEIVE_EVENTS_LOG_GROUP", "receive-events"),
        ("CHANGE_EVENTS_LOG_GROUP", "change-events"),
        (
            "CHANGES_QUEUE_URL",
            "http://localhost:9/000000000000/changes.fifo",
        ),
        (
            "CHANGES_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead.fifo",
        ),
        (
            "IMPORTS_QUEUE_URL",
            "http://localhost:9/000000000000/imports",
        ),
        (
            "IMPORTS_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
        ("JOBS_QUEUE_URL", "http://localhost:9/000000000000/jobs"),
        ("PASSES_QUEUE_URL", "http://localhost:9/000000000000/passes"),
        (
            "PASSES_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
        (
            "JOBS_DEAD_LETTER_QUEUE_URL",
            "http://localhost:9/000000000000/dead",
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

async fn starts(binaries: &Path, environment: &[(String, String)]) {
    let names: Vec<&str> = [EMPTY].into_iter().chain(FUNCTIONS).collect();
    let mut samples = vec![(Vec::new(), Vec::new(), Vec::new()); names.len()];
    for _ in 0..STARTS {
        for (name, (times, processor, resident)) in names.iter().zip(&mut samples) {
            let mut process = FunctionProcess::start(&binaries.join(name), environment).await;
            times.push(process.until_ready().await);
            processor.push(process.processor_time());
            resident.push(process.memory().resident);
            process.end().await;
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
    for (name, (time, processor, resident)) in names.iter().zip(medians) {
        let size = binaries.join(name).metadata().expect("a binary").len();
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
        let mut process = FunctionProcess::start(&binary, environment).await;
        times.push(process.until_answered(payload.clone()).await);
        processor.push(process.processor_time());
        process.end().await;
    }
    println!(
        "receive-events, process start to the first event answered: {} (processor {})",
        millis(median(times)),
        millis(median(processor)),
    );
}

/// Millions of bytes.
fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.2} MB")
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
