//! `history`: how much was owed, every quarter of an hour.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::passes::OwedSample;

use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say},
};

/// So many hours unless others are asked for.
const HOURS: u32 = 24;
/// As far back as samples are kept for: a month.
const MAX_HOURS: u32 = 31 * 24;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HistoryRequest {
    /// How far back, in hours.
    pub hours: Option<u32>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryAnswer {
    /// The answer in a sentence.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The samples, the oldest first. There is none of a time when nothing was counted.
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
