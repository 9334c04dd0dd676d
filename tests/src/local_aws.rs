//! The local AWS: MiniStack, with IAM enforced, from a Python virtual environment that is created on first use.
//!
//! Nothing is installed outside the workspace's `target/sandbox/`. An error names whatever else is missing and says how
//! to get it.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider},
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use aws_smithy_http_client::{
    Builder as HttpClientBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_types::SdkConfig;
pub use sandbox_tools::sandbox_directory;
use sandbox_tools::{Environment, InstallError, end_of};
use shared::{aws::sdk, http::Transport};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
};

/// The region that everything local runs in.
pub const REGION: &str = "eu-north-1";
/// The key id, and the secret, of MiniStack's root user: it may do everything, also with IAM enforced.
pub const ROOT_KEY: &str = "test";

/// How long MiniStack may take to come up: 2–3 s on an idle machine (local-aws.md), far more on a busy one.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked whether it is up.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);
/// How long it may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Keeps MiniStack's life within that of the process that started it.
const RUN_MINISTACK: &str = include_str!("run_ministack.py");

/// What went wrong, and what to do about it.
#[derive(Debug, Error)]
pub enum LocalAwsError {
    /// The programs cannot be had.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// MiniStack did not come up.
    #[error("MiniStack {what}. The end of {log}:\n{quoted}")]
    Start {
        /// How it failed.
        what: String,
        /// The whole output.
        log: String,
        /// Its last lines.
        quoted: String,
    },
    /// The machine refused something.
    #[error("{what}: {source}. Check that the disk has room and that the directory belongs to you")]
    Io {
        /// What was being done.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> LocalAwsError {
    let what = what.into();
    move |source| LocalAwsError::Io { what, source }
}

/// Takes one line for a person at the start of every step that takes long.
pub trait Progress: Fn(&str) + Send + 'static {}

impl<F: Fn(&str) + Send + 'static> Progress for F {}

/// A virtual environment with its programs.
#[derive(Debug, Clone)]
pub struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// MiniStack, installed if it is not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn ministack(progress: impl Progress) -> Result<Self, LocalAwsError> {
        Self::install(&sandbox_tools::MINISTACK, progress).await
    }

    /// The SAM CLI (`sam`), `cargo-lambda` and `cfn-lint`, installed if they are not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn sam(progress: impl Progress) -> Result<Self, LocalAwsError> {
        Self::install(&sandbox_tools::SAM, progress).await
    }

    /// What Odoo needs of Python, installed if it is not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn odoo(progress: impl Progress) -> Result<Self, LocalAwsError> {
        Self::install(&sandbox_tools::ODOO, progress).await
    }

    /// Tryton and what its facade needs, installed if it is not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn tryton(progress: impl Progress) -> Result<Self, LocalAwsError> {
        Self::install(&sandbox_tools::TRYTON, progress).await
    }

    /// What the Python twins of the benchmarks need, installed if it is not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn twins(progress: impl Progress) -> Result<Self, LocalAwsError> {
        Self::install(&sandbox_tools::TWINS, progress).await
    }

    /// The script of axe-core, installed if it is not there yet.
    ///
    /// # Errors
    /// With what to do, when there is no Python or the installation fails.
    pub async fn axe_core(progress: impl Progress) -> Result<String, LocalAwsError> {
        let tools = Self::install(&sandbox_tools::AXE_CORE, progress).await?;
        // Not imported: that would need Playwright.
        let script = "import importlib.util, pathlib, sys
found = importlib.util.find_spec('axe_playwright_python').submodule_search_locations[0]
sys.stdout.write((pathlib.Path(found) / 'axe.min.js').read_text('utf-8'))";
        let output = tokio::process::Command::new(tools.program("python3"))
            .args(["-X", "utf8", "-c", script])
            .output()
            .await
            .map_err(io_error("axe-core cannot be read"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The directory of the programs. `cargo lambda` needs it on the `PATH`.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The path of a program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    async fn install(
        environment: &'static Environment,
        progress: impl Progress,
    ) -> Result<Self, LocalAwsError> {
        let bin = tokio::task::spawn_blocking(move || environment.install(&progress))
            .await
            .map_err(io::Error::other)
            .map_err(io_error("the installation was interrupted"))??;
        Ok(Self { bin })
    }
}

/// A running MiniStack. It ends, with all the function processes that it started, when this is dropped or when this
/// process ends in whatever way. Nothing it held survives.
#[derive(Debug)]
pub struct LocalAws {
    child: Child,
    /// MiniStack runs for as long as this end of the pipe is open.
    lifeline: Option<ChildStdin>,
    port: u16,
    log: PathBuf,
    temporary: PathBuf,
}

impl LocalAws {
    /// Starts MiniStack on a free port with IAM enforced, and waits until it answers. `name` names its log file;
    /// `environment` is added to its environment variables, which the functions inherit.
    ///
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub async fn start(
        tools: &Tools,
        name: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self, LocalAwsError> {
        let sandbox = sandbox_directory();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(io_error("no free port was found"))?
            .port();
        let temporary = sandbox.join(format!("{name}-{port}"));
        fs::create_dir_all(&temporary)
            .map_err(io_error(format!("{} cannot be made", temporary.display())))?;
        let log = sandbox.join(format!("{name}.log"));
        let unwritable = || io_error(format!("{} cannot be written", log.display()));
        let output = File::create(&log).map_err(unwritable())?;
        let errors = output.try_clone().map_err(unwritable())?;

        let mut child = Command::new(tools.program("python3"))
            .args(["-c", RUN_MINISTACK])
            .env("AUTH", "true")
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_REGION", REGION)
            .env("AWS_ENDPOINT_URL", endpoint(port))
            .env("TMPDIR", &temporary)
            // A proxy for the outside world has no business between a function and the local AWS.
            .env("NO_PROXY", "localhost,127.0.0.1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(io_error("MiniStack cannot be started"))?;
        let lifeline = child.stdin.take();
        let mut started = Self {
            child,
            lifeline,
            port,
            log,
            temporary,
        };
        started.wait_until_healthy().await?;
        Ok(started)
    }

    /// The one that the tests of this process share, started by the first that asks.
    ///
    /// # Errors
    /// When it cannot be installed or does not come up; the next one who asks tries again.
    pub async fn shared() -> Result<&'static Self, LocalAwsError> {
        static SHARED: OnceCell<LocalAws> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                let tools = Tools::ministack(report).await?;
                // Several test binaries may run at the same time; each has a log of its own.
                let binary = std::env::current_exe().ok();
                let name = binary.as_deref().and_then(Path::file_stem);
                let name = name.map_or("tests".into(), |name| name.to_string_lossy());
                Self::start(&tools, &name, &[]).await
            })
            .await
    }

    /// The address of every service.
    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// The port of [`LocalAws::endpoint`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process group of MiniStack and of the function processes that it starts.
    pub fn process_group(&self) -> u32 {
        self.child.id()
    }

    /// Where MiniStack's output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The configuration of clients that act as the root user.
    pub fn aws_config(&self) -> SdkConfig {
        aws_at(self.endpoint())
    }

    async fn wait_until_healthy(&mut self) -> Result<(), LocalAwsError> {
        let start = Instant::now();
        loop {
            if is_healthy(self.port).await {
                return Ok(());
            }
            let ended = self
                .child
                .try_wait()
                .map_err(io_error("MiniStack cannot be watched"))?;
            let what = match ended {
                Some(status) => format!("ended while it was starting ({status})"),
                None if start.elapsed() > START_TIMEOUT => {
                    format!("did not answer within {} s", START_TIMEOUT.as_secs())
                }
                None => {
                    tokio::time::sleep(HEALTH_INTERVAL).await;
                    continue;
                }
            };
            return Err(LocalAwsError::Start {
                what,
                log: self.log.display().to_string(),
                quoted: end_of(&self.log),
            });
        }
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_TIMEOUT {
                // Nothing can be done about a failure from here on.
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(HEALTH_INTERVAL);
        }
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

fn endpoint(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// Whether MiniStack answers. Asked without an HTTP client: this is all that is needed of one.
async fn is_healthy(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request =
            b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await?;
        io::Result::Ok(status_line)
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(2), ask).await,
        Ok(Ok(line)) if line == *b"HTTP/1.1 200"
    )
}

/// Progress of what the tests share, on standard error, where a test's own output goes.
#[expect(clippy::print_stderr, reason = "a person is waiting for a download")]
fn report(step: &str) {
    eprintln!("{step}");
}

/// The configuration of clients that call an address instead of AWS. Each call has its own connections: a pooled one would not
/// outlive the runtime of the test that opened it.
pub fn aws_at(endpoint: impl Into<String>) -> SdkConfig {
    let http_client = HttpClientBuilder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let credentials = Credentials::new(ROOT_KEY, ROOT_KEY, None, None, "local");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client)
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

/// A function's configuration, over a transport that answers for AWS.
#[expect(
    clippy::expect_used,
    reason = "the variables are those below, and none is missing"
)]
pub fn aws_over(transport: Arc<dyn Transport>) -> SdkConfig {
    let variable = |name: &str| match name {
        "AWS_REGION" => Some(REGION.to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some(ROOT_KEY.to_owned()),
        _ => None,
    };
    sdk::configure(transport, variable).expect("nothing is missing")
}

/// Makes a table with the key schema that the template gives all of them.
///
/// # Errors
/// What DynamoDB says.
pub async fn create_table(config: &SdkConfig, name: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    let attribute = AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(KeyType::Hash);
    aws_sdk_dynamodb::Client::new(config)
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute.build()?)
        .key_schema(key.build()?)
        .send()
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn nothing_of_it_outlives_it() {
        let tools = Tools::ministack(report).await.unwrap();
        let aws = LocalAws::start(&tools, "ends", &[]).await.unwrap();
        let port = aws.port();
        let temporary = sandbox_directory().join(format!("ends-{port}"));
        assert!(is_healthy(port).await && temporary.exists());
        drop(aws);
        assert!(!is_healthy(port).await && !temporary.exists());
    }

    #[tokio::test]
    async fn a_start_that_fails_shows_the_log() {
        let bin = sandbox_directory().join("broken");
        fs::create_dir_all(&bin).unwrap();
        let tools = Tools { bin };
        let python = tools.program("python3");
        fs::write(
            &python,
            "#!/bin/sh\necho no module named ministack\nexit 3\n",
        )
        .unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let error = LocalAws::start(&tools, "fails", &[]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.contains("no module named ministack"), "{text}");
    }
}
