//! Bound records that the ERP does not have any more.
//!
//! A listing of the ERP shows what is there. A full pass therefore also walks over the bindings and asks for their records by
//! id. What follows for the entity of a record that is gone, `change-events` decides from the code in Norce: its binding is
//! marked, and a message is sent about it.

use std::collections::HashSet;

use shared::{
    domain::{Code, EntityRef, ErpId, FieldGroups, PartyType},
    erp::{Erp, ErpError},
    http::Deadline,
    mappings::Binding,
};

use crate::{
    action::{Action, GoneRecord},
    checkpoint::BindingsPlace,
    meter::Meter,
    pending::Pending,
    progress::Progress,
    resolver::Resolver,
    stop_reason::{Result, StopReason},
};

/// Records that the ERP is asked for in one call, which an adapter splits into as many requests as it needs.
const RECORDS_BATCH_SIZE: usize = 400;

/// So many bound records are not all deleted between two passes: the ERP that is asked is another one, or shows nothing.
const FEWEST_OF_ANOTHER_COMPANY: usize = 10;

/// Asks the ERP whether records still exist.
#[derive(Clone, Copy)]
pub(crate) struct RecordCheck<'a> {
    pub(crate) erp: &'a dyn Erp,
    pub(crate) meter: &'a Meter,
    pub(crate) deadline: Deadline,
}

impl RecordCheck<'_> {
    /// Those of the records that the ERP does not have. A record that is missing in the answer about many may merely be
    /// unusable, so that each of these is asked for by its id.
    pub(crate) async fn gone(&self, records: &[ErpId]) -> Result<Vec<ErpId>> {
        let mut gone = Vec::new();
        for ids in records.chunks(RECORDS_BATCH_SIZE) {
            let found = self.erp.get_many(ids, FieldGroups::NONE, self.deadline);
            let found = self.meter.erp_call(found).await?;
            let there: HashSet<&ErpId> = found.iter().map(|record| &record.id).collect();
            for id in ids.iter().filter(|id| !there.contains(id)) {
                if self.is_gone(id).await? {
                    gone.push(id.clone());
                }
            }
        }
        Ok(gone)
    }

    async fn is_gone(&self, id: &ErpId) -> Result<bool> {
        let found = self.meter.erp_call(self.erp.get(id, self.deadline)).await;
        match found {
            Ok(found) => Ok(found.is_none()),
            // Something is there, or the ERP cannot tell: one such record does not stop the others (P6).
            Err(error @ (ErpError::Refused { .. } | ErpError::Unreadable(_))) => {
                tracing::warn!(record = %id, %error, "cannot tell whether the ERP still has this record");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Walks over what is left of the bound entities, page by page.
pub(crate) async fn bindings_phase(
    resolver: &Resolver<'_>,
    progress: &mut Progress<'_>,
    pending: &Pending,
) -> Result {
    let lookups = &resolver.lookups;
    let check = RecordCheck {
        erp: lookups.erp,
        meter: lookups.meter,
        deadline: lookups.deadline,
    };
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
        let gone: HashSet<ErpId> = check.gone(&records).await?.into_iter().collect();
        if gone.len() == records.len() && gone.len() >= FEWEST_OF_ANOTHER_COMPANY {
            return Err(StopReason::Endless {
                reason: format!(
                    "the ERP has none of the {} bound records that it was asked for, so that it is taken for another company or another ERP, and nothing was marked: check ErpBaseUrl and ErpCompany, and what the app may see",
                    gone.len()
                ),
            });
        }
        for (entity, binding) in asked {
            if gone.contains(&binding.erp_id) {
                progress.run.counts.seen += 1;
                progress.act(recheck(entity, binding.erp_id, binding.code));
            }
        }
        progress.checkpoint.bindings = page.next.map(|next| BindingsPlace { after: Some(next) });
        progress.commit(pending).await?;
        progress.check_time(pending, lookups.deadline).await?;
    }
    Ok(())
}

/// What is done about an entity whose record is gone.
pub(crate) fn recheck(entity: EntityRef, record: ErpId, code: Code) -> Action {
    Action::Recheck {
        entity,
        forgotten: false,
        gone: Some(GoneRecord { record, code }),
    }
}
