//! Norce's event posts (norce-api §6): one subscription for each type, static headers, five seconds for an answer, a
//! ladder of sixteen retries, then dead.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout};

use super::NorceSimulator;

/// How long Norce waits for the answer to a post (norce-api §6).
pub const POST_TIMEOUT: Duration = Duration::from_secs(5);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The pauses before each retry of a post that was not answered with 20x (norce-api §6). After the last one the event
/// is dead.
pub const RETRY_DELAYS: [Duration; 16] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(MINUTE),
    Duration::from_secs(2 * MINUTE),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(10 * MINUTE),
    Duration::from_secs(15 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(HOUR),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(3 * HOUR),
    Duration::from_secs(4 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(6 * HOUR),
];

/// The events that the simulator raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// `CustomerChangedNotification`.
    CustomerChanged,
    /// `CompanyChangedNotification`.
    CompanyChanged,
    /// `OrderReceivedEvent`.
    OrderReceived,
    /// `OrderConfirmedEvent`.
    OrderConfirmed,
    /// `OrderCancelledEvent`.
    OrderCancelled,
    /// `JobCompletedEvent`.
    JobCompleted,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::CustomerChanged,
        Self::CompanyChanged,
        Self::OrderReceived,
        Self::OrderConfirmed,
        Self::OrderCancelled,
        Self::JobCompleted,
    ];

    /// Norce's name of the event.
    pub fn name(self) -> &'static str {
        match self {
            Self::CustomerChanged => "CustomerChangedNotification",
            Self::CompanyChanged => "CompanyChangedNotification",
            Self::OrderReceived => "OrderReceivedEvent",
            Self::OrderConfirmed => "OrderConfirmedEvent",
            Self::OrderCancelled => "OrderCancelledEvent",
            Self::JobCompleted => "JobCompletedEvent",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The settings of an event type in Norce Admin: on, and the address.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The type.
    pub event: EventType,
    /// Where it is posted to.
    pub url: String,
    /// Headers that every post carries.
    pub headers: Vec<(String, String)>,
}

/// One post of one event.
#[derive(Debug, Clone)]
pub struct EventPost {
    /// The type. It is not on the wire unless a static header says it.
    pub event: EventType,
    /// Where to.
    pub url: String,
    /// The static headers.
    pub headers: Vec<(String, String)>,
    /// JSON.
    pub body: Bytes,
}

/// Delivers posts to the receiver. Any function from a post to a status implements it.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Posts, and returns the status of the answer.
    ///
    /// # Errors
    /// Why there was no answer.
    async fn post(&self, post: EventPost) -> Result<u16, String>;
}

#[async_trait]
impl<F, Answer> EventSink for F
where
    F: Fn(EventPost) -> Answer + Send + Sync,
    Answer: Future<Output = Result<u16, String>> + Send,
{
    async fn post(&self, post: EventPost) -> Result<u16, String> {
        self(post).await
    }
}

/// Connects an HTTP client to loopback addresses only.
///
/// # Errors
/// TLS cannot be set up.
pub fn loopback_client() -> Result<reqwest::ClientBuilder, String> {
    // Loopback is plain HTTP; without roots there is no host that TLS could be spoken with.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy())
}

/// Posts over HTTP, to loopback only: the simulator never talks to the outside.
#[derive(Debug, Clone)]
pub struct HttpEventSink(reqwest::Client);

impl HttpEventSink {
    /// Builds the client.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn new() -> Result<Self, String> {
        loopback_client()?
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                // Norce follows redirects (norce-api §6); this one does not follow them to the outside.
                if is_loopback(attempt.url()) && attempt.previous().len() <= MAX_REDIRECTS {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }))
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

impl HttpEventSink {
    pub(super) async fn send(
        &self,
        url: &str,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<reqwest::Response, String> {
        let url: url::Url = url.parse().map_err(|error| format!("{error}"))?;
        if !is_loopback(&url) {
            return Err("the simulator posts to loopback only".to_owned());
        }
        let mut request = self.0.post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.map_err(|error| error.to_string())
    }
}

/// More than this is a loop.
const MAX_REDIRECTS: usize = 5;

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[async_trait]
impl EventSink for HttpEventSink {
    async fn post(&self, mut post: EventPost) -> Result<u16, String> {
        let json = ("content-type".to_owned(), "application/json".to_owned());
        post.headers.insert(0, json);
        let answer = self.send(&post.url, post.headers, post.body).await?;
        Ok(answer.status().as_u16())
    }
}

/// The outcome of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it was made.
    pub at: Instant,
    /// The status of the answer, or why there was none.
    pub outcome: Result<u16, String>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not answered with 20x yet; it is tried again.
    Pending,
    /// Answered with 20x.
    Delivered,
    /// Not answered with 20x in all its attempts; it is never posted again.
    Dead,
    /// Lost on the way by a switched-on fault, without a post.
    Dropped,
    /// There was no subscription: Norce does not track such an event.
    NotSubscribed,
}

/// An event on its way to the subscriber. A duplicated event is several deliveries.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The type.
    pub event: EventType,
    /// The body.
    pub body: Value,
    /// Which copy of the event, from 1.
    pub copy: u32,
    /// When the event was raised.
    pub raised: Instant,
    /// Its posts so far.
    pub attempts: Vec<Attempt>,
    /// Where it stands.
    pub state: DeliveryState,
}

/// An event before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Event {
    kind: EventType,
    body: Map<String, Value>,
}

impl Event {
    pub(super) fn new(kind: EventType, client: i64) -> Self {
        Self {
            kind,
            body: Map::new(),
        }
        .with("ClientId", client)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a property out that has no value, as optional ones are.
    pub(super) fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl NorceSimulator {
    /// Sends events on their way.
    pub(super) fn raise(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.raise_one(event);
        }
    }

    fn raise_one(&self, mut event: Event) {
        let mut state = self.state();
        if state.settings.zero_for_none {
            let application = event.body.entry("ApplicationId");
            application.or_insert(0.into());
        }
        let subscription = state
            .subscriptions
            .iter()
            .find(|subscription| subscription.event == event.kind)
            .cloned();
        let settings = state.settings.events;
        for copy in 1..=settings.copies.max(1) {
            let dropped = state.random.f64() < settings.drop_chance;
            let wait = settings.reorder_within.mul_f64(state.random.f64());
            let delivery_state = match &subscription {
                None => DeliveryState::NotSubscribed,
                Some(_) if dropped => DeliveryState::Dropped,
                Some(_) => DeliveryState::Pending,
            };
            let index = state.deliveries.len();
            state.deliveries.push(Delivery {
                event: event.kind,
                body: Value::Object(event.body.clone()),
                copy,
                raised: Instant::now(),
                attempts: Vec::new(),
                state: delivery_state,
            });
            if let Some(subscription) = subscription.clone()
                && !dropped
            {
                let post = EventPost {
                    event: event.kind,
                    url: subscription.url,
                    headers: subscription.headers,
                    body: Value::Object(event.body.clone()).to_string().into(),
                };
                let activity = self.begin_activity();
                let simulator = self.clone();
                tokio::spawn(async move {
                    sleep(wait).await;
                    simulator.deliver(index, post).await;
                    drop(activity);
                });
            }
        }
    }

    async fn deliver(&self, index: usize, post: EventPost) {
        let mut delays = RETRY_DELAYS.iter();
        loop {
            let at = Instant::now();
            let outcome = match timeout(POST_TIMEOUT, self.sink().post(post.clone())).await {
                Ok(outcome) => outcome,
                Err(_) => Err("no answer in time".to_owned()),
            };
            let delivered = matches!(outcome, Ok(200..=209));
            let pause = delays.next();
            let scale = {
                let mut state = self.state();
                let scale = state.settings.events.time_scale;
                if let Some(delivery) = state.deliveries.get_mut(index) {
                    delivery.attempts.push(Attempt { at, outcome });
                    delivery.state = match (delivered, pause) {
                        (true, _) => DeliveryState::Delivered,
                        (false, Some(_)) => DeliveryState::Pending,
                        (false, None) => DeliveryState::Dead,
                    };
                }
                scale
            };
            match pause {
                Some(pause) if !delivered => sleep(pause.mul_f64(scale)).await,
                _ => return,
            }
        }
    }
}

/// How events travel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventSettings {
    /// The factor of the pauses between retries: 1 is Norce's own pace.
    pub time_scale: f64,
    /// How often each event is delivered: 1 is once.
    pub copies: u32,
    /// Each delivery starts after a random wait of up to so long, so that events overtake each other. Zero is off.
    pub reorder_within: Duration,
    /// The probability (0 to 1) that a delivery is lost without a post.
    pub drop_chance: f64,
    /// Whether an import that changes a row raises the notification too. Nothing in the facts excludes it.
    pub echo_of_imports: bool,
    /// Whether a job's end raises its event.
    pub job_completed: bool,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            copies: 1,
            reorder_within: Duration::ZERO,
            drop_chance: 0.0,
            echo_of_imports: true,
            job_completed: true,
        }
    }
}
