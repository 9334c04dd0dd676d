//! Lines that can never be imported.

use shared::{
    domain::ImportLine,
    import_jobs::{ImportBatch, Settlement},
    metrics::Metric,
    owed::Reason,
};

use crate::{deferred::Deferred, ports::SubmitImports};

impl SubmitImports {
    /// Lists a line as owed, and takes back what was noted of its delivery.
    pub(crate) async fn refuse(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        detail: &str,
    ) -> Result<(), Deferred> {
        let settlement = Settlement {
            mappings: self.mappings.as_ref(),
            owed: self.owed.as_ref(),
            batch,
            now: self.clock.now(),
        };
        let refused = settlement.refuse(line, Reason::Validation, detail);
        refused.await.map_err(Deferred::because)?;
        self.metrics.count(Metric::ImportLines, "refused");
        Ok(())
    }
}
