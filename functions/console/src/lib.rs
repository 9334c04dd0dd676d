//! `console`: the web page for people who look after the integration without access to AWS.
//!
//! ```text
//! sign_in    signs a person in with the OpenID provider
//! session    the session, a sealed cookie; `seal`: how it is sealed
//! origin     accepts only requests from our own page
//! addresses  the addresses from which the console may be used
//! roles      the role of a person
//! ports      what the console uses
//! api        the API of the page; `operator`: the function that answers
//! pages      the pages without a session
//! assets     the page itself, which is in the directory `page`
//! ```
//!
//! It may only invoke `operator`, whose wide rights stay off the internet. `operator` decides what a role may do, and records
//! the acts that it refuses; the page hides them only for convenience.

mod addresses;
mod answer;
mod api;
mod assets;
mod configuration;
mod credentials;
mod operator;
mod origin;
mod pages;
mod ports;
mod roles;
pub mod seal;
mod session;
mod sign_in;

use std::sync::Arc;

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    http::{Method, header::COOKIE},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use shared::{http::Deadline, metrics::Metric};
use url::{Url, form_urlencoded};

use crate::{
    answer::{Answer, FaultKind},
    pages::{Page, Text},
    seal::Purpose,
};

pub use crate::{
    addresses::AllowedAddresses,
    answer::CONTENT_SECURITY_POLICY,
    api::{ACTIONS, MAX_BODY_BYTES},
    assets::sizes,
    configuration::{Configuration, DEFAULT_SESSION_MINUTES},
    credentials::{Credentials, StoredCredentials},
    operator::{LONGEST_WAIT, LambdaOperator, Operator, OperatorError},
    origin::PAGE_HEADER,
    ports::Console,
    roles::{Role, RoleMap},
    session::{COOKIE as SESSION_COOKIE, Session},
    sign_in::{Identity, Pending, Provider, ProviderSettings, SignInError},
};

/// The path to which the provider redirects.
pub const CALLBACK_PATH: &str = "/console/callback";
/// The prefix of the name of a sign-in's cookie. The beginning of its `state` follows, so that two tabs can sign in at the same
/// time.
const SIGN_IN_COOKIE: &str = "__Host-sign-in-";
/// The number of characters of the `state` in the cookie's name.
const STATE_IN_NAME: usize = 8;
/// How long a browser keeps the cookie of a sign-in, in seconds: as long as a sign-in may take.
const SIGN_IN_SECONDS: u32 = 600;
/// The longest address to return to. The page makes no longer one, whose cookie would be too large for a browser (4,096 bytes,
/// RFC 6265 §6.1).
const LONGEST_ADDRESS: usize = 1_500;
/// Every screen of the page, by its path.
pub const SCREENS: [&str; 9] = [
    "overview",
    "owed",
    "record",
    "passes",
    "imports",
    "dead-letters",
    "doctor",
    "activity",
    "mappings",
];
const FIRST_SCREEN: &str = "/console/overview";

impl Console {
    /// Answers one request.
    pub async fn handle(
        &self,
        request: &ApiGatewayV2httpRequest,
        deadline: Deadline,
    ) -> ApiGatewayV2httpResponse {
        self.route(request, deadline).await.into_response()
    }

    async fn route(&self, request: &ApiGatewayV2httpRequest, deadline: Deadline) -> Answer {
        let http = &request.request_context.http;
        let path = request.raw_path.as_deref().unwrap_or_default();
        if !self.allowed.allow(http.source_ip.as_deref()) {
            tracing::warn!("request refused: its address is not in ConsoleAllowedAddresses");
            return match path.starts_with("/console/api/") {
                true => Answer::fault(
                    FaultKind::Refused,
                    "The console cannot be used from this network.",
                ),
                false => self.page(request, 403, Text::Address, FIRST_SCREEN),
            };
        }
        let below = |directory: &str| path.strip_prefix(directory);
        if http.method == Method::POST {
            return match below("/console/api/") {
                Some(action) => self.api(request, action, deadline).await,
                None if path == "/console/sign-out" => self.sign_out(request),
                None => Answer::not_found(),
            };
        }
        if http.method != Method::GET {
            return Answer::not_found();
        }
        if let Some(address) = below("/console/assets/") {
            return assets::file(address, &request.headers);
        }
        match path {
            CALLBACK_PATH => self.complete_sign_in(request).await,
            "/console/sign-in" => {
                let to = parameter(request, "to").unwrap_or_default();
                let another = parameter(request, "another").is_some();
                self.begin_sign_in(request, self.own_address(&to), another)
                    .await
            }
            "/console/signed-out" => {
                self.page(request, 200, Text::SignedOut, &sign_in(FIRST_SCREEN))
            }
            "/console" | "/console/" => self.show(request).await,
            _ if below("/console/").is_some_and(|screen| SCREENS.contains(&screen)) => {
                self.show(request).await
            }
            _ => Answer::not_found(),
        }
    }

    /// The page with a session; a redirect to the provider without one.
    async fn show(&self, request: &ApiGatewayV2httpRequest) -> Answer {
        match self.session_of(request).await {
            Ok(Some(_)) => assets::document(&request.headers),
            Ok(None) => {
                let path = request.raw_path.as_deref().unwrap_or_default();
                let to = match request.raw_query_string.as_deref() {
                    None | Some("") => path.to_owned(),
                    Some(query) => format!("{path}?{query}"),
                };
                self.begin_sign_in(request, self.own_address(&to), false)
                    .await
            }
            Err(error) => self.failed(request, error, FIRST_SCREEN),
        }
    }

    async fn api(
        &self,
        request: &ApiGatewayV2httpRequest,
        action: &str,
        deadline: Deadline,
    ) -> Answer {
        if let Err(origin::Foreign(reason)) = origin::check(&request.headers, &self.origin) {
            tracing::warn!(
                reason,
                "request refused: it is not one of the console's own page"
            );
            return Answer::fault(
                FaultKind::Refused,
                "This request does not come from the console's own page.",
            );
        }
        match self.session_of(request).await {
            Ok(Some(session)) => {
                let body = body(request);
                self.answer(action, body.as_deref(), &session, deadline)
                    .await
            }
            Ok(None) => Answer::fault(FaultKind::SignedOut, "Sign in again. Nothing was done."),
            Err(error) => {
                tracing::error!(%error, "the session of a request could not be read");
                Answer::fault(
                    FaultKind::Later,
                    "The console cannot read its key. Nothing was done: try again in a minute.",
                )
            }
        }
    }

    fn sign_out(&self, request: &ApiGatewayV2httpRequest) -> Answer {
        match origin::check(&request.headers, &self.origin) {
            Ok(()) => Answer::json(200, "{}".to_owned()).with_cookie(session::no_session()),
            Err(_) => Answer::fault(
                FaultKind::Refused,
                "This request does not come from the console's own page.",
            ),
        }
    }

    async fn session_of(
        &self,
        request: &ApiGatewayV2httpRequest,
    ) -> Result<Option<Session>, SignInError> {
        let key = self.key().await?;
        Ok(Session::of(&cookies(request), &key, self.clock.now()))
    }

    async fn key(&self) -> Result<Arc<seal::SealKey>, SignInError> {
        let key = self.credentials.key().await;
        key.map_err(|error| SignInError::Unavailable(error.to_string()))
    }

    async fn begin_sign_in(
        &self,
        request: &ApiGatewayV2httpRequest,
        to: String,
        another: bool,
    ) -> Answer {
        let begun = async {
            let key = self.key().await?;
            let (url, pending) = self.provider.begin(to.clone(), another).await?;
            let text = serde_json::to_vec(&pending);
            let text = text.map_err(|error| SignInError::Unavailable(error.to_string()))?;
            let sealed = key.seal(Purpose::SignIn, &text);
            let sealed = sealed.map_err(|error| SignInError::Unavailable(error.to_string()))?;
            // Lax: the redirect back comes from another site, the provider's.
            let cookie = format!(
                "{}={sealed}; Max-Age={SIGN_IN_SECONDS}; Secure; HttpOnly; SameSite=Lax; Path=/",
                cookie_name(pending.state())
            );
            Ok::<_, SignInError>(Answer::redirect(url.as_str()).with_cookie(cookie))
        };
        match begun.await {
            Ok(answer) => answer,
            Err(error) => self.failed(request, error, &to),
        }
    }

    async fn complete_sign_in(&self, request: &ApiGatewayV2httpRequest) -> Answer {
        let state = parameter(request, "state").unwrap_or_default();
        let pending = match self.pending(request, &state).await {
            Ok(pending) => pending,
            Err(error) => return self.failed(request, error, FIRST_SCREEN),
        };
        let signed_in = async {
            let code = match (parameter(request, "error"), parameter(request, "code")) {
                (None, Some(code)) => code,
                _ => return Err(SignInError::Refused("the provider has refused it")),
            };
            let identity = self.provider.complete(&pending, code).await?;
            let session = Session {
                subject: identity.subject,
                name: identity.name,
                role: identity.role,
                expires: self.clock.now() + self.session,
            };
            let cookie = session.cookie(self.key().await?.as_ref());
            cookie.map_err(|error| SignInError::Unavailable(error.to_string()))
        };
        let answer = match signed_in.await {
            Ok(cookie) => {
                self.metrics.count(Metric::SignIns, "signed-in");
                tracing::info!("a person has signed in");
                let page = Page {
                    status: 200,
                    text: Text::SignedIn,
                    link: self.own_address(&pending.to),
                };
                page.answer_and_go_on(&request.headers).with_cookie(cookie)
            }
            Err(error) => self.failed(request, error, &pending.to),
        };
        // Each is valid for one answer of the provider.
        answer.with_cookie(format!(
            "{}=; Max-Age=0; Secure; HttpOnly; SameSite=Lax; Path=/",
            cookie_name(pending.state())
        ))
    }

    /// The sign-in that this browser began with this `state`.
    async fn pending(
        &self,
        request: &ApiGatewayV2httpRequest,
        state: &str,
    ) -> Result<Pending, SignInError> {
        let key = self.key().await?;
        let cookies = cookies(request);
        let sealed = session::value(&cookies, &cookie_name(state));
        let pending = sealed.and_then(|sealed| key.open(Purpose::SignIn, sealed));
        let pending = pending.and_then(|text| serde_json::from_slice::<Pending>(&text).ok());
        let pending = pending.ok_or(SignInError::Refused("this browser has not begun it"))?;
        pending.check(state, self.clock.now())?;
        Ok(pending)
    }

    /// The page for a failed sign-in; `to` is the address for the next attempt.
    fn failed(&self, request: &ApiGatewayV2httpRequest, error: SignInError, to: &str) -> Answer {
        let (status, text, outcome) = match &error {
            SignInError::Refused(_) => (400, Text::Refused, "refused"),
            SignInError::NoRole => (403, Text::NoRole, "no-role"),
            SignInError::Unavailable(_) => (503, Text::Unavailable, "failed"),
            SignInError::SetUp(_) => (500, Text::SetUp, "failed"),
        };
        self.metrics.count(Metric::SignIns, outcome);
        match outcome {
            "failed" => tracing::error!(%error, "a person could not be signed in"),
            _ => tracing::warn!(%error, "a person was not signed in"),
        }
        let mut link = sign_in(&self.own_address(to));
        if text == Text::NoRole {
            link += "&another=1";
        }
        self.page(request, status, text, &link)
    }

    fn page(
        &self,
        request: &ApiGatewayV2httpRequest,
        status: u16,
        text: Text,
        link: &str,
    ) -> Answer {
        let link = link.to_owned();
        Page { status, text, link }.answer(&request.headers)
    }

    /// An address of one of our own screens with its query; anything else becomes the first screen, so that the sign-in is no
    /// open redirect.
    fn own_address(&self, text: &str) -> String {
        let own = || {
            let origin = Url::parse(&self.origin).ok()?;
            let url = origin.join(text).ok()?;
            let screen = url.path().strip_prefix("/console/")?;
            let is_ours = url.origin() == origin.origin()
                && text.starts_with("/console/")
                && text.len() <= LONGEST_ADDRESS
                && SCREENS.contains(&screen);
            let query = url.query().map(|query| format!("?{query}"));
            is_ours.then(|| format!("{}{}", url.path(), query.unwrap_or_default()))
        };
        own().unwrap_or_else(|| FIRST_SCREEN.to_owned())
    }
}

/// The address that begins a sign-in and then returns to an address of ours.
fn sign_in(to: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!("/console/sign-in?{}", query.append_pair("to", to).finish())
}

fn cookie_name(state: &str) -> String {
    format!(
        "{SIGN_IN_COOKIE}{}",
        state.get(..STATE_IN_NAME).unwrap_or_default()
    )
}

/// A parameter of the query; a repeated one counts as missing.
fn parameter(request: &ApiGatewayV2httpRequest, name: &str) -> Option<String> {
    let query = request.raw_query_string.as_deref().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes()).filter(|(own, _)| own == name);
    let (_, value) = pairs.next()?;
    pairs.next().is_none().then(|| value.into_owned())
}

/// The cookies of a request, each `name=value`. API Gateway passes them separately (payload format 2.0); local servers
/// may leave them in the header.
fn cookies(request: &ApiGatewayV2httpRequest) -> Vec<String> {
    let mut cookies = request.cookies.clone().unwrap_or_default();
    let headers = request.headers.get_all(COOKIE).into_iter();
    for header in headers.filter_map(|header| header.to_str().ok()) {
        cookies.extend(header.split(';').map(|cookie| cookie.trim().to_owned()));
    }
    cookies
}

/// The body as text; `None`: it is missing or too large.
fn body(request: &ApiGatewayV2httpRequest) -> Option<String> {
    let text = request.body.clone().unwrap_or_default();
    if text.len() > MAX_BODY_BYTES {
        return None;
    }
    if !request.is_base64_encoded {
        return Some(text);
    }
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}
