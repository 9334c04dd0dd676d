//! The schedules, and the outcome of the last passes.

use chrono::{DateTime, TimeDelta, Utc};
use shared::domain::PassMode;

use super::{
    aws::aws_fault,
    check::{Finding, Planned, fault},
    ports::Doctor,
    seen::Seen,
};
use crate::{
    Schedules,
    actions::status::LastRun,
    sentence::{say, words},
};

/// A pass that has not ended after this time is stuck: it continues every few minutes, and is given up after a day.
const LONGEST_PASS: TimeDelta = TimeDelta::days(1);
/// The value of a schedule that is switched off.
const DISABLED: &str = "DISABLED";

impl Doctor {
    pub(super) fn schedule_checks<'a>(&'a self, seen: &'a Seen) -> Vec<Planned<'a>> {
        let Schedules {
            delta,
            full,
            sweep,
            owed,
        } = &self.schedules;
        let mut checks = vec![
            Planned::new(
                "schedule delta pass",
                self.schedule(delta, "DeltaSchedule", Some(PassMode::Delta), seen),
            ),
            Planned::new(
                "schedule sweep",
                self.schedule(sweep, "SweepSchedule", Some(PassMode::Sweep), seen),
            ),
            Planned::new(
                "schedule owed records",
                self.schedule(owed, "OwedSchedule", None, seen),
            ),
        ];
        // Full passes are usually not scheduled.
        if full.as_deref().is_some_and(|full| full != DISABLED) {
            let check = self.schedule(full, "FullSchedule", Some(PassMode::Full), seen);
            checks.push(Planned::new("schedule full pass", check));
        }
        checks
    }

    /// Whether a schedule is on, and its last pass succeeded.
    async fn schedule(
        &self,
        expression: &Option<String>,
        parameter: &'static str,
        mode: Option<PassMode>,
        seen: &Seen,
    ) -> Finding {
        let expression = match expression.as_deref() {
            Some(expression) if expression != DISABLED => expression,
            _ => {
                return Err(fault(
                    say!("schedule-off"),
                    say!("fix-schedule-off", parameter),
                ));
            }
        };
        let (Some(mode), Some(passes)) = (mode, &self.stores.passes) else {
            return Ok(say!("schedule-on", schedule = expression));
        };
        let last = seen
            .last_runs(passes.as_ref())
            .await
            .map_err(|error| aws_fault(error, "table", "PASSES_TABLE"))?;
        let now = self.clock.now();
        let mut of_mode = last
            .iter()
            .map(LastRun::from)
            .filter(|run| run.mode == mode)
            .peekable();
        if of_mode.peek().is_none() {
            return Ok(say!("schedule-not-run", schedule = expression));
        }
        let mut ended: Option<DateTime<Utc>> = None;
        for run in of_mode {
            if let Some(reason) = run.failed {
                return Err(fault(
                    say!("schedule-failed", scope = run.scope, words = words(reason)),
                    say!("fix-schedule-failed", mode),
                ));
            }
            match run.ended {
                None if now - run.started > LONGEST_PASS => {
                    return Err(fault(
                        say!("schedule-stuck", scope = run.scope, since = run.started),
                        say!("fix-schedule-stuck"),
                    ));
                }
                at => ended = ended.max(at),
            }
        }
        Ok(match ended {
            None => say!("schedule-running", schedule = expression),
            Some(at) => {
                let ago = (now - at).to_std().unwrap_or_default();
                say!("schedule-ended", schedule = expression, ago)
            }
        })
    }
}
