//! Norce posts its orders to the integration, and the merchant's order integration reads them from the outgoing queue.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_sqs::Client;
use serde_json::Value;

use super::{SandboxError, deployment::Deployment, shop::Shop};
use crate::{
    local_aws::LocalAws,
    norce_simulator::{EventType, HttpEventSink, OrderReceiver},
};

/// The invented credentials of Norce's orders.
pub(super) const CREDENTIALS: (&str, &str) = ("sandbox-orders", "sandbox-order-password");
/// Each order is posted this often: it is forwarded once.
const COPIES: u32 = 2;
/// Norce's own pauses are not documented.
const RETRIES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// Lets Norce post its orders, as a person sets it up in Norce Admin, instead of events about them.
pub(super) fn post_orders(shop: &Shop, deployment: &Deployment) -> Result<(), SandboxError> {
    let sink = HttpEventSink::new().map_err(SandboxError::Day)?;
    let (username, password) = CREDENTIALS;
    let admin = OrderReceiver {
        url: deployment.order_url()?,
        username: username.to_owned(),
        password: password.to_owned(),
        retries: RETRIES.to_vec(),
        copies: COPIES,
    };
    shop.norce.post_orders_to(admin, Arc::new(sink));
    for event in [EventType::OrderReceived, EventType::OrderConfirmed] {
        shop.norce.unsubscribe(event);
    }
    Ok(())
}

/// Reads the outgoing queue as the merchant's order integration does, and compares it with what Norce has. Returns what
/// is not as it should be, and what was found, in words.
pub(super) async fn read(
    shop: &Shop,
    aws: &LocalAws,
    deployment: &Deployment,
) -> Result<(Vec<String>, String), SandboxError> {
    let orders = take(aws, deployment).await?;
    let mut forwarded: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for order in &orders {
        let order: Value = serde_json::from_str(order)
            .map_err(|error| SandboxError::Day(format!("an outgoing order: {error}")))?;
        let reference = order["ClientOrderRef"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        forwarded.entry(reference).or_default().push(order);
    }
    let mut faults = Vec::new();
    let placed = shop.norce.orders();
    for order in &placed {
        let code = order
            .row
            .buyer_customer_id
            .and_then(|id| shop.norce.customer(id))
            .and_then(|customer| customer.row.customer_code);
        let codes: Vec<Option<&str>> = forwarded
            .get(&order.client_order_ref)
            .into_iter()
            .flatten()
            .map(|order| order["SellTo"]["Person"]["CustomerCode"].as_str())
            .collect();
        if code.is_none() || codes != [code.as_deref()] {
            faults.push(format!(
                "order {} is the customer's with code {code:?}, and was forwarded with {codes:?}",
                order.client_order_ref
            ));
        }
    }
    let found = format!(
        "orders             {} placed, each posted {COPIES} times; {} forwarded with the codes of their customers",
        placed.len(),
        orders.len()
    );
    Ok((faults, found))
}

/// Takes everything off the outgoing queue.
async fn take(aws: &LocalAws, deployment: &Deployment) -> Result<Vec<String>, SandboxError> {
    const MAX_AT_ONCE: i32 = 10;
    let client = Client::new(&aws.aws_config());
    let url = deployment.output("OutgoingOrdersQueueUrl")?;
    let failed = "the outgoing orders cannot be read";
    let mut orders = Vec::new();
    loop {
        let received = client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(MAX_AT_ONCE)
            .send()
            .await
            .map_err(|error| SandboxError::aws(failed, error))?;
        if received.messages().is_empty() {
            return Ok(orders);
        }
        for message in received.messages() {
            orders.extend(message.body().map(str::to_owned));
            client
                .delete_message()
                .queue_url(url)
                .set_receipt_handle(message.receipt_handle().map(str::to_owned))
                .send()
                .await
                .map_err(|error| SandboxError::aws(failed, error))?;
        }
    }
}
