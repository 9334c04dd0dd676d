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

/// Entries listed by default: about what a terminal shows.
const LISTED: usize = 50;
/// The maximum number of entries listed: an answer of Lambda has at most 6 MB, and an entry with 100 subjects takes about 5 KB.
const MAX_LISTED: usize = 500;
/// The time that must be left to read another page: one takes a fraction of a second, and when DynamoDB throttles, the client
/// gives up after a few seconds.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(5);

/// The request. All given filters must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ActivityRequest {
    /// Acts of one user.
    pub user: Option<String>,
    /// One kind of act, such as `retry`.
    pub did: Option<String>,
    /// Acts on one subject, as it is listed: `customer/client/123`.
    pub subject: Option<String>,
    /// How far the act has come.
    pub state: Option<State>,
    /// The number of entries to list.
    pub limit: Option<usize>,
    /// Where the previous answer stopped.
    pub cursor: Option<Place>,
}

/// A place in the list: the last entry listed.
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
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The entries, the newest first.
    pub entries: Vec<ActivityLine>,
    /// The `cursor` of the next request; absent at the end of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Place>,
}

/// An entry of the activity record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityLine {
    /// When the act began.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
    /// The user who acted, or `aws`.
    pub by: By,
    /// Lambda's request id, by which CloudTrail identifies the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The kind of act, such as `retry`.
    pub did: String,
    /// The subjects that were acted on.
    pub subjects: Vec<String>,
    /// The other fields of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The reason that the person gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// `started` (still running, or cut off), `done` or `refused`.
    pub state: State,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// The summary of the answer, or the reason of the refusal.
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
                "the activity record is too long to read in the time that is left",
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
