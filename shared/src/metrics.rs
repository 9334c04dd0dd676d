//! Metrics: what an invocation measures, written as lines of CloudWatch's embedded metric format (EMF) when it ends.
//!
//! Nothing is called for them: Lambda sends standard output to CloudWatch Logs, and CloudWatch reads the metrics out of the
//! lines. [`Metric`] is the catalogue: the dashboard and the alarms of `template.yaml` are tested against it.
//!
//! Values are numbers, and dimensions are words of this program: nothing personal can get in.

use std::{
    collections::BTreeMap,
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "NorceCustomerSync";

/// The dimension that every metric has: the name of the stack.
pub const STACK_DIMENSION: &str = "Stack";

/// Values of one metric in one line at most (EMF specification, "Target members").
const MAX_VALUES: usize = 100;

/// What a metric counts in, in CloudWatch's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Time.
    Seconds,
}

impl Unit {
    /// The word that CloudWatch knows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

/// How the values of one invocation become a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    /// Their sum.
    Sum,
    /// The greatest.
    Max,
    /// All of them, for percentiles.
    Each,
}

/// A second dimension: its name and every value that it can have.
pub type Dimension = (&'static str, &'static [&'static str]);

macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal: $unit:ident, $fold:ident, $dimension:expr;)+) => {
        /// Every metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric { $($(#[$doc])* $variant),+ }

        impl Metric {
            /// All metrics.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in CloudWatch.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The unit.
            pub const fn unit(self) -> Unit {
                match self { $(Self::$variant => Unit::$unit),+ }
            }

            /// The second dimension, where there is one.
            pub const fn dimension(self) -> Option<Dimension> {
                match self { $(Self::$variant => $dimension),+ }
            }

            const fn fold(self) -> Fold {
                match self { $(Self::$variant => Fold::$fold),+ }
            }
        }
    };
}

const MODE: Option<Dimension> = Some(("Mode", &["delta", "full", "sweep"]));
/// The class of an owed record; see [`Reason`](crate::owed::Reason).
const REASON: Option<Dimension> = Some((
    "Reason",
    &[
        "validation",
        "conflict",
        "missing-prerequisite",
        "ambiguous",
        "remote-fault",
        "timed-out",
        "forgotten",
        "warned",
    ],
));

metrics! {
    /// Posts of events and orders, by how they were answered: 2xx, and the same for an event that nothing acts upon; 401,
    /// another 4xx, 5xx.
    Posts = "Posts": Count, Sum, Some(("Answer", &["accepted", "ignored", "unauthorised", "refused", "failed"]));
    /// Sign-ins to the console, by what became of them: a person who may do nothing there, a sign-in that was refused (it is
    /// over, forged or of another browser), and one that failed because the provider or AWS did not answer or is set up
    /// otherwise.
    SignIns = "SignIns": Count, Sum, Some(("SignIn", &["signed-in", "no-role", "refused", "failed"]));
    /// Change messages, by what became of them.
    Changes = "Changes": Count, Sum, Some(("Outcome", &[
        "created", "updated", "bound", "unchanged", "nothing", "forgotten", "order", "owed", "deferred",
    ]));
    /// From the receipt of an order event until the code of its customer or company is confirmed in Norce.
    OrderToCodeSeconds = "OrderToCodeSeconds": Seconds, Each, None;
    /// The age of a message when it is deferred to a later delivery. CloudWatch's own `ApproximateAgeOfOldestMessage` leaves
    /// out messages that were received three times or more (SQS developer guide, "Available CloudWatch metrics").
    WaitingSeconds = "WaitingSeconds": Seconds, Max, Some(("Queue", &["changes", "imports", "jobs", "passes"]));
    /// The age of an import batch when a poll finds that Norce has not finished it.
    OpenBatchSeconds = "OpenBatchSeconds": Seconds, Max, None;
    /// Remotes that are known to be unavailable; 0 with every heartbeat when there are none.
    OpenBreakers = "OpenBreakers": Count, Max, None;
    /// How long the breaker that has been open for longest has been open.
    BreakerOpenSeconds = "BreakerOpenSeconds": Seconds, Max, None;
    /// Import lines, by what became of them.
    ImportLines = "ImportLines": Count, Sum, Some(("Result", &["confirmed", "refused", "warned", "timed-out"]));
    /// Runs of passes that began.
    PassesStarted = "PassesStarted": Count, Sum, MODE;
    /// Runs of passes that came to their end.
    PassesEnded = "PassesEnded": Count, Sum, MODE;
    /// Runs of passes that were given up.
    PassesFailed = "PassesFailed": Count, Sum, MODE;
    /// From the start of a run to its end.
    PassSeconds = "PassSeconds": Seconds, Each, MODE;
    /// Records that a run has seen, when it ends.
    PassRecordsSeen = "PassRecordsSeen": Count, Sum, MODE;
    /// Records for which a run had something to do, when it ends.
    PassRecordsChanged = "PassRecordsChanged": Count, Sum, MODE;
    /// With every heartbeat: the age of the oldest watermark of any scope, by what the pass walks over. None while a scope
    /// has no watermark.
    PassAgeSeconds = "PassAgeSeconds": Seconds, Max, Some(("Walk", &["erp", "sweep"]));
    /// Owed records that no person has dismissed, with every heartbeat.
    OwedRecords = "OwedRecords": Count, Max, None;
    /// The same by the class of their reason, under the same name.
    OwedRecordsByReason = "OwedRecords": Count, Max, REASON;
    /// The age of the oldest owed record that no person has dismissed, with every heartbeat.
    OldestOwedSeconds = "OldestOwedSeconds": Seconds, Max, None;
}

/// What was measured, by metric and value of the second dimension.
pub type Tally = BTreeMap<(Metric, &'static str), Vec<u64>>;

/// Collects what an invocation measures. Clones share what they collect.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<Tally>>);

impl Metrics {
    /// Counts one of something. `of` is the value of the metric's second dimension, and empty where it has none.
    pub fn count(&self, metric: Metric, of: &'static str) {
        self.record(metric, of, 1);
    }

    /// Takes a time, in whole seconds.
    pub fn time(&self, metric: Metric, of: &'static str, time: Duration) {
        self.record(metric, of, time.as_secs());
    }

    /// Takes a value.
    pub fn record(&self, metric: Metric, of: &'static str, value: u64) {
        debug_assert!(
            match metric.dimension() {
                None => of.is_empty(),
                Some((_, values)) => values.contains(&of),
            },
            "{metric:?} has no dimension value `{of}`"
        );
        let mut tally = self.tally();
        let values = tally.entry((metric, of)).or_default();
        match (metric.fold(), values.first_mut()) {
            (Fold::Sum, Some(sum)) => *sum = sum.saturating_add(value),
            (Fold::Max, Some(max)) => *max = value.max(*max),
            (Fold::Each, _) | (_, None) => values.push(value),
        }
    }

    /// What was collected, which begins with nothing again.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut self.tally())
    }

    /// Writes what was collected to standard output, in the name of a stack.
    pub fn write(&self, stack: &str) {
        let mut text = Vec::new();
        for line in lines(self.take(), stack, SystemTime::now().into()) {
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut text, &line);
            text.push(b'\n');
        }
        // A metric that cannot be written harms nobody: the heartbeat's alarm notices when none come.
        let _ = std::io::stdout().lock().write_all(&text);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines in the embedded metric format. Metrics with the same dimensions share one.
///
/// `timestamp` and `level` are for Lambda, which takes a JSON line without them for one of level INFO (Lambda developer guide,
/// "Log level filtering").
fn lines(tally: Tally, stack: &str, at: DateTime<Utc>) -> Vec<Value> {
    type Group = Vec<(Metric, Vec<u64>)>;
    let mut by_dimension: BTreeMap<Option<(&str, &str)>, Group> = BTreeMap::new();
    for ((metric, of), values) in tally {
        let dimension = metric.dimension().map(|(name, _)| (name, of));
        let group = by_dimension.entry(dimension).or_default();
        group.push((metric, values));
    }
    let mut lines = Vec::new();
    for (dimension, mut group) in by_dimension {
        while !group.is_empty() {
            let mut rest = Vec::new();
            let mut metrics = Vec::new();
            let mut line = json!({
                "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
                "level": "INFO",
                STACK_DIMENSION: stack,
            });
            let mut dimensions = vec![STACK_DIMENSION];
            if let Some((name, value)) = dimension {
                dimensions.push(name);
                line[name] = value.into();
            }
            for (metric, mut values) in group {
                metrics.push(json!({ "Name": metric.name(), "Unit": metric.unit().as_str() }));
                let more = values.split_off(values.len().min(MAX_VALUES));
                line[metric.name()] = match values.as_slice() {
                    [value] => json!(value),
                    values => json!(values),
                };
                if !more.is_empty() {
                    rest.push((metric, more));
                }
            }
            line["_aws"] = json!({
                "Timestamp": at.timestamp_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [dimensions],
                    "Metrics": metrics,
                }],
            });
            lines.push(line);
            group = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owed::Reason;

    fn written(metrics: &Metrics) -> Vec<Value> {
        let at = DateTime::from_timestamp_millis(1_795_424_400_007).unwrap();
        lines(metrics.take(), "shop", at)
    }

    #[test]
    fn metrics_with_the_same_dimensions_share_a_line() {
        let metrics = Metrics::default();
        metrics.count(Metric::Changes, "created");
        metrics.count(Metric::Changes, "created");
        metrics.count(Metric::Changes, "owed");
        metrics.record(Metric::OpenBreakers, "", 1);
        metrics.time(
            Metric::BreakerOpenSeconds,
            "",
            Duration::from_millis(61_500),
        );
        let lines = written(&metrics);
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            json!({
                "timestamp": "2026-11-23T09:00:00.007Z",
                "level": "INFO",
                "Stack": "shop",
                "OpenBreakers": 1,
                "BreakerOpenSeconds": 61,
                "_aws": { "Timestamp": 1_795_424_400_007_i64, "CloudWatchMetrics": [{
                    "Namespace": "NorceCustomerSync",
                    "Dimensions": [["Stack"]],
                    "Metrics": [
                        { "Name": "OpenBreakers", "Unit": "Count" },
                        { "Name": "BreakerOpenSeconds", "Unit": "Seconds" },
                    ],
                }]},
            })
        );
        assert_eq!(
            (&lines[1]["Outcome"], &lines[1]["Changes"]),
            (&json!("created"), &json!(2))
        );
        assert_eq!(
            lines[2]["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
            json!([["Stack", "Outcome"]])
        );
        assert!(written(&metrics).is_empty(), "what is written begins again");
    }

    #[test]
    fn times_are_kept_each_and_ages_by_their_greatest() {
        let metrics = Metrics::default();
        for seconds in [3, 200, 7] {
            let time = Duration::from_secs(seconds);
            metrics.time(Metric::OrderToCodeSeconds, "", time);
            metrics.time(Metric::OpenBatchSeconds, "", time);
        }
        let lines = written(&metrics);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["OrderToCodeSeconds"], json!([3, 200, 7]));
        assert_eq!(lines[0]["OpenBatchSeconds"], json!(200));
    }

    #[test]
    fn a_line_has_no_more_values_than_cloudwatch_reads() {
        let metrics = Metrics::default();
        for _ in 0..=MAX_VALUES {
            metrics.record(Metric::OrderToCodeSeconds, "", 5);
        }
        let lines = written(&metrics);
        let counts: Vec<usize> = lines
            .iter()
            .map(|line| line["OrderToCodeSeconds"].as_array().map_or(1, Vec::len))
            .collect();
        assert_eq!(counts, [MAX_VALUES, 1]);
    }

    #[test]
    fn every_reason_is_a_value_of_its_dimension() {
        let (_, values) = Metric::OwedRecordsByReason.dimension().unwrap();
        let reasons = Reason::ALL.map(Reason::as_str);
        assert_eq!(values, reasons);
    }
}
