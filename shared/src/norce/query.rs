//! Norce Query 2.0: reads, straight from Norce's database (norce-api §5, §10.3).
//!
//! Rows are looked up with a filter rather than by key (`Set(5)`), because what a missing key answers is not
//! documented. Relations of relations are asked for only where their fields are documented; of the others, such as a
//! company's addresses, every field comes along.

mod child_times;
mod countries;
mod metadata;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Response;
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;
use uuid::Uuid;

use self::{
    child_times::ChildTimes,
    countries::Countries,
    metadata::Metadata,
    rows::{
        AddressRow, Addresses, AddressesRow, ApplicationRow, ChangedRow, CodeRow, CompanyRow,
        CountryRow, CustomerRow, EmailRow, FoundRow, IdRow, LoginsRow, OrderRow, Related,
        RelationsRow,
    },
};
use super::{
    Asked, ChangedPage, Found, LOOKED_UP_AT_ONCE, LookUp, NorceApi, NorceError, NorceQuery,
    Relation, api::read,
};
use crate::{
    domain::{
        ApplicationId, Code, CodeCase, Company, CountryCode, Customer, DeliveryAddress, EmailKey,
        EntityKind, EntityRef, NaturalKey, NorceAddresses, NorceId, Order, OrderKey, OrderParty,
        OrganisationKey, OrganisationNumber, Registers, Scope, ShopField, ShopFields, Shops,
        VatNumber,
    },
    http::{
        Deadline,
        odata::{Filter, Options, Page, next_page},
    },
};

const QUERY: &str = "commerce/query/2.0";
const CUSTOMERS: &str = "Customers/Customers";
const COMPANIES: &str = "Customers/Companies";
const ORDERS: &str = "Orders/Orders";
const APPLICATIONS: &str = "Core/Applications";
const COUNTRIES: &str = "Core/Countries";

/// Each kind of rows that is read, with the set that it is read from.
fn rows_that_are_read() -> [(&'static str, Options); 12] {
    [
        (CUSTOMERS, CustomerRow::options()),
        (CUSTOMERS, FoundRow::options(EntityKind::Customer)),
        (CUSTOMERS, ChangedRow::options(EntityKind::Customer)),
        (CUSTOMERS, RelationsRow::options()),
        (CUSTOMERS, LoginsRow::options()),
        (CUSTOMERS, AddressesRow::options(EntityKind::Customer)),
        (COMPANIES, AddressesRow::options(EntityKind::Company)),
        (COMPANIES, CompanyRow::options()),
        (COMPANIES, FoundRow::options(EntityKind::Company)),
        (COMPANIES, ChangedRow::options(EntityKind::Company)),
        (ORDERS, OrderRow::options()),
        (COUNTRIES, CountryRow::options()),
    ]
}

/// The `TypeId` that is taken for an invoice address unless configured otherwise. Norce's numbers are not documented:
/// compare with an address of a known customer, and set it.
pub const DEFAULT_INVOICE_ADDRESS_TYPE: i64 = 1;
/// The `TypeId` that is taken for a delivery address; likewise.
pub const DEFAULT_DELIVERY_ADDRESS_TYPE: i64 = 2;

/// Which `TypeId` of an address in Query means what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressTypes {
    /// An invoice address. Where a customer or company has none, its oldest address is taken for it.
    pub invoice: i64,
    /// A delivery address.
    pub delivery: i64,
}

impl Default for AddressTypes {
    fn default() -> Self {
        Self {
            invoice: DEFAULT_INVOICE_ADDRESS_TYPE,
            delivery: DEFAULT_DELIVERY_ADDRESS_TYPE,
        }
    }
}

/// As many hits as are told: two are as ambiguous as a hundred.
const MAX_HITS: usize = 2;

/// Norce Query of one tenant.
pub struct QueryClient {
    api: NorceApi,
    shops: Shops,
    address_types: AddressTypes,
    countries: Countries,
    batch: Batch,
    refused: Mutex<RefusedParts>,
    finding_out: tokio::sync::Mutex<()>,
    child_times: ChildTimes,
}

/// Parts of a row that Query refuses here. One name that a tenant does not have makes it refuse the whole request.
#[derive(Default)]
struct RefusedParts {
    /// Sets, and the fields and related rows of theirs that were asked for by themselves since the process began.
    tried: HashSet<(&'static str, &'static str)>,
    /// Sets, and the fields and related rows of theirs that are left out.
    left_out: BTreeSet<(&'static str, &'static str)>,
}

/// An application as Norce lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedApplication {
    /// The number.
    pub id: ApplicationId,
    /// The key that imports need. That `Core/Applications` has it is likely but not documented.
    pub key: Option<Uuid>,
}

impl QueryClient {
    /// A client that reads in the name of the default application wherever a register belongs to none: without any
    /// some sets answer 500 (norce-api §2).
    pub fn new(api: NorceApi, shops: Shops, address_types: AddressTypes) -> Self {
        Self {
            api,
            shops,
            address_types,
            countries: Countries::default(),
            batch: Batch(AtomicUsize::new(LOOKED_UP_AT_ONCE)),
            refused: Mutex::default(),
            finding_out: tokio::sync::Mutex::default(),
            child_times: ChildTimes::default(),
        }
    }

    /// The applications of this tenant, to check the configured ones against.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn applications(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<ListedApplication>, NorceError> {
        let rows: Vec<ApplicationRow> = self
            .every_by_id(
                APPLICATIONS,
                &Options::new(),
                |row: &ApplicationRow| row.id,
                deadline,
            )
            .await?;
        rows.into_iter().map(ApplicationRow::read).collect()
    }

    /// Whether any order was made in this time (`Created` was observed on orders, norce-api §10.3).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_orders(
        &self,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let made = Filter::ge("Created", time.start).and(Filter::lt("Created", time.end));
        self.has_any(ORDERS, made, deadline).await
    }

    /// Whether anybody else than a system account, which imports are made by, changed a customer or company in this time.
    /// That `UpdatedBy` is the account of an import is inferred (norce-api §5.2).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_changes_by_others(
        &self,
        kind: EntityKind,
        account: i32,
        time: &Range<DateTime<Utc>>,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let changed = Filter::ge("Updated", time.start)
            .and(Filter::lt("Updated", time.end))
            .and(Filter::ne("UpdatedBy", account).or(Filter::is_null("UpdatedBy")));
        self.has_any(set_of(kind), changed, deadline).await
    }

    /// Whether an account has ever changed a customer or company. For the account of the imports that says that Norce takes
    /// imports from it; that `UpdatedBy` is that account is inferred (norce-api §5.2).
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_changes_by(
        &self,
        kind: EntityKind,
        account: i32,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let changed = Filter::eq("UpdatedBy", account);
        self.has_any(set_of(kind), changed, deadline).await
    }

    /// Whether any customer or company belongs to no application.
    ///
    /// # Errors
    /// [`NorceError`]
    pub async fn has_shared(
        &self,
        kind: EntityKind,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let shared = Filter::is_null("ApplicationId");
        self.has_any(set_of(kind), shared, deadline).await
    }

    async fn has_any(
        &self,
        set: &'static str,
        filter: Filter,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let options = Options::new().select(&["Id"]).filter(filter).top(1);
        let application = self.default_application();
        let rows: Vec<IdRow> = self.some(set, &options, application, deadline).await?;
        Ok(!rows.is_empty())
    }

    fn default_application(&self) -> ApplicationId {
        self.shops.applications.default_application().id
    }

    fn application(&self, scope: Scope) -> ApplicationId {
        let own = scope.application();
        own.unwrap_or_else(|| self.default_application())
    }

    /// Whether a row with this `ApplicationId` is of this register (P14).
    fn belongs(&self, scope: Scope, application: Option<i64>) -> bool {
        self.shops.register_of(application) == Some(scope)
    }

    /// Those of the rows that are of one of these registers.
    fn within(&self, scopes: &[Scope], filter: Filter) -> Filter {
        match self.of_registers(scopes) {
            Some(of) => filter.and(of),
            None => filter,
        }
    }

    /// `None`: every row is of the only register that there is.
    fn of_registers(&self, scopes: &[Scope]) -> Option<Filter> {
        if self.shops.registers == Registers::Client {
            return None;
        }
        let of = scopes.iter().map(|scope| match scope.application() {
            Some(application) => Filter::eq("ApplicationId", application),
            None => Filter::is_null("ApplicationId"),
        });
        of.reduce(Filter::or)
    }

    /// The register of a row, if it is one of these.
    fn seen(&self, scopes: &[Scope], application: Option<i64>) -> Option<Scope> {
        let register = self.shops.register_of(application)?;
        scopes.contains(&register).then_some(register)
    }

    /// Where the entities are that a row of this register names by their ids. Norce asks for nothing but an id, so that
    /// a customer of an application can be the contact of a company that all of them share, and the other way round.
    async fn related(
        &self,
        scope: Scope,
        named: impl Iterator<Item = (EntityKind, NorceId)>,
        deadline: Deadline,
    ) -> Result<Related, NorceError> {
        let mut related = Related {
            scope,
            elsewhere: HashMap::new(),
        };
        if !self.shops.share_some() {
            return Ok(related);
        }
        let (companies, customers): (Vec<_>, Vec<_>) =
            named.partition(|(kind, _)| *kind == EntityKind::Company);
        for named in [companies, customers] {
            let Some((kind, _)) = named.first().copied() else {
                continue;
            };
            let ids: Vec<NorceId> = named.into_iter().map(|(_, id)| id).collect();
            for row in self.code_rows(kind, scope, &ids, deadline).await? {
                let register = self.shops.register_of(row.application_id);
                let Some(register) = register.filter(|register| *register != scope) else {
                    continue;
                };
                // What is another application's is none of this one's (P14).
                if register == Scope::Client || scope == Scope::Client {
                    let id = rows::norce_id(row.id, set_of(kind))?;
                    related.elsewhere.insert((kind, id), register);
                }
            }
        }
        Ok(related)
    }

    /// The rows with these ids, of any register.
    async fn code_rows(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<CodeRow>, NorceError> {
        let options = CodeRow::options(kind);
        self.rows_by_id(kind, scope, &options, ids, deadline).await
    }

    /// The rows with these ids, of any register, in as few requests as Norce lets it be.
    async fn rows_by_id<T: DeserializeOwned>(
        &self,
        kind: EntityKind,
        scope: Scope,
        options: &Options,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut rest = ids;
        while !rest.is_empty() {
            let (some, later) = rest.split_at(rest.len().min(self.batch.size()));
            let filter = Filter::any_of("Id", some.iter().copied());
            let options = filter.map(|filter| options.clone().filter(filter));
            let rows: Option<Vec<T>> = self
                .in_batch(kind, scope, options, some.len(), deadline)
                .await?;
            // Refused because it was too long: the rest goes in smaller parts.
            let Some(rows) = rows else { continue };
            rest = later;
            found.extend(rows);
        }
        Ok(found)
    }

    fn set_url(&self, set: &str, options: &Options) -> Result<Url, NorceError> {
        Ok(options.apply(self.api.url(&format!("{QUERY}/{set}"))?))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        set: &'static str,
        url: &Url,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Page<T>, NorceError> {
        let response: Response<Bytes> = self.api.get(url, application, deadline).await?;
        read(set, &response)
    }

    /// The first page, and its address. Where Query refuses it, the parts that it refuses are found out, once for a set, and
    /// left out from then on.
    async fn first_page<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<(Page<T>, Url), NorceError> {
        let offered = self.offered(set, options.clone());
        let url = self.set_url(set, &offered)?;
        let refused = match self.page(set, &url, application, deadline).await {
            Err(error @ NorceError::Refused { status: 400, .. }) => error,
            answer => return Ok((answer?, url)),
        };
        if !self
            .refuses_parts(set, &offered, application, deadline)
            .await?
        {
            return Err(refused);
        }
        let url = self.set_url(set, &self.offered(set, offered))?;
        Ok((self.page(set, &url, application, deadline).await?, url))
    }

    /// The shop's fields that are in a part which is left out.
    fn unread(&self, set: &'static str) -> ShopFields {
        let refused = self.refused();
        let left_out = refused.left_out.iter().filter(|(of, _)| *of == set);
        let fields = left_out.flat_map(|(_, part)| match *part {
            "Title" => &[ShopField::Title][..],
            "Addresses/Gln" => &[ShopField::Gln],
            "Addresses" => &[
                ShopField::AddressLines,
                ShopField::PostalCode,
                ShopField::City,
                ShopField::Region,
                ShopField::Gln,
            ],
            _ => &[],
        });
        fields.copied().collect()
    }

    /// Without the parts that are known to be refused.
    fn offered(&self, set: &'static str, options: Options) -> Options {
        let refused = self.refused();
        let left_out = refused.left_out.iter().filter(|(of, _)| *of == set);
        left_out.fold(options, |options, (_, part)| options.without(part))
    }

    /// Whether Query refuses some of the optional parts, which is noted: each is asked for by itself.
    async fn refuses_parts(
        &self,
        set: &'static str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<bool, NorceError> {
        let optional = options.optional();
        if optional.is_empty() {
            return Ok(false);
        }
        // Several calls may be refused at the same time: one of them finds out, the others wait for that.
        let _turn = self.finding_out.lock().await;
        if self.offered(set, options.clone()).optional().len() < optional.len() {
            return Ok(true);
        }
        let tried: Vec<&'static str> = {
            let mut refused = self.refused();
            let new = |part: &&'static str| refused.tried.insert((set, *part));
            optional.iter().copied().filter(new).collect()
        };
        if tried.is_empty() {
            return Ok(false);
        }
        let without = |kept: Option<&str>| {
            let left_out = optional.iter().filter(|part| Some(**part) != kept);
            left_out.fold(options.shape().top(1), |options, part| {
                options.without(part)
            })
        };
        let is_taken = async |options: Options| {
            let url = self.set_url(set, &options)?;
            match self
                .page::<IgnoredAny>(set, &url, application, deadline)
                .await
            {
                Err(NorceError::Refused { status: 400, .. }) => Ok(false),
                answer => answer.map(|_| true),
            }
        };
        let result = async {
            let mut refused = Vec::new();
            // What is refused without any of them is not refused for one of them.
            if is_taken(without(None)).await? {
                for part in &tried {
                    if !is_taken(without(Some(part))).await? {
                        refused.push(*part);
                    }
                }
            }
            Ok::<_, NorceError>(refused)
        };
        let result = result.await;
        let mut known = self.refused();
        let Ok(refused) = result else {
            for part in tried {
                known.tried.remove(&(set, part));
            }
            return result.map(|_| false);
        };
        for part in &refused {
            tracing::warn!(
                set,
                part,
                "Norce Query refuses a part of a row; it is left out"
            );
            known.left_out.insert((set, part));
        }
        Ok(!refused.is_empty())
    }

    fn refused(&self) -> MutexGuard<'_, RefusedParts> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one row of each kind that is read, as it is read, and names the parts that Query refuses.
    ///
    /// # Errors
    /// [`NorceError`]: Query does not answer, or refuses something that nothing works without.
    pub async fn try_rows(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<(&'static str, &'static str)>, NorceError> {
        let application = self.default_application();
        for (set, options) in rows_that_are_read() {
            let options = options.top(1);
            self.first_page::<IgnoredAny>(set, &options, application, deadline)
                .await
                .map_err(|error| about(set, error))?;
        }
        Ok(self.refused().left_out.iter().copied().collect())
    }

    /// The fields and related rows that are read and that are not in Query's own description (`$metadata`), each with its
    /// set. `None`: Query does not describe itself, which it need not.
    ///
    /// # Errors
    /// [`NorceError`]: Query does not answer.
    pub async fn undescribed(&self, deadline: Deadline) -> Result<Option<Vec<String>>, NorceError> {
        let application = self.default_application();
        let mut descriptions: HashMap<&str, Metadata> = HashMap::new();
        let mut undescribed = BTreeSet::new();
        for (path, options) in rows_that_are_read() {
            let Some((namespace, set)) = path.split_once('/') else {
                continue;
            };
            let description = match descriptions.entry(namespace) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let url = self.api.url(&format!("{QUERY}/{namespace}/$metadata"))?;
                    let text = self
                        .api
                        .get_text(&url, metadata::XML, application, deadline);
                    let text = match text.await {
                        Err(NorceError::Refused { .. }) => return Ok(None),
                        text => text?,
                    };
                    let Some(description) = Metadata::read(&text) else {
                        return Ok(None);
                    };
                    place.insert(description)
                }
            };
            let lacks = description.lacks(set, &options);
            undescribed.extend(lacks.into_iter().map(|name| format!("{name} of {path}")));
        }
        Ok(Some(undescribed.into_iter().collect()))
    }

    /// The rows of the first page, for what fits into one.
    async fn some<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let page = self.first_page(set, options, application, deadline).await;
        Ok(page?.0.value)
    }

    /// All pages, along the links from one to the next.
    async fn every<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let (mut page, mut url): (Page<T>, Url) =
            self.first_page(set, options, application, deadline).await?;
        let mut rows = Vec::new();
        loop {
            rows.extend(page.value);
            let Some(link) = page.next_link else {
                return Ok(rows);
            };
            url = next_page(&url, &link)
                .map_err(|error| NorceError::Unreadable(format!("{set}: {error}")))?;
            page = self.page(set, &url, application, deadline).await?;
        }
    }

    /// All rows of a set that has an `Id`, page by page in its order: robust where rows come and go meanwhile, and
    /// where `$skip` is not (norce-api §5.1). A page may be shorter than asked for, so that only an empty one is the
    /// last.
    async fn every_by_id<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        id: impl Fn(&T) -> i64,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let application = self.default_application();
        let options = options.clone().order_by("Id");
        let mut rows: Vec<T> = Vec::new();
        let mut last = None;
        loop {
            let options = match last {
                None => options.clone(),
                Some(last) => options.clone().filter(Filter::gt("Id", last)),
            };
            let page: Vec<T> = self.some(set, &options, application, deadline).await?;
            if page.is_empty() {
                return Ok(rows);
            }
            for row in page {
                if last.is_some_and(|last| id(&row) <= last) {
                    let reason = format!("{set}: a row came twice or out of order");
                    return Err(NorceError::Unreadable(reason));
                }
                last = Some(id(&row));
                rows.push(row);
            }
        }
    }

    /// The row of an entity, if it is one of its register's (P14).
    async fn entity<T: DeserializeOwned>(
        &self,
        set: &'static str,
        entity: EntityRef,
        options: Options,
        application_of: impl Fn(&T) -> Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<T>, NorceError> {
        let options = options.filter(Filter::eq("Id", entity.id));
        let application = self.application(entity.scope);
        let rows: Vec<T> = self
            .some(set, &options, application, deadline)
            .await
            .map_err(|error| about(entity, error))?;
        Ok(rows
            .into_iter()
            .find(|row| self.belongs(entity.scope, application_of(row))))
    }

    /// The addresses of a customer or company by what they are for.
    async fn read_addresses(
        &self,
        rows: &[AddressRow],
        deadline: Deadline,
    ) -> Result<Addresses, NorceError> {
        let mut addresses = Addresses::default();
        if let Some(row) = rows::invoice_address(rows, self.address_types.invoice) {
            let country = self.country(row.country_id, deadline).await?;
            addresses.invoice = row.read(country);
            addresses.invoice_details = row.details();
        }
        for row in rows::delivery_addresses(rows, self.address_types.delivery) {
            let country = self.country(row.country_id, deadline).await?;
            if let Some(address) = row.read(country) {
                addresses.deliveries.push(DeliveryAddress {
                    id: row.id,
                    address,
                    details: row.details(),
                });
            }
        }
        Ok(addresses)
    }

    /// The ISO code of a country; `None` where Norce lists none.
    async fn country(
        &self,
        id: Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<CountryCode>, NorceError> {
        let Some(id) = id else {
            return Ok(None);
        };
        let fetch = || {
            let options = CountryRow::options();
            async move {
                self.every_by_id(COUNTRIES, &options, |row: &CountryRow| row.id, deadline)
                    .await
            }
        };
        self.countries.code(id, fetch, deadline).await
    }
}

/// The hits of a register itself; the shared ones where it has none of its own. Two are as ambiguous as a hundred.
fn nearest(scope: Scope, mut hits: Vec<EntityRef>) -> Vec<EntityRef> {
    if hits.iter().any(|hit| hit.scope == scope) {
        hits.retain(|hit| hit.scope == scope);
    }
    hits.truncate(MAX_HITS);
    hits
}

/// An answer that cannot be read is told with the record that it was about.
fn about(subject: impl std::fmt::Display, error: NorceError) -> NorceError {
    match error {
        NorceError::Unreadable(reason) => NorceError::Unreadable(format!("{subject}: {reason}")),
        error => error,
    }
}

#[async_trait]
impl NorceQuery for QueryClient {
    async fn customer(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Customer>, NorceError> {
        let row: Option<CustomerRow> = self
            .entity(
                CUSTOMERS,
                entity,
                CustomerRow::options(),
                |row: &CustomerRow| row.application_id,
                deadline,
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let addresses = self.read_addresses(&row.addresses, deadline).await?;
        let related = self.related(entity.scope, row.related(), deadline).await?;
        let customer = row.read(entity, addresses, &related)?;
        Ok(Some(Customer {
            unread: self.unread(CUSTOMERS),
            ..customer
        }))
    }

    async fn company(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Company>, NorceError> {
        let row: Option<CompanyRow> = self
            .entity(
                COMPANIES,
                entity,
                CompanyRow::options(),
                |row: &CompanyRow| row.application_id,
                deadline,
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let addresses = self.read_addresses(&row.addresses, deadline).await?;
        let related = self.related(entity.scope, row.related(), deadline).await?;
        let company = row.read(entity, addresses, &related)?;
        Ok(Some(Company {
            unread: self.unread(COMPANIES),
            ..company
        }))
    }

    /// `ClientOrderRef` is no field of an order. It is the basket's or quotation's id, so that a whole number is
    /// looked up as `QuotationId`, anything else as `OrderNo` (inferred from norce-api §6 and §10.3).
    async fn order(
        &self,
        order: &OrderKey,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Option<Order>, NorceError> {
        let filter = match order {
            OrderKey::Id(id) => Filter::eq("Id", *id),
            OrderKey::ClientOrderRef(reference) => match quotation_id(reference) {
                Some(quotation) => Filter::eq("QuotationId", quotation),
                None => Filter::eq("OrderNo", reference.as_str()),
            },
        };
        // The application header does not filter orders (norce-api §2).
        let filter = filter.and(Filter::eq("ApplicationId", application));
        let options = OrderRow::options()
            .filter(filter)
            .order_by("Id")
            .top(MAX_HITS as u32);
        let rows: Vec<OrderRow> = self
            .some(ORDERS, &options, application, deadline)
            .await
            .map_err(|error| about(format_args!("order {order}"), error))?;
        let mut countries = HashMap::new();
        for id in rows.iter().flat_map(OrderRow::country_ids) {
            if let Some(country) = self.country(Some(id), deadline).await? {
                countries.insert(id, country);
            }
        }
        let country = |id| countries.get(&id).copied();
        let scope = self.shops.scope(Some(application));
        let scope = scope.unwrap_or(Scope::Application(application));
        let named = rows.iter().flat_map(OrderRow::parties);
        let related = self.related(scope, named, deadline).await?;
        let orders: Vec<Order> = rows
            .into_iter()
            .map(|row| row.read(order, country, &related))
            .collect::<Result<_, _>>()?;
        let mut orders = orders.into_iter();
        let first = orders.next();
        if let (Some(first), Some(second)) = (&first, orders.next())
            && (&first.buyer, &first.payer) != (&second.buyer, &second.payer)
        {
            return Err(NorceError::Unreadable(format!(
                "order {order}: several orders of different buyers or payers"
            )));
        }
        Ok(first)
    }

    async fn has_order(&self, entity: EntityRef, deadline: Deadline) -> Result<bool, NorceError> {
        let (buyer, payer) = match entity.kind {
            EntityKind::Customer => ("BuyerCustomerId", "PayerCustomerId"),
            EntityKind::Company => ("BuyerCompanyId", "PayerCompanyId"),
        };
        let filter = Filter::eq(buyer, entity.id).or(Filter::eq(payer, entity.id));
        // An order always names its application, also where its buyer is everybody's.
        let filter = match entity.scope.application() {
            Some(application) => filter.and(Filter::eq("ApplicationId", application)),
            None => filter,
        };
        let options = Options::new().select(&["Id"]).filter(filter).top(1);
        let application = self.application(entity.scope);
        let rows: Vec<IdRow> = self.some(ORDERS, &options, application, deadline).await?;
        Ok(!rows.is_empty())
    }

    async fn customers_by_email(
        &self,
        scope: Scope,
        email: &EmailKey,
        deadline: Deadline,
    ) -> Result<Vec<EntityRef>, NorceError> {
        let Some(filter) = Filter::any_of("EmailAddress", email.spellings()) else {
            return Ok(Vec::new());
        };
        let seen = self.shops.seen_from(scope);
        let filter = self.within(&seen, Filter::eq("IsActive", true).and(filter));
        let options = EmailRow::options().filter(filter).order_by("Id");
        let application = self.application(scope);
        let rows: Vec<EmailRow> = self
            .every(CUSTOMERS, &options, application, deadline)
            .await?;
        let mut hits = Vec::new();
        for row in rows.into_iter().filter(|row| row.matches(email)) {
            let Some(scope) = self.seen(&seen, row.application_id) else {
                continue;
            };
            hits.push(EntityRef::customer(
                scope,
                rows::norce_id(row.id, CUSTOMERS)?,
            ));
        }
        Ok(nearest(scope, hits))
    }

    async fn companies_of_party(
        &self,
        scope: Scope,
        party: &OrderParty,
        deadline: Deadline,
    ) -> Result<Vec<EntityRef>, NorceError> {
        let keys = party.organisation_keys();
        let bare = party.bare_numbers();
        let Some(filter) = number_filter(keys.iter(), &bare) else {
            return Ok(Vec::new());
        };
        let seen = self.shops.seen_from(scope);
        let filter = self.within(&seen, Filter::eq("IsActive", true).and(filter));
        let options = FoundRow::options(EntityKind::Company)
            .filter(filter)
            .order_by("Id");
        let application = self.application(scope);
        let rows: Vec<FoundRow> = self
            .every(COMPANIES, &options, application, deadline)
            .await?;
        let (mut hits, mut named) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(register) = self.seen(&seen, row.application_id) else {
                continue;
            };
            let has_name = party
                .company_name
                .as_ref()
                .is_some_and(|name| row.is_named(name));
            let (number, vat_number) = row.numbers();
            let found = self.found(row, EntityKind::Company, deadline).await?;
            let own: Vec<OrganisationKey> = found
                .keys
                .iter()
                .filter_map(|key| match key {
                    NaturalKey::Organisation(key) => Some(key.clone()),
                    NaturalKey::Email(_) => None,
                })
                .collect();
            let fits = if keys.is_empty() || own.is_empty() {
                // Nothing says of which country one of the two is.
                let number = number.as_ref().map(OrganisationNumber::expose);
                let vat_number = vat_number.as_ref().map(VatNumber::expose);
                [number, vat_number]
                    .into_iter()
                    .flatten()
                    .any(|it| bare.contains(&it))
            } else {
                own.iter().any(|key| keys.contains(key))
            };
            if fits && found.active {
                let company = EntityRef::company(register, found.id);
                hits.push(company);
                named.extend(has_name.then_some(company));
            }
        }
        // The schools of a municipality share a number: the name in the order is Norce's own.
        let hits = if hits.len() > 1 && !named.is_empty() {
            named
        } else {
            hits
        };
        Ok(nearest(scope, hits))
    }

    async fn codes(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<(NorceId, Option<Code>)>, NorceError> {
        let rows = self.code_rows(kind, scope, ids, deadline).await?;
        rows.into_iter()
            .filter(|row| self.belongs(scope, row.application_id))
            .map(|row| row.read(kind, scope))
            .collect()
    }

    async fn relations(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, Vec<Relation>>, NorceError> {
        let options = RelationsRow::options();
        let rows: Vec<RelationsRow> = self
            .rows_by_id(EntityKind::Customer, scope, &options, customers, deadline)
            .await?;
        rows.into_iter().map(RelationsRow::read).collect()
    }

    async fn with_another_login(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError> {
        let options = LoginsRow::options();
        let rows: Vec<LoginsRow> = self
            .rows_by_id(EntityKind::Customer, scope, &options, customers, deadline)
            .await?;
        let others = rows.into_iter().filter(LoginsRow::has_another_login);
        others.map(|row| row.id()).collect()
    }

    async fn addresses(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<HashMap<NorceId, NorceAddresses>, NorceError> {
        let options = AddressesRow::options(kind);
        let rows: Vec<AddressesRow> = self
            .rows_by_id(kind, scope, &options, ids, deadline)
            .await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            if !self.belongs(scope, row.application_id) {
                continue;
            }
            let mut addresses = NorceAddresses::default();
            let types = self.address_types;
            if let Some(row) = rows::of_type(&row.addresses, types.invoice).first() {
                let country = self.country(row.country_id, deadline).await?;
                addresses.invoice = Some(row.whole(country));
            }
            for row in rows::of_type(&row.addresses, types.delivery) {
                let country = self.country(row.country_id, deadline).await?;
                addresses.deliveries.push(row.whole(country));
            }
            found.insert(row.id(kind)?, addresses);
        }
        Ok(found)
    }

    async fn look_up(
        &self,
        kind: EntityKind,
        scope: Scope,
        asked: &[Asked],
        deadline: Deadline,
    ) -> Result<LookUp, NorceError> {
        let mut look_up = LookUp::default();
        let mut seen = HashSet::new();
        let mut rest = asked;
        while !rest.is_empty() {
            let some = self.batch.of(rest);
            let options = asked_filter(kind, some)
                .map(|filter| FoundRow::options(kind).filter(self.within(&[scope], filter)));
            look_up.requests += 1;
            let rows: Option<Vec<FoundRow>> = self
                .in_batch(kind, scope, options, some.len(), deadline)
                .await?;
            let Some(rows) = rows else { continue };
            for row in rows {
                if !self.belongs(scope, row.application_id) {
                    continue;
                }
                let found = self.found(row, kind, deadline).await?;
                // A database may compare more loosely than we do. Whether case matters in a code is the ERP's to say.
                let has_code = |code: &Code| {
                    found
                        .code
                        .as_ref()
                        .is_some_and(|found| found.is(code, CodeCase::Ignored))
                };
                let fits = some.iter().any(|asked| {
                    has_code(&asked.code) || asked.keys.iter().any(|key| found.keys.contains(key))
                });
                if fits && seen.insert(found.id) {
                    look_up.found.push(found);
                }
            }
            rest = rest.get(some.len()..).unwrap_or_default();
        }
        Ok(look_up)
    }

    async fn changed_since(
        &self,
        kind: EntityKind,
        scope: Scope,
        since: Option<DateTime<Utc>>,
        after: Option<NorceId>,
        deadline: Deadline,
    ) -> Result<ChangedPage, NorceError> {
        let own = ChangedRow::options(kind);
        let Some(since) = since else {
            return self.changed_page(kind, scope, own, after, deadline).await;
        };
        let changed = child_times::changed_since(since);
        let page = |filter: Filter| {
            let options = own.clone().filter(filter);
            self.changed_page(kind, scope, options, after, deadline)
        };
        let mut requests = 0;
        loop {
            let level = self.child_times.level(kind);
            let children = level.children(kind);
            let asked = children.iter().fold(changed.clone(), |filter, relation| {
                filter.or(Filter::any(relation, changed.clone()))
            });
            requests += 1;
            let error = match page(asked).await {
                Ok(page) => return Ok(ChangedPage { requests, ..page }),
                Err(error) if children.is_empty() => return Err(error),
                Err(error) => error,
            };
            if self.child_times.is_refused(kind, level, &error) {
                continue;
            }
            if !matches!(error, NorceError::RetryAfter { .. }) {
                return Err(error);
            }
            // A service that cannot translate a filter for its database answers 500, as one that is down does.
            requests += 1;
            let Ok(page) = page(changed).await else {
                return Err(error);
            };
            tracing::warn!(
                %kind,
                %error,
                "Norce Query answers a sweep by the rows' own times only: lost changes of an address, a relation or a flag alone are not found on this page"
            );
            return Ok(ChangedPage { requests, ..page });
        }
    }

    async fn forgotten(
        &self,
        scope: Scope,
        after: Option<NorceId>,
        deadline: Deadline,
    ) -> Result<ChangedPage, NorceError> {
        let kind = EntityKind::Customer;
        let options = ChangedRow::options(kind).filter(Filter::eq("IsForgotten", true));
        self.changed_page(kind, scope, options, after, deadline)
            .await
    }
}

/// How many records one request asks about. What length of filter Norce takes is not documented: ASP.NET's OData refuses
/// trees of more than 100 nodes unless told otherwise, and servers and proxies limit addresses. So a request that is
/// refused for its length is halved, and the client remembers what was taken.
struct Batch(AtomicUsize);

/// Four nodes an id or a code, and one to join it: what ASP.NET's default lets through.
const SMALLEST_BATCH: usize = 10;

/// Values that a record is asked for by on average, its code and an address in one spelling: what the size of a batch
/// was measured with. A company has more, so that fewer of them go into one request.
const VALUES_OF_ONE: usize = 2;

impl Batch {
    fn size(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// As many of the records as belong into one request.
    fn of<'a>(&self, asked: &'a [Asked]) -> &'a [Asked] {
        let most = self.size();
        let mut values = most * VALUES_OF_ONE;
        let takes = |asked: &Asked| 1 + asked.keys.iter().map(values_of).sum::<usize>();
        let fitting = asked.iter().take(most).take_while(|asked| {
            let left = values.checked_sub(takes(asked));
            values = left.unwrap_or_default();
            left.is_some()
        });
        let fitting = fitting.count().max(1);
        asked.get(..fitting).unwrap_or(asked)
    }

    /// Whether a refusal of a request about so many records can be helped by asking about fewer.
    fn shrinks(&self, asked: usize, error: &NorceError) -> bool {
        let too_long = matches!(
            error,
            NorceError::Refused {
                status: 400 | 404 | 413 | 414 | 431,
                ..
            }
        );
        if !too_long || asked <= SMALLEST_BATCH {
            return false;
        }
        let size = (asked / 2).max(SMALLEST_BATCH);
        self.0.fetch_min(size, Ordering::Relaxed);
        tracing::warn!(
            asked,
            size,
            "Norce Query refused a long filter; fewer records are asked about at once"
        );
        true
    }
}

impl QueryClient {
    /// A row of a look-up, with the country that its numbers are of.
    async fn found(
        &self,
        row: FoundRow,
        kind: EntityKind,
        deadline: Deadline,
    ) -> Result<Found, NorceError> {
        let address = rows::invoice_address(&row.addresses, self.address_types.invoice);
        let country = self
            .country(address.and_then(|address| address.country_id), deadline)
            .await?;
        row.read(kind, country)
    }

    /// The rows that fit; `None`: the filter was too long, and it is to be asked about fewer at once.
    async fn in_batch<T: DeserializeOwned>(
        &self,
        kind: EntityKind,
        scope: Scope,
        options: Option<Options>,
        asked: usize,
        deadline: Deadline,
    ) -> Result<Option<Vec<T>>, NorceError> {
        let Some(options) = options else {
            return Ok(Some(Vec::new()));
        };
        let application = self.application(scope);
        match self
            .every(set_of(kind), &options, application, deadline)
            .await
        {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if self.batch.shrinks(asked, &error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn changed_page(
        &self,
        kind: EntityKind,
        scope: Scope,
        options: Options,
        after: Option<NorceId>,
        deadline: Deadline,
    ) -> Result<ChangedPage, NorceError> {
        let options = match after {
            Some(after) => options.filter(Filter::gt("Id", after)),
            None => options,
        };
        let options = match self.of_registers(&[scope]) {
            Some(of) => options.filter(of),
            None => options,
        };
        let options = options.order_by("Id").top(CHANGED_AT_ONCE);
        let application = self.application(scope);
        let rows: Vec<ChangedRow> = self
            .some(set_of(kind), &options, application, deadline)
            .await?;
        let mut page = ChangedPage {
            requests: 1,
            ..ChangedPage::default()
        };
        for row in rows {
            let application = row.application_id;
            let entity = row.read(kind)?;
            if page.next.or(after).is_some_and(|last| entity.id <= last) {
                return Err(NorceError::Unreadable(format!(
                    "{kind}: a row came twice or out of order"
                )));
            }
            // A page may be shorter than asked for: only an empty one is the last.
            page.next = Some(entity.id);
            if self.belongs(scope, application) {
                page.entities.push(entity);
            }
        }
        Ok(page)
    }
}

/// Rows of a sweep that are read at once: Norce's own page size (norce-api §5.1).
const CHANGED_AT_ONCE: u32 = 500;

fn set_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Customer => CUSTOMERS,
        EntityKind::Company => COMPANIES,
    }
}

/// One of the codes, or one of the natural keys in any spelling.
fn asked_filter(kind: EntityKind, asked: &[Asked]) -> Option<Filter> {
    let code = match kind {
        EntityKind::Customer => "CustomerCode",
        EntityKind::Company => "CompanyCode",
    };
    let codes = Filter::any_of(code, asked.iter().map(|asked| asked.code.as_str()));
    let keys = || asked.iter().flat_map(|asked| &asked.keys);
    let emails = keys().filter_map(|key| match key {
        NaturalKey::Email(email) if kind == EntityKind::Customer => Some(email.spellings()),
        _ => None,
    });
    let emails = Filter::any_of("EmailAddress", emails.flatten());
    let numbers = keys().filter_map(|key| match key {
        NaturalKey::Organisation(key) if kind == EntityKind::Company => Some(key),
        _ => None,
    });
    let numbers = number_filter(numbers, &[]);
    [codes, emails, numbers]
        .into_iter()
        .flatten()
        .reduce(Filter::or)
}

/// Companies with one of these numbers in any spelling. `bare`: numbers in letters and digits.
fn number_filter<'a>(
    keys: impl Iterator<Item = &'a OrganisationKey> + Clone,
    bare: &[&str],
) -> Option<Filter> {
    let bare_digits = bare.iter().map(|number| {
        let digits = number.chars().filter(char::is_ascii_digit);
        digits.collect::<String>()
    });
    let digits = keys
        .clone()
        .flat_map(OrganisationKey::digits)
        .chain(bare_digits);
    let spellings = keys
        .flat_map(OrganisationKey::spellings)
        .chain(bare.iter().map(|number| (*number).to_owned()));
    [
        Filter::any_of("NormalizedOrganizationNo", distinct(digits)),
        Filter::any_of("VatNo", distinct(spellings)),
    ]
    .into_iter()
    .flatten()
    .reduce(Filter::or)
}

fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    values.filter(|value| seen.insert(value.clone())).collect()
}

/// How many values a filter needs to ask for a key.
fn values_of(key: &NaturalKey) -> usize {
    match key {
        NaturalKey::Email(email) => email.spellings().len(),
        NaturalKey::Organisation(key) => key.spellings().len() + key.digits().len(),
    }
}

/// A reference that is written exactly as an id is.
fn quotation_id(reference: &str) -> Option<i32> {
    let id: i32 = reference.parse().ok()?;
    (id > 0 && id.to_string() == reference).then_some(id)
}
