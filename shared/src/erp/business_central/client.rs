//! Requests to one company of Business Central: addresses, headers, the token, pages.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{
    BusinessCentralSettings, InvalidApiRoot,
    error::{Failure, no_token, unanswered},
};
use crate::{
    erp::{ErpError, mask::Mask},
    http::{
        ClientCredentials, Deadline, HttpClient, RetryPolicy, Safety, TokenPolicy, TokenSource,
        Transport, TransportError,
        odata::{Page, next_page},
    },
};

/// What every app asks for (erp-apis §1.1).
const SCOPE: &str = "https://api.businesscentral.dynamics.com/.default";

/// Microsoft Entra's tokens live for about an hour, so that a minute is no loss.
const TOKEN_POLICY: TokenPolicy = TokenPolicy {
    early: Duration::from_secs(60),
    back_off: Duration::from_secs(20),
    timeout: Duration::from_secs(10),
};

/// A write waits for the merchant's own extensions, templates and number series, and Business Central goes on with it
/// for up to 8 minutes (erp-apis §1.8). Giving up early turns a slow create into one of unknown outcome, which costs
/// far more than the wait.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Look-ups look for one record. Anything that fills a page is too much already.
const PAGE_SIZE: HeaderValue = HeaderValue::from_static("odata.maxpagesize=100");
/// A listing is read a good half megabyte at a time. Business Central allows 20,000 rows (erp-apis §1.5), but what is to
/// be done about the records of a page has to fit into one item of DynamoDB, whatever is the matter with them.
const LISTING_PAGE_SIZE: HeaderValue = HeaderValue::from_static("odata.maxpagesize=500");

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// There is no answer to a request.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It was not sent.
    NotSent(ErpError),
    /// It may have been carried out.
    Lost(TransportError),
}

impl From<Unanswered> for ErpError {
    fn from(unanswered_request: Unanswered) -> Self {
        match unanswered_request {
            Unanswered::NotSent(error) => error,
            Unanswered::Lost(error) => unanswered(&error),
        }
    }
}

/// One company, seen through one app registration.
pub(super) struct Client {
    /// `{API root}/companies({id})`.
    company: Url,
    reads: HttpClient,
    writes: HttpClient,
    tokens: TokenSource,
}

impl Client {
    pub(super) fn new(
        settings: BusinessCentralSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidApiRoot> {
        let mut company = settings.api_root;
        if !company.has_host() || company.query().is_some() || company.fragment().is_some() {
            return Err(InvalidApiRoot);
        }
        company
            .path_segments_mut()
            .map_err(|()| InvalidApiRoot)?
            .pop_if_empty()
            .push(&format!("companies({})", settings.company));
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
            reads: HttpClient::new(transport.clone(), RetryPolicy::default()),
            writes: HttpClient::new(transport.clone(), patient),
            tokens: TokenSource::new(transport, credentials, TOKEN_POLICY),
        })
    }

    /// The address of a path in the company.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.company.clone();
        url.set_path(&format!("{}/{path}", self.company.path()));
        url
    }

    /// Reads one record; `None` when it does not exist.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Option<T>, ErpError> {
        let request = request(Method::GET, url, None, Bytes::new())?;
        let response = self
            .send(&self.reads, request, Safety::Repeatable, deadline)
            .await?;
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

    /// Reads a list, page by page. What stands in `mask` is kept out of errors.
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
    ) -> Result<Response<Bytes>, Unanswered> {
        let request = request(Method::POST, url, None, body(fields)?)?;
        self.send(&self.writes, request, Safety::Once, deadline)
            .await
    }

    /// Changes a record on condition that it is still of this version: a repeat cannot do harm. Any answer is
    /// returned.
    pub(super) async fn patch(
        &self,
        url: &Url,
        version: &str,
        fields: &(impl Serialize + Sync),
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Unanswered> {
        let request = request(Method::PATCH, url, Some(version), body(fields)?)?;
        self.send(&self.writes, request, Safety::Repeatable, deadline)
            .await
    }

    /// Sends a request with a token, once more with a new one when the first is refused: with 401 nothing was done.
    async fn send(
        &self,
        http: &HttpClient,
        mut request: Request<Bytes>,
        safety: Safety,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Unanswered> {
        let mut renewed = false;
        loop {
            let token = self
                .tokens
                .token(deadline)
                .await
                .map_err(|error| Unanswered::NotSent(no_token(error)))?;
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, token.authorization());
            let response = http
                .send(request.clone(), safety, deadline)
                .await
                .map_err(|error| match &error {
                    TransportError::NotSent(_) | TransportError::Held { .. } => {
                        Unanswered::NotSent(unanswered(&error))
                    }
                    TransportError::AnswerLost(_) => Unanswered::Lost(error),
                })?;
            if response.status() != StatusCode::UNAUTHORIZED || renewed {
                return Ok(response);
            }
            self.tokens.invalidate(&token).await;
            renewed = true;
        }
    }
}

impl Client {
    /// One page of a listing: its body, and the address of the next one.
    pub(super) async fn listing_page(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, ErpError> {
        let mut request = request(Method::GET, url, None, Bytes::new())?;
        request.headers_mut().insert(PREFER, LISTING_PAGE_SIZE);
        Ok(self
            .send(&self.reads, request, Safety::Repeatable, deadline)
            .await?)
    }

    /// The address of a page that the server named, if it is one of ours: the token is sent there.
    pub(super) fn page_url(&self, from: &Url, link: &str) -> Result<Url, ErpError> {
        next_page(from, link)
            .map_err(|error| ErpError::Unreadable(format!("{error}; check ERP_BASE_URL")))
    }

    /// The server's time, as it stands in the header of an answer.
    pub(super) async fn date(
        &self,
        url: &Url,
        deadline: Deadline,
    ) -> Result<Option<DateTime<Utc>>, ErpError> {
        let request = request(Method::GET, url, None, Bytes::new())?;
        let response = self
            .send(&self.reads, request, Safety::Repeatable, deadline)
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of(&response, &[]).into());
        }
        let date = response.headers().get(header::DATE);
        Ok(date
            .and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok())
            .map(|date| date.to_utc()))
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
        let mut request = request(Method::GET, &url, None, Bytes::new())?;
        request.headers_mut().insert(PREFER, PAGE_SIZE);
        let response = client
            .send(&client.reads, request, Safety::Repeatable, self.deadline)
            .await?;
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

/// Reads a body. The parser's own message could quote it.
pub(super) fn parse<T: DeserializeOwned>(response: &Response<Bytes>) -> Result<T, ErpError> {
    serde_json::from_slice(response.body()).map_err(|_| {
        ErpError::Unreadable(format!(
            "HTTP {} with a body that is not what the API describes",
            response.status().as_u16()
        ))
    })
}

fn body(fields: &impl Serialize) -> Result<Bytes, Unanswered> {
    serde_json::to_vec(fields)
        .map(Bytes::from)
        .map_err(|_| not_built("body"))
}

fn request(
    method: Method,
    url: &Url,
    version: Option<&str>,
    body: Bytes,
) -> Result<Request<Bytes>, Unanswered> {
    let mut request = Request::builder()
        .method(method)
        .uri(url.as_str())
        .header(header::ACCEPT, "application/json")
        // Messages come in the user's language otherwise (erp-apis §1.1).
        .header(header::ACCEPT_LANGUAGE, "en-US");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(version) = version {
        request = request.header(header::IF_MATCH, version);
    }
    request.body(body).map_err(|_| not_built("address"))
}

fn not_built(what: &str) -> Unanswered {
    Unanswered::NotSent(ErpError::Unreadable(format!(
        "a request to Business Central cannot be built: its {what} is not well formed"
    )))
}
