//! HTTP answers. All of them, including errors, have the headers that isolate the page.

use aws_lambda_events::{
    apigw::ApiGatewayV2httpResponse,
    encodings::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

/// What a page may load and do: nothing but its own files and its own API.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The headers of every answer. By default, nothing is cached.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000"),
    ("cache-control", "no-store"),
];

/// An answer under construction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    cookies: Vec<String>,
    body: Option<Body>,
    is_binary: bool,
}

/// A fault, as the page reads it.
#[derive(Debug, Serialize)]
struct Fault<'a> {
    kind: FaultKind,
    message: &'a str,
}

/// What the page does with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// Show the message at the input.
    Request,
    /// Offer to sign in.
    SignedOut,
    /// Show which role is needed.
    Role,
    /// Nothing: our page never sends such a request.
    Refused,
    /// Link to the doctor.
    SetUp,
    /// Offer to try again.
    Later,
}

impl FaultKind {
    const fn status(self) -> u16 {
        match self {
            Self::Request => 400,
            Self::SignedOut => 401,
            Self::Role | Self::Refused => 403,
            Self::SetUp => 422,
            Self::Later => 503,
        }
    }
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in HEADERS {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        Self {
            status,
            headers,
            cookies: Vec::new(),
            body: None,
            is_binary: false,
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::status(404).text("There is no such page.")
    }

    pub(crate) fn json(status: u16, body: String) -> Self {
        let mut answer = Self::status(status).of_type("application/json");
        answer.body = Some(Body::Text(body));
        answer
    }

    /// A fault that the page shows.
    pub(crate) fn fault(kind: FaultKind, message: &str) -> Self {
        Self::fault_with(kind, kind.status(), message)
    }

    /// A fault with another status.
    pub(crate) fn fault_with(kind: FaultKind, status: u16, message: &str) -> Self {
        let fault = serde_json::json!({ "error": Fault { kind, message } });
        Self::json(status, fault.to_string())
    }

    pub(crate) fn html(status: u16, body: String) -> Self {
        let mut answer = Self::status(status).of_type("text/html; charset=utf-8");
        answer.body = Some(Body::Text(body));
        answer
    }

    /// Bytes, which API Gateway takes as Base64.
    pub(crate) fn bytes(status: u16, body: &[u8]) -> Self {
        let mut answer = Self::status(status);
        answer.body = Some(Body::Text(STANDARD.encode(body)));
        answer.is_binary = true;
        answer
    }

    /// A redirect, unless a header cannot hold the address.
    pub(crate) fn redirect(address: &str) -> Self {
        match HeaderValue::from_str(address) {
            Ok(address) => Self::status(302).with(LOCATION, address),
            Err(_) => Self::not_found(),
        }
    }

    pub(crate) fn text(self, text: &'static str) -> Self {
        let mut answer = self.of_type("text/plain; charset=utf-8");
        answer.body = Some(Body::Text(text.to_owned()));
        answer
    }

    pub(crate) fn of_type(self, media_type: &'static str) -> Self {
        self.with(CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn with_cookie(mut self, cookie: String) -> Self {
        // With a cookie in it, an answer is for one person.
        self.headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.cookies.push(cookie);
        self
    }

    pub(crate) fn status_code(&self) -> u16 {
        self.status
    }

    pub(crate) fn into_response(self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.headers = self.headers;
        response.cookies = self.cookies;
        response.body = self.body;
        response.is_base64_encoded = self.is_binary;
        response
    }
}
