//! How a line's way to Norce ends: what `submit-imports` and `poll-jobs` do alike.

use chrono::{DateTime, Utc};

use crate::{
    Consistency, StoreError,
    domain::{EntityRef, FieldGroup, FieldGroups, ImportLine, ImportRequest, NorceId},
    erp::{tell_again, tell_all_again},
    import_jobs::ImportBatch,
    mappings::{Binding, Bound, CodeDelivery, Mapping, Mappings, RecordMappings},
    owed::{NewOwed, OwedRecords, Reason, Stage, Subject},
};

/// The entity of a line; nothing for a record that is to be inserted.
pub fn entity(batch: &ImportBatch, line: &ImportLine) -> Option<EntityRef> {
    Some(EntityRef {
        kind: batch.kind,
        scope: batch.scope,
        id: line.id?,
    })
}

/// What is owed when the line does not arrive.
fn subject(batch: &ImportBatch, line: &ImportLine) -> Option<Subject> {
    match (entity(batch, line), &line.record) {
        (Some(entity), _) => Some(Subject::Entity(entity)),
        (None, Some(record)) => Some(Subject::Record {
            scope: batch.scope,
            record: record.clone(),
        }),
        (None, None) => None,
    }
}

/// Whether a line sets more than the code, or relates.
fn tells_more(line: &ImportLine) -> bool {
    !line.fields.without(FieldGroups::CODE).is_empty() || line.relates()
}

/// Norce has what a line of an entity said.
pub async fn confirm(
    mappings: &dyn Mappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(entity) = entity(batch, line) else {
        return Ok(());
    };
    if line.fields.has(FieldGroup::Code) {
        mappings
            .record_delivery(entity, &line.code, CodeDelivery::Confirmed { at: now })
            .await?;
        owed.resolve(&Subject::Entity(entity), Stage::CodeToNorce)
            .await?;
    }
    if tells_more(line) {
        owed.resolve(&Subject::Entity(entity), Stage::FieldsToNorce)
            .await?;
    }
    Ok(())
}

/// Norce has what a line of an entity said, except for a part: that is owed in Norce's own words. The row is sent again when
/// the ERP's values change, or when a person asks for it.
pub async fn warn(
    mappings: &dyn Mappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    entity: EntityRef,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if mappings.get(entity).await? == Some(Mapping::Forgotten) {
        return Ok(());
    }
    let line = ImportLine {
        id: Some(entity.id),
        ..line.clone()
    };
    let (stage, reason) = (Stage::FieldsToNorce, Reason::Warned);
    owe(owed, batch, &line, stage, reason, detail, now).await
}

/// Norce has inserted the record of a line under this id: the two are bound.
pub async fn inserted(
    mappings: &dyn Mappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    id: NorceId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(record) = &line.record else {
        return Ok(());
    };
    let entity = EntityRef {
        kind: batch.kind,
        scope: batch.scope,
        id,
    };
    let binding = Binding::new(
        line.code.clone(),
        record.clone(),
        CodeDelivery::Confirmed { at: now },
    );
    let detail = match mappings.bind(entity, binding).await? {
        Bound::Done | Bound::Forgotten => {
            let subject = Subject::Record {
                scope: batch.scope,
                record: record.clone(),
            };
            for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
                owed.resolve(&subject, stage).await?;
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
    owe(
        owed,
        batch,
        line,
        Stage::CodeToNorce,
        Reason::Conflict,
        &detail,
        now,
    )
    .await
}

/// Norce does not take a line: it is owed, in Norce's own words, and the next pass tells Norce again.
pub async fn refuse(
    mappings: &dyn RecordMappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    reason: Reason,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(entity) = entity(batch, line) else {
        if let Some(record) = &line.record {
            mappings.withdraw_insert(batch.scope, record).await?;
        }
        return owe(owed, batch, line, Stage::FieldsToNorce, reason, detail, now).await;
    };
    let mut stage = Stage::FieldsToNorce;
    if tells_more(line)
        && let Some(record) = &line.record
    {
        let records = std::slice::from_ref(record);
        let faces = mappings.records(batch.scope, records, Consistency::Strong);
        let told = faces.await?.into_iter().flatten().next();
        let told = told.and_then(|face| face.erp_fingerprint);
        let again = match line.former_companies.as_slice() {
            [] => tell_all_again(told.as_ref()),
            former => tell_again(former),
        };
        mappings
            .record_owned(batch.scope, record, Some(&again))
            .await?;
    }
    if line.fields.has(FieldGroup::Code) {
        stage = Stage::CodeToNorce;
        mappings
            .record_delivery(entity, &line.code, CodeDelivery::Refused { at: now })
            .await?;
    }
    if mappings.get(entity).await? == Some(Mapping::Forgotten) {
        return Ok(());
    }
    owe(owed, batch, line, stage, reason, detail, now).await
}

async fn owe(
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    stage: Stage,
    reason: Reason,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(subject) = subject(batch, line) else {
        return Ok(());
    };
    owed.put(NewOwed {
        subject,
        stage,
        reason,
        detail: detail.to_owned(),
        code: Some(line.code.clone()),
        at: now,
        correlation: line.correlation,
        cause: None,
    })
    .await?;
    Ok(())
}

/// Lines of a batch in two halves, each to become a job of its own.
pub fn halves(batch: &ImportBatch, lines: &[ImportLine]) -> Vec<ImportRequest> {
    let (left, right) = lines.split_at(lines.len() / 2);
    [left, right]
        .into_iter()
        .filter(|lines| !lines.is_empty())
        .map(|lines| again(batch, lines.to_vec()))
        .collect()
}

/// Lines of a batch, to be submitted again as a job of their own.
pub fn again(batch: &ImportBatch, lines: Vec<ImportLine>) -> ImportRequest {
    ImportRequest {
        kind: batch.kind,
        scope: batch.scope,
        lines,
        alone: true,
        since: Some(batch.since),
    }
}
