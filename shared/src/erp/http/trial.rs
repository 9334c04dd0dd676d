//! The trial: one record is created and removed. The contract has no orders, so no sale is tried.

use super::{
    fields::Fields,
    register::{Register, id_segment, segment},
    write::Answered,
};
use crate::{
    erp::{
        CreateOutcome, ErpError, ErpRecord, IdempotencyKey, Party, Sale, Trial,
        trial::before_deletion,
    },
    http::Deadline,
};

impl Register {
    pub(super) async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        let work = before_deletion(deadline)?;
        // Not the cached answer: the facade may have been changed since this process started, which is a reason for a trial.
        let about = self.about(work).await?;
        if !about.capabilities.deletes() {
            return Err(ErpError::Refused {
                field: None,
                code: "no-trial".to_owned(),
                message: "the facade does not state the capability `deletes`, so that a trial would leave a record: place an order for a test customer, and see the record in the ERP"
                    .to_owned(),
            });
        }
        if about.may_write == Some(false) {
            return Err(ErpError::Authentication {
                reason: "the facade states `mayWrite: false`, and nothing was created".to_owned(),
            });
        }
        let (record, altered) = match self.send_create(key, party, work).await? {
            Answered::Outcome(CreateOutcome::Created(record)) => (record, false),
            Answered::Outcome(CreateOutcome::Altered(record)) => (record, true),
            // The record of an earlier trial that was interrupted. The key belongs to no customer.
            Answered::Earlier(record) => {
                let takes = &self.abilities(work).await?.fields;
                let wanted = Fields::of_new(party, takes);
                let altered = !wanted.are_in(&record.fields);
                (record, altered)
            }
            Answered::Outcome(CreateOutcome::AlreadyThere(_)) | Answered::CodeTaken(_) => {
                return Err(ErpError::Refused {
                    field: Some("code"),
                    code: "code-taken".to_owned(),
                    message: "another record has the code of the trial: remove it if an earlier trial has left it, or choose another ERP_CODE_PATTERN"
                        .to_owned(),
                });
            }
            Answered::Outcome(CreateOutcome::Ambiguous { reason }) => {
                let is_found = self.capabilities(work).await?.creates_are_idempotent;
                let advice = match is_found {
                    true => "repeat the trial, which finds the record and removes it",
                    false => "look for the record of the trial in the ERP and remove it",
                };
                return Err(ErpError::Unreadable(format!("{reason}: {advice}")));
            }
        };
        let left = self.remove(&record, deadline).await;
        Ok(Trial {
            code: record.code,
            altered,
            // A create writes everything at once.
            incomplete: None,
            sale: Sale::Unknown("the HTTP contract has no orders".to_owned()),
            left: left.err().map(|error| error.to_string()),
        })
    }

    /// Removes a record that this process has made.
    async fn remove(&self, record: &ErpRecord, deadline: Deadline) -> Result<(), ErpError> {
        let path = [segment(record.id.resource), id_segment(&record.id)?];
        self.client.remove(&path, deadline).await
    }
}
