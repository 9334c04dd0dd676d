//! Calls of Odoo's JSON-2 API: addresses, headers, and what its refusals mean (erp-apis §2.3).

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Request, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use super::{InvalidBaseUrl, OdooSettings};
use crate::{
    erp::{
        ErpError,
        mask::{Mask, masked},
    },
    http::{
        Deadline, HttpClient, RetryPolicy, Safety, Transport, TransportError, is_temporary,
        retry_after,
    },
};

/// Odoo gives a request up to two minutes (`limit_time_real`, erp-apis §2.5); a create that waits for the merchant's own modules is
/// better waited for than asked about.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const DATABASE: &str = "x-odoo-database";

/// Errors of the set-up, such as a field that a missing module would bring: HTTP 500, and permanent all the same.
const OF_THE_SET_UP: [&str; 4] = [
    "builtins.ValueError",
    "builtins.KeyError",
    "builtins.AttributeError",
    "builtins.TypeError",
];

/// One database of an Odoo server, seen through one API key.
pub(super) struct Client {
    root: Url,
    database: Option<HeaderValue>,
    company: Option<NonZeroU32>,
    key: SecretString,
    reads: HttpClient,
    writes: HttpClient,
}

/// There is no answer that says what became of a write.
#[derive(Debug)]
pub(super) enum Unsettled {
    /// It was certainly not done.
    NotDone(ErpError),
    /// It may have been done.
    Unknown(String),
}

impl From<Unsettled> for ErpError {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::NotDone(error) => error,
            Unsettled::Unknown(reason) => Self::RetryAfter {
                after: None,
                reason,
            },
        }
    }
}

/// `{"name","message","arguments","context","debug"}`. `debug` holds rows of the database and is never looked at.
#[derive(Deserialize)]
struct ErrorAnswer {
    name: String,
    #[serde(default)]
    message: String,
}

/// An answer that is no success.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    name: Option<String>,
    message: String,
    after: Option<Duration>,
}

impl Client {
    pub(super) fn new(
        settings: OdooSettings,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidBaseUrl> {
        let mut root = settings.base_url;
        if !root.has_host() || root.query().is_some() || root.fragment().is_some() {
            return Err(InvalidBaseUrl);
        }
        root.path_segments_mut()
            .map_err(|()| InvalidBaseUrl)?
            .pop_if_empty()
            .extend(["json", "2"]);
        let database = settings.database.as_deref().map(HeaderValue::from_str);
        let database = database.transpose().map_err(|_| InvalidBaseUrl)?;
        let patient = RetryPolicy {
            timeout: WRITE_TIMEOUT,
            ..RetryPolicy::default()
        };
        Ok(Self {
            root,
            database,
            company: settings.company,
            key: settings.api_key,
            reads: HttpClient::new(transport.clone(), RetryPolicy::default()),
            writes: HttpClient::new(transport, patient),
        })
    }

    /// A call that changes nothing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<T, ErpError> {
        let response = self.ask(model, method, arguments, deadline).await?;
        parse(&response)
    }

    /// The server's time, as it stands in the header of an answer.
    pub(super) async fn date(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Option<DateTime<Utc>>, ErpError> {
        let response = self.ask(model, method, arguments, deadline).await?;
        let date = response.headers().get(header::DATE);
        Ok(date
            .and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok())
            .map(|date| date.to_utc()))
    }

    async fn ask(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, ErpError> {
        let request = self.request(model, method, arguments)?;
        let response = self
            .reads
            .send(request, Safety::Repeatable, deadline)
            .await
            .map_err(|error| unanswered(&error))?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(Failure::of(&response, &[]).into())
        }
    }

    /// A call that changes something, sent at most once unless it is the same however often it is made. `None`: the
    /// record does not exist.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        safety: Safety,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<Option<T>, Unsettled> {
        let request = self
            .request(model, method, arguments)
            .map_err(Unsettled::NotDone)?;
        let response = self
            .writes
            .send(request, safety, deadline)
            .await
            .map_err(|error| match &error {
                TransportError::NotSent(_) | TransportError::Held { .. } => {
                    Unsettled::NotDone(unanswered(&error))
                }
                TransportError::AnswerLost(_) => Unsettled::Unknown(error.to_string()),
            })?;
        if response.status() == StatusCode::OK {
            return parse(&response)
                .map(Some)
                .map_err(|error| Unsettled::Unknown(error.to_string()));
        }
        let failure = Failure::of(&response, mask);
        if failure.is_gone() {
            return Ok(None);
        }
        Err(if failure.is_definite() {
            Unsettled::NotDone(failure.into())
        } else {
            Unsettled::Unknown(failure.reason())
        })
    }

    fn request(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
    ) -> Result<Request<Bytes>, ErpError> {
        let not_built = |what: &str| {
            ErpError::Unreadable(format!(
                "a request to Odoo cannot be built: its {what} is not well formed"
            ))
        };
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| not_built("address"))?
            .extend([model, method]);
        let body = match self.company {
            None => serde_json::to_vec(arguments),
            // The company in whose name everything is done; Odoo checks that the user may.
            Some(company) => {
                let mut arguments = arguments.clone();
                arguments["context"]["allowed_company_ids"] = json!([company]);
                serde_json::to_vec(&arguments)
            }
        };
        let body = body.map_err(|_| not_built("body"))?;
        let key = format!("bearer {}", self.key.expose_secret());
        let mut key = HeaderValue::from_str(&key).map_err(|_| not_built("API key"))?;
        key.set_sensitive(true);
        let mut request = Request::post(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, key);
        if let Some(database) = &self.database {
            request = request.header(DATABASE, database.clone());
        }
        request
            .body(Bytes::from(body))
            .map_err(|_| not_built("address"))
    }
}

impl Failure {
    fn of(response: &Response<Bytes>, mask: &Mask<'_>) -> Self {
        // Whatever is no JSON may be a whole page, and is not repeated.
        let (name, message) = match serde_json::from_slice::<ErrorAnswer>(response.body()) {
            Ok(error) => (Some(error.name), masked(&error.message, mask)),
            Err(_) => (None, String::new()),
        };
        Self {
            status: response.status(),
            name,
            message,
            after: retry_after(response, Utc::now()),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }

    /// The record does not exist. No other 404 says so: a wrong address must not make a register look empty.
    fn is_gone(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.has_name("odoo.exceptions.MissingError")
    }

    fn is_of_the_set_up(&self) -> bool {
        let name = self.name.as_deref();
        name.is_some_and(|name| OF_THE_SET_UP.contains(&name))
    }

    /// Whether the request has certainly had no effect: a call is one transaction (erp-apis §2.3), and an error that has
    /// a name has rolled it back.
    fn is_definite(&self) -> bool {
        self.name.is_some()
            || !self.status.is_server_error() && self.status != StatusCode::REQUEST_TIMEOUT
    }

    fn reason(&self) -> String {
        let status = self.status.as_u16();
        match &self.name {
            Some(name) => format!("HTTP {status} {name}"),
            None => format!("HTTP {status}"),
        }
    }
}

impl From<Failure> for ErpError {
    fn from(failure: Failure) -> Self {
        let (status, reason) = (failure.status, failure.reason());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Authentication { reason },
            StatusCode::NOT_FOUND if !failure.is_gone() => Self::Unreadable(format!(
                "{reason} is no answer of Odoo's JSON-2 API; check ERP_BASE_URL, the database in the secret behind ERP_SECRET_ARN, and that Odoo is 19 or newer"
            )),
            _ if is_temporary(status) && !failure.is_of_the_set_up() => Self::RetryAfter {
                after: failure.after,
                reason,
            },
            _ if !status.is_client_error() && !status.is_server_error() => Self::Unreadable(
                format!("{reason} is no answer of Odoo's JSON-2 API; check ERP_BASE_URL"),
            ),
            _ => Self::Refused {
                field: None,
                code: failure
                    .name
                    .unwrap_or_else(|| format!("HTTP {}", status.as_u16())),
                message: failure.message,
            },
        }
    }
}

fn unanswered(error: &TransportError) -> ErpError {
    ErpError::RetryAfter {
        after: error.after(),
        reason: error.to_string(),
    }
}

/// Reads a body. The parser's own message could quote it.
fn parse<T: DeserializeOwned>(response: &Response<Bytes>) -> Result<T, ErpError> {
    serde_json::from_slice(response.body()).map_err(|_| {
        ErpError::Unreadable(
            "HTTP 200 with a body that is not what the API describes; check ERP_BASE_URL"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> Failure {
        let response = Response::builder()
            .status(status)
            .header("retry-after", "17")
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        Failure::of(&response, &[("name", "Anna Ek")])
    }

    #[test]
    fn what_an_answer_means_is_decided_by_its_name_and_status() {
        for (status, name, expected) in [
            (422, "odoo.exceptions.ValidationError", "refused"),
            (500, "builtins.ValueError", "refused"),
            (500, "psycopg2.OperationalError", "retry"),
            (401, "werkzeug.exceptions.Unauthorized", "authentication"),
            (403, "odoo.exceptions.AccessError", "authentication"),
            (404, "werkzeug.exceptions.NotFound", "unreadable"),
            (429, "x", "retry"),
            (503, "x", "retry"),
        ] {
            let body = format!(
                r#"{{"name":"{name}","message":"Anna Ek is wrong","debug":"Failing row contains (Anna Ek)"}}"#
            );
            let error = ErpError::from(failure(status, &body));
            let found = match &error {
                ErpError::RetryAfter { after, .. } => {
                    assert_eq!(*after, Some(Duration::from_secs(17)));
                    "retry"
                }
                ErpError::Authentication { .. } => "authentication",
                ErpError::Refused { .. } => "refused",
                ErpError::Unreadable(_) => "unreadable",
                ErpError::CursorExpired => "cursor",
            };
            assert_eq!(found, expected, "{status} {name}");
            // P11: neither what was sent nor what Odoo found in its rows.
            assert!(!error.to_string().contains("Anna"), "{error}");
        }
    }

    #[test]
    fn p2_an_error_without_a_name_may_come_after_the_work() {
        assert!(!failure(502, "<html>").is_definite());
        assert!(!failure(408, "").is_definite());
        assert!(failure(500, r#"{"name":"builtins.ValueError"}"#).is_definite());
        assert!(failure(413, "<html>").is_definite());
    }
}
