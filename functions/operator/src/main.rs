//! The Lambda function `operator`: invoked by a person or by the console.

use std::{process::ExitCode, sync::Arc};

use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use operator::{Call, Process, Refusal, Refused};
use serde_json::{Value, json};
use shared::{
    domain::{SystemClock, redact},
    runtime::{batch, configuration::Environment, context::AwsContext, serve, telemetry},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    telemetry::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let context = AwsContext::load()?;
    let process = Process::new(&context, Environment::of_process, Arc::new(SystemClock));
    let handler = async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        let action = payload["action"].as_str().unwrap_or_default().to_owned();
        let is_of_console = Call::is_of_console(&payload);
        let language = Call::language(&payload);
        let deadline = batch::deadline(context.deadline());
        let answer = process.answer(payload, &context.request_id, deadline).await;
        let reply = match answer {
            Ok(answer) => {
                // Kept in the log; a summary has no personal data.
                tracing::info!(action, summary = answer.summary(), "request answered");
                serde_json::to_value(answer)
            }
            Err(refusal) if is_of_console => {
                tracing::warn!(
                    action,
                    reason = redact(&refusal.to_string()),
                    "request of a console user refused"
                );
                serde_json::to_value(json!({ "refused": Refused::from(&refusal) }))
            }
            Err(refusal) => return Err(diagnostic(refusal)),
        };
        let mut reply = reply.map_err(|error| Diagnostic {
            error_type: "Answer".to_owned(),
            error_message: error.to_string(),
        })?;
        language.say(&mut reply);
        Ok(reply)
    };
    serve(&context.metrics, &context.stack, handler).await
}

/// The error that the caller sees.
fn diagnostic(refusal: Refusal) -> Diagnostic {
    let error_type = match refusal {
        Refusal::Request(_) => "Request",
        Refusal::Role { .. } => "Role",
        Refusal::SetUp(_) => "SetUp",
        Refusal::Later(_) => "Later",
    };
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message: refusal.to_string(),
    }
}
