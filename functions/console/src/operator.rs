//! The function `operator`, which answers the requests of the page.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::{
    Client,
    config::{Builder, retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::invoke::InvokeError,
    primitives::Blob,
};
use aws_types::SdkConfig;
use serde::Deserialize;
use serde_json::Value;
use shared::aws::LazyClient;
use thiserror::Error;

/// An HTTP API gives up after 30 seconds (API Gateway quotas, "Maximum integration timeout"), and this function after 29, of
/// which three are kept for the answer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(26);

/// Why `operator` gave no answer, by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OperatorError {
    /// Correct the request.
    #[error("{0}")]
    Request(String),
    /// Ask for the role that the request needs.
    #[error("{0}")]
    Role(String),
    /// Correct the set-up.
    #[error("{0}")]
    SetUp(String),
    /// Repeat the request later; what was done by then stays done.
    #[error("{0}")]
    Later(String),
    /// The function was certainly not called.
    #[error("the function operator could not be called: {0}")]
    NotCalled(String),
    /// It was called and did not answer in time: it may have carried out the request.
    #[error("the function operator did not answer in time")]
    NoAnswer,
    /// It failed: it may have carried out a part of the request.
    #[error("the function operator failed")]
    Failed,
}

/// Calls `operator`.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Sends a request once and waits for the answer, which is JSON.
    ///
    /// # Errors
    /// [`OperatorError`].
    async fn ask(&self, request: &Value, within: Duration) -> Result<String, OperatorError>;
}

/// The function on AWS.
pub struct LambdaOperator {
    client: LazyClient<Client>,
    function: String,
}

/// Lambda's answer for a function that failed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionFailure {
    #[serde(default)]
    error_type: String,
}

/// An answer of `operator` that may be a refusal.
#[derive(Deserialize)]
struct MaybeRefused {
    refused: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    kind: RefusalKind,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RefusalKind {
    Request,
    Role,
    SetUp,
    Later,
}

impl From<Refused> for OperatorError {
    fn from(Refused { kind, message }: Refused) -> Self {
        match kind {
            RefusalKind::Request => Self::Request(message),
            RefusalKind::Role => Self::Role(message),
            RefusalKind::SetUp => Self::SetUp(message),
            RefusalKind::Later => Self::Later(message),
        }
    }
}

impl LambdaOperator {
    /// The function of this name.
    pub fn new(aws: &SdkConfig, function: impl Into<String>) -> Self {
        Self {
            client: LazyClient::new(aws, client),
            function: function.into(),
        }
    }
}

fn client(aws: &SdkConfig) -> Client {
    let timeouts = TimeoutConfig::builder()
        .read_timeout(LONGEST_WAIT)
        .operation_attempt_timeout(LONGEST_WAIT)
        .operation_timeout(LONGEST_WAIT)
        .build();
    let config = Builder::from(aws)
        .timeout_config(timeouts)
        // No retries: a request whose answer was lost may have been carried out.
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

#[async_trait]
impl Operator for LambdaOperator {
    async fn ask(&self, request: &Value, within: Duration) -> Result<String, OperatorError> {
        let call = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(request.to_string()))
            .send();
        let answer = tokio::time::timeout(within.min(LONGEST_WAIT), call)
            .await
            .map_err(|_| OperatorError::NoAnswer)?
            .map_err(of_call)?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if answer.function_error.is_some() {
            return Err(of_function(&payload));
        }
        // Every answer is a JSON object; anything else, or an unknown refusal, is a fault of the function.
        let answered: MaybeRefused =
            serde_json::from_slice(&payload).map_err(|_| OperatorError::Failed)?;
        match answered.refused {
            Some(refused) => Err(refused.into()),
            None => String::from_utf8(payload).map_err(|_| OperatorError::Failed),
        }
    }
}

fn of_call(error: SdkError<InvokeError>) -> OperatorError {
    match error {
        // A refused call was not begun; after a fault of Lambda itself, that is unknown.
        SdkError::ServiceError(error) if (400..500).contains(&error.raw().status().as_u16()) => {
            let code = error.err().meta().code();
            OperatorError::NotCalled(code.unwrap_or("an error without a code").to_owned())
        }
        SdkError::ConstructionFailure(_) => {
            OperatorError::NotCalled("the request could not be made".to_owned())
        }
        _ => OperatorError::NoAnswer,
    }
}

/// Whether a process ended, or ran out of time.
fn of_function(payload: &[u8]) -> OperatorError {
    match serde_json::from_slice::<FunctionFailure>(payload) {
        Ok(failure) if failure.error_type == "Sandbox.Timedout" => OperatorError::NoAnswer,
        _ => OperatorError::Failed,
    }
}
