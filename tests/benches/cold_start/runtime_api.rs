//! A function's process, and the Lambda Runtime API that it talks to.

use std::{
    path::Path,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path as PathParameter, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

/// Far longer than anything here takes, so that a function that does not come is noticed.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a function is told about how long it may take.
const INVOCATION: Duration = Duration::from_secs(110);

/// The far end: what the function's requests are turned into, and what waits for it.
struct Api {
    polls: mpsc::UnboundedSender<Instant>,
    answers: mpsc::UnboundedSender<(Instant, Bytes)>,
    payloads: Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
}

/// A process of a function.
pub(crate) struct FunctionProcess {
    child: Child,
    started: Instant,
    server: JoinHandle<()>,
    polls: mpsc::UnboundedReceiver<Instant>,
    answers: mpsc::UnboundedReceiver<(Instant, Bytes)>,
    payloads: mpsc::UnboundedSender<Vec<u8>>,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

impl FunctionProcess {
    /// Starts the function as Lambda does.
    pub(crate) async fn start(binary: &Path, environment: &[(String, String)]) -> Self {
        let (to_polls, polls) = mpsc::unbounded_channel();
        let (to_answers, answers) = mpsc::unbounded_channel();
        let (payloads, from_payloads) = mpsc::unbounded_channel();
        let api = Arc::new(Api {
            polls: to_polls,
            answers: to_answers,
            payloads: Mutex::new(from_payloads),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .fallback(refused)
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a server");
        });
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment.iter().cloned())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "benchmark")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/benchmark")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().expect("the function starts");
        Self {
            child,
            started,
            server,
            polls,
            answers,
            payloads,
        }
    }

    /// From the start of the process to its first request for an event.
    pub(crate) async fn until_ready(&mut self) -> Duration {
        let poll = tokio::time::timeout(PATIENCE, self.polls.recv()).await;
        let at = poll.expect("the function polls").expect("a poll");
        at - self.started
    }

    /// Hands an event over and waits for what the function answers.
    pub(crate) async fn invoke(&mut self, payload: Vec<u8>) -> Value {
        self.payloads.send(payload).expect("the server runs");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        let (_, body) = answer.expect("the function answers").expect("an answer");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// From the start of the process to its answer to an event that waits already.
    pub(crate) async fn until_answered(&mut self, payload: Vec<u8>) -> Duration {
        self.payloads.send(payload).expect("the server runs");
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        let (at, _) = answer.expect("the function answers").expect("an answer");
        at - self.started
    }

    fn process_file(&self, name: &str) -> String {
        let id = self.child.id().expect("it runs");
        std::fs::read_to_string(format!("/proc/{id}/{name}")).expect("it runs")
    }

    /// The processor time of the process so far. Its functions have a single thread, and what little a thread for
    /// blocking work does is left out.
    pub(crate) fn processor_time(&self) -> Duration {
        let text = self.process_file("schedstat");
        let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
        Duration::from_nanos(nanoseconds.expect("a number"))
    }

    /// What it takes of memory.
    pub(crate) fn memory(&self) -> Memory {
        let status = self.process_file("status");
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            let kilobytes: u64 = kilobytes.and_then(|it| it.parse().ok()).expect("a number");
            kilobytes * 1024
        };
        Memory {
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }

    /// Ends it.
    pub(crate) async fn end(mut self) {
        self.child.kill().await.expect("it can be ended");
        self.server.abort();
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    // It fails when the process is being ended.
    let _ = api.polls.send(Instant::now());
    let Some(payload) = api.payloads.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now() + INVOCATION;
    let deadline = deadline
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned(),
        ),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-north-1:000000000000:function:benchmark".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-6742a3f1-1b2c3d4e5f60718293a4b5c6;Sampled=0".to_owned(),
        ),
    ];
    (axum::response::AppendHeaders(headers), payload).into_response()
}

async fn response(
    State(api): State<Arc<Api>>,
    PathParameter(_): PathParameter<String>,
    body: Bytes,
) -> StatusCode {
    let _ = api.answers.send((Instant::now(), body));
    StatusCode::ACCEPTED
}

/// An error that a function reports is an error of the benchmark's set-up.
async fn refused(uri: axum::http::Uri, body: Bytes) -> StatusCode {
    println!("{uri}: {}", String::from_utf8_lossy(&body));
    StatusCode::NOT_FOUND
}
