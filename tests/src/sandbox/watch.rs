//! `cargo lambda watch` in place of the deployed functions. The local AWS posts each invocation there instead of
//! starting the deployed binary, so that queues drive the code that is being edited. The functions then act as the
//! local AWS's root user: IAM is not enforced on them.
//!
//! Each function is invoked once before the day begins. Its first invocation compiles it, and the posts of a shop would
//! meanwhile pile up in front of it until `cargo lambda watch` stops responding.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use sandbox_tools::variables_of_this_package;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    SandboxError,
    deployment::{FUNCTIONS, STACK, environment_file, with_tools},
    io_error, progress,
};
use crate::{
    local_aws::{Tools, sandbox_directory},
    norce_simulator::{EventPost, EventSink as _, EventType, HttpEventSink},
};

/// How long it may take to listen. It compiles a function only when it is invoked for the first time.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval of the checks whether it listens.
const START_INTERVAL: Duration = Duration::from_millis(100);
/// The time limit for compiling a function.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

/// Instances of a function side by side: as many as the template lets a queue have.
const INSTANCES: usize = 2;
/// With more invocations at the same time than a few `cargo lambda watch` ceases to hand them out.
pub(super) const POSTS_AT_ONCE: usize = INSTANCES;

/// The address at which `cargo lambda watch` will listen.
pub(super) struct Watch {
    port: u16,
}

/// `cargo lambda watch`, which ends with this value.
pub(super) struct Watching(Child);

impl Watch {
    /// Finds a port, because the local AWS must know it before.
    pub(super) fn reserve() -> Result<Self, SandboxError> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(io_error("no free port was found"))?
            .port();
        Ok(Self { port })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The variables that tell the local AWS where each function is.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        let proxy = |function: &str| {
            let name = format!("MINISTACK_LAMBDA_PROXY_{STACK}-{function}");
            (name, self.invocations(function))
        };
        FUNCTIONS.map(proxy).into()
    }

    /// Starts it, its output in a log file.
    pub(super) async fn start(&self, tools: &Tools) -> Result<Watching, SandboxError> {
        let log = sandbox_directory().join("watch.log");
        let unwritable = || io_error(format!("{} cannot be written", log.display()));
        let output = std::fs::File::create(&log).map_err(unwritable())?;
        let errors = output.try_clone().map_err(unwritable())?;
        let mut command = Command::new("cargo");
        for name in variables_of_this_package() {
            command.env_remove(name);
        }
        command
            .args(["lambda", "watch", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &self.port.to_string()])
            .args(["--concurrency", &INSTANCES.to_string(), "--env-file"])
            .arg(environment_file());
        let child = with_tools(&mut command, tools)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(io_error("cargo lambda watch cannot be started"))?;
        let watching = Watching(child);
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .is_err()
        {
            if start.elapsed() > START_TIMEOUT {
                let log = log.display();
                return Err(SandboxError::Day(format!(
                    "cargo lambda watch does not listen; see {log}"
                )));
            }
            sleep(START_INTERVAL).await;
        }
        for function in FUNCTIONS {
            progress::detail(&format!("compiling {function}"));
            self.compile(function, &log).await?;
        }
        Ok(watching)
    }

    /// Invokes a function with an event of which nothing comes.
    async fn compile(&self, function: &str, log: &Path) -> Result<(), SandboxError> {
        let event = match function {
            "receive-events" => include_str!("../../events/receive-events-wrong-secret.json"),
            // It answers whatever the set-up is like.
            "operator" => r#"{"action":"doctor"}"#,
            _ => r#"{"Records":[]}"#,
        };
        let post = EventPost {
            event: EventType::CustomerChanged,
            url: self.invocations(function),
            headers: Vec::new(),
            body: event.into(),
        };
        let sink = HttpEventSink::new().map_err(SandboxError::Day)?;
        match timeout(COMPILE_TIMEOUT, sink.post(post)).await {
            Ok(Ok(200)) => Ok(()),
            answer => Err(SandboxError::Day(format!(
                "{function} could not be compiled and run by cargo lambda watch ({answer:?}); see {}",
                log.display()
            ))),
        }
    }

    fn invocations(&self, function: &str) -> String {
        let port = self.port;
        format!("http://127.0.0.1:{port}/2015-03-31/functions/{function}/invocations")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Asked politely, it ends the functions that it started; killed, it would leave them behind.
        if let Some(id) = self.0.id() {
            let _ = std::process::Command::new("kill")
                .arg(id.to_string())
                .status();
        }
    }
}
