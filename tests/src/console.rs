//! The console as API Gateway calls it, and a browser that asks for its pages.

#![allow(
    clippy::expect_used,
    reason = "a harness of tests: what cannot be set up is to fail loudly"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use console::{
    AllowedAddresses, CALLBACK_PATH, Console, Credentials, Operator, OperatorError, Provider,
    ProviderSettings, seal::SealKey,
};
use serde_json::{Value, json};
use shared::{
    domain::Clock,
    http::Deadline,
    metrics::Metrics,
    runtime::secrets::{ClientSecret, SecretError},
};
use url::Url;

use crate::{
    in_process::InProcess,
    oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider},
};

/// The address of the console, in the tests without a network.
pub const ORIGIN: &str = "https://abcdefghij.execute-api.eu-north-1.amazonaws.com";
/// The address of its provider.
pub const ISSUER: &str = "https://login.example.com/tenant/v2.0";
/// The claim of the roles: not a name that any code would assume.
pub const ROLE_CLAIM: &str = "https://example.com/roles";
/// Which of its values give which role.
pub const ROLES: &str = "Norce.Read=view,Norce.Act=act,Norce.Admin=admin";
/// The address that requests come from.
pub const CLIENT_ADDRESS: &str = "192.0.2.10";

/// A clock that stands until it is set.
#[derive(Debug, Clone)]
pub struct SetClock(Arc<Mutex<DateTime<Utc>>>);

impl Default for SetClock {
    /// A morning in November.
    fn default() -> Self {
        let morning = DateTime::UNIX_EPOCH + TimeDelta::days(20_784) + TimeDelta::hours(9);
        Self(Arc::new(Mutex::new(morning)))
    }
}

impl SetClock {
    /// Goes on, or back.
    pub fn advance(&self, by: TimeDelta) {
        *self.time() += by;
    }

    fn time(&self) -> MutexGuard<'_, DateTime<Utc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.time()
    }
}

/// The console's secrets, which a test can take away and replace.
pub struct SetCredentials {
    key: Mutex<Option<Arc<SealKey>>>,
    secret: Mutex<String>,
}

impl Default for SetCredentials {
    fn default() -> Self {
        let credentials = Self {
            key: Mutex::new(None),
            secret: Mutex::new(CLIENT_SECRET.to_owned()),
        };
        credentials.set_key(Some("canary-key-of-the-cookies"));
        credentials
    }
}

impl SetCredentials {
    /// Another key; `None`: it cannot be read.
    pub fn set_key(&self, key: Option<&str>) {
        let key = key.map(|key| Arc::new(SealKey::new(key.into())));
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Another secret of the client.
    pub fn set_client_secret(&self, secret: &str) {
        let mut known = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        secret.clone_into(&mut known);
    }
}

#[async_trait]
impl Credentials for SetCredentials {
    async fn key(&self) -> Result<Arc<SealKey>, SecretError> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.clone().ok_or_else(|| SecretError::Unavailable {
            arn: "key".to_owned(),
            reason: "no answer in time".to_owned(),
        })
    }

    async fn client(&self) -> Result<Arc<ClientSecret>, SecretError> {
        let secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(ClientSecret {
            client_id: CLIENT_ID.to_owned(),
            client_secret: secret.clone().into(),
        }))
    }
}

/// An `operator` that notes what it is asked and answers what a test has prepared, or with what it was asked.
#[derive(Default)]
pub struct ScriptedOperator {
    asked: Mutex<Vec<Value>>,
    answers: Mutex<VecDeque<Result<Value, OperatorError>>>,
}

impl ScriptedOperator {
    /// The next answer.
    pub fn answer(&self, answer: Result<Value, OperatorError>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.push_back(answer);
    }

    /// The requests since the last call of this.
    pub fn take_asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Operator for ScriptedOperator {
    async fn ask(&self, request: &Value, _: Duration) -> Result<String, OperatorError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(request.clone());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.pop_front();
        let answer = answer.unwrap_or_else(|| Ok(json!({ "summary": "Done.", "asked": request })));
        answer.map(|answer| answer.to_string())
    }
}

/// The console with everything around it, in one process and without a network.
pub struct Stage {
    /// The console.
    pub console: Console,
    /// Its provider.
    pub provider: OidcProvider,
    /// The operator that it asks.
    pub operator: Arc<ScriptedOperator>,
    /// Its secrets.
    pub credentials: Arc<SetCredentials>,
    /// Its clock.
    pub clock: SetClock,
    /// The provider's clock: the same time, unless a test sets it.
    pub provider_clock: SetClock,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// A console with a session of 240 minutes that may be used from everywhere.
    ///
    /// # Panics
    /// When the map of roles is faulty.
    pub fn new() -> Self {
        let clock = SetClock::default();
        let provider_clock = SetClock::default();
        let callback = format!("{ORIGIN}{CALLBACK_PATH}");
        let provider = OidcProvider::new(ISSUER, &callback, Arc::new(provider_clock.clone()));
        let router = axum::Router::new().nest("/tenant/v2.0", provider.router());
        let credentials = Arc::new(SetCredentials::default());
        let operator = Arc::new(ScriptedOperator::default());
        let settings = ProviderSettings {
            issuer: ISSUER.to_owned(),
            callback,
            role_claim: ROLE_CLAIM.to_owned(),
            roles: ROLES.parse().expect("a map of roles"),
        };
        let console = Console {
            origin: ORIGIN.to_owned(),
            stack: "shop".to_owned(),
            allowed: AllowedAddresses::default(),
            session: Duration::from_secs(60 * u64::from(console::DEFAULT_SESSION_MINUTES)),
            credentials: credentials.clone(),
            provider: Provider::new(
                settings,
                credentials.clone(),
                Arc::new(InProcess::new(router)),
                Arc::new(clock.clone()),
            ),
            operator: operator.clone(),
            clock: Arc::new(clock.clone()),
            metrics: Metrics::default(),
        };
        Self {
            console,
            provider,
            operator,
            credentials,
            clock,
            provider_clock,
        }
    }

    /// Asks the console as API Gateway does.
    pub async fn send(&self, request: &ApiGatewayV2httpRequest) -> Answered {
        let deadline = Deadline::after(console::LONGEST_WAIT);
        Answered(self.console.handle(request, deadline).await)
    }
}

/// An answer of the console.
#[derive(Debug, Clone)]
pub struct Answered(pub ApiGatewayV2httpResponse);

impl Answered {
    /// Its status.
    pub fn status(&self) -> i64 {
        self.0.status_code
    }

    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.0.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Its body.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.0.body {
            Some(Body::Text(text)) if self.0.is_base64_encoded => {
                STANDARD.decode(text).unwrap_or_default()
            }
            Some(Body::Text(text)) => text.clone().into_bytes(),
            Some(Body::Binary(bytes)) => bytes.clone(),
            _ => Vec::new(),
        }
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Its body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap_or_default()
    }
}

/// A request in the form that an HTTP API hands over: payload format 2.0.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    cookies: Vec<String>,
    body: Option<String>,
}

impl Request {
    /// A request for an address: a path and perhaps a query.
    pub fn new(method: &str, address: &str) -> Self {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            cookies: Vec::new(),
            body: None,
        }
    }

    /// A post as the page sends it.
    pub fn of_page(action: &str, body: &Value) -> Self {
        Self::new("POST", &format!("/console/api/{action}"))
            .with("content-type", "application/json")
            .with("x-console", "1")
            .with("origin", ORIGIN)
            .with("sec-fetch-site", "same-origin")
            .body(&body.to_string())
    }

    /// Sets a header, in place of any of that name.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut request = self.without(name);
        request.headers.push((name.to_owned(), value.to_owned()));
        request
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Adds a cookie, as `name=value`.
    #[must_use]
    pub fn cookie(mut self, cookie: &str) -> Self {
        self.cookies.push(cookie.to_owned());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// The event. API Gateway lists cookies apart, and joins the values of a header with commas.
    ///
    /// # Panics
    /// When it has no form as an event.
    pub fn event(&self) -> ApiGatewayV2httpRequest {
        let headers: BTreeMap<&str, &str> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let event = json!({
            "version": "2.0",
            "routeKey": format!("{} /console/{{proxy+}}", self.method),
            "rawPath": self.path,
            "rawQueryString": self.query,
            "cookies": self.cookies,
            "headers": headers,
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "abcdefghij",
                "domainName": "abcdefghij.execute-api.eu-north-1.amazonaws.com",
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": CLIENT_ADDRESS,
                    "userAgent": "Mozilla/5.0"
                },
                "requestId": "B3kXuj2mgi0EMJw=",
                "stage": "$default",
                "time": "26/Nov/2026:10:00:00 +0000",
                "timeEpoch": 1_795_428_000_000_u64
            },
            "body": self.body,
            "isBase64Encoded": false
        });
        serde_json::from_value(event).expect("an event")
    }
}

/// A browser as far as cookies go: those with `SameSite=Strict` are not sent with a navigation that another site has begun.
pub struct Browser<'a> {
    stage: &'a Stage,
    /// Name, value, and whether it is strict.
    cookies: Vec<(String, String, bool)>,
    /// Every cookie that was set, whole.
    pub set: Vec<String>,
}

impl<'a> Browser<'a> {
    /// A new profile.
    pub fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            cookies: Vec::new(),
            set: Vec::new(),
        }
    }

    /// The value of a cookie whose name begins like this.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let mut cookies = self.cookies.iter();
        let found = cookies.find(|(own, _, _)| own.starts_with(name));
        found.map(|(name, value, _)| format!("{name}={value}"))
    }

    /// Takes a cookie away.
    pub fn forget(&mut self, name: &str) {
        self.cookies.retain(|(own, _, _)| !own.starts_with(name));
    }

    /// Sends a request from a page of the console, with all cookies.
    pub async fn send(&mut self, request: Request) -> Answered {
        self.send_from(request, true).await
    }

    /// The same; not `from_own_site`: another site has begun it.
    pub async fn send_from(&mut self, mut request: Request, from_own_site: bool) -> Answered {
        for (name, value, is_strict) in &self.cookies {
            if from_own_site || !is_strict {
                request = request.cookie(&format!("{name}={value}"));
            }
        }
        let answered = self.stage.send(&request.event()).await;
        for cookie in &answered.0.cookies {
            self.keep(cookie);
        }
        answered
    }

    fn keep(&mut self, cookie: &str) {
        self.set.push(cookie.to_owned());
        let mut parts = cookie.split("; ");
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let attributes: Vec<&str> = parts.collect();
        self.cookies.retain(|(own, _, _)| own != name);
        if !attributes.contains(&"Max-Age=0") {
            let is_strict = attributes.contains(&"SameSite=Strict");
            self.cookies
                .push((name.to_owned(), value.to_owned(), is_strict));
        }
    }

    /// Opens an address of the console, goes to the provider and comes back: the request for the callback, which has not
    /// been sent yet.
    ///
    /// # Panics
    /// When the console does not redirect to the provider, or the provider not back.
    pub async fn begin(&mut self, address: &str) -> Request {
        let answered = self.send(Request::new("GET", address)).await;
        assert_eq!(answered.status(), 302, "{}", answered.text());
        let back = self.at_provider(answered.header("location")).await;
        Request::new("GET", &back)
    }

    /// What the provider does with the browser: the address of the console that it sends it back to.
    ///
    /// # Panics
    /// When it does not send it back.
    pub async fn at_provider(&self, address: &str) -> String {
        use shared::http::Transport as _;
        assert!(address.starts_with(ISSUER), "{address}");
        let router = axum::Router::new().nest("/tenant/v2.0", self.stage.provider.router());
        let request = http::Request::get(address)
            .body(bytes::Bytes::new())
            .expect("a request");
        let provider = InProcess::new(router);
        let answer = provider.send(request, Duration::from_secs(5)).await;
        let answer = answer.expect("an answer");
        let location = answer.headers().get("location").expect("a redirect back");
        let url = Url::parse(location.to_str().expect("an address")).expect("an address");
        assert_eq!(url.origin().ascii_serialization(), ORIGIN);
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    }

    /// Signs in as somebody with these values of the role claim, beginning at an address: the answer of the callback.
    pub async fn sign_in_at(&mut self, address: &str, roles: Value) -> Answered {
        self.stage.provider.sign_in_as(person(roles));
        let callback = self.begin(address).await;
        self.send_from(callback, false).await
    }

    /// Signs in as somebody with this role.
    ///
    /// # Panics
    /// When the console refuses.
    pub async fn sign_in(&mut self, role: &str) {
        let answered = self.sign_in_at("/console/overview", json!([role])).await;
        assert_eq!(answered.status(), 200, "{}", answered.text());
    }

    /// Asks for an action as the page does.
    pub async fn ask(&mut self, action: &str, body: Value) -> Answered {
        self.send(Request::of_page(action, &body)).await
    }
}

/// A person whose claims can be searched for.
pub fn person(roles: Value) -> Value {
    json!({
        "sub": "canary-subject-1f6a",
        "name": "Kanarine Fogelström",
        "email": "canary.person@example.com",
        "email_verified": "true",
        ROLE_CLAIM: roles,
    })
}
