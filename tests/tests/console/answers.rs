//! What all answers have in common, and how each fault of `operator` reaches the page.

use std::time::Duration;

use console::OperatorError;
use serde_json::json;
use shared::http::Deadline;
use tests::{
    captured_logs::CapturedText,
    console::{Answered, Browser, Request, Stage},
};
use tracing::Level;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

#[tokio::test]
async fn every_answer_keeps_the_page_to_itself() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Act").await;
    let mut answers = vec![
        browser.send(Request::new("GET", "/console/overview")).await,
        browser.ask("status", json!({})).await,
        browser.ask("forget", json!({})).await,
        browser.ask("nonsense", json!({})).await,
    ];
    for (method, address) in [
        ("GET", "/console"),
        ("GET", "/console/signed-out"),
        ("GET", "/console/callback"),
        ("GET", "/console/nonsense"),
        ("GET", "/console/assets/0123456789abcdef/app.js"),
        ("POST", "/console/api/status"),
        ("POST", "/console/sign-out"),
    ] {
        answers.push(stage.send(&Request::new(method, address).event()).await);
    }
    for answered in answers {
        let of = |name: &str| answered.header(name).to_owned();
        assert_eq!(of("content-security-policy"), POLICY);
        assert_eq!(of("x-content-type-options"), "nosniff");
        assert_eq!(of("referrer-policy"), "no-referrer");
        assert_eq!(of("cross-origin-opener-policy"), "same-origin");
        assert_eq!(of("cross-origin-resource-policy"), "same-origin");
        assert!(of("strict-transport-security").starts_with("max-age="));
        assert_ne!(of("cache-control"), "");
        assert!(!of("cache-control").contains("public"), "{answered:?}");
    }
}

#[tokio::test]
async fn each_fault_of_the_operator_has_a_status_and_says_what_to_do() {
    let later = || "Norce does not answer; what was done by then stays done".to_owned();
    for (error, status, kind, words) in [
        (
            OperatorError::Request("`code`: too long".to_owned()),
            400,
            "request",
            "too long",
        ),
        (
            OperatorError::SetUp("NORCE_SCOPE: is not set".to_owned()),
            422,
            "set-up",
            "NORCE_SCOPE",
        ),
        (OperatorError::Later(later()), 503, "later", "stays done"),
        (
            OperatorError::NotCalled("TooManyRequestsException".to_owned()),
            503,
            "later",
            "Nothing was done",
        ),
        (OperatorError::NoAnswer, 504, "later", "may have been done"),
        (
            OperatorError::Failed,
            502,
            "later",
            "A part of what was asked may have been done",
        ),
    ] {
        let stage = Stage::new();
        let mut browser = Browser::new(&stage);
        browser.sign_in("Norce.Act").await;
        stage.operator.answer(Err(error.clone()));
        let answered = browser.ask("owed", json!({ "do": "retry" })).await;
        assert_eq!(answered.status(), status, "{error:?}");
        let fault = &answered.json()["error"];
        assert_eq!(fault["kind"], kind, "{error:?}");
        let message = fault["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert_eq!(answered.header("cache-control"), "no-store");
        // Asked once: nothing is repeated behind a person's back.
        assert_eq!(stage.operator.take_asked().len(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_in_a_sentence_without_its_values() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Admin").await;
    let large = json!({ "email": "x".repeat(console::MAX_BODY_BYTES) }).to_string();
    for body in [
        "",
        "[]",
        "\"canary\"",
        "{\"email\":\"canary",
        "null",
        &large,
    ] {
        let request = Request::of_page("explain", &json!({})).body(body);
        let answered = browser.send(request).await;
        assert_eq!(answered.status(), 400, "{body:.20}");
        assert!(!answered.text().contains("canary"), "{}", answered.text());
    }
    assert!(stage.operator.take_asked().is_empty());
    // API Gateway encodes what it does not take for text.
    let mut event = Request::of_page("explain", &json!({}));
    event = event.cookie(&browser.cookie("__Host-session").unwrap());
    let mut event = event.body("eyJlbWFpbCI6ImFAZXhhbXBsZS5jb20ifQ==").event();
    event.is_base64_encoded = true;
    assert_eq!(stage.send(&event).await.status(), 200);
    assert_eq!(stage.operator.take_asked()[0]["email"], "a@example.com");
}

#[tokio::test]
async fn the_longest_body_is_taken_and_one_byte_more_is_not() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let of_length = |length: usize| {
        let frame = json!({ "code": "" }).to_string().len();
        json!({ "code": "x".repeat(length - frame) }).to_string()
    };
    for (length, status) in [
        (console::MAX_BODY_BYTES, 200),
        (console::MAX_BODY_BYTES + 1, 400),
    ] {
        let body = of_length(length);
        assert_eq!(body.len(), length);
        let request = Request::of_page("explain", &json!({})).body(&body);
        assert_eq!(browser.send(request).await.status(), status, "{length}");
    }
}

#[tokio::test]
async fn an_action_is_not_begun_when_the_time_is_nearly_up() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Act").await;
    let cookie = browser.cookie("__Host-session").unwrap();
    let event = Request::of_page("owed", &json!({ "do": "retry" }))
        .cookie(&cookie)
        .event();
    let deadline = Deadline::after(Duration::from_millis(1_500));
    let answered = Answered(stage.console.handle(&event, deadline).await);
    assert_eq!(answered.status(), 503);
    assert!(answered.text().contains("Nothing was done"));
    assert!(stage.operator.take_asked().is_empty());
}

/// P11: of a whole day at the console, nothing about a person is in the log.
#[tokio::test]
async fn p11_the_log_names_nobody() {
    let log = CapturedText::default();
    let _guard = log.capture(Level::DEBUG);
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Admin").await;
    browser
        .ask("explain", json!({ "email": "canary.customer@example.com" }))
        .await;
    browser.ask("canary-action", json!({ "canary": 1 })).await;
    browser.ask("forget", json!({ "by": "canary" })).await;
    browser
        .send(Request::of_page("status", &json!({})).with("origin", "https://canary.example.com"))
        .await;
    browser
        .send(Request::new("GET", "/console/record?q=canary"))
        .await;
    browser
        .send(Request::new(
            "GET",
            "/console/callback?state=canary&code=canary",
        ))
        .await;
    browser.send(Request::new("GET", "/canary")).await;
    stage
        .operator
        .answer(Err(OperatorError::Later("canary of a remote".to_owned())));
    browser.ask("status", json!({})).await;
    let text = log.text();
    assert!(text.contains("request of the page answered"));
    for canary in ["canary", "Kanarine", "Fogelström", "192.0.2.10"] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}
