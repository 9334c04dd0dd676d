//! Errors of Business Central. The error's *code* decides, because statuses differ between versions and proxies
//! (erp-apis §1.6, §1.7). Without a code, as on a proxy's page, the status decides.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;

use crate::{
    domain::redact,
    erp::{
        ErpError,
        answer::FailedAnswer,
        mask::{Mask, masked},
    },
    http::is_temporary,
};

const SAME_KEY_EXISTS: &str = "Internal_EntityWithSameKeyExists";
const ENTITY_CHANGED: &str = "Request_EntityChanged";
pub(super) const RECORD_NOT_FOUND: &str = "Internal_RecordNotFound";
const COMPANY_NOT_FOUND: &str = "Internal_CompanyNotFound";

/// The `Internal_*` errors that pass by themselves: the database or the tenant is unavailable at the moment. The others
/// come from the data of the request or of the company, and stay.
const TEMPORARY: [&str; 2] = ["Internal_ServerError", "Internal_TenantUnavailable"];

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(FailedAnswer);

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// The values in `mask` are kept out of the message.
    pub(super) fn of(response: &Response<Bytes>, mask: &Mask<'_>) -> Self {
        let body = serde_json::from_slice::<ErrorAnswer>(response.body());
        let error = body.map(|ErrorAnswer { error }| {
            let message = without_person(&error.message, mask);
            (redact(&error.code), message)
        });
        Self(FailedAnswer::new(response, error.ok()))
    }

    /// A record with the requested number exists. Seen with 400 and with 409 (erp-apis §1.6).
    pub(super) fn is_duplicate(&self) -> bool {
        self.has_code(SAME_KEY_EXISTS)
    }

    /// The version in `If-Match` is an old one; a proxy answers 412 (erp-apis §1.6).
    pub(super) fn is_stale(&self) -> bool {
        self.has_code(ENTITY_CHANGED) || self.0.status == StatusCode::PRECONDITION_FAILED
    }

    /// The record does not exist. No other 404 means this: a wrong address must not make the ERP look empty.
    pub(super) fn is_gone(&self) -> bool {
        self.has_code(RECORD_NOT_FOUND) && self.0.status == StatusCode::NOT_FOUND
    }

    /// Whether the request has certainly had no effect. 408 and 5xx may come before, during or after the work.
    pub(super) fn is_definite(&self) -> bool {
        let at_server = self.0.status.is_server_error() || self.0.status.is_success();
        self.is_rule() || !at_server && self.0.status != StatusCode::REQUEST_TIMEOUT
    }

    /// A rule refused the request, and its transaction was rolled back. A rate limit or time-out is never a rule,
    /// whatever its code.
    fn is_rule(&self) -> bool {
        let rule = self.starts_with("Application_") || self.starts_with("BadRequest");
        let status = self.0.status;
        rule && (!is_temporary(status) || status == StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn has_code(&self, code: &str) -> bool {
        self.0.code() == Some(code)
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.0.code().is_some_and(|code| code.starts_with(prefix))
    }

    /// Status and code, fit for a log.
    pub(super) fn reason(&self) -> String {
        self.0.reason()
    }
}

impl From<Failure> for ErpError {
    fn from(failure: Failure) -> Self {
        let status = failure.0.status;
        let reason = failure.reason();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || failure.starts_with("Authentication_")
            || failure.starts_with("Authorization_")
        {
            return Self::Authentication { reason };
        }
        if failure.has_code(COMPANY_NOT_FOUND) {
            let reason = format!("{reason}: the company of ERP_COMPANY is not there for this app");
            return Self::Authentication { reason };
        }
        let temporary = TEMPORARY.iter().any(|code| failure.has_code(code));
        // A 409 that is neither a duplicate nor a rule is a conflict of two transactions (erp-apis §1.6).
        let collision = status == StatusCode::CONFLICT && !failure.is_duplicate();
        if temporary || !failure.is_rule() && (is_temporary(status) || collision) {
            return failure.0.into_retry();
        }
        let misaddressed = status == StatusCode::NOT_FOUND
            && !failure.has_code(RECORD_NOT_FOUND)
            && !failure.starts_with("Application_");
        if misaddressed || !status.is_client_error() && !status.is_server_error() {
            return Self::Unreadable(format!(
                "{reason} is no answer of Business Central's API; check ERP_BASE_URL and ERP_COMPANY"
            ));
        }
        failure.0.into_refused()
    }
}

/// A message without personal data: values that were sent are replaced by the names of their fields. The text after
/// `Value:` (the value, as in `Application_StringExceededLength`) and the correlation id are cut off.
fn without_person(message: &str, mask: &Mask<'_>) -> String {
    let ends = ["CorrelationId:", "Value:"];
    let message = ends.iter().fold(message, |message, end| {
        message.split(end).next().unwrap_or_default()
    });
    masked(message, mask)
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
        Failure::of(&response, &[("displayName", "Anna Ek"), ("city", "Åre")])
    }

    fn coded(status: u16, code: &str) -> Failure {
        failure(
            status,
            &format!(r#"{{"error":{{"code":"{code}","message":"No."}}}}"#),
        )
    }

    /// What the caller does next.
    fn next(failure: Failure) -> &'static str {
        match ErpError::from(failure) {
            ErpError::RetryAfter { after, .. } => {
                assert_eq!(after, Some(Duration::from_secs(17)));
                "retry"
            }
            ErpError::Authentication { .. } => "authentication",
            ErpError::Refused { .. } => "refused",
            ErpError::Unreadable(_) => "unreadable",
            ErpError::CursorExpired => "cursor expired",
        }
    }

    #[test]
    fn the_code_decides_and_without_one_the_status() {
        for (status, code, expected) in [
            (400, "Application_DialogException", "refused"),
            (400, "Application_StringExceededLength", "refused"),
            (500, "Application_EvaluateException", "refused"),
            (409, "Application_DialogException", "refused"),
            (400, "BadRequest_InvalidToken", "refused"),
            (400, "BadRequest", "refused"),
            (400, "Internal_InvalidTableRelation", "refused"),
            (404, "Internal_RecordNotFound", "refused"),
            (409, "Internal_EntityWithSameKeyExists", "refused"),
            (400, "Internal_ServerError", "retry"),
            (404, "Internal_TenantUnavailable", "retry"),
            (409, "Internal_Deadlock", "retry"),
            (500, "Unknown", "retry"),
            (429, "Application_TooManyRequests", "retry"),
            (503, "Application_DialogException", "retry"),
            (401, "Authentication_InvalidCredentials", "authentication"),
            (400, "Authorization_Denied", "authentication"),
            (404, "Internal_CompanyNotFound", "authentication"),
            (404, "BadRequest_ResourceNotFound", "unreadable"),
        ] {
            assert_eq!(next(coded(status, code)), expected, "{status} {code}");
        }
        for (status, expected) in [
            (301, "unreadable"),
            (400, "refused"),
            (401, "authentication"),
            (403, "authentication"),
            (404, "unreadable"),
            (408, "retry"),
            (409, "retry"),
            (413, "refused"),
            (423, "retry"),
            (429, "retry"),
            (500, "retry"),
            (502, "retry"),
            (503, "retry"),
            (504, "retry"),
        ] {
            let html = failure(status, "<html>Anna Ek</html>");
            assert_eq!(next(html.clone()), expected, "{status}");
            assert!(!format!("{html:?} {}", ErpError::from(html.clone())).contains("Anna"));
        }
    }

    #[test]
    fn p2_only_a_definite_answer_says_that_nothing_was_done() {
        for (status, code) in [
            (400, "Application_DialogException"),
            (500, "Application_DialogException"),
            (401, ""),
            (429, "Application_TooManyRequests"),
            (409, "Internal_Deadlock"),
            (302, ""),
        ] {
            assert!(coded(status, code).is_definite(), "{status} {code}");
        }
        for (status, code) in [
            (408, ""),
            (500, "Internal_ServerError"),
            (503, "Internal_TenantUnavailable"),
            (504, ""),
            (200, ""),
        ] {
            assert!(!coded(status, code).is_definite(), "{status} {code}");
        }
    }

    #[test]
    fn only_a_missing_record_is_gone() {
        assert!(coded(404, "Internal_RecordNotFound").is_gone());
        assert!(!coded(404, "BadRequest_ResourceNotFound").is_gone());
        assert!(!coded(404, "Internal_CompanyNotFound").is_gone());
        assert!(!failure(404, "Not Found").is_gone());
    }

    #[test]
    fn p11_a_message_keeps_its_sense_and_loses_the_person() {
        let message = |text: &str| {
            let body = serde_json::json!({ "error": { "code": "Application_X", "message": text } });
            ErpError::from(failure(400, &body.to_string())).to_string()
        };
        insta::assert_snapshot!(
            message("The length of the string is 57, but it must be less than or equal to 50 characters. Value: Anna Ek, Storgatan 1  CorrelationId:  5c8d."),
            @"the ERP refuses the record: Application_X: The length of the string is 57, but it must be less than or equal to 50 characters."
        );
        insta::assert_snapshot!(
            message("Anna Ek in Åre <anna@example.com> is not allowed.  CorrelationId:  5c8d."),
            @"the ERP refuses the record: Application_X: [displayName] in [city] <[e-mail]> is not allowed."
        );
    }
}
