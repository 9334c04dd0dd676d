//! Requests to a facade. Every exchange is compared with the contract and kept with the answer, so that a failure can show it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::{
    connection::{LARGEST_ANSWER, authorization, body_of, check, http_client, without_url},
    contract::{Contract, UnreadableContract},
    signature,
    verdict::{Failure, Outcome, Stop},
};

/// The time-out of a request. The integration uses the same for writes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The wait after 429 or 503 without `Retry-After`.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a request is sent while the facade answers 429 or 503.
const ATTEMPTS: usize = 10;
/// The most that a run waits for a busy facade in total.
const MOST_WAITING: Duration = Duration::from_secs(300);
/// After this many consecutive requests without an answer, the run ends.
const GONE: usize = 8;

/// How the client authenticates.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A static key.
    Key(String),
    /// OAuth client credentials.
    OAuth {
        /// The URL of the token server.
        token_url: Url,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
    },
}

/// Where a facade is, and how to authenticate.
#[derive(Debug, Clone)]
pub struct Target {
    /// The URL that `/v1` follows.
    pub url: Url,
    /// How the client authenticates.
    pub credentials: Credentials,
    /// The value of `Erp-Company`; `None`: the header is not sent.
    pub company: Option<String>,
    /// The key to sign requests with, of 32 characters or more; `None`: they are not signed.
    pub signing_key: Option<String>,
    /// A certificate authority to trust besides the public ones, as PEM.
    pub certificate_authority: Option<Vec<u8>>,
}

impl Target {
    /// A facade with a static key, without a company or signatures.
    pub fn with_key(url: Url, key: impl Into<String>) -> Self {
        Self {
            url,
            credentials: Credentials::Key(key.into()),
            company: None,
            signing_key: None,
            certificate_authority: None,
        }
    }
}

/// The facade cannot be checked at all.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The URL cannot be that of a facade.
    #[error("{0} is not a valid facade URL. Example: https://erp.example.com/norce")]
    Url(Url),
    /// An option has an invalid value.
    #[error("{0}")]
    Option(String),
    /// The credentials allow reading only.
    #[error(
        "these credentials may not write (`mayWrite: false`): use some that may, in a test company"
    )]
    ReadOnly,
    /// No check has such a name.
    #[error("no check has `{only}` in its name. There are: {names}")]
    NoSuchCheck {
        /// The value of the option.
        only: String,
        /// All names.
        names: String,
    },
    /// Nothing answers at the URL.
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
    /// The whole URL.
    pub url: String,
    /// `Idempotency-Key`, `If-Match` and `Erp-Company`, as far as they were sent.
    pub headers: Vec<(&'static str, String)>,
    /// The body of the request; `null`: none.
    pub request: Value,
    /// The status of the answer; `Err`: why there is none.
    pub status: Result<u16, String>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The body of the answer: JSON, or the text where it is none.
    pub answer: Value,
}

/// A request to send.
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

/// The value of `Authorization` in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// That of the credentials.
    Right,
    /// An invalid key.
    Wrong,
    /// None.
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

    /// The request violates the contract on purpose.
    pub(crate) fn against_the_contract(self) -> Self {
        Self {
            is_of_contract: false,
            ..self
        }
    }

    /// Sends the request once, whatever the answer.
    pub(crate) fn once(self) -> Self {
        Self {
            attempts: 1,
            ..self
        }
    }

    /// Closes the connection after this time, whether or not there is an answer.
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
    /// The answer, if it has one of these statuses.
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

    /// The answer, if it is an error of the contract with this code.
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

    /// A failure that this answer shows.
    pub(crate) fn fails(&self, text: impl Into<String>) -> Stop {
        self.fails_after(&[], text)
    }

    /// A failure that this answer shows together with earlier ones.
    pub(crate) fn fails_after(&self, earlier: &[&Self], text: impl Into<String>) -> Stop {
        let all = earlier.iter().copied().chain([self]);
        Stop::Fails(Failure {
            text: text.into(),
            exchanges: all.map(|answer| answer.exchange.clone()).collect(),
        })
    }
}

/// Findings over all answers so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Answers that do not fit the contract, one for each kind of misfit.
    pub(crate) misfits: Vec<Failure>,
    /// Errors that contain personal data.
    pub(crate) personal: Vec<Failure>,
    /// Requests that violate the contract by mistake: bugs of the suite.
    pub(crate) mistakes: Vec<String>,
    /// How many requests were sent.
    pub(crate) requests: usize,
    /// The number of consecutive requests without an answer.
    unanswered: usize,
    /// The total wait for a busy facade.
    waited: Duration,
}

/// A client of one facade.
pub(crate) struct Client {
    http: reqwest::Client,
    root: Url,
    credentials: Credentials,
    /// The value of `Authorization`. A rejected token is replaced.
    authorization: Mutex<String>,
    company: Option<String>,
    signing_key: Option<String>,
    contract: Contract,
    /// A part of every name and e-mail address of the run.
    mark: String,
    observed: Mutex<Observed>,
}

impl Client {
    pub(crate) async fn new(target: &Target, mark: &str) -> Result<Self, Unusable> {
        let mut root = target.url.clone();
        let unusable = || Unusable::Url(target.url.clone());
        let is_plain = root.query().is_none() && root.fragment().is_none();
        let is_http = matches!(root.scheme(), "http" | "https") && root.username().is_empty();
        if !root.has_host() || !is_plain || !is_http {
            return Err(unusable());
        }
        check(target)?;
        root.path_segments_mut()
            .map_err(|()| unusable())?
            .pop_if_empty();
        let http = http_client(target.certificate_authority.as_deref())?;
        let authorization = authorization(&http, &target.credentials).await?;
        Ok(Self {
            http,
            root,
            credentials: target.credentials.clone(),
            authorization: Mutex::new(authorization),
            company: target.company.clone(),
            signing_key: target.signing_key.clone(),
            contract: Contract::published()?,
            mark: mark.to_lowercase(),
            observed: Mutex::default(),
        })
    }

    pub(crate) fn observed(&self) -> Observed {
        locked(&self.observed).clone()
    }

    /// Sends a request, and repeats it after 429 or 503. No answer at all is a failure.
    pub(crate) async fn send(&self, request: Request) -> Outcome<Answer> {
        let mut attempts = request.attempts;
        let mut may_renew = matches!(self.credentials, Credentials::OAuth { .. })
            && request.authorization == Authorization::Right;
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
                    self.observing(|observed| observed.unanswered += 1);
                    return Err(Stop::Fails(Failure {
                        text: what.clone(),
                        exchanges: vec![exchange.clone()],
                    }));
                }
            };
            self.observe(&request, &answer);
            if answer.status == 401 && may_renew {
                may_renew = false;
                attempts += 1;
                if let Ok(renewed) = authorization(&self.http, &self.credentials).await {
                    *locked(&self.authorization) = renewed;
                    continue;
                }
            }
            let wait = after.unwrap_or(PAUSE).min(PATIENCE);
            let is_busy = matches!(answer.status, 429 | 503);
            if attempts == 0 || !is_busy || !self.may_wait(wait) {
                return Ok(answer);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the facade has stopped answering.
    pub(crate) fn is_gone(&self) -> bool {
        self.observed().unanswered >= GONE
    }

    fn may_wait(&self, wait: Duration) -> bool {
        self.observing(|observed| {
            observed.waited += wait;
            observed.waited <= MOST_WAITING
        })
    }

    fn observing<T>(&self, change: impl FnOnce(&mut Observed) -> T) -> T {
        change(&mut locked(&self.observed))
    }

    async fn exchange(&self, request: &Request) -> (Exchange, Option<Duration>) {
        let mut url = self.root.clone();
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{root}{}", request.path));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut headers = request.headers.clone();
        let names_company = headers.iter().any(|(name, _)| *name == "Erp-Company");
        if let Some(company) = self.company.as_ref().filter(|_| !names_company) {
            headers.push(("Erp-Company", company.clone()));
        }
        let mut exchange = Exchange {
            method: request.method.clone(),
            url: url.to_string(),
            headers,
            request: request.body.clone(),
            status: Err(String::new()),
            location: None,
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
            Authorization::Right => {
                sent.header("Authorization", locked(&self.authorization).as_str())
            }
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
            let location = answer.headers().get("location");
            let location = location.and_then(|it| it.to_str().ok().map(str::to_owned));
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, later, location, body_of(answer).await?))
        };
        match answer.await {
            Ok((status, later, location, Some(text))) => {
                exchange.status = Ok(status);
                exchange.location = location;
                exchange.answer = match text.as_str() {
                    "" => Value::Null,
                    text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
                };
                (exchange, later.map(Duration::from_secs))
            }
            Ok((status, _, _, None)) => {
                let size = LARGEST_ANSWER >> 20;
                exchange.status = Err(format!("{status}, and more than {size} MiB after it"));
                (exchange, None)
            }
            Err(error) => {
                exchange.status = Err(without_url(error));
                (exchange, None)
            }
        }
    }

    /// Compares an exchange with the contract.
    fn observe(&self, request: &Request, answer: &Answer) {
        let mut observed = locked(&self.observed);
        observed.requests += 1;
        observed.unanswered = 0;
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
        let mut error = answer.body.clone();
        if let Some(error) = error.as_object_mut() {
            // The record that already has the requested code.
            error.remove("record");
        }
        let error = match answer.status {
            400.. => error.to_string().to_lowercase(),
            _ => String::new(),
        };
        if error.contains(&self.mark) && observed.personal.is_empty() {
            observed.personal.push(Failure {
                text: "an error contains a name or an e-mail address".to_owned(),
                exchanges: vec![answer.exchange.clone()],
            });
        }
    }
}

/// The most misfits that are reported.
const MOST_MISFITS: usize = 10;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
