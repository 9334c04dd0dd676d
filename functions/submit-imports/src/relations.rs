//! Relations to companies that a row ends. An import ends a relation only by naming all the others (norce-api §3.3), so these
//! are read before it, and a line that is carried out late must not undo what a later one has told.

use std::collections::{BTreeSet, HashMap};

use shared::{
    Consistency,
    domain::{ErpId, ImportLine, NorceId},
    erp::{SentCompany, sent_company},
    http::Deadline,
    import_jobs::ImportBatch,
    mappings::RecordEntry,
    norce::Relation,
};

use crate::{
    deferred::{Deferred, unread},
    ports::SubmitImports,
};

/// What is known of the relations of a line's customer.
pub(crate) fn relations_of(
    line: &ImportLine,
    relations: &HashMap<NorceId, Vec<Relation>>,
) -> Vec<Relation> {
    let known = line.id.and_then(|id| relations.get(&id));
    known.cloned().unwrap_or_default()
}

impl SubmitImports {
    /// The relations in Norce of the customers of which lines end one.
    pub(crate) async fn relations(
        &self,
        batch: &ImportBatch,
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, Vec<Relation>>, Deferred> {
        let ends = |line: &&ImportLine| !line.former_companies.is_empty();
        let customers = batch.lines.iter().filter(ends);
        let customers: Vec<NorceId> = customers.filter_map(|line| line.id).collect();
        if customers.is_empty() {
            return Ok(HashMap::new());
        }
        let relations = self.query.relations(batch.scope, &customers, deadline);
        relations
            .await
            .map_err(|error| unread("the relations in Norce cannot be read", &error))
    }

    /// Where the ERP has changed a relation again since its line was queued, the line tells the one that is true now: another
    /// line tells that as well, and in which order Norce carries the two out is not known.
    pub(crate) async fn correct_outdated_relations(
        &self,
        batch: &mut ImportBatch,
    ) -> Result<(), Deferred> {
        let relates = |line: &&mut ImportLine| line.id.is_some() && line.relates();
        let lines: Vec<&mut ImportLine> = batch.lines.iter_mut().filter(relates).collect();
        let of_record = |line: &ImportLine| line.record.clone();
        let records: Vec<ErpId> = lines.iter().filter_map(|line| of_record(line)).collect();
        if records.is_empty() {
            return Ok(());
        }
        let entries = self
            .mappings
            .records(batch.scope, &records, Consistency::Strong);
        let entries: HashMap<ErpId, RecordEntry> = records
            .iter()
            .cloned()
            .zip(entries.await.map_err(Deferred::because)?)
            .filter_map(|(record, entry)| Some((record, entry?)))
            .collect();
        for line in lines {
            let entry = line.record.as_ref().and_then(|record| entries.get(record));
            let sent = sent_company(entry.and_then(|entry| entry.erp_fingerprint.as_ref()));
            if let SentCompany::Sent { id: Some(id), .. } = sent {
                line.company = Some(id);
                line.former_companies.retain(|company| *company != id);
            }
        }
        // Each of several lines of a customer names its other relations, which must not be those that another line ends.
        let mut former: HashMap<NorceId, BTreeSet<NorceId>> = HashMap::new();
        for line in &batch.lines {
            let ended = line.id.map(|id| former.entry(id).or_default());
            if let Some(ended) = ended {
                ended.extend(&line.former_companies);
            }
        }
        for line in &mut batch.lines {
            let ended = line.id.and_then(|id| former.get(&id));
            if let (Some(ended), true) = (ended, line.relates()) {
                let company = line.company;
                line.former_companies = ended.iter().copied().collect();
                line.former_companies.retain(|it| Some(*it) != company);
            }
        }
        Ok(())
    }

    /// Ends no relation of a customer that Query does not show: it may have others, which an import without them would end.
    pub(crate) async fn refuse_incomplete_relations(
        &self,
        batch: &mut ImportBatch,
        relations: &HashMap<NorceId, Vec<Relation>>,
    ) -> Result<(), Deferred> {
        let is_complete = |line: &ImportLine| {
            line.former_companies.is_empty()
                || line.id.is_some_and(|id| relations.contains_key(&id))
        };
        let (complete, incomplete): (Vec<_>, Vec<_>) = std::mem::take(&mut batch.lines)
            .into_iter()
            .partition(is_complete);
        batch.lines = complete;
        for line in incomplete {
            let detail = "a relation of it is to end in Norce, and Norce Query does not show the customer, whose other relations the import has to name: see whether it is there in Norce Admin; the next pass tries it again";
            self.refuse(batch, &line, detail).await?;
        }
        Ok(())
    }
}
