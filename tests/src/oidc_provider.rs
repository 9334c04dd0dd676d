//! An OpenID provider: discovery, keys, the code flow with PKCE, and real RS256 signatures (OpenID Connect Core 1.0,
//! Discovery 1.0, RFC 7636). It is as strict as the protocol allows, and can be made to fail and to give false answers.

#![allow(
    clippy::expect_used,
    reason = "a harness of tests: what cannot be set up is to fail loudly"
)]

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rsa::{
    RsaPrivateKey,
    pkcs1v15::SigningKey,
    rand_core::OsRng,
    sha2::{Digest as _, Sha256},
    signature::{SignatureEncoding as _, Signer as _},
    traits::PublicKeyParts as _,
};
use serde_json::{Map, Value, json};
use shared::domain::Clock;
use url::{Url, form_urlencoded};

/// The client that the provider knows.
pub const CLIENT_ID: &str = "console client";
/// Its secret, with signs that Basic authentication has to encode.
pub const CLIENT_SECRET: &str = "canary+client:secret/%";
/// How long an ID token is good for, in seconds.
pub const TOKEN_LIFETIME: i64 = 300;

/// Two keys, made once for all tests of a program: that takes a second or so.
static KEYS: LazyLock<[RsaPrivateKey; 2]> = LazyLock::new(|| {
    let key = || RsaPrivateKey::new(&mut OsRng, 2_048).expect("a key");
    [key(), key()]
});

/// Makes the keys in advance: on a busy machine that takes longer than the console waits for an answer.
pub fn make_keys() {
    LazyLock::force(&KEYS);
}

/// How an ID token is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signature {
    /// With the key that the provider publishes.
    #[default]
    Own,
    /// Under that key's name, with another one.
    Stranger,
    /// Not at all: `alg` is `none`.
    Missing,
    /// With HMAC and the published key as its secret, as though it were a shared one.
    Hmac,
}

/// What the provider does not do, or does otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    #[default]
    None,
    /// Everything is answered with 503.
    Down,
    /// The token endpoint alone is.
    TokenEndpointDown,
    /// The keys alone are.
    KeysDown,
    /// It answers with a page instead of JSON.
    Page,
    /// It has no OpenID configuration.
    NoConfiguration,
    /// It names itself otherwise.
    OtherIssuer,
    /// It leaves the ID token out.
    NoIdToken,
}

type Change = Arc<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

struct Grant {
    /// The claims of the person beside those of the protocol.
    person: Map<String, Value>,
    nonce: String,
    challenge: String,
    callback: String,
}

struct Inner {
    fault: Fault,
    signature: Signature,
    change: Option<Change>,
    person: Map<String, Value>,
    /// Who can be chosen instead, by name.
    people: BTreeMap<String, Map<String, Value>>,
    callback: String,
    /// Which of the keys is the current one, and how often it changed: its name.
    key: usize,
    grants: HashMap<String, Grant>,
    count: usize,
    requests: Vec<String>,
    prompts: Vec<Option<String>>,
}

/// The provider. Clones are the same one.
#[derive(Clone)]
pub struct OidcProvider {
    issuer: String,
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OidcProvider({})", self.issuer)
    }
}

impl OidcProvider {
    /// A provider at this address whose one client has this callback.
    pub fn new(
        issuer: impl Into<String>,
        callback: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            clock,
            inner: Arc::new(Mutex::new(Inner {
                fault: Fault::None,
                signature: Signature::Own,
                change: None,
                person: Map::new(),
                people: BTreeMap::new(),
                callback: callback.into(),
                key: 0,
                grants: HashMap::new(),
                count: 0,
                requests: Vec::new(),
                prompts: Vec::new(),
            })),
        }
    }

    /// Its address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who signs in from now on: the claims of the person beside those of the protocol.
    pub fn sign_in_as(&self, claims: Value) {
        self.inner().person = claims.as_object().cloned().unwrap_or_default();
    }

    /// From now on a sign-in asks who it is, by the names of these people; each has claims beside those of the protocol.
    pub fn choose_from(&self, people: BTreeMap<String, Value>) {
        let claims = |claims: Value| claims.as_object().cloned().unwrap_or_default();
        let people = people.into_iter();
        self.inner().people = people.map(|(name, of)| (name, claims(of))).collect();
    }

    /// Where its one client has people sent back to, from now on.
    pub fn send_back_to(&self, callback: impl Into<String>) {
        self.inner().callback = callback.into();
    }

    /// From now on this goes wrong.
    pub fn fail(&self, fault: Fault) {
        self.inner().fault = fault;
    }

    /// From now on tokens are signed like this.
    pub fn sign(&self, signature: Signature) {
        self.inner().signature = signature;
    }

    /// From now on this is done to the claims of every token before it is signed.
    pub fn change(&self, change: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
        self.inner().change = Some(Arc::new(change));
    }

    /// From now on another key signs, and only that one is published.
    pub fn rotate_key(&self) {
        self.inner().key += 1;
    }

    /// The paths that were asked for since this was last asked.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().requests)
    }

    /// The `prompt` of each sign-in so far.
    pub fn prompts(&self) -> Vec<Option<String>> {
        self.inner().prompts.clone()
    }

    /// The provider as a service.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(self.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request; what is wrong, if so.
    fn note(&self, path: &str) -> Option<Response> {
        let mut inner = self.inner();
        inner.requests.push(path.to_owned());
        let is_down = match inner.fault {
            Fault::Down => true,
            Fault::TokenEndpointDown => path == "/token",
            Fault::KeysDown => path == "/keys",
            _ => false,
        };
        if is_down {
            return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        (inner.fault == Fault::Page && path != "/authorize")
            .then(|| axum::response::Html("<h1>Maintenance</h1>").into_response())
    }

    fn id_token(&self, grant: &Grant) -> String {
        let inner = self.inner();
        let now = self.clock.now().timestamp();
        let mut claims = grant.person.clone();
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(CLIENT_ID)),
            ("iat", json!(now)),
            ("exp", json!(now + TOKEN_LIFETIME)),
            ("nonce", json!(grant.nonce)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if let Some(change) = &inner.change {
            change(&mut claims);
        }
        let algorithm = match inner.signature {
            Signature::Own | Signature::Stranger => "RS256",
            Signature::Missing => "none",
            Signature::Hmac => "HS256",
        };
        let header = json!({ "alg": algorithm, "kid": key_name(inner.key), "typ": "JWT" });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(Value::Object(claims)));
        let signed_with = |key: usize| {
            let key = SigningKey::<Sha256>::new(KEYS[key % KEYS.len()].clone());
            key.sign(text.as_bytes()).to_vec()
        };
        let signature = match inner.signature {
            Signature::Own => signed_with(inner.key),
            Signature::Stranger => signed_with(inner.key + 1),
            Signature::Missing => Vec::new(),
            Signature::Hmac => {
                let key = KEYS[inner.key % KEYS.len()].n().to_bytes_be();
                hmac_sha256(&key, text.as_bytes())
            }
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// RFC 2104, for keys that are longer than a block.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..32].copy_from_slice(&Sha256::digest(key));
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner);
    outer.finalize().to_vec()
}

fn key_name(key: usize) -> String {
    format!("key-{key}")
}

async fn configuration(State(provider): State<OidcProvider>) -> Response {
    if let Some(wrong) = provider.note("/.well-known/openid-configuration") {
        return wrong;
    }
    let fault = provider.inner().fault;
    if fault == Fault::NoConfiguration {
        return StatusCode::NOT_FOUND.into_response();
    }
    let issuer = &provider.issuer;
    let named = match fault {
        Fault::OtherIssuer => format!("{issuer}/"),
        _ => issuer.clone(),
    };
    Json(json!({
        "issuer": named,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
    .into_response()
}

async fn keys(State(provider): State<OidcProvider>) -> Response {
    if let Some(wrong) = provider.note("/keys") {
        return wrong;
    }
    let current = provider.inner().key;
    let key = &KEYS[current % KEYS.len()];
    let number = |number: Vec<u8>| URL_SAFE_NO_PAD.encode(number);
    Json(json!({ "keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": key_name(current),
        "n": number(key.n().to_bytes_be()),
        "e": number(key.e().to_bytes_be()),
    }] }))
    .into_response()
}

/// Signs the person in at once, or the chosen one (`login_hint`), and sends the browser back.
async fn authorize(
    State(provider): State<OidcProvider>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if let Some(wrong) = provider.note("/authorize") {
        return wrong;
    }
    let of = |name: &str| query.get(name).cloned().unwrap_or_default();
    let callback = provider.inner().callback.clone();
    let is_right = of("client_id") == CLIENT_ID
        && of("redirect_uri") == callback
        && of("response_type") == "code"
        && of("scope").split(' ').any(|scope| scope == "openid")
        && of("code_challenge_method") == "S256"
        && !of("code_challenge").is_empty()
        && !of("state").is_empty()
        && !of("nonce").is_empty();
    if !is_right {
        return (StatusCode::BAD_REQUEST, "no sign-in of the console").into_response();
    }
    let chosen = query.get("login_hint").map(String::as_str);
    let code = {
        let mut inner = provider.inner();
        let person = match chosen.map(|name| inner.people.get(name)) {
            Some(None) => return (StatusCode::BAD_REQUEST, "nobody of that name").into_response(),
            Some(Some(person)) => person.clone(),
            None if inner.people.is_empty() => inner.person.clone(),
            None => return choose(&query, inner.people.keys()),
        };
        inner.prompts.push(query.get("prompt").cloned());
        inner.count += 1;
        let code = format!("code-{}", inner.count);
        let grant = Grant {
            person,
            nonce: of("nonce"),
            challenge: of("code_challenge"),
            callback: of("redirect_uri"),
        };
        inner.grants.insert(code.clone(), grant);
        code
    };
    let Ok(mut back) = Url::parse(&callback) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &of("state"));
    Redirect::to(back.as_str()).into_response()
}

/// The page that asks who signs in. The names come from the test, so that they need no escaping.
fn choose<'a>(
    query: &HashMap<String, String>,
    names: impl Iterator<Item = &'a String>,
) -> Response {
    let links = names.map(|name| {
        let mut address = form_urlencoded::Serializer::new(String::new());
        address.extend_pairs(query).append_pair("login_hint", name);
        format!(
            "<p><a href=\"/authorize?{}\">{name}</a></p>",
            address.finish().replace('&', "&amp;")
        )
    });
    let links: String = links.collect();
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sign in</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <body style=\"font:1.2rem system-ui;max-width:24rem;margin:15vh auto;padding:0 1rem\"><h1>Sign in as</h1>{links}"
    );
    axum::response::Html(page).into_response()
}

async fn token(
    State(provider): State<OidcProvider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let Some(wrong) = provider.note("/token") {
        return wrong;
    }
    let refuse = |error: &str| {
        let body = Json(json!({ "error": error, "error_description": "canary-of-the-provider" }));
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    if credentials(&headers) != Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())) {
        return refuse("invalid_client");
    }
    let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    // A code is good for one use.
    let grant = provider.inner().grants.remove(of("code"));
    let Some(grant) = grant else {
        return refuse("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of("code_verifier")));
    if challenge != grant.challenge
        || of("redirect_uri") != grant.callback
        || of("grant_type") != "authorization_code"
    {
        return refuse("invalid_grant");
    }
    let mut answer = json!({
        "access_token": "canary-access-token",
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME,
    });
    if provider.inner().fault != Fault::NoIdToken {
        answer["id_token"] = provider.id_token(&grant).into();
    }
    Json(answer).into_response()
}

/// Basic authentication, both parts form-encoded (RFC 6749 §2.3.1).
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let text = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| {
        let mut pairs = form_urlencoded::parse(text.as_bytes());
        pairs.next().map(|(text, _)| text.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
