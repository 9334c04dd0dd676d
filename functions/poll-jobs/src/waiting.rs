//! Lines that wait for a company.

use std::time::Duration;

use shared::{
    domain::{
        Code, EntityKind, EntityRef, ErpId, FieldGroups, ImportLine, ImportRequest, NorceId, Scope,
    },
    import_jobs::ImportBatch,
    mappings::{Binding, Mapping},
};

use crate::{error::PollError, ports::PollJobs};

/// Contacts that one row of a company relates: as ids some 12 KB, of the 400 KB that a batch with its other lines may have
/// in DynamoDB.
const CONTACTS_IN_A_ROW: usize = 1_000;
/// Lines of inserts in one message: about 40 KB of the 1 MiB that SQS takes.
const LINES_IN_A_MESSAGE: usize = 100;

impl PollJobs {
    /// Norce has these companies now: lines that waited for them go on their way. Sent before the waiting ends, so that
    /// a crash in between repeats what changes nothing.
    pub(crate) async fn end_waiting(
        &self,
        batch: &ImportBatch,
        companies: &[NorceId],
    ) -> Result<(), PollError> {
        let entities: Vec<EntityRef> = companies
            .iter()
            .map(|id| EntityRef::company(batch.scope, *id))
            .collect();
        let mappings = self.mappings.get_many(&entities).await?;
        for (company, mapping) in entities.into_iter().zip(mappings) {
            let Some(Mapping::Bound(Binding { erp_id, code, .. })) = mapping else {
                continue;
            };
            for scope in self.shops.that_see(batch.scope) {
                self.send_waiting(scope, company, &erp_id, &code).await?;
            }
        }
        Ok(())
    }

    /// Sends the lines of a register that wait for a company.
    async fn send_waiting(
        &self,
        scope: Scope,
        company: EntityRef,
        erp_id: &ErpId,
        code: &Code,
    ) -> Result<(), PollError> {
        let waiting = self.passes.waiting_for_company(scope, erp_id).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let request = |kind, scope, lines| ImportRequest {
            kind,
            scope,
            lines,
            alone: false,
            since: None,
        };
        let (inserts, contacts): (Vec<_>, Vec<_>) =
            waiting.iter().cloned().partition(|line| line.id.is_none());
        let mut requests = Vec::new();
        for contacts in contacts.chunks(CONTACTS_IN_A_ROW) {
            let Some(first) = contacts.first() else {
                continue;
            };
            // One row of the company relates many of them.
            let line = ImportLine {
                id: Some(company.id),
                code: code.clone(),
                fields: FieldGroups::NONE,
                record: None,
                company: None,
                contacts: contacts.iter().filter_map(|line| line.id).collect(),
                former_companies: Vec::new(),
                ordered_at: None,
                correlation: first.correlation,
            };
            requests.push(request(EntityKind::Company, company.scope, vec![line]));
        }
        for inserts in inserts.chunks(LINES_IN_A_MESSAGE) {
            let lines = inserts.iter().cloned().map(|line| ImportLine {
                company: Some(company.id),
                ..line
            });
            requests.push(request(EntityKind::Customer, scope, lines.collect()));
        }
        self.imports.send(&requests, Duration::ZERO).await?;
        self.passes
            .stop_waiting(scope, erp_id, &waiting, self.clock.now())
            .await?;
        tracing::info!(%company, %scope, lines = waiting.len(), "lines no longer wait for their company");
        Ok(())
    }
}
