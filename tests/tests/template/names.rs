//! The secret with the names of the stack's resources, read from a stand-in for Secrets Manager.

use std::{net::SocketAddr, sync::Arc};

use axum::http::StatusCode;
use operator::Configuration;
use serde_json::{Value, json};
use shared::{
    http::ReqwestTransport,
    runtime::{
        configuration::{Environment, RESOURCE_NAMES_SECRET_ARN},
        context::AwsContext,
    },
};
use tests::{
    bundle::{Bundle, Options},
    local_aws::aws_at,
};

const ARN: &str = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:ResourceNames-AbCdEf";

/// The clients of a function, towards a Secrets Manager that gives every request the same answer.
async fn context(status: StatusCode, answer: Value) -> AwsContext {
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(move || {
        let answer = answer.clone();
        async move { (status, answer.to_string()) }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let aws = aws_at(endpoint);
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    AwsContext::new(aws, transport, String::new())
}

fn environment() -> Environment<'static> {
    Environment::new(|name| match name {
        RESOURCE_NAMES_SECRET_ARN => Some(ARN.to_owned()),
        "EVENT_SECRET_ARN" => Some("of the environment".to_owned()),
        "PASSES_TABLE" => Some("of the environment".to_owned()),
        _ => None,
    })
}

fn secret(document: &str) -> Value {
    json!({ "ARN": ARN, "Name": "ResourceNames", "SecretString": document })
}

#[tokio::test]
async fn the_names_of_the_resources_are_read_from_their_secret() {
    let document = r#"{"OWED_TABLE":"of the stack","PASSES_TABLE":"of the stack"}"#;
    let context = context(StatusCode::OK, secret(document)).await;
    let configuration = Configuration::load(&context, environment()).await;
    assert_eq!(configuration.owed_table.as_deref(), Some("of the stack"));
    let passes = configuration.passes_table.as_deref();
    assert_eq!(passes, Some("of the environment"));
    let faults = configuration.faults.join("\n");
    assert!(!faults.contains("OWED_TABLE"), "{faults}");
}

#[tokio::test]
async fn doctor_answers_when_the_names_of_the_resources_are_missing_or_broken() {
    let missing = json!({ "__type": "ResourceNotFoundException", "message": "no such secret" });
    for (status, answer, reason) in [
        (StatusCode::BAD_REQUEST, missing, "no such secret"),
        (StatusCode::OK, secret("[1]"), "is not JSON of the form"),
        (StatusCode::OK, secret(r#"{"OWED_TABLE":1}"#), "is not JSON"),
    ] {
        let context = context(status, answer).await;
        let configuration = Configuration::load(&context, environment()).await;
        let first = configuration.faults[0].clone();
        assert!(
            first.starts_with(&format!("{RESOURCE_NAMES_SECRET_ARN}: the secret {ARN} ")),
            "{first}"
        );
        assert!(first.contains(reason), "{first}");
        // The rest of the configuration is read all the same.
        let event_secret = configuration.event_secret_arn.as_deref();
        assert_eq!(event_secret, Some("of the environment"));

        let mut bundle = Bundle::new(&Options::default());
        bundle.operator.doctor.faults = configuration.faults;
        let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
        let checks = report["checks"].as_array().unwrap();
        let faulty: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
        assert_eq!(faulty.len(), 1, "{report:#}");
        let detail = faulty[0]["detail"].as_str().unwrap();
        assert!(detail.starts_with(RESOURCE_NAMES_SECRET_ARN), "{detail}");
        assert!(detail.contains(reason), "{detail}");
    }
}
