//! A proxy in front of Odoo: it forwards every call and every answer unchanged, records which partners were written,
//! and can hold answers back, so that a client does not know the outcome of a write that Odoo has carried out.

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

/// What is written is noted of this model only.
const PARTNERS: &str = "/json/2/res.partner/";
/// Imports under an external id; the integration creates with it.
const LOAD: &str = "load";
/// Odoo takes more; a client that sends more than this has gone astray.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// When to come again while there is no Odoo, in seconds.
const RETRY_AFTER: &str = "2";

/// A write of partners that Odoo has carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedOut {
    /// `load`, `create`, `write` or `unlink`.
    pub method: String,
    /// The partners.
    pub ids: Vec<i64>,
}

impl CarriedOut {
    /// Whether the partners came to life with it.
    pub fn creates(&self) -> bool {
        [LOAD, "create"].contains(&self.method.as_str())
    }
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

#[derive(Clone)]
struct Forwarder {
    odoo: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Front {
    /// Opens a front for the Odoo at this address.
    ///
    /// # Errors
    /// When no port or no client can be had.
    pub async fn open(odoo: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::<Mutex<Seen>>::default();
        let forwarder = Forwarder {
            odoo: odoo.to_owned(),
            client: super::client().map_err(io::Error::other)?,
            seen: seen.clone(),
        };
        let router = Router::new().fallback(hand_on).with_state(forwarder);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            base_url,
            seen,
            task,
        })
    }

    /// Its address, which stays the same while Odoo is restarted.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The writes that Odoo has carried out so far.
    pub fn carried_out(&self) -> Vec<CarriedOut> {
        lock(&self.seen).carried_out.clone()
    }

    /// Holds the answers to the next imports of partners back for this time. Odoo carries them out at once.
    pub fn hold_answers_back(&self, imports: u32, hold_for: Duration) {
        let mut seen = lock(&self.seen);
        (seen.held_back, seen.hold_for) = (imports, hold_for);
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

async fn hand_on(State(forwarder): State<Forwarder>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    // In a task of its own: Odoo goes on with what it has begun, even when the client has hung up.
    let answered = tokio::spawn(async move { forwarder.forward(&parts, body).await });
    answered
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

impl Forwarder {
    async fn forward(&self, parts: &Parts, body: Bytes) -> Response {
        let url = format!("{}{}", self.odoo, parts.uri);
        let sent = self
            .client
            .request(parts.method.clone(), url)
            .headers(end_to_end(&parts.headers))
            .body(body.clone())
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            // What a load balancer answers when nobody is behind it, and what a proxy does who does not know.
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
        if status == StatusCode::OK
            && let Some(method) = parts.uri.path().strip_prefix(PARTNERS)
            && let Some(hold_for) = self.note(method, &body, &answer)
        {
            sleep(hold_for).await;
        }
        (status, headers, Body::from(answer)).into_response()
    }

    /// Notes a write. Returns for how long its answer is held back.
    fn note(&self, method: &str, body: &[u8], answer: &[u8]) -> Option<Duration> {
        let ids = written(method, body, answer)?;
        let mut seen = lock(&self.seen);
        seen.carried_out.push(CarriedOut {
            method: method.to_owned(),
            ids,
        });
        if method != LOAD || seen.held_back == 0 {
            return None;
        }
        seen.held_back -= 1;
        Some(seen.hold_for)
    }
}

/// The headers that are not about the connection.
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

/// The partners that a call has written, if it has; `load` says in its answer whether it has done anything
/// (erp-apis §2.4).
fn written(method: &str, body: &[u8], answer: &[u8]) -> Option<Vec<i64>> {
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let ids = match method {
        LOAD => json(answer)?["ids"].take(),
        "create" => json(answer)?,
        "write" | "unlink" => json(body)?["ids"].take(),
        _ => return None,
    };
    Some(ids.as_array()?.iter().filter_map(Value::as_i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_out_is_told_by_the_answer() {
        let seen = |method: &str, body: &str, answer: &str| {
            written(method, body.as_bytes(), answer.as_bytes())
        };
        assert_eq!(seen("load", "{}", r#"{"ids":[7]}"#), Some(vec![7]));
        assert_eq!(seen("load", "{}", r#"{"ids":false,"messages":[]}"#), None);
        assert_eq!(seen("create", "{}", "[8,9]"), Some(vec![8, 9]));
        assert_eq!(seen("write", r#"{"ids":[7]}"#, "true"), Some(vec![7]));
        assert_eq!(seen("search_read", r#"{"ids":[7]}"#, "[]"), None);
    }
}
