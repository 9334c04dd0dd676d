//! The merchant's own API page, from which the extra fields are read where it is not the page that everything is read from.
//! Only the pages of API v2.0 fill in templates (erp-apis §1.4), so that a company that needs them keeps the standard page for
//! writes, and has a page of its own that only shows fields.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use url::Url;
use uuid::Uuid;

use super::{
    client::{Client, GET_MANY_CONCURRENCY, IDS_BATCH_SIZE},
    error::Failure,
    record::{ExtendedRow, ExtraRow, entity_set},
};
use crate::{
    erp::{ErpError, ErpId, Resource, Unusable, UnusableRecord, answer::parse},
    http::{
        Deadline,
        odata::{Filter, Options, Page},
    },
};

/// The only property that every page of records needs.
const ID: &str = "id";

const NOT_THERE: &str = "the page of ERP_EXTRA_BASE_URL does not have the record: take filters off the page, and give the app permission for its table";

/// What the merchant's own page has of these customers, as far as it has them: these fields.
pub(super) async fn extras<'a>(
    client: &Client,
    ids: Vec<Uuid>,
    fields: impl Iterator<Item = &'a str> + Clone + Send,
    deadline: Deadline,
) -> Result<HashMap<Uuid, ExtraRow>, ErpError> {
    let requests: Vec<_> = ids
        .chunks(IDS_BATCH_SIZE)
        .filter_map(|ids| Filter::any_of(ID, ids.iter().copied()))
        .filter_map(|filter| {
            let options = Options::new().select(&[ID]).select_also(fields.clone());
            let url = client.extra_url(entity_set(Resource::Customer))?;
            Some(extra_rows(
                client,
                options.filter(filter).apply(url),
                deadline,
            ))
        })
        .collect();
    let pages: Vec<Vec<ExtraRow>> = stream::iter(requests)
        .buffered(GET_MANY_CONCURRENCY)
        .try_collect()
        .await?;
    let rows = pages.into_iter().flatten();
    Ok(rows.filter_map(|row| Some((row.id()?, row))).collect())
}

async fn extra_rows(
    client: &Client,
    url: Url,
    deadline: Deadline,
) -> Result<Vec<ExtraRow>, ErpError> {
    let mut rows = Vec::new();
    let mut next = Some(url);
    while let Some(url) = next {
        let response = client.listing_page(&url, deadline).await?;
        if response.status() != StatusCode::OK {
            return Err(of_the_extra_page(Failure::of(&response, &[]).into()));
        }
        let page: Page<ExtraRow> = parse(&response)?;
        rows.extend(page.value);
        next = match page.next_link {
            Some(link) => Some(client.page_url(&url, &link)?),
            None => None,
        };
    }
    Ok(rows)
}

/// Customers with one field of the merchant's own page.
///
/// # Errors
/// [`ErpError::Unreadable`]: the page does not have one of them.
pub(super) async fn with_extra(
    client: &Client,
    rows: Vec<ExtendedRow>,
    field: &str,
    deadline: Deadline,
) -> Result<Vec<ExtendedRow>, ErpError> {
    let ids = rows.iter().filter_map(|row| row.row().guid()).collect();
    let fields = std::iter::once(field);
    let mut extras = extras(client, ids, fields, deadline).await?;
    rows.into_iter()
        .map(|row| {
            let id = row.row().guid();
            let extra = id.and_then(|id| extras.remove(&id));
            extra
                .map(|extra| row.with(extra))
                .ok_or_else(|| ErpError::Unreadable(NOT_THERE.to_owned()))
        })
        .collect()
}

/// An error that names the page that it came from.
fn of_the_extra_page(error: ErpError) -> ErpError {
    let named = |reason: String| format!("the page of ERP_EXTRA_BASE_URL: {reason}");
    match error {
        ErpError::Authentication { reason } => ErpError::Authentication {
            reason: named(reason),
        },
        ErpError::RetryAfter { after, reason } => ErpError::RetryAfter {
            after,
            reason: named(reason),
        },
        ErpError::Unreadable(reason) => ErpError::Unreadable(named(reason)),
        ErpError::Refused {
            field,
            code,
            message,
        } => ErpError::Refused {
            field,
            code,
            message: named(message),
        },
        other => other,
    }
}

/// A record without its extra fields: sent to Norce as it is, it would empty them there.
pub(super) fn not_on_the_extra_page(id: Option<ErpId>) -> UnusableRecord {
    UnusableRecord {
        id,
        reason: Unusable::Unreadable(NOT_THERE.to_owned()),
    }
}
