//! The table, and the keys of its items.

use crate::{
    StoreError,
    aws::dynamodb::{Database, Table},
    domain::{Code, EntityKind, EntityRef, ErpId, FingerprintKey, Scope},
};

/// Code mappings in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbMappings {
    pub(crate) table: Table,
    pub(crate) key: FingerprintKey,
}

impl DynamoDbMappings {
    /// The mappings in a table, whose tombstones are made with `key`: with another key they would not be found.
    pub fn new(
        database: impl Into<Database>,
        table: impl Into<String>,
        key: FingerprintKey,
    ) -> Self {
        Self {
            table: Table::new(database, table, "code mappings"),
            key,
        }
    }

    pub(crate) fn entity_tombstone(&self, entity: EntityRef) -> Result<String, StoreError> {
        self.tombstone(&("entity", entity))
    }

    pub(crate) fn code_tombstone(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: &Code,
    ) -> Result<String, StoreError> {
        self.tombstone(&("code", kind, scope, code))
    }

    pub(crate) fn record_tombstone(
        &self,
        scope: Scope,
        record: &ErpId,
    ) -> Result<String, StoreError> {
        self.tombstone(&("record", scope, record))
    }

    fn tombstone(&self, of: &impl serde::Serialize) -> Result<String, StoreError> {
        let fingerprint = self.key.of(of).map_err(|error| self.table.error(error))?;
        Ok(format!("forgotten#{}", fingerprint.as_str()))
    }
}

pub(super) fn entity_key(EntityRef { kind, scope, id }: EntityRef) -> String {
    format!("entity#{kind}#{scope}#{id}")
}

/// The entity whose entry has this key; `None`: it is another entry, or a tombstone.
pub(super) fn entity_of(key: &str) -> Option<EntityRef> {
    let entity = key.strip_prefix("entity#")?;
    entity.replace('#', "/").parse().ok()
}

pub(super) fn code_key(kind: EntityKind, scope: Scope, code: &Code) -> String {
    format!("code#{kind}#{scope}#{code}")
}

pub(crate) fn record_key(scope: Scope, record: &ErpId) -> String {
    format!("record#{scope}#{}#{}", record.resource, record.id)
}
