//! The logs of the functions: the last events of an entity, and whether events of a type come at all.

use std::{future::ready, pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use shared::{
    domain::EntityRef,
    http::Deadline,
    logs::{LogLine, LogPage, Logs, LogsError},
};

use crate::{
    ports::{FunctionLog, Ports},
    sentence::{self, Sentence, say, words},
};

/// The latest events of an entity, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// The events.
    pub events: Vec<LoggedEvent>,
    /// Why events may be missing.
    #[serde(flatten, serialize_with = "sentence::incomplete")]
    pub incomplete: Option<Sentence>,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// The time of the line.
    pub at: DateTime<Utc>,
    /// The function that logged it.
    pub function: &'static str,
    /// The text of the line.
    pub said: String,
}

/// How far back the last events are searched. A search scans every line of the log.
const LOOKED_BACK: TimeDelta = TimeDelta::days(3);
/// The maximum number of events listed.
const MAX_EVENTS: usize = 20;
/// The longest time to search a log.
const LONGEST_SEARCH: Duration = Duration::from_secs(10);

impl Ports {
    /// The last events of an entity.
    pub(crate) async fn events_of(&self, entity: EntityRef, deadline: Deadline) -> Events {
        let since = self.change_events.clock.now() - LOOKED_BACK;
        let subject = entity.to_string();
        let mut events = Vec::new();
        let mut incomplete = self.no_logs.as_ref().map(words);
        for FunctionLog { function, logs } in &self.logs {
            let end = Deadline::after(deadline.remaining().min(LONGEST_SEARCH));
            let mut lines = pin!(lines(logs.as_ref(), &subject, since, end));
            while let Some(line) = lines.next().await {
                match line {
                    Ok(line) if is_about(&line, &subject) => events.push(LoggedEvent {
                        at: line.at,
                        function,
                        said: line.said(),
                    }),
                    Ok(_) => {}
                    Err(error) => {
                        incomplete = Some(say!("log-incomplete", function, words = words(error)));
                    }
                }
            }
        }
        events.sort_by_key(|event| event.at);
        events.drain(..events.len().saturating_sub(MAX_EVENTS));
        Events { events, incomplete }
    }
}

/// Whether a line is about this entity, and not about one whose id only begins with the same digits.
fn is_about(line: &LogLine, subject: &str) -> bool {
    let mut after = line.text.split(subject);
    after.next();
    after.any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

/// The first of these types that is in the log, and when an event of it was first received after `since`.
pub(crate) async fn first_taken(
    log: &dyn Logs,
    types: &[&'static str],
    since: DateTime<Utc>,
    deadline: Deadline,
) -> Result<Option<(&'static str, DateTime<Utc>)>, LogsError> {
    for name in types {
        let first = first_lines(log, name, since, deadline, 1, |_| true).await?;
        if let [line] = first.as_slice() {
            return Ok(Some((name, line.at)));
        }
    }
    Ok(None)
}

/// The first `most` lines with this word after `since` that `is_one` selects.
pub(crate) async fn first_lines(
    log: &dyn Logs,
    word: &str,
    since: DateTime<Utc>,
    deadline: Deadline,
    most: usize,
    is_one: impl Fn(&LogLine) -> bool,
) -> Result<Vec<LogLine>, LogsError> {
    let found = lines(log, word, since, deadline).try_filter(|line| ready(is_one(line)));
    found.take(most).try_collect().await
}

/// The customer or company that a line names as its subject.
pub(crate) fn subject_of(line: &LogLine) -> Option<EntityRef> {
    let said = line.said();
    let (_, subject) = said.split_once("subject=\"")?;
    let (subject, _) = subject.split_once('"')?;
    subject.parse().ok()
}

/// The time that must be left to read another page of a log, which takes a second or two.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(2);

/// The lines that contain a word, page by page. Ends with an error if the time is up before the end of the log.
fn lines<'a>(
    log: &'a dyn Logs,
    word: &'a str,
    since: DateTime<Utc>,
    deadline: Deadline,
) -> impl Stream<Item = Result<LogLine, LogsError>> + 'a {
    let first: Option<Option<String>> = Some(None);
    let pages = stream::try_unfold(first, move |place| async move {
        let Some(after) = place else {
            return Ok(None);
        };
        let too_long = || LogsError("it is too long to search in the time that is left".to_owned());
        if after.is_some() && !deadline.allows(TIME_OF_A_PAGE) {
            return Err(too_long());
        }
        // A search of CloudWatch Logs may take longer than is left.
        let page = log.find(word, since, after.as_deref());
        let page = tokio::time::timeout(deadline.remaining(), page).await;
        let LogPage { lines, next } = page.map_err(|_| too_long())??;
        let lines = stream::iter(lines.into_iter().map(Ok));
        Ok(Some((lines, next.map(Some))))
    });
    pages.try_flatten()
}
