//! As much of Secrets Manager, SQS, DynamoDB, CloudWatch Logs and Lambda as the functions ask for. It answers at once
//! and records every request with its trace header.
//!
//! DynamoDB keeps items by table and key, refuses the numbers of items that the real one refuses, and treats every
//! condition as true: the functions here run one after the other, with no concurrent writer. The suite of the stores tests
//! its real rules against the local AWS.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// The most items of a `BatchGetItem` or `TransactWriteItems`. None may be there twice.
const MAX_ITEMS: usize = 100;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Service and operation, such as `AmazonSQS.SendMessageBatch`; empty for a service that does not name them so.
    pub target: String,
    /// The header `X-Amzn-Trace-Id`.
    pub trace: Option<String>,
    /// The body.
    pub body: Value,
}

#[derive(Default)]
struct Kept {
    secrets: BTreeMap<String, String>,
    /// Items, by table and key.
    items: BTreeMap<(String, String), Map<String, Value>>,
    refused: BTreeSet<String>,
    requests: Vec<Request>,
}

/// The services, on a loopback port. They end when this is dropped.
pub struct FakeAws {
    kept: Arc<Mutex<Kept>>,
    server: JoinHandle<()>,
    /// `http://127.0.0.1:{port}`.
    pub endpoint: String,
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeAws {
    /// Serves.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn serve() -> io::Result<Self> {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = router(kept.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // It ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            kept,
            server,
            endpoint,
        })
    }

    /// The services as one service, to be served at another address as well.
    pub fn router(&self) -> Router {
        router(self.kept.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    /// Makes a secret, or gives it another text.
    pub fn set_secret(&self, id: &str, text: impl Into<String>) {
        self.kept().secrets.insert(id.to_owned(), text.into());
    }

    /// From now on an operation is answered as to somebody without the right to it.
    pub fn refuse(&self, target: &str) {
        self.kept().refused.insert(target.to_owned());
    }

    /// Takes back every [`FakeAws::refuse`].
    pub fn refuse_nothing(&self) {
        self.kept().refused.clear();
    }

    /// Removes everything from the tables.
    pub fn empty_tables(&self) {
        self.kept().items.clear();
    }

    /// The requests since the last call of this.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.kept().requests)
    }
}

/// The bodies of the messages in these requests that went to a queue whose address ends like this.
pub fn messages_to(requests: &[Request], queue: &str) -> Vec<String> {
    let batches = requests
        .iter()
        .filter(|request| request.target == "AmazonSQS.SendMessageBatch")
        .filter(|request| {
            let url = request.body["QueueUrl"].as_str();
            url.is_some_and(|url| url.ends_with(&format!("/{queue}")))
        });
    batches
        .filter_map(|request| request.body["Entries"].as_array())
        .flatten()
        .filter_map(|entry| entry["MessageBody"].as_str().map(str::to_owned))
        .collect()
}

fn router(kept: Arc<Mutex<Kept>>) -> Router {
    Router::new().fallback(handle).with_state(kept)
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handle(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let request = Request {
        target: header("x-amz-target").unwrap_or_default(),
        trace: header("x-amzn-trace-id"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let mut kept = lock(&kept);
    let answer = kept.answer(&request);
    kept.requests.push(request);
    answer
}

impl Kept {
    fn answer(&mut self, request: &Request) -> Response {
        let Request { target, body, .. } = request;
        if self.refused.contains(target) {
            let error = json!({ "__type": "AccessDeniedException", "message": "not allowed" });
            return (StatusCode::BAD_REQUEST, Json(error)).into_response();
        }
        let answer = match target.as_str() {
            "secretsmanager.GetSecretValue" => {
                let id = body["SecretId"].as_str().unwrap_or_default();
                match self.secrets.get(id) {
                    Some(text) => json!({ "ARN": id, "Name": id, "SecretString": text }),
                    None => {
                        let error = json!({ "__type": "ResourceNotFoundException" });
                        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
                    }
                }
            }
            "AmazonSQS.SendMessageBatch" => {
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
                json!({ "Successful": sent, "Failed": [] })
            }
            "AmazonSQS.SendMessage" => json!({
                "MessageId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                "MD5OfMessageBody": "00000000000000000000000000000000"
            }),
            "AmazonSQS.ChangeMessageVisibility" => json!({}),
            "AmazonSQS.GetQueueAttributes" => json!({ "Attributes": {
                "ApproximateNumberOfMessages": "0",
                "ApproximateNumberOfMessagesNotVisible": "0",
                "ApproximateNumberOfMessagesDelayed": "0"
            }}),
            "Logs_20140328.FilterLogEvents" => json!({ "events": [] }),
            // Of Lambda, which names the operation by its address: the answer of the function that is invoked.
            "" => json!({ "summary": "Nothing is owed." }),
            _ => match target.strip_prefix("DynamoDB_20120810.") {
                Some(operation) => return self.dynamo_db(operation, body),
                None => return StatusCode::NOT_IMPLEMENTED.into_response(),
            },
        };
        Json(answer).into_response()
    }

    fn dynamo_db(&mut self, operation: &str, body: &Value) -> Response {
        let answer = match operation {
            "GetItem" => match self.items.get(&place(body, &body["Key"])) {
                Some(item) => json!({ "Item": item }),
                None => json!({}),
            },
            "BatchGetItem" => {
                let wanted = wanted(body);
                if !is_valid(&wanted) {
                    return invalid();
                }
                let tables = body["RequestItems"].as_object().into_iter().flatten();
                let mut found: BTreeMap<&str, Vec<&Map<String, Value>>> = tables
                    .map(|(table, _)| (table.as_str(), Vec::new()))
                    .collect();
                for place in &wanted {
                    if let Some(item) = self.items.get(place) {
                        found.entry(&place.0).or_default().push(item);
                    }
                }
                json!({ "Responses": found, "UnprocessedKeys": {} })
            }
            "Scan" => {
                let table = text_of(&body["TableName"]);
                let items = self.items.iter().filter(|((of, _), _)| *of == table);
                let items: Vec<&Map<String, Value>> = items.map(|(_, item)| item).collect();
                json!({ "Items": items, "Count": items.len(), "ScannedCount": items.len() })
            }
            "UpdateItem" => {
                self.update(body);
                json!({})
            }
            "PutItem" => {
                let item = body["Item"].as_object().cloned().unwrap_or_default();
                self.items.insert(place(body, &body["Item"]), item);
                json!({})
            }
            "DeleteItem" => match self.items.remove(&place(body, &body["Key"])) {
                Some(item) => json!({ "Attributes": item }),
                None => json!({}),
            },
            "TransactWriteItems" => {
                if !is_valid(&written(body)) {
                    return invalid();
                }
                for write in body["TransactItems"].as_array().into_iter().flatten() {
                    if let Some(item) = write["Put"]["Item"].as_object() {
                        let place = place(&write["Put"], &write["Put"]["Item"]);
                        self.items.insert(place, item.clone());
                    } else if write["Update"].is_object() {
                        self.update(&write["Update"]);
                    } else if write["Delete"].is_object() {
                        self.items
                            .remove(&place(&write["Delete"], &write["Delete"]["Key"]));
                    }
                }
                json!({})
            }
            _ => return StatusCode::NOT_IMPLEMENTED.into_response(),
        };
        Json(answer).into_response()
    }

    /// `SET #a = :a, … REMOVE #b, …`; what is set to anything but a value is passed over.
    fn update(&mut self, update: &Value) {
        let place = place(update, &update["Key"]);
        let key = update["Key"].as_object().cloned().unwrap_or_default();
        let item = self.items.entry(place).or_insert(key);
        let name = |alias: &str| text_of(&update["ExpressionAttributeNames"][alias]);
        let expression = text_of(&update["UpdateExpression"]);
        let (set, remove) = match expression.split_once("REMOVE") {
            Some((set, remove)) => (set, remove),
            None => (expression.as_str(), ""),
        };
        for part in set.trim().trim_start_matches("SET").split(',') {
            if let Some((alias, value)) = part.split_once('=')
                && let Some(value) = update["ExpressionAttributeValues"].get(value.trim())
            {
                item.insert(name(alias.trim()), value.clone());
            }
        }
        for alias in remove.split(',') {
            item.remove(&name(alias.trim()));
        }
    }
}

/// The places that a `BatchGetItem` asks for.
fn wanted(body: &Value) -> Vec<(String, String)> {
    let tables = body["RequestItems"].as_object().into_iter().flatten();
    let keys = tables.flat_map(|(table, wanted)| {
        let keys = wanted["Keys"].as_array().into_iter().flatten();
        keys.map(|key| (table.clone(), text(&key["pk"])))
    });
    keys.collect()
}

/// The places that a `TransactWriteItems` writes to or checks.
fn written(body: &Value) -> Vec<(String, String)> {
    let writes = body["TransactItems"].as_array().into_iter().flatten();
    let operations = writes.flat_map(|write| write.as_object().into_iter().flatten());
    let places = operations.map(|(name, operation)| {
        let key = if name == "Put" { "Item" } else { "Key" };
        place(operation, &operation[key])
    });
    places.collect()
}

fn is_valid(places: &[(String, String)]) -> bool {
    let distinct: BTreeSet<&(String, String)> = places.iter().collect();
    (1..=MAX_ITEMS).contains(&places.len()) && distinct.len() == places.len()
}

fn invalid() -> Response {
    let error = json!({ "__type": "ValidationException" });
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}

/// Table and key.
fn place(request: &Value, key: &Value) -> (String, String) {
    (text_of(&request["TableName"]), text(&key["pk"]))
}

/// The text of an attribute.
fn text(attribute: &Value) -> String {
    text_of(&attribute["S"])
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
