//! How Lambda and CloudWatch read a line that a function writes.

use std::{fmt, str::FromStr};

use chrono::DateTime;
use serde_json::Value;

/// The levels that Lambda knows, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `TRACE`.
    Trace,
    /// `DEBUG`.
    Debug,
    /// `INFO`.
    Info,
    /// `WARN`.
    Warn,
    /// `ERROR`.
    Error,
    /// `FATAL`.
    Fatal,
}

impl Level {
    /// The values of the parameter `LogLevel`.
    pub const CHOICES: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_uppercase().as_str() {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" => Self::Warn,
            "ERROR" => Self::Error,
            "FATAL" => Self::Fatal,
            _ => return Err(format!("`{text}` is not a level")),
        })
    }
}

/// A line as a custom runtime has to write it with the JSON log format, or what is wrong with it.
///
/// # Errors
/// It is no JSON object, or has no valid `timestamp` or `level`.
pub fn parse(line: &str) -> Result<(Value, Level), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let timestamp = value["timestamp"].as_str().ok_or("it has no timestamp")?;
    DateTime::parse_from_rfc3339(timestamp)
        .map_err(|error| format!("its timestamp {timestamp}: {error}"))?;
    let level = value["level"].as_str().ok_or("it has no level")?.parse()?;
    Ok((value, level))
}

/// The level that Lambda takes a line for. Of custom runtimes: "If the "level" value field is invalid or missing, Lambda
/// will assign the log output the level INFO. […] If you don't supply a valid timestamp, Lambda will assign the log the
/// level INFO and add a timestamp for you" (AWS, Lambda Developer Guide, "Log-level filtering",
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
pub fn level(line: &str) -> Level {
    parse(line).map_or(Level::Info, |(_, level)| level)
}

/// Whether a line gets into the log group of a function with this `ApplicationLogLevel`.
pub fn survives(line: &str, application_log_level: Level) -> bool {
    level(line) >= application_log_level
}

/// A value that CloudWatch takes from a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Its dimensions, with their values.
    pub dimensions: Vec<(String, String)>,
    /// Its values.
    pub values: Vec<f64>,
}

/// Metrics of one line at most (this and the next ones: AWS, "Specification: Embedded metric format",
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
const MAX_METRICS: usize = 100;
/// Values of a metric in one line at most.
const MAX_VALUES: usize = 100;
/// Dimensions of a metric at most.
const MAX_DIMENSIONS: usize = 30;
/// Characters of a dimension's value at most.
const LONGEST_DIMENSION: usize = 1_024;
/// Bytes of a line at most.
const LONGEST_LINE: usize = 1_048_576;
/// The units of the specification that have a use here.
const UNITS: [&str; 4] = ["Count", "Seconds", "Milliseconds", "Bytes"];

/// Whether a line is meant as a metric line.
pub fn is_metrics(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|value| value.get("_aws").is_some())
}

/// The metrics that CloudWatch takes from a line in the embedded format.
///
/// # Errors
/// What is wrong with it: then CloudWatch takes nothing and says nothing.
pub fn metrics(line: &str) -> Result<Vec<Metric>, String> {
    if line.len() > LONGEST_LINE {
        return Err(format!("it has {} bytes", line.len()));
    }
    let root: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at = &root["_aws"]["Timestamp"];
    // Milliseconds since 1970; a time in seconds is in the same month of that year.
    if at.as_u64().is_none_or(|at| at < 1_000_000_000_000) {
        return Err(format!("its Timestamp is {at}"));
    }
    let directives = root["_aws"]["CloudWatchMetrics"].as_array();
    let directives = directives.ok_or("it has no CloudWatchMetrics")?;
    let mut metrics = Vec::new();
    for directive in directives {
        let namespace = text(&directive["Namespace"], "Namespace")?;
        let sets = directive["Dimensions"].as_array();
        let sets = sets.ok_or("it has no Dimensions")?;
        let named = directive["Metrics"].as_array().ok_or("it has no Metrics")?;
        if named.is_empty() || named.len() > MAX_METRICS {
            return Err(format!("it has {} metrics", named.len()));
        }
        for set in sets {
            let set = set.as_array().ok_or("a set of dimensions is no list")?;
            if set.len() > MAX_DIMENSIONS {
                return Err(format!("it has {} dimensions", set.len()));
            }
            let dimensions = set
                .iter()
                .map(|name| {
                    let name = text(name, "name of a dimension")?;
                    let value = text(&root[name.as_str()], &name)?;
                    if value.chars().count() > LONGEST_DIMENSION || !value.is_ascii() {
                        return Err(format!("the dimension {name} is {value}"));
                    }
                    Ok((name, value))
                })
                .collect::<Result<Vec<_>, String>>()?;
            for metric in named {
                let name = text(&metric["Name"], "Name")?;
                let unit = text(&metric["Unit"], "Unit")?;
                if !UNITS.contains(&unit.as_str()) {
                    return Err(format!("{name} has the unit {unit}"));
                }
                metrics.push(Metric {
                    values: values(&root[name.as_str()], &name)?,
                    namespace: namespace.clone(),
                    name,
                    unit,
                    dimensions: dimensions.clone(),
                });
            }
        }
    }
    Ok(metrics)
}

fn text(value: &Value, what: &str) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| format!("its {what} is {value}"))
}

fn values(value: &Value, name: &str) -> Result<Vec<f64>, String> {
    let values: Option<Vec<f64>> = match value {
        Value::Array(values) => values.iter().map(Value::as_f64).collect(),
        value => value.as_f64().map(|value| vec![value]),
    };
    values
        .filter(|values| !values.is_empty() && values.len() <= MAX_VALUES)
        .ok_or_else(|| format!("the value of {name} is {value}"))
}

/// What Lambda itself writes into the log of a function for an invocation with the JSON format at its default level
/// INFO: `platform.start` and `platform.report` (there is no END then), with the fields of AWS's "Telemetry API Event
/// schema reference" and values of the usual length. An estimate.
pub const PLATFORM_LINES: [&str; 2] = [
    r#"{"time":"2026-11-26T01:00:00.000Z","type":"platform.start","record":{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","version":"$LATEST"}}"#,
    r#"{"time":"2026-11-26T01:00:00.123Z","type":"platform.report","record":{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","metrics":{"durationMs":123.456,"billedDurationMs":124,"memorySizeMB":256,"maxMemoryUsedMB":32},"status":"success"}}"#,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_without_a_time_or_a_level_counts_as_information() {
        let time = "2026-11-26T01:00:00.123Z";
        for (line, expected) in [
            (json!({ "timestamp": time, "level": "ERROR" }), Level::Error),
            (json!({ "timestamp": time, "level": "debug" }), Level::Debug),
            (json!({ "timestamp": time }), Level::Info),
            (json!({ "level": "ERROR" }), Level::Info),
            (
                json!({ "timestamp": "yesterday", "level": "ERROR" }),
                Level::Info,
            ),
        ] {
            assert_eq!(level(&line.to_string()), expected, "{line}");
        }
        assert!(!survives("Error: it failed", Level::Warn));
    }

    #[test]
    fn metrics_are_taken_from_a_whole_line_only() {
        let line = json!({
            "_aws": { "Timestamp": 1_795_428_000_000_u64, "CloudWatchMetrics": [{
                "Namespace": "Shop",
                "Dimensions": [["Stack"], ["Stack", "Reason"]],
                "Metrics": [{ "Name": "Owed", "Unit": "Count" }]
            }]},
            "Stack": "one", "Reason": "conflict", "Owed": 3
        });
        let found = metrics(&line.to_string()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].dimensions.len(), 2);
        assert_eq!(found[1].values, [3.0]);
        let mut without = Vec::new();
        for (pointer, value) in [
            ("/_aws/Timestamp", json!(1_795_428_000)),
            ("/Stack", json!("")),
            ("/Reason", json!(7)),
            ("/Owed", json!("3")),
            ("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", json!("Pieces")),
            ("/_aws/CloudWatchMetrics/0/Metrics", json!([])),
        ] {
            let mut line = line.clone();
            *line.pointer_mut(pointer).unwrap() = value;
            without.push(line);
        }
        for line in without {
            assert!(metrics(&line.to_string()).is_err(), "{line}");
        }
    }
}
