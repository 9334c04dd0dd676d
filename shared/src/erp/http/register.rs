//! The register behind a facade: what the calls of the port share.

use std::sync::Arc;

use chrono::SecondsFormat;
use tokio::sync::OnceCell;

use super::{
    client::Client,
    settings::{HttpErpSettings, InvalidHttpErp},
    signature::Signer,
    wire::{Abilities, About, PageRow, Row, is_id},
};
use crate::{
    domain::{CountryCode, EntityKind, FieldGroup},
    erp::{Capabilities, Cursor, ErpError, ErpId, ErpRecord, Listing, RecordPage, Resource},
    http::{Deadline, Transport},
};

/// Records on a page: the actions for them have to fit into one DynamoDB item.
const PAGE_SIZE: usize = 500;

/// The register of one company.
pub(super) struct Register {
    pub(super) client: Client,
    home_country: Option<CountryCode>,
    abilities: OnceCell<Abilities>,
}

impl Register {
    pub(super) fn new(
        settings: &HttpErpSettings,
        transport: Arc<dyn Transport>,
        signer: Option<Signer>,
    ) -> Result<Self, InvalidHttpErp> {
        Ok(Self {
            client: Client::new(settings, transport, signer)?,
            home_country: settings.home_country,
            abilities: OnceCell::new(),
        })
    }

    pub(super) async fn about(&self, deadline: Deadline) -> Result<About, ErpError> {
        self.client.get(&["about"], &[], deadline).await
    }

    /// What the facade can do, which it is asked once.
    pub(super) async fn abilities(&self, deadline: Deadline) -> Result<&Abilities, ErpError> {
        let abilities = self.abilities.get_or_try_init(|| async {
            let about = self.about(deadline).await?;
            Ok(about.capabilities.into_abilities(self.home_country))
        });
        abilities.await
    }

    pub(super) async fn capabilities(&self, deadline: Deadline) -> Result<&Capabilities, ErpError> {
        Ok(&self.abilities(deadline).await?.capabilities)
    }

    pub(super) async fn get(
        &self,
        id: &ErpId,
        deadline: Deadline,
    ) -> Result<Option<ErpRecord>, ErpError> {
        let capabilities = self.capabilities(deadline).await?;
        let path = [segment(id.resource), id_segment(id)?];
        let row: Option<Row> = self.client.get_one(&path, deadline).await?;
        row.map(|row| row.into_record(id.resource, capabilities))
            .transpose()
    }

    pub(super) async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let capabilities = self.capabilities(deadline).await?;
        let mut query = vec![("limit", PAGE_SIZE.to_string())];
        if let (Resource::Customer, Some(kind)) = (listing.resource, listing.kind) {
            let kind = match kind {
                EntityKind::Customer => "person",
                EntityKind::Company => "organisation",
            };
            query.push(("kind", kind.to_owned()));
        }
        if let Some(since) = listing.since {
            let since = since.to_rfc3339_opts(SecondsFormat::Micros, true);
            query.push(("since", since));
        }
        if !listing.fields.is_empty() {
            let groups: Vec<&str> = listing.fields.iter().map(FieldGroup::as_str).collect();
            query.push(("fields", groups.join(",")));
        }
        if let Some(Cursor(cursor)) = cursor {
            query.push(("cursor", cursor.clone()));
        }
        let path = [segment(listing.resource)];
        let page: PageRow = self.client.get(&path, &query, deadline).await?;
        let page = page.into_page(listing.resource, capabilities);
        if page.next.is_some() && page.next.as_ref() == cursor {
            let reason = "a page names itself as the next one".to_owned();
            return Err(ErpError::Unreadable(reason));
        }
        Ok(page)
    }
}

/// The first segment of a resource's addresses.
pub(super) const fn segment(resource: Resource) -> &'static str {
    match resource {
        Resource::Customer => "customers",
        Resource::Contact => "contacts",
    }
}

/// The id of a record as a segment.
///
/// # Errors
/// It is no id of the contract, and would change the address: the record was mapped to another ERP.
pub(super) fn id_segment(id: &ErpId) -> Result<&str, ErpError> {
    if is_id(&id.id) {
        return Ok(&id.id);
    }
    Err(ErpError::Refused {
        field: None,
        code: "foreign-id".to_owned(),
        message: format!(
            "{id} is no id of the HTTP contract: the record was mapped to another ERP"
        ),
    })
}
