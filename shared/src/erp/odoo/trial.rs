//! The trial: one partner. Odoo sells to any partner, so that nothing else has to be tried.

use serde_json::{Value, json};

use super::partners::Partners;
use crate::{
    erp::{
        CreateOutcome, ErpError, ErpRecord, IdempotencyKey, Party, Sale, Trial,
        trial::before_deletion,
    },
    http::{Deadline, Idempotency},
};

impl Partners {
    pub(super) async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        sequence: Option<&str>,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        let work = before_deletion(deadline)?;
        let (record, altered) = match self.create(key, party, sequence, work).await? {
            CreateOutcome::Created(record) => (record, false),
            CreateOutcome::Altered(record) => (record, true),
            // From an earlier trial that was cut off, if its external id says so.
            CreateOutcome::AlreadyThere(record) => {
                let made = self.made_for(key.entity, work).await?;
                if made.and_then(|row| row.erp_id()).as_ref() != Some(&record.id) {
                    return Err(ErpError::Refused {
                        field: Some("code"),
                        code: "code taken".to_owned(),
                        message: format!(
                            "partner {} has the code {} of the trial: correct it, or choose another ERP_CODE_PATTERN",
                            record.id.id, record.code
                        ),
                    });
                }
                (record, false)
            }
            CreateOutcome::Ambiguous { reason } => {
                return Err(ErpError::Unreadable(format!(
                    "{reason}: repeat the trial, which finds the partner and deletes it"
                )));
            }
        };
        let left = self.unlink(&record, deadline).await;
        Ok(Trial {
            code: record.code,
            altered,
            // A create leaves nothing.
            incomplete: None,
            sale: Sale::Possible,
            left: left.err().map(|error| error.to_string()),
        })
    }

    /// Deletes a partner, and with it its external id.
    async fn unlink(&self, record: &ErpRecord, deadline: Deadline) -> Result<(), ErpError> {
        let arguments = json!({ "ids": [record.id.id.parse::<i64>().unwrap_or_default()] });
        let _: Option<Value> = self
            .client
            .write(
                "res.partner",
                "unlink",
                &arguments,
                Idempotency::Idempotent,
                &[],
                deadline,
            )
            .await?;
        Ok(())
    }
}
