//! `plan`: the plan of a pass is made as the schedules start passes (`pass.rs`), and shown from its report.

use erp_full_pass::report::PlanLine;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{ApplicationId, EntityKind, PassMode},
    passes::{Counts, Run},
};
use uuid::Uuid;

use super::{pass::PassAsked, status::LastRun};
use crate::{
    error::Refusal,
    ports::StackPorts,
    sentence::{self, Sentence, say},
};

/// As many lines are shown unless more are asked for: about what a terminal shows.
const SHOWN: usize = 50;
/// As many lines are shown at most; all of them are in the report.
const MAX_SHOWN: usize = 500;

/// What is asked for: a plan by `mode`, or what one says by `show`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlanRequest {
    /// As in [`PassAsked`].
    pub mode: Option<PassMode>,
    /// As in [`PassAsked`].
    pub kind: Option<EntityKind>,
    /// As in [`PassAsked`].
    pub application: Option<ApplicationId>,
    /// A plan that was made.
    pub show: Option<Uuid>,
    /// Of `show`: how many lines.
    pub limit: Option<usize>,
}

impl PlanRequest {
    /// The pass that is planned.
    pub(crate) fn asked(&self) -> Result<PassAsked, Refusal> {
        match (self.mode, self.show) {
            (Some(mode), None) => Ok(PassAsked {
                mode,
                kind: self.kind,
                application: self.application,
            }),
            _ => Err(Refusal::request(
                "`plan` needs `mode`, one of delta, full, sweep, for example {\"action\":\"plan\",\"mode\":\"full\"}; or `show` with the id of a plan that was made",
            )),
        }
    }
}

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanShown {
    /// The answer in a sentence.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The plan's run.
    pub plan: LastRun,
    /// What it found.
    pub counts: Counts,
    /// Its first lines.
    pub lines: Vec<PlanLine>,
    /// Where all of it is, in the reports bucket.
    pub report: String,
}

impl StackPorts {
    pub(crate) async fn show_plan(
        &self,
        plan: Uuid,
        limit: Option<usize>,
    ) -> Result<PlanShown, Refusal> {
        let limit = limit.unwrap_or(SHOWN).min(MAX_SHOWN);
        let folder = format!("plans/{plan}");
        let summary = self.reports.get(&format!("{folder}/summary.json")).await?;
        let summary = summary.ok_or_else(|| Refusal::Request(say!("plan-missing", plan)))?;
        let unreadable = || Refusal::Later(say!("plan-unreadable", plan));
        let run: Run = serde_json::from_slice(&summary).map_err(|_| unreadable())?;
        let mut lines = Vec::new();
        let mut after: Option<String> = None;
        while lines.len() < limit {
            let prefix = format!("{folder}/lines-");
            let keys = self.reports.list(&prefix, after.as_deref()).await?;
            let Some(key) = keys.into_iter().next() else {
                break;
            };
            let body = self.reports.get(&key).await?.unwrap_or_default();
            let texts = body.split(|byte| *byte == b'\n');
            for text in texts.filter(|text| !text.is_empty()) {
                if lines.len() == limit {
                    break;
                }
                lines.push(serde_json::from_slice(text).map_err(|_| unreadable())?);
            }
            after = Some(key);
        }
        let plan = LastRun::from(&run);
        Ok(PlanShown {
            summary: say!("plan-shown", words = plan.found, lines = lines.len()),
            plan,
            counts: run.counts,
            lines,
            report: format!("{folder}/report.html"),
        })
    }
}
