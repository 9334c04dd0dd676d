//! Requests to one company of Business Central: addresses, headers, the token, pages.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::{Url, form_urlencoded};

use super::{
    BusinessCentralSettings, InvalidApiRoot,
    error::{Failure, Mask, no_token, unanswered},
};
use crate::{
    erp::ErpError,
    http::{
        ClientCredentials, Deadline, HttpClient, RetryPolicy, Safety, TokenPolicy, TokenSource,
        Transport, TransportError,
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
const PAGE_SIZE: &str = "odata.maxpagesize=100";

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
    company: String,
    /// Where the token may go.
    origin: url::Origin,
    reads: HttpClient,
    writes: HttpClient,
    tokens: TokenSource,
}

impl Client {
    pub(super) fn new(
        settings: BusinessCentralSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidApiRoot> {
        let root = settings.api_root;
        if !root.has_host() || root.query().is_some() || root.fragment().is_some() {
            return Err(InvalidApiRoot);
        }
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
            company: format!(
                "{}/companies({})",
                root.as_str().trim_end_matches('/'),
                settings.company
            ),
            origin: root.origin(),
            reads: HttpClient::new(transport.clone(), RetryPolicy::default()),
            writes: HttpClient::new(transport.clone(), patient),
            tokens: TokenSource::new(transport, credentials, TOKEN_POLICY),
        })
    }

    /// The address of a path in the company, with a query.
    pub(super) fn address(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut address = format!("{}/{path}", self.company);
        for (place, (name, value)) in query.iter().enumerate() {
            address.push(if place == 0 { '?' } else { '&' });
            address.push_str(name);
            address.push('=');
            for part in form_urlencoded::byte_serialize(value.as_bytes()) {
                // A form's `+` for a space is not a space to every reader of a query.
                address.push_str(if part == "+" { "%20" } else { part });
            }
        }
        address
    }

    /// Reads one record; `None` when it does not exist.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        address: &str,
        deadline: Deadline,
    ) -> Result<Option<T>, ErpError> {
        let request = request(Method::GET, address, None, Bytes::new())?;
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
        address: String,
        mask: &'a Mask<'a>,
        deadline: Deadline,
    ) -> Pages<'a, T> {
        Pages {
            client: self,
            next: Some(address),
            mask,
            deadline,
            rows: PhantomData,
        }
    }

    /// Creates a record, sending the request at most once. Any answer is returned.
    pub(super) async fn post(
        &self,
        address: &str,
        fields: &(impl Serialize + Sync),
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Unanswered> {
        let request = request(Method::POST, address, None, body(fields)?)?;
        self.send(&self.writes, request, Safety::Once, deadline)
            .await
    }

    /// Changes a record on condition that it is still of this version: a repeat cannot do harm. Any answer is
    /// returned.
    pub(super) async fn patch(
        &self,
        address: &str,
        version: &str,
        fields: &(impl Serialize + Sync),
        deadline: Deadline,
    ) -> Result<Response<Bytes>, Unanswered> {
        let request = request(Method::PATCH, address, Some(version), body(fields)?)?;
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
                    TransportError::NotSent(_) => Unanswered::NotSent(unanswered(&error)),
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

/// The pages of a list. The server decides where they end (erp-apis §1.5).
pub(super) struct Pages<'a, T> {
    client: &'a Client,
    next: Option<String>,
    mask: &'a Mask<'a>,
    deadline: Deadline,
    rows: PhantomData<fn() -> T>,
}

#[derive(Deserialize)]
struct Page<T> {
    value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next page; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<T>>, ErpError> {
        let Some(address) = self.next.take() else {
            return Ok(None);
        };
        let client = self.client;
        let mut request = request(Method::GET, &address, None, Bytes::new())?;
        request
            .headers_mut()
            .insert(PREFER, HeaderValue::from_static(PAGE_SIZE));
        let response = client
            .send(&client.reads, request, Safety::Repeatable, self.deadline)
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of(&response, self.mask).into());
        }
        let page: Page<T> = parse(&response)?;
        if let Some(link) = page.next {
            let ours = Url::parse(&link).is_ok_and(|link| link.origin() == client.origin);
            if !ours {
                return Err(ErpError::Unreadable(
                    "the link to the next page leads away from ERP_BASE_URL, where the token must not go"
                        .to_owned(),
                ));
            }
            self.next = Some(link);
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

/// A text in a filter.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn body(fields: &impl Serialize) -> Result<Bytes, Unanswered> {
    serde_json::to_vec(fields)
        .map(Bytes::from)
        .map_err(|_| not_built("body"))
}

fn request(
    method: Method,
    address: &str,
    version: Option<&str>,
    body: Bytes,
) -> Result<Request<Bytes>, Unanswered> {
    let mut request = Request::builder()
        .method(method)
        .uri(address)
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
