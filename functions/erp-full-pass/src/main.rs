//! The Lambda function `erp-full-pass`: started by a schedule or by a person, and continued by the queue `passes`.

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc};

use aws_lambda_events::sqs::SqsEvent;
use erp_full_pass::{Configuration, ErpFullPass, Request, Retry, synced_groups};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use shared::{
    breakers::DynamoDbBreakers,
    domain::{SystemClock, without_values},
    mappings::DynamoDbMappings,
    owed::DynamoDbOwed,
    passes::DynamoDbPasses,
    queues::SqsQueue,
    reports::S3Reports,
    runtime::{
        Renewed,
        batch::{self, Source},
        serve, telemetry,
        wiring::{Foundation, WiringError},
    },
};

/// The answer to any other request.
const EXPECTED: &str = r#"expected {"mode":"delta"|"full"|"sweep","kind":"customer"|"company"|null,"application":id|null,"dryRun":bool} or {"retry":"owed"}"#;
/// One run at a time: a run uses all the time that an invocation has.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let foundation = Foundation::load().await?;
    let configuration = Configuration::read(foundation.environment().await?)?;
    let inbox = foundation.inbox(&configuration.passes);
    let source = Source {
        queue: "passes",
        inbox: &inbox,
        metrics: &foundation.metrics,
        clock: &SystemClock,
    };
    let function = Renewed::default();
    let handler = async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        let deadline = batch::deadline(context.deadline());
        let function = function.get(|| build(&configuration, &foundation)).await;
        if payload.get("Records").is_none() {
            let function = function?;
            let request = Request::parse(payload)
                .map_err(|error| format!("{}; {EXPECTED}", without_values(&error)))?;
            return Ok(match request {
                Request::Pass(request) => serde_json::to_value(function.start(&request).await?)?,
                Request::Retry(Retry::Owed {}) => {
                    let retried = function.retry_owed(deadline).await?;
                    function.heartbeat(&retried.counts).await?;
                    serde_json::to_value(retried)?
                }
            });
        }
        let event: SqsEvent =
            serde_json::from_value(payload).map_err(|error| without_values(&error))?;
        let function = source.or_return(&event, function).await?;
        let function = function.as_ref();
        let response = batch::handle(&event, source, CONCURRENCY, deadline, function).await;
        Ok::<_, Error>(serde_json::to_value(response)?)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}

async fn build(
    configuration: &Configuration,
    foundation: &Foundation,
) -> Result<ErpFullPass, WiringError> {
    let Foundation { aws, .. } = foundation;
    let guard = foundation.guard(&configuration.breakers_table);
    let fingerprints = foundation
        .fingerprints(&configuration.fingerprint_secret_arn)
        .await?;
    let norce = foundation
        .norce(&guard, &configuration.norce, &configuration.shops)
        .await?;
    let erps = foundation
        .erps(&guard, &configuration.erp, &configuration.shops)
        .await?;
    for erp in erps.values() {
        synced_groups(configuration.pass.erp_owns, erp.as_ref())
            .map_err(|error| WiringError::Erp(error.to_string()))?;
    }
    let imports = Arc::new(SqsQueue::new(aws, &configuration.imports_queue_url));
    let table = &configuration.code_mappings_table;
    let mappings = Arc::new(DynamoDbMappings::new(aws, table, fingerprints.clone()));
    Ok(ErpFullPass {
        norce: norce.query,
        erps,
        key_index: mappings.clone(),
        mappings,
        owed: Arc::new(DynamoDbOwed::new(aws, &configuration.owed_table)),
        passes: Arc::new(DynamoDbPasses::new(aws, &configuration.passes_table)),
        reports: Arc::new(S3Reports::new(aws, &configuration.reports_bucket)),
        imports: imports.clone(),
        imports_depth: imports,
        changes: Arc::new(SqsQueue::new(aws, &configuration.changes_queue_url)),
        to_passes: Arc::new(SqsQueue::new(aws, &configuration.passes.queue_url)),
        clock: Arc::new(SystemClock),
        fingerprints,
        shops: configuration.shops.clone(),
        settings: configuration.pass.clone(),
        breakers: Arc::new(DynamoDbBreakers::new(aws, &configuration.breakers_table)),
        metrics: foundation.metrics.clone(),
    })
}
