//! Norce as a script: issues tokens, returns the answers of a test one after the other, and records the requests.

use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use serde_json::{Value, json};
use shared::{
    domain::{Application, ApplicationId, Applications, NorceId},
    http::{Deadline, HttpClient, RetryPolicy, Transport, TransportError},
    norce::{NorceApi, identity},
};
use uuid::Uuid;

pub(crate) type Answer = Result<Response<Bytes>, TransportError>;

pub(crate) struct Script {
    next: Box<dyn Fn(&str) -> Answer + Send + Sync>,
    requests: Mutex<Vec<String>>,
    tokens: Mutex<u32>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let answers: Mutex<VecDeque<Answer>> = Mutex::new(answers.into_iter().collect());
        Self::answering(move |_| {
            let answer = answers.lock().unwrap().pop_front();
            answer.expect("the script has no answer to this request")
        })
    }

    /// A script whose answers depend on the requests.
    pub(crate) fn answering(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            next: Box::new(answer),
            requests: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// The API that this script stands for.
    pub(crate) fn api(self: &Arc<Self>) -> NorceApi {
        let base_url = "https://shop.example/".parse().unwrap();
        let credentials = identity::NorceCredentials {
            client_id: "client".to_owned(),
            client_secret: "secret".into(),
            scope: "prod".to_owned(),
        };
        let tokens = identity::token_source(self.clone(), &base_url, credentials).unwrap();
        let http = HttpClient::new(self.clone(), RetryPolicy::default());
        NorceApi::new(base_url, http, Arc::new(tokens))
    }

    /// What was asked, tokens left aside.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The only thing that was asked.
    pub(crate) fn request(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests[0].clone()
    }

    pub(crate) fn tokens(&self) -> u32 {
        *self.tokens.lock().unwrap()
    }

    fn token(&self) -> Answer {
        let mut tokens = self.tokens.lock().unwrap();
        *tokens += 1;
        ok(json!({"access_token": format!("token-{tokens}"), "expires_in": 3600}))
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>, _: Duration) -> Answer {
        if request.uri().path() == "/identity/1.0/connect/token" {
            return self.token();
        }
        let request = written(&request);
        self.requests.lock().unwrap().push(request.clone());
        // An answer takes its time: other callers get their turn.
        tokio::task::yield_now().await;
        (self.next)(&request)
    }
}

/// A request as a person reads it: the options of its query decoded, one in a line.
fn written(request: &Request<Bytes>) -> String {
    let mut text = format!("{} {}", request.method(), without_query(request.uri()));
    let query = request.uri().query().unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        write!(text, "\n  {name}={value}").unwrap();
    }
    for (name, value) in request.headers() {
        write!(text, "\n{name}: {}", value.to_str().unwrap()).unwrap();
    }
    if !request.body().is_empty() {
        write!(text, "\n\n{}", String::from_utf8_lossy(request.body())).unwrap();
    }
    text.replace("Bearer token-", "Bearer [token] ")
}

fn without_query(uri: &Uri) -> String {
    let uri = uri.to_string();
    uri.split('?').next().unwrap().to_owned()
}

pub(crate) fn ok(body: Value) -> Answer {
    answer(StatusCode::OK, body)
}

pub(crate) fn answer(status: StatusCode, body: Value) -> Answer {
    let body = Bytes::from(body.to_string());
    Ok(Response::builder().status(status).body(body).unwrap())
}

pub(crate) fn status(status: u16) -> Answer {
    Ok(Response::builder()
        .status(status)
        .body(Bytes::new())
        .unwrap())
}

/// A list as Query writes it.
pub(crate) fn rows(rows: Value) -> Answer {
    ok(json!({"@odata.context": "https://shop.example/$metadata", "value": rows}))
}

pub(crate) fn minute() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub(crate) fn id(id: i64) -> NorceId {
    id.try_into().unwrap()
}

pub(crate) fn app(id: i64) -> ApplicationId {
    id.try_into().unwrap()
}

/// Applications 1 (the default) and 2.
pub(crate) fn applications() -> Applications {
    let application = |number: u8| Application {
        id: app(number.into()),
        key: Uuid::from_bytes([number; 16]),
        erp_company: None,
    };
    Applications::new(application(1), vec![application(2)])
}
