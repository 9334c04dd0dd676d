//! Every record of the ERP that a pass reads is listed in the index of natural keys, and a pass that has read everything
//! records that.

use chrono::TimeDelta;
use shared::{
    Consistency,
    domain::{EntityKind, ErpId, FingerprintKey, Resource},
    erp::ErpRecord,
    mappings::{
        RecordEntry,
        key_index::{KeyIndex, RecordKeys},
    },
    passes::Run,
    record_finder::write,
};

use crate::{
    checkpoint::{Checkpoint, kinds, since},
    meter::Meter,
    stop_reason::Result,
};

/// Lists the records of a walk.
pub(crate) struct KeyListing<'a> {
    pub(crate) index: &'a dyn KeyIndex,
    pub(crate) fingerprints: &'a FingerprintKey,
    /// How far before the watermark a delta pass begins.
    pub(crate) overlap: TimeDelta,
    pub(crate) meter: &'a Meter,
}

impl KeyListing<'_> {
    /// Lists the records of a page. Where a record's entry in the mappings says under which keys it is listed, nothing is read.
    /// Otherwise, as for records that were bound together, the index is read. Nothing is written unless the keys have changed.
    pub(crate) async fn list(
        &self,
        run: &Run,
        records: &[ErpRecord],
        mapped: &[Option<RecordEntry>],
    ) -> Result {
        // A plan writes nothing (P10).
        if run.dry_run {
            return Ok(());
        }
        let mut changed: Vec<(ErpId, RecordKeys)> = Vec::new();
        let mut new: Vec<(ErpId, RecordKeys)> = Vec::new();
        let mut unknown: Vec<(ErpId, RecordKeys)> = Vec::new();
        for (record, mapped) in records.iter().zip(mapped) {
            let keys = RecordKeys::read(record, self.fingerprints)?;
            match mapped.as_ref().and_then(|mapped| mapped.indexed.as_ref()) {
                Some(indexed) if indexed == keys.digest() => {}
                Some(_) => changed.push((record.id.clone(), keys)),
                None => unknown.push((record.id.clone(), keys)),
            }
        }
        if !unknown.is_empty() {
            let ids: Vec<ErpId> = unknown.iter().map(|(id, _)| id.clone()).collect();
            self.meter.mappings_read(ids.len());
            // A stale answer does no harm: whoever writes an entry reads it once more.
            let consistency = Consistency::Eventual;
            let entries = self.index.entries(run.scope, &ids, consistency).await?;
            for ((record, keys), entry) in unknown.into_iter().zip(entries) {
                match entry {
                    Some(digest) if digest == *keys.digest() => {}
                    Some(_) => changed.push((record, keys)),
                    None if keys.is_empty() => {}
                    None => new.push((record, keys)),
                }
            }
        }
        let writes = (changed.len() + new.len()) as u64;
        self.meter.add(|cost| cost.index_writes += writes);
        if !new.is_empty() {
            self.index.set_many(run.scope, &new).await?;
        }
        Ok(write(self.index, run.scope, changed).await?)
    }

    /// Records that everything that a run has listed is in the index, unless a version without the index began it.
    /// `true`: that was everything there is.
    pub(crate) async fn cover(&self, run: &Run, checkpoint: &Checkpoint) -> Result<bool> {
        let (false, true, Some(watermark)) =
            (run.dry_run, checkpoint.lists_keys, run.watermark_after)
        else {
            return Ok(false);
        };
        let until = watermark - self.overlap;
        let mut is_whole = true;
        for kind in kinds(run) {
            let customers = since(run, Resource::Customer, self.overlap);
            let contacts = match kind {
                EntityKind::Customer => since(run, Resource::Contact, self.overlap),
                EntityKind::Company => None,
            };
            let since = customers.max(contacts);
            is_whole &= since.is_none();
            self.index.cover(run.scope, kind, since, until).await?;
        }
        Ok(is_whole)
    }
}
