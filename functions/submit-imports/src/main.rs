//! The Lambda function `submit-imports`.

use std::process::ExitCode;

use lambda_runtime::Error;
use shared::runtime::{context::AwsContext, serve_queue, telemetry};
use submit_imports::{Configuration, SubmitImports};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let context = AwsContext::load()?;
    let configuration = Configuration::read(context.environment().await?)?;
    let build = || SubmitImports::build(&configuration, &context);
    serve_queue(
        &context,
        "imports",
        &configuration.imports,
        build,
        async |function, event, source, deadline| function.handle(event, source, deadline).await,
    )
    .await
}
