//! The payloads with which Lambda invokes the functions.

use chrono::Utc;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// A post as an HTTP API hands it over, payload format 2.0.
pub fn event_post(path: &str, secret: &str, body: &str) -> Vec<u8> {
    json!({
        "version": "2.0",
        "routeKey": "POST /events/{type}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-length": body.len().to_string(),
            "content-type": "application/json; charset=utf-8",
            "host": "abcdefghij.execute-api.eu-north-1.amazonaws.com",
            "user-agent": "Norce",
            "x-amzn-trace-id": "Root=1-6742a3f1-1b2c3d4e5f60718293a4b5c6",
            "x-event-secret": secret,
            "x-forwarded-for": "192.0.2.10",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https"
        },
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-north-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.10",
                "userAgent": "Norce"
            },
            "requestId": "B3kXuj2mgi0EMJw=",
            "routeKey": "POST /events/{type}",
            "stage": "$default",
            "time": "23/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_428_000_000_u64
        },
        "pathParameters": { "type": path.rsplit('/').next() },
        "body": body,
        "isBase64Encoded": false
    })
    .to_string()
    .into_bytes()
}

/// An invocation with these messages, each with its FIFO group where the queue has groups.
///
/// # Errors
/// When a message cannot be written as JSON.
pub fn sqs_event<M: Serialize>(
    messages: &[M],
    group: impl Fn(&M) -> Option<String>,
) -> serde_json::Result<Vec<u8>> {
    let bodies: Vec<(String, Option<String>)> = messages
        .iter()
        .map(|message| Ok((serde_json::to_string(message)?, group(message))))
        .collect::<serde_json::Result<_>>()?;
    Ok(sqs_bodies(&bodies))
}

/// An invocation with messages of these bodies and FIFO groups, sent a moment ago and delivered for the first time.
pub fn sqs_bodies(bodies: &[(String, Option<String>)]) -> Vec<u8> {
    let now = Utc::now().timestamp_millis().to_string();
    let records: Vec<Value> = bodies
        .iter()
        .map(|(body, group)| {
            let id = Uuid::new_v4();
            let mut attributes = json!({
                "ApproximateFirstReceiveTimestamp": now,
                "ApproximateReceiveCount": "1",
                "SenderId": "AROAEXAMPLEEXAMPLEEXA:receive-events",
                "SentTimestamp": now
            });
            if let Some(group) = group {
                attributes["MessageGroupId"] = group.as_str().into();
            }
            json!({
                "messageId": id,
                "receiptHandle": format!("AQEB{}", id.simple()),
                "body": body,
                "attributes": attributes,
                "messageAttributes": {},
                "md5OfBody": id.simple().to_string(),
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-north-1:000000000000:queue",
                "awsRegion": "eu-north-1"
            })
        })
        .collect();
    json!({ "Records": records }).to_string().into_bytes()
}
