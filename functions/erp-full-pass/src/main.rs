//! The Lambda function `erp-full-pass`: started by a schedule or by a person, and continued by the queue `passes`.

use std::{num::NonZeroUsize, process::ExitCode};

use aws_lambda_events::sqs::SqsEvent;
use erp_full_pass::{Configuration, ErpFullPass, Request, Retry};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;
use shared::{
    domain::{SystemClock, without_values},
    runtime::{
        Refreshing,
        batch::{self, Source},
        context::AwsContext,
        serve, telemetry,
    },
};

/// The answer to any other request.
const EXPECTED: &str = r#"expected {"mode":"delta"|"full"|"sweep","kind":"customer"|"company"|null,"application":id|null,"dryRun":bool} or {"retry":"owed"}"#;
/// One run at a time: a run uses all the time that an invocation has.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let context = AwsContext::load()?;
    let configuration = Configuration::read(context.environment().await?)?;
    let inbox = context.inbox(&configuration.passes);
    let source = Source {
        queue: "passes",
        inbox: &inbox,
        metrics: &context.metrics,
        clock: &SystemClock,
    };
    let build = || ErpFullPass::build(&configuration, &context);
    let function = Refreshing::default();
    let handler = async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        let deadline = batch::deadline(context.deadline());
        let function = function.get(build).await;
        if payload.get("Records").is_none() {
            let function = function?;
            let request = Request::parse(payload)
                .map_err(|error| format!("{}; {EXPECTED}", without_values(&error)))?;
            return Ok(match request {
                Request::Pass(request) => serde_json::to_value(function.start(&request).await?)?,
                Request::Retry(Retry::Owed {}) => {
                    let retried = function.retry_owed(deadline).await?;
                    function.heartbeat(&retried.counts).await?;
                    serde_json::to_value(retried)?
                }
            });
        }
        let event: SqsEvent =
            serde_json::from_value(payload).map_err(|error| without_values(&error))?;
        let function = source.or_return(&event, function).await?;
        let function = function.as_ref();
        let response = batch::handle(&event, source, CONCURRENCY, deadline, function).await;
        Ok::<_, Error>(serde_json::to_value(response)?)
    };
    serve(&context.metrics, &context.stack, handler).await
}
