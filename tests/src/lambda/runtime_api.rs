//! A function's process, and the Lambda Runtime API that it talks to.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
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
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex, mpsc},
    task::JoinHandle,
};
use uuid::Uuid;

/// Far longer than anything here takes, so that a function that does not come is noticed.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time that a function has for an invocation.
const INVOCATION: Duration = Duration::from_secs(110);

/// The trace header of every invocation, as Lambda sends it to a function that a queue has invoked: `Lineage` is what
/// recursive loop detection counts in.
pub const TRACE: &str = "Root=1-6742a3f1-1b2c3d4e5f60718293a4b5c6;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:a87bd80c:0";
/// The identifier in it that belongs to one chain of invocations.
pub const TRACE_ROOT: &str = "1-6742a3f1-1b2c3d4e5f60718293a4b5c6";

/// The far end: what the function's requests are turned into, and what waits for it.
struct Api {
    polls: mpsc::UnboundedSender<Instant>,
    answers: mpsc::UnboundedSender<(Instant, Answer)>,
    payloads: Mutex<mpsc::UnboundedReceiver<(Uuid, Vec<u8>)>>,
}

/// What the function posted for an event: its response, or its error.
type Answer = Result<Bytes, Bytes>;

/// The destination of a process's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It is discarded.
    Discarded,
    /// It is kept until the end.
    Kept,
}

/// A process of a function.
pub struct FunctionProcess {
    child: Child,
    started: Instant,
    server: JoinHandle<()>,
    written: Option<[JoinHandle<io::Result<String>>; 2]>,
    polls: mpsc::UnboundedReceiver<Instant>,
    answers: mpsc::UnboundedReceiver<(Instant, Answer)>,
    payloads: mpsc::UnboundedSender<(Uuid, Vec<u8>)>,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// A process does not do what a function does.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It, or the Runtime API, cannot be started, or says nothing of itself.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It did not come, or ended.
    #[error("the function does not {0}")]
    Silent(&'static str),
    /// Its answer is not JSON.
    #[error("the function's answer is not JSON: {0}")]
    NoJson(#[from] serde_json::Error),
}

/// The outcome of an event.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Lambda's id of the invocation.
    pub request_id: Uuid,
    /// What the function returned, or the error that it reported.
    pub answer: Result<Value, Value>,
}

/// The output of a process, line by line, and its exit status.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// On standard output.
    pub standard_output: Vec<String>,
    /// On standard error, which Lambda puts into the same log.
    pub standard_error: Vec<String>,
    /// How it ended; not by itself: it was killed.
    pub status: ExitStatus,
}

impl FunctionProcess {
    /// Starts the function as Lambda does. `environment` goes before what is set here for it.
    ///
    /// # Errors
    /// When there is no port or no process.
    pub async fn start(
        binary: &Path,
        environment: &[(String, String)],
        output: Output,
    ) -> Result<Self, ProcessError> {
        Self::run(Command::new(binary), environment, output).await
    }

    /// The same with any command, such as that of an interpreter with a function's sources.
    ///
    /// # Errors
    /// When there is no port or no process.
    pub async fn run(
        mut command: Command,
        environment: &[(String, String)],
        output: Output,
    ) -> Result<Self, ProcessError> {
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
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(api);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        let kept = || match output {
            Output::Discarded => Stdio::null(),
            Output::Kept => Stdio::piped(),
        };
        command
            .env_clear()
            .env("AWS_LAMBDA_FUNCTION_NAME", "benchmark")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/benchmark")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .envs(environment.iter().cloned())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .stdin(Stdio::null())
            .stdout(kept())
            .kill_on_drop(true);
        if output == Output::Kept {
            command.stderr(Stdio::piped());
        }
        let started = Instant::now();
        let mut child = command.spawn()?;
        let written = match (child.stdout.take(), child.stderr.take()) {
            (Some(output), Some(error)) => {
                Some([tokio::spawn(read(output)), tokio::spawn(read(error))])
            }
            _ => None,
        };
        Ok(Self {
            child,
            started,
            server,
            written,
            polls,
            answers,
            payloads,
        })
    }

    /// From the start of the process to its first request for an event; later, until it asks for the next one.
    ///
    /// # Errors
    /// When it does not ask.
    pub async fn until_ready(&mut self) -> Result<Duration, ProcessError> {
        let poll = tokio::time::timeout(PATIENCE, self.polls.recv()).await;
        let at = poll.ok().flatten();
        Ok(at.ok_or(ProcessError::Silent("ask for an event"))? - self.started)
    }

    async fn answer(&mut self) -> Result<(Instant, Answer), ProcessError> {
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        answer
            .ok()
            .flatten()
            .ok_or(ProcessError::Silent("answer an event"))
    }

    fn hand_over(&self, payload: Vec<u8>) -> Uuid {
        let request_id = Uuid::new_v4();
        // Without a server nobody answers, which is what is reported.
        let _ = self.payloads.send((request_id, payload));
        request_id
    }

    /// Hands an event over and waits for what the function answers.
    ///
    /// # Errors
    /// When it does not answer, or not with JSON.
    pub async fn invoke(&mut self, payload: Vec<u8>) -> Result<Answered, ProcessError> {
        let request_id = self.hand_over(payload);
        let (_, answer) = self.answer().await?;
        let answer = match answer {
            Ok(body) => Ok(serde_json::from_slice(&body)?),
            Err(body) => Err(serde_json::from_slice(&body)?),
        };
        Ok(Answered { request_id, answer })
    }

    /// From the start of the process to its answer to an event that waits already.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn until_answered(&mut self, payload: Vec<u8>) -> Result<Duration, ProcessError> {
        self.hand_over(payload);
        let (at, _) = self.answer().await?;
        Ok(at - self.started)
    }

    /// Its process id.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn id(&self) -> Result<u32, ProcessError> {
        self.child.id().ok_or(ProcessError::Silent("run"))
    }

    fn process_file(&self, name: &str) -> Result<String, ProcessError> {
        let id = self.id()?;
        Ok(std::fs::read_to_string(format!("/proc/{id}/{name}"))?)
    }

    /// The processor time of the process so far. Its functions have a single thread, and what little a thread for
    /// blocking work does is left out.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn processor_time(&self) -> Result<Duration, ProcessError> {
        let text = self.process_file("schedstat")?;
        let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
        nanoseconds
            .map(Duration::from_nanos)
            .ok_or(ProcessError::Silent("run"))
    }

    /// The processor time of all its threads so far. What a thread has used that has ended meanwhile is not in it.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn processor_time_of_threads(&self) -> Result<Duration, ProcessError> {
        let id = self.id()?;
        let mut total = Duration::ZERO;
        for thread in std::fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread may end between the listing and the reading.
            let text = std::fs::read_to_string(thread?.path().join("schedstat"));
            let nanoseconds = text
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok());
            total += nanoseconds.map_or(Duration::ZERO, Duration::from_nanos);
        }
        Ok(total)
    }

    /// Its memory use.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory(&self) -> Result<Memory, ProcessError> {
        let status = self.process_file("status")?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next());
            let kilobytes: Option<u64> = kilobytes.and_then(|it| it.parse().ok());
            kilobytes
                .map(|kilobytes| kilobytes * 1024)
                .ok_or(ProcessError::Silent("run"))
        };
        Ok(Memory {
            resident: bytes("VmRSS:")?,
            peak: bytes("VmHWM:")?,
        })
    }

    /// Ends it, and hands over what it has written where that is kept. To see all that an invocation writes, wait until
    /// the function is ready again.
    ///
    /// # Errors
    /// When it cannot be ended or what it wrote is no text.
    pub async fn end(mut self) -> Result<Written, ProcessError> {
        self.child.start_kill()?;
        self.collect().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not end, or what it wrote is no text.
    pub async fn until_ended(mut self) -> Result<Written, ProcessError> {
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            return Err(ProcessError::Silent("end"));
        }
        self.collect().await
    }

    async fn collect(&mut self) -> Result<Written, ProcessError> {
        let status = self.child.wait().await?;
        self.server.abort();
        let mut texts = [Vec::new(), Vec::new()];
        if let Some(written) = self.written.take() {
            for (lines, task) in texts.iter_mut().zip(written) {
                let text = task.await.map_err(io::Error::other)??;
                *lines = text.lines().map(str::to_owned).collect();
            }
        }
        let [standard_output, standard_error] = texts;
        Ok(Written {
            standard_output,
            standard_error,
            status,
        })
    }
}

async fn read(mut stream: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    // It fails when the process is being ended.
    let _ = api.polls.send(Instant::now());
    let Some((request_id, payload)) = api.payloads.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now() + INVOCATION;
    let deadline = deadline
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", request_id.to_string()),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-north-1:000000000000:function:benchmark".to_owned(),
        ),
        ("lambda-runtime-trace-id", TRACE.to_owned()),
    ];
    (axum::response::AppendHeaders(headers), payload).into_response()
}

async fn response(
    State(api): State<Arc<Api>>,
    PathParameter(_): PathParameter<String>,
    body: Bytes,
) -> StatusCode {
    let _ = api.answers.send((Instant::now(), Ok(body)));
    StatusCode::ACCEPTED
}

async fn error(
    State(api): State<Arc<Api>>,
    PathParameter(_): PathParameter<String>,
    body: Bytes,
) -> StatusCode {
    let _ = api.answers.send((Instant::now(), Err(body)));
    StatusCode::ACCEPTED
}
