//! Errors of the contract: the code in the body decides, and without one the status.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;

use super::fields::field_name;
use crate::{
    domain::redact,
    erp::{
        ErpError,
        answer::FailedAnswer,
        mask::{Mask, masked},
    },
    http::is_temporary,
};

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    message: String,
}

/// An answer that is not a success.
pub(super) struct Failure {
    answer: FailedAnswer,
    field: Option<&'static str>,
}

impl Failure {
    /// The values in `mask` are kept out of the message.
    pub(super) fn of(response: &Response<Bytes>, mask: &Mask<'_>) -> Self {
        let error = serde_json::from_slice::<ErrorAnswer>(response.body());
        let error = error.ok().map(|answer| answer.error);
        let field = error.as_ref().and_then(|error| error.field.as_deref());
        Self {
            field: field.and_then(field_name),
            answer: FailedAnswer::new(
                response,
                error.map(|error| (redact(&error.code), masked(&error.message, mask))),
            ),
        }
    }

    fn is(&self, status: StatusCode, code: &str) -> bool {
        self.answer.status == status && self.answer.code() == Some(code)
    }

    /// The record does not exist. No other 404 means this: a wrong address must not make the ERP look empty.
    pub(super) fn is_gone(&self) -> bool {
        self.is(StatusCode::NOT_FOUND, "not-found")
    }

    /// Somebody else has changed the record.
    pub(super) fn is_stale(&self) -> bool {
        self.answer.status == StatusCode::PRECONDITION_FAILED
    }

    /// Another record has the requested code.
    pub(super) fn is_taken(&self) -> bool {
        self.is(StatusCode::CONFLICT, "code-taken")
    }

    /// The cursor of a listing is not valid any more.
    pub(super) fn is_expired(&self) -> bool {
        self.is(StatusCode::GONE, "cursor-expired")
    }

    /// Whether a write has certainly had no effect. A proxy in front of the facade answers 5xx as well, without a code of the
    /// contract, and may do so after the facade has acted.
    pub(super) fn is_definite(&self) -> bool {
        let status = self.answer.status;
        match status {
            StatusCode::SERVICE_UNAVAILABLE => self.answer.code().is_some(),
            StatusCode::REQUEST_TIMEOUT => false,
            _ => status.is_client_error(),
        }
    }

    /// Status and code, fit for a log.
    pub(super) fn reason(&self) -> String {
        self.answer.reason()
    }
}

impl From<Failure> for ErpError {
    fn from(failure: Failure) -> Self {
        let (status, reason) = (failure.answer.status, failure.reason());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Authentication { reason },
            _ if failure.is_expired() => Self::CursorExpired,
            _ if is_temporary(status) => failure.answer.into_retry(),
            StatusCode::NOT_FOUND if !failure.is_gone() => not_of_the_contract(&reason),
            StatusCode::GONE => not_of_the_contract(&reason),
            _ if !status.is_client_error() && !status.is_server_error() => {
                not_of_the_contract(&reason)
            }
            _ => match failure.answer.into_refused() {
                Self::Refused { code, message, .. } => Self::Refused {
                    field: failure.field,
                    code,
                    message,
                },
                other => other,
            },
        }
    }
}

fn not_of_the_contract(reason: &str) -> ErpError {
    ErpError::Unreadable(format!(
        "{reason} is no answer of the contract; check ERP_BASE_URL"
    ))
}
