//! The Lambda function `receive-events`.

use std::{process::ExitCode, sync::Arc};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{Error, LambdaEvent};
use receive_events::{CachedSecret, Configuration, OrderReceiver, ReceiveEvents};
use shared::{
    domain::SystemClock,
    orders::DynamoDbOrders,
    queues::SqsQueue,
    runtime::{configuration::Environment, serve, telemetry, wiring::Foundation},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let configuration = Configuration::read(Environment::of_process())?;
    let foundation = Foundation::load().await?;
    // Secrets are read with the first post and not here, so that a cold start waits for nothing.
    let orders = configuration.orders.map(|orders| OrderReceiver {
        secrets: Arc::new(CachedSecret::new(
            foundation.secrets.clone(),
            orders.secret_arn,
        )),
        orders: Arc::new(DynamoDbOrders::new(&foundation.aws, orders.table)),
    });
    let function = ReceiveEvents {
        secrets: Arc::new(CachedSecret::new(
            foundation.secrets,
            configuration.event_secret_arn,
        )),
        changes: Arc::new(SqsQueue::new(
            &foundation.aws,
            configuration.changes_queue_url,
        )),
        jobs: Arc::new(SqsQueue::new(&foundation.aws, configuration.jobs_queue_url)),
        clock: Arc::new(SystemClock),
        shops: configuration.shops,
        orders,
        metrics: foundation.metrics.clone(),
    };
    let handler = async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        Ok::<_, Error>(function.handle(&event.payload).await)
    };
    serve(&foundation.metrics, &foundation.stack, handler).await
}
