//! What is read about the records of one scope: Norce, the ERP and the mappings, with the cost of every call.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use shared::{
    Consistency,
    domain::{
        Code, EntityKind, EntityRef, ErpId, FieldGroups, NaturalKey, NorceId, Resource, Scope,
    },
    erp::{CompanyKey, Erp, ErpError, ErpRecord, RecordPage},
    http::Deadline,
    mappings::{BoundPage, Known, Mapping, Mappings, RecordEntry},
    norce::{LookupHit, LookupKey, NorceQuery},
    record_finder::{KeyHolders, RecordFinder},
};

use crate::{meter::Meter, record_check::RecordCheck, stop_reason::Result};

/// Organisations that are remembered: the contacts of one are mostly listed close to each other. About a megabyte.
const COMPANIES_REMEMBERED: usize = 5_000;
/// Items that are read about an entity: its entry, and its tombstone.
pub(crate) const ITEMS_OF_ENTITY: usize = 2;
/// Items that are read about a record that seems to be unknown: the entries of its id and code, and their tombstones.
const ITEMS_OF_UNKNOWN: usize = 4;

/// The reads of a walk over one scope.
pub(crate) struct Lookups<'a> {
    pub(crate) scope: Scope,
    /// The scope, and the one that it shares customers and companies with.
    pub(crate) seen_from: Vec<Scope>,
    pub(crate) erp: &'a dyn Erp,
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) mappings: &'a dyn Mappings,
    /// Finds who holds a natural key.
    pub(crate) finder: RecordFinder<'a>,
    pub(crate) meter: &'a Meter,
    pub(crate) deadline: Deadline,
    /// The organisations that contacts were seen to belong to.
    pub(crate) companies: Mutex<HashMap<CompanyKey, Option<ErpId>>>,
}

impl Lookups<'_> {
    /// The entries of records, in their order.
    pub(crate) async fn entries(
        &self,
        records: &[ErpId],
        consistency: Consistency,
    ) -> Result<Vec<Option<RecordEntry>>> {
        self.meter.mappings_read(records.len());
        let entries = self.mappings.records(self.scope, records, consistency);
        Ok(entries.await?)
    }

    pub(crate) async fn mappings(
        &self,
        entities: &[EntityRef],
    ) -> Result<HashMap<EntityRef, Mapping>> {
        if entities.is_empty() {
            return Ok(HashMap::new());
        }
        self.meter.mappings_read(ITEMS_OF_ENTITY * entities.len());
        let mappings = self.mappings.get_many(entities).await?;
        let mappings = entities.iter().zip(mappings);
        Ok(mappings
            .filter_map(|(entity, mapping)| Some((*entity, mapping?)))
            .collect())
    }

    /// What is known about records that seem to be unknown, in their order.
    pub(crate) async fn known(
        &self,
        kind: EntityKind,
        records: impl IntoIterator<Item = &ErpRecord>,
    ) -> Result<Vec<Known>> {
        let records = records.into_iter();
        let names = records.map(|it| (it.id.clone(), it.code.clone()));
        let names: Vec<(ErpId, Code)> = names.collect();
        self.meter.mappings_read(ITEMS_OF_UNKNOWN * names.len());
        Ok(self.mappings.known(kind, self.scope, &names).await?)
    }

    /// Norce's entities with these codes or keys.
    pub(crate) async fn in_norce(
        &self,
        kind: EntityKind,
        asked: &[LookupKey],
    ) -> Result<Vec<LookupHit>> {
        let found = self.norce.look_up(kind, self.scope, asked, self.deadline);
        let found = self.meter.norce_wait(found).await?;
        let requests = u64::from(found.requests);
        self.meter.add(|cost| cost.query_calls += requests);
        Ok(found.found)
    }

    /// The codes that entities have in Norce.
    pub(crate) async fn codes(
        &self,
        kind: EntityKind,
        ids: &[NorceId],
    ) -> Result<HashMap<NorceId, Option<Code>>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        self.meter.add(|cost| cost.query_calls += 1);
        let codes = self.norce.codes(kind, self.scope, ids, self.deadline);
        Ok(self.meter.norce_wait(codes).await?.into_iter().collect())
    }

    /// The companies in Norce of which a customer is a contact.
    pub(crate) async fn companies_of(&self, customer: NorceId) -> Result<Vec<NorceId>> {
        self.meter.add(|cost| cost.query_calls += 1);
        let ids = [customer];
        let relations = self.norce.relations(self.scope, &ids, self.deadline);
        let relations = self.meter.norce_wait(relations).await?;
        let relations = relations.get(&customer).into_iter().flatten();
        Ok(relations.map(|relation| relation.company).collect())
    }

    /// The records with these ids, also those that cannot be used; the ERP no longer has the others.
    pub(crate) async fn records(&self, ids: &[ErpId], fields: FieldGroups) -> Result<RecordPage> {
        let records = self.erp.get_many(ids, fields, self.deadline);
        Ok(self.meter.erp_call(records).await?)
    }

    /// A page of the bound entities.
    pub(crate) async fn bound(&self, after: Option<&str>) -> Result<BoundPage> {
        let page = self.mappings.bound(after).await?;
        self.meter.mappings_read(page.bound.len());
        Ok(page)
    }

    /// Asks the ERP whether records still exist.
    pub(crate) fn record_check(&self) -> RecordCheck<'_> {
        RecordCheck {
            erp: self.erp,
            meter: self.meter,
            deadline: self.deadline,
        }
    }

    /// Whether the ERP has a record with this code. One that cannot be read counts.
    pub(crate) async fn is_code_in_erp(&self, kind: EntityKind, code: &Code) -> Result<bool> {
        let resources: &[Resource] = match kind {
            EntityKind::Company => &[Resource::Customer],
            EntityKind::Customer => &[Resource::Customer, Resource::Contact],
        };
        for resource in resources {
            let hits = self.erp.find_by_code(*resource, code, self.deadline);
            match self.meter.erp_call(hits).await {
                Ok(hits) if hits.is_empty() => {}
                Ok(_) | Err(ErpError::Refused { .. } | ErpError::Unreadable(_)) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Other records of the ERP with the codes of these.
    pub(crate) async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
    ) -> Result<Vec<(Code, ErpId)>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let holders = self
            .erp
            .other_holders_of_codes(kind, records, self.deadline);
        Ok(self.meter.erp_call(holders).await?)
    }

    /// Who holds these keys, besides the records that were read.
    pub(crate) async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        read: &[&ErpRecord],
    ) -> Result<KeyHolders> {
        let holders = self.finder.holders(kind, keys, read, self.deadline);
        Ok(self.meter.erp_call(holders).await?)
    }

    /// The ERP's record of the organisation that contacts name by this key.
    pub(crate) async fn company_of(&self, key: &CompanyKey) -> Result<Option<ErpId>> {
        let companies = || {
            self.companies
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let known = companies().get(key).cloned();
        if let Some(company) = known {
            return Ok(company);
        }
        let company = self.erp.company_of(key, self.deadline);
        let company = self.meter.erp_call(company).await?;
        let mut companies = companies();
        if companies.len() >= COMPANIES_REMEMBERED {
            companies.clear();
        }
        companies.insert(key.clone(), company.clone());
        Ok(company)
    }

    /// What contacts name the organisation of a record by; `None` also where that cannot be read of this record, which
    /// must not stop a pass.
    pub(crate) async fn company_key(&self, company: &ErpId) -> Result<Option<CompanyKey>> {
        let key = self.erp.company_key(company, self.deadline);
        match self.meter.erp_call(key).await {
            Ok(key) => Ok(key),
            Err(ErpError::Refused { .. } | ErpError::Unreadable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Norce's id of an organisation of the ERP.
    pub(crate) async fn company_in_norce(&self, company: &ErpId) -> Result<Option<NorceId>> {
        for scope in &self.seen_from {
            self.meter.mappings_read(1);
            // A company that was bound a moment ago must not be waited for: its lines have gone on their way already.
            let companies = std::slice::from_ref(company);
            let entries = self
                .mappings
                .records(*scope, companies, Consistency::Strong);
            let entry = entries.await?.into_iter().next().flatten();
            if let Some(id) = entry.and_then(|entry| entry.id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}
