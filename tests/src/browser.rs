//! A real browser at the console: Debian's Chromium over WebDriver, and the console over HTTP on loopback, in front of the
//! whole bundle in one process.
//!
//! Needs `chromium` and `chromium-driver`. Where they are not installed the tests that use this skip with a sentence, unless
//! `REQUIRE_BROWSER=1` asks for them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a harness of tests: what cannot be set up is to fail loudly"
)]

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lambda_events::encodings::Body;
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::Request as HttpRequest,
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use console::{
    AllowedAddresses, CALLBACK_PATH, Console, Operator, OperatorError, Provider, ProviderSettings,
};
use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use futures_util::future::LocalBoxFuture;
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use operator::{Call, Refusal, Refused};
use serde_json::{Value, json};
use shared::{
    domain::SystemClock,
    http::{Deadline, ReqwestTransport},
    metrics::Metrics,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use url::{ParseError, Url};

use crate::{
    bundle::{Bundle, Options},
    console::{ROLE_CLAIM, ROLES, Request, SetCredentials, person},
    local_aws::{LocalAwsError, Tools},
    oidc_provider::OidcProvider,
};

/// The variable that makes a missing browser a failure.
pub const REQUIRED: &str = "REQUIRE_BROWSER";
/// What a page may take to show something on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// So often chromedriver is started until it has found a port.
const STARTS: usize = 5;
/// About a frame.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A WebDriver with one browser, in a profile of its own. Both end when this is dropped.
pub struct WebBrowser {
    /// The browser.
    pub client: Client,
    _driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Drop for WebBrowser {
    /// Ends the session, and the browser with it: chromedriver alone would leave it behind.
    fn drop(&mut self) {
        let end = || -> io::Result<()> {
            let mut driver = TcpStream::connect(("127.0.0.1", self.port))?;
            driver.set_read_timeout(Some(PATIENCE))?;
            let path = format!("/session/{}", self.session);
            write!(
                driver,
                "DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )?;
            // The answer comes when the browser has ended; chromedriver keeps the connection.
            driver.read(&mut [0; 512]).map(drop)
        };
        let _ = end();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl WebBrowser {
    /// Starts a browser; `None`: there is none here, and a sentence says so.
    ///
    /// # Panics
    /// When there is none and `REQUIRE_BROWSER=1` asks for it, or when it does not start.
    pub async fn start() -> Option<Self> {
        let Some((driver, port)) = start_driver().await else {
            let hint = "no chromedriver was found: install chromium and chromium-driver";
            assert!(std::env::var(REQUIRED).as_deref() != Ok("1"), "{hint}");
            skip(hint);
            return None;
        };
        let profile =
            std::env::temp_dir().join(format!("console-browser-{}", uuid::Uuid::new_v4()));
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        let session = client.session_id().await.expect("a session");
        Some(Self {
            port,
            session: session.unwrap_or_default(),
            client,
            _driver: driver,
            profile,
        })
    }

    /// Evaluates an expression in the page; promises are awaited.
    ///
    /// # Panics
    /// When it throws.
    pub async fn eval(&self, script: &str) -> Value {
        let body = format!(
            "const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done({{ thrown: String(error) }}));"
        );
        let value = self.client.execute_async(&body, Vec::new()).await;
        let value = value.unwrap_or_else(|error| panic_with(&format!("{script}: {error}")));
        if let Some(thrown) = value.get("thrown") {
            panic_with(&format!("{script}: {thrown}"));
        }
        value
    }

    /// Waits until an expression of the page is true. It is asked for again and again: a promise would be lost where the
    /// page gives way to another one.
    ///
    /// # Panics
    /// When it does not become true.
    pub async fn until(&self, condition: &str) {
        let script = format!("try {{ return Boolean({condition}); }} catch {{ return false; }}");
        let asked = async {
            // An error is a page that is going.
            while !matches!(
                self.client.execute(&script, Vec::new()).await,
                Ok(Value::Bool(true))
            ) {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        };
        if tokio::time::timeout(PATIENCE, asked).await.is_err() {
            let page = self.eval("return document.body.innerText").await;
            panic_with(&format!("{condition} did not become true: {page:#}"));
        }
    }

    /// Opens an address and waits until the page shows its data, or why there are none.
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn open(&self, address: &str) {
        self.client.goto(address).await.expect("the page opens");
        self.settled().await;
    }

    /// Waits until the page has nothing under way. The pages on the way through the sign-in never say so.
    ///
    /// # Panics
    /// When it does not get there.
    pub async fn settled(&self) {
        self.until("document.querySelector('main').getAttribute('aria-busy') === 'false'")
            .await;
    }

    /// Clicks on what has this `data-key`.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn press(&self, key: &str) {
        let key = json!(key);
        self.eval(&format!("const it = document.querySelector(`[data-key=${{JSON.stringify({key})}}]`); if (!it) throw {key} + ' is not there'; it.click();"))
            .await;
    }

    /// Presses the button that loads the data again, once the page is idle: while it is loading, it ignores the button.
    ///
    /// # Panics
    /// When it has no such button, or does not come to rest.
    pub async fn refresh(&self) {
        self.settled().await;
        self.press("refresh").await;
    }

    /// The width of the page, in CSS pixels. A window has a least width; this has none.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn resize(&self, width: u32) {
        let metrics =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        let command = DevTools {
            command: "Emulation.setDeviceMetricsOverride",
            parameters: metrics,
        };
        self.client.issue_cmd(command).await.expect("another width");
    }

    /// The time zone of the browser, as the IANA names it.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn in_zone(&self, zone: &str) {
        let command = DevTools {
            command: "Emulation.setTimezoneOverride",
            parameters: json!({ "timezoneId": zone }),
        };
        self.client.issue_cmd(command).await.expect("another zone");
    }

    /// The whole page as a PNG, also what has to be scrolled to.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn picture(&self) -> Vec<u8> {
        let command = DevTools {
            command: "Page.captureScreenshot",
            parameters: json!({ "captureBeyondViewport": true }),
        };
        let taken = self.client.issue_cmd(command).await.expect("a picture");
        let data = taken["data"].as_str().unwrap_or_default();
        STANDARD.decode(data).expect("base64")
    }

    /// Everything that the page says, and every element's label, has been looked at: axe-core's violations, one line each.
    ///
    /// # Panics
    /// When axe-core cannot run.
    pub async fn violations(&self, axe: &str) -> Vec<String> {
        self.client
            .execute(axe, Vec::new())
            .await
            .expect("axe-core is there");
        let found = self
            .eval("const found = await axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }); return found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html).slice(0, 3).join(' | ')}`);")
            .await;
        let lines = found.as_array().into_iter().flatten();
        lines
            .map(|line| line.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Starts chromedriver and finds out on which port it listens; `None`: it is not installed.
///
/// It chooses the port itself, and gives up where another one has been quicker.
async fn start_driver() -> Option<(Child, u16)> {
    for _ in 0..STARTS {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let output = driver.stdout.take().expect("its standard output");
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let port = line.rsplit_once("on port ").map(|(_, port)| port);
            let port = port.and_then(|port| port.trim_end_matches('.').parse::<u16>().ok());
            if let Some(port) = port.filter(|port| *port != 0) {
                // It continues to write, and must not wait for a reader.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some((driver, port));
            }
        }
    }
    panic_with("chromedriver does not say on which port it listens")
}

/// A command of the Chrome DevTools Protocol, which chromedriver passes on.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (Method::POST, Some(body.to_string()))
    }
}

fn panic_with(text: &str) -> ! {
    panic!("{text}")
}

/// Says why something is not tested here.
#[allow(clippy::print_stderr, reason = "for the person who runs the tests")]
fn skip(why: &str) {
    eprintln!("skipped: {why}; {REQUIRED}=1 makes this a failure");
}

/// axe-core, which is fetched like the other tools.
///
/// # Errors
/// With what to do, when there is no Python or the installation fails.
pub async fn axe_core() -> Result<String, LocalAwsError> {
    Tools::axe_core(|_| {}).await
}

type Task = Box<dyn for<'a> FnOnce(&'a mut Bundle) -> LocalBoxFuture<'a, ()> + Send>;

enum Job {
    Ask(Value, oneshot::Sender<Result<Value, Refusal>>),
    Do(Task, oneshot::Sender<()>),
}

/// The whole bundle in a thread of its own, on time that passes only while it waits: `operator` is asked there.
pub struct BundleOperator {
    jobs: mpsc::UnboundedSender<Job>,
    asked: Arc<Mutex<Vec<Value>>>,
    fault: Arc<Mutex<Option<OperatorError>>>,
    scripted: Arc<Mutex<HashMap<String, VecDeque<Value>>>>,
}

impl BundleOperator {
    /// A bundle with these options.
    pub fn start(options: Options) -> Self {
        let (jobs, mut queue) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut bundle = Bundle::new(&options);
                while let Some(job) = queue.recv().await {
                    match job {
                        Job::Ask(request, answer) => {
                            let _ = answer.send(bundle.ask(request).await);
                        }
                        Job::Do(task, done) => {
                            task(&mut bundle).await;
                            let _ = done.send(());
                        }
                    }
                }
            });
        });
        Self {
            jobs,
            asked: Arc::default(),
            fault: Arc::default(),
            scripted: Arc::default(),
        }
    }

    /// Does something with the bundle.
    ///
    /// # Panics
    /// When the bundle has panicked.
    pub async fn run(
        &self,
        task: impl for<'a> FnOnce(&'a mut Bundle) -> LocalBoxFuture<'a, ()> + Send + 'static,
    ) {
        let (done, end) = oneshot::channel();
        let job = Job::Do(Box::new(task), done);
        assert!(self.jobs.send(job).is_ok(), "the bundle has broken down");
        end.await.expect("the bundle has done it");
    }

    /// What was asked since this was last asked.
    pub fn take_asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on an action has these answers instead of the bundle's, one after the other and the last one for good; none:
    /// the bundle's again.
    pub fn script(&self, action: &str, answers: impl IntoIterator<Item = Value>) {
        let mut scripted = self.scripted.lock().unwrap_or_else(PoisonError::into_inner);
        let answers: VecDeque<Value> = answers.into_iter().collect();
        scripted.remove(action);
        scripted.extend((!answers.is_empty()).then(|| (action.to_owned(), answers)));
    }

    /// From now on every request fails like this; `None`: none does.
    pub fn fail(&self, fault: Option<OperatorError>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

#[async_trait]
impl Operator for BundleOperator {
    async fn ask(&self, request: &Value, _: Duration) -> Result<String, OperatorError> {
        let asked = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked().push(request.clone());
        let fault = self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(fault) = fault {
            return Err(fault);
        }
        let action = request["action"].as_str().unwrap_or_default();
        let scripted = {
            let mut scripted = self.scripted.lock().unwrap_or_else(PoisonError::into_inner);
            scripted.get_mut(action).and_then(|answers| {
                let next = answers.pop_front();
                if answers.is_empty() {
                    answers.extend(next.clone());
                }
                next
            })
        };
        if let Some(answer) = scripted {
            return Ok(answer.to_string());
        }
        let language = Call::language(request);
        let (answer, end) = oneshot::channel();
        let job = Job::Ask(request.clone(), answer);
        self.jobs.send(job).map_err(|_| OperatorError::Failed)?;
        let answer = end.await.map_err(|_| OperatorError::Failed)?;
        answer.map(|answer| answer.to_string()).map_err(|refusal| {
            let mut refused = json!(Refused::from(&refusal));
            language.say(&mut refused);
            let message = refused["message"].as_str().unwrap_or_default().to_owned();
            match refusal {
                Refusal::Request(_) => OperatorError::Request(message),
                Refusal::Role { .. } => OperatorError::Role(message),
                Refusal::SetUp(_) => OperatorError::SetUp(message),
                Refusal::Later(_) => OperatorError::Later(message),
            }
        })
    }
}

/// The console and its provider over HTTP. They end when this is dropped.
pub struct Served {
    /// Where the console is: `http://localhost:…`, which browsers trust like https.
    pub origin: String,
    /// The provider, on another site.
    pub provider: OidcProvider,
    /// What the console asks.
    pub operator: Arc<BundleOperator>,
    /// Its key and its client.
    pub credentials: Arc<SetCredentials>,
    servers: [JoinHandle<()>; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

impl Served {
    /// Serves the console over a bundle with these options.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn new(options: Options) -> Self {
        let bind = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (listener, provider_listener) =
            (bind().await.expect("a port"), bind().await.expect("a port"));
        let origin = format!("http://localhost:{}", port(&listener));
        let issuer = format!("http://127.0.0.1:{}", port(&provider_listener));
        let callback = format!("{origin}{CALLBACK_PATH}");
        let provider = OidcProvider::new(&issuer, &callback, Arc::new(SystemClock));
        let credentials = Arc::new(SetCredentials::default());
        let operator = Arc::new(BundleOperator::start(options));
        let settings = ProviderSettings {
            issuer,
            callback,
            role_claim: ROLE_CLAIM.to_owned(),
            roles: ROLES.parse().expect("a map of roles"),
        };
        let transport = Arc::new(ReqwestTransport::new().expect("a client"));
        let console = Arc::new(Console {
            origin: origin.clone(),
            stack: "shop".to_owned(),
            allowed: AllowedAddresses::default(),
            session: Duration::from_secs(3_600),
            provider: Provider::new(
                settings,
                credentials.clone(),
                transport,
                Arc::new(SystemClock),
            ),
            credentials: credentials.clone(),
            operator: operator.clone(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::default(),
        });
        let router = Router::new().fallback(move |request: HttpRequest| {
            let console = console.clone();
            async move { through_api_gateway(&console, request).await }
        });
        let serve = |listener, router: Router| {
            tokio::spawn(async move {
                let _ = axum::serve(listener, router).await;
            })
        };
        let servers = [
            serve(listener, router),
            serve(provider_listener, provider.router()),
        ];
        Self {
            origin,
            provider,
            operator,
            credentials,
            servers,
        }
    }

    /// An address of the console.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Signs in as somebody with this value of the role claim, at an address.
    pub async fn sign_in(&self, browser: &WebBrowser, role: &str, path: &str) {
        self.provider.sign_in_as(person(json!([role])));
        browser.open(&self.address(path)).await;
    }
}

fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(0, |address| address.port())
}

/// What an HTTP API does: makes an event of a request, and a response of the function's answer.
async fn through_api_gateway(console: &Console, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let address = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let mut event = Request::new(parts.method.as_str(), address);
    for name in parts.headers.keys() {
        let value = joined(&parts.headers, name.as_str());
        if name == "cookie" {
            for cookie in value.split("; ") {
                event = event.cookie(cookie);
            }
        } else {
            event = event.with(name.as_str(), &value);
        }
    }
    if !body.is_empty() {
        event = event.body(&String::from_utf8_lossy(&body));
    }
    let deadline = Deadline::after(console::LONGEST_WAIT);
    let answer = console.handle(&event.event(), deadline).await;
    let bytes = match answer.body {
        Some(Body::Text(text)) if answer.is_base64_encoded => {
            STANDARD.decode(text).unwrap_or_default()
        }
        Some(Body::Text(text)) => text.into_bytes(),
        _ => Vec::new(),
    };
    let mut response = Response::new(axum::body::Body::from(Bytes::from(bytes)));
    let status = u16::try_from(answer.status_code).unwrap_or(500);
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = answer.headers;
    for cookie in &answer.cookies {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    response
}

/// The values of a header, joined as API Gateway does it.
fn joined(headers: &HeaderMap, name: &str) -> String {
    let mut text = String::new();
    for value in headers.get_all(name) {
        let separator = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{separator}{}", value.to_str().unwrap_or_default());
    }
    text
}
