//! The Lambda function `erp-full-pass`: started by a schedule or by a person, and continued by the queue `passes`.

use std::{num::NonZeroUsize, sync::Arc};

use aws_lambda_events::sqs::SqsEvent;
use erp_full_pass::{Configuration, ErpFullPass, Request, Retry, told_groups};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use shared::{
    domain::SystemClock,
    mappings::DynamoDbMappings,
    owed::DynamoDbOwed,
    passes::DynamoDbPasses,
    queues::SqsQueue,
    reports::S3Reports,
    runtime::{
        Renewed, batch,
        configuration::Environment,
        telemetry,
        wiring::{Foundation, WiringError},
    },
};

/// What is said to a request that is something else.
const EXPECTED: &str = r#"expected {"mode":"delta"|"full"|"sweep","kind":"customer"|"company"|null,"application":id|null,"dryRun":bool} or {"retry":"owed"}"#;
/// One run at a time: a run uses all the time that an invocation has.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let configuration = Configuration::read(Environment::of_process())?;
    let foundation = Foundation::load().await?;
    let inbox = foundation.inbox(&configuration.passes);
    let function = Renewed::default();
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let function = function.get(|| build(&configuration, &foundation)).await?;
        let LambdaEvent { payload, context } = event;
        if payload.get("Records").is_none() {
            let request =
                Request::parse(payload).map_err(|error| format!("{error}; {EXPECTED}"))?;
            return Ok(match request {
                Request::Pass(request) => serde_json::to_value(function.start(&request).await?)?,
                Request::Retry(Retry::Owed {}) => {
                    let retried = function.retry_owed().await?;
                    telemetry::owed(&retried.counts.owed, retried.counts.oldest_seconds);
                    serde_json::to_value(retried)?
                }
            });
        }
        let event: SqsEvent = serde_json::from_value(payload)?;
        let deadline = batch::deadline(context.deadline());
        let response =
            batch::handle(&event, &inbox, CONCURRENCY, deadline, function.as_ref()).await;
        Ok::<_, Error>(serde_json::to_value(response)?)
    }))
    .await
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
        told_groups(configuration.pass.erp_owns, erp.as_ref())
            .map_err(|error| WiringError::Erp(error.to_string()))?;
    }
    let imports = Arc::new(SqsQueue::new(aws, &configuration.imports_queue_url));
    Ok(ErpFullPass {
        norce: norce.query,
        erps,
        mappings: Arc::new(DynamoDbMappings::new(
            aws,
            &configuration.code_mappings_table,
            fingerprints.clone(),
        )),
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
    })
}
