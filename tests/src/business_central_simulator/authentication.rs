//! Entra's token endpoint and the check of its tokens (erp-apis §1.1).

use std::collections::HashMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::{ApplicationAccess, Refused, Settings};

const SCOPE: &str = "https://api.businesscentral.dynamics.com/.default";

#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<String, Token>);

#[derive(Debug)]
struct Token {
    client_id: String,
    expires: DateTime<Utc>,
}

/// Entra's own form of a refusal.
pub(super) struct TokenRefused(StatusCode, &'static str, &'static str);

impl IntoResponse for TokenRefused {
    fn into_response(self) -> Response {
        let Self(status, error, description) = self;
        let body = json!({"error": error, "error_description": description});
        (status, Json(body)).into_response()
    }
}

impl Tokens {
    /// Client credentials in, token out.
    pub(super) fn issue(
        &mut self,
        tenant: &str,
        headers: &HeaderMap,
        body: &[u8],
        settings: &Settings,
    ) -> Result<Response, TokenRefused> {
        let invalid_request = |why| {
            Err(TokenRefused(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                why,
            ))
        };
        if tenant != settings.tenant {
            return invalid_request("The tenant was not found.");
        }
        if !has_media_type(headers, "application/x-www-form-urlencoded") {
            return invalid_request("The body must be a form.");
        }
        let mut form = HashMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if form.insert(name, value).is_some() {
                return invalid_request("A parameter is given twice.");
            }
        }
        let value = |name| form.get(name).map(AsRef::as_ref);
        match value("grant_type") {
            Some("client_credentials") => {}
            Some(_) => {
                return Err(TokenRefused(
                    StatusCode::BAD_REQUEST,
                    "unsupported_grant_type",
                    "The grant type is not supported.",
                ));
            }
            None => return invalid_request("The body must contain 'grant_type'."),
        }
        if value("scope") != Some(SCOPE) {
            return Err(TokenRefused(
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "The scope is not valid for client credentials.",
            ));
        }
        let (Some(client_id), Some(client_secret)) = (value("client_id"), value("client_secret"))
        else {
            return invalid_request("The body must contain 'client_id' and 'client_secret'.");
        };
        let known = settings.applications.iter().any(|application| {
            application.client_id == client_id && application.client_secret == client_secret
        });
        if !known {
            return Err(TokenRefused(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The client is not known or its secret is wrong.",
            ));
        }
        let token = format!("{}.{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.0.insert(
            token.clone(),
            Token {
                client_id: client_id.to_owned(),
                expires: settings.clock.now() + settings.token_lifetime,
            },
        );
        let seconds = settings.token_lifetime.as_secs();
        let body = json!({
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        });
        Ok(Json(body).into_response())
    }

    /// The application behind a request.
    pub(super) fn check(
        &self,
        tenant: Option<&str>,
        headers: &HeaderMap,
        settings: &Settings,
    ) -> Result<String, Refused> {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .and_then(|token| self.0.get(token))
            .filter(|token| settings.clock.now() < token.expires)
            .filter(|_| tenant.is_none_or(|tenant| tenant == settings.tenant))
            .ok_or_else(Refused::invalid_credentials)?;
        match settings.access {
            ApplicationAccess::Granted => Ok(token.client_id.clone()),
            ApplicationAccess::RefusedAsUnknown => Err(Refused::invalid_credentials()),
            ApplicationAccess::RefusedAsForbidden => Err(Refused::not_authorised()),
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.0.clear();
    }
}

/// Whether the body is declared to be of this type, parameters such as the character set aside.
pub(super) fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
}
