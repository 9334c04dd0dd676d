//! A list of owed records of any length: memory, time and requests of what reads all of it.
//!
//! 1. The schedule's retry, which also counts for the metrics: the 200 that are due the longest, of all.
//! 2. The start of a pass: the owed records of its scope, as far as a run remembers them.
//!
//! Each is a process of its own, as in Lambda, on one thread. The pages are made on the fly, as DynamoDB answers them (at
//! most 1 MB of items, consistent with the SDK's protocol), and go through the real store and SDK. What making and writing
//! them takes is in the same process and thread: the figures are upper bounds.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

#[path = "../measurement/mod.rs"]
mod measurement;

use std::{
    fs,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use erp_full_pass::{Configuration, ErpFullPass};
use measurement::{machine, process_time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    breakers::AlwaysClosed,
    domain::{ChangeMessage, ImportRequest, PassMessage, PassMode, Scope},
    http::{Deadline, Transport, TransportError},
    owed::DynamoDbOwed,
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    local_aws::aws_over,
    memory::{MemoryQueue, Redrive},
    resources::{MemoryResources, built, environment},
};
use uuid::Uuid;

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// The time of an invocation of `erp-full-pass`, as in the template.
const INVOCATION: Duration = Duration::from_secs(297);
/// A page of a scan ends when its items come to 1 MB (Amazon DynamoDB Developer Guide, "Scanning tables").
const PAGE_BYTES: usize = 1_024 * 1_024;
/// Nothing is delivered twice here.
const REDRIVE: Redrive = Redrive {
    visibility: Duration::from_secs(330),
    max_receives: 1_000,
};

/// What reads the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Reader {
    Retry,
    StartOfAPass,
}

#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    elapsed: Duration,
    processor: Duration,
    /// The most resident memory that the process has had, in KiB.
    peak_kib: u64,
    /// Pages of the list.
    pages: u64,
    said: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["read", reader, records] => {
            measurement::log_to_nowhere();
            let reader = serde_json::from_str(reader).expect("a reader");
            let records = records.parse().expect("a number");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let taken = runtime.expect("a runtime").block_on(read(reader, records));
            println!("{}", serde_json::to_string(&taken).expect("JSON"));
        }
        _ => measure(),
    }
}

fn measure() {
    println!("{}\n", machine());
    println!(
        "{:<16} {:>10} {:>8} {:>10} {:>12} {:>10}",
        "", "records", "pages", "elapsed", "per record", "peak"
    );
    let program = std::env::current_exe().expect("a path");
    for reader in [Reader::Retry, Reader::StartOfAPass] {
        for records in SIZES {
            let name = serde_json::to_string(&reader).expect("JSON");
            let output = Command::new(&program)
                .args(["read", &name, &records.to_string()])
                .stderr(Stdio::inherit())
                .output()
                .expect("it runs");
            assert!(output.status.success(), "{name} failed");
            let taken: Taken = serde_json::from_slice(&output.stdout).expect("what it took");
            let each = taken.processor / u32::try_from(records).unwrap_or(u32::MAX);
            println!(
                "{:<16} {records:>10} {:>8} {:>8.1} s {:>12} {:>7.1} MB  {}",
                name.trim_matches('"'),
                taken.pages,
                taken.elapsed.as_secs_f64(),
                measurement::micros(each),
                taken.peak_kib as f64 * 1_024.0 / 1e6,
                taken.said
            );
        }
    }
}

async fn read(reader: Reader, records: u64) -> Taken {
    let remotes = Arc::new(Remotes {
        records,
        begin: Utc::now(),
        pages: AtomicU64::new(0),
    });
    let pass = pass(remotes.clone()).await;
    let (start, processor) = (Instant::now(), process_time());
    let deadline = Deadline::after(INVOCATION);
    let said = match reader {
        Reader::Retry => {
            let retried = pass.retry_owed(deadline).await.expect("a list");
            assert_eq!(retried.counts.total(), records);
            assert_eq!(retried.retried, 200);
            retried.summary
        }
        Reader::StartOfAPass => {
            let run = Uuid::from_u128(1);
            let message = PassMessage::Start {
                run,
                scope: Scope::Client,
                mode: PassMode::Full,
                kind: None,
                dry_run: false,
            };
            let received = Received {
                message,
                receive_count: 1,
            };
            let outcome = pass.handle(received, deadline).await;
            assert_eq!(outcome, Outcome::Done);
            let run = pass.passes.run(run).await.expect("a store");
            let run = run.expect("a record of the run");
            assert!(run.ended.is_some_and(|ended| ended.failed.is_none()));
            String::new()
        }
    };
    Taken {
        elapsed: start.elapsed(),
        processor: process_time() - processor,
        peak_kib: peak_memory(),
        pages: remotes.pages.load(Ordering::Relaxed),
        said,
    }
}

/// The pass, with the owed records behind the SDK, and everything else in memory and empty.
async fn pass(remotes: Arc<Remotes>) -> ErpFullPass {
    let transport: Arc<dyn Transport> = remotes;
    let aws = aws_over(transport.clone());
    let imports = Arc::new(MemoryQueue::standard(REDRIVE));
    let resources = MemoryResources {
        breakers: Arc::new(AlwaysClosed),
        owed: Arc::new(DynamoDbOwed::new(&aws, "owed")),
        ..MemoryResources::new(transport)
    }
    .with_queue::<ImportRequest>("imports", imports.clone())
    .with_depth("imports", imports)
    .with_queue::<ChangeMessage>("changes", Arc::new(MemoryQueue::fifo(REDRIVE)))
    .with_queue::<PassMessage>("passes", Arc::new(MemoryQueue::standard(REDRIVE)));
    let configuration = Configuration::read(environment(&[])).expect("a configuration");
    built(ErpFullPass::build(&configuration, &resources))
}

/// DynamoDB with so many owed records, and an ERP and a shop in which there is nobody.
struct Remotes {
    records: u64,
    begin: DateTime<Utc>,
    pages: AtomicU64,
}

#[async_trait]
impl Transport for Remotes {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let target = request.headers().get("x-amz-target");
        let operation = target.and_then(|target| target.to_str().ok()?.split('.').next_back());
        let answer = match operation {
            Some("Scan") => {
                self.pages.fetch_add(1, Ordering::Relaxed);
                self.page(request.body())
            }
            Some(_) => "{}".to_owned(),
            None if request.method() == http::Method::POST => {
                json!({ "access_token": "token", "expires_in": 3_600, "token_type": "Bearer" })
                    .to_string()
            }
            None => json!({ "value": [] }).to_string(),
        };
        Ok(http::Response::new(answer.into()))
    }
}

impl Remotes {
    /// A page of the list, beginning where the request says. Half of the records lack their customer in the ERP, half a
    /// code in Norce; they are in no order of age.
    fn page(&self, request: &[u8]) -> String {
        let request: Value = serde_json::from_slice(request).expect("a request");
        let after = request["ExclusiveStartKey"]["pk"]["S"].as_str();
        let mut number = after.map_or(0, |after| after.parse::<u64>().expect("a key") + 1);
        let mut page = String::from(r#"{"Items":["#);
        let mut bytes = 0;
        while number < self.records && bytes < PAGE_BYTES {
            if bytes > 0 {
                page.push(',');
            }
            bytes += self.item(number, &mut page);
            number += 1;
        }
        page.push(']');
        if number < self.records {
            let last = number - 1;
            page.push_str(&format!(r#","LastEvaluatedKey":{{"pk":{{"S":"{last}"}}}}"#));
        }
        page.push('}');
        page
    }

    /// Adds an item to a page; what it counts for in DynamoDB: its names and values, without the types and the signs of
    /// JSON.
    fn item(&self, number: u64, page: &mut String) -> usize {
        let hours = i64::try_from(number.wrapping_mul(2_654_435_761) % 1_000).unwrap_or_default();
        let last = (self.begin - TimeDelta::hours(hours + 48)).to_rfc3339();
        let (stage, kind) = match number % 2 {
            0 => ("to-erp", "customer"),
            _ => ("code-to-norce", "company"),
        };
        let id = number + 1;
        let correlation = Uuid::from_u128(number.into());
        let begin = page.len();
        page.push_str(&format!(
            r#"{{"pk":{{"S":"{number}"}},"subject":{{"M":{{"entity":{{"M":{{"kind":{{"S":"{kind}"}},"scope":{{"S":"client"}},"id":{{"N":"{id}"}}}}}}}}}},"stage":{{"S":"{stage}"}},"reason":{{"S":"validation"}},"detail":{{"S":"{DETAIL}"}},"code":{{"S":"C{number}"}},"first":{{"S":"{last}"}},"last":{{"S":"{last}"}},"attempts":{{"N":"3"}},"correlation":{{"S":"{correlation}"}},"cause":{{"S":"changed"}}}}"#
        ));
        page.len() - begin - JSON_OF_AN_ITEM
    }
}

/// What remotes say is mostly about as long.
const DETAIL: &str = "Business Central refused the record (Application_DialogException): The field Country/Region Code of table Customer contains a value (XX) that cannot be found in the related table (Country/Region). Correct it in Norce, or add it in Business Central; it is tried again by itself.";
/// The types and the signs of JSON in an item: 15 values of `{"S":""},` and about as many names in `"":`.
const JSON_OF_AN_ITEM: usize = 15 * 9 + 15 * 3;

/// The most resident memory that this process has had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}
