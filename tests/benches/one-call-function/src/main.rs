//! The least that a function with one call of AWS can be: it sends the body of a request to the changes queue through the
//! SDK, and neither checks nor logs nor measures anything. What an event of ours is measured against.

use std::{env, sync::Arc};

use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use shared::{aws::sdk, http::ReqwestTransport};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let aws = sdk::load(Arc::new(ReqwestTransport::new()?))?;
    let (sqs, queue) = (Client::new(&aws), env::var("CHANGES_QUEUE_URL")?);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let id = Uuid::new_v4().to_string();
        let body = event.payload["body"].as_str().unwrap_or_default();
        let entry = SendMessageBatchRequestEntry::builder()
            .id(&id)
            .message_body(body)
            .message_group_id("all")
            .message_deduplication_id(id)
            .build()?;
        let batch = sqs.send_message_batch().queue_url(&queue).entries(entry);
        batch.send().await?;
        Ok::<_, Error>(json!({ "statusCode": 202 }))
    }))
    .await
}
