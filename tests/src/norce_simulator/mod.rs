//! A strict simulator of Norce Commerce: identity, Connect with asynchronous jobs, Query and events.
//!
//! It is written from the fact sheet alone, shares no types with the clients and refuses what Norce refuses. Where the
//! facts are silent it chooses, says so at the place, and where a client could depend on the choice it can be switched.
//! All waiting is tokio's, so that a test may pause time; the time of day is injected.

mod connect;
mod events;
mod faults;
mod identity;
mod import_contract;
mod import_rows;
mod metadata;
mod odata_filter;
mod order_request;
mod query;
mod register;
mod responses;
mod shop;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Request, State as Shared},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

pub use connect::{
    ImportCall, ImportedRows, JobLogLine, JobPaths, JobRecord, JobSettings, JobStatus,
};
pub use events::{
    Attempt, Delivery, DeliveryState, EventPost, EventSettings, EventSink, EventType,
    HttpEventSink, POST_TIMEOUT, RETRY_DELAYS, Subscription, loopback_client,
};
pub use faults::{Effect, Endpoint, Poison, PoisonMode, PoisonRows, RowPredicate, When};
pub use identity::{OauthClient, RateLimit};
pub use import_contract::ImportKind;
pub use order_request::{OrderAttempt, OrderDelivery, OrderPost, OrderReceiver, OrderSink};
pub use register::{
    Account, Address, Application, CodeList, Company, CompanyRecord, Country, Customer,
    CustomerCompany, CustomerRecord, DELIVERY_ADDRESS, Details, Flag, INVOICE_ADDRESS, Info, Order,
    OrderAddress, OrderInfo, OrderItem, OrderRecord, PriceList,
};
pub use shop::{Blank, NewAddress, NewCompany, NewCustomer, NewOrder, PlacedOrder, event_path};

use faults::Faults;
use identity::{Bucket, Identity};
use query::Target;
use register::Register;

/// The time of day.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The machine's time of day.
pub fn system_clock() -> Clock {
    Arc::new(Utc::now)
}

/// A clock that starts at `start` and follows tokio's time, paused or not. It is created inside a runtime.
pub fn tokio_clock(start: DateTime<Utc>) -> Clock {
    let origin = Instant::now();
    Arc::new(move || start + origin.elapsed())
}

/// How the simulated client is set up and how Norce behaves. Everything can be changed while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Norce's id of the client (the merchant).
    pub client_id: i64,
    /// "Customers by application" (norce-api §8): customers and companies belong to an application.
    pub customers_by_application: bool,
    /// How long a token is good for: an hour at Norce.
    pub token_lifetime: Duration,
    /// Limit of token requests; `None` is none.
    pub identity_rate_limit: Option<RateLimit>,
    /// Limit of Query requests; off unless set, because Norce's numbers are not in the facts.
    pub query_rate_limit: Option<RateLimit>,
    /// Whether Query answers 500 without an application header, as some of its sets do (norce-api §2).
    pub query_needs_application: bool,
    /// Rows of a page of Query.
    pub page_size: usize,
    /// Properties and navigation properties of types (`("Company", "Flags")`) that this tenant's Query does not have.
    pub query_lacks: Vec<(&'static str, &'static str)>,
    /// Customers that lists do not show: Query may lag behind (norce-api §4.5).
    pub query_hides: BTreeSet<i64>,
    /// Whether Query answers at `$metadata`.
    pub query_describes_itself: bool,
    /// Rows of a page of a relation that is expanded; `None` is all of them. Whether Query pages these is not in the facts
    /// (norce-api §5.1).
    pub query_expanded_page_size: Option<usize>,
    /// How deep `$expand` may go.
    pub query_expand_depth: usize,
    /// Whether a filter may use `in`.
    pub query_in_operator: bool,
    /// Whether a filter may look through a navigation property.
    pub query_navigation_paths: bool,
    /// Whether a filter may ask whether any of the related rows fits: OData 4.0, which Query says it is, but not seen.
    pub query_any: bool,
    /// Whether flags have `Created` and `Updated` that a filter may name: not among their documented properties.
    pub query_flag_times: bool,
    /// Whether integers are written as texts, as a page of Norce's has those of 64 bits (norce-api §5.1).
    pub query_integers_as_text: bool,
    /// Whether a reference that names nothing is 0 in Query and in events, instead of null or missing: not in the facts
    /// (norce-api §5.1).
    pub zero_for_none: bool,
    /// Whether `Updated` of a customer or company moves when one of its addresses, flags or relations changes: not in the
    /// facts (norce-api §5.2), and the strict choice is that it does not.
    pub child_changes_move_parents: bool,
    /// The longest query string that is taken, in bytes; `None` is any. A limit is not in the facts, but every server
    /// has one.
    pub query_string_limit: Option<usize>,
    /// The most rows of an import; `None` is any, because a limit is not in the facts.
    pub max_rows: Option<usize>,
    /// How long every answer takes.
    pub latency: Duration,
    /// How long after its event an order can be seen through Query.
    pub order_delay: Duration,
    /// How jobs go.
    pub jobs: JobSettings,
    /// How events travel.
    pub events: EventSettings,
    /// Where the random draws start.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_id: 1006,
            customers_by_application: false,
            token_lifetime: Duration::from_secs(3600),
            identity_rate_limit: Some(RateLimit::IDENTITY),
            query_rate_limit: None,
            query_needs_application: true,
            page_size: 500,
            query_lacks: Vec::new(),
            query_hides: BTreeSet::new(),
            query_describes_itself: true,
            query_expanded_page_size: None,
            query_expand_depth: 3,
            query_in_operator: false,
            query_navigation_paths: false,
            query_any: true,
            query_flag_times: true,
            query_integers_as_text: false,
            zero_for_none: false,
            child_changes_move_parents: false,
            query_string_limit: None,
            max_rows: None,
            latency: Duration::ZERO,
            order_delay: Duration::ZERO,
            jobs: JobSettings::default(),
            events: EventSettings::default(),
            seed: 1,
        }
    }
}

/// The simulator. Clones share everything.
#[derive(Clone)]
pub struct NorceSimulator(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    sink: Arc<dyn EventSink>,
    clock: Clock,
    /// Jobs and deliveries that are under way.
    activity: watch::Sender<usize>,
}

struct State {
    settings: Settings,
    register: Register,
    identity: Identity,
    query_bucket: Option<Bucket>,
    jobs: BTreeMap<i64, JobRecord>,
    last_job: i64,
    imports: Vec<ImportCall>,
    contract_notes: Vec<String>,
    faults: Faults,
    poison: Vec<Poison>,
    requests: BTreeMap<Endpoint, u64>,
    subscriptions: Vec<Subscription>,
    deliveries: Vec<Delivery>,
    order_receiver: Option<order_request::Receiver>,
    order_deliveries: Vec<OrderDelivery>,
    random: fastrand::Rng,
}

/// Something that is under way for as long as this lives.
struct Activity(NorceSimulator);

impl Drop for Activity {
    fn drop(&mut self) {
        self.0.0.activity.send_modify(|count| *count -= 1);
    }
}

/// A simulator on a loopback port. It stops when this is dropped.
pub struct Server {
    /// `http://127.0.0.1:{port}`.
    pub base_url: String,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body of an import is far smaller; this only keeps a runaway from eating the memory.
const LONGEST_BODY: usize = 256 * 1024 * 1024;

impl NorceSimulator {
    /// A simulator with the machine's clock.
    pub fn new(settings: Settings, sink: Arc<dyn EventSink>) -> Self {
        Self::with_clock(settings, sink, system_clock())
    }

    /// A simulator with a clock of the caller's.
    pub fn with_clock(settings: Settings, sink: Arc<dyn EventSink>, clock: Clock) -> Self {
        let register = Register {
            client_id: settings.client_id,
            children_move_parents: settings.child_changes_move_parents,
            ..Register::default()
        };
        let state = State {
            random: fastrand::Rng::with_seed(settings.seed),
            settings,
            register,
            identity: Identity::default(),
            query_bucket: None,
            jobs: BTreeMap::new(),
            last_job: 0,
            imports: Vec::new(),
            contract_notes: Vec::new(),
            faults: Faults::default(),
            poison: Vec::new(),
            requests: BTreeMap::new(),
            subscriptions: Vec::new(),
            deliveries: Vec::new(),
            order_receiver: None,
            order_deliveries: Vec::new(),
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            sink,
            clock,
            activity: watch::Sender::new(0),
        }))
    }

    /// Everything that Norce answers, for a server or for calls in the same process.
    pub fn router(&self) -> Router {
        // Paths are taken in any case and keys are part of a path, which is not what a routing table is good at.
        Router::new().fallback(handle).with_state(self.clone())
    }

    /// Serves on a free loopback port.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn serve(&self) -> std::io::Result<Server> {
        self.serve_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
    }

    /// Serves on this address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn serve_at(&self, address: SocketAddr) -> std::io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let service = self
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            // It ends with the task only.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Server { base_url, task })
    }

    /// Waits until no job runs and no event is on its way. Events that are posted again and again are on their way
    /// until they are dead.
    pub async fn settled(&self) {
        let mut activity = self.0.activity.subscribe();
        // It fails only when the sender is gone, and `self` has it.
        let _ = activity.wait_for(|count| *count == 0).await;
    }

    /// Changes settings while the simulator runs.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut guard = self.state();
        let state = &mut *guard;
        change(&mut state.settings);
        state.register.children_move_parents = state.settings.child_changes_move_parents;
    }

    /// Switches a fault on. Where several are on, the oldest that strikes decides.
    pub fn inject(&self, endpoints: &[Endpoint], when: When, effect: Effect) {
        self.state().faults.add(endpoints, when, effect);
    }

    /// Switches every fault off.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Makes rows of imports fail.
    pub fn poison(&self, poison: Poison) {
        self.state().poison.push(poison);
    }

    /// Removes all poison rows.
    pub fn clear_poison(&self) {
        self.state().poison.clear();
    }

    /// Makes every token that was given out invalid.
    pub fn revoke_tokens(&self) {
        self.state().identity.revoke_all();
    }

    /// How often each endpoint was called, refused calls included.
    pub fn requests(&self) -> BTreeMap<Endpoint, u64> {
        self.state().requests.clone()
    }

    /// How often one endpoint was called.
    pub fn requests_to(&self, endpoint: Endpoint) -> u64 {
        self.state()
            .requests
            .get(&endpoint)
            .copied()
            .unwrap_or_default()
    }

    /// Every import call that was taken.
    pub fn imports(&self) -> Vec<ImportCall> {
        self.state().imports.clone()
    }

    /// The careless practices of import calls, which Norce accepts silently. Tests expect none.
    pub fn contract_notes(&self) -> Vec<String> {
        self.state().contract_notes.clone()
    }

    /// Every job.
    pub fn jobs(&self) -> Vec<JobRecord> {
        self.state().jobs.values().cloned().collect()
    }

    /// Every event that was raised, delivered or not.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.state().deliveries.clone()
    }

    /// Now, by the simulator's clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0.clock)()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicking test leaves behind is still worth looking at.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> &dyn EventSink {
        self.0.sink.as_ref()
    }

    fn begin_activity(&self) -> Activity {
        self.0.activity.send_modify(|count| *count += 1);
        Activity(self.clone())
    }
}

/// The target of a path.
#[derive(Debug, Clone)]
enum Route {
    Token,
    Import(ImportKind),
    Job(JobPaths),
    JobLog(JobPaths),
    JobPing,
    Query(Target),
    Metadata(&'static str),
    Unknown,
}

impl Route {
    fn read(path: &str) -> Self {
        let path = path.trim_start_matches('/');
        let below = |prefix: &str| {
            path.get(..prefix.len())
                .filter(|start| start.eq_ignore_ascii_case(prefix))
                .map(|start| &path[start.len()..])
        };
        if path.eq_ignore_ascii_case("identity/1.0/connect/token") {
            return Self::Token;
        }
        if let Some(call) = below("commerce/connect/4.0/") {
            return match call.to_ascii_lowercase().as_str() {
                "customer/importcustomers" => Self::Import(ImportKind::Customers),
                "customer/importcompanies" => Self::Import(ImportKind::Companies),
                "job/get" => Self::Job(JobPaths::Direct),
                "job/getlog" => Self::JobLog(JobPaths::Direct),
                "api/job/get" => Self::Job(JobPaths::BelowApi),
                "api/job/getlog" => Self::JobLog(JobPaths::BelowApi),
                "job/ping" => Self::JobPing,
                _ => Self::Unknown,
            };
        }
        let Some(query) = below("commerce/query/2.0/") else {
            return Self::Unknown;
        };
        match metadata::namespace(query) {
            Some(namespace) => Self::Metadata(namespace),
            None => Target::read(query).map_or(Self::Unknown, Self::Query),
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Self::Token => Endpoint::Token,
            Self::Import(ImportKind::Customers) => Endpoint::ImportCustomers,
            Self::Import(ImportKind::Companies) => Endpoint::ImportCompanies,
            Self::Job(_) => Endpoint::JobGet,
            Self::JobLog(_) => Endpoint::JobGetLog,
            Self::JobPing => Endpoint::JobPing,
            Self::Query(target) => target.endpoint(),
            Self::Metadata(_) => Endpoint::Metadata,
            Self::Unknown => Endpoint::Unknown,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Token | Self::Import(_) => Method::POST,
            _ => Method::GET,
        }
    }
}

async fn handle(Shared(simulator): Shared<NorceSimulator>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let route = Route::read(&percent_decoded(parts.uri.path()));
    let (latency, fault) = {
        let mut guard = simulator.state();
        let state = &mut *guard;
        *state.requests.entry(route.endpoint()).or_default() += 1;
        let fault = state.faults.strike(route.endpoint(), &mut state.random);
        (state.settings.latency, fault)
    };
    if !latency.is_zero() {
        sleep(latency).await;
    }
    let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match fault {
        None => respond(&simulator, &route, &parts, &body),
        Some(Effect::Status {
            status: code,
            retry_after,
        }) => {
            let mut response = status(code).into_response();
            if let Some(value) = retry_after.and_then(|value| value.parse().ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Some(Effect::Html { status: code }) => responses::html(status(code)),
        Some(Effect::Close) => responses::closed(),
        Some(Effect::DoneThenStatus { status: code }) => {
            respond(&simulator, &route, &parts, &body);
            status(code).into_response()
        }
        Some(Effect::DoneThenClose) => {
            respond(&simulator, &route, &parts, &body);
            responses::closed()
        }
        Some(Effect::Slow(pause)) => {
            sleep(pause).await;
            respond(&simulator, &route, &parts, &body)
        }
        Some(Effect::Hang) => std::future::pending().await,
    }
}

fn respond(simulator: &NorceSimulator, route: &Route, parts: &Parts, body: &[u8]) -> Response {
    if !matches!(route, Route::Unknown) && parts.method != route.method() {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let query = parts.uri.query().unwrap_or_default();
    if let Route::Token = route {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ip = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip());
        return identity::token(&mut simulator.state(), ip, &parts.headers, body);
    }
    if !simulator.state().identity.accepts(&parts.headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    if let Route::Job(path) | Route::JobLog(path) = route
        && simulator.state().settings.jobs.paths != *path
    {
        return StatusCode::NOT_FOUND.into_response();
    }
    match route {
        Route::Import(kind) => connect::import(simulator, *kind, &parts.headers, body),
        Route::Job(_) => {
            let now = simulator.now();
            connect::job(&simulator.state(), now, query)
        }
        Route::JobLog(_) => connect::job_log(&simulator.state(), query),
        // What a ping is answered with is not in the facts.
        Route::JobPing => StatusCode::OK.into_response(),
        Route::Query(target) => answer_query(&mut simulator.state(), target, parts, query),
        Route::Metadata(namespace) => match &simulator.state().settings {
            settings if settings.query_describes_itself => metadata::answer(settings, namespace),
            _ => StatusCode::NOT_FOUND.into_response(),
        },
        Route::Token | Route::Unknown => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer_query(state: &mut State, target: &Target, parts: &Parts, query: &str) -> Response {
    if let Some(limit) = state.settings.query_rate_limit {
        let bucket = state
            .query_bucket
            .get_or_insert_with(|| Bucket::full(limit));
        if !bucket.admits(limit) {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
    }
    let limit = state.settings.query_string_limit;
    if limit.is_some_and(|limit| query.len() > limit) {
        return responses::html(StatusCode::NOT_FOUND);
    }
    let application = application_header(&parts.headers)
        .and_then(|value| value.parse().ok())
        .is_some_and(|id: i64| state.register.applications.contains_key(&id));
    if state.settings.query_needs_application && !application {
        return query::refusal(StatusCode::INTERNAL_SERVER_ERROR, "An error has occurred.");
    }
    let base = base_of(parts);
    query::answer(&state.register, &state.settings, &base, target, query)
}

/// The application that a call is made for. Both spellings are in use (norce-api §2).
fn application_header(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("application-id")
        .or_else(|| headers.get("applicationId"))?
        .to_str()
        .ok()
}

/// Where the caller sees the simulator: links in answers are absolute.
fn base_of(parts: &Parts) -> String {
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    let host = parts.headers.get(header::HOST);
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| host.and_then(|host| host.to_str().ok()))
        .unwrap_or("localhost");
    format!("{scheme}://{authority}")
}

fn percent_decoded(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
