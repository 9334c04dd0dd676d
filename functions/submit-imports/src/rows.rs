//! The rows of a batch: what the ERP has now, and what Norce must not lose.

use std::collections::{HashMap, HashSet};

use shared::{
    domain::{
        EntityKind, EntityRef, ErpId, FieldGroup, FieldGroups, ImportLine, Names, NorceAddresses,
        NorceFields, NorceId,
    },
    erp::{ErpError, ErpRecord, UnusableRecord},
    http::Deadline,
    import_jobs::ImportBatch,
    mappings::Mapping,
    norce::{ImportRow, ImportShape},
};

use crate::{
    deferred::{Deferred, unread},
    ports::SubmitImports,
    relations::relations_of,
};

/// What is read of a record that is inserted.
const FIELDS_OF_AN_INSERT: FieldGroups = FieldGroups::of(&[
    FieldGroup::Code,
    FieldGroup::Names,
    FieldGroup::ContactDetails,
    FieldGroup::InvoiceAddress,
    FieldGroup::Active,
]);

/// Whether Norce would take it as an insert (norce-api §3.4).
fn is_complete(kind: EntityKind, values: &NorceFields) -> bool {
    match (&values.names, kind) {
        (Some(Names::Customer { first, .. }), EntityKind::Customer) => {
            first.is_some() && values.email.is_some()
        }
        (Some(Names::Company(_)), EntityKind::Company) => values.organisation_number.is_some(),
        _ => false,
    }
}

const fn sets_addresses(shape: ImportShape) -> bool {
    shape.fields.has(FieldGroup::InvoiceAddress) || shape.fields.has(FieldGroup::DeliveryAddresses)
}

impl SubmitImports {
    /// The rows of a batch, with the values that the ERP has now. What is not to be submitted (any more) is taken out of
    /// the batch.
    pub(crate) async fn rows(
        &self,
        batch: &mut ImportBatch,
        shape: ImportShape,
        deadline: Deadline,
    ) -> Result<Vec<ImportRow>, Deferred> {
        self.leave_out_forgotten(batch).await?;
        self.correct_outdated_relations(batch).await?;
        let relations = self.relations(batch, deadline).await?;
        self.refuse_incomplete_relations(batch, &relations).await?;
        let needs_values = shape.insert || !shape.fields.without(FieldGroups::CODE).is_empty();
        if !needs_values {
            let rows = batch.lines.iter().map(|line| ImportRow {
                line: line.clone(),
                values: NorceFields::default(),
                relations: relations_of(line, &relations),
            });
            return Ok(rows.collect());
        }
        self.leave_out_forgotten_in_norce(batch, deadline).await?;
        let erp = self.erps.get(&batch.scope).ok_or_else(|| {
            Deferred::because(format!(
                "no ERP company is configured for scope {}",
                batch.scope
            ))
        })?;
        let fields = if shape.insert {
            shape.fields.union(FIELDS_OF_AN_INSERT)
        } else {
            shape.fields
        };
        let ids: Vec<ErpId> = batch
            .lines
            .iter()
            .filter_map(|line| line.record.clone())
            .collect();
        let page = erp.get_many(&ids, fields, deadline).await;
        let page = page.map_err(|error| Deferred {
            at_least: match &error {
                ErpError::RetryAfter { after, .. } => *after,
                _ => None,
            },
            reason: error.to_string(),
        })?;
        self.refuse_unreadable(batch, &page.unusable).await?;
        let records: HashMap<ErpId, ErpRecord> = page
            .records
            .into_iter()
            .map(|record| (record.id.clone(), record.of_kind(batch.kind)))
            .collect();
        let addresses = self.addresses(batch, shape, &records, deadline).await?;
        let mut rows = Vec::with_capacity(batch.lines.len());
        for line in std::mem::take(&mut batch.lines) {
            let record = line.record.as_ref().and_then(|id| records.get(id));
            let is_unread = line.id.is_some_and(|id| !addresses.contains_key(&id));
            if sets_addresses(shape) && is_unread && record.is_some() {
                let detail = "an address of it is to be imported, and Norce Query does not show it, so that its GLN and telephone would be lost: see whether it is there in Norce Admin; the next pass tries it again";
                self.refuse(batch, &line, detail).await?;
                continue;
            }
            let values = record.map(|record| {
                let norces = line.id.and_then(|id| addresses.get(&id));
                norces.map_or_else(
                    || record.norce_fields(&NorceAddresses::default()),
                    |norces| record.norce_fields(norces),
                )
            });
            match values {
                Some(values) if !shape.insert || is_complete(batch.kind, &values) => {
                    batch.lines.push(line.clone());
                    rows.push(ImportRow {
                        relations: relations_of(&line, &relations),
                        line,
                        values,
                    });
                }
                Some(_) => {
                    let detail = "it is to be inserted in Norce, but lacks what Norce requires: a first and last name and an e-mail address, or a company's name and organisation number";
                    self.refuse(batch, &line, detail).await?;
                }
                None => {
                    tracing::info!(code = %line.code, correlation = %line.correlation, "dropped a line whose record is gone from the ERP");
                    if let (true, Some(record)) = (shape.insert, &line.record) {
                        self.mappings
                            .withdraw_insert(batch.scope, record)
                            .await
                            .map_err(Deferred::because)?;
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Nothing is sent about a record that cannot be used now. The note that it was sent is removed, so that the next pass
    /// that can use it sends it.
    async fn refuse_unreadable(
        &self,
        batch: &mut ImportBatch,
        unusable: &[UnusableRecord],
    ) -> Result<(), Deferred> {
        if unusable.is_empty() {
            return Ok(());
        }
        for line in std::mem::take(&mut batch.lines) {
            let is_of_line = |it: &&UnusableRecord| it.id.is_some() && it.id == line.record;
            match unusable.iter().find(is_of_line) {
                Some(record) => {
                    let detail = format!(
                        "the ERP's record cannot be used now, and nothing of it was sent to Norce: {record}. The next pass that can use it sends it"
                    );
                    self.refuse(batch, &line, &detail).await?;
                }
                None => batch.lines.push(line),
            }
        }
        Ok(())
    }

    /// The addresses that the entities of a batch have in Norce, where the rows set any: what a row leaves out of an address
    /// Norce empties (norce-api §3.3), and the ERP does not have all of it.
    async fn addresses(
        &self,
        batch: &ImportBatch,
        shape: ImportShape,
        records: &HashMap<ErpId, ErpRecord>,
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, NorceAddresses>, Deferred> {
        let has_record = |line: &&ImportLine| {
            let record = line.record.as_ref();
            record.is_some_and(|record| records.contains_key(record))
        };
        let lines = batch.lines.iter().filter(has_record);
        let mut ids: Vec<NorceId> = lines.filter_map(|line| line.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if !sets_addresses(shape) || ids.is_empty() {
            return Ok(HashMap::new());
        }
        let addresses = self
            .query
            .addresses(batch.kind, batch.scope, &ids, deadline);
        addresses
            .await
            .map_err(|error| unread("the addresses in Norce cannot be read", &error))
    }

    /// Norce is not sent the personal data of a customer that it has forgotten, even if no event has said so (P12). The next
    /// sweep forgets the customer here as well.
    async fn leave_out_forgotten_in_norce(
        &self,
        batch: &mut ImportBatch,
        deadline: Deadline,
    ) -> Result<(), Deferred> {
        let ids: Vec<NorceId> = batch.lines.iter().filter_map(|line| line.id).collect();
        if batch.kind != EntityKind::Customer || ids.is_empty() {
            return Ok(());
        }
        let forgotten = self.query.forgotten_among(batch.scope, &ids, deadline);
        let forgotten = forgotten.await.map_err(|error| {
            unread("which customers Norce has forgotten cannot be read", &error)
        })?;
        batch.lines.retain(|line| {
            let is_forgotten = line.id.is_some_and(|id| forgotten.contains(&id));
            if is_forgotten {
                tracing::info!(correlation = %line.correlation, "dropped a line of a customer that Norce has forgotten");
            }
            !is_forgotten
        });
        Ok(())
    }

    /// A customer that was forgotten since the line was queued is not sent anywhere any more (P12).
    async fn leave_out_forgotten(&self, batch: &mut ImportBatch) -> Result<(), Deferred> {
        let entities: Vec<EntityRef> = batch
            .lines
            .iter()
            .filter_map(|line| batch.entity(line))
            .collect();
        let mappings = self.mappings.get_many(&entities).await;
        let forgotten: HashSet<NorceId> = entities
            .iter()
            .zip(mappings.map_err(Deferred::because)?)
            .filter(|(_, mapping)| *mapping == Some(Mapping::Forgotten))
            .map(|(entity, _)| entity.id)
            .collect();
        batch
            .lines
            .retain(|line| line.id.is_none_or(|id| !forgotten.contains(&id)));
        Ok(())
    }
}
