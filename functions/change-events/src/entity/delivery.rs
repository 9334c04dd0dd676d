//! Hands codes over to the imports queue.

use std::time::Duration;

use chrono::TimeDelta;
use shared::{
    domain::{Clock, Code, ImportLine, ImportRequest},
    mappings::{Binding, CodeDelivery, Mappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
    queues::Queue,
};

use crate::{
    changes::Change,
    owed_list::Listed,
    result::{Failure, WaitsFor},
};

/// Whether a code can be read by the time its import has ended is not documented (norce-api §4.5). If it is missing after
/// this many deliveries, some fifteen seconds, it was removed.
const DELIVERIES_UNTIL_SHOWN: u32 = 4;
/// A code that Norce still lacks this long after it was handed over is handed over again. Repeating the import of a
/// code changes nothing, so that an import which takes longer does no harm; how long one
/// takes is not documented (norce-api §4.5).
pub(crate) const HAND_OVER_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// Hands codes over.
#[derive(Clone, Copy)]
pub(crate) struct CodeDeliveries<'a> {
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) owed: &'a dyn OwedRecords,
    pub(crate) imports: &'a dyn Queue<ImportRequest>,
    pub(crate) clock: &'a dyn Clock,
}

impl CodeDeliveries<'_> {
    /// Hands the code over if Norce needs it, or records that Norce has it.
    pub(crate) async fn deliver_code(
        &self,
        change: &Change,
        binding: &Binding,
        in_norce: Option<&Code>,
        listed: &Listed,
    ) -> Result<(), Failure> {
        let (entity, now) = (change.entity, self.clock.now());
        if in_norce.is_some() {
            if !matches!(binding.delivery, CodeDelivery::Confirmed { .. }) {
                let confirmed = CodeDelivery::Confirmed { at: now };
                self.mappings
                    .record_delivery(entity, &binding.code, confirmed)
                    .await?;
            }
            if listed.code_to_norce {
                self.owed
                    .resolve(&Subject::Entity(entity), Stage::CodeToNorce)
                    .await?;
            }
            return Ok(());
        }
        let waits = match binding.delivery {
            CodeDelivery::HandedOver { at } => now < at + HAND_OVER_AGAIN_AFTER,
            CodeDelivery::Confirmed { .. } => !self.is_lost_code_due(change, binding).await?,
            CodeDelivery::Pending | CodeDelivery::Refused { .. } => false,
        };
        if waits {
            return Ok(());
        }
        let line = ImportLine {
            ordered_at: change.ordered_at,
            ..ImportLine::code(entity.id, binding.code.clone(), change.correlation)
        };
        let request = ImportRequest {
            kind: entity.kind,
            scope: entity.scope,
            lines: vec![line],
            alone: false,
            since: None,
        };
        // Sent before it is recorded: a crash in between repeats an import, which changes nothing; the other way round it
        // would lose the code.
        self.imports.send(&[request], Duration::ZERO).await?;
        self.mappings
            .record_delivery(entity, &binding.code, CodeDelivery::HandedOver { at: now })
            .await?;
        Ok(())
    }

    /// Whether a code that Norce has imported and does not show is handed over again now. If that happened at once, and
    /// something in Norce removes the code, the event of each import would cause the next import, without an end. So it is
    /// owed first, and handed over an hour after it was found missing or last handed over.
    async fn is_lost_code_due(&self, change: &Change, binding: &Binding) -> Result<bool, Failure> {
        let (code, now) = (&binding.code, self.clock.now());
        let subject = Subject::Entity(change.entity);
        let owed = self.owed.get(&subject, Stage::CodeToNorce).await?;
        let is_due = match &owed {
            Some(owed) => now >= owed.last + HAND_OVER_AGAIN_AFTER,
            None if change.receive_count < DELIVERIES_UNTIL_SHOWN => {
                return Err(Failure::later(
                    WaitsFor::NorceQuery,
                    format!("Norce Query does not show code {code} yet, which Norce has imported"),
                ));
            }
            None => false,
        };
        if owed.is_none() || is_due {
            let detail = format!(
                "Norce has imported code {code} and does not show it: see what removes it in Norce, another integration or a rule there; it is handed over again once an hour at most"
            );
            tracing::warn!(entity = %change.entity, %code, is_due, correlation = %change.correlation, "an imported code is no longer in Norce; it is owed");
            self.owed
                .put(NewOwed {
                    subject,
                    stage: Stage::CodeToNorce,
                    reason: Reason::Conflict,
                    detail,
                    code: Some(code.clone()),
                    at: now,
                    correlation: change.correlation,
                    cause: Some(change.cause),
                })
                .await?;
        }
        Ok(is_due)
    }
}
