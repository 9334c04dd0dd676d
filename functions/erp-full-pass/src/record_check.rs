//! Whether records still exist in the ERP.

use std::collections::HashSet;

use shared::{
    domain::{ErpId, FieldGroups},
    erp::{Erp, ErpError, RecordPage},
    http::Deadline,
};

use crate::{meter::Meter, stop_reason::Result};

/// Records that the ERP is asked for in one call, which an adapter splits into as many requests as it needs.
const RECORDS_BATCH_SIZE: usize = 400;

/// Asks the ERP whether records still exist.
#[derive(Clone, Copy)]
pub(crate) struct RecordCheck<'a> {
    pub(crate) erp: &'a dyn Erp,
    pub(crate) meter: &'a Meter,
    pub(crate) deadline: Deadline,
}

impl RecordCheck<'_> {
    /// Those of the records that the ERP does not have.
    pub(crate) async fn gone(&self, records: &[ErpId]) -> Result<Vec<ErpId>> {
        let missing = self.missing(records).await?;
        self.confirmed(&missing).await
    }

    /// Those of the records that are missing in the answer about many of them.
    pub(crate) async fn missing(&self, records: &[ErpId]) -> Result<Vec<ErpId>> {
        let mut missing = Vec::new();
        for ids in records.chunks(RECORDS_BATCH_SIZE) {
            let found = self.erp.get_many(ids, FieldGroups::NONE, self.deadline);
            let found = match self.meter.erp_call(found).await {
                Ok(found) => found,
                // One of them stands in the way, and each is asked for by its id.
                Err(ErpError::Refused { .. } | ErpError::Unreadable(_)) => RecordPage::default(),
                Err(error) => return Err(error.into()),
            };
            let there: HashSet<&ErpId> = found.ids().collect();
            missing.extend(ids.iter().filter(|id| !there.contains(id)).cloned());
        }
        Ok(missing)
    }

    /// Those of the missing records that are gone, each asked for by its id.
    pub(crate) async fn confirmed(&self, missing: &[ErpId]) -> Result<Vec<ErpId>> {
        let mut gone = Vec::new();
        for id in missing {
            if self.is_gone(id).await? {
                gone.push(id.clone());
            }
        }
        Ok(gone)
    }

    /// Whether the ERP no longer has this record.
    pub(crate) async fn is_gone(&self, id: &ErpId) -> Result<bool> {
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
