//! The Lambda function `poll-jobs`.

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc};

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent};
use poll_jobs::{Configuration, PollJobs};
use shared::{
    domain::SystemClock,
    import_jobs::DynamoDbImportJobs,
    mappings::DynamoDbMappings,
    owed::DynamoDbOwed,
    passes::DynamoDbPasses,
    queues::SqsQueue,
    runtime::{
        Renewed,
        batch::{self, Source},
        serve, telemetry,
        wiring::{Foundation, WiringError},
    },
};

/// Jobs that one invocation looks at at the same time. Each is one or two small reads of Norce.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let foundation = Foundation::load().await?;
    let configuration = Configuration::read(foundation.environment().await?)?;
    let inbox = foundation.inbox(&configuration.jobs);
    let source = Source {
        queue: "jobs",
        inbox: &inbox,
        metrics: &foundation.metrics,
        clock: &SystemClock,
    };
    let function = Renewed::default();
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let function = function.get(|| build(&configuration, &foundation)).await;
        let function = source.or_return(&event.payload, function).await?;
        let deadline = batch::deadline(event.context.deadline());
        let function = function.as_ref();
        Ok::<_, Error>(batch::handle(&event.payload, source, CONCURRENCY, deadline, function).await)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}

async fn build(
    configuration: &Configuration,
    foundation: &Foundation,
) -> Result<PollJobs, WiringError> {
    let Foundation { aws, .. } = foundation;
    let guard = foundation.guard(&configuration.breakers_table);
    let fingerprints = foundation
        .fingerprints(&configuration.fingerprint_secret_arn)
        .await?;
    let norce = foundation
        .norce(&guard, &configuration.norce, &configuration.shops)
        .await?;
    Ok(PollJobs {
        norce: norce.connect,
        query: norce.query,
        import_jobs: Arc::new(DynamoDbImportJobs::new(
            aws,
            &configuration.import_jobs_table,
        )),
        jobs: Arc::new(SqsQueue::new(aws, &configuration.jobs.queue_url)),
        imports: Arc::new(SqsQueue::new(aws, &configuration.imports_queue_url)),
        mappings: Arc::new(DynamoDbMappings::new(
            aws,
            &configuration.code_mappings_table,
            fingerprints,
        )),
        owed: Arc::new(DynamoDbOwed::new(aws, &configuration.owed_table)),
        passes: Arc::new(DynamoDbPasses::new(aws, &configuration.passes_table)),
        shops: configuration.shops.clone(),
        clock: Arc::new(SystemClock),
        metrics: foundation.metrics.clone(),
        give_up_after: configuration.import.give_up_after,
    })
}
