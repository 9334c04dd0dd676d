//! What the functions have logged: the last events of an entity, and whether events of a type come at all.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use shared::{
    domain::EntityRef,
    http::Deadline,
    logs::{LogLine, Logs, LogsError},
};

use crate::Ports;

/// The log of a function.
#[derive(Clone)]
pub struct FunctionLog {
    /// The function.
    pub function: &'static str,
    /// Its log.
    pub logs: Arc<dyn Logs>,
}

/// What happened to an entity lately, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// They.
    pub events: Vec<LoggedEvent>,
    /// Why there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// The function that says so.
    pub function: &'static str,
    /// What it says.
    pub said: String,
}

/// How far back the last events are looked for. Longer takes longer: every line of the log is gone over.
const LOOKED_BACK: TimeDelta = TimeDelta::days(3);
/// As many of the last events as are told.
const EVENTS_TOLD: usize = 20;
/// What the search in a log takes of an invocation at most.
const LONGEST_SEARCH: Duration = Duration::from_secs(10);

impl Ports {
    /// The last events of an entity.
    pub(crate) async fn events_of(&self, entity: EntityRef, deadline: Deadline) -> Events {
        let since = self.change_events.clock.now() - LOOKED_BACK;
        let subject = entity.to_string();
        let mut events = Vec::new();
        let mut incomplete = self.no_logs.clone();
        for log in &self.logs {
            let end = Deadline::after(deadline.remaining().min(LONGEST_SEARCH));
            let mut after = None;
            loop {
                match log.logs.find(&subject, since, after.as_deref()).await {
                    Ok(page) => {
                        let lines = page.lines.iter();
                        let about = lines.filter(|line| is_about(line, &subject));
                        events.extend(about.map(|line| LoggedEvent {
                            at: line.at,
                            function: log.function,
                            said: line.said(),
                        }));
                        after = page.next;
                    }
                    Err(error) => {
                        incomplete = Some(format!("{}: {error}", log.function));
                        break;
                    }
                }
                if after.is_none() {
                    break;
                }
                if !end.allows(TIME_OF_A_PAGE) {
                    incomplete = Some(format!(
                        "{}: its log is too long for {} s",
                        log.function,
                        LONGEST_SEARCH.as_secs()
                    ));
                    break;
                }
            }
        }
        events.sort_by_key(|event| event.at);
        events.drain(..events.len().saturating_sub(EVENTS_TOLD));
        Events { events, incomplete }
    }
}

/// A page of a log takes a second or two; one is not begun with less.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(2);

/// Whether a line is about this entity and not about one whose number only begins alike.
fn is_about(line: &LogLine, subject: &str) -> bool {
    let mut after = line.text.split(subject);
    after.next();
    after.any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// When an event of one of these types was first taken since then; the log is looked through as long as there is time.
pub(crate) async fn first_taken(
    log: &dyn Logs,
    types: &[&str],
    since: DateTime<Utc>,
    deadline: Deadline,
) -> Result<Option<DateTime<Utc>>, LogsError> {
    for name in types {
        let mut after = None;
        loop {
            let page = log.find(name, since, after.as_deref()).await?;
            if let Some(line) = page.lines.first() {
                return Ok(Some(line.at));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            if !deadline.allows(TIME_OF_A_PAGE) {
                return Err(LogsError(
                    "it is too long to be looked through in the time that there is".to_owned(),
                ));
            }
        }
    }
    Ok(None)
}
