//! `plan` and `pass`: started as the schedules start them.

use serde::{Deserialize, Serialize};
use shared::domain::{ApplicationId, EntityKind, PassMode, PassRequest};

use erp_full_pass::{StartError, StartedRun, start};

use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassAsked {
    /// What it walks over.
    pub mode: PassMode,
    /// Customers or companies only; nothing: both.
    #[serde(default)]
    pub kind: Option<EntityKind>,
    /// The register of one application only; nothing: all of them.
    #[serde(default)]
    pub application: Option<ApplicationId>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassStarted {
    /// In words.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// One run for each register.
    pub runs: Vec<StartedRun>,
    /// Of plans: where in the reports bucket they will be.
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
