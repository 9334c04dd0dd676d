//! The Lambda function `operator`: invoked by a person.

use std::{collections::HashMap, fmt::Display, process::ExitCode, sync::Arc};

use change_events::{ChangeEvents, HandOn};
use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use operator::{
    Call, Configuration, Doctor, FunctionLog, Operator, Ports, Refusal, WorkQueue, doctor,
};
use serde_json::Value;
use shared::{
    activity::{Activity, DynamoDbActivity},
    breakers::{AlwaysClosed, DynamoDbBreakers},
    domain::{
        ChangeMessage, FieldGroups, FingerprintKey, ImportRequest, JobMessage, OutgoingOrder,
        PassMessage, Scope, SystemClock,
    },
    erp::Erp,
    import_jobs::DynamoDbImportJobs,
    logs::{CloudWatchLogs, Logs},
    mappings::DynamoDbMappings,
    orders::DynamoDbOrders,
    owed::DynamoDbOwed,
    passes::DynamoDbPasses,
    queues::{Message, SqsDeadLetters, SqsQueue},
    reports::S3Reports,
    runtime::{
        batch,
        configuration::{Environment, ErpKind, InboxSettings},
        guard::Guard,
        secrets::{
            ApiKeySecret, ClientSecret, EventSecret, FingerprintSecret, OrderSecret, SecretForm,
        },
        serve, telemetry,
        wiring::{Foundation, NorceClients},
    },
};
use tracing::Level;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let foundation = Foundation::load().await?;
    let handler = async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        let action = payload["action"].as_str().unwrap_or_default().to_owned();
        let mut call = Call::parse(payload).map_err(diagnostic)?;
        call.id = Some(context.request_id.clone());
        // Everything is read for each request: a person is to see the configuration and the secrets as they are now.
        let configuration = Configuration::load(&foundation, Environment::of_process()).await;
        let remotes = Remotes::reach(&configuration, &foundation).await;
        let operator = Operator {
            doctor: doctor(&configuration, &foundation, &remotes).await,
            ports: ports(&configuration, &foundation, &remotes),
            activity: activity(&configuration, &foundation),
            clock: Arc::new(SystemClock),
        };
        let deadline = batch::deadline(context.deadline());
        let answer = operator.answer(call, deadline).await;
        let answer = answer.map_err(diagnostic)?;
        // What a person did is found in the log later; a summary has nothing personal in it.
        tracing::info!(action, summary = answer.summary(), "a person was answered");
        Ok::<_, Diagnostic>(answer)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}

/// The error that the person sees.
fn diagnostic(refusal: Refusal) -> Diagnostic {
    let error_type = match refusal {
        Refusal::Request(_) => "Request",
        Refusal::SetUp(_) => "SetUp",
        Refusal::Later(_) => "Later",
    };
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message: refusal.to_string(),
    }
}

/// What is behind the secrets, each as far as its secret and its part of the configuration could be read.
struct Remotes {
    norce: Result<NorceClients, String>,
    erps: Result<HashMap<Scope, Arc<dyn Erp>>, String>,
    fingerprints: Result<FingerprintKey, String>,
}

impl Remotes {
    async fn reach(configuration: &Configuration, foundation: &Foundation) -> Self {
        // A person wants to see a remote as it is, whether the functions leave it alone or not.
        let guard = Guard::new(
            Arc::new(AlwaysClosed),
            Arc::new(SystemClock),
            foundation.metrics.clone(),
        );
        let Configuration {
            shops,
            norce,
            erp,
            fingerprint_secret_arn,
            ..
        } = configuration;
        let faulty = || NO_CONFIGURATION.to_owned();
        Self {
            norce: match (norce, shops) {
                (Some(norce), Some(shops)) => {
                    foundation.norce(&guard, norce, shops).await.map_err(text)
                }
                _ => Err(faulty()),
            },
            erps: match (erp, shops) {
                (Some(erp), Some(shops)) => foundation.erps(&guard, erp, shops).await.map_err(text),
                _ => Err(faulty()),
            },
            fingerprints: match fingerprint_secret_arn {
                Some(arn) => foundation.fingerprints(arn).await.map_err(text),
                None => Err(faulty()),
            },
        }
    }
}

async fn doctor(
    configuration: &Configuration,
    foundation: &Foundation,
    remotes: &Remotes,
) -> Doctor {
    let Foundation { aws, .. } = foundation;
    let key = remotes.fingerprints.as_ref().ok();
    let mappings = configuration.code_mappings_table.as_ref().zip(key);
    let mappings =
        mappings.map(|(table, key)| Arc::new(DynamoDbMappings::new(aws, table, key.clone())));
    let owed = configuration.owed_table.as_ref();
    let import_jobs = configuration.import_jobs_table.as_ref();
    let passes = configuration.passes_table.as_ref();
    let reports = configuration.reports_bucket.as_ref();
    let breakers = configuration.breakers_table.as_ref();
    let orders = configuration.orders.as_ref();
    let receive_events = configuration.receive_events_log_group.as_ref();
    let receive_events = receive_events.map(|group| log(foundation, group));
    Doctor {
        faults: configuration.faults.clone(),
        secrets: secrets(configuration, foundation).await,
        norce: remotes.norce.clone(),
        shops: configuration.shops.clone(),
        erps: remotes.erps.clone(),
        erp_owns: configuration
            .erp_owns
            .unwrap_or(FieldGroups::ERP_OWNS_BY_DEFAULT),
        queues: queues(configuration, foundation),
        stores: doctor::Stores {
            key_index: mappings.clone().map(|mappings| mappings as _),
            mappings: mappings.map(|mappings| mappings as _),
            owed: owed.map(|table| Arc::new(DynamoDbOwed::new(aws, table)) as _),
            import_jobs: import_jobs
                .map(|table| Arc::new(DynamoDbImportJobs::new(aws, table)) as _),
            passes: passes.map(|table| Arc::new(DynamoDbPasses::new(aws, table)) as _),
            reports: reports.map(|bucket| Arc::new(S3Reports::new(aws, bucket)) as _),
            breakers: breakers.map(|table| Arc::new(DynamoDbBreakers::new(aws, table)) as _),
            activity: activity(configuration, foundation),
            orders: orders.map(|orders| Arc::new(DynamoDbOrders::new(aws, &orders.table)) as _),
        },
        outgoing_orders: outgoing_orders(configuration, foundation),
        norce_account: configuration.norce.as_ref().map(|norce| norce.account_id),
        events: receive_events.map(|log| no_logs().map_or(Ok(log), Err)),
        schedules: configuration.schedules.clone(),
        clock: Arc::new(SystemClock),
    }
}

fn activity(configuration: &Configuration, foundation: &Foundation) -> Option<Arc<dyn Activity>> {
    let table = configuration.activity_table.as_ref()?;
    Some(Arc::new(DynamoDbActivity::new(&foundation.aws, table)))
}

fn log(foundation: &Foundation, group: &str) -> Arc<dyn Logs> {
    Arc::new(CloudWatchLogs::new(&foundation.aws, group))
}

/// Why the logs do not say what happens: their level is this function's too.
fn no_logs() -> Option<String> {
    (!tracing::enabled!(Level::INFO))
        .then(|| "the logs have warnings and errors only: set LogLevel to INFO".to_owned())
}

const NO_CONFIGURATION: &str = "its part of the configuration is faulty";

fn text(error: impl Display) -> String {
    error.to_string()
}

async fn secrets(configuration: &Configuration, foundation: &Foundation) -> Vec<doctor::Secret> {
    let norce = configuration.norce.as_ref().map(|norce| &norce.secret_arn);
    let erp = configuration.erp.as_ref();
    let mut secrets = vec![
        secret::<ClientSecret>(foundation, "NORCE_SECRET_ARN", norce).await,
        secret::<EventSecret>(
            foundation,
            "EVENT_SECRET_ARN",
            configuration.event_secret_arn.as_ref(),
        )
        .await,
        secret::<FingerprintSecret>(
            foundation,
            "FINGERPRINT_SECRET_ARN",
            configuration.fingerprint_secret_arn.as_ref(),
        )
        .await,
    ];
    let arn = erp.map(|erp| &erp.secret_arn);
    secrets.push(match erp.map(|erp| erp.kind) {
        Some(ErpKind::Odoo) => secret::<ApiKeySecret>(foundation, "ERP_SECRET_ARN", arn).await,
        _ => secret::<ClientSecret>(foundation, "ERP_SECRET_ARN", arn).await,
    });
    if let Some(arn) = erp.and_then(|erp| erp.ca_secret_arn.as_ref()) {
        let bundle = foundation.secrets.ca_bundle(arn).await;
        secrets.push(doctor::Secret {
            variable: "ERP_CA_SECRET_ARN",
            form: doctor::SecretText::PemBundle,
            read: bundle.map(drop).map_err(text),
        });
    }
    if configuration.orders.is_some() {
        let arn = configuration.order_secret_arn.as_ref();
        secrets.push(secret::<OrderSecret>(foundation, "ORDER_SECRET_ARN", arn).await);
    }
    secrets
}

async fn secret<T: SecretForm>(
    foundation: &Foundation,
    variable: &'static str,
    arn: Option<&String>,
) -> doctor::Secret {
    let read = match arn {
        Some(arn) => foundation
            .secrets
            .get::<T>(arn)
            .await
            .map(drop)
            .map_err(text),
        None => Err(NO_CONFIGURATION.to_owned()),
    };
    doctor::Secret {
        variable,
        form: doctor::SecretText::Json,
        read,
    }
}

/// The queues whose addresses are known.
fn queues(configuration: &Configuration, foundation: &Foundation) -> Vec<WorkQueue> {
    let queues = [
        queue::<ChangeMessage>(foundation, "changes", configuration.changes.as_ref()),
        queue::<ImportRequest>(foundation, "imports", configuration.imports.as_ref()),
        queue::<JobMessage>(foundation, "jobs", configuration.jobs.as_ref()),
        queue::<PassMessage>(foundation, "passes", configuration.passes.as_ref()),
    ];
    queues.into_iter().flatten().collect()
}

/// The queue to the merchant's order integration, where orders are received.
fn outgoing_orders(configuration: &Configuration, foundation: &Foundation) -> Option<WorkQueue> {
    let queue_url = &configuration.orders.as_ref()?.outgoing_queue_url;
    let dead_letter_queue_url = configuration
        .outgoing_orders_dead_letter_queue_url
        .as_ref()?;
    let settings = InboxSettings {
        queue_url: queue_url.clone(),
        dead_letter_queue_url: dead_letter_queue_url.clone(),
    };
    queue::<OutgoingOrder>(foundation, "outgoing-orders", Some(&settings))
}

fn queue<M: Message>(
    foundation: &Foundation,
    name: &'static str,
    settings: Option<&InboxSettings>,
) -> Option<WorkQueue> {
    let InboxSettings {
        queue_url,
        dead_letter_queue_url,
    } = settings?;
    let aws = &foundation.aws;
    Some(WorkQueue {
        name,
        depth: Arc::new(SqsQueue::<M>::new(aws, queue_url)),
        dead_letters: Arc::new(SqsDeadLetters::new(aws, dead_letter_queue_url, queue_url)),
    })
}

/// Everything that the other actions work with; all of the configuration and every secret are needed for it.
fn ports(
    configuration: &Configuration,
    foundation: &Foundation,
    remotes: &Remotes,
) -> Result<Ports, String> {
    let Foundation { aws, .. } = foundation;
    let Configuration {
        faults,
        shops: Some(shops),
        policy: Some(policy),
        code_mappings_table: Some(code_mappings_table),
        owed_table: Some(owed_table),
        import_jobs_table: Some(import_jobs_table),
        passes_table: Some(passes_table),
        reports_bucket: Some(reports_bucket),
        breakers_table: Some(breakers_table),
        receive_events_log_group: Some(receive_events_log_group),
        change_events_log_group: Some(change_events_log_group),
        orders,
        changes: Some(changes),
        imports: Some(imports),
        passes: Some(passes),
        ..
    } = configuration
    else {
        return Err(configuration.faults.join("; "));
    };
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let fingerprints = remotes.fingerprints.clone()?;
    let norce = remotes.norce.clone()?;
    let table = code_mappings_table;
    let mappings = Arc::new(DynamoDbMappings::new(aws, table, fingerprints.clone()));
    Ok(Ports {
        change_events: ChangeEvents {
            norce: norce.query,
            erps: remotes.erps.clone()?,
            key_index: mappings.clone(),
            mappings,
            owed: Arc::new(DynamoDbOwed::new(aws, owed_table)),
            changes: Arc::new(SqsQueue::new(aws, &changes.queue_url)),
            imports: Arc::new(SqsQueue::new(aws, &imports.queue_url)),
            clock: Arc::new(SystemClock),
            fingerprints,
            metrics: foundation.metrics.clone(),
            shops: shops.clone(),
            policy: policy.clone(),
            orders: orders.as_ref().map(|orders| HandOn {
                orders: Arc::new(DynamoDbOrders::new(aws, &orders.table)),
                outgoing: Arc::new(SqsQueue::new(aws, &orders.outgoing_queue_url)),
            }),
        },
        connect: norce.connect,
        import_jobs: Arc::new(DynamoDbImportJobs::new(aws, import_jobs_table)),
        passes: Arc::new(DynamoDbPasses::new(aws, passes_table)),
        to_passes: Arc::new(SqsQueue::new(aws, &passes.queue_url)),
        reports: Arc::new(S3Reports::new(aws, reports_bucket)),
        queues: queues(configuration, foundation),
        breakers: Arc::new(DynamoDbBreakers::new(aws, breakers_table)),
        logs: vec![
            FunctionLog {
                function: "receive-events",
                logs: log(foundation, receive_events_log_group),
            },
            FunctionLog {
                function: "change-events",
                logs: log(foundation, change_events_log_group),
            },
        ],
        no_logs: no_logs(),
    })
}
