//! Pages of a set. One name that a tenant does not have makes Query refuse the whole request, so optional parts that are
//! refused are found one by one and left out from then on.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::Response;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use url::Url;

use super::{expanded, metadata::XML, sets::QUERY};
use crate::{
    domain::{ApplicationId, ShopField, ShopFields},
    http::{
        Deadline,
        odata::{Filter, Options, Page, next_page},
    },
    norce::{NorceApi, NorceError, api::read, serde_utils},
};

/// Norce Query of one tenant, by pages.
pub(super) struct Pages {
    api: NorceApi,
    refused: Mutex<RefusedParts>,
    finding_out: tokio::sync::Mutex<()>,
}

/// The parts of rows that this tenant's Query refuses, each with its set.
#[derive(Default)]
struct RefusedParts {
    /// Fields and related rows that were requested one by one since the process started.
    tried: HashSet<(&'static str, &'static str)>,
    /// Fields and related rows that are left out.
    left_out: BTreeSet<(&'static str, &'static str)>,
}

impl Pages {
    pub(super) fn new(api: NorceApi) -> Self {
        Self {
            api,
            refused: Mutex::default(),
            finding_out: tokio::sync::Mutex::default(),
        }
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
        if !expanded::may_be_cut(response.body()) {
            return read(set, &response);
        }
        let page: Page<Value> = read(set, &response)?;
        let mut rows = Vec::with_capacity(page.value.len());
        for mut row in page.value {
            self.complete(set, url, &mut row, application, deadline)
                .await?;
            // The parser's own message is dropped because it can quote a value.
            let row = serde_json::from_value(row).map_err(|_| {
                NorceError::Unreadable(format!("{set}: a row is not of the documented shape"))
            });
            rows.push(row?);
        }
        Ok(Page {
            value: rows,
            next_link: page.next_link,
        })
    }

    /// Reads the related rows that a row lacks. A refusal here does not mean that the request for the row was refused: the row
    /// just cannot be read whole.
    async fn complete(
        &self,
        set: &'static str,
        url: &Url,
        row: &mut Value,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<(), NorceError> {
        let id = row.get("Id").and_then(serde_utils::whole_number);
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        while let Some(cut) = expanded::take_cut(row) {
            let unreadable = |reason: &dyn std::fmt::Display| {
                let place = cut.place.trim_start_matches('/');
                NorceError::Unreadable(format!("{set}({id}): the rest of {place}: {reason}"))
            };
            let mut next = Some((url.clone(), cut.link.clone()));
            while let Some((page, link)) = next {
                let url = next_page(&page, &link).map_err(|error| unreadable(&error))?;
                if url == page {
                    return Err(unreadable(&"its link leads to itself"));
                }
                let response = self.api.get(&url, application, deadline).await;
                let response = response.map_err(|error| match error {
                    NorceError::Refused { .. } => unreadable(&error),
                    error => error,
                })?;
                let rest: Page<Value> = read(format_args!("{set}({id})"), &response)?;
                let Some(Value::Array(rows)) = row.pointer_mut(&cut.place) else {
                    return Err(unreadable(&"no list"));
                };
                rows.extend(rest.value);
                next = rest.next_link.map(|link| (url, link));
            }
        }
        Ok(())
    }

    /// The first page and its URL. If Query refuses the request, the refused parts are found, once for a set, and left out
    /// from then on.
    pub(super) async fn first_page<T: DeserializeOwned>(
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

    /// The shop's fields that cannot be read, because their part is left out.
    pub(super) fn unread(&self, set: &'static str) -> ShopFields {
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

    /// The options without the parts that are known to be refused.
    fn offered(&self, set: &'static str, options: Options) -> Options {
        let refused = self.refused();
        let left_out = refused.left_out.iter().filter(|(of, _)| *of == set);
        left_out.fold(options, |options, (_, part)| options.without(part))
    }

    /// Whether Query refuses some of the optional parts. Each is requested on its own, and the refused ones are recorded.
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
        // Of several calls that are refused at the same time, one finds the parts and the others wait for it.
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
            // If the request without any of them is refused as well, they are not the reason.
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

    /// The parts that Query refuses, each with its set.
    pub(super) fn left_out(&self) -> Vec<(&'static str, &'static str)> {
        self.refused().left_out.iter().copied().collect()
    }

    /// The description (`$metadata`) of a namespace, in XML.
    pub(super) async fn metadata(
        &self,
        namespace: &str,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<String, NorceError> {
        let url = self.api.url(&format!("{QUERY}/{namespace}/$metadata"))?;
        self.api.get_text(&url, XML, application, deadline).await
    }

    fn refused(&self) -> MutexGuard<'_, RefusedParts> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of the first page, for results that fit into one.
    pub(super) async fn some<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
        let page = self.first_page(set, options, application, deadline).await;
        Ok(page?.0.value)
    }

    /// The rows of all pages, following the links.
    pub(super) async fn every<T: DeserializeOwned>(
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

    /// All rows of a set that has an `Id`, page by page in its order, which tolerates rows that come and go meanwhile, as
    /// `$skip` does not (norce-api §5.1). A page may be shorter than requested: only an empty one is the last.
    pub(super) async fn every_by_id<T: DeserializeOwned>(
        &self,
        set: &'static str,
        options: &Options,
        id: impl Fn(&T) -> i64,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Vec<T>, NorceError> {
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
}
