//! The ends of a line on its way to Norce, which `submit-imports` and `poll-jobs` share.

use chrono::{DateTime, Utc};
use futures_util::future::try_join;

use super::ImportBatch;
use crate::{
    Consistency, StoreError,
    domain::{EntityRef, FieldGroup, FieldGroups, ImportLine, ImportRequest, NorceId},
    erp::{resend_all_marker, resend_marker},
    mappings::{Binding, Bound, CodeDelivery, Mapping, RecordMappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
};

impl ImportBatch {
    /// The entity of a line; `None` for a record that is to be inserted.
    pub fn entity(&self, line: &ImportLine) -> Option<EntityRef> {
        Some(self.entity_with(line.id?))
    }

    /// The entity of the batch's kind and scope with this id.
    pub const fn entity_with(&self, id: NorceId) -> EntityRef {
        EntityRef {
            kind: self.kind,
            scope: self.scope,
            id,
        }
    }

    /// The subject of a line that is owed.
    fn subject(&self, line: &ImportLine) -> Option<Subject> {
        match (self.entity(line), &line.record) {
            (Some(entity), _) => Some(Subject::Entity(entity)),
            (None, Some(record)) => Some(Subject::Record {
                scope: self.scope,
                record: record.clone(),
            }),
            (None, None) => None,
        }
    }

    /// The lines in two halves, each to become a job of its own.
    pub fn halves(&self, lines: &[ImportLine]) -> Vec<ImportRequest> {
        let (left, right) = lines.split_at(lines.len() / 2);
        let halves = [left, right].into_iter();
        let halves = halves.filter(|lines| !lines.is_empty());
        halves.map(|lines| self.again(lines.to_vec())).collect()
    }

    /// Lines of the batch, to be submitted again as a job of their own.
    pub fn again(&self, lines: Vec<ImportLine>) -> ImportRequest {
        ImportRequest {
            kind: self.kind,
            scope: self.scope,
            lines,
            alone: true,
            since: Some(self.since),
        }
    }
}

/// Whether a line sets more than the code, or relates.
fn sets_more(line: &ImportLine) -> bool {
    !line.fields.without(FieldGroups::CODE).is_empty() || line.relates()
}

/// Records how the lines of a batch end.
pub struct Settlement<'a> {
    /// The code mappings.
    pub mappings: &'a dyn RecordMappings,
    /// The owed records.
    pub owed: &'a dyn OwedRecords,
    /// The batch of the lines.
    pub batch: &'a ImportBatch,
    /// The time.
    pub now: DateTime<Utc>,
}

impl Settlement<'_> {
    /// Norce has what a line of an entity said. The steps do not depend on each other, and run concurrently so that their reads
    /// share one request, also with those of other lines.
    pub async fn confirm(&self, line: &ImportLine) -> Result<(), StoreError> {
        let Some(entity) = self.batch.entity(line) else {
            return Ok(());
        };
        let subject = Subject::Entity(entity);
        let confirm_code = async {
            if line.fields.has(FieldGroup::Code) {
                let confirmed = CodeDelivery::Confirmed { at: self.now };
                let delivery = self.mappings.record_delivery(entity, &line.code, confirmed);
                try_join(delivery, self.owed.resolve(&subject, Stage::CodeToNorce)).await?;
            }
            Ok(())
        };
        let resolve_fields = async {
            if sets_more(line) {
                self.owed.resolve(&subject, Stage::FieldsToNorce).await?;
            }
            Ok(())
        };
        try_join(confirm_code, resolve_fields).await?;
        Ok(())
    }

    /// Norce has what a line of an entity said, except for a part: that is owed in Norce's own words. The row is sent again when
    /// the ERP's values change, or when a person asks for it.
    pub async fn warn(
        &self,
        line: &ImportLine,
        entity: EntityRef,
        detail: &str,
    ) -> Result<(), StoreError> {
        if self.mappings.get(entity).await? == Some(Mapping::Forgotten) {
            return Ok(());
        }
        let line = ImportLine {
            id: Some(entity.id),
            ..line.clone()
        };
        let (stage, reason) = (Stage::FieldsToNorce, Reason::Warned);
        self.owe(&line, stage, reason, detail).await
    }

    /// Norce has inserted the record of a line under this id: the two are bound.
    pub async fn bind_inserted(&self, line: &ImportLine, id: NorceId) -> Result<(), StoreError> {
        let Some(record) = &line.record else {
            return Ok(());
        };
        let entity = self.batch.entity_with(id);
        let binding = Binding::new(
            line.code.clone(),
            record.clone(),
            CodeDelivery::Confirmed { at: self.now },
        );
        let detail = match self.mappings.bind(entity, binding).await? {
            Bound::Done | Bound::Forgotten => {
                let subject = Subject::Record {
                    scope: self.batch.scope,
                    record: record.clone(),
                };
                for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
                    self.owed.resolve(&subject, stage).await?;
                }
                return Ok(());
            }
            Bound::CodeTaken { by } | Bound::RecordTaken { by } => {
                format!(
                    "it was inserted in Norce as {entity}, but {by} is bound to it: merge the two in Norce"
                )
            }
            Bound::OtherCode { code } => format!(
                "it was inserted in Norce as {entity}, which is bound to code {code}: merge the two records in the ERP, or bind {entity} to the other record by the operator action `rebind`"
            ),
        };
        self.owe(line, Stage::CodeToNorce, Reason::Conflict, &detail)
            .await
    }

    /// Norce does not take a line: it is owed, in Norce's own words, and the next pass tells Norce again.
    pub async fn refuse(
        &self,
        line: &ImportLine,
        reason: Reason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let Some(entity) = self.batch.entity(line) else {
            if let Some(record) = &line.record {
                self.mappings
                    .withdraw_insert(self.batch.scope, record)
                    .await?;
            }
            return self.owe(line, Stage::FieldsToNorce, reason, detail).await;
        };
        let mut stage = Stage::FieldsToNorce;
        if sets_more(line)
            && let Some(record) = &line.record
        {
            let records = std::slice::from_ref(record);
            let entries = self
                .mappings
                .records(self.batch.scope, records, Consistency::Strong);
            let sent = entries.await?.into_iter().flatten().next();
            let sent = sent.and_then(|entry| entry.erp_fingerprint);
            let again = match line.former_companies.as_slice() {
                [] => resend_all_marker(sent.as_ref()),
                former => resend_marker(former),
            };
            self.mappings
                .record_owned(self.batch.scope, record, Some(&again))
                .await?;
        }
        if line.fields.has(FieldGroup::Code) {
            stage = Stage::CodeToNorce;
            self.mappings
                .record_delivery(entity, &line.code, CodeDelivery::Refused { at: self.now })
                .await?;
        }
        if self.mappings.get(entity).await? == Some(Mapping::Forgotten) {
            return Ok(());
        }
        self.owe(line, stage, reason, detail).await
    }

    async fn owe(
        &self,
        line: &ImportLine,
        stage: Stage,
        reason: Reason,
        detail: &str,
    ) -> Result<(), StoreError> {
        let Some(subject) = self.batch.subject(line) else {
            return Ok(());
        };
        self.owed
            .put(NewOwed {
                subject,
                stage,
                reason,
                detail: detail.to_owned(),
                code: Some(line.code.clone()),
                at: self.now,
                correlation: line.correlation,
                cause: None,
            })
            .await?;
        Ok(())
    }
}
