//! `plan` and `pass`: starts them as the schedules do.

use serde::{Deserialize, Serialize};
use shared::domain::{ApplicationId, EntityKind, PassMode, PassRequest};

use erp_full_pass::{StartError, StartedRun, start};

use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say},
};

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassAsked {
    /// The mode.
    pub mode: PassMode,
    /// Customers or companies only; without it, both.
    #[serde(default)]
    pub kind: Option<EntityKind>,
    /// The scope of one application only; without it, all scopes.
    #[serde(default)]
    pub application: Option<ApplicationId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassStarted {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// One run for each scope.
    pub runs: Vec<StartedRun>,
    /// For plans: the keys of their reports in the reports bucket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<String>,
}

impl StackPorts {
    pub(crate) async fn start(
        &self,
        asked: &PassAsked,
        dry_run: bool,
    ) -> Result<PassStarted, Refusal> {
        let request = PassRequest {
            mode: asked.mode,
            kind: asked.kind,
            application: asked.application,
            dry_run,
        };
        let shops = &self.shops;
        let started = start(shops, self.to_passes.as_ref(), &request).await;
        let started = started.map_err(|error| match error {
            StartError::Application(_) => Refusal::request(error.to_string()),
            StartError::Queue(error) => error.into(),
        })?;
        let reports = started.runs.iter().filter(|_| dry_run);
        let reports = reports.map(|run| format!("plans/{}/report.html", run.run));
        let (mode, scopes) = (asked.mode, started.runs.len());
        let summary = match dry_run {
            true => say!("plan-started", mode, scopes),
            false => say!("pass-started", mode, scopes),
        };
        Ok(PassStarted {
            summary,
            reports: reports.collect(),
            runs: started.runs,
        })
    }
}
