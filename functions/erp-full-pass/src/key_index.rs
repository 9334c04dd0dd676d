//! Every record of the ERP that a pass reads is listed in the index of natural keys, and a pass that has read everything
//! says so.

use chrono::{DateTime, Utc};
use shared::{
    Consistency,
    domain::{EntityKind, ErpId, Resource},
    erp::ErpRecord,
    mappings::key_index::RecordKeys,
    mappings::{READ_AT_ONCE, RecordFace},
    passes::Run,
    record_finder::{FinderError, write},
};

use crate::{
    ErpFullPass,
    failure::Halt,
    run::{Step, kinds},
};

impl From<FinderError> for Halt {
    fn from(error: FinderError) -> Self {
        match error {
            FinderError::Erp(error) => error.into(),
            FinderError::Index(error) => error.into(),
        }
    }
}

impl ErpFullPass {
    /// Lists the records of a page. Of one whose face says under which keys it is listed, nothing is read, and nothing is
    /// written unless they have changed.
    pub(crate) async fn list(
        &self,
        run: &mut Run,
        records: &[ErpRecord],
        faces: &[Option<RecordFace>],
    ) -> Result<(), Halt> {
        // A plan writes nothing (P10).
        if run.dry_run {
            return Ok(());
        }
        let mut changed: Vec<(ErpId, RecordKeys)> = Vec::new();
        let mut without_face: Vec<(ErpId, RecordKeys)> = Vec::new();
        for (record, face) in records.iter().zip(faces) {
            let keys = RecordKeys::read(record, &self.fingerprints)?;
            match face {
                Some(face) if face.indexed.as_ref() == Some(keys.digest()) => {}
                Some(_) => changed.push((record.id.clone(), keys)),
                None => without_face.push((record.id.clone(), keys)),
            }
        }
        if !without_face.is_empty() {
            let ids: Vec<ErpId> = without_face.iter().map(|(id, _)| id.clone()).collect();
            run.cost.mapping_reads += ids.len() as u64;
            run.cost.mapping_read_requests += ids.len().div_ceil(READ_AT_ONCE) as u64;
            // A stale answer does no harm: whoever writes an entry reads it once more.
            let consistency = Consistency::Eventual;
            let entries = self.key_index.entries(run.scope, &ids, consistency).await?;
            let unlisted = without_face
                .into_iter()
                .zip(entries)
                .filter(|((_, keys), entry)| match entry {
                    Some(digest) => digest != keys.digest(),
                    None => !keys.is_empty(),
                });
            changed.extend(unlisted.map(|(record, _)| record));
        }
        run.cost.index_writes += changed.len() as u64;
        write(self.key_index.as_ref(), run.scope, changed).await?;
        Ok(())
    }

    /// All records of the listings of a run are in the index. What a run began that did not list them yet (of an earlier
    /// version) is not noted. `true`: everything was read.
    pub(crate) async fn cover(&self, step: &Step<'_>) -> Result<bool, Halt> {
        let run = &*step.run;
        let (false, true, Some(watermark)) =
            (run.dry_run, step.work.lists_keys, run.watermark_after)
        else {
            return Ok(false);
        };
        let until = watermark - self.overlap(false);
        let mut whole = true;
        for kind in kinds(run) {
            let since = self.since_of_kind(run, kind);
            whole &= since.is_none();
            self.key_index.cover(run.scope, kind, since, until).await?;
        }
        Ok(whole)
    }

    /// From when on a run reads all the records of a kind; `None`: it reads everything.
    fn since_of_kind(&self, run: &Run, kind: EntityKind) -> Option<DateTime<Utc>> {
        let customers = self.since(run, Resource::Customer);
        let contacts = match kind {
            EntityKind::Customer => self.since(run, Resource::Contact),
            EntityKind::Company => None,
        };
        customers.max(contacts)
    }
}
