//! Forgotten customers (P12).

use shared::{
    domain::EntityRef,
    erp::UpdateOutcome,
    http::Deadline,
    mappings::Mapping,
    owed::{Stage, Subject},
    runtime::configuration::ForgottenPolicy,
};

use crate::{ChangeEvents, Done, failure::Failure};

impl ChangeEvents {
    /// A customer is forgotten in Norce: the ERP is told what the policy says, and ours is reduced to a tombstone.
    ///
    /// The ERP comes first: after the tombstone we no longer know which record it was.
    pub(crate) async fn forget(
        &self,
        entity: EntityRef,
        mapping: Option<&Mapping>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let mut done = "forgotten";
        if let (Some(Mapping::Bound(binding)), ForgottenPolicy::Block) =
            (mapping, self.policy.forgotten)
        {
            match self
                .erp(entity.scope)?
                .block(&binding.erp_id, deadline)
                .await?
            {
                UpdateOutcome::Updated(_) | UpdateOutcome::Unchanged(_) => {
                    done = "forgotten; blocked in the ERP"
                }
                UpdateOutcome::Gone => done = "forgotten; already gone from the ERP",
                UpdateOutcome::Stale => {
                    return Err(Failure::later(
                        "the ERP record changed while it was blocked",
                    ));
                }
            }
        }
        self.mappings.forget(entity).await?;
        for stage in [Stage::ToErp, Stage::CodeToNorce] {
            self.owed.resolve(&Subject::Entity(entity), stage).await?;
        }
        Ok(done.into())
    }
}
