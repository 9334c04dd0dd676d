//! Logs: one line per event (message *and* fields, the unit in the field's name), to standard output, where Lambda
//! collects them. What is never logged is redacted by its type; see `domain::Personal`.
//!
//! A line is JSON where Lambda asks for it (`LogFormat: JSON`), and text elsewhere, such as under `cargo lambda watch`:
//!
//! ```json
//! {"timestamp":"2026-11-25T10:29:14.777887Z","level":"WARN","fields":{"message":"change is owed","subject":"customer/client/1011"},"span":{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","name":"invocation"}}
//! ```
//!
//! Lambda reads `timestamp` and `level` out of the line and drops those below the function's `ApplicationLogLevel`; a line without
//! a valid time and level counts as INFO (Lambda developer guide, "Log level filtering"). The process itself writes what
//! [`LOG_LEVEL`] says, so that the template leaves Lambda's own filter open.

use std::{env, process::ExitCode};

use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

/// The variable that says which lines are written: `ERROR`, `WARN`, `INFO` or `DEBUG`, or directives such as
/// `info,shared=debug`. Where it is missing `RUST_LOG` counts, and otherwise it is `INFO`.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Starts logging, with the level of the environment and in the format that Lambda's logging controls ask for.
pub fn init() {
    let text = env::var(LOG_LEVEL).or_else(|_| env::var("RUST_LOG"));
    let format = env::var("AWS_LAMBDA_LOG_FORMAT").unwrap_or_default();
    let lines = fmt::layer().with_target(false);
    let lines = if format.eq_ignore_ascii_case("json") {
        // The one span is the invocation's, whose request id is the only identifier that a line needs.
        lines
            .json()
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    } else {
        // Whoever shows the text adds the time.
        lines.without_time().boxed()
    };
    registry().with(lines.with_filter(level(text.ok()))).init();
    log_panics();
}

/// The crates whose lines a bare level is about. Below INFO the libraries say little that helps a merchant, without the request
/// id, because their own spans are around it; and the runtime's library says the whole payload (P11).
const OURS: [&str; 8] = [
    "change_events",
    "console",
    "erp_full_pass",
    "operator",
    "poll_jobs",
    "receive_events",
    "shared",
    "submit_imports",
];

/// Where the runtime's library repeats, outside the invocation's span, the error that `serve` logs and the panic that the hook
/// logs.
const REPEATED: &str = "lambda_runtime::layers::panic";

fn level(text: Option<String>) -> Targets {
    let text = text.unwrap_or_default().to_lowercase();
    let targets = if text.is_empty() {
        // As a level, nothing would be ERROR.
        bare(DEFAULT_LEVEL)
    } else {
        match text.parse() {
            Ok(level) => bare(level),
            Err(_) => text.parse().unwrap_or_else(|_| bare(DEFAULT_LEVEL)),
        }
    };
    targets.with_target(REPEATED, LevelFilter::OFF)
}

fn bare(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets(OURS.map(|target| (target, level)))
}

/// How the process ends, with a line that says why a function could not start or cannot go on. A `main` that returned the
/// error would have it printed to standard error as well, where it is no line of the log's format.
pub fn exit_code<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

/// The span of an invocation. It is of level ERROR, so that lines carry its request id at every level.
pub(super) fn invocation(request_id: &str) -> tracing::Span {
    tracing::error_span!("invocation", requestId = request_id)
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    #[test]
    fn the_level_is_info_unless_said_otherwise() {
        let enabled = |text: Option<&str>, level| {
            super::level(text.map(str::to_owned)).would_enable("change_events", &level)
        };
        for text in [None, Some(""), Some("LOUD=&"), Some("INFO")] {
            assert!(enabled(text, Level::INFO), "{text:?}");
            assert!(!enabled(text, Level::DEBUG), "{text:?}");
        }
        assert!(!enabled(Some("ERROR"), Level::WARN));
        assert!(enabled(Some("DEBUG"), Level::DEBUG));
        let of_a_library = super::level(Some("DEBUG".to_owned()));
        assert!(!of_a_library.would_enable("hyper_util::client", &Level::DEBUG));
        assert!(of_a_library.would_enable("hyper_util::client", &Level::INFO));
        assert!(enabled(Some("error,change_events=debug"), Level::DEBUG));
    }
}
