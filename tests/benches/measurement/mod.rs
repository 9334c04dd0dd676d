//! How the benchmarks measure. The machine may be busy with something else, so that time is the processor's where
//! that is possible, and a figure is the median of many rounds.

#![allow(dead_code, reason = "every benchmark uses a part of it")]
#![allow(
    clippy::expect_used,
    reason = "what cannot be set up is to fail loudly"
)]

use std::{io, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use shared::queues::Message;
use uuid::Uuid;

/// The processor time of this thread so far.
pub(crate) fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// The processor time of all threads of this process so far.
pub(crate) fn process_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The middle one.
pub(crate) fn median<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Microseconds with a digit after the point.
pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// Milliseconds with two digits after the point.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// How many fit into a second.
pub(crate) fn per_second(time: Duration) -> String {
    format!("{:.0}/s", 1.0 / time.as_secs_f64())
}

/// The processor, how many of it there are, and how busy they are.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let models: Vec<&str> = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|model| model.trim_start_matches([' ', '\t', ':']))
        .collect();
    let load = read("/proc/loadavg");
    format!(
        "{} × {}, load {}",
        models.len(),
        models.first().unwrap_or(&"?"),
        load.split(' ').next().unwrap_or("?")
    )
}

/// Logging as Lambda sets it up, but for where the lines go: making them is part of the work.
pub(crate) fn log_to_nowhere() {
    tracing_subscriber::fmt()
        .json()
        .with_target(false)
        .without_time()
        .with_max_level(tracing::Level::INFO)
        .with_writer(io::sink)
        .init();
}

/// A post as an HTTP API hands it over, payload format 2.0.
pub(crate) fn event_post(path: &str, secret: &str, body: &str) -> Vec<u8> {
    json!({
        "version": "2.0",
        "routeKey": "POST /events/{type}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-length": body.len().to_string(),
            "content-type": "application/json; charset=utf-8",
            "host": "abcdefghij.execute-api.eu-north-1.amazonaws.com",
            "user-agent": "Norce",
            "x-amzn-trace-id": "Root=1-6742a3f1-1b2c3d4e5f60718293a4b5c6",
            "x-event-secret": secret,
            "x-forwarded-for": "192.0.2.10",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https"
        },
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-north-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.10",
                "userAgent": "Norce"
            },
            "requestId": "B3kXuj2mgi0EMJw=",
            "routeKey": "POST /events/{type}",
            "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_428_000_000_u64
        },
        "pathParameters": { "type": path.rsplit('/').next() },
        "body": body,
        "isBase64Encoded": false
    })
    .to_string()
    .into_bytes()
}

/// An invocation with these messages, each with its FIFO group where the queue has groups, as Lambda hands it over.
pub(crate) fn sqs_event<M: Message>(
    messages: &[M],
    group: impl Fn(&M) -> Option<String>,
) -> Vec<u8> {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            let id = Uuid::new_v4();
            let mut attributes = json!({
                "ApproximateFirstReceiveTimestamp": "1795428000100",
                "ApproximateReceiveCount": "1",
                "SenderId": "AROAEXAMPLEEXAMPLEEXA:receive-events",
                "SentTimestamp": "1795428000000"
            });
            if let Some(group) = group(message) {
                attributes["MessageGroupId"] = group.into();
            }
            json!({
                "messageId": id,
                "receiptHandle": format!("AQEB{}", id.simple()),
                "body": serde_json::to_string(message).expect("a body"),
                "attributes": attributes,
                "messageAttributes": {},
                "md5OfBody": id.simple().to_string(),
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-north-1:000000000000:queue",
                "awsRegion": "eu-north-1"
            })
        })
        .collect();
    json!({ "Records": records }).to_string().into_bytes()
}
