//! The process of the function: builds what a request needs, and keeps the clients of Norce and of the ERP between requests,
//! because Norce Identity gives three tokens a minute (norce-api §2).

use std::{collections::HashMap, fmt::Display, sync::Arc};

use change_events::{ChangeEvents, OrderForwarding};
use chrono::TimeDelta;
use serde_json::Value;
use shared::{
    activity::DynamoDbActivity,
    breakers::AlwaysClosed,
    domain::{
        ChangeMessage, Clock, FingerprintKey, ImportRequest, JobMessage, OutgoingOrder,
        OwnedFields, PassMessage, Scope, SyncKinds, SystemClock,
    },
    erp::Erp,
    http::Deadline,
    logs::{CloudWatchLogs, Logs},
    queues::{Message, SqsDeadLetters},
    runtime::{
        configuration::{Environment, ErpKind, InboxSettings},
        context::AwsContext,
        resources::Resources as _,
        secrets::{
            ApiKeySecret, ClientSecret, EventSecret, FingerprintSecret, OrderSecret, SecretForm,
        },
        wiring::{Connections, NorceClients},
    },
};
use tokio::sync::Mutex;
use tracing::Level;

use crate::{
    Answer, Call, Configuration, Doctor, FunctionLog, Operator, Ports, Refusal, Request,
    StackPorts, WorkQueue,
    actions::{owed::OwedAction, status::Status},
    doctor::{self, Stores},
};

/// How long a status is reused: several open pages of the console ask every few seconds, and each status counts the whole owed
/// list.
const STATUS_KEPT: TimeDelta = TimeDelta::seconds(10);

/// The process of the function.
pub struct Process<'a> {
    context: &'a AwsContext,
    environment: Box<dyn Fn() -> Environment<'static> + Send + Sync + 'a>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<(Sources, Remotes)>>,
    status: Mutex<Option<Status>>,
}

/// What the clients were built from: the settings, and the version of each secret.
#[derive(PartialEq, Eq)]
struct Sources {
    settings: String,
    versions: Vec<String>,
}

/// The secrets that a request needs, besides the names of the stack's resources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// None.
    Stack,
    /// Those of Norce, the ERP and the fingerprints.
    Remotes,
    /// All of them, read again.
    Examination,
}

impl Needs {
    fn of(request: &Request) -> Self {
        match request {
            Request::Help {}
            | Request::Status {}
            | Request::Activity(_)
            | Request::DeadLetters(_)
            | Request::Runs(_)
            | Request::History(_)
            | Request::Plan(_)
            | Request::Pass(_) => Self::Stack,
            Request::Owed(request) => match request.r#do {
                OwedAction::List | OwedAction::Dismiss | OwedAction::Restore => Self::Stack,
                OwedAction::Retry => Self::Remotes,
            },
            Request::Explain(_)
            | Request::Replay(_)
            | Request::Jobs(_)
            | Request::Trial(_)
            | Request::Forget(_)
            | Request::Unbind(_)
            | Request::Rebind(_)
            | Request::ExportMappings(_)
            | Request::ImportMappings(_) => Self::Remotes,
            Request::Doctor(_) => Self::Examination,
        }
    }
}

impl<'a> Process<'a> {
    /// A process that has not built anything yet.
    pub fn new(
        context: &'a AwsContext,
        environment: impl Fn() -> Environment<'static> + Send + Sync + 'a,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            context,
            environment: Box::new(environment),
            clock,
            kept: Mutex::default(),
            status: Mutex::default(),
        }
    }

    /// Answers a request; `id` is Lambda's request id.
    ///
    /// # Errors
    /// As [`Operator::answer`].
    pub async fn answer(
        &self,
        payload: Value,
        id: &str,
        deadline: Deadline,
    ) -> Result<Answer, Refusal> {
        let mut call = Call::parse(payload)?;
        call.id = Some(id.to_owned());
        // Starts now, so that it includes the time to build the clients.
        let deadline = call.deadline(deadline);
        let is_status = call.request == Request::Status {};
        if is_status && let Some(status) = self.recent_status().await {
            return Ok(status.into());
        }
        if call.is_act() {
            // The next status has to show what the act did.
            *self.status.lock().await = None;
        }
        let needs = Needs::of(&call.request);
        let context = self.context;
        // Read for each request, so that changes to the configuration show at once.
        let configuration = Configuration::load(context, (self.environment)()).await;
        let (remotes, secrets) = match needs {
            Needs::Stack => (Remotes::unread(), Vec::new()),
            Needs::Remotes => (self.remotes(&configuration, true).await, Vec::new()),
            Needs::Examination => (
                self.remotes(&configuration, false).await,
                secrets(&configuration, context).await,
            ),
        };
        let stores = stores(&configuration, context, &remotes);
        let whole = match configuration.faults.as_slice() {
            [] => Ok(()),
            faults => Err(faults.join("; ")),
        };
        let operator = Operator {
            stack: whole
                .clone()
                .and_then(|()| stack(&configuration, context, &stores, self.clock.clone())),
            ports: whole.and_then(|()| ports(&configuration, context, &remotes, &stores)),
            activity: stores.activity.clone(),
            doctor: doctor(configuration, context, &remotes, secrets, stores),
            clock: self.clock.clone(),
        };
        let answer = operator.answer(call, deadline).await?;
        if let Answer::Status(status) = &answer {
            *self.status.lock().await = Some(status.clone());
        }
        Ok(answer)
    }

    async fn recent_status(&self) -> Option<Status> {
        let status = self.status.lock().await;
        let age = |status: &Status| self.clock.now() - status.as_of;
        status.clone().filter(|status| age(status) < STATUS_KEPT)
    }

    /// The clients. With `reuse`, those that were built before, if what they were built from is the same.
    async fn remotes(&self, configuration: &Configuration, reuse: bool) -> Remotes {
        let sources = self.sources(configuration).await;
        if reuse
            && let Some((of_kept, remotes)) = self.kept.lock().await.as_ref()
            && sources.as_ref() == Some(of_kept)
        {
            return remotes.clone();
        }
        let remotes = Remotes::reach(configuration, self.context).await;
        let kept = sources.filter(|_| remotes.are_whole());
        *self.kept.lock().await = kept.map(|sources| (sources, remotes.clone()));
        remotes
    }

    /// What the clients are built from; `None`: unknown, so that they are not kept.
    async fn sources(&self, configuration: &Configuration) -> Option<Sources> {
        let Configuration {
            shops: Some(shops),
            norce: Some(norce),
            erp: Some(erp),
            fingerprint_secret_arn: Some(fingerprints),
            ..
        } = configuration
        else {
            return None;
        };
        let arns = [&norce.secret_arn, &erp.secret_arn, fingerprints];
        let mut versions = Vec::new();
        for arn in arns.into_iter().chain(&erp.ca_secret_arn) {
            versions.push(self.context.secrets.version(arn).await.ok()??);
        }
        Some(Sources {
            settings: format!("{shops:?} {norce:?} {erp:?} {fingerprints}"),
            versions,
        })
    }
}

/// The clients and the key that need secrets, each with the reason if it could not be built.
#[derive(Clone)]
struct Remotes {
    norce: Result<NorceClients, String>,
    erps: Result<HashMap<Scope, Arc<dyn Erp>>, String>,
    fingerprints: Result<FingerprintKey, String>,
}

impl Remotes {
    /// Nothing: the request needs no secret.
    fn unread() -> Self {
        let unread = || "no secret was read for this".to_owned();
        Self {
            norce: Err(unread()),
            erps: Err(unread()),
            fingerprints: Err(unread()),
        }
    }

    fn are_whole(&self) -> bool {
        self.norce.is_ok() && self.erps.is_ok() && self.fingerprints.is_ok()
    }

    async fn reach(configuration: &Configuration, context: &AwsContext) -> Self {
        // Without breakers: a person sees the remote as it is, even while the functions pause their calls.
        let connections = Connections::new(context, Arc::new(AlwaysClosed));
        let Configuration {
            shops,
            norce,
            erp,
            fingerprint_secret_arn,
            ..
        } = configuration;
        Self {
            norce: match (norce, shops) {
                (Some(norce), Some(shops)) => connections.norce(norce, shops).await.map_err(text),
                _ => Err(faulty()),
            },
            erps: match (erp, shops) {
                (Some(erp), Some(shops)) => connections.erps(erp, shops).await.map_err(text),
                _ => Err(faulty()),
            },
            fingerprints: match fingerprint_secret_arn {
                Some(arn) => connections.fingerprints(arn).await.map_err(text),
                None => Err(faulty()),
            },
        }
    }
}

/// The stores whose names are known.
fn stores(configuration: &Configuration, context: &AwsContext, remotes: &Remotes) -> Stores {
    let Configuration {
        code_mappings_table,
        owed_table,
        import_jobs_table,
        passes_table,
        reports_bucket,
        breakers_table,
        activity_table,
        orders,
        ..
    } = configuration;
    let mappings = code_mappings_table
        .as_ref()
        .zip(remotes.fingerprints.as_ref().ok());
    let mappings = mappings.map(|(table, key)| context.mappings(table, key));
    let (mappings, key_index) = mappings.unzip();
    Stores {
        mappings: mappings.map(|mappings| mappings as _),
        key_index,
        owed: owed_table.as_ref().map(|table| context.owed(table)),
        import_jobs: import_jobs_table
            .as_ref()
            .map(|table| context.import_jobs(table)),
        passes: passes_table.as_ref().map(|table| context.passes(table)),
        reports: reports_bucket
            .as_ref()
            .map(|bucket| context.reports(bucket)),
        breakers: breakers_table.as_ref().map(|table| context.breakers(table)),
        activity: activity_table
            .as_ref()
            .map(|table| Arc::new(DynamoDbActivity::new(context.database(), table)) as _),
        orders: orders
            .as_ref()
            .map(|orders| context.orders(&orders.settings.table)),
    }
}

fn doctor(
    configuration: Configuration,
    context: &AwsContext,
    remotes: &Remotes,
    secrets: Vec<doctor::Secret>,
    stores: Stores,
) -> Doctor {
    let log = |group: &Option<String>| {
        let log = log(context, group.as_ref()?);
        Some(no_logs().map_or(Ok(log), Err))
    };
    let policy = configuration.policy.as_ref();
    Doctor {
        secrets,
        norce: remotes.norce.clone(),
        erps: remotes.erps.clone(),
        sync_kinds: policy.map_or(SyncKinds::ALL, |policy| policy.sync_kinds),
        erp_owns: policy.map_or(OwnedFields::DEFAULT, |policy| policy.erp_owns),
        queues: queues(&configuration, context),
        stores,
        outgoing_orders: outgoing_orders(&configuration, context),
        norce_account: configuration.norce.as_ref().map(|norce| norce.account_id),
        events: log(&configuration.receive_events_log_group),
        changes: log(&configuration.change_events_log_group),
        faults: configuration.faults,
        shops: configuration.shops,
        schedules: configuration.schedules,
        erp_events: configuration.erp_events.map(|url| url.url().clone()),
        alarm_topic: configuration.alarm_topic,
        clock: Arc::new(SystemClock),
    }
}

fn log(context: &AwsContext, group: &str) -> Arc<dyn Logs> {
    Arc::new(CloudWatchLogs::new(&context.aws, group))
}

/// Why the logs lack information: their level is the level of this function too.
fn no_logs() -> Option<String> {
    (!tracing::enabled!(Level::INFO))
        .then(|| "the logs have warnings and errors only: set LogLevel to INFO".to_owned())
}

/// Why a client could not be built: the faults themselves are listed elsewhere.
fn faulty() -> String {
    "its part of the configuration is faulty".to_owned()
}

fn text(error: impl Display) -> String {
    error.to_string()
}

async fn secrets(configuration: &Configuration, context: &AwsContext) -> Vec<doctor::Secret> {
    let norce = configuration.norce.as_ref().map(|norce| &norce.secret_arn);
    let erp = configuration.erp.as_ref();
    let mut secrets = vec![
        secret::<ClientSecret>(context, "NORCE_SECRET_ARN", norce).await,
        secret::<EventSecret>(
            context,
            "EVENT_SECRET_ARN",
            configuration.event_secret_arn.as_ref(),
        )
        .await,
        secret::<FingerprintSecret>(
            context,
            "FINGERPRINT_SECRET_ARN",
            configuration.fingerprint_secret_arn.as_ref(),
        )
        .await,
    ];
    let arn = erp.map(|erp| &erp.secret_arn);
    let has_key = erp.is_some_and(|erp| match erp.kind {
        ErpKind::BusinessCentral => false,
        ErpKind::Odoo => true,
        ErpKind::Http => erp.token_url.is_none(),
    });
    secrets.push(match has_key {
        true => secret::<ApiKeySecret>(context, "ERP_SECRET_ARN", arn).await,
        false => secret::<ClientSecret>(context, "ERP_SECRET_ARN", arn).await,
    });
    if let Some(arn) = erp.and_then(|erp| erp.ca_secret_arn.as_ref()) {
        let bundle = context.secrets.ca_bundle(arn).await;
        secrets.push(doctor::Secret {
            variable: "ERP_CA_SECRET_ARN",
            form: doctor::SecretText::PemBundle,
            read: bundle.map(drop).map_err(text),
        });
    }
    if let Some(orders) = &configuration.orders {
        let arn = orders.secret_arn.as_ref();
        secrets.push(secret::<OrderSecret>(context, "ORDER_SECRET_ARN", arn).await);
    }
    secrets
}

async fn secret<T: SecretForm>(
    context: &AwsContext,
    variable: &'static str,
    arn: Option<&String>,
) -> doctor::Secret {
    let read = match arn {
        Some(arn) => context.secrets.get::<T>(arn).await.map(drop).map_err(text),
        None => Err(faulty()),
    };
    doctor::Secret {
        variable,
        form: doctor::SecretText::Json,
        read,
    }
}

/// The queues whose URLs are known.
fn queues(configuration: &Configuration, context: &AwsContext) -> Vec<WorkQueue> {
    let queues = [
        queue::<ChangeMessage>(context, "changes", configuration.changes.as_ref()),
        queue::<ImportRequest>(context, "imports", configuration.imports.as_ref()),
        queue::<JobMessage>(context, "jobs", configuration.jobs.as_ref()),
        queue::<PassMessage>(context, "passes", configuration.passes.as_ref()),
    ];
    queues.into_iter().flatten().collect()
}

/// The queue to the merchant's order integration, where orders are received.
fn outgoing_orders(configuration: &Configuration, context: &AwsContext) -> Option<WorkQueue> {
    let orders = configuration.orders.as_ref()?;
    let settings = InboxSettings {
        queue_url: orders.settings.outgoing_queue_url.clone(),
        dead_letter_queue_url: orders.outgoing_dead_letter_queue_url.clone()?,
    };
    queue::<OutgoingOrder>(context, "outgoing-orders", Some(&settings))
}

fn queue<M: Message>(
    context: &AwsContext,
    name: &'static str,
    settings: Option<&InboxSettings>,
) -> Option<WorkQueue> {
    let InboxSettings {
        queue_url,
        dead_letter_queue_url,
    } = settings?;
    Some(WorkQueue {
        name,
        depth: context.queue_depth::<M>(queue_url),
        dead_letters: Arc::new(SqsDeadLetters::new(
            context.sqs(),
            dead_letter_queue_url,
            queue_url,
        )),
    })
}

/// The ports that need no secret. The configuration has no fault.
fn stack(
    configuration: &Configuration,
    context: &AwsContext,
    stores: &Stores,
    clock: Arc<dyn Clock>,
) -> Result<StackPorts, String> {
    let build = || {
        Some(StackPorts {
            owed: stores.owed.clone()?,
            import_jobs: stores.import_jobs.clone()?,
            passes: stores.passes.clone()?,
            to_passes: context.queue(&configuration.passes.as_ref()?.queue_url),
            reports: stores.reports.clone()?,
            queues: queues(configuration, context),
            breakers: stores.breakers.clone()?,
            shops: configuration.shops.clone()?,
            clock,
        })
    };
    build().ok_or_else(faulty)
}

/// The ports that need all secrets. The configuration has no fault.
fn ports(
    configuration: &Configuration,
    context: &AwsContext,
    remotes: &Remotes,
    stores: &Stores,
) -> Result<Ports, String> {
    let fingerprints = remotes.fingerprints.clone()?;
    let norce = remotes.norce.clone()?;
    let erps = remotes.erps.clone()?;
    let log = |function, group: &Option<String>| {
        let logs = log(context, group.as_ref()?);
        Some(FunctionLog { function, logs })
    };
    let build = || {
        Some(Ports {
            change_events: ChangeEvents {
                norce: norce.query,
                erps,
                mappings: stores.mappings.clone()?,
                key_index: stores.key_index.clone()?,
                owed: stores.owed.clone()?,
                changes: context.queue(&configuration.changes.as_ref()?.queue_url),
                imports: context.queue(&configuration.imports.as_ref()?.queue_url),
                clock: context.clock(),
                fingerprints,
                metrics: context.metrics.clone(),
                shops: configuration.shops.clone()?,
                policy: configuration.policy.clone()?,
                orders: configuration.orders.as_ref().map(|orders| OrderForwarding {
                    orders: context.orders(&orders.settings.table),
                    outgoing: context.queue(&orders.settings.outgoing_queue_url),
                }),
            },
            connect: norce.connect,
            import_jobs: stores.import_jobs.clone()?,
            reports: stores.reports.clone()?,
            logs: vec![
                log("receive-events", &configuration.receive_events_log_group)?,
                log("change-events", &configuration.change_events_log_group)?,
            ],
            no_logs: no_logs(),
        })
    };
    build().ok_or_else(faulty)
}
