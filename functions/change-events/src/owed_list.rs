//! The list of owed records.

use futures_util::future::try_join;
use shared::{
    StoreError,
    domain::{Cause, Clock, EntityRef},
    owed::{NewOwed, OwedRecords, Stage, Subject},
};
use uuid::Uuid;

use crate::result::{Done, Failure};

/// Keeps the list of owed records up to date.
#[derive(Clone, Copy)]
pub(crate) struct OwedList<'a> {
    pub(crate) owed: &'a dyn OwedRecords,
    pub(crate) clock: &'a dyn Clock,
}

/// Whether the records that the handling of a change can resolve are on the list.
pub(crate) struct Listed {
    pub(crate) to_erp: bool,
    pub(crate) code_to_norce: bool,
}

impl OwedList<'_> {
    /// Which records of an entity are listed. The reads are concurrent, so that they become one request.
    pub(crate) async fn of(&self, entity: EntityRef) -> Result<Listed, StoreError> {
        let subject = Subject::Entity(entity);
        let to_erp = self.owed.is_listed(&subject, Stage::ToErp);
        let code_to_norce = self.owed.is_listed(&subject, Stage::CodeToNorce);
        let (to_erp, code_to_norce) = try_join(to_erp, code_to_norce).await?;
        Ok(Listed {
            to_erp,
            code_to_norce,
        })
    }

    /// Lists a subject whose change needs a person, clears one whose change succeeded, and returns the result.
    pub(crate) async fn record_outcome(
        &self,
        subject: Subject,
        cause: Option<Cause>,
        result: Result<Done, Failure>,
        correlation: Uuid,
    ) -> Result<Done, Failure> {
        match &result {
            Ok(_) => {
                self.owed.resolve(&subject, Stage::ToErp).await?;
            }
            Err(Failure::Owed { reason, detail }) => {
                self.owed
                    .put(NewOwed {
                        subject,
                        stage: Stage::ToErp,
                        reason: *reason,
                        detail: detail.clone(),
                        code: None,
                        at: self.clock.now(),
                        correlation,
                        cause,
                    })
                    .await?;
            }
            Err(Failure::Later { .. }) => {}
        }
        result
    }

    /// Whether the last change of a subject was not carried out.
    pub(crate) async fn has(&self, subject: &Subject) -> Result<bool, Failure> {
        Ok(self.owed.is_listed(subject, Stage::ToErp).await?)
    }

    /// Clears everything that is owed for a forgotten customer.
    pub(crate) async fn resolve_all(&self, entity: EntityRef) -> Result<(), Failure> {
        self.owed
            .resolve(&Subject::Entity(entity), Stage::ToErp)
            .await?;
        self.resolve_code_faults(entity).await
    }

    /// Clears what is owed for the code of an entity that has none anymore.
    pub(crate) async fn resolve_code_faults(&self, entity: EntityRef) -> Result<(), Failure> {
        for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
            self.owed.resolve(&Subject::Entity(entity), stage).await?;
        }
        Ok(())
    }
}
