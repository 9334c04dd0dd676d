//! `history`: the number of owed records every 15 minutes.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::passes::OwedSample;

use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say},
};

/// The hours covered by default.
const HOURS: u32 = 24;
/// The maximum: samples are kept for a month.
const MAX_HOURS: u32 = 31 * 24;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HistoryRequest {
    /// The number of hours to look back.
    pub hours: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryAnswer {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The samples, the oldest first. Periods in which nothing was counted have none.
    pub samples: Vec<OwedSample>,
}

impl StackPorts {
    pub(crate) async fn history(&self, request: &HistoryRequest) -> Result<HistoryAnswer, Refusal> {
        let hours = request.hours.unwrap_or(HOURS).min(MAX_HOURS);
        let now = self.clock.now();
        let from = now - TimeDelta::hours(hours.into());
        let samples = self.passes.owed_samples(from, now).await?;
        let summary = match samples.iter().map(|sample| sample.owed).max() {
            None => say!("history-none", hours),
            Some(most) => say!("history", samples = samples.len(), hours, most),
        };
        Ok(HistoryAnswer { summary, samples })
    }
}
