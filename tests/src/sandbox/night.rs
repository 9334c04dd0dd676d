//! The night: rare events, on the deployed functions with IAM enforced. The queue refuses events (P1), function
//! processes die in the middle of a create (P2), events arrive although nothing has changed (P5), and malformed
//! messages lie between good ones (P6).

use std::{collections::BTreeMap, fs, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    SandboxError,
    deployment::{Deployment, EVENT_SECRET},
    quiet::Queues,
    shop::Shop,
};
use crate::{
    local_aws::{LocalAws, REGION, ROOT_KEY},
    norce_simulator::{EventPost, EventSink as _, EventType, HttpEventSink, loopback_client},
};

/// New customers while function processes die.
const CUSTOMERS: usize = 3;
/// How long the ERP takes to answer a create that it has carried out: time enough to kill who waits for it.
const SLOW_ANSWER: Duration = Duration::from_secs(4);
/// How soon a message comes back whose function died. The template's twelve minutes are right, and too long here.
const VISIBILITY_SECONDS: u32 = 12;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(100);
/// The name of the inline policy that closes the queues.
const CLOSED: &str = "closed-for-the-night";

/// Waits until something is so.
pub(super) async fn until(
    what: &str,
    mut is_so: impl AsyncFnMut() -> Result<bool, SandboxError>,
) -> Result<(), SandboxError> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so().await? {
            return Ok(());
        }
        sleep(INTERVAL).await;
    }
    Err(SandboxError::Day(format!(
        "{what}: not within {PATIENCE:?}"
    )))
}

/// P1: `receive-events` loses its right to send, so that the queue refuses. What Norce posts meanwhile is answered
/// with 5xx and comes again. The customer moves; that both sides agree in the end is seen with everything else.
pub(super) async fn the_queue_refuses(
    shop: &Shop,
    aws: &LocalAws,
    deployment: &Deployment,
    customer: i64,
) -> Result<(), SandboxError> {
    let api = Api::new(aws)?;
    let role = api
        .role_of(deployment.output("ReceiveEventsFunction")?)
        .await?;
    let before = shop.norce.deliveries().len();
    api.deny(&role, "sqs:SendMessage*").await?;
    shop.norce.change_customer(customer, |customer| {
        customer.row.phone_number = Some("08-666 00 00".to_owned());
    });
    let refused = until(
        "an event is answered with 5xx while the queue refuses",
        async || {
            let deliveries = shop.norce.deliveries();
            let mut answers = deliveries[before..]
                .iter()
                .filter(|delivery| delivery.event == EventType::CustomerChanged)
                .flat_map(|delivery| &delivery.attempts)
                .map(|attempt| attempt.outcome.as_ref().copied().unwrap_or_default());
            match answers.next() {
                None => Ok(false),
                Some(500..=599) => Ok(true),
                Some(other) => Err(SandboxError::Day(format!(
                    "while the queue refused, an event was answered with {other}"
                ))),
            }
        },
    )
    .await;
    // Opened again whatever came of it.
    api.allow_again(&role).await?;
    refused
}

/// P2: the processes of `change-events` are killed while the ERP has carried out creates and has not answered yet.
/// Returns the customers, each of which is to be in the ERP once.
pub(super) async fn functions_die(
    shop: &Shop,
    aws: &LocalAws,
    queues: &Queues,
    deployment: &Deployment,
) -> Result<Vec<i64>, SandboxError> {
    let visibility = queues.set_visibility("changes", VISIBILITY_SECONDS).await?;
    let creates = u32::try_from(CUSTOMERS).unwrap_or(u32::MAX);
    shop.erp.answer_creates_late(creates, SLOW_ANSWER);
    let before = shop.erp_register().await?.0.len();
    let customers: Vec<i64> = (0..CUSTOMERS)
        .map(|_| {
            let customer = shop.register(&shop.newcomer());
            shop.order(customer, None, false);
            customer
        })
        .collect();
    until("the ERP carries out a create", async || {
        Ok(shop.erp_register().await?.0.len() > before)
    })
    .await?;
    let killed = kill_processes(aws, deployment.output("ChangeEventsFunction")?).await?;
    if killed == 0 {
        return Err(SandboxError::Day(
            "no process of change-events was found to be killed".to_owned(),
        ));
    }
    // The message that its process left behind comes back after the short time; then all is as it was.
    until(
        "the messages of the killed processes are handled",
        async || {
            let done = |customer: &i64| {
                shop.norce
                    .customer(*customer)
                    .is_some_and(|customer| customer.row.customer_code.is_some())
            };
            Ok(customers.iter().all(done))
        },
    )
    .await?;
    queues.set_visibility("changes", visibility).await?;
    Ok(customers)
}

/// P6: messages that are no messages, between events of a customer who moves. They end on the dead-letter queue with
/// the reason, and the customer's change arrives.
pub(super) async fn nonsense_is_queued(
    shop: &Shop,
    queues: &Queues,
    customer: i64,
) -> Result<(), SandboxError> {
    const NONSENSE: [&str; 3] = ["{", "[]", r#"{"type":"entity","entity":{"kind":"basket"}}"#];
    for body in &NONSENSE[..1] {
        queues.send_to_changes(body).await?;
    }
    shop.norce.change_customer(customer, |customer| {
        customer.row.phone_number = Some("08-555 00 00".to_owned());
    });
    for body in &NONSENSE[1..] {
        queues.send_to_changes(body).await?;
    }
    let mut reasons = Vec::new();
    until("nonsense reaches the dead-letter queue", async || {
        reasons.extend(queues.take_dead_changes().await?);
        Ok(reasons.len() >= NONSENSE.len())
    })
    .await?;
    match reasons
        .iter()
        .all(|reason| reason.contains("not a message of this queue"))
    {
        true => Ok(()),
        false => Err(SandboxError::Day(format!(
            "the dead letters give other reasons: {reasons:?}"
        ))),
    }
}

/// P5: events about customers that have not changed. [`writes`] is to be the same when they are handled.
pub(super) async fn nothing_has_changed(
    shop: &Shop,
    event_url: &str,
    customers: &[i64],
) -> Result<(), SandboxError> {
    let sink = HttpEventSink::new().map_err(SandboxError::Day)?;
    for customer in customers {
        let body = json!({
            "ClientId": shop.client_id(),
            "CustomerId": customer,
            "EntityChanged": "tClientCustomer",
        });
        let post = EventPost {
            event: EventType::CustomerChanged,
            url: format!("{event_url}/customer-changed"),
            headers: vec![("x-event-secret".to_owned(), EVENT_SECRET.to_owned())],
            body: body.to_string().into(),
        };
        match sink.post(post).await {
            Ok(202) => {}
            other => {
                return Err(SandboxError::Day(format!(
                    "an event about customer {customer} was answered with {other:?}"
                )));
            }
        }
    }
    Ok(())
}

/// The number of writes to the ERP and of imports to Norce.
pub(super) async fn writes(shop: &Shop) -> Result<(usize, usize), SandboxError> {
    Ok((shop.erp.writes().await?.len(), shop.norce.imports().len()))
}

/// Kills the processes of a function: those that the local AWS started, and no other.
async fn kill_processes(aws: &LocalAws, function: &str) -> Result<usize, SandboxError> {
    let mut killed = 0;
    let entries = fs::read_dir("/proc").map_err(super::io_error("/proc cannot be read"))?;
    for pid in entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
    {
        let is_ours = process_group(pid) == Some(aws.process_group()) && is_function(pid, function);
        if is_ours {
            let status = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .await
                .map_err(super::io_error("kill cannot be started"))?;
            killed += usize::from(status.success());
        }
    }
    Ok(killed)
}

/// The fifth field of `/proc/<pid>/stat`; the second one, the name, can hold anything and ends with the last bracket.
fn process_group(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

fn is_function(pid: u32, function: &str) -> bool {
    let name = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == name.as_bytes())
    })
}

/// The little of IAM, Lambda and CloudFormation that is needed here, without their large SDKs: the local AWS asks root for
/// no signature.
pub(super) struct Api {
    client: reqwest::Client,
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionConfiguration {
    role: String,
    code_sha256: String,
}

impl Api {
    pub(super) fn new(aws: &LocalAws) -> Result<Self, SandboxError> {
        let client = loopback_client().map_err(SandboxError::Day)?;
        let client = client
            .build()
            .map_err(|error| SandboxError::aws("no client of the local AWS", error))?;
        Ok(Self {
            client,
            endpoint: aws.endpoint(),
        })
    }

    fn authorization(service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={ROOT_KEY}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    async fn role_of(&self, function: &str) -> Result<String, SandboxError> {
        let role = self.function(function).await?.role;
        Ok(role.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// The hash of a function's code.
    pub(super) async fn code_of(&self, function: &str) -> Result<String, SandboxError> {
        Ok(self.function(function).await?.code_sha256)
    }

    async fn function(&self, function: &str) -> Result<FunctionConfiguration, SandboxError> {
        let failed = |error: reqwest::Error| {
            SandboxError::aws("the function's configuration cannot be read", error)
        };
        let answer = self
            .client
            .get(format!(
                "{}/2015-03-31/functions/{function}/configuration",
                self.endpoint
            ))
            .header("authorization", Self::authorization("lambda"))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        let text = answer.text().await.map_err(failed)?;
        serde_json::from_str(&text).map_err(|error| {
            SandboxError::aws("the function's configuration cannot be read", error)
        })
    }

    /// The physical ids of a stack's resources, by their types and logical ids.
    pub(super) async fn resources_of(
        &self,
        stack: &str,
    ) -> Result<BTreeMap<(String, String), String>, SandboxError> {
        let parameters = [("Action", "DescribeStackResources"), ("StackName", stack)];
        let answer = self.query("cloudformation", "2010-05-15", &parameters);
        let answer = answer
            .await
            .map_err(|error| SandboxError::aws("the stack's resources cannot be read", error))?;
        let element = |resource: &str, name: &str| {
            let (_, rest) = resource.split_once(&format!("<{name}>"))?;
            let (text, _) = rest.split_once('<')?;
            Some(text.to_owned())
        };
        let resources = answer.split("<member>").skip(1);
        Ok(resources
            .filter_map(|resource| {
                let name = (
                    element(resource, "ResourceType")?,
                    element(resource, "LogicalResourceId")?,
                );
                Some((name, element(resource, "PhysicalResourceId")?))
            })
            .collect())
    }

    async fn deny(&self, role: &str, action: &str) -> Result<(), SandboxError> {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Deny", "Action": action, "Resource": "*" }],
        });
        self.call(&[
            ("Action", "PutRolePolicy"),
            ("RoleName", role),
            ("PolicyName", CLOSED),
            ("PolicyDocument", &policy.to_string()),
        ])
        .await
    }

    async fn allow_again(&self, role: &str) -> Result<(), SandboxError> {
        self.call(&[
            ("Action", "DeleteRolePolicy"),
            ("RoleName", role),
            ("PolicyName", CLOSED),
        ])
        .await
    }

    async fn call(&self, parameters: &[(&str, &str)]) -> Result<(), SandboxError> {
        let answer = self.query("iam", "2010-05-08", parameters).await;
        answer
            .map(|_| ())
            .map_err(|error| SandboxError::aws("the role's policy cannot be changed", error))
    }

    async fn query(
        &self,
        service: &str,
        version: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, reqwest::Error> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Version", version)
            .extend_pairs(parameters)
            .finish();
        self.client
            .post(&self.endpoint)
            .header("authorization", Self::authorization(service))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)?
            .text()
            .await
    }
}
