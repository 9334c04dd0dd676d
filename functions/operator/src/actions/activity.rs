//! `activity`: what people did, the newest first.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    activity::{Activity, By, Entry, Outcome, State},
    http::Deadline,
};
use uuid::Uuid;

use crate::{
    error::Refusal,
    sentence::{self, Sentence, say, words},
};

/// As many are listed unless more are asked for: about what a terminal shows.
const LISTED: usize = 50;
/// As many are listed at most: an answer of Lambda has at most 6 MB, and an entry with a hundred subjects takes some 5 KB.
const MAX_LISTED: usize = 500;
/// With less time left, no further page is read: one takes a fraction of a second, and when DynamoDB throttles, the client
/// gives up after a few seconds.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(5);

/// What is asked for. Every filter that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ActivityRequest {
    /// One user's.
    pub user: Option<String>,
    /// One kind of act, such as `retry`.
    pub did: Option<String>,
    /// To one subject, as it is listed: `customer/client/123`.
    pub subject: Option<String>,
    /// How far the act has come.
    pub state: Option<State>,
    /// How many are listed.
    pub limit: Option<usize>,
    /// Where an earlier answer stopped.
    pub cursor: Option<Place>,
}

/// A place in the list: the last entry that was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// When its act began.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityAnswer {
    /// In words.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The entries, the newest first.
    pub entries: Vec<ActivityLine>,
    /// What to ask for next as `cursor`; nothing: these are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Place>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityLine {
    /// When the act began.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
    /// Who.
    pub by: By,
    /// Lambda's id of the request, by which CloudTrail knows the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was done.
    pub did: String,
    /// To what.
    pub subjects: Vec<String>,
    /// What else was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// `started` (it has not ended, or was cut off), `done` or `refused`.
    pub state: State,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// The answer's summary, or why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl From<Entry> for ActivityLine {
    fn from(entry: Entry) -> Self {
        let state = entry.outcome.state();
        let (ended, result) = match entry.outcome {
            Outcome::Started => (None, None),
            Outcome::Done { at, summary } => (Some(at), Some(summary)),
            Outcome::Refused { at, reason } => (Some(at), Some(reason)),
        };
        Self {
            at: entry.at,
            id: entry.id,
            by: entry.by,
            request: entry.request,
            did: entry.did,
            subjects: entry.subjects,
            asked: entry.asked,
            because: entry.because,
            state,
            ended,
            result,
        }
    }
}

impl ActivityRequest {
    fn fits(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|it| it == has);
        is(&self.user, &entry.by.user)
            && is(&self.did, &entry.did)
            && self
                .state
                .is_none_or(|state| state == entry.outcome.state())
            && self
                .subject
                .as_ref()
                .is_none_or(|it| entry.subjects.contains(it))
            && self.cursor.is_none_or(|cursor| place(entry) < cursor)
    }
}

fn place(entry: &Entry) -> Place {
    Place {
        at: entry.at,
        id: entry.id,
    }
}

/// Lists the activity record.
pub(crate) async fn activity(
    record: Option<&Arc<dyn Activity>>,
    request: &ActivityRequest,
    deadline: Deadline,
) -> Result<ActivityAnswer, Refusal> {
    let record = record.ok_or_else(|| {
        Refusal::SetUp(words(
            "there is no activity record (ACTIVITY_TABLE): deploy the template of this version",
        ))
    })?;
    let limit = request.limit.unwrap_or(LISTED).clamp(1, MAX_LISTED);
    let mut newest: Vec<Entry> = Vec::new();
    let mut found = 0;
    let mut after: Option<String> = None;
    loop {
        let page = record.page(after.as_deref()).await?;
        let fitting = page.entries.into_iter().filter(|entry| request.fits(entry));
        newest.extend(fitting.inspect(|_| found += 1));
        newest.sort_unstable_by_key(|entry| std::cmp::Reverse(place(entry)));
        newest.truncate(limit);
        after = page.next;
        if after.is_none() {
            break;
        }
        if !deadline.allows(TIME_OF_A_PAGE) {
            return Err(Refusal::Later(words(
                "the activity record is too long to be read in the time that there is",
            )));
        }
    }
    let cursor = newest.last().filter(|_| found > limit).map(place);
    let summary = match (found, cursor) {
        (0, _) => say!("activity-none"),
        (acts, None) => say!("activity-listed", acts),
        (acts, Some(_)) => {
            say!("activity-newest", acts, listed = limit).then(say!("more", field = "cursor"))
        }
    };
    Ok(ActivityAnswer {
        summary,
        entries: newest.into_iter().map(ActivityLine::from).collect(),
        cursor,
    })
}
