//! Every record of the ERP that is read or written here is listed in the index of natural keys.

use shared::{
    domain::Scope, erp::ErpRecord, mappings::key_index::RecordKeys, record_finder::FinderError,
};

use crate::{ChangeEvents, failure::Failure};

impl From<FinderError> for Failure {
    fn from(error: FinderError) -> Self {
        match error {
            FinderError::Erp(error) => error.into(),
            FinderError::Index(error) => error.into(),
        }
    }
}

impl ChangeEvents {
    /// Lists a record under the keys that it was read with. Repeating it changes nothing.
    pub(crate) async fn list(&self, scope: Scope, record: &ErpRecord) -> Result<(), Failure> {
        let keys = RecordKeys::read(record, &self.fingerprints)?;
        Ok(self.key_index.set(scope, &record.id, &keys).await?)
    }
}
