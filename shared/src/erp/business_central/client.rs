//! Requests to one company of Business Central: addresses, headers, the token, pages.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;
use uuid::Uuid;

use super::{
    error::Failure,
    settings::{BusinessCentralSettings, InvalidApiRoot},
};
use crate::{
    erp::{
        ErpError,
        answer::{CallError, parse, server_time},
        mask::Mask,
        token::{TOKEN_POLICY, send_with_token},
    },
    http::{
        ClientCredentials, Deadline, HttpClient, Idempotency, RetryPolicy, TokenSource, Transport,
        odata::{Page, next_page},
    },
};

/// The scope of every app (erp-apis §1.1).
const SCOPE: &str = "https://api.businesscentral.dynamics.com/.default";

/// A write runs the merchant's own extensions, templates and number series, and Business Central continues it for up to
/// 8 minutes (erp-apis §1.8). Giving up early turns a slow create into one of unknown outcome, which costs far more
/// than the wait.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Page size of look-ups, which look for one record: a full page is already too many.
const PAGE_SIZE: HeaderValue = HeaderValue::from_static("odata.maxpagesize=100");
/// Page size of listings, about half a megabyte. Business Central allows 20,000 rows (erp-apis §1.5), but the actions
/// for the records of a page have to fit into one DynamoDB item.
const LISTING_PAGE_SIZE: HeaderValue = HeaderValue::from_static("odata.maxpagesize=500");

/// A GUID takes 43 characters in a filter; the address stays below 2,000, which every proxy takes.
pub(super) const IDS_BATCH_SIZE: usize = 40;
/// Business Central answers five requests of an app at a time (erp-apis §1.8), and `change-events` needs some of them.
pub(super) const GET_MANY_CONCURRENCY: usize = 2;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The API of one company, called as one app registration.
pub(super) struct Client {
    /// `{API root}/companies({id})`.
    company: Url,
    /// The same below the root of the merchant's own API.
    extra_company: Option<Url>,
    reads: HttpClient,
    writes: HttpClient,
    tokens: TokenSource,
}

impl Client {
    pub(super) fn new(
        settings: BusinessCentralSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidApiRoot> {
        let company = company_url(&settings.api_root, settings.company);
        let company = company.ok_or(InvalidApiRoot::Standard)?;
        let extra_company = match &settings.extra_root {
            Some(root) => {
                let extra = company_url(root, settings.company);
                let extra = extra.filter(|extra| extra.origin() == company.origin());
                Some(extra.ok_or(InvalidApiRoot::Extra)?)
            }
            None => None,
        };
        let credentials = ClientCredentials {
            token_url: settings.token_url,
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            scope: SCOPE.to_owned(),
        };
        let patient = RetryPolicy {
            timeout: WRITE_TIMEOUT,
            ..RetryPolicy::default()
        };
        Ok(Self {
            company,
            extra_company,
            reads: HttpClient::new(transport.clone(), RetryPolicy::default()),
            writes: HttpClient::new(transport.clone(), patient),
            tokens: TokenSource::new(transport, credentials, TOKEN_POLICY),
        })
    }

    /// The address of a path below the company.
    pub(super) fn url(&self, path: &str) -> Url {
        below(&self.company, path)
    }

    /// Whether the extra fields have a page of their own.
    pub(super) const fn has_extra_root(&self) -> bool {
        self.extra_company.is_some()
    }

    /// The address of a path below the company in the merchant's own API, where there is one.
    pub(super) fn extra_url(&self, path: &str) -> Option<Url> {
        let company = self.extra_company.as_ref()?;
        Some(below(company, path))
    }

    /// The address of a path below the API root.
    pub(super) fn root_url(&self, path: &str) -> Url {
        let mut url = self.company.clone();
        let root = url.path().rsplit_once('/').map_or("", |(root, _)| root);
        let path = format!("{root}/{path}");
        url.set_path(&path);
        url
    }

    /// Reads one record; `None` when it does not exist.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Option<T>, ErpError> {
        let response = self.get(url, None, deadline).await?;
        if response.status() == StatusCode::OK {
            return parse(&response).map(Some);
        }
        let failure = Failure::of(&response, &[]);
        if failure.is_gone() {
            Ok(None)
        } else {
            Err(failure.into())
        }
    }

    /// Reads a list, page by page. The values in `mask` are kept out of errors.
    pub(super) fn list<'a, T>(
        &'a self,
        url: Url,
        mask: &'a Mask<'a>,
        deadline: Deadline,
    ) -> Pages<'a, T> {
        Pages {
            client: self,
            next: Some(url),
            mask,
            deadline,
            rows: PhantomData,
        }
    }

    /// Creates a record, sending the request at most once. Any answer is returned.
    pub(super) async fn post(
        &self,
        url: &Url,
        fields: &(impl Serialize + Sync),
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let request = request(Method::POST, url, None, body(fields)?)?;
        self.send(&self.writes, request, Idempotency::NonIdempotent, deadline)
            .await
    }

    /// Changes a record on condition that it still has this version, so that a repeat does no harm. Any answer is
    /// returned.
    pub(super) async fn patch(
        &self,
        url: &Url,
        version: &str,
        fields: &(impl Serialize + Sync),
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let request = request(Method::PATCH, url, Some(version), body(fields)?)?;
        self.send(&self.writes, request, Idempotency::Idempotent, deadline)
            .await
    }

    /// Deletes a record that has this version. Any answer is returned.
    pub(super) async fn delete(
        &self,
        url: &Url,
        version: &str,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let request = request(Method::DELETE, url, Some(version), Bytes::new())?;
        self.send(&self.writes, request, Idempotency::Idempotent, deadline)
            .await
    }

    async fn send(
        &self,
        http: &HttpClient,
        request: Request<Bytes>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        send_with_token(&self.tokens, http, request, idempotency, deadline).await
    }

    /// Reads something. Any answer is returned.
    async fn get(
        &self,
        url: &Url,
        page_size: Option<HeaderValue>,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, ErpError> {
        let mut request = request(Method::GET, url, None, Bytes::new())?;
        if let Some(page_size) = page_size {
            request.headers_mut().insert(PREFER, page_size);
        }
        let response = self.send(&self.reads, request, Idempotency::Idempotent, deadline);
        Ok(response.await?)
    }

    /// Reads one page of a listing. Any answer is returned.
    pub(super) async fn listing_page(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, ErpError> {
        self.get(url, Some(LISTING_PAGE_SIZE), deadline).await
    }

    /// The address of a page that the server named. It has to be on the same server, because the token is sent there.
    pub(super) fn page_url(&self, from: &Url, link: &str) -> Result<Url, ErpError> {
        next_page(from, link)
            .map_err(|error| ErpError::Unreadable(format!("{error}; check ERP_BASE_URL")))
    }

    /// The server's time.
    pub(super) async fn date(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Option<DateTime<Utc>>, ErpError> {
        let response = self.get(url, None, deadline).await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of(&response, &[]).into());
        }
        Ok(server_time(&response))
    }
}

/// The pages of a list. The server decides where they end (erp-apis §1.5).
pub(super) struct Pages<'a, T> {
    client: &'a Client,
    next: Option<Url>,
    mask: &'a Mask<'a>,
    deadline: Deadline,
    rows: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next page; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<T>>, ErpError> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let client = self.client;
        let response = client.get(&url, Some(PAGE_SIZE), self.deadline).await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of(&response, self.mask).into());
        }
        let page: Page<T> = parse(&response)?;
        if let Some(link) = page.next_link {
            self.next = Some(client.page_url(&url, &link)?);
        }
        Ok(Some(page.value))
    }
}

/// The address of a company below an API root.
fn company_url(root: &Url, company: Uuid) -> Option<Url> {
    if !root.has_host() || root.query().is_some() || root.fragment().is_some() {
        return None;
    }
    let mut url = root.clone();
    let mut segments = url.path_segments_mut().ok()?;
    segments
        .pop_if_empty()
        .push(&format!("companies({company})"));
    drop(segments);
    Some(url)
}

fn below(company: &Url, path: &str) -> Url {
    let mut url = company.clone();
    url.set_path(&format!("{}/{path}", company.path()));
    url
}

fn body(fields: &impl Serialize) -> Result<Bytes, CallError> {
    serde_json::to_vec(fields)
        .map(Bytes::from)
        .map_err(|_| not_built("body"))
}

fn request(
    method: Method,
    url: &Url,
    version: Option<&str>,
    body: Bytes,
) -> Result<Request<Bytes>, CallError> {
    let mut request = Request::builder()
        .method(method)
        .uri(url.as_str())
        .header(header::ACCEPT, "application/json")
        // Otherwise messages come in the user's language (erp-apis §1.1).
        .header(header::ACCEPT_LANGUAGE, "en-US");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(version) = version {
        request = request.header(header::IF_MATCH, version);
    }
    request.body(body).map_err(|_| not_built("address"))
}

fn not_built(what: &str) -> CallError {
    CallError::NotDone(ErpError::Unreadable(format!(
        "a request to Business Central cannot be built: its {what} is not well formed"
    )))
}
