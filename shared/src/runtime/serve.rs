//! Runs a function: one invocation after the other, each in a span of its own, its metrics written at its end.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument as _;

use super::{metrics::Metrics, telemetry};

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
    let service = service_fn(move |event: LambdaEvent<Payload>| {
        let span = telemetry::invocation(&event.context.request_id);
        async move {
            // Boxed: the future of a whole use case, inlined here, is nested too deeply for the compiler.
            let result = Box::pin(handler(event)).await.map_err(|failure| {
                let diagnostic: Diagnostic = failure.into();
                tracing::error!(
                    error_type = diagnostic.error_type,
                    error = diagnostic.error_message,
                    "invocation failed"
                );
                diagnostic
            });
            metrics.write(stack);
            result
        }
        .instrument(span)
    });
    Runtime::new(service).run().await
}
