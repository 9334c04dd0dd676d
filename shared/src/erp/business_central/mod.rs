//! Microsoft Dynamics 365 Business Central, API v2.0 or a custom API with the same pages.
//!
//! Persons and organisations are `customers`; the people of an organisation are `contacts`, which belong to the
//! *company contact* that Business Central keeps beside the customer (erp-apis §1.3). Three traps shape this adapter:
//!
//! * A create is idempotent only when the client chooses the number. The request is sent once; when its outcome is
//!   unknown, one look-up by the number answers. Without a number the caller has to find out by other means
//!   (erp-apis §1.11).
//! * A `PATCH` with another `number` renames the customer, so that the number is written at creation only.
//! * The server rewrites the values that it receives, and fields clear each other (erp-apis §1.4). A record has the
//!   values that the server returned, and a value that another field has cleared is written again.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | settings and capabilities |
//! | `client` | requests, token, pages |
//! | `error` | the meaning of an error |
//! | `record` | rows as records |
//! | `formats` | lengths and formats of the fields |
//! | `fields` | a party as fields, and the difference to a record |
//! | `countries` | how countries are set up in the company |
//! | `records` | reads that the others share |
//! | `extra` | the merchant's own page, with the extra fields |
//! | `search`, `listing`, `create`, `update` | the calls of the port |
//! | `references`, `fixed_values` | fixed values: their fields, and how they are written |
//! | `notifications`, `subscriptions` | events: what is posted, and the subscription |
//! | `proof` | what a filter on a key does |
//! | `trial` | a record that is created, checked and deleted |

mod client;
mod countries;
mod create;
mod error;
mod extra;
mod fields;
mod fixed_values;
mod formats;
mod listing;
mod notifications;
mod proof;
mod record;
mod records;
mod references;
mod search;
mod settings;
mod subscriptions;
#[cfg(test)]
mod tests;
mod trial;
mod update;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use self::{
    client::Client, error::RECORD_NOT_FOUND, proof::try_filter, records::Records,
    references::References, search::carried_keys, settings::capabilities,
};
use super::{
    Block, Capabilities, CompanyKey, CountrySetup, CreateOutcome, Cursor, Erp, ErpError, ErpId,
    ErpRecord, FilterProof, FixedValues, IdempotencyKey, KeyField, Listing, NaturalKey, Party,
    PartyKind, RecordPage, Resource, Trial, UnknownValue, UpdateOutcome,
    events::EventSubscriptions, key_filter::Proofs,
};
use crate::{
    domain::{Code, EntityKind, FieldGroups},
    http::{Deadline, Transport, odata::Options},
};

pub use notifications::{InvalidNotifications, Notification, read_notifications};
pub(crate) use references::takes;
pub use settings::{BusinessCentralSettings, InvalidApiRoot};

/// The adapter of one company of Business Central.
pub struct BusinessCentral {
    /// The id of the company.
    company: String,
    capabilities: Capabilities,
    records: Records,
    proofs: Proofs,
}

impl fmt::Debug for BusinessCentral {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BusinessCentral")
            .finish_non_exhaustive()
    }
}

impl BusinessCentral {
    /// Makes the adapter. Nothing is sent yet.
    ///
    /// # Errors
    /// The address cannot be an API root.
    pub fn new(
        settings: BusinessCentralSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidApiRoot> {
        let extra = settings.extra_fields.clone();
        let countries = settings.countries.clone();
        Ok(Self {
            company: settings.company.to_string(),
            capabilities: capabilities(&extra, &countries),
            records: Records {
                client: Client::new(settings, transport)?,
                extra,
                countries,
                country_table: OnceCell::new(),
                one_email_at_a_time: false.into(),
                references: References::default(),
            },
            proofs: Proofs::default(),
        })
    }

    /// The same adapter with fixed values: those of the application whose records it keeps.
    #[must_use]
    pub fn with_fixed_values(mut self, fixed: FixedValues) -> Self {
        self.records.references.fixed = fixed;
        self
    }
}

#[async_trait]
impl Erp for BusinessCentral {
    fn name(&self) -> &'static str {
        "Business Central"
    }

    fn company(&self) -> Option<String> {
        Some(self.company.clone())
    }

    async fn capabilities(&self, _: Deadline) -> Result<&Capabilities, ErpError> {
        Ok(&self.capabilities)
    }

    async fn carried_keys(&self, party: &Party, _: Deadline) -> Result<Vec<NaturalKey>, ErpError> {
        Ok(carried_keys(party))
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        self.records.get(id, deadline).await
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.records.find_by_code(resource, code, deadline).await
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.records.find_by_key(kind, key, deadline).await
    }

    fn subscriptions(&self) -> Option<&dyn EventSubscriptions> {
        Some(self)
    }

    fn needs_completing(&self, party: &Party) -> bool {
        self.records.has_dimensions(party)
    }

    async fn key_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        let proof = try_filter(field, &self.records, deadline);
        self.proofs.of(field, self.name(), proof).await
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        self.records.create(key, party, deadline).await
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let outcome = self.records.update(seen, party, deadline).await?;
        self.records.update_fixed(outcome, party, deadline).await
    }

    async fn complete(
        &self,
        id: &ErpId,
        party: &Party,
        deadline: Deadline,
    ) -> Result<(), ErpError> {
        self.records.complete(id, party, deadline).await
    }

    async fn country_setup(&self, deadline: Deadline) -> Result<Option<CountrySetup>, ErpError> {
        self.records.country_setup(deadline).await
    }

    async fn unknown_fixed_values(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<UnknownValue>, ErpError> {
        self.records.unknown_fixed_values(deadline).await
    }

    async fn block(
        &self,
        id: &ErpId,
        block: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.records.block(id, block, deadline).await
    }

    async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        self.records.trial(key, party, deadline).await
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        self.records.page(listing, cursor, deadline).await
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        self.records.get_many(ids, fields, deadline).await
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        self.records.holders_of_keys(kind, keys, deadline).await
    }

    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        self.records
            .other_holders_of_codes(kind, records, deadline)
            .await
    }

    async fn company_of(
        &self,
        key: &CompanyKey,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, ErpError> {
        self.records.company_of(key, deadline).await
    }

    async fn company_key(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError> {
        match self.records.company_contact(company, deadline).await {
            Ok(number) => Ok(number.map(CompanyKey)),
            Err(ErpError::Refused { code, .. }) if code == RECORD_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Permissions are in permission sets (erp-apis §1.1); no known request shows them without a write.
    async fn may_write(&self, _: Deadline) -> Result<Option<bool>, ErpError> {
        Ok(None)
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        let options = Options::new().select(&["id"]).top(1);
        let url = self.records.url(Resource::Customer, options);
        self.records.client.date(&url, deadline).await
    }
}
