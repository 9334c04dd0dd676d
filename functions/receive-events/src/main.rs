//! The Lambda function `receive-events`.

use std::process::ExitCode;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{Error, LambdaEvent};
use receive_events::{Configuration, ReceiveEvents};
use shared::runtime::{configuration::Environment, context::AwsContext, serve, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let configuration = Configuration::read(Environment::of_process())?;
    let context = AwsContext::load()?;
    let function = ReceiveEvents::build(configuration, &context);
    let handler = async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        Ok::<_, Error>(function.handle(&event.payload).await)
    };
    serve(&context.metrics, &context.stack, handler).await
}
