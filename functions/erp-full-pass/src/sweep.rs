//! Norce's side: the changed and the forgotten customers, so that an event which Norce dropped costs at most
//! one interval. What is to be looked at goes to `change-events`, like an event.

use chrono::TimeDelta;
use shared::{
    domain::{EntityKind, EntityRef},
    http::Deadline,
    mappings::{Mapping, READ_AT_ONCE},
    norce::{ChangedEntity, ChangedPage},
};

use crate::{
    ErpFullPass,
    action::Action,
    decide::Decision,
    failure::Halt,
    pending::Pending,
    run::{Part, Step},
    timing::Timed,
};

/// Norce's clock and ours may differ by this much; `change-events` counts with the same.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(2);
/// Items that are read about an entity: its face, and its tombstone.
const KEYS_OF_ENTITY: u64 = 2;

impl ErpFullPass {
    /// Walks over what is left of a sweep.
    pub(crate) async fn sweep(&self, step: &mut Step<'_>, deadline: Deadline) -> Result<(), Halt> {
        let nothing_pending = Pending::new();
        loop {
            let (scope, after) = (step.run.scope, step.work.after);
            let (kind, page) = match step.work.part {
                Part::Changed { kind } => {
                    // The first sweep begins now: what is older than the integration was no event that got lost, and
                    // a whole register would be fetched and written to the ERP.
                    let watermark = step.run.watermarks_before.get(&kind);
                    let since = *watermark.unwrap_or(&step.run.started) - self.overlap(true);
                    let page = self
                        .norce
                        .changed_since(kind, scope, Some(since), after, deadline);
                    (kind, page.timed(&mut step.run.cost.norce_wait_ms).await?)
                }
                Part::Forgotten => {
                    let page = self.norce.forgotten(scope, after, deadline);
                    let page = page.timed(&mut step.run.cost.norce_wait_ms).await?;
                    (EntityKind::Customer, page)
                }
                Part::Owed | Part::Records { .. } | Part::Done => return Ok(()),
            };
            let ChangedPage {
                entities,
                next,
                requests,
            } = page;
            step.run.cost.pages += 1;
            step.run.cost.query_calls += requests;
            self.swept(step, kind, entities).await?;
            match next {
                Some(last) => step.work.after = Some(last),
                None => step.next_part(),
            }
            step.commit(self, &nothing_pending).await?;
            if next.is_some_and(|last| after.is_some_and(|after| last <= after)) {
                return Err(Halt::Endless {
                    reason: "Norce's listing stands still: a page ends where it began; see whether Norce Query still sorts by Id".to_owned(),
                });
            }
            step.check_time(self, &nothing_pending, deadline).await?;
        }
    }

    async fn swept(
        &self,
        step: &mut Step<'_>,
        kind: EntityKind,
        changed: Vec<ChangedEntity>,
    ) -> Result<(), Halt> {
        if changed.is_empty() {
            return Ok(());
        }
        let of_forgotten = step.work.part == Part::Forgotten;
        let last_sweep = step.run.watermarks_before.get(&kind);
        let last_sweep = *last_sweep.unwrap_or(&step.run.started);
        let entities: Vec<EntityRef> = changed
            .iter()
            .map(|changed| EntityRef {
                kind,
                scope: step.run.scope,
                id: changed.id,
            })
            .collect();
        let keys = KEYS_OF_ENTITY * entities.len() as u64;
        step.run.cost.mapping_reads += keys;
        step.run.cost.mapping_read_requests += keys.div_ceil(READ_AT_ONCE as u64);
        let mappings = self.mappings.get_many(&entities).await?;
        for ((entity, changed), mapping) in entities.into_iter().zip(changed).zip(mappings) {
            step.run.counts.seen += 1;
            let is_known = match mapping {
                // Nothing is left of it here.
                Some(Mapping::Forgotten) => true,
                // There is nothing to forget.
                None if of_forgotten => true,
                Some(_) if of_forgotten => false,
                // The other walk comes to it.
                _ if changed.forgotten => true,
                // What changed before the last sweep is listed because it is within the overlap, or because something that
                // belongs to it has changed since: Norce may have shown it only after the last fetch.
                Some(Mapping::Bound(binding)) => match (binding.fetched_at, changed.changed) {
                    (Some(fetched_at), Some(changed_at)) => {
                        changed_at > last_sweep && changed_at + CLOCK_SKEW < fetched_at
                    }
                    _ => false,
                },
                Some(Mapping::Reserved(_)) | None => false,
            };
            if is_known {
                step.decided(Decision::Unchanged, None);
            } else {
                step.push(Action::Look {
                    entity,
                    forgotten: of_forgotten,
                });
            }
        }
        Ok(())
    }
}
