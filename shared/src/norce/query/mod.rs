//! Norce Query 2.0: reads, straight from Norce's database (norce-api §5, §10.3).
//!
//! Rows are looked up with a filter rather than by key (`Set(5)`), because the answer for a missing key is not documented.
//! Fields of related rows are selected only where they are documented; of the others, such as a company's addresses,
//! every field is read.

mod batch;
mod by_id;
mod child_times;
mod client;
mod countries;
mod diagnostics;
mod expanded;
mod metadata;
mod pages;
mod rows;
mod sets;

pub use client::QueryClient;
pub use diagnostics::ListedApplication;
pub use rows::{AddressTypes, DEFAULT_DELIVERY_ADDRESS_TYPE, DEFAULT_INVOICE_ADDRESS_TYPE};

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use self::{
    batch::{asked_filter, number_filter},
    client::about,
    rows::{
        AddressesRow, ChangedRow, EmailRow, FoundRow, IdRow, LoginsRow, OrderRow, RelationsRow,
    },
    sets::{COMPANIES, CUSTOMERS, ORDERS},
};
use super::{ChangedPage, LookUp, LookupKey, NorceError, NorceQuery, Relation};
use crate::{
    domain::{
        ApplicationId, Code, CodeCase, Company, Customer, EmailKey, EntityKind, EntityRef,
        NaturalKey, NorceAddresses, NorceId, Order, OrderKey, OrderParty, OrganisationKey,
        OrganisationNumber, Scope, VatNumber,
    },
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// Maximum number of hits that are returned: two are as ambiguous as a hundred.
const MAX_HITS: usize = 2;

#[async_trait]
impl NorceQuery for QueryClient {
    async fn customer(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Customer>, NorceError> {
        self.entity(&self.customers, entity, deadline).await
    }

    async fn company(
        &self,
        entity: EntityRef,
        deadline: Deadline,
    ) -> Result<Option<Company>, NorceError> {
        self.entity(&self.companies, entity, deadline).await
    }

    /// `ClientOrderRef` is not a field of an order. It is the id of the basket or quotation, so a whole number is looked up
    /// as `QuotationId`, anything else as `OrderNo` (inferred from norce-api §6 and §10.3).
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
            .by_id
            .pages
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
        // An order always names its application, even if all applications share its buyer.
        let filter = match entity.scope.application() {
            Some(application) => filter.and(Filter::eq("ApplicationId", application)),
            None => filter,
        };
        let options = Options::new().select(&["Id"]).filter(filter).top(1);
        let application = self.application(entity.scope);
        let rows: Vec<IdRow> = self
            .by_id
            .pages
            .some(ORDERS, &options, application, deadline)
            .await?;
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
            .by_id
            .pages
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
            .by_id
            .pages
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
                // The country of one of the two is unknown.
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
        // The schools of a municipality share a number; the name in the order is that of one of them in Norce.
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
            .by_id
            .rows(EntityKind::Customer, scope, &options, customers, deadline)
            .await?;
        rows.into_iter().map(RelationsRow::read).collect()
    }

    async fn forgotten_among(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError> {
        let kind = EntityKind::Customer;
        let options = ChangedRow::options(kind);
        let rows: Vec<ChangedRow> = self
            .by_id
            .rows(kind, scope, &options, customers, deadline)
            .await?;
        let mut forgotten = Vec::new();
        for row in rows {
            let customer = row.read(kind)?;
            if customer.forgotten {
                forgotten.push(customer.id);
            }
        }
        Ok(forgotten)
    }

    async fn with_another_login(
        &self,
        scope: Scope,
        customers: &[NorceId],
        deadline: Deadline,
    ) -> Result<Vec<NorceId>, NorceError> {
        let options = LoginsRow::options();
        let rows: Vec<LoginsRow> = self
            .by_id
            .rows(EntityKind::Customer, scope, &options, customers, deadline)
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
            .by_id
            .rows(kind, scope, &options, ids, deadline)
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
        asked: &[LookupKey],
        deadline: Deadline,
    ) -> Result<LookUp, NorceError> {
        let mut look_up = LookUp::default();
        let mut seen = HashSet::new();
        let mut rest = asked;
        while !rest.is_empty() {
            let some = self.by_id.batch.of(rest);
            let options = asked_filter(kind, some)
                .map(|filter| FoundRow::options(kind).filter(self.within(&[scope], filter)));
            look_up.requests += 1;
            let rows: Option<Vec<FoundRow>> = self
                .by_id
                .in_batch(kind, scope, options, some.len(), deadline)
                .await?;
            let Some(rows) = rows else { continue };
            for row in rows {
                if !self.belongs(scope, row.application_id) {
                    continue;
                }
                let found = self.found(row, kind, deadline).await?;
                // A database may compare more loosely than we do. Whether case matters in a code depends on the ERP.
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
            // A service that cannot translate a filter for its database answers 500, like one that is down.
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

/// The hits in the scope itself, or the shared ones if there are none, [`MAX_HITS`] at most.
fn nearest(scope: Scope, mut hits: Vec<EntityRef>) -> Vec<EntityRef> {
    if hits.iter().any(|hit| hit.scope == scope) {
        hits.retain(|hit| hit.scope == scope);
    }
    hits.truncate(MAX_HITS);
    hits
}

/// The quotation's id, if the reference is written exactly as one.
fn quotation_id(reference: &str) -> Option<i32> {
    let id: i32 = reference.parse().ok()?;
    (id > 0 && id.to_string() == reference).then_some(id)
}
