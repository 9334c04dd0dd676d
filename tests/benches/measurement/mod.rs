//! How the benchmarks measure. The machine may be busy with something else, so that time is the processor's where
//! that is possible, and a figure is the median of many rounds.

#![allow(
    dead_code,
    unused_imports,
    reason = "every benchmark uses a part of it"
)]
#![allow(
    clippy::expect_used,
    reason = "what cannot be set up is to fail loudly"
)]

use std::{io, path::PathBuf, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use sandbox_tools::workspace;
use serde::Serialize;
use tests::lambda::payloads;
pub(crate) use tests::lambda::payloads::event_post;

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

/// Millions of bytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.2} MB")
}

/// How many times as long as the first.
pub(crate) fn ratio(time: Duration, first: Duration) -> f64 {
    time.as_secs_f64() / first.as_secs_f64()
}

/// How many fit into a second.
pub(crate) fn per_second(time: Duration) -> String {
    format!("{:.0}/s", 1.0 / time.as_secs_f64())
}

/// The directory of another version's functions, from the argument after `--beside`. A relative one starts at the project's root,
/// because Cargo runs a benchmark in the directory of its package.
pub(crate) fn beside(directory: Option<String>) -> PathBuf {
    let directory = workspace().join(directory.expect("--beside needs a directory"));
    assert!(
        directory.is_dir(),
        "--beside: there is no directory {}",
        directory.display()
    );
    directory
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

/// An invocation with these messages, each with its FIFO group where the queue has groups, as Lambda hands it over.
pub(crate) fn sqs_event<M: Serialize>(
    messages: &[M],
    group: impl Fn(&M) -> Option<String>,
) -> Vec<u8> {
    payloads::sqs_event(messages, group).expect("messages are JSON")
}
