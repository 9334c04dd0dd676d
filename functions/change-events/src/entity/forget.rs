//! Forgotten customers (P12).

use shared::{
    erp::{Block, ErpError, UpdateOutcome},
    http::Deadline,
    mappings::{Mapping, Mappings},
    owed::Reason,
    runtime::configuration::ForgottenPolicy,
};

use crate::{
    changes::{Change, WaitingOrders},
    erps::Erps,
    owed_list::OwedList,
    result::{Done, Failure},
};

/// Gives the ERP's refusal to block a forgotten customer a reason of its own: the record is not at fault.
fn cannot_block(error: ErpError) -> Failure {
    match error.into() {
        Failure::Owed { detail, .. } => Failure::owed(
            Reason::Forgotten,
            format!("it is forgotten in Norce and cannot be blocked in the ERP: {detail}"),
        ),
        later => later,
    }
}

/// Forgets customers.
#[derive(Clone, Copy)]
pub(crate) struct Forgetting<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) owed: OwedList<'a>,
    pub(crate) waiting: WaitingOrders<'a>,
    pub(crate) policy: ForgottenPolicy,
    pub(crate) deadline: Deadline,
}

impl Forgetting<'_> {
    /// Treats the ERP record of a forgotten customer as the policy says, and reduces the mapping to a tombstone.
    ///
    /// The ERP comes first: a tombstone does not say which record it was.
    pub(crate) async fn forget(
        &self,
        change: &Change,
        mapping: Option<&Mapping>,
    ) -> Result<Done, Failure> {
        let entity = change.entity;
        let mut words = "forgotten";
        let block = match self.policy {
            ForgottenPolicy::Keep => None,
            ForgottenPolicy::Invoice => Some(Block::Invoice),
            ForgottenPolicy::All => Some(Block::All),
        };
        if let (Some(Mapping::Bound(binding)), Some(block)) = (mapping, block) {
            let erp = self.erps.of(entity.scope)?;
            let blocked = erp.block(&binding.erp_id, block, self.deadline).await;
            words = match blocked.map_err(cannot_block)? {
                UpdateOutcome::Updated(_) | UpdateOutcome::Unchanged(_) => {
                    "forgotten; blocked in the ERP"
                }
                UpdateOutcome::Gone => "forgotten; already gone from the ERP",
                UpdateOutcome::Stale => {
                    return Err(Failure::other_writer(
                        "the ERP record changed while it was blocked",
                    ));
                }
            };
        }
        self.mappings.forget(entity).await?;
        // The orders find out that their customer is forgotten, and their copies expire.
        self.waiting.release(entity, change.correlation).await?;
        self.owed.resolve_all(entity).await?;
        Ok(Done::new("forgotten", words))
    }
}
