//! A proxy in front of an ERP: it forwards every call and every answer unchanged, records what was written, and can hold
//! answers back, so that a client does not know the outcome of a write that the ERP has carried out.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use crate::norce_simulator::loopback_client;

/// The most bytes of a request that are read; no client of the ERP sends more.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// The value of `Retry-After` while the ERP is down, in seconds.
const RETRY_AFTER: &str = "2";

/// A write that the ERP has carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedOut {
    /// Whether it created the records.
    pub creates: bool,
    /// The records, by the ERP's own ids.
    pub ids: Vec<String>,
}

/// The ERP behind a front.
pub trait Behind: Send + Sync + 'static {
    /// The address of the ERP that a request is for.
    ///
    /// # Errors
    /// No ERP is responsible for the request; the status and JSON to answer with.
    fn address(&self, request: &Parts) -> Result<&str, (StatusCode, Value)>;

    /// The write that the ERP has carried out, if it has.
    fn carried_out(
        &self,
        request: &Parts,
        body: &[u8],
        status: StatusCode,
        answer: &[u8],
    ) -> Option<CarriedOut>;
}

#[derive(Debug, Default)]
struct Seen {
    carried_out: Vec<CarriedOut>,
    held_back: u32,
    hold_for: Duration,
}

/// A running front, on a loopback port of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Front {
    base_url: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<io::Result<()>>,
}

struct Forwarder<B> {
    behind: B,
    client: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Front {
    /// Opens a front for an ERP.
    ///
    /// # Errors
    /// When there is no free port, or the client cannot be set up.
    pub async fn open(behind: impl Behind) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::<Mutex<Seen>>::default();
        let client = loopback_client().map_err(io::Error::other)?;
        let forwarder = Arc::new(Forwarder {
            behind,
            client: client.build().map_err(io::Error::other)?,
            seen: seen.clone(),
        });
        let router = Router::new().fallback(hand_on).with_state(forwarder);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            base_url,
            seen,
            task,
        })
    }

    /// Its address, which stays the same while the ERP is restarted.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The writes that the ERP has carried out so far.
    pub fn carried_out(&self) -> Vec<CarriedOut> {
        lock(&self.seen).carried_out.clone()
    }

    /// Holds the answers to the next creates back for this time. The ERP carries them out at once.
    pub fn hold_answers_back(&self, creates: u32, hold_for: Duration) {
        let mut seen = lock(&self.seen);
        (seen.held_back, seen.hold_for) = (creates, hold_for);
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn hand_on<B: Behind>(
    State(forwarder): State<Arc<Forwarder<B>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    // In a task of its own, because the ERP finishes a request even if the client disconnects.
    let answered = tokio::spawn(async move { forwarder.forward(&parts, body).await });
    answered
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

impl<B: Behind> Forwarder<B> {
    async fn forward(&self, parts: &Parts, body: Bytes) -> Response {
        let address = match self.behind.address(parts) {
            Ok(address) => address,
            Err((status, answer)) => {
                let json = [(header::CONTENT_TYPE, "application/json")];
                return (status, json, answer.to_string()).into_response();
            }
        };
        let sent = self
            .client
            .request(parts.method.clone(), format!("{address}{}", parts.uri))
            .headers(end_to_end(&parts.headers))
            .body(body.clone())
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            // What a load balancer answers when no server is available.
            Err(error) if error.is_connect() => {
                let come_again = [(header::RETRY_AFTER, RETRY_AFTER)];
                return (StatusCode::SERVICE_UNAVAILABLE, come_again).into_response();
            }
            Err(_) => return StatusCode::BAD_GATEWAY.into_response(),
        };
        let (status, headers) = (answer.status(), end_to_end(answer.headers()));
        let Ok(answer) = answer.bytes().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        if let Some(write) = self.behind.carried_out(parts, &body, status, &answer)
            && let Some(hold_for) = self.note(write)
        {
            sleep(hold_for).await;
        }
        (status, headers, Body::from(answer)).into_response()
    }

    /// Notes a write. Returns for how long its answer is held back.
    fn note(&self, write: CarriedOut) -> Option<Duration> {
        let mut seen = lock(&self.seen);
        let is_held_back = write.creates && seen.held_back > 0;
        seen.carried_out.push(write);
        if !is_held_back {
            return None;
        }
        seen.held_back -= 1;
        Some(seen.hold_for)
    }
}

/// The headers without those of the connection itself.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for of_the_connection in [
        header::HOST,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(of_the_connection);
    }
    headers
}
