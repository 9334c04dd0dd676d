//! `identity/1.0/connect/token` (norce-api §2). That errors have the body of OAuth (`{"error":"invalid_client"}`) with
//! status 400 is an assumption (§12).

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use tokio::time::Instant;
use url::form_urlencoded;
use uuid::Uuid;

use super::{State, responses};

/// How many calls are answered before 429.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// At once.
    pub burst: u32,
    /// From then on.
    pub per_minute: u32,
}

impl RateLimit {
    /// Norce's identity: three a minute and address after a burst of twenty (norce-api §2).
    pub const IDENTITY: Self = Self {
        burst: 20,
        per_minute: 3,
    };
}

/// A bucket that fills up again with time.
#[derive(Debug)]
pub(super) struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit) -> Self {
        Self {
            level: f64::from(limit.burst),
            at: Instant::now(),
        }
    }

    pub(super) fn admits(&mut self, limit: RateLimit) -> bool {
        let now = Instant::now();
        let minutes = (now - self.at).as_secs_f64() / Duration::from_secs(60).as_secs_f64();
        self.level =
            (self.level + minutes * f64::from(limit.per_minute)).min(f64::from(limit.burst));
        self.at = now;
        // A whole minute's share may come out a hair short in binary fractions.
        let admitted = self.level > 1.0 - 1e-9;
        if admitted {
            self.level -= 1.0;
        }
        admitted
    }
}

/// An OAuth client of the integration user.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    /// Scopes that it may ask for: names of environments (norce-api §2).
    pub scopes: Vec<String>,
}

/// The tokens that were given out, and who may have one.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) clients: Vec<OauthClient>,
    tokens: HashMap<String, Instant>,
    buckets: HashMap<IpAddr, Bucket>,
}

impl Identity {
    pub(super) fn revoke_all(&mut self) {
        self.tokens.clear();
    }

    pub(super) fn accepts(&self, headers: &HeaderMap) -> bool {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        token
            .and_then(|token| self.tokens.get(token))
            .is_some_and(|expiry| Instant::now() < *expiry)
    }
}

fn refusal(error: &str) -> Response {
    responses::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

pub(super) fn token(state: &mut State, ip: IpAddr, headers: &HeaderMap, body: &[u8]) -> Response {
    if let Some(limit) = state.settings.identity_rate_limit {
        let buckets = &mut state.identity.buckets;
        let bucket = buckets.entry(ip).or_insert_with(|| Bucket::full(limit));
        if !bucket.admits(limit) {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
    }
    if !responses::has_media_type(headers, "application/x-www-form-urlencoded") {
        return refusal("invalid_request");
    }
    let mut form = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return refusal("invalid_request");
        }
    }
    let field = |name: &str| form.get(name).map(String::as_str);
    if field("grant_type") != Some("client_credentials") {
        return refusal("unsupported_grant_type");
    }
    let client = state.identity.clients.iter().find(|client| {
        (Some(client.id.as_str()), Some(client.secret.as_str()))
            == (field("client_id"), field("client_secret"))
    });
    let Some(client) = client else {
        return refusal("invalid_client");
    };
    let scope = field("scope").unwrap_or_default();
    let mut scopes = scope.split(' ');
    if !scopes.all(|scope| client.scopes.iter().any(|allowed| allowed == scope)) {
        return refusal("invalid_scope");
    }
    // The shape of a JWT without its content: a client has no business with what is inside.
    let token =
        [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].map(|part| part.simple().to_string());
    let token = token.join(".");
    let lifetime = state.settings.token_lifetime;
    state
        .identity
        .tokens
        .insert(token.clone(), Instant::now() + lifetime);
    let answer = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "scope": scope,
    });
    responses::json(StatusCode::OK, &answer)
}
