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
//! | `client` | requests, token, pages |

mod client;
mod error;
mod fields;
mod formats;
mod record;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Response, StatusCode};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use self::{
    client::{Client, Unanswered, parse},
    error::{Failure, Mask},
    fields::{Fields, vat_number},
    formats::{EMAIL, NUMBER, TAX_REGISTRATION_NUMBER},
    record::{BLOCKED_ALL, ContactInformation, Row, entity_set, selected, type_of},
};
use super::{
    Capabilities, CreateOutcome, Erp, ErpError, ErpId, ErpRecord, IdempotencyKey, NaturalKey,
    Party, PartyKind, Resource, UpdateOutcome,
};
use crate::{
    domain::{Code, EmailKey},
    http::{
        Deadline, Transport,
        odata::{Filter, Options},
    },
};

/// The gateway in front of Business Central gives up after 10 minutes, and the server itself after 8 (erp-apis §1.8):
/// what is not there by then never comes.
const SETTLES_AFTER: Duration = Duration::from_secs(10 * 60);

/// Two are as ambiguous as a hundred.
const MOST_HITS: u32 = 2;

/// Business Central compares without regard to case when asked like this (erp-apis §1.5).
const EMAIL_IN_ANY_CASE: &str = "tolower(email)";

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
    capabilities: Capabilities,
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
        Ok(Self {
            client: Client::new(settings, transport)?,
            capabilities: Capabilities {
                name: "Business Central",
                organisation_number: false,
                readable: crate::domain::FieldGroups::NONE,
                optimistic_concurrency: true,
                create_settles_after: SETTLES_AFTER,
            },
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

    /// The address of the records that fit.
    fn list_url(&self, resource: Resource, filter: Filter, top: Option<u32>) -> Url {
        let options = Options::new().select(selected(resource)).filter(filter);
        let options = match top {
            Some(top) => options.top(top),
            None => options,
        };
        options.apply(self.client.url(entity_set(resource)))
    }

    async fn rows_by_number(
        &self,
        resource: Resource,
        number: &str,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        let url = self.list_url(resource, Filter::eq(NUMBER.name, number), Some(MOST_HITS));
        let rows = self.client.list(url, &[], deadline).next().await?;
        Ok(rows.unwrap_or_default())
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
        let url = self.list_url(resource, filter, None);
        let mut pages = self.client.list::<Row>(url, &mask, deadline);
        let mut matches = Vec::new();
        while let Some(rows) = pages.next().await? {
            for row in rows.into_iter().filter(&accept) {
                matches.push(row.into_record(resource)?);
                if matches.len() == MOST_HITS as usize {
                    return Ok(matches);
                }
            }
        }
        Ok(matches)
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
            (Some(row), true) if row.is_a(type_of(kind)) => {
                Holder::SameType(Box::new(row.into_record(resource)?))
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
                // It was written; only what it is like now has to be asked.
                Err(_) => Ok(self
                    .get(id, deadline)
                    .await?
                    .map_or(UpdateOutcome::Gone, UpdateOutcome::Updated)),
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

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        let url = Options::new()
            .select(selected(id.resource))
            .apply(self.record_url(id)?);
        let row = self.client.read::<Row>(&url, deadline).await?;
        row.map(|row| row.into_record(id.resource)).transpose()
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
        rows.into_iter()
            // A company contact is no person, and nobody's customer in Norce.
            .filter(|row| resource == Resource::Customer || row.is_a("Person"))
            .map(|row| row.into_record(resource))
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
                let company = match self.company_contact(company, deadline).await? {
                    Some(number) if EMAIL.holds(email.expose()) => number,
                    _ => return Ok(Vec::new()),
                };
                let filter = Filter::eq("companyNumber", company)
                    .and(Filter::eq("type", "Person"))
                    .and(Filter::eq(EMAIL_IN_ANY_CASE, email.expose()));
                let accept = |row: &Row| row.is_a("Person") && row.has_email(email);
                let contact = Resource::Contact;
                self.matches(contact, filter, email.expose(), accept, deadline)
                    .await
            }
            (NaturalKey::Email(email), PartyKind::Person | PartyKind::Company) => {
                if !EMAIL.holds(email.expose()) {
                    return Ok(Vec::new());
                }
                let type_name = type_of(kind);
                let filter = Filter::eq("type", type_name)
                    .and(Filter::eq(EMAIL_IN_ANY_CASE, email.expose()));
                let accept = |row: &Row| row.is_a(type_name) && row.has_email(email);
                let customer = Resource::Customer;
                self.matches(customer, filter, email.expose(), accept, deadline)
                    .await
            }
            (NaturalKey::VatNumber(vat), PartyKind::Person | PartyKind::Company) => {
                if !TAX_REGISTRATION_NUMBER.holds(vat.expose()) {
                    return Ok(Vec::new());
                }
                let filter = Filter::eq(TAX_REGISTRATION_NUMBER.name, vat.expose());
                let accept = |row: &Row| row.has_vat_number(vat);
                let customer = Resource::Customer;
                self.matches(customer, filter, vat.expose(), accept, deadline)
                    .await
            }
            // A contact has its organisation's, if any.
            (NaturalKey::VatNumber(_), PartyKind::Contact { .. }) => Ok(Vec::new()),
        }
    }

    fn natural_key(&self, party: &Party) -> Option<NaturalKey> {
        match party.kind {
            PartyKind::Company => vat_number(party).map(NaturalKey::VatNumber),
            PartyKind::Person | PartyKind::Contact { .. } => {
                EmailKey::of(party.email.as_ref()).map(NaturalKey::Email)
            }
        }
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
        if let PartyKind::Contact { company } = kind {
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
        let wanted = Fields::wanted(party, seen.id.resource)?;
        let there = Fields::of(&seen.image);
        let changes = wanted.changes_to(&there);
        if changes.is_empty() {
            return Ok(UpdateOutcome::Unchanged(seen.clone()));
        }
        let mask: Vec<_> = wanted.iter().chain(there.iter()).collect();
        let outcome = self
            .change(&seen.id, &seen.version, &changes, &mask, deadline)
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
        _: &super::Listing,
        _: Option<&super::Cursor>,
        _: Deadline,
    ) -> Result<super::RecordPage, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn get_many(
        &self,
        _: &[ErpId],
        _: crate::domain::FieldGroups,
        _: Deadline,
    ) -> Result<Vec<ErpRecord>, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn holders_of_keys(
        &self,
        _: crate::domain::EntityKind,
        _: &[NaturalKey],
        _: Deadline,
    ) -> Result<Vec<(NaturalKey, ErpId)>, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn holders_of_codes(
        &self,
        _: crate::domain::EntityKind,
        _: &[Code],
        _: Deadline,
    ) -> Result<Vec<(Code, ErpId)>, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn company_of(
        &self,
        _: &super::CompanyKey,
        _: Deadline,
    ) -> Result<Option<ErpId>, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn clock(&self, _: Deadline) -> Result<Option<chrono::DateTime<chrono::Utc>>, ErpError> {
        Err(ErpError::Unreadable("SCAFFOLD".to_owned()))
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
