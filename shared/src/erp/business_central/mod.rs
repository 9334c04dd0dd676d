//! Microsoft Dynamics 365 Business Central, API v2.0 or a custom API page with the same fields.
//!
//! Persons and organisations are `customers`; the people of an organisation are `contacts`, which belong to the
//! *company contact* that Business Central keeps beside the customer (erp-apis §1.3). Three traps shape this adapter:
//!
//! * A create is idempotent only when the client chooses the number. The request is sent once; when its outcome is
//!   unknown, one look-up by the number answers, and without a number the caller has to ask by other means
//!   (erp-apis §1.11).
//! * A `PATCH` with another `number` renames the customer, so that the number is written at creation only.
//! * The server rewrites what it is sent, and fields clear each other (erp-apis §1.4). What it returns is the image,
//!   and what another field has cleared is written again.
//!
//! | here | there |
//! |---|---|
//! | `formats` | lengths and formats of the fields |
//! | `fields` | what is written, and the difference to what is there |
//! | `record` | what is read |
//! | `error` | what a refusal means |
//! | `proof` | what a filter on a key does |
//! | `client` | requests, token, pages |

mod client;
mod error;
mod fields;
mod formats;
mod proof;
mod record;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{Response, StatusCode};
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use self::{
    client::{Client, Unanswered, parse},
    error::{Failure, RECORD_NOT_FOUND},
    fields::Fields,
    formats::{DISPLAY_NAME, EMAIL, Field, NUMBER, TAX_REGISTRATION_NUMBER},
    proof::Proofs,
    record::{
        BLOCKED_ALL, ContactInformation, ExtendedRow, Row, entity_set, listed, selected, type_of,
    },
};
use super::{
    Capabilities, CompanyKey, CreateOutcome, Cursor, Erp, ErpError, ErpId, ErpRecord, ExtraFields,
    FilterProof, IdempotencyKey, KeyField, Listing, NaturalKey, Party, PartyKind, RecordPage,
    Resource, Unusable, UnusableRecord, UpdateOutcome, mask::Mask,
};
use crate::{
    domain::{Code, CodeCase, EntityKind, FieldGroup, FieldGroups, OrganisationKey},
    http::{
        Deadline, Transport,
        odata::{Filter, Options, Page},
    },
};

/// The gateway in front of Business Central gives up after 10 minutes, and the server itself after 8 (erp-apis §1.8):
/// what is not there by then never comes.
const SETTLES_AFTER: Duration = Duration::from_secs(10 * 60);

/// Two are as ambiguous as a hundred.
const MOST_HITS: u32 = 2;
/// The most records with one key that are compared with the mappings. A shared key has a few holders (a household, the
/// schools of a municipality); beyond this number a person decides.
const MOST_HOLDERS: usize = 20;

/// Business Central compares without regard to case when asked like this (erp-apis §1.5).
const EMAIL_IN_ANY_CASE: &str = "tolower(email)";

/// The schema version in which several e-mail addresses are asked for at once (erp-apis §1.5).
const SCHEMA_VERSION: &str = "2.1";

/// Where Business Central is, which of its companies is meant, and who asks.
#[derive(Debug, Clone)]
pub struct BusinessCentralSettings {
    /// The API root, such as `https://api.businesscentral.dynamics.com/v2.0/{tenant}/{environment}/api/v2.0`, or
    /// that of a custom API (`…/api/{publisher}/{group}/{version}`).
    pub api_root: Url,
    /// The company.
    pub company: Uuid,
    /// The token endpoint, `https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token`.
    pub token_url: Url,
    /// The app registration.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Fields of `customers` that the merchant's own API page has.
    pub extra_fields: ExtraFields,
}

/// What can be read, and so be owned. The standard API has no price lists, no delivery addresses, and nothing like a flag
/// (erp-apis §1.3).
fn readable(extra: &ExtraFields) -> FieldGroups {
    let extended = [
        (extra.price_list.is_some(), FieldGroup::PriceLists),
        (
            extra.organisation_number.is_some(),
            FieldGroup::OrganisationNumber,
        ),
        (!extra.flags.is_empty(), FieldGroup::Flags),
        (
            !extra.additional_info.is_empty(),
            FieldGroup::AdditionalInfo,
        ),
    ];
    let standard = FieldGroups::of(&[
        FieldGroup::Code,
        FieldGroup::Names,
        FieldGroup::ContactDetails,
        FieldGroup::InvoiceAddress,
        FieldGroup::Active,
        FieldGroup::CompanyRelations,
        FieldGroup::VatNumber,
    ]);
    extended
        .into_iter()
        .filter(|(is_configured, _)| *is_configured)
        .fold(standard, |readable, (_, group)| {
            readable.union(FieldGroups::of(&[group]))
        })
}

/// The address cannot be an API root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "ERP_BASE_URL is an address with a host and without a query, such as https://api.businesscentral.dynamics.com/v2.0/<tenant>/<environment>/api/v2.0"
)]
pub struct InvalidApiRoot;

/// One company of Business Central.
pub struct BusinessCentral {
    client: Client,
    company: Uuid,
    capabilities: Capabilities,
    extra: ExtraFields,
    proofs: Proofs,
    /// The server has refused several e-mail addresses in one filter.
    one_email_at_a_time: AtomicBool,
}

impl fmt::Debug for BusinessCentral {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BusinessCentral")
            .finish_non_exhaustive()
    }
}

impl BusinessCentral {
    /// A company behind a transport. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address cannot be an API root.
    pub fn new(
        settings: BusinessCentralSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidApiRoot> {
        let extra = settings.extra_fields.clone();
        Ok(Self {
            capabilities: Capabilities {
                delivery_addresses: false,
                // No page of the standard API has one (erp-apis §1.3).
                location_numbers: false,
                code_case: CodeCase::Ignored,
                name: "Business Central",
                organisation_number: false,
                readable: readable(&settings.extra_fields),
                optimistic_concurrency: true,
                // It has no key for that, other than a code that is asked for (erp-apis §1.11).
                creates_are_idempotent: false,
                create_settles_after: SETTLES_AFTER,
            },
            company: settings.company,
            client: Client::new(settings, transport)?,
            extra,
            proofs: Proofs::default(),
            one_email_at_a_time: AtomicBool::new(false),
        })
    }

    /// The address of one record. An id that is no GUID is not Business Central's and would change the path.
    fn record_url(&self, id: &ErpId) -> Result<Url, ErpError> {
        let guid = Uuid::parse_str(&id.id).map_err(|_| ErpError::Refused {
            field: None,
            code: "foreign-id".to_owned(),
            message: format!(
                "{id} is no id of Business Central, whose ids are GUIDs: the record was mapped to another ERP"
            ),
        })?;
        let set = entity_set(id.resource);
        Ok(self.client.url(&format!("{set}({guid})")))
    }

    /// The field of the merchant's own page that has the organisation number of a customer. Whoever asks whether a record
    /// is an organisation compares it: in a VAT group nothing else tells two of them apart.
    fn own_number_field(&self, resource: Resource) -> Option<&str> {
        match resource {
            Resource::Customer => self.extra.organisation_number.as_deref(),
            Resource::Contact => None,
        }
    }

    /// The address of the records that fit.
    fn list_url(&self, resource: Resource, filter: Filter) -> Url {
        let options = Options::new().select(selected(resource)).filter(filter);
        options.apply(self.client.url(entity_set(resource)))
    }

    async fn rows_by_number(
        &self,
        resource: Resource,
        number: &str,
        deadline: Deadline,
    ) -> Result<Vec<ExtendedRow>, ErpError> {
        let filter = Filter::eq(NUMBER.name, number);
        let options = Options::new().select(selected(resource)).filter(filter);
        let own_number = self.own_number_field(resource);
        let options = options.select_also(own_number.into_iter()).top(MOST_HITS);
        let url = options.apply(self.client.url(entity_set(resource)));
        let rows = self.client.list(url, &[], deadline).next().await?;
        Ok(rows.unwrap_or_default())
    }

    /// The field that moves a contact to the organisation of a party; `None`: it is there, or the organisation has no company
    /// contact to move to.
    async fn new_organisation(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Option<Fields>, ErpError> {
        let (
            PartyKind::Contact {
                company: Some(company),
            },
            Resource::Contact,
        ) = (&party.kind, seen.id.resource)
        else {
            return Ok(None);
        };
        let number = self.company_contact(company, deadline).await?;
        let is_new = |number: &String| seen.company.as_ref().is_none_or(|key| key.0 != *number);
        Ok(number.filter(is_new).map(|number| {
            let mut fields = Fields::default();
            fields.set("companyNumber", number);
            fields
        }))
    }

    /// All records that match the filter and are accepted, until there are enough to see that they are too many.
    async fn matches(
        &self,
        resource: Resource,
        filter: Filter,
        key: &str,
        accept: impl Fn(&Row) -> bool + Send,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mask = [("key", key)];
        let number = self.own_number_field(resource);
        let options = Options::new().select(selected(resource)).filter(filter);
        let options = options.select_also(number.into_iter());
        let url = options.apply(self.client.url(entity_set(resource)));
        let mut pages = self.client.list::<ExtendedRow>(url, &mask, deadline);
        let mut matches = Vec::new();
        while let Some(rows) = pages.next().await? {
            for row in rows.into_iter().filter(|row| accept(row.row())) {
                matches.push(row.into_record(resource, number)?);
                if matches.len() == MOST_HOLDERS {
                    return Ok(matches);
                }
            }
        }
        Ok(matches)
    }

    /// All records with an e-mail address in one of these spellings. Each spelling is a request, because several in one
    /// may be refused (erp-apis §1.5), and nearly every address has one only.
    async fn with_emails(
        &self,
        resource: Resource,
        of: &Filter,
        spellings: &[String],
        accept: impl Fn(&Row) -> bool + Send + Copy,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut records: Vec<ErpRecord> = Vec::new();
        for email in spellings {
            let filter = of
                .clone()
                .and(Filter::eq(EMAIL_IN_ANY_CASE, email.as_str()));
            for record in self
                .matches(resource, filter, email, accept, deadline)
                .await?
            {
                if !records.iter().any(|known| known.id == record.id) {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// The number of the company contact of a customer, which is what its people belong to.
    async fn company_contact(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<String>, ErpError> {
        let guid = Uuid::parse_str(&company.id).map_err(|_| no_company_contact(company))?;
        let path = format!("customers({guid})/contactsInformation");
        let options = Options::new().select(ContactInformation::FIELDS);
        let url = options.apply(self.client.url(&path));
        let mut pages = self.client.list::<ContactInformation>(url, &[], deadline);
        while let Some(contacts) = pages.next().await? {
            let company = contacts
                .into_iter()
                .find_map(ContactInformation::into_company_number);
            if company.is_some() {
                return Ok(company);
            }
        }
        Ok(None)
    }

    /// What has the asked-for number now.
    async fn holder_of(
        &self,
        number: &str,
        kind: &PartyKind,
        deadline: Deadline,
    ) -> Result<Holder, ErpError> {
        let resource = kind.resource();
        let mut rows = self.rows_by_number(resource, number, deadline).await?;
        Ok(match (rows.pop(), rows.is_empty()) {
            (None, _) => Holder::Nobody,
            (Some(row), true) if row.row().is_a(type_of(kind)) => {
                let own_number = self.own_number_field(resource);
                Holder::SameType(Box::new(row.into_record(resource, own_number)?))
            }
            _ => Holder::AnotherType,
        })
    }

    /// The outcome of a create is unknown: one look-up, if there is something to look for (erp-apis §1.11).
    async fn recover(
        &self,
        number: Option<&str>,
        kind: &PartyKind,
        reason: String,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let Some(number) = number else {
            return Ok(CreateOutcome::Ambiguous { reason });
        };
        match self.holder_of(number, kind, deadline).await {
            Ok(Holder::SameType(record)) => Ok(CreateOutcome::AlreadyThere(*record)),
            // The create has been refused for that, or will be.
            Ok(Holder::AnotherType) => Err(number_taken(number)),
            // It may yet come.
            Ok(Holder::Nobody) => Ok(CreateOutcome::Ambiguous { reason }),
            Err(error) => Ok(CreateOutcome::Ambiguous {
                reason: format!("{reason}; the look-up of {number} failed as well: {error}"),
            }),
        }
    }

    /// Writes fields to a record that is of this version.
    async fn change(
        &self,
        id: &ErpId,
        version: &str,
        fields: &(impl Serialize + Sync),
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let url = self.record_url(id)?;
        let response = self.client.patch(&url, version, fields, deadline).await?;
        if response.status().is_success() {
            return match read_record(&response, id.resource) {
                Ok(record) => Ok(UpdateOutcome::Updated(record)),
                // What it is like now has to be asked; and whether it was Business Central that said so, or a proxy.
                Err(_) => match self.get(id, deadline).await? {
                    Some(record) if record.version == version => Err(ErpError::RetryAfter {
                        after: None,
                        reason: "a change was answered with success, and nothing was changed"
                            .to_owned(),
                    }),
                    Some(record) => Ok(UpdateOutcome::Updated(record)),
                    None => Ok(UpdateOutcome::Gone),
                },
            };
        }
        let failure = Failure::of(&response, mask);
        if failure.is_stale() {
            Ok(UpdateOutcome::Stale)
        } else if failure.is_gone() {
            Ok(UpdateOutcome::Gone)
        } else {
            Err(failure.into())
        }
    }
}

#[async_trait]
impl Erp for BusinessCentral {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn company(&self) -> Option<String> {
        Some(self.company.to_string())
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        let number = self.own_number_field(id.resource);
        let url = Options::new()
            .select(selected(id.resource))
            .select_also(number.into_iter())
            .apply(self.record_url(id)?);
        let row = self.client.read::<ExtendedRow>(&url, deadline).await?;
        row.map(|row| row.into_record(id.resource, number))
            .transpose()
    }

    async fn find_by_code(
        &self,
        resource: Resource,
        code: &Code,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        // A filter with a value that is too long is an error and not an empty answer (erp-apis §1.7).
        let Ok(number) = formats::number(code) else {
            return Ok(Vec::new());
        };
        let rows = self.rows_by_number(resource, &number, deadline).await?;
        let own_number = self.own_number_field(resource);
        rows.into_iter()
            // A company contact is no person, and nobody's customer in Norce.
            .filter(|row| resource == Resource::Customer || row.row().is_a("Person"))
            .map(|row| row.into_record(resource, own_number))
            .collect()
    }

    async fn find_by_key(
        &self,
        kind: &PartyKind,
        key: &NaturalKey,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        match (key, kind) {
            (NaturalKey::Email(email), PartyKind::Contact { company }) => {
                let spellings = held(EMAIL, email.spellings());
                if spellings.is_empty() {
                    return Ok(Vec::new());
                }
                let Some(company) = company else {
                    return Ok(Vec::new());
                };
                let Some(company) = self.company_contact(company, deadline).await? else {
                    return Ok(Vec::new());
                };
                let of_company =
                    Filter::eq("companyNumber", company).and(Filter::eq("type", "Person"));
                let accept = |row: &Row| row.is_a("Person") && row.has_email(email);
                let contact = Resource::Contact;
                self.with_emails(contact, &of_company, &spellings, accept, deadline)
                    .await
            }
            (NaturalKey::Email(email), PartyKind::Person | PartyKind::Company) => {
                let spellings = held(EMAIL, email.spellings());
                let type_name = type_of(kind);
                let of_type = Filter::eq("type", type_name);
                let accept = |row: &Row| row.is_a(type_name) && row.has_email(email);
                let customer = Resource::Customer;
                self.with_emails(customer, &of_type, &spellings, accept, deadline)
                    .await
            }
            (NaturalKey::Organisation(number), PartyKind::Person | PartyKind::Company) => {
                let spellings = held(TAX_REGISTRATION_NUMBER, number.spellings());
                let Some(filter) = Filter::any_of(TAX_REGISTRATION_NUMBER.name, spellings) else {
                    return Ok(Vec::new());
                };
                let accept = |row: &Row| row.is_a(type_of(kind)) && row.has_number(number);
                let customer = Resource::Customer;
                self.matches(customer, filter, number.number(), accept, deadline)
                    .await
            }
            // A contact has its organisation's, if any.
            (NaturalKey::Organisation(_), PartyKind::Contact { .. }) => Ok(Vec::new()),
        }
    }

    /// The standard page has one field for numbers, the VAT number: an organisation number from which no VAT number
    /// follows is not in the record (erp-apis §1.4).
    fn carried_keys(&self, party: &Party) -> Vec<NaturalKey> {
        if party.kind != PartyKind::Company {
            return party.keys();
        }
        let country = party.address.as_ref().and_then(|address| address.country);
        let keys = OrganisationKey::all(None, fields::vat_number(party).as_ref(), country);
        keys.into_iter().map(NaturalKey::Organisation).collect()
    }

    async fn key_filter(
        &self,
        field: KeyField,
        deadline: Deadline,
    ) -> Result<FilterProof, ErpError> {
        self.prove_filter(field, deadline).await
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        party: &Party,
        deadline: Deadline,
    ) -> Result<CreateOutcome, ErpError> {
        let kind = &party.kind;
        let resource = kind.resource();
        let number = key.code.as_ref().map(formats::number).transpose()?;
        let number = number.as_deref();
        let mut fields = Fields::default();
        if let Some(number) = number {
            fields.set(NUMBER.name, number.to_owned());
        }
        fields.set("type", type_of(kind).to_owned());
        if let PartyKind::Contact {
            company: Some(company),
        } = kind
        {
            let company_contact = self.company_contact(company, deadline).await?;
            let company_contact = company_contact.ok_or_else(|| no_company_contact(company))?;
            fields.set("companyNumber", company_contact);
        }
        let wanted = Fields::wanted(party, resource)?;
        for (name, value) in wanted.iter().filter(|(_, value)| !value.is_empty()) {
            fields.set(name, value.to_owned());
        }
        let url = self.client.url(entity_set(resource));
        let response = match self.client.post(&url, &fields, deadline).await {
            Ok(response) => response,
            Err(Unanswered::NotSent(error)) => return Err(error),
            Err(Unanswered::Lost(error)) => {
                return self
                    .recover(number, kind, error.to_string(), deadline)
                    .await;
            }
        };
        if response.status().is_success() {
            return match read_record(&response, resource) {
                Ok(record) => Ok(CreateOutcome::Created(record)),
                Err(error) => {
                    self.recover(number, kind, error.to_string(), deadline)
                        .await
                }
            };
        }
        let mask: Vec<_> = wanted.iter().collect();
        let failure = Failure::of(&response, &mask);
        match number {
            Some(number) if failure.is_duplicate() => {
                match self.holder_of(number, kind, deadline).await? {
                    Holder::SameType(record) => Ok(CreateOutcome::AlreadyThere(*record)),
                    // There is such a record, even if this app does not see it.
                    Holder::AnotherType | Holder::Nobody => Err(number_taken(number)),
                }
            }
            _ if failure.is_definite() || failure.is_duplicate() => Err(failure.into()),
            _ => self.recover(number, kind, failure.reason(), deadline).await,
        }
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        let mut wanted = Fields::wanted(party, seen.id.resource)?;
        let mut there = Fields::of(&seen.image);
        let mut record = seen.clone();
        let mut has_moved = false;
        if let Some(organisation) = self.new_organisation(seen, party, deadline).await? {
            let mask: Vec<_> = there.iter().collect();
            let outcome = self
                .change(&seen.id, &seen.version, &organisation, &mask, deadline)
                .await?;
            let UpdateOutcome::Updated(moved) = outcome else {
                return Ok(outcome);
            };
            // The person inherits from the organisation (erp-apis §1.3), and is to be as it was.
            let inherited = Fields::of(&moved.image);
            wanted = wanted.over(&there, &inherited);
            there = inherited;
            record = moved;
            has_moved = true;
        }
        let changes = wanted.changes_to(&there);
        if changes.is_empty() {
            return Ok(if has_moved {
                UpdateOutcome::Updated(record)
            } else {
                UpdateOutcome::Unchanged(record)
            });
        }
        let mask: Vec<_> = wanted.iter().chain(there.iter()).collect();
        let outcome = self
            .change(&record.id, &record.version, &changes, &mask, deadline)
            .await?;
        let UpdateOutcome::Updated(record) = outcome else {
            return Ok(outcome);
        };
        let cleared = changes.cleared_in(&Fields::of(&record.image));
        if cleared.is_empty() {
            return Ok(UpdateOutcome::Updated(record));
        }
        // With the country in its place, nothing clears the rest any more.
        self.change(&record.id, &record.version, &cleared, &mask, deadline)
            .await
    }

    async fn block(&self, id: &ErpId, deadline: Deadline) -> Result<UpdateOutcome, ErpError> {
        let Some(record) = self.get(id, deadline).await? else {
            return Ok(UpdateOutcome::Gone);
        };
        if record.blocked {
            return Ok(UpdateOutcome::Unchanged(record));
        }
        let fields = match id.resource {
            Resource::Customer => json!({ "blocked": BLOCKED_ALL }),
            Resource::Contact => json!({ "privacyBlocked": true }),
        };
        let there = Fields::of(&record.image);
        let mask: Vec<_> = there.iter().collect();
        self.change(id, &record.version, &fields, &mask, deadline)
            .await
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let first = self.listing_url(listing);
        let url = match cursor {
            Some(Cursor(link)) => self.client.page_url(&first, link)?,
            None => first,
        };
        let response = self.client.listing_page(&url, deadline).await?;
        if response.status() != StatusCode::OK {
            let failure = Failure::of(&response, &[]);
            // With the address from the server itself, only the place can be wrong.
            let is_place = matches!(
                response.status(),
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE
            );
            return Err(match cursor {
                Some(_) if is_place => ErpError::CursorExpired,
                _ => failure.into(),
            });
        }
        let page = self.read_page(response.body(), listing.resource)?;
        if let Some(Cursor(link)) = &page.next {
            // A link that leads elsewhere is found out now, and not by the next invocation.
            self.client.page_url(&url, link)?;
        }
        if page.next.is_some() && page.next.as_ref() == cursor {
            let reason = "a page names itself as the next one".to_owned();
            return Err(ErpError::Unreadable(reason));
        }
        Ok(page)
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let mut records = Vec::with_capacity(ids.len());
        for resource in [Resource::Customer, Resource::Contact] {
            let ids: Vec<Uuid> = ids
                .iter()
                .filter(|id| id.resource == resource)
                .filter_map(|id| Uuid::parse_str(&id.id).ok())
                .collect();
            let requests: Vec<_> = ids
                .chunks(IDS_IN_A_REQUEST)
                .filter_map(|ids| Filter::any_of("id", ids.iter().copied()))
                .map(|filter| self.read_some(resource, filter, fields, deadline))
                .collect();
            let pages: Vec<Vec<ErpRecord>> = stream::iter(requests)
                .buffered(REQUESTS_AT_ONCE)
                .try_collect()
                .await?;
            records.extend(pages.into_iter().flatten());
        }
        Ok(records)
    }

    async fn holders_of_keys(
        &self,
        kind: EntityKind,
        keys: &[NaturalKey],
        deadline: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for keys in keys.chunks(KEYS_IN_A_REQUEST) {
            let emails = keys.iter().filter_map(|key| match key {
                NaturalKey::Email(email) => Some(held(EMAIL, email.spellings())),
                NaturalKey::Organisation(_) => None,
            });
            let numbers = keys.iter().filter_map(|key| match key {
                NaturalKey::Organisation(number) => {
                    Some(held(TAX_REGISTRATION_NUMBER, number.spellings()))
                }
                NaturalKey::Email(_) => None,
            });
            let emails: Vec<String> = emails.flatten().collect();
            let numbers: Vec<String> = numbers.flatten().collect();
            for resource in resources(kind) {
                let with_emails = self
                    .rows_by_emails(kind, resource, &emails, deadline)
                    .await?;
                let with_numbers = match Filter::any_of(
                    TAX_REGISTRATION_NUMBER.name,
                    numbers.iter().map(String::as_str),
                ) {
                    Some(filter) => {
                        let filter = filter.and(of_kind(kind, resource));
                        self.rows(resource, filter, deadline).await?
                    }
                    None => Vec::new(),
                };
                for row in with_emails.into_iter().chain(with_numbers) {
                    let Some(id) = row.erp_id(resource) else {
                        continue;
                    };
                    let held = keys.iter().filter(|key| row.has_key(key));
                    holders.extend(held.map(|key| (key.clone(), id.clone())));
                }
            }
        }
        Ok(holders)
    }

    /// A number is unique in its table, so that only the other table is asked.
    async fn other_holders_of_codes(
        &self,
        kind: EntityKind,
        records: &[(ErpId, Code)],
        deadline: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        let mut holders = Vec::new();
        for resource in resources(kind) {
            let codes: Vec<&Code> = records
                .iter()
                .filter(|(record, _)| record.resource != resource)
                .map(|(_, code)| code)
                .collect();
            for codes in codes.chunks(CODES_IN_A_REQUEST) {
                let numbers = codes.iter().filter_map(|code| formats::number(code).ok());
                let Some(filter) = Filter::any_of(NUMBER.name, numbers) else {
                    continue;
                };
                let filter = filter.and(of_kind(kind, resource));
                for row in self.rows(resource, filter, deadline).await? {
                    if let (Some(id), Some(code)) = (row.erp_id(resource), row.number())
                        && codes.contains(&&code)
                    {
                        holders.push((code, id));
                    }
                }
            }
        }
        Ok(holders)
    }

    /// Business Central names the organisation of a contact by the number of its company contact, and tells only from
    /// the customer's side which contact that is (erp-apis §1.3). Customers of the same name are asked.
    async fn company_of(
        &self,
        key: &CompanyKey,
        deadline: Deadline,
    ) -> Result<Option<ErpId>, ErpError> {
        let CompanyKey(number) = key;
        let filter = Filter::eq(NUMBER.name, number.as_str()).and(Filter::eq("type", "Company"));
        let contacts = self.rows(Resource::Contact, filter, deadline).await?;
        let name = contacts.first().and_then(Row::display_name);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let filter = Filter::eq(DISPLAY_NAME.name, name).and(Filter::eq("type", "Company"));
        let mut company = None;
        for row in self.rows(Resource::Customer, filter, deadline).await? {
            let Some(id) = row.erp_id(Resource::Customer) else {
                continue;
            };
            let path = format!("customers({})/contactsInformation", id.id);
            let options = Options::new().select(ContactInformation::FIELDS);
            let url = options.apply(self.client.url(&path));
            let mut pages = self.client.list::<ContactInformation>(url, &[], deadline);
            while let Some(contacts) = pages.next().await? {
                if contacts.iter().any(|contact| contact.is_company(number)) {
                    if company.is_some_and(|other| other != id) {
                        return Ok(None);
                    }
                    company = Some(id);
                    break;
                }
            }
        }
        Ok(company)
    }

    async fn company_key(
        &self,
        company: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<CompanyKey>, ErpError> {
        match self.company_contact(company, deadline).await {
            Ok(number) => Ok(number.map(CompanyKey)),
            Err(ErpError::Refused { code, .. }) if code == RECORD_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Permissions stand in permission sets (erp-apis §1.1); nothing in the facts tells of them without a write.
    async fn may_write(&self, _: Deadline) -> Result<Option<bool>, ErpError> {
        Ok(None)
    }

    async fn clock(&self, deadline: Deadline) -> Result<Option<DateTime<Utc>>, ErpError> {
        let options = Options::new().select(&["id"]).top(1);
        let url = options.apply(self.client.url(entity_set(Resource::Customer)));
        self.client.date(&url, deadline).await
    }
}

/// Of some spellings those that a field can hold: a longer one in a filter is an error (erp-apis §1.7).
fn held(field: Field, spellings: Vec<String>) -> Vec<String> {
    let mut spellings = spellings;
    spellings.retain(|spelling| field.holds(spelling));
    spellings
}

/// A GUID takes 43 characters in a filter; the address stays below 2,000, which every proxy takes.
const IDS_IN_A_REQUEST: usize = 40;
/// An e-mail address of 80 characters takes about 110 in a filter.
const KEYS_IN_A_REQUEST: usize = 15;
/// A number of 20 characters takes about 40 in a filter.
const CODES_IN_A_REQUEST: usize = 40;
/// Business Central answers five requests of an app at once (erp-apis §1.8), and `change-events` is at work too.
const REQUESTS_AT_ONCE: usize = 2;

/// Where the records are that Norce has as this kind.
fn resources(kind: EntityKind) -> impl Iterator<Item = Resource> {
    let contacts = (kind == EntityKind::Customer).then_some(Resource::Contact);
    std::iter::once(Resource::Customer).chain(contacts)
}

/// Of a resource, the records that Norce has as this kind. A person that is a customer has a twin among the contacts,
/// which belongs to no organisation (erp-apis §1.3).
fn of_kind(kind: EntityKind, resource: Resource) -> Filter {
    match (resource, kind) {
        (Resource::Customer, EntityKind::Company) => Filter::eq("type", "Company"),
        (Resource::Customer, EntityKind::Customer) => Filter::eq("type", "Person"),
        (Resource::Contact, _) => Filter::eq("type", "Person").and(Filter::ne("companyNumber", "")),
    }
}

impl BusinessCentral {
    /// The fields that a listing selects.
    fn listed(&self, resource: Resource, groups: FieldGroups) -> Options {
        let options = Options::new().select(&listed(resource, groups));
        match resource {
            Resource::Customer => options.select_also(self.extra.names()),
            // The extension is of customers.
            Resource::Contact => options,
        }
    }

    fn listing_url(&self, listing: &Listing) -> Url {
        let resource = listing.resource;
        let mut options = self.listed(resource, listing.fields);
        match (resource, listing.kind) {
            (Resource::Customer, Some(kind)) => options = options.filter(of_kind(kind, resource)),
            (Resource::Customer, None) => {}
            // One that belongs to no organisation may have left it.
            (Resource::Contact, _)
                if listing.since.is_some() && listing.fields.has(FieldGroup::CompanyRelations) =>
            {
                options = options.filter(Filter::eq("type", "Person"));
            }
            (Resource::Contact, _) => {
                options = options.filter(of_kind(EntityKind::Customer, resource));
            }
        }
        if let Some(since) = listing.since {
            options = options.filter(Filter::ge("lastModifiedDateTime", since));
        }
        options.apply(self.client.url(entity_set(resource)))
    }

    /// Some records with the fields of a listing; what cannot be used is left out.
    async fn read_some(
        &self,
        resource: Resource,
        filter: Filter,
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        let options = self.listed(resource, fields).filter(filter);
        let url = options.apply(self.client.url(entity_set(resource)));
        let mut records = Vec::new();
        let mut next = Some(url);
        while let Some(url) = next {
            let response = self.client.listing_page(&url, deadline).await?;
            if response.status() != StatusCode::OK {
                return Err(Failure::of(&response, &[]).into());
            }
            let page = self.read_page(response.body(), resource)?;
            records.extend(page.records);
            next = match page.next {
                Some(Cursor(link)) => Some(self.client.page_url(&url, &link)?),
                None => None,
            };
        }
        Ok(records)
    }

    /// The rows that have one of these e-mail addresses: all in one request, or where that is refused, one by one.
    async fn rows_by_emails(
        &self,
        kind: EntityKind,
        resource: Resource,
        emails: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        if emails.len() > 1 && !self.one_email_at_a_time.load(Ordering::Relaxed) {
            match self.rows_by_filter(kind, resource, emails, deadline).await {
                Err(ErpError::Refused { code, .. }) => {
                    tracing::warn!(
                        code,
                        "Business Central refuses a filter on several e-mail addresses: from now on each one is a request"
                    );
                    self.one_email_at_a_time.store(true, Ordering::Relaxed);
                }
                answered => return answered,
            }
        }
        let mut rows = Vec::new();
        for email in emails {
            let some = std::slice::from_ref(email);
            rows.extend(self.rows_by_filter(kind, resource, some, deadline).await?);
        }
        Ok(rows)
    }

    async fn rows_by_filter(
        &self,
        kind: EntityKind,
        resource: Resource,
        emails: &[String],
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let Some(filter) = Filter::any_of(EMAIL_IN_ANY_CASE, emails.iter().map(String::as_str))
        else {
            return Ok(Vec::new());
        };
        let mut options = Options::new()
            .select(selected(resource))
            .filter(filter.and(of_kind(kind, resource)));
        if emails.len() > 1 {
            options = options.schema_version(SCHEMA_VERSION);
        }
        let url = options.apply(self.client.url(entity_set(resource)));
        self.all_rows(url, deadline).await
    }

    /// The rows that fit, as a look-up reads them.
    async fn rows(
        &self,
        resource: Resource,
        filter: Filter,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let url = self.list_url(resource, filter);
        self.all_rows(url, deadline).await
    }

    async fn all_rows(&self, url: Url, deadline: Deadline) -> Result<Vec<Row>, ErpError> {
        let mut pages = self.client.list::<Row>(url, &[], deadline);
        let mut rows = Vec::new();
        while let Some(page) = pages.next().await? {
            rows.extend(page);
        }
        Ok(rows)
    }

    /// A page of a listing. One row that cannot be read does not take its neighbours along.
    fn read_page(&self, body: &[u8], resource: Resource) -> Result<RecordPage, ErpError> {
        if resource == Resource::Customer && self.extra != ExtraFields::default() {
            read_rows(body, resource, |row: ExtendedRow| {
                row.into_usable(resource, &self.extra)
            })
        } else {
            read_rows(body, resource, |row: Row| row.into_usable(resource))
        }
    }
}

fn read_rows<R: DeserializeOwned + Default>(
    body: &[u8],
    resource: Resource,
    into_usable: impl Fn(R) -> Result<ErpRecord, UnusableRecord>,
) -> Result<RecordPage, ErpError> {
    let mut page = RecordPage::default();
    let mut take = |row: Result<ErpRecord, UnusableRecord>| match row {
        Ok(record) => page.records.push(record),
        Err(unusable) => page.unusable.push(unusable),
    };
    let next = match serde_json::from_slice::<Page<R>>(body) {
        Ok(rows) => {
            for row in rows.value {
                take(into_usable(row));
            }
            rows.next_link
        }
        // Row by row, to find the one that is to blame.
        Err(_) => {
            let rows: Page<serde_json::Value> = serde_json::from_slice(body).map_err(|_| {
                ErpError::Unreadable("a page is not what the API describes".to_owned())
            })?;
            for row in rows.value {
                let id = row.get("id").cloned();
                match serde_json::from_value::<R>(row) {
                    Ok(row) => take(into_usable(row)),
                    Err(_) => take(Err(unreadable_row(id, resource))),
                }
            }
            rows.next_link
        }
    };
    page.next = next.map(Cursor);
    Ok(page)
}

/// The parser's own words could quote the row.
fn unreadable_row(id: Option<serde_json::Value>, resource: Resource) -> UnusableRecord {
    let id = id.and_then(|id| Uuid::parse_str(id.as_str()?).ok());
    UnusableRecord {
        id: id.map(|id| ErpId {
            resource,
            id: id.to_string(),
        }),
        reason: Unusable::Unreadable("a field of it has an unexpected type".to_owned()),
    }
}

/// Who has a number. Only a record of the wanted type can be an earlier attempt's: in one register of numbers, `N5` may
/// be a person while the company of Norce with the id 5 asks for it.
enum Holder {
    SameType(Box<ErpRecord>),
    AnotherType,
    Nobody,
}

fn read_record(response: &Response<Bytes>, resource: Resource) -> Result<ErpRecord, ErpError> {
    if response.status() == StatusCode::NO_CONTENT {
        return Err(ErpError::Unreadable(
            "HTTP 204 instead of a record".to_owned(),
        ));
    }
    parse::<Row>(response)?.into_record(resource)
}

fn no_company_contact(company: &ErpId) -> ErpError {
    ErpError::Refused {
        field: Some("companyNumber"),
        code: "no-company-contact".to_owned(),
        message: format!(
            "{company} has no company contact in Business Central, to which its people could belong: set \
             \"Bus. Rel. Code for Customers\" in Marketing Setup and create contacts from customers there"
        ),
    }
}

fn number_taken(number: &str) -> ErpError {
    ErpError::Refused {
        field: Some(NUMBER.name),
        code: "number-taken".to_owned(),
        message: format!(
            "the number {number} belongs to a record of another type, or to one that the app may not see: check \
             ERP_CODE_PATTERN and that record"
        ),
    }
}
