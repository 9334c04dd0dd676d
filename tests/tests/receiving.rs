//! The answers of `receive-events`: which posts it authenticates, accepts and refuses, and with which text.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::{Compression, write::GzEncoder};
use receive_events::{
    ANSWER_WITHIN, CachedSecret, Configuration, MAX_BODY_BYTES, OrderReceiver, ReceiveEvents,
};
use serde_json::{Value, json};
use shared::{
    StoreError,
    domain::{ApplicationId, ChangeMessage, EntityRef, JobMessage, OrderText, Registers},
    http::{ReqwestTransport, Transport, TransportError},
    orders::{MAX_ORDER_BYTES, OrderRef, Orders, Parties, Received, StoredOrder},
    queues::{Message, Queue},
    runtime::secrets::{EventSecret, SecretForm, Secrets},
};
use tests::{
    captured_logs::CapturedText,
    limits::at_both_ends,
    local_aws::aws_over,
    memory::{MemoryOrders, MemoryQueue, Redrive},
    resources::{MemoryResources, environment},
};
use tracing::Level;
use uuid::Uuid;

const ONE_APPLICATION: &str = r#"[{"id":1,"key":"00000000-0000-0000-0000-000000000001"}]"#;
const CUSTOMER_CHANGED: &str =
    r#"{"ClientId":1006,"CustomerId":123,"EntityChanged":"tClientCustomer"}"#;

/// AWS Secrets Manager with one secret, as the SDK sees it.
#[derive(Default)]
struct SecretsManager {
    /// Its text; `None`: the service is out of order.
    text: Mutex<Option<&'static str>>,
    /// How long it takes to answer.
    delay: Mutex<Duration>,
    reads: AtomicUsize,
}

impl SecretsManager {
    fn with(text: &'static str) -> Arc<Self> {
        let manager = Self::out_of_order();
        manager.set(Some(text));
        manager
    }

    fn out_of_order() -> Arc<Self> {
        Arc::default()
    }

    fn set(&self, text: Option<&'static str>) {
        *self.text.lock().unwrap() = text;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// What the function reads secrets with.
    fn client(self: &Arc<Self>) -> Secrets {
        Secrets::new(&aws_over(self.clone()))
    }

    /// The secret, as a function that has just started has it.
    async fn cached<S: SecretForm + Send + Sync>(self: &Arc<Self>) -> Arc<CachedSecret<S>> {
        cached(&self.client())
    }
}

fn cached<S: SecretForm + Send + Sync>(secrets: &Secrets) -> Arc<CachedSecret<S>> {
    Arc::new(CachedSecret::new(secrets.clone(), "the-secret".to_owned()))
}

#[async_trait]
impl Transport for SecretsManager {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let answer = |status: u16, body: Value| {
            let response = http::Response::builder().status(status);
            Ok(response.body(body.to_string().into()).unwrap())
        };
        let target = request.headers().get("x-amz-target");
        if target.is_none_or(|target| target != "secretsmanager.GetSecretValue") {
            // The SDK looks for the settings of an instance that it might run on.
            return answer(404, json!({}));
        }
        let asked: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(asked["SecretId"], "the-secret");
        self.reads.fetch_add(1, Ordering::Relaxed);
        let delay = *self.delay.lock().unwrap();
        let slow = tokio::time::sleep(delay);
        if tokio::time::timeout(timeout, slow).await.is_err() {
            return Err(TransportError::AnswerLost("time-out".to_owned()));
        }
        match *self.text.lock().unwrap() {
            Some(text) => answer(200, json!({ "SecretString": text })),
            None => answer(500, json!({ "__type": "InternalServiceError" })),
        }
    }
}

/// The secret of events, and later ones.
const EVENT_SECRETS: [&str; 3] = [
    r#"{"current":"current","previous":"previous"}"#,
    r#"{"current":"newest","previous":"current"}"#,
    r#"{"current":"newest"}"#,
];
/// The secret of orders, and later ones.
const ORDER_SECRETS: [&str; 3] = [
    r#"{"username":"norce","password":"current","previousPassword":"previous"}"#,
    r#"{"username":"norce","password":"newest","previousPassword":"current"}"#,
    r#"{"username":"norce","password":"newest"}"#,
];

/// A table that does not answer.
#[async_trait]
impl Orders for Down {
    async fn receive(
        &self,
        _: &OrderRef,
        _: &OrderText,
        _: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        Err(StoreError::new("orders", "time-out"))
    }

    async fn get(&self, _: &OrderRef) -> Result<Option<StoredOrder>, StoreError> {
        unreachable!("it only receives")
    }

    async fn set_parties(&self, _: &OrderRef, _: Uuid, _: &Parties) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn set_forwarded(
        &self,
        _: &OrderRef,
        _: Uuid,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn discard(&self, _: &OrderRef, _: Uuid, _: DateTime<Utc>) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn wait_for(
        &self,
        _: EntityRef,
        _: &OrderRef,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        unreachable!("it only receives")
    }

    async fn waiting_for(&self, _: EntityRef) -> Result<Vec<OrderRef>, StoreError> {
        unreachable!("it only receives")
    }

    async fn stop_waiting(&self, _: EntityRef, _: &[OrderRef]) -> Result<(), StoreError> {
        unreachable!("it only receives")
    }
}

/// A queue that does not answer.
struct Down;

#[async_trait]
impl<M: Message> Queue<M> for Down {
    async fn send(&self, _: &[M], _: Duration) -> Result<(), StoreError> {
        Err(StoreError::new("queue", "time-out"))
    }
}

/// Answers after a delay.
struct Delayed<T> {
    inner: Arc<T>,
    delay: Duration,
}

#[async_trait]
impl<M: Message, T: Queue<M>> Queue<M> for Delayed<T> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError> {
        tokio::time::sleep(self.delay).await;
        self.inner.send(messages, delay).await
    }
}

#[async_trait]
impl<T: Orders> Orders for Delayed<T> {
    async fn receive(
        &self,
        key: &OrderRef,
        order: &OrderText,
        at: DateTime<Utc>,
    ) -> Result<Received, StoreError> {
        tokio::time::sleep(self.delay).await;
        self.inner.receive(key, order, at).await
    }

    async fn get(&self, _: &OrderRef) -> Result<Option<StoredOrder>, StoreError> {
        unreachable!("it only receives")
    }

    async fn set_parties(&self, _: &OrderRef, _: Uuid, _: &Parties) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn set_forwarded(
        &self,
        _: &OrderRef,
        _: Uuid,
        _: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn discard(&self, _: &OrderRef, _: Uuid, _: DateTime<Utc>) -> Result<bool, StoreError> {
        unreachable!("it only receives")
    }

    async fn wait_for(
        &self,
        _: EntityRef,
        _: &OrderRef,
        _: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        unreachable!("it only receives")
    }

    async fn waiting_for(&self, _: EntityRef) -> Result<Vec<OrderRef>, StoreError> {
        unreachable!("it only receives")
    }

    async fn stop_waiting(&self, _: EntityRef, _: &[OrderRef]) -> Result<(), StoreError> {
        unreachable!("it only receives")
    }
}

struct Receiver {
    function: ReceiveEvents,
    changes: Arc<MemoryQueue<ChangeMessage>>,
    jobs: Arc<MemoryQueue<JobMessage>>,
}

async fn receiver(registers: Registers) -> Receiver {
    let secrets = SecretsManager::with(EVENT_SECRETS[0]).cached().await;
    receiver_with(secrets, registers)
}

fn receiver_with(secrets: Arc<CachedSecret<EventSecret>>, registers: Registers) -> Receiver {
    let redrive = Redrive {
        visibility: Duration::from_secs(60),
        max_receives: 5,
    };
    let changes = Arc::new(MemoryQueue::fifo(redrive));
    let jobs = Arc::new(MemoryQueue::standard(redrive));
    let nowhere = ReqwestTransport::new().unwrap();
    let resources = MemoryResources::new(Arc::new(nowhere))
        .with_queue::<ChangeMessage>("changes", changes.clone())
        .with_queue::<JobMessage>("jobs", jobs.clone());
    let mut configuration = Configuration::read(environment(&[])).unwrap();
    configuration.shops.registers = registers;
    let function = ReceiveEvents {
        secrets,
        ..ReceiveEvents::build(configuration, &resources)
    };
    Receiver {
        function,
        changes,
        jobs,
    }
}

fn post(path: &str, body: &str) -> ApiGatewayV2httpRequest {
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(path.to_owned());
    request
        .headers
        .insert("x-event-secret", "current".parse().unwrap());
    request.body = Some(body.to_owned());
    request
}

fn read(response: ApiGatewayV2httpResponse) -> (i64, Value) {
    let Some(Body::Text(body)) = response.body else {
        panic!("no body")
    };
    (response.status_code, serde_json::from_str(&body).unwrap())
}

impl Receiver {
    async fn answer(&self, request: &ApiGatewayV2httpRequest) -> (i64, Value) {
        read(self.function.handle(request).await)
    }

    /// Refused for good, with these words, and nothing on a queue.
    async fn refuses(&self, request: &ApiGatewayV2httpRequest, words: &str) {
        let (status, body) = self.answer(request).await;
        let reason = body["error"].as_str().unwrap();
        assert_eq!(status, 400, "{reason}");
        assert!(reason.contains(words), "`{reason}` does not say `{words}`");
        assert!(self.changes.is_empty() && self.jobs.is_empty());
    }
}

#[tokio::test]
async fn each_of_the_five_paths_leads_to_its_queue() {
    for (path, body, group) in [
        ("customer-changed", CUSTOMER_CHANGED, "customer/client/123"),
        (
            "company-changed",
            r#"{"ClientId":1,"ApplicationId":1,"CompanyId":9,"EntityChanged":"tClientCompany","New":true}"#,
            "company/client/9",
        ),
        (
            "order-confirmed",
            r#"{"ClientId":1,"ApplicationId":1,"OrderId":77,"OrderNo":"A","ClientOrderRef":"5","Source":"WEB"}"#,
            "order/1/77",
        ),
    ] {
        let receiver = receiver(Registers::Client).await;
        let (status, answer) = receiver
            .answer(&post(&format!("/events/{path}"), body))
            .await;
        assert_eq!(
            (status, &answer["accepted"]["subject"]),
            (202, &group.into())
        );
        assert_eq!(
            receiver.changes.receive(10)[0].group.as_deref(),
            Some(group)
        );
    }
    let receiver = receiver(Registers::Client).await;
    let order = r#"{"ClientId":1,"ApplicationId":1,"ClientOrderRef":"5","Source":"WEB","Email":"a@example.com"}"#;
    assert_eq!(
        receiver
            .answer(&post("/events/order-received", order))
            .await
            .0,
        202
    );
    let message = &receiver.changes.receive(10)[0];
    assert!(
        !message.body.contains("example.com"),
        "P11: {}",
        message.body
    );
    let job = r#"{"ClientId":1,"JobId":4711,"StatusId":2}"#;
    assert_eq!(
        receiver.answer(&post("/events/job-completed", job)).await.0,
        202
    );
    assert!(receiver.jobs.receive(10)[0].body.contains("4711"));
}

#[tokio::test]
async fn without_a_type_in_the_path_the_header_or_the_query_names_it_in_any_case() {
    let receiver = receiver(Registers::Client).await;
    let mut by_header = post("/events", CUSTOMER_CHANGED);
    by_header.headers.insert(
        "x-norce-event-type",
        "customerchangednotification".parse().unwrap(),
    );
    assert_eq!(receiver.answer(&by_header).await.0, 202);
    let mut by_query = post("/events/", CUSTOMER_CHANGED);
    let query =
        serde_json::from_str(r#"{"norceEventType":"CustomerChangedNotification"}"#).unwrap();
    by_query.query_string_parameters = query;
    assert_eq!(receiver.answer(&by_query).await.0, 202);
    assert_eq!(receiver.changes.len(), 2);
}

#[tokio::test]
async fn only_the_secrets_that_are_accepted_let_in() {
    let receiver = receiver(Registers::Client).await;
    for (secret, expected) in [
        ("current", 202),
        ("previous", 202),
        ("newest", 401),
        ("wrong", 401),
        ("", 401),
        ("curren", 401),
    ] {
        let mut request = post("/events/customer-changed", CUSTOMER_CHANGED);
        request
            .headers
            .insert("x-event-secret", secret.parse().unwrap());
        assert_eq!(receiver.answer(&request).await.0, expected, "{secret}");
    }
    let mut without = post("/events/customer-changed", "not even JSON");
    without.headers.clear();
    assert_eq!(receiver.answer(&without).await.0, 401);
    assert_eq!(receiver.changes.len(), 2);
}

#[tokio::test]
async fn what_can_never_be_right_is_refused_with_the_reason() {
    let receiver = receiver(Registers::Client).await;
    receiver
        .refuses(&post("/events/customer-changed", "{"), "JSON")
        .await;
    receiver
        .refuses(&post("/events/customer-changed", ""), "JSON")
        .await;
    receiver
        .refuses(&post("/events/customer-changed", "[1]"), "")
        .await;
    receiver
        .refuses(
            &post(
                "/events/customer-changed",
                r#"{"ClientId":1,"EntityChanged":"x"}"#,
            ),
            "CustomerId",
        )
        .await;
    let negative = r#"{"ClientId":1,"CustomerId":-5,"EntityChanged":"x"}"#;
    receiver
        .refuses(&post("/events/customer-changed", negative), "CustomerId")
        .await;
    receiver
        .refuses(&post("/events", CUSTOMER_CHANGED), "x-norce-event-type")
        .await;
}

/// The same post with the type in each of the three places that may name it.
fn posts_of_type(name: &str, body: &str) -> [ApiGatewayV2httpRequest; 3] {
    let mut by_header = post("/events", body);
    let value = name.parse().unwrap();
    by_header.headers.insert("x-norce-event-type", value);
    let mut by_query = post("/events", body);
    by_query.query_string_parameters =
        serde_json::from_value(json!({ "norceEventType": name })).unwrap();
    [post(&format!("/events/{name}"), body), by_header, by_query]
}

#[tokio::test]
async fn every_spelling_of_a_type_leads_to_its_queue() {
    let company = r#"{"ClientId":1,"CompanyId":9,"EntityChanged":"tClientCompany"}"#;
    let customers = [
        "CustomerChangedNotification",
        "CustomerChangeNotification",
        "customerchangenotification",
        "CUSTOMERCHANGEDNOTIFICATION",
        "customer-changed",
        "customer-change",
    ];
    let companies = [
        "CompanyChangedNotification",
        "CompanyChangeNotification",
        "companychangenotification",
        "COMPANYCHANGEDNOTIFICATION",
        "company-changed",
        "company-change",
    ];
    let customers = customers.map(|name| (name, CUSTOMER_CHANGED, "customer/client/123"));
    let companies = companies.map(|name| (name, company, "company/client/9"));
    for (name, body, group) in customers.into_iter().chain(companies) {
        for request in posts_of_type(name, body) {
            let receiver = receiver(Registers::Client).await;
            let (status, answer) = receiver.answer(&request).await;
            assert_eq!(
                (status, &answer["accepted"]["subject"]),
                (202, &group.into()),
                "{name}: {answer}"
            );
            let queued = receiver.changes.receive(1);
            assert_eq!(queued[0].group.as_deref(), Some(group));
        }
    }
}

/// Norce would post them sixteen times, whatever is in them.
#[tokio::test]
async fn an_event_that_nothing_acts_upon_is_accepted_logged_and_dropped() {
    let unused = [
        "OrderCancelledEvent",
        "order-cancelled",
        "SkuChangedNotification",
    ];
    let unknown = ["basket-changed", "CustomersExplodedNotification", "x"];
    let unused = unused.map(|name| (name, "INFO"));
    let unknown = unknown.map(|name| (name, "WARN"));
    for (name, level) in unused.into_iter().chain(unknown) {
        for request in posts_of_type(name, "not even JSON") {
            let logs = CapturedText::default();
            let _guard = logs.capture(Level::INFO);
            let receiver = receiver(Registers::Client).await;
            let (status, answer) = receiver.answer(&request).await;
            assert_eq!(status, 202, "{name}: {answer}");
            assert!(answer["ignored"].is_string(), "{name}: {answer}");
            assert!(receiver.changes.is_empty() && receiver.jobs.is_empty());
            let text = logs.text();
            let line = text.lines().find(|line| line.contains("event ignored"));
            assert!(line.unwrap().contains(level), "{name}: {text}");
            // Without the secret, the answer does not show which types are used.
            let mut stranger = request.clone();
            stranger.headers.remove("x-event-secret");
            assert_eq!(receiver.answer(&stranger).await.0, 401);
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn latin1(text: &str) -> Vec<u8> {
    let byte = |character: char| u8::try_from(u32::from(character)).unwrap();
    text.chars().map(byte).collect()
}

/// A header's name and value.
type Header = (&'static str, &'static str);

/// The text as senders and what is between them and us write it: the bytes and the headers.
fn encodings(text: &str) -> Vec<(&'static str, Vec<u8>, Vec<Header>)> {
    let plain = text.as_bytes();
    let marked = format!("\u{feff}{text}");
    let json = "application/json";
    let gzipped = ("content-encoding", "gzip");
    vec![
        ("as it is", plain.to_vec(), vec![]),
        ("with a type", plain.to_vec(), vec![("content-type", json)]),
        (
            "with a charset",
            plain.to_vec(),
            vec![("content-type", "application/json; charset=utf-8")],
        ),
        (
            "with a quoted charset",
            plain.to_vec(),
            vec![("content-type", "application/json;Charset=\"UTF-8\"")],
        ),
        (
            "as plain text",
            plain.to_vec(),
            vec![(
                "content-type",
                "text/plain; charset=us-ascii; format=flowed",
            )],
        ),
        (
            "in chunks",
            plain.to_vec(),
            vec![("transfer-encoding", "chunked")],
        ),
        (
            "with white space",
            format!("\r\n {text} \n").into_bytes(),
            vec![],
        ),
        (
            "with a byte order mark",
            marked.clone().into_bytes(),
            vec![("content-type", json)],
        ),
        ("in gzip", gzip(plain), vec![gzipped]),
        (
            "in gzip, in capitals",
            gzip(plain),
            vec![("content-encoding", "GZIP")],
        ),
        (
            "in gzip, by its former name",
            gzip(plain),
            vec![("content-encoding", "x-gzip")],
        ),
        (
            "in gzip of several parts",
            [gzip(&plain[..9]), gzip(&plain[9..])].concat(),
            vec![gzipped],
        ),
        ("in gzip without a header", gzip(plain), vec![]),
        (
            "in gzip with a byte order mark",
            gzip(marked.as_bytes()),
            vec![gzipped],
        ),
        ("unpacked on its way", plain.to_vec(), vec![gzipped]),
        (
            "not encoded, in so many words",
            plain.to_vec(),
            vec![("content-encoding", "identity")],
        ),
        ("in UTF-16", utf16(&marked, u16::to_le_bytes), vec![]),
        (
            "in UTF-16 the other way round",
            utf16(&marked, u16::to_be_bytes),
            vec![],
        ),
        (
            "in UTF-16 by name",
            utf16(text, u16::to_le_bytes),
            vec![("content-type", "application/json; charset=utf-16le")],
        ),
        (
            "in UTF-16 by the other name",
            utf16(text, u16::to_be_bytes),
            vec![("content-type", "application/json; charset=utf-16be")],
        ),
        (
            "in ISO 8859-1",
            latin1(text),
            vec![("content-type", "application/json; charset=ISO-8859-1")],
        ),
    ]
}

/// As the gateway hands a body on: as text if it is text, else in base64; and text may come in base64 as well.
fn handed_on(
    mut request: ApiGatewayV2httpRequest,
    bytes: &[u8],
    headers: &[Header],
) -> Vec<ApiGatewayV2httpRequest> {
    for (name, value) in headers {
        request.headers.insert(*name, value.parse().unwrap());
    }
    let mut encoded = request.clone();
    encoded.is_base64_encoded = true;
    encoded.body = Some(BASE64.encode(bytes));
    let text = String::from_utf8(bytes.to_vec()).ok();
    let plain = text.map(|text| {
        request.body = Some(text);
        request
    });
    plain.into_iter().chain([encoded]).collect()
}

#[tokio::test]
async fn an_event_is_read_in_every_encoding() {
    for numbers_are_texts in [false, true] {
        let event = match numbers_are_texts {
            false => r#"{"ClientId":1006,"CustomerId":123,"EntityChanged":"tÄ"}"#,
            true => r#"{"ClientId":"1006","CustomerId":"123","EntityChanged":"tÄ"}"#,
        };
        for (how, bytes, headers) in encodings(event) {
            let request = post("/events/customer-changed", "");
            for request in handed_on(request, &bytes, &headers) {
                let receiver = receiver(Registers::Client).await;
                let (status, answer) = receiver.answer(&request).await;
                assert_eq!(status, 202, "{how}: {answer}");
                let queued = receiver.changes.receive(1);
                let group = queued[0].group.as_deref();
                assert_eq!(group, Some("customer/client/123"), "{how}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_unpacked_is_refused_with_the_reason() {
    let gzipped = ("content-encoding", "gzip");
    let large = vec![b' '; MAX_BODY_BYTES + 1];
    let cut_off = {
        let mut bytes = gzip(CUSTOMER_CHANGED.as_bytes());
        bytes.truncate(bytes.len() / 2);
        bytes
    };
    for (bytes, headers, words) in [
        (cut_off, vec![gzipped], "not gzip"),
        (b"\x1f\x8bgarbage".to_vec(), vec![], "not gzip"),
        (b"garbage".to_vec(), vec![gzipped], "not gzip"),
        (
            b"garbage".to_vec(),
            vec![("content-encoding", "br")],
            "than gzip",
        ),
        (gzip(&large), vec![gzipped], "at most 65536"),
        (b"\xff{}".to_vec(), vec![], "not UTF-8"),
        (b"\xff\xfe{".to_vec(), vec![], "not UTF-8"),
        (
            latin1("{\"ä\":1}"),
            vec![("content-type", "application/json; charset=klingon")],
            "not UTF-8",
        ),
    ] {
        let request = post("/events/customer-changed", "");
        for request in handed_on(request, &bytes, &headers) {
            receiver(Registers::Client)
                .await
                .refuses(&request, words)
                .await;
        }
    }
    let mut request = post("/events/customer-changed", "§");
    request.is_base64_encoded = true;
    receiver(Registers::Client)
        .await
        .refuses(&request, "not base64")
        .await;
    // What fits exactly is taken.
    let mut body = CUSTOMER_CHANGED.as_bytes().to_vec();
    body.resize(MAX_BODY_BYTES, b' ');
    let request = post("/events/customer-changed", "");
    for request in handed_on(request, &gzip(&body), &[gzipped]) {
        let receiver = receiver(Registers::Client).await;
        assert_eq!(receiver.answer(&request).await.0, 202);
    }
}

#[tokio::test]
async fn a_body_of_64_kib_is_the_largest() {
    let receiver = receiver(Registers::Client).await;
    let body = |bytes: usize| {
        format!(
            "{}{}",
            CUSTOMER_CHANGED,
            " ".repeat(bytes - CUSTOMER_CHANGED.len())
        )
    };
    let path = "/events/customer-changed";
    assert_eq!(
        receiver.answer(&post(path, &body(MAX_BODY_BYTES))).await.0,
        202
    );
    assert_eq!(receiver.changes.len(), 1);
    let (status, answer) = receiver.answer(&post(path, &body(100 * 1024))).await;
    assert_eq!(status, 400);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("102400 bytes; at most 65536"),
        "{answer}"
    );
    assert_eq!(receiver.changes.len(), 1);
}

#[tokio::test]
async fn p14_an_application_that_is_not_ours_is_refused() {
    let receiver = receiver(Registers::Applications).await;
    let of = |application: &str| {
        format!(r#"{{"ClientId":1,{application}"CustomerId":5,"EntityChanged":"x"}}"#)
    };
    let path = "/events/customer-changed";
    receiver
        .refuses(&post(path, &of("")), "ApplicationId")
        .await;
    receiver
        .refuses(&post(path, &of(r#""ApplicationId":7,"#)), "application 7")
        .await;
    assert_eq!(
        receiver
            .answer(&post(path, &of(r#""ApplicationId":1,"#)))
            .await
            .0,
        202
    );
    assert_eq!(
        receiver.changes.receive(1)[0].group.as_deref(),
        Some("customer/app-1/5")
    );
}

#[tokio::test]
async fn p1_while_the_queue_or_the_secret_is_unreachable_norce_is_asked_to_retry() {
    let mut down = receiver(Registers::Client).await;
    down.function.changes = Arc::new(Down);
    assert_eq!(
        down.answer(&post("/events/customer-changed", CUSTOMER_CHANGED))
            .await
            .0,
        503
    );
    let blind = receiver_with(
        SecretsManager::out_of_order().cached().await,
        Registers::Client,
    );
    assert_eq!(
        blind
            .answer(&post("/events/customer-changed", CUSTOMER_CHANGED))
            .await
            .0,
        503
    );
    assert!(blind.changes.is_empty());
}

const ORDER: &str = r#"{"Header":{"ApplicationKey":"00000000-0000-0000-0000-000000000001"},"ClientOrderRef":"30001",
 "SellTo":{"Person":{"CustomerCode":null,"Email":"anna@example.com"}}, "Total": 100.10 }"#;

async fn order_receiver(orders: Arc<dyn Orders>) -> Receiver {
    order_receiver_with(&SecretsManager::with(ORDER_SECRETS[0]), orders).await
}

async fn order_receiver_with(secret: &Arc<SecretsManager>, orders: Arc<dyn Orders>) -> Receiver {
    let mut receiver = receiver(Registers::Client).await;
    receiver.function.orders = Some(OrderReceiver {
        secrets: secret.cached().await,
        orders,
    });
    receiver
}

fn order_post(credentials: &str, body: &str) -> ApiGatewayV2httpRequest {
    let mut request = post("/orders", body);
    request.headers.clear();
    let value = format!("Basic {}", BASE64.encode(credentials));
    request
        .headers
        .insert("authorization", value.parse().unwrap());
    let json = "application/json; charset=utf-8";
    request
        .headers
        .insert("content-type", json.parse().unwrap());
    request
}

fn order_key() -> OrderRef {
    OrderRef {
        application: ApplicationId::try_from(1).unwrap(),
        client_order_ref: "30001".to_owned(),
    }
}

#[tokio::test]
async fn p1_an_order_is_stored_and_queued_before_it_is_answered() {
    let orders = Arc::new(MemoryOrders::default());
    let receiver = order_receiver(orders.clone()).await;
    let (status, answer) = receiver.answer(&order_post("norce:current", ORDER)).await;
    assert_eq!(status, 200);
    let expected = json!({
        "StatusCode": "OK",
        "Description": "The order is received.",
        "HasErpOrderNo": false,
        "ErpOrderNo": "",
    });
    assert_eq!(answer, expected);
    let stored = orders.get(&order_key()).await.unwrap().unwrap();
    assert_eq!(stored.order.expose(), ORDER);
    let message = receiver.changes.receive(1).remove(0);
    assert!(message.body.contains("30001") && !message.body.contains("anna"));

    // The gateway may hand it over in base64.
    let mut encoded = order_post("norce:current", &BASE64.encode(ORDER));
    encoded.is_base64_encoded = true;
    assert_eq!(receiver.answer(&encoded).await.0, 200);
    assert_eq!(receiver.changes.len(), 2);
}

/// What is forwarded is the same text for all of them.
#[tokio::test]
async fn an_order_is_read_in_every_encoding() {
    let texts = [
        r#"{"ClientOrderRef":"30001","SellTo":{"Person":{"CustomerCode":null,"FirstName":"Åsa"}},"Total":100.10}"#,
        r#"{"ClientOrderRef":30001,"SellTo":{"Person":{"CustomerCode":4711,"FirstName":"Åsa"}},"Total":"100.10"}"#,
    ];
    for text in texts {
        for (how, bytes, headers) in encodings(text) {
            for request in handed_on(order_post("norce:current", ""), &bytes, &headers) {
                let orders = Arc::new(MemoryOrders::default());
                let receiver = order_receiver(orders.clone()).await;
                let (status, answer) = receiver.answer(&request).await;
                assert_eq!(status, 200, "{how}: {answer}");
                let stored = orders.get(&order_key()).await.unwrap().unwrap();
                assert_eq!(stored.order.expose().trim(), text, "{how}");
                assert_eq!(receiver.changes.len(), 1);
            }
        }
    }
    // Nor is XML mistaken for anything else.
    for (how, bytes, headers) in encodings("<?xml version=\"1.0\"?><Order/>") {
        for request in handed_on(order_post("norce:current", ""), &bytes, &headers) {
            let receiver = order_receiver(Arc::new(MemoryOrders::default())).await;
            let status = receiver.answer(&request).await.0;
            let is_known = how != "unpacked on its way";
            assert_eq!(status == 415, is_known, "{how}: {status}");
        }
    }
}

#[tokio::test]
async fn p1_while_anything_is_unreachable_the_order_is_answered_as_failed_and_norce_retries() {
    let post = order_post("norce:current", ORDER);
    let failed = |answer: &Value| answer["StatusCode"] == "Failed";
    let without_table = order_receiver(Arc::new(Down)).await;
    let (status, answer) = without_table.answer(&post).await;
    assert!(status == 503 && failed(&answer), "{answer}");
    assert!(without_table.changes.is_empty());

    let mut without_queue = order_receiver(Arc::new(MemoryOrders::default())).await;
    without_queue.function.changes = Arc::new(Down);
    let (status, answer) = without_queue.answer(&post).await;
    assert!(status == 503 && failed(&answer), "{answer}");

    let secret = SecretsManager::out_of_order();
    let without_secret = order_receiver_with(&secret, Arc::new(MemoryOrders::default())).await;
    let (status, answer) = without_secret.answer(&post).await;
    assert!(status == 503 && failed(&answer), "{answer}");
}

#[tokio::test]
async fn only_the_credentials_that_are_accepted_let_an_order_in() {
    let receiver = order_receiver(Arc::new(MemoryOrders::default())).await;
    for (credentials, expected) in [
        ("norce:current", 200),
        ("norce:previous", 200),
        ("norce:newest", 401),
        ("norce:wrong", 401),
        ("norce:", 401),
        ("norce", 401),
        ("Norce:current", 401),
        (":password", 401),
        ("norce:current:", 401),
    ] {
        let request = order_post(credentials, ORDER);
        let response = receiver.function.handle(&request).await;
        let challenge = response.headers.get("www-authenticate").cloned();
        let (status, answer) = read(response);
        assert_eq!(status, expected, "{credentials}: {answer}");
        assert_eq!(challenge.is_some(), expected == 401, "{credentials}");
    }
    for value in ["", "Basic", "Basic !", "Bearer bm9yY2U6cGFzc3dvcmQ="] {
        let mut request = order_post("", ORDER);
        let value = value.parse().unwrap();
        request.headers.insert("authorization", value);
        assert_eq!(receiver.answer(&request).await.0, 401);
    }
    // The secret of events is none of orders.
    assert_eq!(receiver.answer(&post("/orders", ORDER)).await.0, 401);
    assert_eq!(receiver.changes.len(), 2);
}

/// A post that shows this secret, and the receiver that it goes to.
type Post = fn(&str) -> ApiGatewayV2httpRequest;

/// A receiver that has read its secret once, with the service that it is read from, and what is posted to it: of events
/// and of orders.
async fn each_secret() -> [(Receiver, Arc<SecretsManager>, [&'static str; 3], Post); 2] {
    let event: Post = |secret| {
        let mut request = post("/events/customer-changed", CUSTOMER_CHANGED);
        let secret = secret.parse().unwrap();
        request.headers.insert("x-event-secret", secret);
        request
    };
    let order: Post = |password| order_post(&format!("norce:{password}"), ORDER);
    let [events, orders] = [EVENT_SECRETS[0], ORDER_SECRETS[0]].map(SecretsManager::with);
    let of_events = receiver_with(events.cached().await, Registers::Client);
    let of_orders = order_receiver_with(&orders, Arc::new(MemoryOrders::default())).await;
    for (receiver, request) in [
        (&of_events, event("current")),
        (&of_orders, order("current")),
    ] {
        assert!(receiver.answer(&request).await.0 < 300);
    }
    [
        (of_events, events, EVENT_SECRETS, event),
        (of_orders, orders, ORDER_SECRETS, order),
    ]
}

impl Receiver {
    async fn lets_in(&self, request: &ApiGatewayV2httpRequest) -> bool {
        let (status, answer) = self.answer(request).await;
        assert!([200, 202, 401].contains(&status), "{answer}");
        status != 401
    }
}

/// How often a wrong secret may make the function read the right one.
const READ_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// How long a post waits for a secret that is read again.
const LONGEST_READ: Duration = Duration::from_secs(1);
/// How long a secret is used without reading it.
const SECRET_LIFETIME: Duration = Duration::from_secs(5 * 60);

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_rotated_is_accepted_at_its_first_post_ten_seconds_after_the_last_read() {
    for which in [0, 1] {
        at_both_ends(READ_AT_MOST_EVERY, async |elapsed| {
            let (receiver, manager, secrets, post) = &each_secret().await[which];
            manager.set(Some(secrets[1]));
            tokio::time::advance(elapsed).await;
            // Nothing is lost meanwhile: Norce presents one secret or the other, and retries.
            assert!(receiver.lets_in(&post("current")).await);
            receiver.lets_in(&post("newest")).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_no_longer_accepted_lets_in_for_five_minutes_at_most() {
    for which in [0, 1] {
        at_both_ends(SECRET_LIFETIME, async |elapsed| {
            let (receiver, manager, secrets, post) = &each_secret().await[which];
            manager.set(Some(secrets[2]));
            tokio::time::advance(elapsed).await;
            !receiver.lets_in(&post("current")).await
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_secrets_make_the_function_read_the_right_one_every_ten_seconds_at_most() {
    for (receiver, manager, _, post) in each_secret().await {
        at_both_ends(READ_AT_MOST_EVERY, async |elapsed| {
            // As of a read just now, whatever was before.
            tokio::time::advance(READ_AT_MOST_EVERY).await;
            assert!(!receiver.lets_in(&post("wrong")).await);
            let before = manager.reads();
            tokio::time::advance(elapsed).await;
            for _ in 0..100 {
                assert!(!receiver.lets_in(&post("wrong")).await);
            }
            assert!(manager.reads() <= before + 1, "once for all of them");
            manager.reads() > before
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn right_secrets_make_the_function_read_none_for_five_minutes() {
    for which in [0, 1] {
        let (receiver, manager, _, post) = &each_secret().await[which];
        for _ in 0..29 {
            tokio::time::advance(SECRET_LIFETIME / 30).await;
            assert!(receiver.lets_in(&post("current")).await);
            assert!(receiver.lets_in(&post("previous")).await);
        }
        assert_eq!(manager.reads(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p1_while_secrets_cannot_be_read_the_last_one_is_accepted_and_then_the_new_one() {
    for (receiver, manager, secrets, post) in each_secret().await {
        manager.set(None);
        for _ in 0..10 {
            tokio::time::advance(SECRET_LIFETIME).await;
            let begin = tokio::time::Instant::now();
            assert!(receiver.lets_in(&post("current")).await);
            assert!(begin.elapsed() <= LONGEST_READ, "{:?}", begin.elapsed());
            // The posts that follow do not wait for it again.
            let reads = manager.reads();
            assert!(!receiver.lets_in(&post("newest")).await);
            assert_eq!(manager.reads(), reads);
        }
        manager.set(Some(secrets[2]));
        tokio::time::advance(READ_AT_MOST_EVERY).await;
        assert!(receiver.lets_in(&post("newest")).await);
        assert!(!receiver.lets_in(&post("current")).await);
    }
}

/// A malformed secret authenticates nobody, and does not replace one that was read.
#[tokio::test(start_paused = true)]
async fn a_secret_of_another_form_lets_nobody_in() {
    for text in [
        "",
        "current",
        "{}",
        r#"{"previous":"current"}"#,
        r#"{"username":"norce"}"#,
    ] {
        let manager = SecretsManager::with(text);
        let of_events = receiver_with(manager.cached().await, Registers::Client);
        let of_orders = order_receiver_with(&manager, Arc::new(MemoryOrders::default())).await;
        let event = post("/events/customer-changed", CUSTOMER_CHANGED);
        let order = order_post("norce:current", ORDER);
        assert_eq!(of_events.answer(&event).await.0, 503, "{text}");
        assert_eq!(of_orders.answer(&order).await.0, 503, "{text}");
        assert!(of_events.changes.is_empty() && of_orders.changes.is_empty());
    }
}

#[tokio::test]
async fn an_order_that_can_never_be_right_is_failed_with_the_reason() {
    let orders = Arc::new(MemoryOrders::default());
    let receiver = order_receiver(orders.clone()).await;
    let too_long = ORDER.replace("100.10", &"1".repeat(MAX_ORDER_BYTES));
    let foreign = ORDER.replace("0001\"", "0009\"");
    for (body, status, words) in [
        ("", 400, "not a JSON object"),
        (
            "{\"ClientOrderRef\":\"anna@example.com\"",
            400,
            "not a JSON object",
        ),
        ("[1]", 400, "not a JSON object"),
        ("{\"SellTo\":{}}", 400, "ClientOrderRef"),
        ("<OrderRequest/>", 415, "REST (recommended)"),
        (foreign.as_str(), 400, "not in NORCE_APPLICATIONS"),
        (too_long.as_str(), 413, "at most 393216"),
    ] {
        let (code, answer) = receiver.answer(&order_post("norce:current", body)).await;
        let description = answer["Description"].as_str().unwrap();
        assert_eq!(code, status, "{description}");
        assert_eq!(answer["StatusCode"], "Failed");
        assert!(description.contains(words), "{description}");
        assert!(!description.contains("anna"), "{description}");
    }
    let mut xml = order_post("norce:current", ORDER);
    let kind = "text/xml; charset=utf-8".parse().unwrap();
    xml.headers.insert("content-type", kind);
    assert_eq!(receiver.answer(&xml).await.0, 415);
    assert!(receiver.changes.is_empty());
    assert_eq!(orders.get(&order_key()).await.unwrap(), None);
}

/// The order belongs to the only shop, whatever its id: it is stored and queued under that id.
#[tokio::test]
async fn p14_an_order_without_a_shop_is_taken_where_there_is_only_one() {
    const SEVENTH: &str = r#"[{"id":7,"key":"00000000-0000-0000-0000-000000000007"}]"#;
    const TWO: &str = r#"[{"id":1,"key":"00000000-0000-0000-0000-000000000001"},
        {"id":2,"key":"00000000-0000-0000-0000-000000000002"}]"#;
    let of = |application: i32, reference: &str| OrderRef {
        application: ApplicationId::try_from(i64::from(application)).unwrap(),
        client_order_ref: reference.to_owned(),
    };
    let anonymous = |reference: &str| {
        let order = format!(r#"{{"Header":{{}},"ClientOrderRef":"{reference}"}}"#);
        order_post("norce:current", &order)
    };
    let orders = Arc::new(MemoryOrders::default());
    let mut receiver = order_receiver(orders.clone()).await;
    for (applications, application, reference) in
        [(ONE_APPLICATION, 1, "30001"), (SEVENTH, 7, "30007")]
    {
        receiver.function.shops.applications = applications.parse().unwrap();
        assert_eq!(receiver.answer(&anonymous(reference)).await.0, 200);
        for other in [1, 2, 7] {
            let stored = orders.get(&of(other, reference)).await.unwrap();
            assert_eq!(stored.is_some(), other == application, "{other}");
        }
        let message = receiver.changes.receive(1).remove(0);
        let message: ChangeMessage = serde_json::from_str(&message.body).unwrap();
        assert!(
            matches!(message, ChangeMessage::Order { application: of, .. } if of.get() == application),
            "{message:?}"
        );
    }
    receiver.function.shops.applications = TWO.parse().unwrap();
    let (status, answer) = receiver.answer(&anonymous("30002")).await;
    assert_eq!(status, 400);
    let description = answer["Description"].as_str().unwrap();
    assert!(
        description.contains("Header.ApplicationKey"),
        "{description}"
    );
    assert_eq!(receiver.changes.receive(1), []);
    for application in [1, 2] {
        let stored = orders.get(&of(application, "30002")).await.unwrap();
        assert_eq!(stored, None, "{application}");
    }
}

#[tokio::test]
async fn while_orders_are_not_for_us_they_are_refused() {
    let receiver = receiver(Registers::Client).await;
    let (status, answer) = receiver.answer(&order_post("norce:current", ORDER)).await;
    assert_eq!(status, 404);
    assert_eq!(answer["StatusCode"], "Failed");
    assert!(receiver.changes.is_empty());
}

/// Whatever is slow, and in whatever order: Norce, which hangs up after five seconds, gets an answer before that, and it
/// is a good one only where the message is on the queue.
#[tokio::test(start_paused = true)]
async fn p1_a_post_is_answered_in_time_however_the_delays_add_up() {
    /// A cold start and the way there and back take less than the rest of Norce's five seconds.
    const LATEST: Duration = Duration::from_millis(4_200);
    /// A read that takes longer is cancelled and repeated, for as long as there is time.
    const LONGEST_READ: Duration = Duration::from_secs(2);
    let delays = || (0..=6).map(|step| step * Duration::from_millis(700));
    let queues = |secret, table| delays().map(move |queue| [secret, table, queue]);
    let tables = |secret| delays().flat_map(move |table| queues(secret, table));
    let [events, orders] = [EVENT_SECRETS[0], ORDER_SECRETS[0]].map(SecretsManager::with);
    let [of_events, of_orders] = [events.client(), orders.client()];
    for [secret, table, queue] in delays().flat_map(tables) {
        for manager in [&events, &orders] {
            *manager.delay.lock().unwrap() = secret;
        }
        for (path, good) in [("/events/customer-changed", 202), ("/orders", 200)] {
            let mut receiver = receiver_with(cached(&of_events), Registers::Client);
            let function = &mut receiver.function;
            function.changes = Arc::new(Delayed {
                inner: receiver.changes.clone(),
                delay: queue,
            });
            function.orders = Some(OrderReceiver {
                secrets: cached(&of_orders),
                orders: Arc::new(Delayed {
                    inner: Arc::new(MemoryOrders::default()),
                    delay: table,
                }),
            });
            let (request, takes) = match path {
                "/orders" => (order_post("norce:current", ORDER), secret + table + queue),
                _ => (post(path, CUSTOMER_CHANGED), secret + queue),
            };
            let start = tokio::time::Instant::now();
            let (status, _) = receiver.answer(&request).await;
            let context = format!("{path}: secret {secret:?}, table {table:?}, queue {queue:?}");
            assert!(start.elapsed() <= LATEST, "{context}");
            let in_time = secret < LONGEST_READ && takes < ANSWER_WITHIN;
            let expected = if in_time { good } else { 503 };
            assert_eq!(status, expected, "{context}");
            assert_eq!(receiver.changes.len() == 1, status == good, "{context}");
        }
    }
}
