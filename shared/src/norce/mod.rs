//! Norce Commerce: identity, Connect (imports and jobs), Query (reads) and the bodies of its events.
//!
//! Facts about Norce are cited as "norce-api §n"; ARCHITECTURE.md says where they come from.

mod api;
pub mod connect;
mod error;
pub mod events;
pub mod identity;
pub mod order_request;
pub mod query;
mod serde_utils;

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub(crate) use api::APPLICATION_HEADER;
pub use api::NorceApi;
pub use error::{CallError, NorceError};

use crate::{
    domain::{
        ApplicationId, Code, Company, Customer, EmailKey, EntityKind, EntityRef, FieldGroups,
        ImportLine, JobId, NaturalKey, NorceAddresses, NorceFields, NorceId, Order, OrderKey,
        OrderParty, OrganisationKey, Scope,
    },
    http::Deadline,
};

/// What the use cases read from Norce. Implemented by [`query::QueryClient`].
#[async_trait]
pub trait NorceQuery: Send + Sync {
    /// A customer with its companies and addresses; `None` when Norce does not have it in this scope.
    async fn customer(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Customer>, NorceError>;

    /// A company with its contacts and addresses; `None` when Norce does not have it in this scope.
    async fn company(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Company>, NorceError>;

    /// An order with its buyer and payer; `None` when Norce does not have it (yet).
    async fn order(
        &self,
        order: &OrderKey,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Option<Order>, NorceError>;

    /// Whether the customer or company is the buyer or payer of any order.
    async fn has_order(&self, entity: EntityRef, deadline: Deadline) -> Result<bool, NorceError>;

    /// The active customers with exactly this normalised e-mail address, two at most, because two are as ambiguous as a
    /// hundred. An application's own customers take precedence over shared ones.
    async fn customers_by_email(
        &self,
        scope: Scope,
        email: &EmailKey,
        deadline: Deadline,
    ) -> Result<Vec<EntityRef>, NorceError>;

    /// The active companies with the numbers of an order's party, two at most. If the country of a number is unknown, only its
    /// digits are compared. An application's own companies take precedence over shared ones.
    async fn companies_of_party(
        &self,
        scope: Scope,
        party: &OrderParty,
        deadline: Deadline,
    ) -> Result<Vec<EntityRef>, NorceError>;

    /// The current codes of these entities in Norce. The result lacks entities that Norce does not have.
    async fn codes(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<(NorceId, Option<Code>)>, NorceError>;

    /// The companies that these customers are contacts of.
    async fn relations(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, Vec<Relation>>, NorceError>;

    /// Those of these customers that are forgotten (P12).
    async fn forgotten_among(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError>;

    /// Those of these customers who log in with an e-mail address other than their current one.
    async fn with_another_login(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError>;

    /// The current addresses of these entities in Norce, of the configured types only, in one request for up to
    /// [`LOOKUP_BATCH_SIZE`] if Norce accepts filters of that length. The result lacks entities that Norce does not have, and
    /// details that this tenant's Query does not have (norce-api §5.2).
    async fn addresses(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, NorceAddresses>, NorceError>;

    /// Every customer or company with one of these codes or natural keys, in as few requests as possible: one for up to
    /// [`LOOKUP_BATCH_SIZE`] if Norce accepts filters of that length.
    async fn look_up(
        &self,
        kind: EntityKind,
        scope: Scope,
        asked: &[LookupKey],
        deadline: Deadline,
    ) -> Result<LookUp, NorceError>;

    /// Customers or companies that changed at this time or later (`Updated`, or `Created` if that is null; norce-api §5.1), by
    /// id, starting after `after`.
    async fn changed_since(
        &self,
        kind: EntityKind,
        scope: Scope,
        since: Option<DateTime<Utc>>,
        after: Option<NorceId>,
        deadline: Deadline,
    ) -> Result<ChangedPage, NorceError>;

    /// The forgotten customers, by id, starting after `after`. The flag may be set without an update (norce-api §9), so it needs
    /// its own query.
    async fn forgotten(
        &self,
        scope: Scope,
        after: Option<NorceId>,
        deadline: Deadline,
    ) -> Result<ChangedPage, NorceError>;
}

/// A customer's relation to a company (`CustomerCompany`, norce-api §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// Norce's id of the company.
    pub company: NorceId,
    /// Whether it is the customer's primary company.
    pub is_primary: bool,
}

/// Records of the ERP in one look-up of [`NorceQuery::look_up`].
pub const LOOKUP_BATCH_SIZE: usize = 100;

/// The values by which an ERP record is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupKey {
    /// Its code.
    pub code: Code,
    /// Its natural keys.
    pub keys: Vec<NaturalKey>,
}

/// The answer to a look-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookUp {
    /// The hits, each once; the caller compares which of the look-ups they match.
    pub found: Vec<LookupHit>,
    /// The number of requests.
    pub requests: u32,
}

/// A hit of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupHit {
    /// Norce's id.
    pub id: NorceId,
    /// Its code, if it has one.
    pub code: Option<Code>,
    /// Its natural keys.
    pub keys: Vec<NaturalKey>,
    /// The key of a company's organisation number alone.
    pub registered: Option<OrganisationKey>,
    /// Whether it is active.
    pub active: bool,
    /// Whether it is forgotten (P12).
    pub forgotten: bool,
}

/// A page of customers or companies, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedPage {
    /// The entities.
    pub entities: Vec<ChangedEntity>,
    /// The id after which the next page starts; `None` on the last page.
    pub next: Option<NorceId>,
    /// The number of requests.
    pub requests: u64,
}

/// A customer or company that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedEntity {
    /// Norce's id.
    pub id: NorceId,
    /// The time of the change, by Norce's clock.
    pub changed: Option<DateTime<Utc>>,
    /// Whether it is forgotten (P12).
    pub forgotten: bool,
}

/// What the use cases write to Norce. Implemented by [`connect::ConnectClient`].
#[async_trait]
pub trait NorceImports: Send + Sync {
    /// Submits rows of one shape through `ImportCustomers` or `ImportCompanies` as one job.
    async fn import(
        &self,
        kind: EntityKind,
        scope: Scope,
        shape: ImportShape,
        rows: &[ImportRow],
        deadline: Deadline,
    ) -> Result<SubmittedImport, CallError>;

    /// A job's state; `None` when Norce does not know the job.
    async fn job(&self, job: JobId, deadline: Deadline) -> Result<Option<Job>, NorceError>;

    /// A job's log.
    async fn job_log(&self, job: JobId, deadline: Deadline)
    -> Result<Vec<JobLogEntry>, NorceError>;
}

/// The fields that the rows of an import set. They are named once for all rows (`…FieldsThatAreSet`, norce-api §3.2), so only
/// rows of one shape can be one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportShape {
    /// The rows are matched by code, and inserted if there is no match, instead of being matched by `Id`.
    pub insert: bool,
    /// The groups of fields.
    pub fields: FieldGroups,
    /// The rows name companies of a customer, or contacts of a company.
    pub relations: bool,
    /// The rows have a login for each application, which Norce creates if it does not exist.
    pub accounts: bool,
}

impl ImportShape {
    /// `Id` and `Code`.
    pub const CODE: Self = Self {
        insert: false,
        fields: FieldGroups::CODE,
        relations: false,
        accounts: false,
    };

    /// The shape of a line; only inserted customers can have an account.
    pub fn of(kind: EntityKind, line: &ImportLine, create_accounts: bool) -> Self {
        let insert = line.id.is_none();
        Self {
            insert,
            fields: line.fields,
            relations: line.relates(),
            accounts: insert && create_accounts && kind == EntityKind::Customer,
        }
    }
}

/// One row of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// The line.
    pub line: ImportLine,
    /// The values of the fields besides the code.
    pub values: NorceFields,
    /// The customer's current relations in Norce, for a line with [former companies](ImportLine::former_companies): an import
    /// can end a relation only by naming all the others (norce-api §3.3).
    pub relations: Vec<Relation>,
}

/// Norce's answer to an import call (`JobResponse`, norce-api §3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmittedImport {
    /// The job.
    pub job: JobId,
    /// Messages of the synchronous validation in Norce's words, without personal data.
    pub messages: Vec<String>,
}

/// The state of a job (`JobDto`, norce-api §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The id of the job.
    pub id: JobId,
    /// The meaning of `StatusId`.
    pub status: JobStatus,
    /// Rows that failed.
    pub failed: u32,
    /// Rows in total.
    pub total: u32,
    /// When Norce last touched it.
    pub last_updated: Option<DateTime<Utc>>,
}

/// `StatusId` of a job (norce-api §4.3). Unknown numbers count as running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// 1 Initialized, 5 Validating, 6 Queued, or an unknown number.
    Running,
    /// 2. Rows may have failed nevertheless: see `failed`.
    Succeeded,
    /// 3.
    Failed,
    /// 4.
    ValidationFailed,
}

/// A line of a job's log (`JobLogDto`, norce-api §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLogEntry {
    /// `SeverityId` 3.
    pub is_error: bool,
    /// `SeverityId` 2: part of the row could not be processed, and the rest was imported.
    pub is_warning: bool,
    /// Norce's words, without personal data.
    pub message: String,
    /// The row of ours that it is about, from `ImportedRow`; `None` if the row cannot be identified.
    pub row: Option<ImportedRow>,
}

/// A row as `ImportedRow` identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRow {
    /// The `Id` that was sent.
    pub id: Option<NorceId>,
    /// The `Code` that was sent.
    pub code: Option<Code>,
}
