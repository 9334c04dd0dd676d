//! What the stores and queues on AWS have in common: the SDK's set-up, clients, a DynamoDB table, errors as text that is fit
//! for a log, and pauses between attempts.

pub(crate) mod dynamodb;
mod lazy_client;
pub mod sdk;

pub use dynamodb::Database;
pub use lazy_client::LazyClient;

use std::{error::Error, time::Duration};

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

/// The first pause is random between zero and this; it doubles from attempt to attempt ("full jitter").
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Pauses before another attempt at something that AWS refused for the moment. `attempt` counts from 1.
///
/// The SDK repeats what failed as a whole (throttling, a lost connection); this is for what it takes for an answer:
/// conflicting transactions and batches of which only a part was taken.
pub(crate) async fn pause(attempt: u32) {
    let longest = FIRST_PAUSE
        .saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX))
        .min(LONGEST_PAUSE);
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}

/// The error of a request that is not valid. Its message may quote a value of the request.
const INVALID: &str = "ValidationException";

/// A failed call in words: the service's code and message, or what became of the connection. Never the request or the
/// response, which hold data (P11).
pub(crate) fn explain<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            match (service.err().code(), service.err().message()) {
                (Some(code), Some(message)) if code != INVALID => {
                    format!("{code}: {message} (status {status})")
                }
                (Some(code), _) => format!("{code} (status {status})"),
                (None, _) => format!("an error without a code (status {status})"),
            }
        }
        SdkError::ResponseError(response) => format!(
            "an answer that cannot be read (status {})",
            response.raw().status().as_u16()
        ),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        // Causes of these two are about connections, credentials and missing parameters.
        other => causes(other),
    }
}

/// An error and its causes, in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
