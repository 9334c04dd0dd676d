//! Calls of Odoo's JSON-2 API: addresses, headers, bodies (erp-apis §2.3).

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Request, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::{
    error::Failure,
    record::Row,
    settings::{InvalidBaseUrl, OdooSettings},
};
use crate::{
    erp::{
        ErpError,
        answer::{CallError, parse, server_time},
        mask::Mask,
    },
    http::{Deadline, HttpClient, Idempotency, RetryPolicy, Transport},
};

/// Odoo gives a request up to two minutes (`limit_time_real`, erp-apis §2.5). A create runs the merchant's own modules,
/// and waiting for it costs less than finding out later what became of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const DATABASE: &str = "x-odoo-database";

/// One database of an Odoo server, called with one API key.
pub(super) struct Client {
    root: Url,
    database: Option<HeaderValue>,
    company: Option<NonZeroU32>,
    key: SecretString,
    reads: HttpClient,
    writes: HttpClient,
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

    /// Reads records of a model.
    pub(super) async fn search_read(
        &self,
        model: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Vec<Row>, ErpError> {
        self.read(model, "search_read", arguments, deadline).await
    }

    /// The server's time.
    pub(super) async fn date(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Option<DateTime<Utc>>, ErpError> {
        let response = self.ask(model, method, arguments, deadline).await?;
        Ok(server_time(&response))
    }

    async fn ask(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Response<Bytes>, ErpError> {
        let request = self.request(model, method, arguments)?;
        let response = self.reads.send(request, Idempotency::Idempotent, deadline);
        let response = response.await?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(Failure::of(&response, &[]).into())
        }
    }

    /// A call that changes something. `idempotency` says whether it may be repeated. `None`: the record does not exist. The
    /// values in `mask` are kept out of errors.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        model: &str,
        method: &str,
        arguments: &Value,
        idempotency: Idempotency,
        mask: &Mask<'_>,
        deadline: Deadline,
    ) -> Result<Option<T>, CallError> {
        let request = self
            .request(model, method, arguments)
            .map_err(CallError::NotDone)?;
        let response = self.writes.send(request, idempotency, deadline).await?;
        if response.status() == StatusCode::OK {
            return parse(&response)
                .map(Some)
                .map_err(|error| CallError::OutcomeUnknown(error.to_string()));
        }
        let failure = Failure::of(&response, mask);
        if failure.is_gone() {
            return Ok(None);
        }
        Err(if failure.is_definite() {
            CallError::NotDone(failure.into())
        } else {
            CallError::OutcomeUnknown(failure.reason())
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
            // Every call acts in the company; Odoo checks that the user may.
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
