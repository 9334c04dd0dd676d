//! Mappings in memory that take no memory: what is known about a customer is worked out from its number.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use shared::{
    Consistency, StoreError,
    domain::{
        Code, EmailKey, EntityKind, EntityRef, ErpId, Fingerprint, FingerprintKey, NorceId, Scope,
    },
    erp::NaturalKey,
    mappings::{
        Bound, CodeDelivery, Known, Mapping, MappingsLayer, NewBinding, RecordEntry,
        RecordMappingsLayer,
        key_index::{Coverage, Holders, KeyIndex, RecordKeys},
    },
};

use tests::memory::MemoryMappings;

use super::server::{WITHOUT_CODE_EVERY, code, number_of};

/// Everybody is known and confirmed, but for those who have no code in Norce, if there are any.
pub(crate) struct Arithmetic {
    pub(crate) some_lack_codes: bool,
    pub(crate) fingerprints: FingerprintKey,
    /// The store of the methods that a pass over known records does not call.
    pub(crate) others: MemoryMappings,
}

impl Arithmetic {
    /// How the record of a number is listed: by its address.
    fn keys(&self, number: u64) -> Result<RecordKeys, StoreError> {
        let email = EmailKey::parse(&format!("kund.{number}@example.com")).ok_or_else(no_part)?;
        RecordKeys::new([NaturalKey::Email(email)], &self.fingerprints).map_err(|_| no_part())
    }
}

fn no_part() -> StoreError {
    StoreError::new("code mappings", "no part of the benchmark")
}

/// Everybody is listed, and nobody has to be looked up.
#[async_trait]
impl KeyIndex for Arithmetic {
    async fn holders(
        &self,
        _: Scope,
        keys: &[NaturalKey],
        _: Consistency,
    ) -> Result<Vec<Holders>, StoreError> {
        Ok(vec![Holders::default(); keys.len()])
    }

    async fn entries(
        &self,
        _: Scope,
        records: &[ErpId],
        _: Consistency,
    ) -> Result<Vec<Option<Fingerprint>>, StoreError> {
        let entry = |record: &ErpId| {
            let number = number_of(&record.id).ok_or_else(no_part)?;
            Ok(Some(self.keys(number)?.digest().clone()))
        };
        records.iter().map(entry).collect()
    }

    async fn set(&self, _: Scope, _: &ErpId, _: &RecordKeys) -> Result<(), StoreError> {
        Err(no_part())
    }

    async fn set_many(&self, _: Scope, _: &[(ErpId, RecordKeys)]) -> Result<(), StoreError> {
        Err(no_part())
    }

    async fn coverage(&self, _: Scope, _: EntityKind) -> Result<Option<Coverage>, StoreError> {
        Ok(None)
    }

    async fn cover(
        &self,
        _: Scope,
        _: EntityKind,
        _: Option<DateTime<Utc>>,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl MappingsLayer for Arithmetic {
    type Inner = MemoryMappings;

    fn inner(&self) -> &MemoryMappings {
        &self.others
    }

    async fn records(
        &self,
        _: Scope,
        records: &[ErpId],
        _: Consistency,
    ) -> Result<Vec<Option<RecordEntry>>, StoreError> {
        records
            .iter()
            .map(|record| {
                let number = number_of(&record.id).ok_or_else(no_part)?;
                if self.some_lack_codes && number.is_multiple_of(WITHOUT_CODE_EVERY) {
                    return Ok(None);
                }
                let id = i64::try_from(number + 1).map_err(|_| no_part())?;
                Ok(Some(RecordEntry {
                    kind: EntityKind::Customer,
                    id: Some(NorceId::try_from(id).map_err(|_| no_part())?),
                    code: code(number).parse().map_err(|_| no_part())?,
                    erp_fingerprint: None,
                    confirmed: true,
                    indexed: Some(self.keys(number)?.digest().clone()),
                }))
            })
            .collect()
    }

    async fn known(
        &self,
        _: EntityKind,
        _: Scope,
        records: &[(ErpId, Code)],
    ) -> Result<Vec<Known>, StoreError> {
        Ok(vec![Known::Nothing; records.len()])
    }

    async fn get_many(&self, entities: &[EntityRef]) -> Result<Vec<Option<Mapping>>, StoreError> {
        Ok(vec![None; entities.len()])
    }

    async fn bind_many(&self, bindings: &[NewBinding]) -> Result<Vec<Bound>, StoreError> {
        Ok(vec![Bound::Done; bindings.len()])
    }

    async fn record_delivery(
        &self,
        _: EntityRef,
        _: &Code,
        _: CodeDelivery,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn record_owned(
        &self,
        _: Scope,
        _: &ErpId,
        _: Option<&Fingerprint>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

impl RecordMappingsLayer for Arithmetic {
    type Inner = MemoryMappings;

    fn inner(&self) -> &MemoryMappings {
        &self.others
    }
}
