//! The rule that tells persons and organisations apart. Not every ERP does, and one that does may have old records of
//! consumers with the type of organisations (erp-apis §1.3).

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use super::{
    Block, CreateOutcome, Cursor, Erp, ErpError, ErpId, ErpLayer, ErpRecord, IdempotencyKey,
    Listing, NaturalKey, Party, PartyKind, RecordPage, Resource, UpdateOutcome,
};
use crate::{
    domain::{Code, EntityKind, FieldGroups},
    http::Deadline,
};

/// `ERP_PERSONS`: which customers of the ERP are persons. A record that is matched by its code follows Norce, whatever the
/// rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PersonRule {
    /// Records with the ERP's type for persons.
    #[default]
    ByType,
    /// Records without a VAT number and without an organisation number.
    WithoutNumber,
    /// All records.
    All,
}

impl PersonRule {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::ByType, Self::WithoutNumber, Self::All];

    /// The value in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByType => "by-type",
            Self::WithoutNumber => "without-number",
            Self::All => "all",
        }
    }

    /// The record with the type that the rule gives it.
    fn apply(self, mut record: ErpRecord) -> ErpRecord {
        if record.id.resource == Resource::Customer {
            let fields = &record.fields;
            let has_number = fields.vat_number.is_some() || fields.organisation_number.is_some();
            match self {
                Self::ByType => {}
                Self::WithoutNumber => record.organisation = has_number,
                Self::All => record.organisation = false,
            }
        }
        record
    }
}

impl fmt::Display for PersonRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text is not a valid value of `ERP_PERSONS`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is none of by-type, without-number, all")]
pub struct InvalidPersonRule(String);

impl FromStr for PersonRule {
    type Err = InvalidPersonRule;

    fn from_str(text: &str) -> Result<Self, InvalidPersonRule> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| InvalidPersonRule(text.to_owned()))
    }
}

/// An ERP whose own types are ignored: records of both types are read, and the rule decides.
struct ByRule {
    erp: Arc<dyn Erp>,
    rule: PersonRule,
}

/// The ERP with types that follow the rule.
pub fn under_rule(erp: Arc<dyn Erp>, rule: PersonRule) -> Arc<dyn Erp> {
    match rule {
        PersonRule::ByType => erp,
        rule => Arc::new(ByRule { erp, rule }),
    }
}

impl ByRule {
    fn all(&self, records: Vec<ErpRecord>) -> Vec<ErpRecord> {
        let records = records.into_iter();
        records.map(|record| self.rule.apply(record)).collect()
    }

    fn updated(&self, outcome: UpdateOutcome) -> UpdateOutcome {
        match outcome {
            UpdateOutcome::Unchanged(record) => UpdateOutcome::Unchanged(self.rule.apply(record)),
            UpdateOutcome::Updated(record) => UpdateOutcome::Updated(self.rule.apply(record)),
            other => other,
        }
    }
}

#[async_trait]
impl ErpLayer for ByRule {
    type Inner = dyn Erp;

    fn inner(&self) -> &Self::Inner {
        &*self.erp
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        let record = self.erp.get(id, deadline).await?;
        Ok(record.map(|record| self.rule.apply(record)))
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let found = self.erp.find_by_code(resource, code, deadline).await?;
        Ok(self.all(found))
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        if matches!(kind, PartyKind::Contact { .. }) {
            return self.erp.find_by_key(kind, key, deadline).await;
        }
        let mut found = Vec::new();
        for of_type in [PartyKind::Person, PartyKind::Company] {
            found.extend(self.erp.find_by_key(&of_type, key, deadline).await?);
        }
        let mut found = self.all(found);
        found.retain(|record| record.organisation == kind.is_organisation());
        Ok(found)
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        Ok(match self.erp.create(key, party, deadline).await? {
            CreateOutcome::Created(record) => CreateOutcome::Created(self.rule.apply(record)),
            CreateOutcome::Altered(record) => CreateOutcome::Altered(self.rule.apply(record)),
            CreateOutcome::AlreadyThere(record) => {
                CreateOutcome::AlreadyThere(self.rule.apply(record))
            }
            other => other,
        })
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let outcome = self.erp.update(seen, party, deadline).await?;
        Ok(self.updated(outcome))
    }

    async fn block(
        &self,
        id: &ErpId,
        block: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let outcome = self.erp.block(id, block, deadline).await?;
        Ok(self.updated(outcome))
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let of_any_type = Listing {
            kind: None,
            ..listing.clone()
        };
        let page = self.erp.page(&of_any_type, cursor, deadline).await?;
        let mut records = self.all(page.records);
        if let Some(kind) = listing.kind {
            records.retain(|record| record.entity_kind() == kind);
        }
        Ok(RecordPage { records, ..page })
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let page = self.erp.get_many(ids, fields, deadline).await?;
        let records = self.all(page.records);
        Ok(RecordPage { records, ..page })
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = BTreeSet::new();
        for of_type in [EntityKind::Customer, EntityKind::Company] {
            holders.extend(self.erp.holders_of_keys(of_type, keys, deadline).await?);
        }
        let ids: BTreeSet<ErpId> = holders.iter().map(|(_, id)| id.clone()).collect();
        let ids: Vec<ErpId> = ids.into_iter().collect();
        let page = ErpLayer::get_many(self, &ids, FieldGroups::NONE, deadline).await?;
        // One that cannot be read may be of this kind.
        let unread = page.unusable.into_iter().filter_map(|record| record.id);
        let of_kind = page
            .records
            .into_iter()
            .filter(|record| record.entity_kind() == kind)
            .map(|record| record.id);
        let of_kind: BTreeSet<ErpId> = of_kind.chain(unread).collect();
        holders.retain(|(_, id)| of_kind.contains(id));
        Ok(holders.into_iter().collect())
    }

    /// Holders of both types: one too many only leads to a check by a person, and none is missing.
    async fn other_holders_of_codes(
        &self,
        _: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let mut holders = BTreeSet::new();
        for of_type in [EntityKind::Customer, EntityKind::Company] {
            let of_type = self.erp.other_holders_of_codes(of_type, records, deadline);
            holders.extend(of_type.await?);
        }
        Ok(holders.into_iter().collect())
    }
}
