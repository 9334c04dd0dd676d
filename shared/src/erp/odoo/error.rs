//! Errors of Odoo's JSON-2 API. The *name* of the exception decides, and without one the status (erp-apis §2.3).

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;

use crate::{
    erp::{
        ErpError,
        answer::FailedAnswer,
        mask::{Mask, masked},
    },
    http::is_temporary,
};

/// Errors of the set-up, such as a field that a missing module would bring: HTTP 500, and permanent all the same.
const SET_UP_ERRORS: [&str; 4] = [
    "builtins.ValueError",
    "builtins.KeyError",
    "builtins.AttributeError",
    "builtins.TypeError",
];

/// `{"name","message","arguments","context","debug"}`. `debug` contains rows of the database and is never read.
#[derive(Deserialize)]
struct ErrorAnswer {
    name: String,
    #[serde(default)]
    message: String,
}

/// An answer that is not a success.
pub(super) struct Failure(FailedAnswer);

impl Failure {
    /// The values in `mask` are kept out of the message.
    pub(super) fn of(response: &Response<Bytes>, mask: &Mask<'_>) -> Self {
        let body = serde_json::from_slice::<ErrorAnswer>(response.body());
        let error = body.map(|error| (error.name, masked(&error.message, mask)));
        Self(FailedAnswer::new(response, error.ok()))
    }

    /// The record does not exist. No other 404 means this: a wrong address must not make the ERP look empty.
    pub(super) fn is_gone(&self) -> bool {
        self.0.status == StatusCode::NOT_FOUND
            && self.0.code() == Some("odoo.exceptions.MissingError")
    }

    fn is_of_the_set_up(&self) -> bool {
        let name = self.0.code();
        name.is_some_and(|name| SET_UP_ERRORS.contains(&name))
    }

    /// Whether the request has certainly had no effect: a call is one transaction (erp-apis §2.3), and an error with a
    /// name has rolled it back.
    pub(super) fn is_definite(&self) -> bool {
        let status = self.0.status;
        self.0.code().is_some()
            || !status.is_server_error() && status != StatusCode::REQUEST_TIMEOUT
    }

    /// Status and name, fit for a log.
    pub(super) fn reason(&self) -> String {
        self.0.reason()
    }
}

impl From<Failure> for ErpError {
    fn from(failure: Failure) -> Self {
        let (status, reason) = (failure.0.status, failure.reason());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Authentication { reason },
            StatusCode::NOT_FOUND if !failure.is_gone() => Self::Unreadable(format!(
                "{reason} is no answer of Odoo's JSON-2 API; check ERP_BASE_URL, the database in the secret behind ERP_SECRET_ARN, and that Odoo is 19 or newer"
            )),
            _ if is_temporary(status) && !failure.is_of_the_set_up() => failure.0.into_retry(),
            _ if !status.is_client_error() && !status.is_server_error() => Self::Unreadable(
                format!("{reason} is no answer of Odoo's JSON-2 API; check ERP_BASE_URL"),
            ),
            _ => failure.0.into_refused(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
