//! Lines that can never be imported.

use shared::{
    domain::ImportLine,
    import_jobs::ImportBatch,
    owed::Reason,
    runtime::{delivery, metrics::Metric},
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
        delivery::refuse(
            self.mappings.as_ref(),
            self.owed.as_ref(),
            batch,
            line,
            Reason::Validation,
            detail,
            self.clock.now(),
        )
        .await
        .map_err(Deferred::because)?;
        self.metrics.count(Metric::ImportLines, "refused");
        Ok(())
    }
}
