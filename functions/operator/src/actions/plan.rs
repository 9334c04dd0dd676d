//! `plan`: shows the plan of a pass from its report. `pass.rs` starts plans.

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

/// Lines shown by default: about what a terminal shows.
const SHOWN: usize = 50;
/// The maximum number of lines shown; the report has all of them.
const MAX_SHOWN: usize = 500;

/// The request: `mode` makes a plan, `show` shows one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PlanRequest {
    /// As in [`PassAsked`].
    pub mode: Option<PassMode>,
    /// As in [`PassAsked`].
    pub kind: Option<EntityKind>,
    /// As in [`PassAsked`].
    pub application: Option<ApplicationId>,
    /// The id of a plan to show.
    pub show: Option<Uuid>,
    /// With `show`: the number of lines.
    pub limit: Option<usize>,
}

impl PlanRequest {
    /// The pass to plan.
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

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanShown {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The plan's run.
    pub plan: LastRun,
    /// Its counts.
    pub counts: Counts,
    /// Its first lines.
    pub lines: Vec<PlanLine>,
    /// The key of the complete report in the reports bucket.
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
