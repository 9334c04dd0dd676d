//! How a code's way to Norce ends, line by line: what `submit-imports` and `poll-jobs` do alike.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    domain::{EntityRef, ImportLine, ImportRequest},
    import_jobs::ImportBatch,
    mappings::{CodeDelivery, Mapping, Mappings, MappingsError},
    owed::{NewOwed, OwedError, OwedRecords, Reason, Stage, Subject},
};

/// A store failed. It is worth trying again, and repeating what was done changes nothing.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// The code mappings.
    #[error(transparent)]
    Mappings(#[from] MappingsError),
    /// The owed records.
    #[error(transparent)]
    Owed(#[from] OwedError),
}

/// The entity of a line.
pub fn entity(batch: &ImportBatch, line: &ImportLine) -> Option<EntityRef> {
    Some(EntityRef {
        kind: batch.kind,
        scope: batch.scope,
        id: line.id?,
    })
}

/// Norce has the code.
pub async fn confirm(
    mappings: &dyn Mappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    now: DateTime<Utc>,
) -> Result<(), DeliveryError> {
    let Some(entity) = entity(batch, line) else {
        return Ok(()); // SCAFFOLD
    };
    mappings
        .record_delivery(entity, &line.code, CodeDelivery::Confirmed { at: now })
        .await?;
    owed.resolve(&Subject::Entity(entity), Stage::CodeToNorce)
        .await?;
    Ok(())
}

/// Norce does not take the code: it is owed, in Norce's own words.
pub async fn refuse(
    mappings: &dyn Mappings,
    owed: &dyn OwedRecords,
    batch: &ImportBatch,
    line: &ImportLine,
    reason: Reason,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), DeliveryError> {
    let Some(entity) = entity(batch, line) else {
        return Ok(()); // SCAFFOLD
    };
    mappings
        .record_delivery(entity, &line.code, CodeDelivery::Refused { at: now })
        .await?;
    if mappings.get(entity).await? == Some(Mapping::Forgotten) {
        return Ok(());
    }
    owed.put(NewOwed {
        subject: Subject::Entity(entity),
        stage: Stage::CodeToNorce,
        reason,
        detail: detail.to_owned(),
        code: Some(line.code.clone()),
        at: now,
        correlation: line.correlation,
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
