use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::{Deadline, Transport, TransportError, is_temporary, retry_after};
use crate::{Since, domain::redact};

/// The longest that a token is kept. The time comes from outside, and must not silence a function that lives for days.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Who asks for a token (client credentials grant, RFC 6749 §4.4; the credentials travel in the body).
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Url,
    /// Public part of the credentials.
    pub client_id: String,
    /// Secret part of the credentials.
    pub client_secret: SecretString,
    /// What the token is for, in the provider's words; empty: the provider knows.
    pub scope: String,
}

/// How carefully one identity provider is treated.
#[derive(Debug, Clone, Copy)]
pub struct TokenPolicy {
    /// A token is replaced this long before it expires, so that none expires on its way.
    pub early: Duration,
    /// After a rate limit without `Retry-After`, or a refusal, the provider is not asked again for this long.
    pub back_off: Duration,
    /// How long one call may take.
    pub timeout: Duration,
}

/// A token, in the form in which it travels. `Debug` does not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken(HeaderValue);

impl AccessToken {
    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// There is no token. Typed by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It can work later: rate limit, time-out, 5xx, no connection.
    #[error("the identity provider cannot answer now: {reason}")]
    RetryAfter {
        /// How long to wait, where that is known.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// The credentials are wrong: a person must act.
    #[error("the identity provider refuses the credentials: {reason}")]
    Refused {
        /// The provider's words, secrets and personal data removed.
        reason: String,
    },
    /// The answer is not what OAuth says it is.
    #[error("the identity provider's answer cannot be read: {0}")]
    Unreadable(String),
}

/// Gives out a token: cached until shortly before it expires, fetched by one caller at a time while the others wait
/// for that one's result, failure included.
pub struct TokenSource {
    credentials: ClientCredentials,
    policy: TokenPolicy,
    transport: Arc<dyn Transport>,
    state: Mutex<State>,
    /// Fetches that have ended: tells those who waited for one from those who came after it.
    fetches: AtomicU64,
}

#[derive(Default)]
struct State {
    token: Option<CachedToken>,
    failure: Option<Failure>,
}

/// A token that was asked for at a time, and from then on is used for no longer than this.
struct CachedToken {
    token: AccessToken,
    asked: Since,
    usable_for: Duration,
}

impl CachedToken {
    fn is_usable(&self) -> bool {
        self.asked.elapsed() < self.usable_for
    }
}

/// The last fetch failed. From then on, nobody asks the provider again for this long.
struct Failure {
    error: TokenError,
    at: Since,
    hold: Duration,
}

impl Failure {
    fn remaining(&self) -> Duration {
        self.hold.saturating_sub(self.at.elapsed())
    }

    /// The error as it is now: what is left to wait has become less.
    fn now(&self) -> TokenError {
        match &self.error {
            TokenError::RetryAfter {
                after: Some(_),
                reason,
            } => TokenError::RetryAfter {
                after: Some(self.remaining()),
                reason: reason.clone(),
            },
            error => error.clone(),
        }
    }
}

impl TokenSource {
    /// A source without a token yet: the first caller fetches it.
    pub fn new(
        transport: Arc<dyn Transport>,
        credentials: ClientCredentials,
        policy: TokenPolicy,
    ) -> Self {
        Self {
            credentials,
            policy,
            transport,
            state: Mutex::default(),
            fetches: AtomicU64::new(0),
        }
    }

    /// A token that is good for at least [`TokenPolicy::early`].
    ///
    /// # Errors
    /// [`TokenError`]. While the provider is backed off from, the answer comes at once and without a call.
    pub async fn token(&self, deadline: Deadline) -> Result<AccessToken, TokenError> {
        let seen = self.fetches.load(Ordering::Acquire);
        let mut state = tokio::time::timeout(deadline.remaining(), self.state.lock())
            .await
            .map_err(|_| again(None, "no time is left"))?;
        if let Some(cached) = &state.token
            && cached.is_usable()
        {
            return Ok(cached.token.clone());
        }
        let waited = self.fetches.load(Ordering::Acquire) != seen;
        if let Some(failure) = &state.failure
            && (waited || !failure.remaining().is_zero())
        {
            return Err(failure.now());
        }
        // The lock is held across the call on purpose: this is what makes the others wait for its result.
        let outcome = self.fetch(deadline).await;
        self.fetches.fetch_add(1, Ordering::Release);
        match outcome {
            Ok(cached) => {
                let token = cached.token.clone();
                *state = State {
                    token: Some(cached),
                    failure: None,
                };
                Ok(token)
            }
            Err(error) => {
                let hold = match &error {
                    TokenError::RetryAfter { after, .. } => after.unwrap_or_default(),
                    TokenError::Refused { .. } | TokenError::Unreadable(_) => self.policy.back_off,
                };
                *state = State {
                    token: None,
                    failure: Some(Failure {
                        error: error.clone(),
                        at: Since::now(),
                        hold,
                    }),
                };
                Err(error)
            }
        }
    }

    /// Drops a token that an API has refused, so that the next caller fetches a new one. A newer token stays.
    pub async fn invalidate(&self, refused: &AccessToken) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|it| it.token == *refused) {
            state.token = None;
        }
    }

    async fn fetch(&self, deadline: Deadline) -> Result<CachedToken, TokenError> {
        let asked = Since::now();
        let mut answer = self.ask(deadline).await;
        // Once more for a connection that broke or a server that stumbled; never for a rate limit.
        let stumbled = match &answer {
            Err(error) => error.after().is_none(),
            Ok(response) => response.status().is_server_error() && after(response).is_none(),
        };
        if stumbled && !deadline.remaining().is_zero() {
            answer = self.ask(deadline).await;
        }
        let response = answer.map_err(|error| again(error.after(), &error.to_string()))?;
        let status = response.status();
        if status == StatusCode::OK {
            self.read(&response, asked)
        } else if status == StatusCode::TOO_MANY_REQUESTS {
            let after = after(&response).unwrap_or(self.policy.back_off);
            Err(again(Some(after), "rate limit"))
        } else if is_temporary(status) {
            Err(again(
                after(&response),
                &format!("status {}", status.as_u16()),
            ))
        } else if status.is_client_error() {
            Err(TokenError::Refused {
                reason: self.refusal(&response),
            })
        } else {
            // Redirects are not followed: the credentials must not travel to where one points.
            let reason = format!("status {} instead of 200", status.as_u16());
            Err(TokenError::Unreadable(reason))
        }
    }

    /// The body of the request for a token.
    fn form(&self) -> String {
        let ClientCredentials {
            client_id,
            client_secret,
            scope,
            ..
        } = &self.credentials;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", client_id)
            .append_pair("client_secret", client_secret.expose_secret())
            .append_pair("grant_type", "client_credentials");
        if !scope.is_empty() {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    async fn ask(&self, deadline: Deadline) -> Result<Response<Bytes>, TransportError> {
        let body = self.form();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.credentials.token_url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Bytes::from(body))
            .map_err(|_| TransportError::NotSent("the token URL is no URI".to_owned()))?;
        let timeout = self.policy.timeout.min(deadline.remaining());
        if timeout.is_zero() {
            return Err(TransportError::NotSent("no time is left".to_owned()));
        }
        self.transport.send(request, timeout).await
    }

    fn read(&self, response: &Response<Bytes>, asked: Since) -> Result<CachedToken, TokenError> {
        // The parser's own message could quote the token.
        let unreadable = |what: &str| TokenError::Unreadable(what.to_owned());
        let answer: TokenAnswer = serde_json::from_slice(response.body())
            .map_err(|_| unreadable("no JSON object with `access_token` and `expires_in`"))?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
            .map_err(|_| unreadable("`access_token` cannot stand in a header"))?;
        value.set_sensitive(true);
        let lifetime = Duration::from_secs(answer.expires_in).min(LONGEST);
        // A token that lives shorter than twice the margin would never be cached.
        let early = self.policy.early.min(lifetime / 2);
        Ok(CachedToken {
            token: AccessToken(value),
            asked,
            usable_for: lifetime - early,
        })
    }

    /// RFC 6749 §5.2: `error` and `error_description`.
    fn refusal(&self, response: &Response<Bytes>) -> String {
        let status = response.status().as_u16();
        let Ok(refusal) = serde_json::from_slice::<RefusalAnswer>(response.body()) else {
            return format!("status {status}");
        };
        let words = [Some(refusal.error), refusal.error_description];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let words = words
            .join(": ")
            .replace(self.credentials.client_secret.expose_secret(), "[secret]");
        format!("status {status}, {}", redact(&words))
    }
}

fn again(after: Option<Duration>, reason: &str) -> TokenError {
    TokenError::RetryAfter {
        after,
        reason: reason.to_owned(),
    }
}

fn after(response: &Response<Bytes>) -> Option<Duration> {
    retry_after(response, Utc::now())
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct RefusalAnswer {
    error: String,
    error_description: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use async_trait::async_trait;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const POLICY: TokenPolicy = TokenPolicy {
        early: MINUTE,
        back_off: Duration::from_secs(20),
        timeout: Duration::from_secs(10),
    };

    type Answer = Result<Response<Bytes>, TransportError>;

    /// Answers from a script, each after a second, and keeps what it was sent.
    struct Provider {
        answers: StdMutex<Vec<Answer>>,
        requests: StdMutex<Vec<String>>,
    }

    #[async_trait]
    impl Transport for Provider {
        async fn send(&self, request: Request<Bytes>, _: Duration) -> Answer {
            let line = format!(
                "{} {}\n{}",
                request.method(),
                request.uri(),
                String::from_utf8_lossy(request.body())
            );
            self.requests.lock().unwrap().push(line);
            let answer = self.answers.lock().unwrap().remove(0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer
        }
    }

    impl Provider {
        fn calls(&self) -> usize {
            self.requests.lock().unwrap().len()
        }
    }

    fn source(answers: Vec<Answer>) -> (Arc<Provider>, Arc<TokenSource>) {
        let provider = Arc::new(Provider {
            answers: StdMutex::new(answers),
            requests: StdMutex::default(),
        });
        let credentials = ClientCredentials {
            token_url: "https://id.example/connect/token".parse().unwrap(),
            client_id: "client & co".to_owned(),
            client_secret: "s3cr=t".into(),
            scope: "prod".to_owned(),
        };
        let source = TokenSource::new(provider.clone(), credentials, POLICY);
        (provider, Arc::new(source))
    }

    fn answer(status: u16, body: &str) -> Answer {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Ok(Response::builder().status(status).body(body).unwrap())
    }

    fn token(name: &str) -> Answer {
        answer(
            200,
            &format!(r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":3600}}"#),
        )
    }

    async fn get(source: &TokenSource) -> Result<String, TokenError> {
        let token = source.token(Deadline::after(MINUTE)).await?;
        Ok(token.authorization().to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn the_credentials_travel_in_the_body() {
        let (provider, source) = source(vec![token("a")]);
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
        insta::assert_snapshot!(provider.requests.lock().unwrap()[0], @r"
        POST https://id.example/connect/token
        client_id=client+%26+co&client_secret=s3cr%3Dt&grant_type=client_credentials&scope=prod
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_a_minute_before_it_expires() {
        let (provider, source) = source(vec![token("a"), token("b")]);
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
        // One second went by while it was fetched.
        tokio::time::advance(Duration::from_secs(3600 - 60 - 1) - Duration::from_millis(1)).await;
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get(&source).await.unwrap(), "Bearer b");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_has_expired_while_the_process_was_frozen_is_not_used() {
        let (provider, source) = source(vec![token("a"), token("b")]);
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
        if let Some(cached) = &mut source.state.lock().await.token {
            cached.asked = cached.asked.frozen_for(60 * MINUTE);
        }
        assert_eq!(get(&source).await.unwrap(), "Bearer b");
        assert_eq!(provider.calls(), 2);
    }

    async fn burst(source: &Arc<TokenSource>) -> Vec<Result<String, TokenError>> {
        let callers: Vec<_> = (0..50)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { get(&source).await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for caller in callers {
            outcomes.push(caller.await.unwrap());
        }
        outcomes
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_callers_makes_one_call_and_shares_its_token() {
        let (provider, source) = source(vec![token("a")]);
        for outcome in burst(&source).await {
            assert_eq!(outcome.unwrap(), "Bearer a");
        }
        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_burst_of_callers_shares_a_failure_too() {
        let (provider, source) = source(vec![answer(503, ""), answer(503, ""), token("a")]);
        for outcome in burst(&source).await {
            assert!(matches!(outcome, Err(TokenError::RetryAfter { .. })));
        }
        assert_eq!(provider.calls(), 2, "one fetch, which asks once more");
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
    }

    #[tokio::test(start_paused = true)]
    async fn p8_a_rate_limit_is_kept_to_without_another_call() {
        let limited = Response::builder().status(429).header("retry-after", "30");
        let limited = Ok(limited.body(Bytes::new()).unwrap());
        let (provider, source) = source(vec![answer(429, ""), limited, token("a")]);
        let wait = async |seconds| {
            let expected = TokenError::RetryAfter {
                after: Some(Duration::from_secs(seconds)),
                reason: "rate limit".to_owned(),
            };
            assert_eq!(get(&source).await, Err(expected));
        };
        wait(20).await;
        tokio::time::advance(Duration::from_secs(15)).await;
        wait(5).await;
        assert_eq!(provider.calls(), 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        wait(30).await;
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(get(&source).await.unwrap(), "Bearer a");
        assert_eq!(provider.calls(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_credentials_are_told_in_the_providers_words_and_not_tried_again_at_once() {
        let body = r#"{"error":"invalid_client","error_description":"no s3cr=t for a@b.se"}"#;
        let (provider, source) = source(vec![answer(400, body), answer(401, "<html>")]);
        let error = get(&source).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @"the identity provider refuses the credentials: status 400, invalid_client: no [secret] for [e-mail]"
        );
        assert_eq!(get(&source).await, Err(error));
        assert_eq!(provider.calls(), 1);
        tokio::time::advance(POLICY.back_off).await;
        insta::assert_snapshot!(
            get(&source).await.unwrap_err(),
            @"the identity provider refuses the credentials: status 401"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_redirect_and_nonsense_are_errors() {
        for wrong in [
            answer(302, ""),
            answer(200, "secret nonsense"),
            answer(200, r#"{"access_token":"secret\n","expires_in":3600}"#),
            answer(200, r#"{"access_token":"secret"}"#),
        ] {
            let (provider, source) = source(vec![wrong]);
            let error = get(&source).await.unwrap_err();
            assert!(matches!(&error, TokenError::Unreadable(_)), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(provider.calls(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_refused_token_is_dropped() {
        let (provider, source) = source(vec![token("a"), token("b")]);
        let first = source.token(Deadline::after(MINUTE)).await.unwrap();
        source.invalidate(&first).await;
        assert_eq!(get(&source).await.unwrap(), "Bearer b");
        source.invalidate(&first).await;
        assert_eq!(get(&source).await.unwrap(), "Bearer b");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn p13_waiting_for_another_callers_fetch_ends_at_the_deadline() {
        let (_, source) = source(vec![token("a")]);
        let fetching = tokio::spawn({
            let source = source.clone();
            async move { get(&source).await }
        });
        tokio::task::yield_now().await;
        let hurried = source
            .token(Deadline::after(Duration::from_millis(10)))
            .await;
        assert!(matches!(hurried, Err(TokenError::RetryAfter { .. })));
        assert_eq!(fetching.await.unwrap().unwrap(), "Bearer a");
    }

    #[tokio::test(start_paused = true)]
    async fn p11_debug_shows_no_token() {
        let (_, source) = source(vec![token("secret")]);
        let token = source.token(Deadline::after(MINUTE)).await.unwrap();
        assert!(!format!("{token:?} {:?}", source.credentials).contains("s3cr"));
        assert!(!format!("{token:?}").contains("secret"));
    }
}
