//! The Lambda function `change-events`.

use std::{process::ExitCode, sync::Arc};

use aws_lambda_events::sqs::SqsEvent;
use change_events::{ChangeEvents, Configuration, OrderForwarding};
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::SystemClock,
    mappings::DynamoDbMappings,
    orders::DynamoDbOrders,
    owed::DynamoDbOwed,
    queues::SqsQueue,
    runtime::{
        Renewed,
        batch::{self, Source},
        serve, telemetry,
        wiring::{Foundation, WiringError},
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let foundation = Foundation::load().await?;
    let configuration = Configuration::read(foundation.environment().await?)?;
    let inbox = foundation.inbox(&configuration.changes);
    let source = Source {
        queue: "changes",
        inbox: &inbox,
        metrics: &foundation.metrics,
        clock: &SystemClock,
    };
    let function = Renewed::default();
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let function = function.get(|| build(&configuration, &foundation)).await;
        let function = source.or_return(&event.payload, function).await?;
        let deadline = batch::deadline(event.context.deadline());
        let concurrency = configuration.concurrency;
        let function = function.as_ref();
        Ok::<_, Error>(batch::handle(&event.payload, source, concurrency, deadline, function).await)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}

async fn build(
    configuration: &Configuration,
    foundation: &Foundation,
) -> Result<ChangeEvents, WiringError> {
    let Foundation { aws, .. } = foundation;
    let guard = foundation.guard(&configuration.breakers_table);
    let fingerprints = foundation
        .fingerprints(&configuration.fingerprint_secret_arn)
        .await?;
    let norce = foundation
        .norce(&guard, &configuration.norce, &configuration.shops)
        .await?;
    let table = &configuration.code_mappings_table;
    let mappings = Arc::new(DynamoDbMappings::new(aws, table, fingerprints.clone()));
    Ok(ChangeEvents {
        norce: norce.query,
        erps: foundation
            .erps(&guard, &configuration.erp, &configuration.shops)
            .await?,
        key_index: mappings.clone(),
        mappings,
        owed: Arc::new(DynamoDbOwed::new(aws, &configuration.owed_table)),
        changes: Arc::new(SqsQueue::new(aws, &configuration.changes.queue_url)),
        imports: Arc::new(SqsQueue::new(aws, &configuration.imports_queue_url)),
        clock: Arc::new(SystemClock),
        fingerprints,
        shops: configuration.shops.clone(),
        metrics: foundation.metrics.clone(),
        policy: configuration.policy.clone(),
        orders: configuration.orders.as_ref().map(|orders| OrderForwarding {
            orders: Arc::new(DynamoDbOrders::new(aws, &orders.table)),
            outgoing: Arc::new(SqsQueue::new(aws, &orders.outgoing_queue_url)),
        }),
    })
}
