//! Odoo 19 and newer over its JSON-2 API: customers and companies are partners, contacts are their child partners
//! (erp-apis §2.3–§2.5).
//!
//! * A create goes through `load` under an external id that is made of the Norce entity, so that a repeat finds the
//!   partner of an earlier one. `load` answers HTTP 200 when it refuses.
//! * Odoo has no optimistic concurrency. An update reads the partner right before it writes and compares. A change in the
//!   moment between loses only fields that both writers have changed.
//! * A write of equal values would move `write_date`, and is never sent.
//! * `write_date` has whole seconds here: listings filter by `>=`, and walk by id, which does not move while partners
//!   change. Archived partners are listed too.
//! * Nothing keeps a code, a number or an address unique, so that a look-up returns every holder.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | settings and capabilities |
//! | `client`, `load` | calls of the API |
//! | `error` | the meaning of an error |
//! | `record` | rows as records, and a party as fields |
//! | `partners` | reads and writes that the others share |
//! | `references`, `fixed_values` | fixed values: their fields, and how they are looked up |
//! | `states` | states and counties of addresses |
//! | `search`, `create`, `update`, `delivery` | the calls of the port |

mod client;
mod create;
mod delivery;
mod error;
mod fixed_values;
mod load;
mod partners;
mod record;
mod references;
mod search;
mod settings;
mod states;
mod trial;
mod update;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;

use self::{
    client::Client,
    partners::Partners,
    record::{Names, Row, TIME},
    search::{of_kind, of_resource},
    settings::capabilities,
};
use super::{
    Block, Capabilities, CompanyKey, CountrySetup, CreateOutcome, Cursor, Erp, ErpError, ErpId,
    ErpRecord, FilterProof, FixedValues, IdempotencyKey, KeyField, Listing, NaturalKey, Party,
    PartyKind, RecordPage, Resource, Trial, UnknownValue, UpdateOutcome,
    events::EventSubscriptions,
};
use crate::{
    domain::{Code, EntityKind, FieldGroups},
    http::{Deadline, Transport},
};

pub(crate) use references::takes;
pub use settings::{InvalidBaseUrl, OdooSettings};

/// Partners on a page: the actions for them have to fit into one DynamoDB item.
const PAGE_SIZE: usize = 500;

/// The adapter of one database of an Odoo server, or of one company in it.
pub struct Odoo {
    capabilities: Capabilities,
    partners: Partners,
    code_sequence: Option<String>,
}

impl fmt::Debug for Odoo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Odoo").finish_non_exhaustive()
    }
}

impl Odoo {
    /// Makes the adapter. Nothing is sent yet.
    ///
    /// # Errors
    /// The address cannot be a server's.
    pub fn new(
        settings: OdooSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidBaseUrl> {
        let (company, names) = (settings.company, Names::of(&settings));
        Ok(Self {
            capabilities: capabilities(names.price_list.is_some(), names.home_country),
            code_sequence: settings.code_sequence.clone(),
            partners: Partners::new(Client::new(settings, transport)?, company, names),
        })
    }

    /// The same adapter with fixed values: those of the application whose records it keeps.
    #[must_use]
    pub fn with_fixed_values(mut self, fixed: FixedValues) -> Self {
        self.partners.references.fixed = fixed;
        self
    }
}

#[async_trait]
impl Erp for Odoo {
    fn name(&self) -> &'static str {
        "Odoo"
    }

    fn company(&self) -> Option<String> {
        self.partners.company.map(|company| company.to_string())
    }

    async fn capabilities(&self, _: Deadline) -> Result<&Capabilities, ErpError> {
        Ok(&self.capabilities)
    }

    /// A partner has fields for both numbers, `company_registry` and `vat`.
    async fn carried_keys(&self, party: &Party, _: Deadline) -> Result<Vec<NaturalKey>, ErpError> {
        Ok(party.keys())
    }

    /// Its automation rules post unsigned events, once (erp-apis §2.5); nothing reads them.
    fn subscriptions(&self) -> Option<&dyn EventSubscriptions> {
        None
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        self.partners.get(id, deadline).await
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut rows = self.partners.with_code(code, deadline).await?;
        rows.retain(|row| row.resource() == resource);
        self.partners.records(rows, deadline).await
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.partners.find_by_key(kind, key, deadline).await
    }

    /// A create is one request with everything that is fixed. Delivery addresses follow from the fingerprint.
    fn needs_completing(&self, _: &Party) -> bool {
        false
    }

    /// The database evaluates a domain.
    async fn key_filter(&self, _: KeyField, _: Deadline) -> Result<FilterProof, ErpError> {
        Ok(FilterProof::Filters)
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let sequence = self.code_sequence.as_deref();
        self.partners.create(key, party, sequence, deadline).await
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.partners.update(seen, party, deadline).await
    }

    async fn complete(&self, _: &ErpId, _: &Party, _: Deadline) -> Result<(), ErpError> {
        Ok(())
    }

    async fn country_setup(&self, deadline: Deadline) -> Result<Option<CountrySetup>, ErpError> {
        self.partners.country_setup(deadline).await
    }

    async fn unknown_fixed_values(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<UnknownValue>, ErpError> {
        self.partners.unknown_fixed_values(deadline).await
    }

    async fn block(
        &self,
        id: &ErpId,
        _: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.partners.block(id, deadline).await
    }

    async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        let sequence = self.code_sequence.as_deref();
        self.partners.trial(key, party, sequence, deadline).await
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let partners = &self.partners;
        let mut domain = of_resource(listing.resource);
        if let (Resource::Customer, Some(kind)) = (listing.resource, listing.kind) {
            domain.push(of_kind(kind));
        }
        if let Some(since) = listing.since {
            let since = since.format(TIME).to_string();
            domain.push(json!(["write_date", ">=", since]));
        }
        if let Some(Cursor(last)) = cursor {
            let last: i64 = last.parse().map_err(|_| ErpError::CursorExpired)?;
            domain.push(json!(["id", ">", last]));
        }
        let rows = partners.rows(domain, listing.fields, PAGE_SIZE, deadline);
        let rows = rows.await?;
        let next = match rows.last().and_then(Row::id) {
            Some(last) if rows.len() == PAGE_SIZE => Some(Cursor(last.to_string())),
            _ => None,
        };
        let page = partners.page_of(rows, listing.fields, deadline).await?;
        Ok(RecordPage { next, ..page })
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        groups: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let partners = &self.partners;
        let ids: Vec<i64> = ids.iter().filter_map(|id| id.id.parse().ok()).collect();
        let mut found = RecordPage::default();
        for ids in ids.chunks(PAGE_SIZE) {
            let domain = vec![json!(["id", "in", ids])];
            let rows = partners.rows(domain, groups, PAGE_SIZE, deadline).await?;
            found.append(partners.page_of(rows, groups, deadline).await?);
        }
        Ok(found)
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        self.partners.holders_of_keys(kind, keys, deadline).await
    }

    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        self.partners
            .other_holders_of_codes(kind, records, deadline)
            .await
    }

    /// A contact names its parent by id.
    async fn company_of(&self, key: &CompanyKey, _: Deadline) -> Result<Option<ErpId>, ErpError> {
        Ok(Some(ErpId {
            resource: Resource::Customer,
            id: key.0.clone(),
        }))
    }

    async fn company_key(
        &self,
        company: &ErpId,
        _: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError> {
        Ok(Some(CompanyKey(company.id.clone())))
    }

    /// `has_access` of a model answers for its records in general (Odoo 19, `odoo/orm/models.py`).
    async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError> {
        for operation in ["create", "write"] {
            let arguments = json!({ "operation": operation });
            let client = &self.partners.client;
            let may: bool = client
                .read("res.partner", "has_access", &arguments, deadline)
                .await?;
            if !may {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        let no_record = json!({ "domain": [["id", "=", 0]] });
        let client = &self.partners.client;
        client
            .date("res.partner", "search_count", &no_record, deadline)
            .await
    }
}
