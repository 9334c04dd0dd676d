//! Tables and queues for each test, on the MiniStack that this test binary shares.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;
use std::collections::HashMap;
use tests::local_aws::{LocalAws, create_table};
use uuid::Uuid;

pub(crate) async fn config() -> SdkConfig {
    LocalAws::shared().await.unwrap().aws_config()
}

/// A table with the key schema that the template gives all of them.
pub(crate) async fn table(config: &SdkConfig) -> String {
    let name = format!("table-{}", Uuid::new_v4());
    create_table(config, &name).await.unwrap();
    name
}

/// Everything that a table holds.
pub(crate) async fn scan(config: &SdkConfig, table: &str) -> Vec<HashMap<String, AttributeValue>> {
    let pages = aws_sdk_dynamodb::Client::new(config)
        .scan()
        .table_name(table)
        .into_paginator()
        .items()
        .send();
    pages.try_collect().await.unwrap()
}

/// The URL and the ARN of a new queue.
pub(crate) async fn queue(
    config: &SdkConfig,
    fifo: bool,
    attributes: &[(QueueAttributeName, String)],
) -> (String, String) {
    let sqs = aws_sdk_sqs::Client::new(config);
    let suffix = if fifo { ".fifo" } else { "" };
    let mut request = sqs
        .create_queue()
        .queue_name(format!("queue-{}{suffix}", Uuid::new_v4()));
    if fifo {
        request = request.attributes(QueueAttributeName::FifoQueue, "true");
    }
    for (name, value) in attributes {
        request = request.attributes(name.clone(), value);
    }
    let url = request.send().await.unwrap().queue_url.unwrap();
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .unwrap();
    let arn = attributes.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    (url, arn)
}
