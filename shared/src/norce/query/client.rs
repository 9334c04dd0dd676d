use std::{collections::HashMap, sync::Arc};

use super::{
    by_id::{ById, Entities},
    child_times::ChildTimes,
    countries::Countries,
    pages::Pages,
    rows::{
        self, AddressRow, AddressTypes, Addresses, ChangedRow, CodeRow, CompanyRow, CustomerRow,
        EntityRow, FoundRow, Related,
    },
    sets::set_of,
};
use crate::{
    domain::{
        ApplicationId, ApplicationSettings, CountryCode, DeliveryAddress, EntityKind, EntityRef,
        NorceId, Registers, Scope,
    },
    http::{
        Deadline,
        odata::{Filter, Options},
    },
    norce::{ChangedPage, LookupHit, NorceApi, NorceError},
};

/// Norce Query of one tenant.
pub struct QueryClient {
    pub(super) by_id: ById,
    pub(super) customers: Entities<CustomerRow>,
    pub(super) companies: Entities<CompanyRow>,
    pub(super) shops: ApplicationSettings,
    pub(super) address_types: AddressTypes,
    countries: Countries,
    home_country: Option<CountryCode>,
    pub(super) child_times: ChildTimes,
}

impl QueryClient {
    /// A client that sends the default application where a scope has none: without one, some sets answer 500
    /// (norce-api §2).
    pub fn new(api: NorceApi, shops: ApplicationSettings, address_types: AddressTypes) -> Self {
        let by_id = ById {
            pages: Arc::new(Pages::new(api)),
            batch: Arc::default(),
            default_application: shops.applications.default_application().id,
        };
        Self {
            customers: by_id.gather(EntityKind::Customer),
            companies: by_id.gather(EntityKind::Company),
            by_id,
            shops,
            address_types,
            countries: Countries::default(),
            home_country: None,
            child_times: ChildTimes::default(),
        }
    }

    /// The same client, with a country for the addresses that name none.
    #[must_use]
    pub fn at_home_in(self, home_country: Option<CountryCode>) -> Self {
        Self {
            home_country,
            ..self
        }
    }

    pub(super) fn default_application(&self) -> ApplicationId {
        self.by_id.default_application
    }

    pub(super) fn application(&self, scope: Scope) -> ApplicationId {
        self.by_id.application(scope)
    }

    /// Whether a row with this `ApplicationId` is in the scope (P14).
    pub(super) fn belongs(&self, scope: Scope, application: Option<i64>) -> bool {
        self.shops.register_of(application) == Some(scope)
    }

    /// Adds to a filter that rows are in one of the scopes.
    pub(super) fn within(&self, scopes: &[Scope], filter: Filter) -> Filter {
        match self.of_registers(scopes) {
            Some(of) => filter.and(of),
            None => filter,
        }
    }

    /// Rows in one of the scopes; `None` if there is only one scope.
    pub(super) fn of_registers(&self, scopes: &[Scope]) -> Option<Filter> {
        if self.shops.registers == Registers::Client {
            return None;
        }
        let of = scopes.iter().map(|scope| match scope.application() {
            Some(application) => Filter::eq("ApplicationId", application),
            None => Filter::is_null("ApplicationId"),
        });
        of.reduce(Filter::or)
    }

    /// The scope of a row, if it is one of these.
    pub(super) fn seen(&self, scopes: &[Scope], application: Option<i64>) -> Option<Scope> {
        let register = self.shops.register_of(application)?;
        scopes.contains(&register).then_some(register)
    }

    /// The scopes of the entities that a row in this scope refers to by id. Norce requires nothing but an id, so a customer
    /// of an application can be a contact of a company that all applications share, and vice versa.
    pub(super) async fn related(
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
                // Entities of another application are not visible to this one (P14).
                if register == Scope::Client || scope == Scope::Client {
                    let id = rows::norce_id(row.id, set_of(kind))?;
                    related.elsewhere.insert((kind, id), register);
                }
            }
        }
        Ok(related)
    }

    /// The rows with these ids, in any scope.
    pub(super) async fn code_rows(
        &self,
        kind: EntityKind,
        scope: Scope,
        ids: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<CodeRow>, NorceError> {
        let options = CodeRow::options(kind);
        self.by_id.rows(kind, scope, &options, ids, deadline).await
    }

    /// Reads a customer or company, if it is in the entity's scope (P14).
    pub(super) async fn entity<R: EntityRow>(
        &self,
        rows: &Entities<R>,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<R::Entity>, NorceError> {
        let found = rows.call((entity.scope, deadline), vec![entity.id]).await;
        let found = found.map_err(|error| about(entity, error))?;
        let mut rows = found.get(&entity.id).into_iter().flatten();
        let row = rows.find(|row| self.belongs(entity.scope, row.application_id()));
        let Some(row) = row.cloned() else {
            return Ok(None);
        };
        let addresses = self.read_addresses(row.addresses(), deadline).await?;
        let related = row.related().into_iter();
        let related = self.related(entity.scope, related, deadline).await?;
        let unread = self.by_id.pages.unread(R::SET);
        row.read(entity, addresses, &related, unread).map(Some)
    }

    /// The addresses of a customer or company by type.
    pub(super) async fn read_addresses(
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

    /// The ISO code of a country; that of the home country where an address names none. `None` if Norce lists none.
    pub(super) async fn country(
        &self,
        id: Option<i64>,
        deadline: Deadline,
    ) -> Result<Option<CountryCode>, NorceError> {
        let Some(id) = id else {
            return Ok(self.home_country);
        };
        let application = self.default_application();
        let code = self
            .countries
            .code(id, &self.by_id.pages, application, deadline);
        code.await
    }

    /// A row of a look-up, with its numbers read as those of its country.
    pub(super) async fn found(
        &self,
        row: FoundRow,
        kind: EntityKind,
        deadline: Deadline,
    ) -> Result<LookupHit, NorceError> {
        let address = rows::invoice_address(&row.addresses, self.address_types.invoice);
        let country = self
            .country(address.and_then(|address| address.country_id), deadline)
            .await?;
        row.read(kind, country)
    }

    pub(super) async fn changed_page(
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
        let options = options.order_by("Id").top(CHANGED_PAGE_SIZE);
        let application = self.application(scope);
        let rows: Vec<ChangedRow> = self
            .by_id
            .pages
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

/// Rows in one page of a sweep: Norce's own page size (norce-api §5.1).
const CHANGED_PAGE_SIZE: u32 = 500;

/// Adds the record to an error about an answer that cannot be read.
pub(super) fn about(subject: impl std::fmt::Display, error: NorceError) -> NorceError {
    match error {
        NorceError::Unreadable(reason) => NorceError::Unreadable(format!("{subject}: {reason}")),
        error => error,
    }
}
