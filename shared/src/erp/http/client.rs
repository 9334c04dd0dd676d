//! Requests to a facade: addresses, headers, credentials.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{
    error::Failure,
    settings::{HttpErpCredentials, HttpErpSettings, InvalidHttpErp},
    signature::{Signer, SigningTransport},
};
use crate::{
    erp::{
        ErpError,
        answer::{CallError, parse},
        mask::Mask,
        token::{TOKEN_POLICY, send_with_token},
    },
    http::{
        ClientCredentials, Deadline, HttpClient, Idempotency, RetryPolicy, TokenSource, Transport,
    },
};

/// The version of the contract.
const VERSION: &str = "v1";

/// A create runs the merchant's own logic, and waiting for it costs less than finding out later what became of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

const COMPANY: HeaderName = HeaderName::from_static("erp-company");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One facade, called with one set of credentials.
pub(super) struct Client {
    root: Url,
    company: Option<HeaderValue>,
    credentials: Credentials,
    reads: HttpClient,
    writes: HttpClient,
}

enum Credentials {
    Key(HeaderValue),
    OAuth(Box<TokenSource>),
}

/// A request that changes something.
pub(super) struct Write<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) body: &'a Value,
    pub(super) condition: Condition<'a>,
    /// The values in it are kept out of errors.
    pub(super) mask: &'a Mask<'a>,
}

/// What makes it safe to send a write, and for some to repeat it.
pub(super) enum Condition<'a> {
    /// It can be repeated without harm.
    None,
    /// The record has to have this version.
    Version(&'a str),
    /// The Norce entity that the record is made for. The caller decides about a repeat.
    Key(&'a str),
}

impl Client {
    pub(super) fn new(
        settings: &HttpErpSettings,
        transport: Arc<dyn Transport>,
        signer: Option<Signer>,
    ) -> Result<Self, InvalidHttpErp> {
        let mut root = settings.base_url.clone();
        if !root.has_host() || root.query().is_some() || root.fragment().is_some() {
            return Err(InvalidHttpErp::BaseUrl);
        }
        root.path_segments_mut()
            .map_err(|()| InvalidHttpErp::BaseUrl)?
            .pop_if_empty()
            .push(VERSION);
        let company = settings.company.as_deref().map(HeaderValue::from_str);
        let company = company.transpose().map_err(|_| InvalidHttpErp::Company)?;
        let credentials = match &settings.credentials {
            HttpErpCredentials::Key(key) => {
                let bearer = format!("Bearer {}", key.expose_secret());
                let bearer = HeaderValue::from_str(&bearer);
                let mut bearer = bearer.map_err(|_| InvalidHttpErp::Key)?;
                bearer.set_sensitive(true);
                Credentials::Key(bearer)
            }
            HttpErpCredentials::OAuth {
                token_url,
                client_id,
                client_secret,
            } => {
                let credentials = ClientCredentials {
                    token_url: token_url.clone(),
                    client_id: client_id.clone(),
                    client_secret: client_secret.clone(),
                    scope: String::new(),
                };
                let tokens = TokenSource::new(transport.clone(), credentials, TOKEN_POLICY);
                Credentials::OAuth(Box::new(tokens))
            }
        };
        // The token server does not have the key.
        let transport = match signer {
            Some(signer) => Arc::new(SigningTransport {
                inner: transport,
                signer,
            }),
            None => transport,
        };
        let patient = RetryPolicy {
            timeout: WRITE_TIMEOUT,
            ..RetryPolicy::default()
        };
        Ok(Self {
            root,
            company,
            credentials,
            reads: HttpClient::new(transport.clone(), RetryPolicy::default()),
            writes: HttpClient::new(transport, patient),
        })
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        deadline: Deadline,
    ) -> Result<T, ErpError> {
        let request = self.request(Method::GET, path, query, None)?;
        self.answer(request, &[], deadline).await
    }

    /// Reads what a body asks for: personal data does not travel in an address.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<T, ErpError> {
        let request = self.request(Method::POST, path, &[], Some(body))?;
        self.answer(request, mask, deadline).await
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: Request<Bytes>,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<T, ErpError> {
        let response = self
            .send(&self.reads, request, Idempotency::Idempotent, deadline)
            .await?;
        if response.status() == StatusCode::OK {
            parse(&response)
        } else {
            Err(Failure::of(&response, mask).into())
        }
    }

    /// Reads one record; `None` when it does not exist.
    pub(super) async fn get_one<T: DeserializeOwned>(
        &self,
        path: &[&str],
        deadline: Deadline,
    ) -> Result<Option<T>, ErpError> {
        let request = self.request(Method::GET, path, &[], None)?;
        let response = self
            .send(&self.reads, request, Idempotency::Idempotent, deadline)
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

    /// Removes a record. One that does not exist has been removed by an attempt whose answer was lost.
    pub(super) async fn remove(&self, path: &[&str], deadline: Deadline) -> Result<(), ErpError> {
        let request = self.request(Method::DELETE, path, &[], None)?;
        // Repeated as a read is: the record is nobody else's, and its id is never used again.
        let response = self
            .send(&self.reads, request, Idempotency::Idempotent, deadline)
            .await?;
        // No other success: a proxy's page must not hide a record that is left.
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let failure = Failure::of(&response, &[]);
        if failure.is_gone() {
            Ok(())
        } else {
            Err(failure.into())
        }
    }

    /// Changes something. Any answer is returned. A create is sent once.
    pub(super) async fn write(
        &self,
        write: &Write<'_>,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let request = self.request(write.method.clone(), write.path, &[], Some(write.body));
        let mut request = request.map_err(CallError::NotDone)?;
        let (condition, idempotency) = match write.condition {
            Condition::None => (None, Idempotency::Idempotent),
            Condition::Version(version) => {
                (Some((header::IF_MATCH, version)), Idempotency::Idempotent)
            }
            Condition::Key(key) => (Some((IDEMPOTENCY_KEY, key)), Idempotency::NonIdempotent),
        };
        if let Some((name, value)) = condition {
            let value = HeaderValue::from_str(value);
            let value = value.map_err(|_| CallError::NotDone(not_built(name.as_str())))?;
            request.headers_mut().insert(name, value);
        }
        self.send(&self.writes, request, idempotency, deadline)
            .await
    }

    /// Sends a request with credentials.
    async fn send(
        &self,
        http: &HttpClient,
        mut request: Request<Bytes>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        match &self.credentials {
            Credentials::Key(bearer) => {
                let headers = request.headers_mut();
                headers.insert(header::AUTHORIZATION, bearer.clone());
                Ok(http.send(request, idempotency, deadline).await?)
            }
            Credentials::OAuth(tokens) => {
                send_with_token(tokens, http, request, idempotency, deadline).await
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Request<Bytes>, ErpError> {
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| not_built("address"))?
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json");
        if let Some(company) = &self.company {
            request = request.header(COMPANY, company.clone());
        }
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                let body = serde_json::to_vec(body).map_err(|_| not_built("body"))?;
                Bytes::from(body)
            }
        };
        request.body(body).map_err(|_| not_built("address"))
    }
}

fn not_built(what: &str) -> ErpError {
    ErpError::Unreadable(format!(
        "a request to the facade cannot be built: its {what} is not well formed"
    ))
}
