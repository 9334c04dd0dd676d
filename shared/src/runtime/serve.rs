//! Runs a function: one invocation after the other, each in a span of its own, its metrics written at its end.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tracing::Instrument as _;

use super::{
    Refreshing,
    batch::{self, Source},
    configuration::InboxSettings,
    context::AwsContext,
    telemetry,
    wiring::WiringError,
};
use crate::{
    domain::{SystemClock, without_values},
    http::Deadline,
    metrics::Metrics,
};

/// Answers Lambda's invocations until the process ends.
///
/// The span is ours and not [`lambda_runtime::run`]'s: that one is of level INFO, so that a line of level ERROR would have
/// no request id where only errors are written, and it repeats the trace id.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn serve<Payload, Response, Failure>(
    metrics: &Metrics,
    stack: &str,
    handler: impl AsyncFn(LambdaEvent<Payload>) -> Result<Response, Failure>,
) -> Result<(), Error>
where
    Payload: DeserializeOwned,
    Response: Serialize,
    Failure: Into<Diagnostic>,
{
    let handler = &handler;
    // The payload is read here and not by the library, which would log what it cannot read, values and all (P11).
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let LambdaEvent { payload, context } = event;
        let span = telemetry::invocation(&context.request_id);
        async move {
            let result = match read(&payload) {
                // Boxed: the future of a whole use case, inlined here, is nested too deeply for the compiler.
                Ok(payload) => Box::pin(handler(LambdaEvent { payload, context }))
                    .await
                    .map_err(Into::into),
                Err(diagnostic) => Err(diagnostic),
            };
            let result = result.inspect_err(|diagnostic: &Diagnostic| {
                tracing::error!(
                    error_type = diagnostic.error_type,
                    error = diagnostic.error_message,
                    "invocation failed"
                );
            });
            metrics.write(stack);
            result
        }
        .instrument(span)
    });
    Runtime::new(service).run().await
}

/// Answers the invocations of a function that a queue triggers, until the process ends. The function is built for the first
/// batch, and again when secrets may have been rotated. `queue` is the queue's name in the metrics.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn serve_queue<Function, Built>(
    context: &AwsContext,
    queue: &'static str,
    inbox: &InboxSettings,
    build: impl Fn() -> Built,
    handle: impl AsyncFn(&Function, &SqsEvent, Source<'_>, Deadline) -> SqsBatchResponse,
) -> Result<(), Error>
where
    Built: Future<Output = Result<Function, WiringError>>,
{
    let inbox = context.inbox(inbox);
    let source = Source {
        queue,
        inbox: &inbox,
        metrics: &context.metrics,
        clock: &SystemClock,
    };
    let function = Refreshing::default();
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let function = function.get(&build).await;
        let function = source.or_return(&event.payload, function).await?;
        let deadline = batch::deadline(event.context.deadline());
        Ok::<_, Error>(handle(&function, &event.payload, source, deadline).await)
    };
    serve(&context.metrics, &context.stack, handler).await
}

fn read<Payload: DeserializeOwned>(payload: &RawValue) -> Result<Payload, Diagnostic> {
    serde_json::from_str(payload.get()).map_err(|error| Diagnostic {
        error_type: "Payload".to_owned(),
        error_message: format!(
            "the payload is not one of this function: {}",
            without_values(&error)
        ),
    })
}
