//! The Lambda function `change-events`.

use std::process::ExitCode;

use change_events::{ChangeEvents, Configuration};
use lambda_runtime::Error;
use shared::runtime::{batch, context::AwsContext, serve_queue, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let context = AwsContext::load()?;
    let configuration = Configuration::read(context.environment().await?)?;
    let build = || ChangeEvents::build(&configuration, &context);
    serve_queue(
        &context,
        "changes",
        &configuration.changes,
        build,
        async |function, event, source, deadline| {
            batch::handle(event, source, configuration.concurrency, deadline, function).await
        },
    )
    .await
}
