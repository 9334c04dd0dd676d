//! An authorized call to Norce, and the classification of its failures.

use std::{fmt::Display, sync::Arc};

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{CallError, NorceError};
use crate::{
    domain::{ApplicationId, redact},
    http::{
        AccessToken, Deadline, HttpClient, Idempotency, TokenSource, TransportError, is_temporary,
        retry_after,
    },
};

/// The application header. `applicationId` is in use as well; both are said to be documented (norce-api §2).
pub(crate) const APPLICATION_HEADER: &str = "application-id";

/// A tenant of Norce: its base URL, and the tokens for it.
#[derive(Clone)]
pub struct NorceApi {
    base_url: Url,
    http: HttpClient,
    tokens: Arc<TokenSource>,
}

impl NorceApi {
    /// The tenant with this base URL, such as `https://{slug}.api-se.norce.tech`.
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

    /// Sends a read for an application.
    pub(super) async fn get(
        &self,
        url: &Url,
        application: ApplicationId,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, NorceError> {
        let request = request(Method::GET, url, application, Bytes::new())?;
        Ok(self
            .send(request, Idempotency::Idempotent, deadline)
            .await?)
    }

    /// Reads a text of this media type.
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
        let response = self
            .send(request, Idempotency::Idempotent, deadline)
            .await?;
        Ok(String::from_utf8_lossy(response.body()).into_owned())
    }

    /// Sends a request with a token and returns the answer if its status is 2xx. A refused token is replaced once.
    pub(super) async fn send(
        &self,
        mut request: Request<Bytes>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        let token = self.token(deadline).await?;
        let response = self
            .send_with(&token, &mut request, idempotency, deadline)
            .await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return accept(response);
        }
        self.tokens.invalidate(&token).await;
        let token = self.token(deadline).await?;
        accept(
            self.send_with(&token, &mut request, idempotency, deadline)
                .await?,
        )
    }

    async fn token(&self, deadline: Deadline) -> Result<AccessToken, CallError> {
        self.tokens
            .token(deadline)
            .await
            .map_err(|error| CallError::NotDone(error.into()))
    }

    async fn send_with(
        &self,
        token: &AccessToken,
        request: &mut Request<Bytes>,
        idempotency: Idempotency,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, CallError> {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, token.authorization());
        self.http
            .send(request.clone(), idempotency, deadline)
            .await
            .map_err(|error| {
                let reason = NorceError::RetryAfter {
                    after: error.after(),
                    reason: error.to_string(),
                };
                match error {
                    TransportError::NotSent(_) | TransportError::CircuitOpen { .. } => {
                        CallError::NotDone(reason)
                    }
                    TransportError::AnswerLost(_) => CallError::OutcomeUnknown(reason),
                }
            })
    }
}

/// A request for an application, without a token.
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

/// Appends a path to a base URL, which may end with a slash.
pub(super) fn resolve(base_url: &Url, path: &str) -> Result<Url, NorceError> {
    let mut url = base_url.clone();
    url.path_segments_mut()
        .map_err(|()| NorceError::Configuration("NORCE_BASE_URL is no base of paths".to_owned()))?
        .pop_if_empty()
        .extend(path.split('/'));
    Ok(url)
}

/// Parses a body. The parser's own message is dropped because it can quote a value.
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
            CallError::OutcomeUnknown(error)
        } else {
            CallError::NotDone(error)
        })
    } else if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        Err(CallError::NotDone(NorceError::Authentication { reason }))
    } else if status.is_client_error() {
        Err(CallError::NotDone(NorceError::Refused {
            status: status.as_u16(),
            reason: words(response.body()).unwrap_or_else(|| "no reason given".to_owned()),
        }))
    } else {
        // A redirect is not followed, because a token must not travel to where it points.
        Err(CallError::OutcomeUnknown(NorceError::Configuration(
            format!(
                "status {} instead of an answer; check NORCE_BASE_URL",
                status.as_u16()
            ),
        )))
    }
}

/// Norce's description of a failure. The format of its error bodies is not documented (norce-api §12), so the usual ones
/// are tried. A body that is not JSON is ignored.
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
