//! The Lambda function `submit-imports`.

use std::{process::ExitCode, sync::Arc};

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::SystemClock,
    import_jobs::DynamoDbImportJobs,
    mappings::DynamoDbMappings,
    owed::DynamoDbOwed,
    queues::SqsQueue,
    runtime::{
        Renewed,
        batch::{self, Source},
        serve, telemetry,
        wiring::{Foundation, WiringError},
    },
};
use submit_imports::{Configuration, SubmitImports};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let foundation = Foundation::load().await?;
    let configuration = Configuration::read(foundation.environment().await?)?;
    let inbox = foundation.inbox(&configuration.imports);
    let source = Source {
        queue: "imports",
        inbox: &inbox,
        metrics: &foundation.metrics,
        clock: &SystemClock,
    };
    let function = Renewed::default();
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let function = function.get(|| build(&configuration, &foundation)).await;
        let function = source.or_return(&event.payload, function).await?;
        let deadline = batch::deadline(event.context.deadline());
        Ok::<_, Error>(function.handle(&event.payload, source, deadline).await)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}

async fn build(
    configuration: &Configuration,
    foundation: &Foundation,
) -> Result<SubmitImports, WiringError> {
    let Foundation { aws, .. } = foundation;
    let guard = foundation.guard(&configuration.breakers_table);
    let fingerprints = foundation
        .fingerprints(&configuration.fingerprint_secret_arn)
        .await?;
    let norce = foundation
        .norce(&guard, &configuration.norce, &configuration.shops)
        .await?;
    Ok(SubmitImports {
        norce: norce.connect,
        query: norce.query,
        import_jobs: Arc::new(DynamoDbImportJobs::new(
            aws,
            &configuration.import_jobs_table,
        )),
        jobs: Arc::new(SqsQueue::new(aws, &configuration.jobs_queue_url)),
        imports: Arc::new(SqsQueue::new(aws, &configuration.imports.queue_url)),
        mappings: Arc::new(DynamoDbMappings::new(
            aws,
            &configuration.code_mappings_table,
            fingerprints,
        )),
        owed: Arc::new(DynamoDbOwed::new(aws, &configuration.owed_table)),
        clock: Arc::new(SystemClock),
        metrics: foundation.metrics.clone(),
        settings: configuration.import.clone(),
        erps: foundation
            .erps(&guard, &configuration.erp, &configuration.shops)
            .await?,
        create_accounts: configuration.create_accounts,
    })
}
