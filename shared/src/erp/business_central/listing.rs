//! Listings: pages of all records, and many records by their ids.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    client::{GET_MANY_CONCURRENCY, IDS_BATCH_SIZE},
    error::Failure,
    extra::{extras, not_on_the_extra_page},
    record::{ExtendedRow, Row, listed},
    records::{Records, of_kind},
};
use crate::{
    domain::{EntityKind, FieldGroup, FieldGroups},
    erp::{
        Cursor, ErpError, ErpId, ErpRecord, ExtraFields, Listing, RecordPage, Resource, Unusable,
        UnusableRecord,
    },
    http::{
        Deadline,
        odata::{Filter, Options, Page},
    },
};

impl Records {
    pub(super) async fn page(
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
            // The server made the address itself, so that only the place in the listing can be wrong.
            let is_place = matches!(
                response.status(),
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE
            );
            return Err(match cursor {
                Some(_) if is_place => ErpError::CursorExpired,
                _ => Failure::of(&response, &[]).into(),
            });
        }
        let page = self.read_page(response.body(), listing.resource, deadline);
        let page = page.await?;
        if let Some(Cursor(link)) = &page.next {
            // A link to elsewhere is noticed now, and not by the next invocation.
            self.client.page_url(&url, link)?;
        }
        if page.next.is_some() && page.next.as_ref() == cursor {
            let reason = "a page names itself as the next one".to_owned();
            return Err(ErpError::Unreadable(reason));
        }
        Ok(page)
    }

    pub(super) async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let mut found = RecordPage::default();
        for resource in [Resource::Customer, Resource::Contact] {
            let ids: Vec<Uuid> = ids
                .iter()
                .filter(|id| id.resource == resource)
                .filter_map(|id| Uuid::parse_str(&id.id).ok())
                .collect();
            let requests: Vec<_> = ids
                .chunks(IDS_BATCH_SIZE)
                .filter_map(|ids| Filter::any_of("id", ids.iter().copied()))
                .map(|filter| self.read_some(resource, filter, fields, deadline))
                .collect();
            let pages: Vec<RecordPage> = stream::iter(requests)
                .buffered(GET_MANY_CONCURRENCY)
                .try_collect()
                .await?;
            for page in pages {
                found.append(page);
            }
        }
        Ok(found)
    }

    /// The records that match a filter, with the fields of a listing.
    async fn read_some(
        &self,
        resource: Resource,
        filter: Filter,
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let options = self.select_listed(resource, fields).filter(filter);
        let mut found = RecordPage::default();
        let mut next = Some(self.url(resource, options));
        while let Some(url) = next {
            let response = self.client.listing_page(&url, deadline).await?;
            if response.status() != StatusCode::OK {
                return Err(Failure::of(&response, &[]).into());
            }
            let mut page = self.read_page(response.body(), resource, deadline).await?;
            let link = page.next.take();
            found.append(page);
            next = match link {
                Some(Cursor(link)) => Some(self.client.page_url(&url, &link)?),
                None => None,
            };
        }
        Ok(found)
    }

    fn listing_url(&self, listing: &Listing) -> Url {
        let resource = listing.resource;
        // A contact that belongs to no organisation may have left it.
        let with_former =
            listing.since.is_some() && listing.fields.has(FieldGroup::CompanyRelations);
        let of_kind = match (resource, listing.kind) {
            (Resource::Customer, kind) => kind.map(|kind| of_kind(kind, resource)),
            (Resource::Contact, _) if with_former => Some(Filter::eq("type", "Person")),
            (Resource::Contact, _) => Some(of_kind(EntityKind::Customer, resource)),
        };
        let since = listing.since;
        let since = since.map(|since| Filter::ge("lastModifiedDateTime", since));
        let options = self.select_listed(resource, listing.fields);
        let filters = of_kind.into_iter().chain(since);
        self.url(resource, filters.fold(options, Options::filter))
    }

    /// The fields of a listing.
    fn select_listed(&self, resource: Resource, groups: FieldGroups) -> Options {
        let options = Options::new().select(&listed(resource, groups));
        match resource {
            Resource::Customer if !self.client.has_extra_root() => {
                options.select_also(self.extra.names())
            }
            // The extra fields are of customers only.
            _ => options,
        }
    }

    async fn read_page(
        &self,
        body: &[u8],
        resource: Resource,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        if resource == Resource::Contact || self.extra == ExtraFields::default() {
            let rows = read_rows(body, resource)?;
            return Ok(rows.into_page(|row: Row| row.into_usable(resource, &self.countries)));
        }
        if !self.client.has_extra_root() {
            let rows = read_rows(body, resource)?;
            return Ok(rows.into_page(|row: ExtendedRow| {
                row.into_usable(resource, &self.extra, &self.countries)
            }));
        }
        let rows: Rows<Row> = read_rows(body, resource)?;
        let ids = rows.rows.iter().filter_map(Row::guid).collect();
        let mut extras = extras(&self.client, ids, self.extra.names(), deadline).await?;
        Ok(rows.into_page(|row| {
            let extra = row.guid().and_then(|id| extras.remove(&id));
            match extra {
                Some(extra) => {
                    let row = ExtendedRow::new(row, extra);
                    row.into_usable(resource, &self.extra, &self.countries)
                }
                None => Err(not_on_the_extra_page(row.erp_id(resource))),
            }
        }))
    }
}

/// The rows of a page, and those that cannot be read.
struct Rows<R> {
    rows: Vec<R>,
    unusable: Vec<UnusableRecord>,
    next: Option<Cursor>,
}

impl<R> Rows<R> {
    fn into_page(
        self,
        mut into_usable: impl FnMut(R) -> Result<ErpRecord, UnusableRecord>,
    ) -> RecordPage {
        let mut page = RecordPage {
            records: Vec::with_capacity(self.rows.len()),
            unusable: self.unusable,
            next: self.next,
        };
        for row in self.rows {
            match into_usable(row) {
                Ok(record) => page.records.push(record),
                Err(unusable) => page.unusable.push(unusable),
            }
        }
        page
    }
}

/// Reads a page of a listing. A row that cannot be read does not affect the others.
fn read_rows<R: DeserializeOwned + Default>(
    body: &[u8],
    resource: Resource,
) -> Result<Rows<R>, ErpError> {
    let (mut readable, mut unusable) = (Vec::new(), Vec::new());
    let next = match serde_json::from_slice::<Page<R>>(body) {
        Ok(rows) => {
            readable = rows.value;
            rows.next_link
        }
        // Row by row, to find the faulty one.
        Err(_) => {
            let rows: Page<Value> = serde_json::from_slice(body).map_err(|_| {
                ErpError::Unreadable("a page is not what the API describes".to_owned())
            })?;
            for row in rows.value {
                let id = row.get("id").cloned();
                match serde_json::from_value::<R>(row) {
                    Ok(row) => readable.push(row),
                    Err(_) => unusable.push(unreadable_row(id, resource)),
                }
            }
            rows.next_link
        }
    };
    Ok(Rows {
        rows: readable,
        unusable,
        next: next.map(Cursor),
    })
}

/// The parser's own message is dropped because it could quote the row.
fn unreadable_row(id: Option<Value>, resource: Resource) -> UnusableRecord {
    let id = id.and_then(|id| Uuid::parse_str(id.as_str()?).ok());
    UnusableRecord {
        id: id.map(|id| ErpId {
            resource,
            id: id.to_string(),
        }),
        reason: Unusable::Unreadable("a field of it has an unexpected type".to_owned()),
    }
}
