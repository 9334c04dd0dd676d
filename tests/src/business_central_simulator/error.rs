use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::json;
use thiserror::Error;
use uuid::Uuid;

/// An error answer of the server (erp-apis §1.7).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{status} {code}: {message}")]
pub struct Refused {
    /// HTTP status.
    pub status: StatusCode,
    /// The code by which a client decides.
    pub code: &'static str,
    /// The words for people, without the correlation id that the answer adds.
    pub message: String,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The address names nothing.
    pub(super) fn no_such_resource(segment: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "BadRequest_NotFound",
            format!("Resource not found for the segment '{segment}'."),
        )
    }

    /// The real server can do this; the simulator cannot, and says so instead of pretending.
    pub(super) fn not_simulated(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "Simulator_NotSimulated",
            format!("The simulator does not know {what}."),
        )
    }

    /// The resource exists but not for this method.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "BadRequest_MethodNotAllowed",
            "The requested operation is not allowed on this resource.",
        )
    }

    /// A missing or malformed `If-Match` (erp-apis §1.6).
    pub(super) fn invalid_etag(message: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest_InvalidToken",
            message.to_owned(),
        )
    }

    /// The record has changed since it was read (erp-apis §1.6: 409, not 412).
    pub(super) fn entity_changed() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "Request_EntityChanged",
            "Another user has already changed the record.",
        )
    }

    /// No record with this id.
    pub(super) fn record_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Internal_RecordNotFound",
            "The record that you tried to open is not available.",
        )
    }

    /// No company with this id.
    pub(super) fn company_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Internal_CompanyNotFound",
            "Cannot find the company.",
        )
    }

    /// A second record with the same primary key. The status differs between live servers (erp-apis §1.6).
    pub(super) fn same_key_exists(status: StatusCode, table: &str, number: &str) -> Self {
        Self::new(
            status,
            "Internal_EntityWithSameKeyExists",
            format!(
                "The record in table {table} already exists. Identification fields and values: No.='{number}'"
            ),
        )
    }

    /// A value that must be in another table and is not.
    pub(super) fn invalid_relation(field: &str, value: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Internal_InvalidTableRelation",
            format!(
                "The field {field} contains a value ({value}) that cannot be found in the related table."
            ),
        )
    }

    /// A business rule that raises an error dialog.
    pub(super) fn dialog(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Application_DialogException",
            message,
        )
    }

    /// A field's own validation.
    pub(super) fn field_validation(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Application_FieldValidationException",
            message,
        )
    }

    /// A value longer than its field. The real message repeats the value, so a client must not log it blindly.
    pub(super) fn too_long(length: usize, maximum: usize, value: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Application_StringExceededLength",
            format!(
                "The length of the string is {length}, but it must be less than or equal to {maximum} characters. Value: {value}"
            ),
        )
    }

    /// A filter value that the field cannot hold (erp-apis §1.7).
    pub(super) fn filter_error(field: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Application_FilterErrorException",
            format!("The filter on the field {field} is not valid."),
        )
    }

    /// The token is missing, unknown, expired or for another tenant.
    pub(super) fn invalid_credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Authentication_InvalidCredentials",
            "The server has rejected the client credentials.",
        )
    }

    /// The fact sheet names the family `Authorization_*` only.
    pub(super) fn not_authorised() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Authorization_RequestDenied",
            "The application is not set up in this environment.",
        )
    }

    /// A status without a reason of the application: limits and injected faults.
    pub(super) fn status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::SERVICE_UNAVAILABLE => "Internal_TenantUnavailable",
            _ => "Unknown",
        };
        let reason = status.canonical_reason().unwrap_or("Unknown");
        Self::new(status, code, format!("{reason}."))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let message = format!("{}  CorrelationId:  {}.", self.message, Uuid::new_v4());
        let body = json!({"error": {"code": self.code, "message": message}});
        (self.status, Json(body)).into_response()
    }
}
