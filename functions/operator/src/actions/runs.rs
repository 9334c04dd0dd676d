//! `runs`: the passes of the last 30 days.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{ApplicationId, PassMode},
    passes::RunFilter,
};
use uuid::Uuid;

use super::status::LastRun;
use crate::{
    error::Refusal,
    ports::StackPorts,
    selector::scope_of,
    sentence::{self, Sentence, say},
};

/// How far back runs are listed.
const LISTED_BACK: TimeDelta = TimeDelta::days(30);
/// Runs listed by default: about what a terminal shows.
const LISTED: usize = 50;
/// The maximum number of runs listed: an answer of Lambda has at most 6 MB, and a run takes about 0.5 KB.
const MAX_LISTED: usize = 1_000;

/// The request. All given filters must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RunsRequest {
    /// Runs of one mode.
    pub mode: Option<PassMode>,
    /// Runs over the scope of one application.
    pub application: Option<ApplicationId>,
    /// The number of runs to list.
    pub limit: Option<usize>,
    /// Where the previous answer stopped.
    pub cursor: Option<Place>,
}

/// A place in the list: the last run listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// When it began.
    pub started: DateTime<Utc>,
    /// Its id.
    pub run: Uuid,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The runs, the newest first.
    pub runs: Vec<LastRun>,
    /// The `cursor` of the next request; absent at the end of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Place>,
}

impl StackPorts {
    pub(crate) async fn runs(&self, request: &RunsRequest) -> Result<RunsAnswer, Refusal> {
        let limit = request.limit.unwrap_or(LISTED).clamp(1, MAX_LISTED);
        let scope = request.application.map(|id| scope_of(&self.shops, id));
        let filter = RunFilter {
            since: self.clock.now() - LISTED_BACK,
            after: request.cursor.map(|place| (place.started, place.run)),
            mode: request.mode,
            scope: scope.transpose()?,
        };
        // One extra run shows whether there are more.
        let mut runs = self.passes.runs(&filter, limit + 1).await?;
        let is_all = runs.len() <= limit;
        runs.truncate(limit);
        let failed = runs.iter().filter_map(|run| run.ended.as_ref());
        let failed = failed.filter(|ended| ended.failed.is_some()).count();
        let rest = (!is_all).then(|| say!("more", field = "cursor"));
        let last = runs.last().filter(|_| !is_all);
        Ok(RunsAnswer {
            summary: say!(
                "runs-listed",
                runs = runs.len(),
                days = LISTED_BACK.num_days(),
                failed
            )
            .then(rest),
            cursor: last.map(|run| Place {
                started: run.started,
                run: run.id,
            }),
            runs: runs.iter().map(LastRun::from).collect(),
        })
    }
}
