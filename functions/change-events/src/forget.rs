//! Forgotten customers (P12).

use shared::{
    domain::EntityRef,
    erp::{ErpError, UpdateOutcome},
    http::Deadline,
    mappings::Mapping,
    owed::{Reason, Stage, Subject},
    runtime::configuration::ForgottenPolicy,
};

use crate::{
    ChangeEvents, Done,
    entity::Change,
    failure::{Failure, WaitsFor},
};

/// What the ERP refuses here is not the record's fault, and is told apart from what it refuses of others.
fn forgotten(error: ErpError) -> Failure {
    match error.into() {
        Failure::Owed { detail, .. } => Failure::owed(
            Reason::Forgotten,
            format!("it is forgotten in Norce and cannot be blocked in the ERP: {detail}"),
        ),
        later => later,
    }
}

impl ChangeEvents {
    /// A customer is forgotten in Norce: the ERP is told what the policy says, and ours is reduced to a tombstone.
    ///
    /// The ERP comes first: after the tombstone we no longer know which record it was.
    pub(crate) async fn forget(
        &self,
        change: &Change,
        mapping: Option<&Mapping>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let entity = change.entity;
        let mut done = "forgotten";
        if let (Some(Mapping::Bound(binding)), ForgottenPolicy::Block) =
            (mapping, self.policy.forgotten)
        {
            let blocked = self.erp(entity.scope)?.block(&binding.erp_id, deadline);
            match blocked.await.map_err(forgotten)? {
                UpdateOutcome::Updated(_) | UpdateOutcome::Unchanged(_) => {
                    done = "forgotten; blocked in the ERP"
                }
                UpdateOutcome::Gone => done = "forgotten; already gone from the ERP",
                UpdateOutcome::Stale => {
                    return Err(Failure::later(
                        WaitsFor::OtherWriter,
                        "the ERP record changed while it was blocked",
                    ));
                }
            }
        }
        self.mappings.forget(entity).await?;
        // They see that nobody is there to wait for, and their copies go.
        self.release_orders(entity, change.correlation).await?;
        self.owe_nothing(entity).await?;
        Ok(Done::new("forgotten", done))
    }

    /// Nothing is owed of who is forgotten.
    pub(crate) async fn owe_nothing(&self, entity: EntityRef) -> Result<(), Failure> {
        for stage in [Stage::ToErp, Stage::CodeToNorce, Stage::FieldsToNorce] {
            self.owed.resolve(&Subject::Entity(entity), stage).await?;
        }
        Ok(())
    }
}
