//! The items of the index, and their writes.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;

use super::MAX_HOLDERS;
use crate::{
    StoreError,
    aws::dynamodb::{Expression, Item, Write, number},
    domain::{ErpId, Scope},
    erp::NaturalKey,
    mappings::DynamoDbMappings,
};

pub(super) const HOLDERS: &str = "holders";
pub(super) const CROWDED: &str = "crowded";
pub(super) const KEYS: &str = "keys";
pub(super) const DIGEST: &str = "digest";

pub(super) fn entry_key(scope: Scope, record: &ErpId) -> String {
    format!("indexed#{scope}#{}#{}", record.resource, record.id)
}

pub(super) fn set(members: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::Ss(members.into_iter().collect())
}

/// The entry of a record.
pub(super) fn entry_item(keys: &BTreeSet<String>, digest: AttributeValue) -> Item {
    let keys = set(keys.iter().cloned());
    Item::from([(KEYS.to_owned(), keys), (DIGEST.to_owned(), digest)])
}

/// Adds a record to the list of a key, or marks a full list as crowded.
pub(super) fn enter(name: &str, me: &str, is_full: bool) -> Write {
    if is_full {
        let change = Expression::assign([(CROWDED, Some(AttributeValue::Bool(true)))]);
        return Write::update(name, change);
    }
    let change = Expression::new("ADD #holders :entered")
        .name(HOLDERS)
        .value("entered", set([me.to_owned()]));
    let room = Expression::new("attribute_not_exists(#holders) OR size(#holders) < :most")
        .value("most", number(MAX_HOLDERS as i64));
    Write::update(name, change).provided(room)
}

impl DynamoDbMappings {
    /// The key of a natural key's item.
    pub(super) fn key_of(&self, scope: Scope, key: &NaturalKey) -> Result<String, StoreError> {
        let fingerprint = self.key.of(&("key", scope, key));
        let fingerprint = fingerprint.map_err(|error| self.table.error(error))?;
        Ok(format!("key#{}", fingerprint.as_str()))
    }
}
