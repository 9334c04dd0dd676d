//! Lines that Norce has carried out: what it shows of them, and what it has left out.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use shared::{
    domain::{Code, CodeCase, EntityKind, EntityRef, FieldGroup, ImportLine, NorceId},
    http::Deadline,
    import_jobs::ImportBatch,
    mappings::Mapping,
    metrics::Metric,
    norce::{LOOKUP_BATCH_SIZE, LookupKey},
};

use crate::{error::PollError, job_log::RowResults, ports::PollJobs};

/// Lines whose outcome is written at the same time.
const WRITE_CONCURRENCY: usize = 16;

/// An import cannot change the name of a login (`AccountField`, norce-api §3.2).
const OTHER_LOGIN: &str = "its contact details were imported from the ERP, and it logs in with an e-mail address other than the one that it has now, because an import cannot change a login name: change it in Norce Admin, and try it again with the operator action `owed`; or dismiss this, if the login is to stay";

impl PollJobs {
    /// Reads back: lines that Norce has carried out are confirmed; the others are returned, and with them those of which
    /// only the job could tell.
    pub(crate) async fn confirm_what_norce_has(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        deadline: Deadline,
    ) -> Result<Vec<ImportLine>, PollError> {
        let ids: Vec<NorceId> = lines
            .iter()
            .filter(|line| line.is_code_only())
            .filter_map(|line| line.id)
            .collect();
        let codes: HashMap<NorceId, Option<Code>> = if ids.is_empty() {
            HashMap::new()
        } else {
            let codes = self.query.codes(batch.kind, batch.scope, &ids, deadline);
            codes.await?.into_iter().collect()
        };
        let is_there = |line: &ImportLine| match line.id {
            // Inserted or not: its code tells.
            None => true,
            Some(id) => {
                line.is_code_only()
                    && codes
                        .get(&id)
                        .is_some_and(|code| code.as_ref() == Some(&line.code))
            }
        };
        let (there, mut missing): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_there);
        let results = RowResults::default();
        missing.extend(self.confirm(batch, there, &results, deadline).await?);
        Ok(missing)
    }

    /// Lines that Norce shows as carried out, and the others. Fields other than the code and relations are not compared:
    /// only the ERP has their values. An insert is looked up by its code when it is confirmed. A line whose entity has
    /// another code by now is left out: a later line speaks for that.
    pub(crate) async fn shown(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        deadline: Deadline,
    ) -> Result<(Vec<ImportLine>, Vec<ImportLine>), PollError> {
        let (kind, scope) = (batch.kind, batch.scope);
        let ids: Vec<NorceId> = lines.iter().filter_map(|line| line.id).collect();
        let codes = self.query.codes(kind, scope, &ids, deadline).await?;
        let codes: HashMap<NorceId, Option<Code>> = codes.into_iter().collect();
        let contacts: Vec<NorceId> = lines.iter().flat_map(contacts_of).collect();
        let relations = match contacts.is_empty() {
            true => HashMap::new(),
            false => self.query.relations(scope, &contacts, deadline).await?,
        };
        let is_related = |customer: NorceId, company: NorceId| {
            let companies = relations.get(&customer);
            companies.is_some_and(|companies| companies.iter().any(|it| it.company == company))
        };
        let is_shown = |line: &ImportLine| {
            let Some(id) = line.id else {
                return true;
            };
            let has_code = codes.get(&id).is_some_and(|code| {
                !line.fields.has(FieldGroup::Code)
                    || code
                        .as_ref()
                        .is_some_and(|code| code.is(&line.code, CodeCase::Ignored))
            });
            let has_company = line.company.is_none_or(|company| is_related(id, company));
            let has_left = |company: &NorceId| !is_related(id, *company);
            let has_left = line.former_companies.iter().all(has_left);
            has_code
                && has_company
                && has_left
                && line.contacts.iter().all(|contact| is_related(*contact, id))
        };
        let (shown, unseen): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_shown);
        Ok((shown, self.still_meant(batch, unseen).await?))
    }

    /// Lines whose code is still the one that the entity is bound to.
    async fn still_meant(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
    ) -> Result<Vec<ImportLine>, PollError> {
        let entities: Vec<EntityRef> = lines.iter().filter_map(|line| batch.entity(line)).collect();
        let mappings = self.mappings.get_many(&entities).await?;
        let is_meant = |(line, mapping): &(ImportLine, Option<Mapping>)| match mapping {
            Some(Mapping::Bound(binding)) => binding.code == line.code,
            Some(Mapping::Reserved(_) | Mapping::Forgotten) | None => false,
        };
        // Only lines of entities come here: an insert counts as shown.
        let lines = lines.into_iter().zip(mappings).filter(is_meant);
        Ok(lines.map(|(line, _)| line).collect())
    }

    /// Notes that Norce has carried lines out, and what of them it has not. Inserts that it does not have after all are
    /// returned.
    pub(crate) async fn confirm(
        &self,
        batch: &ImportBatch,
        lines: Vec<ImportLine>,
        results: &RowResults<'_>,
        deadline: Deadline,
    ) -> Result<Vec<ImportLine>, PollError> {
        let settlement = self.settlement(batch);
        let now = settlement.now;
        let (inserts, updates): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.id.is_none());
        let other_logins = self.other_logins(batch, &updates, deadline).await?;
        for some in updates.chunks(WRITE_CONCURRENCY) {
            try_join_all(some.iter().map(|line| settlement.confirm(line))).await?;
            for line in some {
                if let Some(entity) = batch.entity(line) {
                    self.warn(batch, line, entity, results).await?;
                    if other_logins.contains(&entity.id) {
                        settlement.warn(line, entity, OTHER_LOGIN).await?;
                    }
                }
            }
            self.count_confirmed(some, now);
        }
        let mut missing = Vec::new();
        let mut confirmed = updates.len();
        let mut companies: Vec<NorceId> = updates
            .iter()
            .filter(|line| line.fields.has(FieldGroup::Code))
            .filter_map(|line| line.id)
            .collect();
        if !inserts.is_empty() {
            let ids = self.ids_by_code(batch, &inserts, deadline).await?;
            for line in inserts {
                match ids.get(&line.code) {
                    Some(id) => {
                        settlement.bind_inserted(&line, *id).await?;
                        let entity = batch.entity_with(*id);
                        self.warn(batch, &line, entity, results).await?;
                        self.count_confirmed(std::slice::from_ref(&line), now);
                        companies.push(*id);
                        confirmed += 1;
                    }
                    None => missing.push(line),
                }
            }
        }
        if batch.kind == EntityKind::Company {
            self.end_waiting(batch, &companies).await?;
        }
        if confirmed > 0 {
            tracing::info!(batch = %batch.id, lines = confirmed, "lines confirmed");
        }
        Ok(missing)
    }

    /// Of lines that set an e-mail address, the customers that log in with another one.
    async fn other_logins(
        &self,
        batch: &ImportBatch,
        lines: &[ImportLine],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, PollError> {
        if batch.kind != EntityKind::Customer {
            return Ok(Vec::new());
        }
        let set_email = |line: &&ImportLine| line.fields.has(FieldGroup::ContactDetails);
        let customers = lines.iter().filter(set_email);
        let customers: Vec<NorceId> = customers.filter_map(|line| line.id).collect();
        if customers.is_empty() {
            return Ok(Vec::new());
        }
        let logins = self
            .query
            .with_another_login(batch.scope, &customers, deadline);
        Ok(logins.await?)
    }

    /// Owes what Norce has left out of a line.
    async fn warn(
        &self,
        batch: &ImportBatch,
        line: &ImportLine,
        entity: EntityRef,
        results: &RowResults<'_>,
    ) -> Result<(), PollError> {
        let Some(detail) = results.warning(line) else {
            return Ok(());
        };
        self.metrics.count(Metric::ImportLines, "warned");
        tracing::warn!(%entity, code = %line.code, detail, correlation = %line.correlation, "Norce imported a row with a warning");
        if line.is_code_only() {
            // Norce shows the code, and there was nothing else.
            return Ok(());
        }
        Ok(self.settlement(batch).warn(line, entity, &detail).await?)
    }

    fn count_confirmed(&self, lines: &[ImportLine], now: DateTime<Utc>) {
        let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        self.metrics.record(Metric::ImportLines, "confirmed", count);
        let ordered = lines.iter().filter_map(|line| line.ordered_at);
        for time in ordered.filter_map(|at| (now - at).to_std().ok()) {
            self.metrics.time(Metric::OrderToCodeSeconds, "", time);
        }
    }

    /// Norce's ids of records that were inserted, by their codes; of a code that it has twice, none.
    async fn ids_by_code(
        &self,
        batch: &ImportBatch,
        lines: &[ImportLine],
        deadline: Deadline,
    ) -> Result<HashMap<Code, NorceId>, PollError> {
        let mut ids: HashMap<Code, Option<NorceId>> = HashMap::new();
        for lines in lines.chunks(LOOKUP_BATCH_SIZE) {
            let asked: Vec<LookupKey> = lines
                .iter()
                .map(|line| LookupKey {
                    code: line.code.clone(),
                    keys: Vec::new(),
                })
                .collect();
            let look_up = self
                .query
                .look_up(batch.kind, batch.scope, &asked, deadline)
                .await?;
            for found in look_up.found.into_iter().filter(|found| !found.forgotten) {
                if let Some(code) = found.code {
                    ids.entry(code)
                        .and_modify(|id| *id = None)
                        .or_insert(Some(found.id));
                }
            }
        }
        Ok(ids
            .into_iter()
            .filter_map(|(code, id)| Some((code, id?)))
            .collect())
    }
}

/// Customers whose relation to a company a line makes.
fn contacts_of(line: &ImportLine) -> impl Iterator<Item = NorceId> {
    let own = line
        .id
        .filter(|_| line.company.is_some() || !line.former_companies.is_empty());
    own.into_iter().chain(line.contacts.iter().copied())
}
