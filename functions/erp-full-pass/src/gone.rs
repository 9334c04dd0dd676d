//! Bound records that the ERP no longer has.
//!
//! A listing of the ERP shows what is there. A full pass therefore also walks over the bindings and asks for their records by
//! id. What follows for the entity of a record that is gone, `change-events` decides from the code in Norce: its binding is
//! marked, and a message is sent about it.

use std::collections::HashMap;

use shared::{
    domain::{Code, EntityRef, ErpId, PartyType, Resource},
    mappings::Binding,
};

use crate::{
    action::{Action, GoneRecord},
    checkpoint::BindingsPlace,
    pending::Pending,
    progress::Progress,
    resolver::Resolver,
    stop_reason::{Result, StopReason},
};

/// So many bound records are not all deleted between two passes.
const FEWEST_OF_ANOTHER_ERP: usize = 10;
/// Missing records that are asked for one by one between two checkpoints: what a cut-off invocation asks for again.
const RECORDS_BETWEEN_CHECKPOINTS: usize = 50;

/// Walks over what is left of the bound entities, page by page.
pub(crate) async fn bindings_phase(
    resolver: &Resolver<'_>,
    progress: &mut Progress<'_>,
    pending: &Pending,
) -> Result {
    let lookups = &resolver.lookups;
    let check = lookups.record_check();
    while let Some(BindingsPlace { after }) = progress.checkpoint.bindings.clone() {
        let page = lookups.bound(after.as_deref()).await?;
        let kind = progress.run.kind;
        let asked: Vec<(EntityRef, Binding)> = page
            .bound
            .into_iter()
            .filter(|(entity, binding)| {
                let of = PartyType::of(entity.kind, binding.erp_id.resource);
                entity.scope == lookups.scope
                    && kind.is_none_or(|kind| kind == entity.kind)
                    && resolver.rules.settings.sync_kinds.has(of)
                    // It is known, and owed or settled.
                    && binding.gone_at.is_none()
            })
            .collect();
        let records: Vec<ErpId> = asked
            .iter()
            .map(|(_, binding)| binding.erp_id.clone())
            .collect();
        let mut missing = check.missing(&records).await?;
        if let Some(plan) = &progress.checkpoint.plan {
            // A pass would have replaced them by now.
            missing.retain(|record| !plan.replaced.contains(record));
        }
        for resource in [Resource::Customer, Resource::Contact] {
            check_not_another_erp(resource, &records, &missing)?;
        }
        let asked: HashMap<ErpId, (EntityRef, Code)> = asked
            .into_iter()
            .map(|(entity, binding)| (binding.erp_id, (entity, binding.code)))
            .collect();
        // An invocation that is cut off here asks again only for those that are not marked yet.
        for some in missing.chunks(RECORDS_BETWEEN_CHECKPOINTS) {
            for record in check.confirmed(some).await? {
                if let Some((entity, code)) = asked.get(&record) {
                    progress.run.counts.seen += 1;
                    progress.act(recheck(*entity, record, code.clone()));
                }
            }
            progress.commit(pending).await?;
            progress.check_time(pending, lookups.deadline).await?;
        }
        progress.checkpoint.bindings = page.next.map(|next| BindingsPlace { after: Some(next) });
        progress.commit(pending).await?;
        progress.check_time(pending, lookups.deadline).await?;
    }
    Ok(())
}

/// An ERP that has none of many bound records is not the one that they were bound in, or hides them.
fn check_not_another_erp(resource: Resource, asked: &[ErpId], missing: &[ErpId]) -> Result {
    let count = |ids: &[ErpId]| ids.iter().filter(|id| id.resource == resource).count();
    let (asked, missing) = (count(asked), count(missing));
    if missing < asked || missing < FEWEST_OF_ANOTHER_ERP {
        return Ok(());
    }
    Err(StopReason::Endless {
        reason: format!(
            "the ERP has none of the {missing} bound {resource} records; it is probably another company or another ERP, or the app may not see them, so nothing was marked: check ErpBaseUrl, ErpCompany and the rights of the app; if they were all deleted, end their bindings with {{\"action\":\"unbind\"}}"
        ),
    })
}

/// What is done about an entity whose record is gone.
pub(crate) fn recheck(entity: EntityRef, record: ErpId, code: Code) -> Action {
    Action::Recheck {
        entity,
        forgotten: false,
        gone: Some(GoneRecord { record, code }),
    }
}
