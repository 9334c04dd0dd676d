//! The Lambda function `poll-jobs`.

use std::{num::NonZeroUsize, process::ExitCode};

use lambda_runtime::Error;
use poll_jobs::{Configuration, PollJobs};
use shared::runtime::{batch, context::AwsContext, serve_queue, telemetry};

/// Jobs that one invocation checks at the same time. Each takes one or two small reads of Norce.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(5).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let context = AwsContext::load()?;
    let configuration = Configuration::read(context.environment().await?)?;
    let build = || PollJobs::build(&configuration, &context);
    serve_queue(
        &context,
        "jobs",
        &configuration.jobs,
        build,
        async |function, event, source, deadline| {
            batch::handle(event, source, CONCURRENCY, deadline, function).await
        },
    )
    .await
}
