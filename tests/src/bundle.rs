//! The whole bundle in one process, on paused time: the real functions and clients, stores and queues in memory, and
//! the simulators behind a transport without sockets. Every call to the outside can be cut off ([`Interruption`]).
//!
//! Make it inside a runtime whose time is paused.

#![allow(
    clippy::expect_used,
    reason = "a harness of tests: what cannot be set up is to fail loudly"
)]

use std::{
    collections::HashMap,
    future::Future,
    num::NonZeroUsize,
    panic::Location,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lambda_events::{
    apigw::ApiGatewayV2httpRequest,
    encodings::Body,
    sqs::{SqsBatchResponse, SqsEvent, SqsMessage, SqsMessageAttribute},
};
use axum::Router;
use bytes::Bytes;
use change_events::ChangeEvents;
use chrono::{DateTime, Utc};
use erp_full_pass::{ErpFullPass, PassSettings, Retried};
use operator::{
    Answer, Call, Doctor, FunctionLog, Operator, Ports, Refusal, Refused, Schedules, StackPorts,
    WorkQueue, doctor,
};
use poll_jobs::PollJobs;
use receive_events::ReceiveEvents;
use serde_json::json;
use shared::{
    StoreError,
    breakers::AlwaysClosed,
    domain::{
        ApplicationId, ApplicationSettings, ChangeMessage, Clock, EntityRef, FirstBindingWrites,
        ImportRequest, JobMessage, KeptWhenEmptied, NorceId, OutgoingOrder, OwnedFields,
        PassMessage, PassMode, PassRequest, Registers, Scope, SyncKinds,
    },
    erp::PersonRule,
    http::{Deadline, Transport, TransportError},
    mappings::{Binding, Mapping, Mappings as _},
    metrics::Metrics,
    norce::connect::ImportOptions,
    passes::{Passes as _, Run},
    queues::{Inbox, Message, Queue, REQUEUES},
    runtime::{
        batch::{self, Source},
        configuration::{CreateInErp, ForgottenPolicy, ImportSettings, MatchingPolicy, SyncPolicy},
        resources::Resources as _,
        secrets::Secrets,
        wiring::Connections,
    },
};
use submit_imports::SubmitImports;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    business_central_simulator::{
        self, BusinessCentralSimulator, CompanySettings, NotificationSink,
    },
    captured_logs::CapturedLogs,
    in_process::InProcess,
    interruption::{Delivery, Interruptible, Interruption, clock_of_the_host},
    memory::{
        MemoryActivity, MemoryBreakers, MemoryImportJobs, MemoryMappings, MemoryOrders, MemoryOwed,
        MemoryPasses, MemoryQueue, MemoryReports, QueuedMessage, Redrive, handling,
    },
    norce_simulator::{
        self, EventPost, EventType, NorceSimulator, OauthClient, OrderPost, OrderSink,
    },
    resources::{
        ACCOUNT, MemoryResources, MemorySecrets, NORCE_CLIENT, built, environment, usual_secrets,
    },
    sentences,
};

/// The secret that the simulated Norce sends with its events.
pub const EVENT_SECRET: &str = "event-secret-of-the-bundle";
/// The SNS topic that the alarms of the bundle's stack would notify.
pub const ALARM_TOPIC: &str = "arn:aws:sns:eu-north-1:123456789012:alarms";
/// The user name and the password that the simulated Norce posts orders with.
pub const ORDER_USERNAME: &str = "norce-orders";
/// See [`ORDER_USERNAME`].
pub const ORDER_PASSWORD: &str = "order-password-of-the-bundle";
/// The pauses of the simulated Norce between posts of an order that was not taken; its own are not in the facts.
const ORDER_RETRIES: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
];
/// The secret that the simulated ERP's events carry.
pub const ERP_EVENT_SECRET: &str = "erp-event-secret-of-the-bundle";
/// The one before, which is accepted as well.
pub const FORMER_ERP_EVENT_SECRET: &str = "former-erp-event-secret";
/// Where they are posted to.
pub const ERP_EVENTS_URL: &str = "http://events.localhost/erp-events";
/// The simulated addresses: nothing listens there, the transport is in the same process.
const NORCE_URL: &str = "http://norce.localhost";
const ERP_URL: &str = "http://erp.localhost";
/// The visibility time-out of every queue of the template that matters here: six times the longest function time-out.
const VISIBILITY: Duration = Duration::from_secs(720);
/// The function time-out of `change-events`, the longest one.
const INVOCATION: Duration = Duration::from_secs(117);
/// The time that an invocation of `erp-full-pass` has, and when the message of one that died comes back, as in the
/// template.
const PASS_INVOCATION: Duration = Duration::from_secs(297);
const PASSES_VISIBILITY: Duration = Duration::from_secs(330);
/// `maxReceiveCount` of the changes and imports queues.
const MAX_RECEIVES: u32 = 1_000;
/// Messages of an invocation, as in the template.
const BATCH: usize = 10;
const IMPORTS_BATCH: usize = 100;
/// Messages that an invocation handles side by side.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// How long Norce waits for an answer to an event (norce-api §6).
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The batching window of imports, as in the template.
const GATHERING: Duration = Duration::from_secs(2);

/// How long it takes at most until nothing is left to do, where nothing is in the way.
pub const SOON: Duration = Duration::from_secs(2 * 60);
/// The same where an invocation dies or an answer is lost: its message comes back after the visibility time-out, a
/// reservation lasts ten minutes, and a wait is at most a quarter of an hour.
pub const UNTIL_AGAIN: Duration = Duration::from_secs(30 * 60);
/// The same where an order waits until it is owed: twelve deliveries, between which the waits double to a quarter of an
/// hour, with up to half as much again by chance.
pub const UNTIL_OWED: Duration = Duration::from_secs(75 * 60);

/// The day on which everything happens.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 0).unwrap_or_default()
}

/// A time of day that goes with tokio's. Within an invocation it is that of the host
/// ([`Interruption::let_clocks_differ`]).
pub struct TokioClock(norce_simulator::Clock);

impl TokioClock {
    /// A clock that shows [`start`] now. To be made inside a runtime.
    pub fn from_start() -> Self {
        Self(norce_simulator::tokio_clock(start()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        (self.0)() + clock_of_the_host()
    }
}

/// The settings of the bundle.
#[derive(Debug, Clone)]
pub struct Options {
    /// `CUSTOMERS_BY_APPLICATION`, with two applications that have an ERP company each where they have a register each. What
    /// they share is kept in a third.
    pub registers: Registers,
    /// The ERP company of what the applications share, instead of one of its own.
    pub shared_erp_company: Option<Uuid>,
    /// `ERP_CODE_PATTERN`, for customers, companies and contacts alike; the ERP then allows manual numbers.
    pub code_pattern: Option<&'static str>,
    /// `CREATE_IN_ERP`.
    pub create_in_erp: CreateInErp,
    /// `FORGOTTEN_POLICY`.
    pub forgotten: ForgottenPolicy,
    /// `IMPORT_BATCH_SIZE`.
    pub import_batch_size: usize,
    /// `IMPORT_GIVE_UP_HOURS`.
    pub give_up_hours: u64,
    /// The visibility time-out of the queues: how soon a message comes back whose invocation died.
    pub visibility: Duration,
    /// `SYNC_KINDS`.
    pub sync_kinds: SyncKinds,
    /// `ERP_OWNED_FIELDS`.
    pub erp_owns: OwnedFields,
    /// `SHARED_EMAIL` and `ERP_CODES`.
    pub matching: MatchingPolicy,
    /// `ERP_PERSONS`.
    pub persons: PersonRule,
    /// `FIRST_BINDING_WRITES`.
    pub first_binding_writes: FirstBindingWrites,
    /// `KEPT_WHEN_EMPTIED`.
    pub kept_when_emptied: KeptWhenEmptied,
    /// `HOME_COUNTRY`.
    pub home_country: &'static str,
    /// `ERP_COUNTRIES`.
    pub erp_countries: &'static str,
    /// `IMPORT_UNKNOWN`, `PASS_OVERLAP_MINUTES` and the like.
    pub pass: PassSettings,
    /// `CREATE_ACCOUNTS`.
    pub create_accounts: bool,
    /// `ACCOUNT_ROLES` and `PRICE_LISTS_EXCLUSIVE`.
    pub imports: ImportOptions,
    /// `ORDER_RECEIVER`: Norce posts its orders to us.
    pub order_receiver: bool,
    /// `ERP_EVENTS`: the ERP posts what has changed.
    pub erp_events: bool,
    /// The ERP has the merchant's own API page, and `ERP_EXTRA_FIELDS` names its fields.
    pub extended_erp: bool,
    /// `ERP_FIXED_VALUES`.
    pub fixed_values: &'static str,
}

/// The fields of the merchant's own API page.
const EXTRA_FIELDS: &str = r#"{"priceList":"customerPriceGroup","organisationNumber":"registrationNumber","gln":"gln",
    "flags":{"VIP":"isVip"},"additionalInfo":{"segment":"segmentCode"}}"#;

impl Default for Options {
    fn default() -> Self {
        Self {
            registers: Registers::Client,
            shared_erp_company: None,
            code_pattern: None,
            create_in_erp: CreateInErp::FirstOrder,
            forgotten: ForgottenPolicy::Keep,
            import_batch_size: 500,
            give_up_hours: 24,
            visibility: VISIBILITY,
            sync_kinds: SyncKinds::ALL,
            erp_owns: OwnedFields::DEFAULT,
            matching: MatchingPolicy::default(),
            persons: PersonRule::default(),
            first_binding_writes: FirstBindingWrites::default(),
            kept_when_emptied: KeptWhenEmptied::default(),
            home_country: "",
            erp_countries: "",
            pass: PassSettings::default(),
            create_accounts: false,
            imports: ImportOptions::default(),
            order_receiver: false,
            erp_events: false,
            extended_erp: false,
            fixed_values: "[]",
        }
    }
}

/// A queue that can be told to refuse.
struct Refusing<M> {
    inner: Arc<MemoryQueue<M>>,
    refuses: Arc<AtomicBool>,
}

impl<M: Message + Clone> Refusing<M> {
    fn new(
        queue: &Arc<MemoryQueue<M>>,
        refuses: &Arc<AtomicBool>,
        cut: &Arc<Interruption>,
    ) -> Arc<Interruptible<Self>> {
        let refusing = Self {
            inner: queue.clone(),
            refuses: refuses.clone(),
        };
        Interruptible::new(Arc::new(refusing), cut)
    }
}

#[async_trait]
impl<M: Message> Queue<M> for Refusing<M> {
    async fn send(&self, messages: &[M], delay: Duration) -> Result<(), StoreError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(StoreError::new("queue", "the test refuses"));
        }
        self.inner.send(messages, delay).await
    }
}

/// The way to the simulators: one host is Norce, the other the ERP.
struct ByHost {
    norce: Arc<dyn Transport>,
    erp: Arc<dyn Transport>,
}

#[async_trait]
impl Transport for ByHost {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let is_norce = NORCE_URL.ends_with(request.uri().host().unwrap_or_default());
        let remote = if is_norce { &self.norce } else { &self.erp };
        remote.send(request, timeout).await
    }
}

/// The gateway for the orders that Norce posts.
struct OrderGateway {
    receiver: Arc<ReceiveEvents>,
    interruption: Arc<Interruption>,
}

#[async_trait]
impl OrderSink for OrderGateway {
    async fn post_order(&self, post: OrderPost) -> Result<(u16, String), String> {
        let request = gateway_request("/orders", &post.headers, &post.body);
        let answer = self.receiver.handle(&request);
        let answer = self.interruption.invocation(answer);
        let answer = answer.await.ok_or("crashed")?;
        let status = u16::try_from(answer.status_code).map_err(|error| error.to_string())?;
        match answer.body {
            Some(Body::Text(body)) => Ok((status, body)),
            _ => Err("no body".to_owned()),
        }
    }
}

/// The gateway for the events that the ERP posts.
fn erp_gateway(
    receiver: &Arc<ReceiveEvents>,
    interruption: &Arc<Interruption>,
) -> impl NotificationSink + use<> {
    let (receiver, interruption) = (receiver.clone(), interruption.clone());
    move |url: String, body: Bytes| {
        let (receiver, interruption) = (receiver.clone(), interruption.clone());
        async move {
            let url = url.parse::<url::Url>().map_err(|error| error.to_string())?;
            let mut request = gateway_request(url.path(), NO_HEADERS, &body);
            let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
            request.query_string_parameters = query.into();
            let answer = interruption.invocation(receiver.handle(&request));
            let answer = answer.await.ok_or("crashed")?;
            let status = u16::try_from(answer.status_code).map_err(|error| error.to_string())?;
            match answer.body {
                Some(Body::Text(body)) => Ok((status, body)),
                _ => Ok((status, String::new())),
            }
        }
    }
}

/// A post without headers of its own.
const NO_HEADERS: &[(&str, &str)] = &[];

/// The highest [hops](QueuedMessage::hops) of the messages of each queue that were delivered; 0 where none was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hops {
    /// `changes`.
    pub changes: u32,
    /// `imports`.
    pub imports: u32,
    /// `jobs`.
    pub jobs: u32,
    /// `passes`.
    pub passes: u32,
}

/// The simulated shop, which posts its events to `receiver` as soon as there is one.
fn shop(
    options: &Options,
    time: &norce_simulator::Clock,
    receiver: Arc<OnceLock<Arc<ReceiveEvents>>>,
    interruption: Arc<Interruption>,
) -> NorceSimulator {
    let sink = move |post: EventPost| {
        let receiver = receiver.get().cloned();
        let interruption = interruption.clone();
        async move {
            let receiver = receiver.ok_or_else(|| "nobody listens".to_owned())?;
            let post = request(&post);
            let answer = interruption.invocation(receiver.handle(&post));
            let answer = tokio::time::timeout(EVENT_TIMEOUT, answer).await;
            let answer = answer.map_err(|_| "time-out".to_owned())?;
            let status = answer.ok_or_else(|| "crashed".to_owned())?.status_code;
            u16::try_from(status).map_err(|error| error.to_string())
        }
    };
    let settings = norce_simulator::Settings::default();
    let norce = NorceSimulator::with_clock(settings, Arc::new(sink), time.clone());
    norce.configure(|settings| {
        settings.customers_by_application = options.registers != Registers::Client;
    });
    norce.add_country(752, "SE");
    norce.add_country(578, "NO");
    norce.add_system_account(ACCOUNT.into());
    let (id, secret) = NORCE_CLIENT;
    norce.add_oauth_client(OauthClient {
        id: id.to_owned(),
        secret: secret.to_owned(),
        scopes: vec!["prod".to_owned()],
    });
    subscribe(&norce);
    norce
}

/// The simulated ERP with these companies.
fn erp(
    options: &Options,
    companies: &[Uuid],
    time: norce_simulator::Clock,
) -> BusinessCentralSimulator {
    let companies = companies.iter().map(|id| {
        let mut company = CompanySettings {
            id: *id,
            ..CompanySettings::named("Butiken AB")
        };
        company.customer_numbers.manual = options.code_pattern.is_some();
        company.contact_numbers.manual = options.code_pattern.is_some();
        company.own_page = options.extended_erp;
        company
    });
    BusinessCentralSimulator::new(business_central_simulator::Settings {
        companies: companies.collect(),
        clock: business_central_simulator::Clock::from_fn(move || time()),
        ..business_central_simulator::Settings::default()
    })
}

/// The configuration of each function: what its environment says, with the options of the bundle.
struct Configurations {
    receive_events: receive_events::Configuration,
    change_events: change_events::Configuration,
    submit_imports: submit_imports::Configuration,
    poll_jobs: poll_jobs::Configuration,
    erp_full_pass: erp_full_pass::Configuration,
}

impl Configurations {
    fn of(
        options: &Options,
        shops: ApplicationSettings,
        simulator: &BusinessCentralSimulator,
        companies: &[Uuid],
    ) -> Self {
        let order_receiver = options.order_receiver.to_string();
        let erp_events = if options.erp_events { "on" } else { "off" };
        let shared = options.shared_erp_company.or(companies.get(2).copied());
        let company = shared.unwrap_or(companies[0]).to_string();
        let (root, token_url) = (simulator.api_root(ERP_URL), simulator.token_url(ERP_URL));
        let own_root = simulator.own_api_root(ERP_URL);
        let environment = || {
            environment(&[
                ("NORCE_BASE_URL", NORCE_URL),
                ("ERP_BASE_URL", &root),
                ("ERP_TOKEN_URL", &token_url),
                ("ERP_COMPANY", &company),
                ("ORDER_RECEIVER", &order_receiver),
                ("ERP_EVENTS", erp_events),
                ("ERP_EVENTS_URL", ERP_EVENTS_URL),
                ("HOME_COUNTRY", options.home_country),
                ("ERP_COUNTRIES", options.erp_countries),
                (
                    "ERP_EXTRA_BASE_URL",
                    if options.extended_erp { &own_root } else { "" },
                ),
                (
                    "ERP_EXTRA_FIELDS",
                    if options.extended_erp {
                        EXTRA_FIELDS
                    } else {
                        "{}"
                    },
                ),
            ])
        };
        let mut receive_events =
            receive_events::Configuration::read(environment()).expect("a configuration");
        let mut change_events =
            change_events::Configuration::read(environment()).expect("a configuration");
        let mut submit_imports =
            submit_imports::Configuration::read(environment()).expect("a configuration");
        let mut poll_jobs = poll_jobs::Configuration::read(environment()).expect("a configuration");
        let mut erp_full_pass =
            erp_full_pass::Configuration::read(environment()).expect("a configuration");
        for erp in [
            &mut change_events.erp,
            &mut submit_imports.erp,
            &mut erp_full_pass.erp,
        ] {
            erp.persons = options.persons;
            erp.fixed_values = options.fixed_values.parse().expect("fixed values");
        }
        change_events.policy = SyncPolicy {
            sync_kinds: options.sync_kinds,
            erp_owns: options.erp_owns,
            matching: options.matching.clone(),
            first_binding_writes: options.first_binding_writes,
            kept_when_emptied: options.kept_when_emptied.clone(),
            create_in_erp: options.create_in_erp,
            forgotten: options.forgotten,
            code_pattern: options
                .code_pattern
                .map(|pattern| pattern.parse().expect("a pattern")),
        };
        erp_full_pass.pass = PassSettings {
            sync_kinds: options.sync_kinds,
            erp_owns: options.erp_owns,
            matching: options.matching.clone(),
            first_binding_writes: options.first_binding_writes,
            ..options.pass.clone()
        };
        let import = ImportSettings {
            batch_size: NonZeroUsize::new(options.import_batch_size).expect("a batch size"),
            give_up_after: Duration::from_secs(options.give_up_hours * 3_600),
        };
        submit_imports.common.norce.imports = options.imports.clone();
        submit_imports.create_accounts = options.create_accounts;
        submit_imports.import = import.clone();
        poll_jobs.import = import;
        for of_function in [
            &mut receive_events.shops,
            &mut change_events.common.shops,
            &mut submit_imports.common.shops,
            &mut poll_jobs.common.shops,
            &mut erp_full_pass.common.shops,
        ] {
            *of_function = shops.clone();
        }
        Self {
            receive_events,
            change_events,
            submit_imports,
            poll_jobs,
            erp_full_pass,
        }
    }
}

/// The stores and queues, as the tests see them: not cut off.
struct Stores {
    changes: Arc<MemoryQueue<ChangeMessage>>,
    imports: Arc<MemoryQueue<ImportRequest>>,
    jobs: Arc<MemoryQueue<JobMessage>>,
    passes_queue: Arc<MemoryQueue<PassMessage>>,
    outgoing_orders: Arc<MemoryQueue<OutgoingOrder>>,
    mappings: Arc<MemoryMappings>,
    owed: Arc<MemoryOwed>,
    import_jobs: Arc<MemoryImportJobs>,
    passes: Arc<MemoryPasses>,
    orders: Arc<MemoryOrders>,
    reports: Arc<MemoryReports>,
    breakers: Arc<MemoryBreakers>,
    activity: Arc<MemoryActivity>,
}

impl Stores {
    fn new(visibility: Duration) -> Self {
        let redrive = |visibility| Redrive {
            visibility,
            max_receives: MAX_RECEIVES,
        };
        Self {
            changes: Arc::new(MemoryQueue::fifo(redrive(visibility))),
            imports: Arc::new(MemoryQueue::standard(redrive(visibility))),
            jobs: Arc::new(MemoryQueue::standard(redrive(visibility))),
            passes_queue: Arc::new(MemoryQueue::standard(redrive(PASSES_VISIBILITY))),
            outgoing_orders: Arc::new(MemoryQueue::fifo(redrive(visibility))),
            mappings: Arc::default(),
            owed: Arc::default(),
            import_jobs: Arc::default(),
            passes: Arc::default(),
            orders: Arc::default(),
            reports: Arc::default(),
            breakers: Arc::default(),
            activity: Arc::default(),
        }
    }

    /// What a function is built from. Its calls can be cut off.
    fn resources(
        &self,
        cut: &Arc<Interruption>,
        clock: &Arc<TokioClock>,
        metrics: &Metrics,
        transport: Arc<dyn Transport>,
    ) -> MemoryResources {
        let MemorySecrets(mut secrets) = usual_secrets();
        secrets.insert("events", json!({ "current": EVENT_SECRET }));
        secrets.insert(
            "orders",
            json!({ "username": ORDER_USERNAME, "password": ORDER_PASSWORD }),
        );
        secrets.insert(
            "erp-events",
            json!({ "current": ERP_EVENT_SECRET, "previous": FORMER_ERP_EVENT_SECRET }),
        );
        let resources = MemoryResources {
            clock: clock.clone(),
            metrics: metrics.clone(),
            secrets: Secrets::of(MemorySecrets(secrets)),
            breakers: self.breakers.clone(),
            mappings: Interruptible::new(self.mappings.clone(), cut),
            key_index: Interruptible::new(self.mappings.clone(), cut),
            owed: Interruptible::new(self.owed.clone(), cut),
            import_jobs: Interruptible::new(self.import_jobs.clone(), cut),
            passes: Interruptible::new(self.passes.clone(), cut),
            orders: Interruptible::new(self.orders.clone(), cut),
            reports: Interruptible::new(self.reports.clone(), cut),
            ..MemoryResources::new(transport)
        };
        resources
            .with_queue::<ChangeMessage>("changes", Interruptible::new(self.changes.clone(), cut))
            .with_queue::<ImportRequest>("imports", Interruptible::new(self.imports.clone(), cut))
            .with_depth("imports", Interruptible::new(self.imports.clone(), cut))
            .with_queue::<JobMessage>("jobs", Interruptible::new(self.jobs.clone(), cut))
            .with_queue::<PassMessage>("passes", Interruptible::new(self.passes_queue.clone(), cut))
            .with_queue::<OutgoingOrder>(
                "outgoing-orders",
                Interruptible::new(self.outgoing_orders.clone(), cut),
            )
    }
}

/// `operator` as it is built for a request whose secrets could all be read.
fn operator(
    options: &Options,
    configurations: &Configurations,
    stores: &Stores,
    logs: &CapturedLogs,
    cut: &Arc<Interruption>,
    resources: MemoryResources,
) -> Operator {
    // A person sees the remote as it is, also while the functions pause their calls to it.
    let resources = MemoryResources {
        breakers: Arc::new(AlwaysClosed),
        ..resources
    };
    let configuration = &configurations.change_events;
    let shops = &configuration.common.shops;
    let connections = Connections::new(&resources, resources.breakers.clone());
    let norce = built(connections.norce(&configurations.submit_imports.common.norce, shops));
    let erps = built(connections.erps(&configuration.erp, shops));
    let clock = resources.clock();
    let queues = vec![
        work_queue("changes", &stores.changes),
        work_queue("imports", &stores.imports),
        work_queue("jobs", &stores.jobs),
        work_queue("passes", &stores.passes_queue),
    ];
    let order_secret = options.order_receiver.then_some("ORDER_SECRET_ARN");
    let secrets = SECRETS.into_iter().chain(order_secret);
    let every = |time: &str| Some(format!("rate(1 {time})"));
    let doctor = Doctor {
        faults: Vec::new(),
        secrets: secrets
            .map(|variable| doctor::Secret {
                variable,
                form: doctor::SecretText::Json,
                read: Ok(()),
            })
            .collect(),
        norce: Ok(norce.clone()),
        shops: Some(shops.clone()),
        erps: Ok(erps),
        sync_kinds: options.sync_kinds,
        erp_owns: options.erp_owns,
        queues: queues.clone(),
        outgoing_orders: options
            .order_receiver
            .then(|| work_queue("outgoing-orders", &stores.outgoing_orders)),
        norce_account: Some(ACCOUNT),
        events: Some(Ok(logs.receive_events.clone())),
        changes: Some(Ok(logs.change_events.clone())),
        erp_events: options
            .erp_events
            .then(|| ERP_EVENTS_URL.parse().expect("an address")),
        alarm_topic: Some(ALARM_TOPIC.to_owned()),
        stores: doctor::Stores {
            mappings: Some(stores.mappings.clone()),
            key_index: Some(stores.mappings.clone()),
            owed: Some(stores.owed.clone()),
            import_jobs: Some(stores.import_jobs.clone()),
            passes: Some(stores.passes.clone()),
            reports: Some(stores.reports.clone()),
            breakers: Some(stores.breakers.clone()),
            activity: Some(stores.activity.clone()),
            orders: match options.order_receiver {
                true => Some(stores.orders.clone()),
                false => None,
            },
        },
        schedules: Schedules {
            delta: every("day"),
            full: Some("DISABLED".to_owned()),
            sweep: every("hour"),
            owed: every("hour"),
        },
        clock: clock.clone(),
    };
    Operator {
        activity: Some(Interruptible::new(stores.activity.clone(), cut)),
        clock: clock.clone(),
        doctor,
        stack: Ok(StackPorts {
            owed: resources.owed("owed"),
            import_jobs: resources.import_jobs("import-jobs"),
            passes: resources.passes("passes"),
            to_passes: resources.queue("passes"),
            reports: resources.reports("reports"),
            queues,
            breakers: stores.breakers.clone(),
            shops: shops.clone(),
            clock,
        }),
        ports: Ok(Ports {
            change_events: built(ChangeEvents::build(configuration, &resources)),
            connect: norce.connect,
            import_jobs: resources.import_jobs("import-jobs"),
            reports: resources.reports("reports"),
            logs: vec![
                FunctionLog {
                    function: "receive-events",
                    logs: logs.receive_events.clone(),
                },
                FunctionLog {
                    function: "change-events",
                    logs: logs.change_events.clone(),
                },
            ],
            no_logs: None,
        }),
    }
}

/// The bundle and everything around it.
pub struct Bundle {
    /// The shop.
    pub norce: NorceSimulator,
    /// The ERP.
    pub erp: BusinessCentralSimulator,
    /// The ERP companies: the default one, and in an application-unique set-up the second application's.
    pub erp_companies: Vec<Uuid>,
    /// `changes`.
    pub changes: Arc<MemoryQueue<ChangeMessage>>,
    /// `imports`.
    pub imports: Arc<MemoryQueue<ImportRequest>>,
    /// `jobs`.
    pub jobs: Arc<MemoryQueue<JobMessage>>,
    /// `passes`.
    pub passes_queue: Arc<MemoryQueue<PassMessage>>,
    /// The runs of passes, not cut off.
    pub passes: Arc<MemoryPasses>,
    /// The reports of plans.
    pub reports: Arc<MemoryReports>,
    /// What `operator` finds in the functions' logs; empty until they are captured.
    pub logs: CapturedLogs,
    /// The orders, not cut off.
    pub orders: Arc<MemoryOrders>,
    /// To the merchant's order integration.
    pub outgoing_orders: Arc<MemoryQueue<OutgoingOrder>>,
    /// `erp-full-pass`.
    pub full_pass: ErpFullPass,
    /// The code mappings, not cut off.
    pub mappings: Arc<MemoryMappings>,
    /// The owed records, not cut off.
    pub owed: Arc<MemoryOwed>,
    /// The import jobs, not cut off.
    pub import_jobs: Arc<MemoryImportJobs>,
    /// The state of the remotes.
    pub breakers: Arc<MemoryBreakers>,
    /// Cuts calls of the functions off.
    pub interruption: Arc<Interruption>,
    /// The changes and jobs queues refuse what `receive-events` sends while this is set.
    pub queues_refuse: Arc<AtomicBool>,
    /// `receive-events`.
    pub receive_events: Arc<ReceiveEvents>,
    /// `change-events`.
    pub change_events: ChangeEvents,
    /// The activity record.
    pub activity: Arc<MemoryActivity>,
    /// `operator`.
    pub operator: Operator,
    /// The metrics of all functions since they were last taken.
    pub metrics: Metrics,
    /// `submit-imports`.
    pub submit_imports: SubmitImports,
    /// `poll-jobs`.
    pub poll_jobs: PollJobs,
    /// The time of day of everything.
    pub clock: Arc<TokioClock>,
    /// The bodies of all messages that were delivered to a function.
    pub delivered: Mutex<Vec<String>>,
    /// And their FIFO groups.
    pub groups: Mutex<Vec<String>>,
    /// The highest hops of the messages that were delivered.
    hops: Mutex<Hops>,
}

impl Bundle {
    /// A bundle in which Norce posts all events.
    pub fn new(options: &Options) -> Self {
        Self::with_transport(options, |simulator| Arc::new(InProcess::new(simulator)))
    }

    /// The same, with other ways to the simulators: `reach` gets Norce's and then the ERP's.
    pub fn with_transport(options: &Options, reach: impl Fn(Router) -> Arc<dyn Transport>) -> Self {
        let time = norce_simulator::tokio_clock(start());
        let clock = Arc::new(TokioClock(time.clone()));
        let interruption = Arc::new(Interruption::default());
        let receiver: Arc<OnceLock<Arc<ReceiveEvents>>> = Arc::default();
        let norce = shop(options, &time, receiver.clone(), interruption.clone());
        let mut erp_companies = vec![Uuid::from_u128(0xb1), Uuid::from_u128(0xb2)];
        let shops = shops(options.registers, &erp_companies);
        if options.registers == Registers::ApplicationsAndShared {
            erp_companies.push(Uuid::from_u128(0xb3));
        }
        for application in shops.applications.iter() {
            norce.add_application(application.id.get().into(), application.key, "shop");
        }
        let erp = erp(options, &erp_companies, time);
        let configurations = Configurations::of(options, shops, &erp, &erp_companies);

        let stores = Stores::new(options.visibility);
        let metrics = Metrics::default();
        let transport = Arc::new(ByHost {
            norce: Interruptible::new(reach(norce.router()), &interruption),
            erp: Interruptible::new(reach(erp.router()), &interruption),
        });
        let resources = || stores.resources(&interruption, &clock, &metrics, transport.clone());
        let logs = CapturedLogs::new(clock.clone());
        let operator = operator(
            options,
            &configurations,
            &stores,
            &logs,
            &interruption,
            resources(),
        );
        let queues_refuse = Arc::new(AtomicBool::new(false));
        let of_receiver = resources()
            .with_queue::<ChangeMessage>(
                "changes",
                Refusing::new(&stores.changes, &queues_refuse, &interruption),
            )
            .with_queue::<JobMessage>(
                "jobs",
                Refusing::new(&stores.jobs, &queues_refuse, &interruption),
            );
        let receive_events =
            ReceiveEvents::build(configurations.receive_events.clone(), &of_receiver);
        let receive_events = Arc::new(receive_events);
        // The first and only time: nobody else holds it.
        let _ = receiver.set(receive_events.clone());
        erp.post_notifications_to(Arc::new(erp_gateway(&receive_events, &interruption)));
        let resources = resources();
        let bundle = Self {
            norce,
            erp,
            erp_companies,
            full_pass: built(ErpFullPass::build(
                &configurations.erp_full_pass,
                &resources,
            )),
            change_events: built(ChangeEvents::build(
                &configurations.change_events,
                &resources,
            )),
            submit_imports: built(SubmitImports::build(
                &configurations.submit_imports,
                &resources,
            )),
            poll_jobs: built(PollJobs::build(&configurations.poll_jobs, &resources)),
            operator,
            receive_events,
            changes: stores.changes,
            imports: stores.imports,
            jobs: stores.jobs,
            passes_queue: stores.passes_queue,
            passes: stores.passes,
            reports: stores.reports,
            logs,
            orders: stores.orders,
            outgoing_orders: stores.outgoing_orders,
            mappings: stores.mappings,
            owed: stores.owed,
            import_jobs: stores.import_jobs,
            breakers: stores.breakers,
            activity: stores.activity,
            interruption,
            queues_refuse,
            metrics,
            clock,
            delivered: Mutex::default(),
            groups: Mutex::default(),
            hops: Mutex::default(),
        };
        if options.order_receiver {
            bundle.post_orders();
        }
        bundle
    }

    /// Lets Norce post its orders to us, whether they are for us or not.
    pub fn post_orders(&self) {
        self.norce.post_orders_to(
            norce_simulator::OrderReceiver {
                url: "http://events.localhost/orders".to_owned(),
                username: ORDER_USERNAME.to_owned(),
                password: ORDER_PASSWORD.to_owned(),
                retries: ORDER_RETRIES.to_vec(),
                copies: 1,
            },
            Arc::new(OrderGateway {
                receiver: self.receive_events.clone(),
                interruption: self.interruption.clone(),
            }),
        );
    }

    /// Asks `operator` something, in the JSON that a person writes.
    ///
    /// # Errors
    /// What it refuses.
    ///
    /// # Panics
    /// When it crashes, or the answer has no JSON form.
    pub async fn ask(&self, request: serde_json::Value) -> Result<serde_json::Value, Refusal> {
        self.ask_once(request).await.expect("no crash")
    }

    /// The same; `None`: it has crashed.
    ///
    /// # Panics
    /// When the answer has no JSON form.
    pub async fn ask_once(
        &self,
        request: serde_json::Value,
    ) -> Option<Result<serde_json::Value, Refusal>> {
        let language = Call::language(&request);
        let work = async {
            let call = Call::parse(request)?;
            let deadline = Deadline::after(INVOCATION);
            let answer: Answer = self.operator.answer(call, deadline).await?;
            Ok(serde_json::to_value(answer).expect("JSON"))
        };
        let mut answer = self.interruption.invocation(work).await;
        match &mut answer {
            Some(Ok(answer)) => {
                sentences::check(answer);
                language.say(answer);
            }
            Some(Err(refusal)) => {
                let refused = serde_json::to_value(Refused::from(&*refusal)).expect("JSON");
                sentences::check(&refused);
            }
            None => {}
        }
        answer
    }

    /// The highest hops since this was last asked, by queue.
    pub fn take_hops(&self) -> Hops {
        std::mem::take(&mut *self.hops.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, what the stores do not read strongly consistently is as old as this.
    pub fn serve_stale_reads(&self, lag: Duration) {
        self.mappings.serve_stale_reads(lag);
        self.owed.serve_stale_reads(lag);
    }

    /// Subscribes to all events, as in the beginning.
    pub fn subscribe(&self) {
        subscribe(&self.norce);
    }

    /// The first ERP company.
    pub fn erp_company(&self) -> Uuid {
        self.erp_companies[0]
    }

    /// Ends all subscriptions: Norce posts no events.
    pub fn unsubscribe(&self) {
        for event in EventType::ALL {
            self.norce.unsubscribe(event);
        }
    }

    /// The code that Norce has for a customer.
    ///
    /// # Panics
    /// When there is no such customer.
    pub fn customer_code(&self, customer: i64) -> Option<String> {
        let customer = self.norce.customer(customer).expect("a customer");
        customer.row.customer_code
    }

    /// The binding of an entity, if it is bound.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn binding(&self, entity: EntityRef) -> Option<Binding> {
        match self.mappings.get(entity).await.expect("a mapping") {
            Some(Mapping::Bound(binding)) => Some(binding),
            _ => None,
        }
    }

    /// Receives and deletes all outgoing orders, as the merchant's order integration does.
    pub fn take_outgoing_orders(&self) -> Vec<QueuedMessage> {
        let mut all = Vec::new();
        loop {
            let messages = self.outgoing_orders.receive(10);
            if messages.is_empty() {
                return all;
            }
            for message in &messages {
                self.outgoing_orders.delete(&message.receipt);
            }
            all.extend(messages);
        }
    }

    /// Runs every function on what waits for it, and lets time pass, until nothing is left to do: where nothing is in the
    /// way, that is a matter of minutes.
    ///
    /// # Panics
    /// When there is still something to do after [`SOON`].
    #[track_caller]
    pub fn run_until_quiet(&self) -> impl Future<Output = ()> {
        self.quiet_within(SOON)
    }

    /// The same where something is in the way, and the test says how long that can keep the work waiting.
    ///
    /// # Panics
    /// When there is still something to do after `limit`.
    #[track_caller]
    pub fn quiet_within(&self, limit: Duration) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            self.run_for(limit).await;
            assert!(
                self.is_quiet().await,
                "{caller}: still busy after {limit:?}: {}",
                self.waiting()
            );
        }
    }

    /// The same, but for so long at most.
    pub async fn run_for(&self, time: Duration) {
        /// Between two looks at what the simulators do by themselves; it doubles while that is nothing.
        const TICK: Duration = Duration::from_millis(100);
        const LONGEST_TICK: Duration = Duration::from_secs(5);
        let end = Instant::now() + time;
        let mut tick = TICK;
        while Instant::now() < end {
            if self.step().await {
                tick = TICK;
                continue;
            }
            if self.is_quiet().await {
                return;
            }
            // Where only far-away messages wait and Norce does nothing, time passes in one go.
            let next = [
                self.changes.next_visible_at(),
                self.imports.next_visible_at(),
                self.jobs.next_visible_at(),
                self.passes_queue.next_visible_at(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            let until = if self.norce_is_quiet().await {
                next
            } else {
                tick = (tick * 2).min(LONGEST_TICK);
                next.min(Instant::now() + tick)
            };
            tokio::time::sleep_until(
                until
                    .max(Instant::now() + Duration::from_millis(1))
                    .min(end),
            )
            .await;
        }
    }

    async fn norce_is_quiet(&self) -> bool {
        tokio::time::timeout(Duration::ZERO, self.norce.settled())
            .await
            .is_ok()
    }

    async fn is_quiet(&self) -> bool {
        self.changes.is_empty()
            && self.imports.is_empty()
            && self.jobs.is_empty()
            && self.passes_queue.is_empty()
            && self.norce_is_quiet().await
    }

    fn waiting(&self) -> String {
        format!(
            "changes {}, imports {}, jobs {}, passes {}",
            self.changes.len(),
            self.imports.len(),
            self.jobs.len(),
            self.passes_queue.len()
        )
    }

    /// What a function asks of the queue that its messages come from.
    fn inbox<M: Message>(&self, queue: &Arc<MemoryQueue<M>>) -> Arc<dyn Inbox> {
        Interruptible::new(queue.clone(), &self.interruption)
    }

    /// A queue of the bundle, as a batch of its messages comes from it.
    pub fn source<'a>(&'a self, queue: &'static str, inbox: &'a dyn Inbox) -> Source<'a> {
        Source {
            queue,
            inbox,
            metrics: &self.metrics,
            clock: self.clock.as_ref(),
        }
    }

    /// Every function handles what waits for it, side by side, until none has anything to do; whether any had.
    async fn step(&self) -> bool {
        let busy = AtomicUsize::default();
        let (changes, imports, jobs, passes) = tokio::join!(
            keep_up(&busy, async || self.changes_step().await),
            keep_up(&busy, async || self.imports_step().await),
            keep_up(&busy, async || self.jobs_step().await),
            keep_up(&busy, async || self.pass_step().await),
        );
        changes || imports || jobs || passes
    }

    /// One invocation of `change-events`, if it has something to do.
    pub async fn changes_step(&self) -> bool {
        let hops_of: HopsOf = |hops| &mut hops.changes;
        self.invoke(&self.changes, hops_of, BATCH, async |event| {
            batch::handle(
                &event,
                self.source("changes", self.inbox(&self.changes).as_ref()),
                AT_ONCE,
                Deadline::after(INVOCATION),
                &self.change_events,
            )
            .await
        })
        .await
    }

    /// One invocation of `submit-imports`, if it has something to do.
    async fn imports_step(&self) -> bool {
        let next = self.imports.next_visible_at();
        if next.is_some_and(|at| at <= Instant::now()) {
            tokio::time::sleep(GATHERING).await;
        }
        self.submit_within(INVOCATION).await
    }

    /// One invocation of `submit-imports` that has so much time, if it has something to do.
    pub async fn submit_within(&self, time: Duration) -> bool {
        let hops_of: HopsOf = |hops| &mut hops.imports;
        self.invoke(&self.imports, hops_of, IMPORTS_BATCH, async |event| {
            let inbox = self.inbox(&self.imports);
            let deadline = Deadline::after(time);
            let source = self.source("imports", inbox.as_ref());
            self.submit_imports.handle(&event, source, deadline).await
        })
        .await
    }

    /// One invocation of `poll-jobs`, if it has something to do.
    async fn jobs_step(&self) -> bool {
        let hops_of: HopsOf = |hops| &mut hops.jobs;
        self.invoke(&self.jobs, hops_of, BATCH, async |event| {
            let inbox = self.inbox(&self.jobs);
            let deadline = Deadline::after(INVOCATION);
            let source = self.source("jobs", inbox.as_ref());
            batch::handle(&event, source, AT_ONCE, deadline, &self.poll_jobs).await
        })
        .await
    }

    /// One invocation of `erp-full-pass`, if it has something to do.
    pub async fn pass_step(&self) -> bool {
        let hops_of: HopsOf = |hops| &mut hops.passes;
        self.invoke(&self.passes_queue, hops_of, 1, async |event| {
            let deadline = Deadline::after(PASS_INVOCATION);
            batch::handle(
                &event,
                self.source("passes", self.inbox(&self.passes_queue).as_ref()),
                NonZeroUsize::MIN,
                deadline,
                &self.full_pass,
            )
            .await
        })
        .await
    }

    /// Starts a pass over every register.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start_pass(&self, mode: PassMode) -> Vec<Uuid> {
        self.start(&PassRequest {
            mode,
            kind: None,
            application: None,
            dry_run: false,
        })
        .await
    }

    /// Starts a pass.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(&self, request: &PassRequest) -> Vec<Uuid> {
        let started = self.full_pass.start(request).await.expect("a start");
        started.runs.iter().map(|started| started.run).collect()
    }

    /// Runs a pass to its end, and all that follows from it.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn pass(&self, mode: PassMode) -> Run {
        /// A pass waits for another one, or for its imports, a minute at a time; and where the ERP is slow, `submit-imports`
        /// reads what it sends in several invocations.
        const LONGEST: Duration = Duration::from_secs(3_600);
        let runs = self.start_pass(mode).await;
        self.quiet_within(LONGEST).await;
        self.run(runs[0]).await
    }

    /// The record of a run.
    ///
    /// # Panics
    /// When there is none.
    pub async fn run(&self, id: Uuid) -> Run {
        let run = self.passes.run(id).await.expect("a store in memory");
        run.expect("a record of the run")
    }

    /// One go of the schedule that tries again what is owed.
    pub async fn retry_owed(&self) -> Retried {
        self.full_pass
            .retry_owed(Deadline::after(PASS_INVOCATION))
            .await
            .expect("the list and the queue are in memory")
    }

    /// One invocation, as Lambda makes it: what the response does not list is deleted; when the invocation crashes,
    /// nothing is. Two of them, where messages are delivered to two at once.
    async fn invoke<M: Message, F: Future<Output = SqsBatchResponse>>(
        &self,
        queue: &MemoryQueue<M>,
        hops_of: HopsOf,
        max: usize,
        function: impl Fn(SqsEvent) -> F,
    ) -> bool {
        let received = queue.receive(max);
        if received.is_empty() {
            return false;
        }
        let Delivered {
            messages,
            copies,
            again,
        } = self.deliver(queue, received).await;
        {
            let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
            let highest = hops_of(&mut hops);
            *highest = messages
                .iter()
                .map(|message| message.hops)
                .fold(*highest, u32::max);
            let delivered = self.delivered.lock();
            let mut delivered = delivered.unwrap_or_else(PoisonError::into_inner);
            delivered.extend(messages.iter().map(|message| message.body.clone()));
            let groups = self.groups.lock();
            let mut groups = groups.unwrap_or_else(PoisonError::into_inner);
            groups.extend(messages.iter().filter_map(|message| message.group.clone()));
        }
        let invoke = async |messages: &[QueuedMessage]| {
            // A batch is as far from its origin as the farthest of its messages.
            let hops = messages.iter().map(|message| message.hops).max()?;
            let work = handling(hops, function(sqs_event(messages, self.clock.now())));
            self.interruption.invocation(work).await
        };
        let (response, of_copies) = tokio::join!(invoke(&messages), invoke(&copies));
        for message in &messages {
            let id = message.message_id.to_string();
            let is_done_in = |response: &SqsBatchResponse| {
                let mut failures = response.batch_item_failures.iter();
                !failures.any(|failure| failure.item_identifier == id)
            };
            let is_copied = copies.iter().any(|copy| copy.receipt == message.receipt);
            let is_done = response.as_ref().is_some_and(is_done_in)
                || is_copied && of_copies.as_ref().is_some_and(is_done_in);
            if !is_done {
                continue;
            }
            match again.get(&message.receipt) {
                Some(after) => hide(queue, message, *after).await,
                None => {
                    queue.delete(&message.receipt);
                }
            }
        }
        true
    }

    /// How received messages are delivered. What comes late keeps the messages of its group waiting.
    async fn deliver<M: Message>(
        &self,
        queue: &MemoryQueue<M>,
        received: Vec<QueuedMessage>,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let mut late_groups: HashMap<String, Duration> = HashMap::new();
        let mut behind = Vec::new();
        for message in received {
            let late = message.group.as_ref().and_then(|it| late_groups.get(it));
            let delivery = match late {
                Some(delay) => Some(Delivery::Late(*delay)),
                None => self.interruption.deliver(message.group.is_some()),
            };
            match delivery {
                Some(Delivery::Late(delay)) => {
                    hide(queue, &message, delay).await;
                    late_groups.extend(message.group.map(|group| (group, delay)));
                    continue;
                }
                Some(Delivery::Again(after)) => {
                    delivered.again.insert(message.receipt.clone(), after);
                }
                Some(Delivery::ToTwo) => delivered.copies.push(message.clone()),
                Some(Delivery::Behind) => {
                    behind.push(message);
                    continue;
                }
                None => {}
            }
            delivered.messages.push(message);
        }
        delivered.messages.extend(behind);
        if delivered.messages.iter().all(|it| it.group.is_none()) {
            self.interruption.shuffle(&mut delivered.messages);
        }
        delivered
    }
}

/// Selects the hops of one queue.
type HopsOf = for<'a> fn(&'a mut Hops) -> &'a mut u32;

/// Lets a function work until it has nothing to do and no other one is busy; whether it has done anything.
async fn keep_up(busy: &AtomicUsize, step: impl AsyncFn() -> bool) -> bool {
    /// Between two looks at what the others have left for it.
    const TICK: Duration = Duration::from_millis(100);
    let mut has_worked = false;
    loop {
        busy.fetch_add(1, Ordering::Relaxed);
        let works = step().await;
        has_worked |= works;
        let others = busy.fetch_sub(1, Ordering::Relaxed) - 1;
        match (works, others) {
            (true, _) => {}
            (false, 0) => return has_worked,
            (false, _) => tokio::time::sleep(TICK).await,
        }
    }
}

/// The deliveries of messages that were received together.
#[derive(Default)]
struct Delivered {
    messages: Vec<QueuedMessage>,
    /// Messages that another invocation gets as well.
    copies: Vec<QueuedMessage>,
    /// By their receipts: those that are not deleted but come back after a time.
    again: HashMap<String, Duration>,
}

async fn hide<M: Message>(queue: &MemoryQueue<M>, message: &QueuedMessage, time: Duration) {
    let hidden = queue.retry_after(&message.receipt, time).await;
    hidden.expect("a message that is being handled");
}

fn sqs_event(messages: &[QueuedMessage], now: DateTime<Utc>) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = messages
        .iter()
        .map(|message| {
            let mut record = SqsMessage::default();
            record.message_id = Some(message.message_id.to_string());
            record.receipt_handle = Some(message.receipt.clone());
            record.body = Some(message.body.clone());
            let sent = (now - message.age).timestamp_millis().to_string();
            record.attributes.insert("SentTimestamp".to_owned(), sent);
            let count = message.receive_count.to_string();
            record
                .attributes
                .insert("ApproximateReceiveCount".to_owned(), count);
            if let Some(group) = &message.group {
                record
                    .attributes
                    .insert("MessageGroupId".to_owned(), group.clone());
            }
            if message.requeues > 0 {
                let mut attribute = SqsMessageAttribute::default();
                attribute.string_value = Some(message.requeues.to_string());
                attribute.data_type = Some("Number".to_owned());
                record
                    .message_attributes
                    .insert(REQUEUES.to_owned(), attribute);
            }
            record
        })
        .collect();
    event
}

fn subscribe(norce: &NorceSimulator) {
    norce.subscribe_all(
        "http://events.localhost/events",
        &[("x-event-secret".to_owned(), EVENT_SECRET.to_owned())],
    );
}

/// A post as the gateway hands it to `receive-events`.
pub fn request(post: &EventPost) -> ApiGatewayV2httpRequest {
    let path = post.url.find("/events").map(|at| &post.url[at..]);
    gateway_request(path.unwrap_or_default(), &post.headers, &post.body)
}

/// A post to this path, as the gateway hands it to `receive-events`.
///
/// # Panics
/// When a header is invalid.
pub fn gateway_request(
    path: &str,
    headers: &[(impl AsRef<str>, impl AsRef<str>)],
    body: &[u8],
) -> ApiGatewayV2httpRequest {
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(path.to_owned());
    for (name, value) in headers {
        let name: http::HeaderName = name.as_ref().parse().expect("a header name");
        let value = value.as_ref().parse().expect("a header value");
        request.headers.insert(name, value);
    }
    request.body = Some(String::from_utf8_lossy(body).into_owned());
    request
}

/// The variables that name the secrets.
const SECRETS: [&str; 4] = [
    "NORCE_SECRET_ARN",
    "EVENT_SECRET_ARN",
    "FINGERPRINT_SECRET_ARN",
    "ERP_SECRET_ARN",
];

fn work_queue<M: Message>(name: &'static str, queue: &Arc<MemoryQueue<M>>) -> WorkQueue {
    WorkQueue {
        name,
        depth: queue.clone(),
        dead_letters: queue.clone(),
    }
}

/// Applications 1 and 2. In an application-unique set-up each has an ERP company.
fn shops(registers: Registers, erp_companies: &[Uuid]) -> ApplicationSettings {
    let applications: Vec<serde_json::Value> = erp_companies
        .iter()
        .zip(1..)
        .map(|(company, number)| {
            let mut application =
                serde_json::json!({ "id": number, "key": application_key(number) });
            if registers != Registers::Client {
                application["erpCompany"] = company.to_string().into();
            }
            application
        })
        .collect();
    ApplicationSettings {
        applications: serde_json::Value::from(applications)
            .to_string()
            .parse()
            .expect("applications"),
        registers,
    }
}

/// A Norce id.
pub fn id(value: i64) -> NorceId {
    NorceId::try_from(value).expect("an id")
}

/// A customer of the shared register.
pub fn customer(value: i64) -> EntityRef {
    EntityRef::customer(Scope::Client, id(value))
}

/// A company of the shared register.
pub fn company(value: i64) -> EntityRef {
    EntityRef::company(Scope::Client, id(value))
}

/// The key of an application.
pub fn application_key(id: i64) -> Uuid {
    Uuid::from_u128(id.unsigned_abs().into())
}

/// The register of an application.
pub fn application(value: i64) -> Scope {
    Scope::Application(ApplicationId::try_from(value).expect("an id"))
}
