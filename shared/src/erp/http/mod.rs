//! Any ERP behind a facade that offers the HTTP contract (`openapi.yaml` beside this file).
//!
//! * The facade states what the ERP can do. It is asked once by each process; until it has answered, nothing is read or
//!   written.
//! * A create carries the Norce entity as its idempotency key and is sent once. Whether a repeat makes no second record is
//!   for the facade to state.
//! * What a search finds is compared with what was searched for: a facade that finds too much does no harm, and one that
//!   finds too little is noticed by trying it.
//!
//! | module | subject |
//! |---|---|
//! | `settings` | address, company, credentials |
//! | `client` | requests |
//! | `signature` | signatures of requests, where there is a key for them |
//! | `error` | the meaning of an error |
//! | `wire` | answers: capabilities, records, pages |
//! | `fields` | a party as fields, and the difference to a record |
//! | `register` | what the calls share: capabilities, records, pages |
//! | `search` | look-ups |
//! | `write` | creates, updates, blocks |
//! | `trial` | a record that is created and removed again |
//! | `proof` | what a search by a key does |
//! | `hint` | what the ERP posts when something has changed |

mod client;
mod error;
mod fields;
mod hint;
mod proof;
mod register;
mod search;
mod settings;
mod signature;
mod trial;
mod wire;
mod write;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use self::{proof::try_search, register::Register, wire::WritableField};
use super::{
    Block, Capabilities, CompanyKey, CountrySetup, CreateOutcome, Cursor, Erp, ErpError, ErpId,
    ErpRecord, FilterProof, IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind,
    RecordPage, Resource, Trial, UnknownValue, UpdateOutcome, events::EventSubscriptions,
    key_filter::Proofs,
};
use crate::{
    domain::{Code, EntityKind, FieldGroups},
    http::{Deadline, Transport},
};

pub use hint::{InvalidHint, read_hint};
pub use settings::{HttpErpCredentials, HttpErpSettings, InvalidHttpErp};
pub use signature::Signer;

/// The adapter of one company behind a facade.
pub struct HttpErp {
    company: Option<String>,
    register: Register,
    proofs: Proofs,
}

impl fmt::Debug for HttpErp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpErp").finish_non_exhaustive()
    }
}

impl HttpErp {
    /// Makes the adapter. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn new(
        settings: HttpErpSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidHttpErp> {
        Self::with_signer(settings, transport, None)
    }

    /// The same. Where there is a signer, every request to the facade is signed, and none to the token endpoint.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn with_signer(
        settings: HttpErpSettings,
        transport: Arc<dyn Transport>,
        signer: Option<Signer>,
    ) -> Result<Self, InvalidHttpErp> {
        Ok(Self {
            register: Register::new(&settings, transport, signer)?,
            company: settings.company,
            proofs: Proofs::default(),
        })
    }
}

#[async_trait]
impl Erp for HttpErp {
    fn name(&self) -> &'static str {
        "The ERP behind the facade"
    }

    fn company(&self) -> Option<String> {
        self.company.clone()
    }

    fn subscriptions(&self) -> Option<&dyn EventSubscriptions> {
        None
    }

    /// A create is one request, so nothing is left to complete.
    fn needs_completing(&self, _: &Party) -> bool {
        false
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<&Capabilities, ErpError> {
        self.register.capabilities(deadline).await
    }

    async fn carried_keys(
        &self,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Vec<NaturalKey>, ErpError> {
        let takes = &self.register.abilities(deadline).await?.fields;
        let mut carried = party.clone();
        if !takes.contains(&WritableField::Email) {
            carried.email = None;
        }
        if !takes.contains(&WritableField::OrganisationNumber) {
            carried.organisation_number = None;
        }
        if !takes.contains(&WritableField::VatNumber) {
            carried.vat_number = None;
        }
        Ok(carried.keys())
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        self.register.get(id, deadline).await
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.register.with_codes(resource, &[code], deadline).await
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        self.register.with_key(kind, key, deadline).await
    }

    async fn key_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        let proof = try_search(field, &self.register, deadline);
        self.proofs.of(field, self.name(), proof).await
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        self.register.page(listing, cursor, deadline).await
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        self.register.with_ids(ids, fields, deadline).await
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        self.register.holders(kind, keys, deadline).await
    }

    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        self.register.other_holders(kind, records, deadline).await
    }

    /// A contact names its organisation by the id of its record.
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

    async fn may_write(&self, deadline: Deadline) -> Result<Option<bool>, ErpError> {
        Ok(self.register.about(deadline).await?.may_write)
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        Ok(Some(self.register.about(deadline).await?.time))
    }

    /// The facade translates the codes of countries.
    async fn country_setup(&self, deadline: Deadline) -> Result<Option<CountrySetup>, ErpError> {
        let about = self.register.about(deadline).await?;
        Ok(about
            .capabilities
            .home_country()
            .map(|country| CountrySetup {
                company_code: Some(country.to_string()),
                company_country: Some(country),
                ..CountrySetup::default()
            }))
    }

    /// The contract has no fixed values: the facade sets what every record needs.
    async fn unknown_fixed_values(&self, _: Deadline) -> Result<Vec<UnknownValue>, ErpError> {
        Ok(Vec::new())
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        self.register.create_once(key, party, deadline).await
    }

    async fn complete(&self, _: &ErpId, _: &Party, _: Deadline) -> Result<(), ErpError> {
        Ok(())
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.register.change(seen, party, deadline).await
    }

    /// Where the facade states the capability `deletes`.
    async fn trial(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Trial, ErpError> {
        self.register.trial(key, party, deadline).await
    }

    async fn block(
        &self,
        id: &ErpId,
        block: Block,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.register.close(id, block, deadline).await
    }
}
