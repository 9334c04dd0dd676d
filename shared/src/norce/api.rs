//! One authorised call, and the one place where answers become errors.

use std::{fmt::Display, sync::Arc};

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{ImportError, NorceError};
use crate::{
    domain::{ApplicationId, redact},
    http::{
        AccessToken, Deadline, HttpClient, Safety, TokenSource, TransportError, is_temporary,
        retry_after,
    },
};

/// The application header. `applicationId` is in use as well; both are said to be documented (norce-api §2).
pub(crate) const APPLICATION_HEADER: &str = "application-id";

/// One tenant of Norce: where it is, and the right to call it.
#[derive(Clone)]
pub struct NorceApi {
    base_url: Url,
    http: HttpClient,
    tokens: Arc<TokenSource>,
}

/// A call failed. Besides the reason it tells whether Norce may have acted.
pub(super) enum CallError {
    /// Certainly not.
    NotTaken(NorceError),
    /// Perhaps.
    Unknown(NorceError),
}

impl From<CallError> for NorceError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotTaken(error) | CallError::Unknown(error) => error,
        }
    }
}

impl From<CallError> for ImportError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotTaken(error) => Self::NotTaken(error),
            CallError::Unknown(error) => Self::Unknown(error),
        }
    }
}

impl NorceApi {
    /// A tenant at its base URL, such as `https://{slug}.api-se.norce.tech`.
    pub fn new(base_url: Url, http: HttpClient, tokens: Arc<TokenSource>) -> Self {
        Self {
            base_url,
            http,
            tokens,
        }
    }

    /// The URL of a path below the base URL.
    pub(super) fn url(&self, path: &str) -> Result<Url, NorceError> {
        resolve(&self.base_url, path)
    }

    /// A read in an application's name.
    pub(super) async fn get(
        &self,
        url: &Url,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, NorceError> {
        let request = request(Method::GET, url, application, Bytes::new())?;
        Ok(self.send(request, Safety::Repeatable, deadline).await?)
    }

    /// A read of a text in this media type.
    pub(super) async fn get_text(
        &self,
        url: &Url,
        media_type: &'static str,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<String, NorceError> {
        let mut request = request(Method::GET, url, application, Bytes::new())?;
        let accepted = HeaderValue::from_static(media_type);
        request.headers_mut().insert(header::ACCEPT, accepted);
        let response = self.send(request, Safety::Repeatable, deadline).await?;
        Ok(String::from_utf8_lossy(response.body()).into_owned())
    }

    /// Sends a request with a token and brings back a 2xx. A refused token is replaced once.
    pub(super) async fn send(
        &self,
        mut request: Request<Bytes>,
        safety: Safety,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let token = self.token(deadline).await?;
        let response = self
            .send_with(&token, &mut request, safety, deadline)
            .await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return accept(response);
        }
        self.tokens.invalidate(&token).await;
        let token = self.token(deadline).await?;
        accept(
            self.send_with(&token, &mut request, safety, deadline)
                .await?,
        )
    }

    async fn token(&self, deadline: Deadline) -> Result<AccessToken, CallError> {
        self.tokens
            .token(deadline)
            .await
            .map_err(|error| CallError::NotTaken(error.into()))
    }

    async fn send_with(
        &self,
        token: &AccessToken,
        request: &mut Request<Bytes>,
        safety: Safety,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, token.authorization());
        self.http
            .send(request.clone(), safety, deadline)
            .await
            .map_err(|error| {
                let reason = NorceError::RetryAfter {
                    after: error.after(),
                    reason: error.to_string(),
                };
                match error {
                    TransportError::NotSent(_) | TransportError::Held { .. } => {
                        CallError::NotTaken(reason)
                    }
                    TransportError::AnswerLost(_) => CallError::Unknown(reason),
                }
            })
    }
}

/// A request in an application's name, still without a token.
pub(super) fn request(
    method: Method,
    url: &Url,
    application: ApplicationId,
    body: Bytes,
) -> Result<Request<Bytes>, NorceError> {
    Request::builder()
        .method(method)
        .uri(url.as_str())
        .header(APPLICATION_HEADER, HeaderValue::from(application.get()))
        .header(header::ACCEPT, "application/json")
        .body(body)
        .map_err(|_| NorceError::Configuration("NORCE_BASE_URL gives no URI".to_owned()))
}

/// A path below a base URL, whether that ends with a slash or not.
pub(super) fn resolve(base_url: &Url, path: &str) -> Result<Url, NorceError> {
    let mut url = base_url.clone();
    url.path_segments_mut()
        .map_err(|()| NorceError::Configuration("NORCE_BASE_URL is no base of paths".to_owned()))?
        .pop_if_empty()
        .extend(path.split('/'));
    Ok(url)
}

/// A body as what it is said to be. What the parser says stays out of the message: it can quote a value.
pub(super) fn read<T: DeserializeOwned>(
    what: impl Display,
    response: &Response<Bytes>,
) -> Result<T, NorceError> {
    serde_json::from_slice(response.body()).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        NorceError::Unreadable(format!(
            "{what}: not of the documented shape at line {line}, column {column}"
        ))
    })
}

fn accept(response: Response<Bytes>) -> Result<Response<Bytes>, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let reason = match words(response.body()) {
        Some(words) => format!("status {}, {words}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    };
    if is_temporary(status) {
        let error = NorceError::RetryAfter {
            after: retry_after(&response, Utc::now()),
            reason,
        };
        Err(if status.is_server_error() {
            CallError::Unknown(error)
        } else {
            CallError::NotTaken(error)
        })
    } else if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        Err(CallError::NotTaken(NorceError::Authentication { reason }))
    } else if status.is_client_error() {
        Err(CallError::NotTaken(NorceError::Refused {
            status: status.as_u16(),
            reason: words(response.body()).unwrap_or_else(|| "no reason given".to_owned()),
        }))
    } else {
        // A redirect is not followed, because a token must not travel to where it points.
        Err(CallError::Unknown(NorceError::Configuration(format!(
            "status {} instead of an answer; check NORCE_BASE_URL",
            status.as_u16()
        ))))
    }
}

/// What Norce says about a failure. The shape of its error bodies is not documented (norce-api §12), so that the
/// usual ones are tried; a page that is no JSON says nothing that is worth a log line.
fn words(body: &[u8]) -> Option<String> {
    const PLACES: [&str; 7] = [
        "/Message",
        "/message",
        "/error/message",
        "/error_description",
        "/error",
        "/detail",
        "/title",
    ];
    let body: Value = serde_json::from_slice(body).ok()?;
    let words = match &body {
        Value::String(words) => words,
        body => PLACES
            .iter()
            .find_map(|place| body.pointer(place).and_then(Value::as_str))?,
    };
    Some(redact(words)).filter(|words| !words.is_empty())
}
