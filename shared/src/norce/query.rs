//! Norce Query 2.0: reads, straight from Norce's database (norce-api §5, §10.3).
//!
//! Rows are looked up with a filter rather than by key (`Set(5)`), because what a missing key answers is not
//! documented. Relations of relations are asked for only where their fields are documented; of the others, such as a
//! company's addresses, every field comes along.

mod countries;
mod rows;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use bytes::Bytes;
use http::Response;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use self::{
    countries::Countries,
    rows::{
        ApplicationRow, CodeRow, CompanyRow, CustomerRow, EmailRow, IdRow, NumberRow, OrderRow,
    },
};
use super::{NorceApi, NorceError, NorceQuery, api::read};
use crate::{
    domain::{
        ApplicationId, Code, Company, Customer, EmailKey, EntityKind, EntityRef, NorceId, Order,
        OrderKey, OrganisationNumber, Scope,
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

/// The `TypeId` that is taken for an invoice address unless configured otherwise. Norce's numbers are not documented:
/// compare with an address of a known customer, and set it.
pub const DEFAULT_INVOICE_ADDRESS_TYPE: i64 = 1;

/// Ids in one filter. Each is four nodes and a joining one of the filter's tree, and ASP.NET's OData refuses trees of
/// more than 100 nodes unless told otherwise. What Norce was told is not documented.
const MAX_IDS: usize = 20;

/// As many hits as are told: two are as ambiguous as a hundred.
const MAX_HITS: usize = 2;

/// Norce Query of one tenant.
pub struct QueryClient {
    api: NorceApi,
    default_application: ApplicationId,
    invoice_address_type: i64,
    countries: Countries,
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
    /// some sets answer 500 (norce-api §2). Of the addresses of a customer or company, the one of type `invoice_address_type` is taken for the
    /// invoice address ([`DEFAULT_INVOICE_ADDRESS_TYPE`]); where there is none, the oldest address is.
    pub fn new(
        api: NorceApi,
        default_application: ApplicationId,
        invoice_address_type: i64,
    ) -> Self {
        Self {
            api,
            default_application,
            invoice_address_type,
            countries: Countries::default(),
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

    fn application(&self, scope: Scope) -> ApplicationId {
        scope.application().unwrap_or(self.default_application)
    }

    fn set_url(&self, set: &str, options: &Options) -> Result<Url, NorceError> {
        Ok(options.apply(self.api.url(&format!("{QUERY}/{set}"))?))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        set: &str,
        url: &Url,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Page<T>, NorceError> {
        let response: Response<Bytes> = self.api.get(url, application, deadline).await?;
        read(set, &response)
    }

    /// The first page, for what fits into one.
    async fn some<T: DeserializeOwned>(
        &self,
        set: &str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let url = self.set_url(set, options)?;
        Ok(self.page(set, &url, application, deadline).await?.value)
    }

    /// All pages, along the links from one to the next.
    async fn every<T: DeserializeOwned>(
        &self,
        set: &str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let mut url = self.set_url(set, options)?;
        let mut rows = Vec::new();
        loop {
            let page: Page<T> = self.page(set, &url, application, deadline).await?;
            rows.extend(page.value);
            let Some(link) = page.next_link else {
                return Ok(rows);
            };
            url = next_page(&url, &link)
                .map_err(|error| NorceError::Unreadable(format!("{set}: {error}")))?;
        }
    }

    /// All rows of a set that has an `Id`, page by page in its order: robust where rows come and go meanwhile, and
    /// where `$skip` is not (norce-api §5.1). A page may be shorter than asked for, so that only an empty one is the
    /// last.
    async fn every_by_id<T: DeserializeOwned>(
        &self,
        set: &str,
        options: &Options,
        id: impl Fn(&T) -> i64,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let application = self.default_application;
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
        set: &str,
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
            .find(|row| belongs(entity.scope, application_of(row))))
    }

    /// The ISO code of a country; `None` where Norce lists none.
    async fn country(
        &self,
        id: Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<crate::domain::CountryCode>, NorceError> {
        let Some(id) = id else {
            return Ok(None);
        };
        let fetch = || {
            let options = Options::new().select(&["Id", "Code"]);
            async move {
                self.every_by_id(
                    COUNTRIES,
                    &options,
                    |row: &rows::CountryRow| row.id,
                    deadline,
                )
                .await
            }
        };
        self.countries.code(id, fetch, deadline).await
    }
}

/// Whether a row is of this register. A register of the whole client has all rows.
fn belongs(scope: Scope, application: Option<i64>) -> bool {
    scope
        .application()
        .is_none_or(|own| application == Some(own.into()))
}

fn within(scope: Scope, filter: Filter) -> Filter {
    match scope.application() {
        None => filter,
        Some(application) => filter.and(Filter::eq("ApplicationId", application)),
    }
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
        let address = rows::invoice_address(&row.addresses, self.invoice_address_type);
        let country = address.and_then(|address| address.country_id);
        let country = self.country(country, deadline).await?;
        let address = address.and_then(|address| address.read(country));
        row.read(entity, address).map(Some)
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
        let address = rows::invoice_address(&row.addresses, self.invoice_address_type);
        let country = address.and_then(|address| address.country_id);
        let country = self.country(country, deadline).await?;
        let address = address.and_then(|address| address.read(country));
        row.read(entity, address).map(Some)
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
        let orders: Vec<Order> = rows
            .into_iter()
            .map(|row| row.read(order))
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
        let options = Options::new()
            .select(&["Id"])
            .filter(within(entity.scope, filter))
            .top(1);
        let application = self.application(entity.scope);
        let rows: Vec<IdRow> = self.some(ORDERS, &options, application, deadline).await?;
        Ok(!rows.is_empty())
    }

    async fn customers_by_email(
        &self,
        scope: Scope,
        email: &EmailKey,
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError> {
        let Some(filter) = Filter::any_of("EmailAddress", spellings(email)) else {
            return Ok(Vec::new());
        };
        let filter = within(scope, Filter::eq("IsActive", true).and(filter));
        let options = EmailRow::options().filter(filter).order_by("Id");
        let application = self.application(scope);
        let rows: Vec<EmailRow> = self
            .every(CUSTOMERS, &options, application, deadline)
            .await?;
        rows.into_iter()
            .filter(|row| row.matches(scope, email))
            .take(MAX_HITS)
            .map(|row| rows::norce_id(row.id, CUSTOMERS))
            .collect()
    }

    async fn companies_by_organisation_number(
        &self,
        scope: Scope,
        number: &OrganisationNumber,
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError> {
        let filter = Filter::eq("IsActive", true)
            .and(Filter::eq("NormalizedOrganizationNo", number.expose()));
        let options = NumberRow::options()
            .filter(within(scope, filter))
            .order_by("Id");
        let application = self.application(scope);
        let rows: Vec<NumberRow> = self
            .every(COMPANIES, &options, application, deadline)
            .await?;
        rows.into_iter()
            .filter(|row| row.matches(scope, number))
            .take(MAX_HITS)
            .map(|row| rows::norce_id(row.id, COMPANIES))
            .collect()
    }

    async fn codes(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<(NorceId, Option<Code>)>, NorceError> {
        let set = match kind {
            EntityKind::Customer => CUSTOMERS,
            EntityKind::Company => COMPANIES,
        };
        let application = self.application(scope);
        let mut codes = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MAX_IDS) {
            let Some(filter) = Filter::any_of("Id", ids.iter().copied()) else {
                continue;
            };
            let options = CodeRow::options(kind).filter(filter);
            let rows: Vec<CodeRow> = self.every(set, &options, application, deadline).await?;
            for row in rows {
                if belongs(scope, row.application_id) {
                    codes.push(row.read(kind, scope)?);
                }
            }
        }
        Ok(codes)
    }
    async fn look_up(
        &self,
        _: EntityKind,
        _: Scope,
        _: &[super::Asked],
        _: Deadline,
    ) -> Result<super::LookUp, NorceError> {
        Err(NorceError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn changed_since(
        &self,
        _: EntityKind,
        _: Scope,
        _: Option<chrono::DateTime<chrono::Utc>>,
        _: Option<NorceId>,
        _: Deadline,
    ) -> Result<super::ChangedPage, NorceError> {
        Err(NorceError::Unreadable("SCAFFOLD".to_owned()))
    }
    async fn forgotten(
        &self,
        _: Scope,
        _: Option<NorceId>,
        _: Deadline,
    ) -> Result<super::ChangedPage, NorceError> {
        Err(NorceError::Unreadable("SCAFFOLD".to_owned()))
    }
}

/// A reference that is written exactly as an id is.
fn quotation_id(reference: &str) -> Option<i32> {
    let id: i32 = reference.parse().ok()?;
    (id > 0 && id.to_string() == reference).then_some(id)
}

/// The ways in which an address may be stored whose key is this: the key has the domain in its ASCII form, what the
/// person typed may not.
fn spellings(email: &EmailKey) -> Vec<String> {
    let key = email.expose();
    let mut spellings = vec![key.to_owned()];
    if let Some((local, domain)) = key.rsplit_once('@') {
        let (domain, valid) = idna::domain_to_unicode(domain);
        let spelling = format!("{local}@{domain}");
        if valid.is_ok() && spelling != key {
            spellings.push(spelling);
        }
    }
    spellings
}
