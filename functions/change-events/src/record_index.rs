//! The index of natural keys. Every record of the ERP that this function reads or writes is listed in it.

use shared::{
    domain::{FingerprintKey, Scope},
    erp::ErpRecord,
    mappings::key_index::{KeyIndex, RecordKeys},
};

use crate::result::Failure;

/// The index of natural keys, and the key of its hashes.
#[derive(Clone, Copy)]
pub(crate) struct RecordIndex<'a> {
    pub(crate) index: &'a dyn KeyIndex,
    pub(crate) fingerprints: &'a FingerprintKey,
}

impl RecordIndex<'_> {
    /// Lists a record under the keys that it was read with. Idempotent.
    pub(crate) async fn list(&self, scope: Scope, record: &ErpRecord) -> Result<(), Failure> {
        let keys = RecordKeys::read(record, self.fingerprints)?;
        Ok(self.index.set(scope, &record.id, &keys).await?)
    }
}
