//! Requests to a facade. Every exchange is kept for as long as a check may fail because of it, and compared with the contract.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::{
    contract::{Contract, UnreadableContract},
    signature,
    verdict::{Failure, Outcome, Stop},
};

/// The longest that a facade may take for a request; the integration waits as long for a write.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is waited where a facade is busy and does not say for how long.
const PAUSE: Duration = Duration::from_secs(2);
/// A facade that is busy is asked again so often.
const ATTEMPTS: usize = 10;

/// How the facade knows its client.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A static key.
    Key(String),
    /// OAuth client credentials.
    OAuth {
        /// The address of the token server.
        token_url: Url,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
}

/// Where a facade is, and how it is asked.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address that `/v1` follows.
    pub url: Url,
    /// How it knows its client.
    pub credentials: Credentials,
    /// `Erp-Company`, where it wants one.
    pub company: Option<String>,
    /// The key that requests are signed with, where it wants signatures.
    pub signing_key: Option<String>,
}

/// The facade cannot be asked at all.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The address is none that a path can follow.
    #[error("{0} is no address of a facade: it is to be like https://erp.example.com/norce")]
    Url(Url),
    /// Nobody answers there.
    #[error("the facade does not answer: {0}")]
    NoAnswer(String),
    /// A client with TLS cannot be made.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The token server gives no token.
    #[error("the token server gives no token: {0}")]
    Token(String),
    /// The contract.
    #[error(transparent)]
    Contract(#[from] UnreadableContract),
}

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The address from `/v1` on, with the query.
    pub address: String,
    /// The headers that matter: `Idempotency-Key`, `If-Match`, `Erp-Company`.
    pub headers: Vec<(&'static str, String)>,
    /// The body of the request; `null`: none.
    pub request: Value,
    /// The status of the answer, or what became of the request.
    pub status: Result<u16, String>,
    /// The body of the answer: JSON, or the text where it is none.
    pub answer: Value,
}

/// A request that has yet to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Value,
    authorization: Authorization,
    is_of_contract: bool,
    attempts: usize,
    patience: Duration,
}

/// What a request says about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// The credentials.
    Right,
    /// A key that nobody has.
    Wrong,
    /// Nothing.
    Missing,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Value::Null,
            authorization: Authorization::Right,
            is_of_contract: true,
            attempts: ATTEMPTS,
            patience: PATIENCE,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::POST, path).with_body(body)
    }

    pub(crate) fn with_body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn with_query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_authorization(self, authorization: Authorization) -> Self {
        Self {
            authorization,
            ..self
        }
    }

    /// The request does not keep to the contract, on purpose.
    pub(crate) fn against_the_contract(self) -> Self {
        Self {
            is_of_contract: false,
            ..self
        }
    }

    /// An answer that says "later" is an answer.
    pub(crate) fn once(self) -> Self {
        Self {
            attempts: 1,
            ..self
        }
    }

    /// The connection is closed after this time, whatever has become of the request.
    pub(crate) fn abandoned_after(self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.once()
        }
    }
}

/// An answer of a facade.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    exchange: Arc<Exchange>,
}

impl Answer {
    /// The answer, where it has one of these statuses.
    pub(crate) fn expect(self, statuses: &[u16]) -> Outcome<Self> {
        match statuses.contains(&self.status) {
            true => Ok(self),
            false => {
                let due: Vec<String> = statuses.iter().map(u16::to_string).collect();
                let status = self.status;
                Err(self.fails(format!("{status} instead of {}", due.join(" or "))))
            }
        }
    }

    /// The answer, where it is an error of the contract with this code.
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Outcome<Self> {
        match self.error_code() == Some(code) && self.status == status {
            true => Ok(self),
            false => Err(self.fails(format!("not {status} with the code `{code}`"))),
        }
    }

    /// The code of an error of the contract.
    pub(crate) fn error_code(&self) -> Option<&str> {
        self.body["error"]["code"].as_str()
    }

    /// Something is wrong, which this answer shows.
    pub(crate) fn fails(&self, text: impl Into<String>) -> Stop {
        self.fails_after(&[], text)
    }

    /// Something is wrong, which this answer shows together with earlier ones.
    pub(crate) fn fails_after(&self, earlier: &[&Self], text: impl Into<String>) -> Stop {
        let all = earlier.iter().copied().chain([self]);
        Stop::Fails(Failure {
            text: text.into(),
            exchanges: all.map(|answer| answer.exchange.clone()).collect(),
        })
    }
}

/// What all answers together have shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Answers that do not fit the contract, one for each kind of misfit.
    pub(crate) misfits: Vec<Failure>,
    /// Errors with personal data in them.
    pub(crate) personal: Vec<Failure>,
    /// Requests of the suite that do not fit the contract though they are meant to.
    pub(crate) mistakes: Vec<String>,
    /// How many requests were sent.
    pub(crate) requests: usize,
}

/// A client of one facade.
pub(crate) struct Client {
    http: reqwest::Client,
    root: Url,
    authorization: String,
    company: Option<String>,
    signing_key: Option<String>,
    contract: Contract,
    /// What stands in every name and e-mail address of the suite.
    mark: String,
    observed: Mutex<Observed>,
}

impl Client {
    pub(crate) async fn new(target: &Target, mark: &str) -> Result<Self, Unusable> {
        let mut root = target.url.clone();
        let unusable = || Unusable::Url(target.url.clone());
        if !root.has_host() || root.query().is_some() {
            return Err(unusable());
        }
        root.path_segments_mut()
            .map_err(|()| unusable())?
            .pop_if_empty();
        let http = http_client()?;
        let authorization = match &target.credentials {
            Credentials::Key(key) => format!("Bearer {key}"),
            Credentials::OAuth {
                token_url,
                client_id,
                client_secret,
            } => token(&http, token_url, client_id, client_secret).await?,
        };
        Ok(Self {
            http,
            root,
            authorization,
            company: target.company.clone(),
            signing_key: target.signing_key.clone(),
            contract: Contract::published()?,
            mark: mark.to_lowercase(),
            observed: Mutex::default(),
        })
    }

    pub(crate) fn observed(&self) -> Observed {
        self.observed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends a request, and again where the facade says "later". No answer at all is a failure.
    pub(crate) async fn send(&self, request: Request) -> Outcome<Answer> {
        let mut attempts = request.attempts;
        loop {
            attempts -= 1;
            let (exchange, after) = self.exchange(&request).await;
            let exchange = Arc::new(exchange);
            let answer = match &exchange.status {
                Ok(status) => Answer {
                    status: *status,
                    body: exchange.answer.clone(),
                    exchange: exchange.clone(),
                },
                Err(what) => {
                    return Err(Stop::Fails(Failure {
                        text: what.clone(),
                        exchanges: vec![exchange.clone()],
                    }));
                }
            };
            self.observe(&request, &answer);
            if attempts == 0 || !matches!(answer.status, 429 | 503) {
                return Ok(answer);
            }
            tokio::time::sleep(after.unwrap_or(PAUSE).min(PATIENCE)).await;
        }
    }

    async fn exchange(&self, request: &Request) -> (Exchange, Option<Duration>) {
        let mut url = self.root.clone();
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{root}{}", request.path));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let query = url.query().map(|query| format!("?{query}"));
        let mut headers = request.headers.clone();
        let names_company = headers.iter().any(|(name, _)| *name == "Erp-Company");
        if let Some(company) = self.company.as_ref().filter(|_| !names_company) {
            headers.push(("Erp-Company", company.clone()));
        }
        let mut exchange = Exchange {
            method: request.method.clone(),
            address: format!("{}{}", request.path, query.unwrap_or_default()),
            headers,
            request: request.body.clone(),
            status: Err(String::new()),
            answer: Value::Null,
        };
        let body = match &request.body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let signature = self.signing_key.as_ref().and_then(|key| {
            let (method, headers) = (request.method.as_str(), &exchange.headers);
            let now = chrono::Utc::now().timestamp();
            signature::headers(key, method, url.as_str(), headers, &body, now)
        });
        let mut sent = self
            .http
            .request(request.method.clone(), url)
            .timeout(request.patience)
            .header("Accept", "application/json");
        for (name, value) in exchange.headers.iter().chain(signature.iter().flatten()) {
            sent = sent.header(*name, value);
        }
        sent = match request.authorization {
            Authorization::Right => sent.header("Authorization", &self.authorization),
            Authorization::Wrong => sent.header("Authorization", "Bearer nobody-has-this-key"),
            Authorization::Missing => sent,
        };
        if !body.is_empty() {
            sent = sent.header("Content-Type", "application/json").body(body);
        }
        let answer = async {
            let answer = sent.send().await?;
            let later = answer.headers().get("retry-after");
            let later = later.and_then(|it| it.to_str().ok()?.parse().ok());
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, later, answer.text().await?))
        };
        match answer.await {
            Ok((status, later, text)) => {
                exchange.status = Ok(status);
                exchange.answer = match text.as_str() {
                    "" => Value::Null,
                    text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                };
                (exchange, later.map(Duration::from_secs))
            }
            Err(error) => {
                exchange.status = Err(without_address(error));
                (exchange, None)
            }
        }
    }

    /// Compares an exchange with the contract.
    fn observe(&self, request: &Request, answer: &Answer) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.requests += 1;
        let operation = self
            .contract
            .operation(request.method.as_str(), &request.path);
        if let Some(operation) = operation {
            if request.is_of_contract {
                let misfits = operation.misfits_of_request(&request.body);
                observed.mistakes.extend(misfits);
            }
            for misfit in operation.misfits_of_answer(answer.status, &answer.body) {
                let is_known = observed.misfits.iter().any(|known| known.text == misfit);
                if !is_known && observed.misfits.len() < MOST_MISFITS {
                    observed.misfits.push(Failure {
                        text: misfit,
                        exchanges: vec![answer.exchange.clone()],
                    });
                }
            }
        }
        let error = answer.body["error"].to_string().to_lowercase();
        if error.contains(&self.mark) && observed.personal.is_empty() {
            observed.personal.push(Failure {
                text: "an error repeats a name or an e-mail address".to_owned(),
                exchanges: vec![answer.exchange.clone()],
            });
        }
    }
}

/// More misfits than these are not shown.
const MOST_MISFITS: usize = 10;

fn without_address(error: reqwest::Error) -> String {
    let what = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it took too long",
        (_, true) => "no connection",
        _ => "the connection broke off",
    };
    what.to_owned()
}

/// Roots of trust come with the program: a machine without certificates can run it.
fn http_client() -> Result<reqwest::Client, Unusable> {
    let unusable = |error: &dyn std::error::Error| Unusable::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!(
            "norce-customer-sync-conformance/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .map_err(|error| unusable(&error))
}

/// The value of `Authorization`, by OAuth client credentials (RFC 6749 §4.4).
async fn token(
    http: &reqwest::Client,
    token_url: &Url,
    client_id: &str,
    client_secret: &str,
) -> Result<String, Unusable> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id)
        .append_pair("client_secret", client_secret)
        .finish();
    let answer = async {
        let request = http
            .post(token_url.clone())
            .timeout(PATIENCE)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
    };
    let (status, text) = answer
        .await
        .map_err(|error| Unusable::Token(without_address(error)))?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    match body["access_token"].as_str() {
        Some(token) => Ok(format!("Bearer {token}")),
        None => Err(Unusable::Token(format!("it answers {status}"))),
    }
}
