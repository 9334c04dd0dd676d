//! As much of Secrets Manager and SQS as `receive-events` asks for, answered at once.

use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves until the program ends; its address.
pub(crate) async fn serve(secret: &str) -> String {
    let secret = secret.to_owned();
    let router = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let secret = secret.clone();
        async move { answer(&secret, &headers, &body) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
    format!("http://{address}")
}

fn answer(secret: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok());
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match target {
        Some("secretsmanager.GetSecretValue") => Json(json!({
            "ARN": body["SecretId"],
            "Name": "event-secret",
            "SecretString": json!({ "current": secret }).to_string()
        }))
        .into_response(),
        Some("AmazonSQS.SendMessageBatch") => {
            let entries = body["Entries"].as_array().into_iter().flatten();
            let sent: Vec<Value> = entries
                .map(|entry| {
                    json!({
                        "Id": entry["Id"],
                        "MessageId": entry["Id"],
                        "MD5OfMessageBody": "00000000000000000000000000000000"
                    })
                })
                .collect();
            Json(json!({ "Successful": sent, "Failed": [] })).into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}
