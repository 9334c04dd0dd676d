//! The Lambda function `console`.

use std::{process::ExitCode, sync::Arc};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use console::{
    CALLBACK_PATH, Configuration, Console, LambdaOperator, Provider, ProviderSettings,
    StoredCredentials,
};
use lambda_runtime::{Error, LambdaEvent};
use shared::{
    domain::SystemClock,
    runtime::{batch, configuration::Environment, context::AwsContext, serve, telemetry},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let configuration = Configuration::read(Environment::of_process())?;
    let context = AwsContext::load()?;
    // Secrets and the provider's metadata are read with the first request that needs them.
    let credentials = Arc::new(StoredCredentials::new(
        context.secrets.clone(),
        configuration.key_secret_arn,
        configuration.client_secret_arn,
    ));
    let origin = configuration.url.url().origin().ascii_serialization();
    let settings = ProviderSettings {
        issuer: configuration.issuer,
        callback: format!("{origin}{CALLBACK_PATH}"),
        role_claim: configuration.role_claim,
        roles: configuration.roles,
    };
    let function = Console {
        origin,
        stack: context.stack.clone(),
        allowed: configuration.allowed,
        session: configuration.session,
        provider: Provider::new(
            settings,
            credentials.clone(),
            context.transport.clone(),
            Arc::new(SystemClock),
        ),
        credentials,
        operator: Arc::new(LambdaOperator::new(&context.aws, configuration.operator)),
        clock: Arc::new(SystemClock),
        metrics: context.metrics.clone(),
    };
    let handler = async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        let deadline = batch::deadline(event.context.deadline());
        Ok::<_, Error>(function.handle(&event.payload, deadline).await)
    };
    serve(&context.metrics, &context.stack, handler).await
}
