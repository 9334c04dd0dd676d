//! The process of the function with the real clients, against a stand-in for AWS and Norce: which secrets a request
//! reads, and what is kept between requests.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Uri},
};
use chrono::{DateTime, TimeDelta, Utc};
use operator::Process;
use serde_json::{Value, json};
use shared::{
    domain::Clock,
    http::{Deadline, ReqwestTransport},
    runtime::{configuration::Environment, context::AwsContext},
};
use tests::{lambda::environment::every_variable, local_aws::aws_at};

/// What was asked, by name: `secret norce`, `Scan owed`, `token`.
type LookupKey = BTreeMap<String, usize>;

/// AWS and Norce.
#[derive(Default)]
struct Remote {
    asked: Mutex<LookupKey>,
    /// How often each secret was changed.
    versions: Mutex<BTreeMap<String, usize>>,
}

impl Remote {
    fn answer(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Value {
        let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let (name, answer) = match target.and_then(|target| target.split_once('.')) {
            Some(("secretsmanager", _)) => {
                let id = body["SecretId"].as_str().unwrap();
                let version = self.versions.lock().unwrap().get(id).copied();
                (
                    format!("secret {id}"),
                    secret(id, version.unwrap_or_default()),
                )
            }
            Some((_, "GetQueueAttributes")) => {
                let attributes = json!({
                    "ApproximateNumberOfMessages": "0",
                    "ApproximateNumberOfMessagesNotVisible": "0",
                    "ApproximateNumberOfMessagesDelayed": "0",
                });
                ("queue".to_owned(), json!({ "Attributes": attributes }))
            }
            Some((_, call)) => {
                let table = body["TableName"].as_str().unwrap_or_default();
                (format!("{call} {table}"), json!({}))
            }
            None if uri.path().ends_with("/token") => (
                "token".to_owned(),
                json!({"access_token": "a token", "token_type": "Bearer", "expires_in": 3_600}),
            ),
            None => ("norce".to_owned(), json!({ "value": [] })),
        };
        *self.asked.lock().unwrap().entry(name).or_default() += 1;
        answer
    }

    fn change(&self, secret: &str) {
        let mut versions = self.versions.lock().unwrap();
        *versions.entry(secret.to_owned()).or_default() += 1;
    }

    fn take(&self) -> LookupKey {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn secret(id: &str, version: usize) -> Value {
    let text = match id {
        "event" => json!({"current": "current"}),
        "fingerprint" => json!({"key": "key"}),
        _ => json!({"clientId": "client", "clientSecret": format!("secret {version}")}),
    };
    json!({
        "ARN": id, "Name": id, "VersionId": format!("version {version}"),
        "SecretString": text.to_string(),
    })
}

/// The remote, with its address.
async fn remote() -> (Arc<Remote>, String) {
    let remote = Arc::new(Remote::default());
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = remote.clone();
    let router = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let answers = answers.clone();
        async move { answers.answer(&uri, &headers, &body).to_string() }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (remote, address)
}

async fn context(address: &str) -> AwsContext {
    let aws = aws_at(address);
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    AwsContext::new(aws, transport, String::new())
}

/// A clock that is set by hand.
#[derive(Default)]
struct SetClock(Mutex<DateTime<Utc>>);

impl SetClock {
    fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// Runs with a process over the remote.
async fn with_process(work: impl AsyncFn(&Process<'_>, &Remote, &SetClock)) {
    let (remote, address) = remote().await;
    let context = context(&address).await;
    let mut variables = every_variable(&address);
    for (name, value) in &mut variables {
        if ["NORCE_BASE_URL", "ERP_BASE_URL", "ERP_TOKEN_URL"].contains(&name.as_str()) {
            value.clone_from(&address);
        }
    }
    let environment = move || {
        let variables = variables.clone();
        Environment::new(move |wanted| {
            let found = variables.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        })
    };
    let clock = Arc::new(SetClock::default());
    let process = Process::new(&context, environment, clock.clone());
    work(&process, &remote, &clock).await;
}

async fn ask(process: &Process<'_>, request: &Value) -> Result<Value, String> {
    let deadline = Deadline::after(Duration::from_secs(50));
    let answer = process.answer(request.clone(), "a request", deadline).await;
    let answer = answer.map_err(|refusal| refusal.to_string())?;
    let answer = serde_json::to_value(answer).unwrap();
    tests::sentences::check(&answer);
    Ok(answer)
}

fn secrets(asked: &LookupKey) -> Vec<&str> {
    let names = asked.keys();
    names
        .filter_map(|name| name.strip_prefix("secret "))
        .collect()
}

#[tokio::test]
async fn no_secret_is_read_that_the_action_does_not_need() {
    with_process(async |process, remote, _| {
        for request in [
            json!({}),
            json!({"action": "status"}),
            json!({"action": "activity"}),
            json!({"action": "owed"}),
            json!({"action": "owed", "groups": true}),
            json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "a test"}),
            json!({"action": "owed", "do": "restore", "kind": "customer"}),
            json!({"action": "dead-letters"}),
        ] {
            let answer = ask(process, &request).await;
            assert!(answer.is_ok(), "{request}: {answer:?}");
            let asked = remote.take();
            assert_eq!(secrets(&asked), Vec::<&str>::new(), "{request}");
            assert_eq!(asked.get("token"), None, "{request}");
        }
        let explain = json!({"action": "explain", "id": 1001});
        let _ = ask(process, &explain).await;
        assert_eq!(secrets(&remote.take()), ["erp", "fingerprint", "norce"]);
        let _ = ask(process, &json!({"action": "doctor"})).await;
        let all = ["erp", "event", "fingerprint", "norce"];
        assert_eq!(secrets(&remote.take()), all);
    })
    .await;
}

#[tokio::test]
async fn a_token_lives_on_between_requests_until_a_secret_changes() {
    with_process(async |process, remote, _| {
        let explain = json!({"action": "explain", "id": 1001});
        let tokens = async || {
            let _ = ask(process, &explain).await;
            remote.take().get("token").copied().unwrap_or_default()
        };
        assert_eq!(tokens().await, 1);
        for _ in 0..5 {
            assert_eq!(tokens().await, 0, "a request a minute is too many");
        }
        // A request that needs no client does not end it either.
        let _ = ask(process, &json!({"action": "status"})).await;
        assert_eq!(tokens().await, 0);
        for secret in ["norce", "erp", "fingerprint"] {
            remote.change(secret);
            assert_eq!(tokens().await, 1, "{secret}");
            assert_eq!(tokens().await, 0, "{secret}");
        }
        // The doctor asks for a token of its own, with the secrets as they are now.
        let _ = ask(process, &json!({"action": "doctor", "part": "norce"})).await;
        assert_eq!(remote.take().get("token"), Some(&1));
        assert_eq!(tokens().await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_status_is_answered_from_up_to_ten_seconds_ago_unless_somebody_acted() {
    with_process(async |process, remote, clock| {
        let status = json!({"action": "status"});
        let first = ask(process, &status).await.unwrap();
        let counted = async || remote.take().contains_key("Scan owed");
        assert!(counted().await);
        clock.advance(TimeDelta::milliseconds(9_999));
        assert_eq!(ask(process, &status).await.unwrap(), first);
        assert!(!counted().await);
        clock.advance(TimeDelta::milliseconds(1));
        let second = ask(process, &status).await.unwrap();
        assert!(counted().await);
        assert_ne!(second["asOf"], first["asOf"]);
        let dismiss =
            json!({"action": "owed", "do": "dismiss", "kind": "customer", "because": "a test"});
        ask(process, &dismiss).await.unwrap();
        remote.take();
        ask(process, &status).await.unwrap();
        assert!(counted().await, "a person wants to see what it did");
    })
    .await;
}
