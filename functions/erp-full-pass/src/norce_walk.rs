//! Norce's side: changed and forgotten customers and companies, so that an event which Norce dropped costs at most one
//! interval. `change-events` checks them, as after an event.

use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    domain::{EntityKind, EntityRef, PartyType, SyncKinds},
    http::Deadline,
    mappings::{Mapping, Mappings},
    norce::{ChangedEntity, ChangedPage, NorceQuery},
};

use crate::{
    action::{Action, Decision},
    checkpoint::Phase,
    lookups::ITEMS_OF_ENTITY,
    pending::Pending,
    progress::Progress,
    stop_reason::{Result, StopReason},
};

/// Norce's clock and ours may differ by this much; `change-events` counts with the same.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(2);

/// The sweep over one scope.
pub(crate) struct NorceWalk<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) mappings: &'a dyn Mappings,
    /// How far before the last sweep this one begins.
    pub(crate) overlap: TimeDelta,
    pub(crate) sync_kinds: SyncKinds,
    pub(crate) deadline: Deadline,
}

impl NorceWalk<'_> {
    /// Walks over what is left of a sweep.
    pub(crate) async fn walk(&self, progress: &mut Progress<'_>) -> Result {
        let nothing_pending = Pending::new();
        loop {
            let (scope, after) = (progress.run.scope, progress.checkpoint.after);
            let meter = progress.meter;
            let (kind, page) = match progress.checkpoint.phase {
                Phase::Changed { kind } if self.sync_kinds.has_kind(kind) == Some(false) => {
                    // Forgotten customers still have their walk.
                    progress.next_phase();
                    progress.commit(&nothing_pending).await?;
                    continue;
                }
                Phase::Changed { kind } => {
                    let since = Some(last_sweep(progress, kind) - self.overlap);
                    let page = self
                        .norce
                        .changed_since(kind, scope, since, after, self.deadline);
                    (kind, meter.norce_wait(page).await?)
                }
                Phase::Forgotten => {
                    let page = self.norce.forgotten(scope, after, self.deadline);
                    (EntityKind::Customer, meter.norce_wait(page).await?)
                }
                Phase::Owed | Phase::Records { .. } | Phase::Done => return Ok(()),
            };
            let ChangedPage {
                entities,
                next,
                requests,
            } = page;
            meter.add(|cost| {
                cost.pages += 1;
                cost.query_calls += requests;
            });
            self.compare(progress, kind, entities).await?;
            match next {
                Some(last) => progress.checkpoint.after = Some(last),
                None => progress.next_phase(),
            }
            progress.commit(&nothing_pending).await?;
            if next.is_some_and(|last| after.is_some_and(|after| last <= after)) {
                return Err(StopReason::Endless {
                    reason: "Norce's listing stands still: a page ends where it began; check whether Norce Query still sorts by Id".to_owned(),
                });
            }
            progress.check_time(&nothing_pending, self.deadline).await?;
        }
    }

    /// One page: what its mappings do not show to be done is checked again.
    async fn compare(
        &self,
        progress: &mut Progress<'_>,
        kind: EntityKind,
        changed: Vec<ChangedEntity>,
    ) -> Result {
        if changed.is_empty() {
            return Ok(());
        }
        let of_forgotten = progress.checkpoint.phase == Phase::Forgotten;
        let last_sweep = last_sweep(progress, kind);
        let entities: Vec<EntityRef> = changed
            .iter()
            .map(|changed| EntityRef {
                kind,
                scope: progress.run.scope,
                id: changed.id,
            })
            .collect();
        progress
            .meter
            .mappings_read(ITEMS_OF_ENTITY * entities.len());
        let mappings = self.mappings.get_many(&entities).await?;
        for ((entity, changed), mapping) in entities.into_iter().zip(changed).zip(mappings) {
            progress.run.counts.seen += 1;
            let is_known = match mapping {
                // Nothing is left of it here.
                Some(Mapping::Forgotten) => true,
                // There is nothing to forget.
                None if of_forgotten => true,
                Some(_) if of_forgotten => false,
                // The other walk comes to it.
                _ if changed.forgotten => true,
                // Norce's listing does not distinguish the other persons from contacts.
                Some(Mapping::Bound(binding))
                    if !self
                        .sync_kinds
                        .has(PartyType::of(kind, binding.erp_id.resource)) =>
                {
                    true
                }
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
                progress.decided(Decision::Unchanged, None);
            } else {
                progress.act(Action::Recheck {
                    entity,
                    forgotten: of_forgotten,
                    gone: None,
                });
            }
        }
        Ok(())
    }
}

/// When the last sweep began. The first one begins now: what is older than the integration was no event that got lost, and
/// a whole scope would be fetched and written to the ERP.
fn last_sweep(progress: &Progress<'_>, kind: EntityKind) -> DateTime<Utc> {
    let run = &progress.run;
    *run.watermarks_before.get(&kind).unwrap_or(&run.started)
}
