//! Logs: one line per event (message *and* fields, the unit in the field's name), to standard output, where Lambda
//! collects them. What is never logged is redacted by its type; see `domain::Personal`.
//!
//! Metrics are lines in CloudWatch's embedded metric format on the same output; nothing is called for them.

use std::{collections::BTreeMap, io::Write as _, time::SystemTime};

use serde_json::{Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "NorceCustomerSync";

/// Starts logging. The level comes from `AWS_LAMBDA_LOG_LEVEL` or `RUST_LOG`, the format from `AWS_LAMBDA_LOG_FORMAT`,
/// as Lambda's logging controls set them.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
    log_panics();
}

/// Logs each panic with its place and without its message, which may quote data (P11).
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// The metrics of what is owed: `OwedRecords` as a whole and by the class of the reason, and `OldestOwedSeconds`, each also
/// by the stack.
pub fn owed(by_reason: &BTreeMap<&'static str, u64>, oldest_seconds: u64) {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = at.unwrap_or_default().as_millis();
    let stack = std::env::var("STACK_NAME").unwrap_or_default();
    for line in owed_lines(by_reason, oldest_seconds, &stack, at) {
        // Whoever cannot be told does no harm: the alarm treats silence as it should.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn owed_lines(
    by_reason: &BTreeMap<&'static str, u64>,
    oldest_seconds: u64,
    stack: &str,
    at: u128,
) -> Vec<Value> {
    let line = |dimensions: &[&str], names: &[(&str, &str)], values: Value| {
        let metrics = names
            .iter()
            .map(|(name, unit)| json!({ "Name": name, "Unit": unit }));
        let mut line = values;
        line["Stack"] = json!(stack);
        line["_aws"] = json!({
            "Timestamp": at,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [dimensions],
                "Metrics": metrics.collect::<Vec<_>>(),
            }],
        });
        line
    };
    let all: u64 = by_reason.values().sum();
    let whole = line(
        &["Stack"],
        &[("OwedRecords", "Count"), ("OldestOwedSeconds", "Seconds")],
        json!({ "OwedRecords": all, "OldestOwedSeconds": oldest_seconds }),
    );
    let classes = by_reason.iter().map(|(reason, count)| {
        line(
            &["Stack", "Reason"],
            &[("OwedRecords", "Count")],
            json!({ "OwedRecords": count, "Reason": reason }),
        )
    });
    std::iter::once(whole).chain(classes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_embedded_format() {
        let lines = owed_lines(
            &BTreeMap::from([("conflict", 2), ("validation", 3)]),
            60,
            "shop",
            7,
        );
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["OwedRecords"], 5);
        assert_eq!(lines[0]["OldestOwedSeconds"], 60);
        assert_eq!(
            lines[1]["_aws"],
            json!({ "Timestamp": 7, "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Stack", "Reason"]],
                "Metrics": [{ "Name": "OwedRecords", "Unit": "Count" }],
            }]})
        );
        assert_eq!(
            (&lines[1]["Reason"], &lines[1]["Stack"]),
            (&json!("conflict"), &json!("shop"))
        );
    }
}
