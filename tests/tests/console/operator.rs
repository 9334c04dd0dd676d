//! The invocation of `operator` on AWS: once, with a distinct result for each outcome.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use console::{LONGEST_WAIT, LambdaOperator, Operator as _, OperatorError};
use http::{Request, Response};
use serde_json::{Value, json};
use shared::http::{Transport, TransportError};
use tests::{
    bundle::{Bundle, Options},
    local_aws::aws_over,
};

type Scripted = Result<Response<Bytes>, TransportError>;

/// Gives prepared answers, or none for a long time, and notes what was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Scripted>>,
    asked: Mutex<Vec<(String, Value, Duration)>>,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Scripted {
        let body = serde_json::from_slice(request.body()).unwrap();
        let asked = (request.uri().path().to_owned(), body, timeout);
        self.asked.lock().unwrap().push(asked);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => {
                tokio::time::sleep(timeout).await;
                Err(TransportError::AnswerLost("time-out".to_owned()))
            }
        }
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Scripted {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap())
}

/// Asks once with this answer prepared.
async fn ask(answers: Vec<Scripted>) -> (Result<String, OperatorError>, usize) {
    let script = Arc::new(Script::default());
    *script.answers.lock().unwrap() = answers.into();
    let operator = LambdaOperator::new(&aws_over(script.clone()), "shop-operator");
    let request = json!({ "action": "owed", "do": "retry" });
    let answered = operator.ask(&request, LONGEST_WAIT).await;
    let asked = script.asked.lock().unwrap();
    for (path, body, timeout) in asked.iter() {
        assert_eq!(path, "/2015-03-31/functions/shop-operator/invocations");
        assert_eq!(*body, request);
        assert!(*timeout <= LONGEST_WAIT);
    }
    (answered, asked.len())
}

#[tokio::test]
async fn an_answer_comes_as_it_is() {
    let text = r#"{"summary":"3 records","owed":[]}"#;
    let (answered, asked) = ask(vec![answer(200, &[], text)]).await;
    assert_eq!((answered, asked), (Ok(text.to_owned()), 1));
}

#[tokio::test]
async fn each_end_of_the_function_is_told_from_the_others() {
    let unhandled = [("x-amz-function-error", "Unhandled")];
    let failure = |kind: &str, message: &str| {
        let body = json!({ "errorType": kind, "errorMessage": message });
        answer(200, &unhandled, &body.to_string())
    };
    let refused = |kind: &str, message: &str| {
        let body = json!({ "refused": { "kind": kind, "message": message } });
        answer(200, &[], &body.to_string())
    };
    let text = |text: &str| text.to_owned();
    for (answer, expected) in [
        (
            refused("request", "`code`: x"),
            OperatorError::Request(text("`code`: x")),
        ),
        (
            refused("role", "not yours"),
            OperatorError::Role(text("not yours")),
        ),
        (
            refused("set-up", "no scope"),
            OperatorError::SetUp(text("no scope")),
        ),
        (
            refused("later", "Norce is down"),
            OperatorError::Later(text("Norce is down")),
        ),
        // A refusal of a kind that we do not know, and what is no answer at all.
        (refused("nonsense", "x"), OperatorError::Failed),
        (answer(200, &[], "null"), OperatorError::Failed),
        (answer(200, &[], ""), OperatorError::Failed),
        (failure("Request", "x"), OperatorError::Failed),
        (
            failure("Sandbox.Timedout", "Task timed out"),
            OperatorError::NoAnswer,
        ),
        (
            failure("Runtime.ExitError", "exit status 1"),
            OperatorError::Failed,
        ),
        (
            answer(200, &unhandled, "Out of memory"),
            OperatorError::Failed,
        ),
    ] {
        let (answered, asked) = ask(vec![answer]).await;
        assert_eq!(answered, Err(expected));
        assert_eq!(asked, 1);
    }
}

/// An action must not be done twice because an answer was lost.
#[tokio::test]
async fn a_call_that_fails_is_not_made_again() {
    let lost = || Err(TransportError::AnswerLost("the body broke off".to_owned()));
    let refused = |status, kind: &str| {
        let headers = [("x-amzn-errortype", kind)];
        answer(status, &headers, r#"{"message":"canary"}"#)
    };
    let not_called = |kind: &str| OperatorError::NotCalled(kind.to_owned());
    for (first, expected) in [
        (lost(), OperatorError::NoAnswer),
        (
            refused(429, "TooManyRequestsException"),
            not_called("TooManyRequestsException"),
        ),
        (
            refused(403, "AccessDeniedException"),
            not_called("AccessDeniedException"),
        ),
        (
            refused(404, "ResourceNotFoundException"),
            not_called("ResourceNotFoundException"),
        ),
    ] {
        let (answered, asked) = ask(vec![first, answer(200, &[], "{}")]).await;
        assert_eq!(answered, Err(expected));
        assert_eq!(asked, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_console_waits_for_an_operator_that_does_not_answer_as_long_as_there_is_time_and_no_longer()
 {
    for within in [Duration::from_secs(5), LONGEST_WAIT, 2 * LONGEST_WAIT] {
        let script = Arc::new(Script::default());
        let operator = LambdaOperator::new(&aws_over(script.clone()), "shop-operator");
        let start = tokio::time::Instant::now();
        let answered = operator.ask(&json!({}), within).await;
        assert_eq!(answered, Err(OperatorError::NoAnswer));
        let waited = start.elapsed();
        assert!(
            waited <= within.min(LONGEST_WAIT) + Duration::from_secs(1),
            "{waited:?}"
        );
        assert!(
            waited + Duration::from_secs(1) >= within.min(LONGEST_WAIT),
            "{waited:?}"
        );
        assert_eq!(script.asked.lock().unwrap().len(), 1);
    }
}

/// `operator` takes who asks beside any request, and answers a user who has the role as it answers without.
#[tokio::test(start_paused = true)]
async fn the_operator_takes_who_asks_beside_any_request() {
    let bundle = Bundle::new(&Options::default());
    let by = json!({ "user": "canary-subject", "name": "Kanarine", "role": "view" });
    for request in [
        json!({ "action": "status" }),
        json!({ "action": "owed", "do": "list" }),
        json!({ "action": "dead-letters" }),
        json!({ "action": "jobs" }),
    ] {
        let mut with_by = request.clone();
        with_by["by"] = by.clone();
        let (with, without) = (bundle.ask(with_by).await, bundle.ask(request.clone()).await);
        assert_eq!(with.unwrap(), without.unwrap(), "{request}");
    }
    for by in [
        json!("canary"),
        json!({ "user": "canary" }),
        json!(["canary"]),
    ] {
        let request = json!({ "action": "status", "by": by });
        let refusal = bundle.ask(request).await.unwrap_err().to_string();
        assert!(refusal.contains("`by`"), "{refusal}");
        assert!(!refusal.contains("canary"), "{refusal}");
    }
}
