//! The functions' logs keep to `LogLevel`, and errors and metrics are in them at every level.

use std::fmt;

use chrono::{DateTime, Utc};
use shared::logs::{CloudWatchLogs, Logs as _};

use super::{SandboxError, passes::World};

/// `LogLevel` of the template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub(super) enum LogLevel {
    /// Errors.
    Error,
    /// Errors and warnings.
    Warn,
    /// Errors, warnings and information.
    #[default]
    Info,
    /// And what helps to find faults.
    Debug,
}

impl LogLevel {
    /// Whether the logs have lines at the level INFO.
    pub(super) const fn has_information(self) -> bool {
        matches!(self, Self::Info | Self::Debug)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        })
    }
}

/// A word of the error that nonsense on a queue leaves, as the night puts it there.
const OF_THE_NIGHT: &str = "dead-letter";
/// A word of what every handled change leaves at INFO.
const OF_A_CHANGE: &str = "handled";
/// A word of every metric line.
const OF_A_METRIC: &str = "CloudWatchMetrics";

/// Whether the log of `change-events` has the night's error and the metrics, and what happens only where it was asked for.
pub(super) async fn keep_to_the_level(
    world: &World<'_>,
    since: DateTime<Utc>,
) -> Result<(), SandboxError> {
    let group = format!("/aws/lambda/{}-change-events", world.deployment.stack());
    let log = CloudWatchLogs::new(&world.aws.aws_config(), group);
    let has = async |word: &str| {
        let mut place: Option<String> = None;
        loop {
            let page = log.find(word, since, place.as_deref()).await;
            let page = page.map_err(|error| SandboxError::Day(error.to_string()))?;
            if !page.lines.is_empty() {
                return Ok::<_, SandboxError>(true);
            }
            place = page.next;
            if place.is_none() {
                return Ok(false);
            }
        }
    };
    let found = [
        has(OF_THE_NIGHT).await?,
        has(OF_A_METRIC).await?,
        has(OF_A_CHANGE).await?,
    ];
    let expected = [true, true, world.log_level.has_information()];
    if found == expected {
        return Ok(());
    }
    Err(SandboxError::Day(format!(
        "at LogLevel={} the log of change-events has errors, metrics, and what happens: {found:?} instead of {expected:?}",
        world.log_level
    )))
}
