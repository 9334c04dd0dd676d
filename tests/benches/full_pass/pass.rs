//! One full pass in a process of its own, with what it took.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use erp_full_pass::{Configuration, ErpFullPass};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    StoreError,
    aws::sdk,
    domain::{
        ChangeMessage, FieldGroups, FingerprintKey, ImportRequest, PassMessage, PassMode,
        PassRequest, Resource, Scope,
    },
    erp::{Erp, Listing},
    http::{Deadline, ReqwestTransport, Transport, TransportError},
    mappings::{DynamoDbMappings, RecordMappings, key_index::KeyIndex},
    owed::{DynamoDbOwed, OwedRecords},
    passes::{Cost, Counts, DynamoDbPasses, Passes, PassesLayer, Run},
    queues::{Queue, QueueDepth},
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    local_aws::aws_over,
    memory::{MemoryMappings, MemoryOwed, MemoryPasses, MemoryQueue, Redrive},
    resources::{FINGERPRINT_KEY, MemoryResources, built, environment},
};

use super::{OWED, PASSES, Stores, mappings::Arithmetic, measurement::process_time};

/// The time of an invocation, as in the template.
const INVOCATION: Duration = Duration::from_secs(297);
/// Nothing is delivered twice here.
const REDRIVE: Redrive = Redrive {
    visibility: Duration::from_secs(330),
    max_receives: 1_000,
};

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The address of [`server::serve`].
    pub(crate) server: String,
    pub(crate) customers: u64,
    pub(crate) stores: Stores,
    pub(crate) part: Part,
    /// How often.
    pub(crate) passes: usize,
}

/// How much of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// The pages are received, and that is all.
    Receive,
    /// They are read into records.
    Read,
    /// All of it.
    Pass,
    /// All of it; the first pass lists nobody in the index of keys, as a version without one did, and the second fills it.
    FillIndex,
}

/// What a pass took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) elapsed: Duration,
    pub(crate) processor: Duration,
    /// The most resident memory that the process has had, in KiB.
    pub(crate) peak_kib: u64,
    pub(crate) counts: Counts,
    pub(crate) cost: Cost,
    /// Requests to AWS.
    pub(crate) requests: Requests,
}

/// Requests to AWS, and what DynamoDB bills for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// How many, by operation.
    pub(crate) operations: BTreeMap<String, u64>,
    /// Read units, in halves: an eventually consistent read of an item is half a unit. No item here has 4 KB.
    pub(crate) half_read_units: u64,
    /// Write units: one for each KB of an item, and two in a transaction, also for an item that is only looked at.
    pub(crate) write_units: u64,
}

impl Requests {
    fn count(&mut self, operation: &str, body: &[u8]) {
        *self.operations.entry(operation.to_owned()).or_default() += 1;
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        let kilobytes = |value: &Value| bytes(value).div_ceil(1_024) as u64;
        let halves = |request: &Value| match request["ConsistentRead"] {
            Value::Bool(true) => 2,
            _ => 1,
        };
        match operation {
            "BatchGetItem" => {
                for table in body["RequestItems"].as_object().into_iter().flatten() {
                    let keys = table.1["Keys"].as_array().map_or(0, Vec::len);
                    self.half_read_units += halves(table.1) * keys as u64;
                }
            }
            "GetItem" | "Query" | "Scan" => self.half_read_units += halves(&body),
            "TransactWriteItems" => {
                let items = body["TransactItems"].as_array().into_iter().flatten();
                self.write_units += items.map(|item| 2 * kilobytes(item)).sum::<u64>();
            }
            "PutItem" | "UpdateItem" | "DeleteItem" => self.write_units += kilobytes(&body),
            _ => {}
        }
    }
}

/// The bytes of a request's names and values, which are more than those of its item.
fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + bytes(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// Counts the requests to AWS.
struct Counting {
    inner: Arc<dyn Transport>,
    requests: Arc<Mutex<Requests>>,
}

#[async_trait]
impl Transport for Counting {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let target = request.headers().get("x-amz-target");
        if let Some(operation) =
            target.and_then(|target| target.to_str().ok()?.split('.').next_back())
        {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.count(operation, request.body());
        }
        self.inner.send(request, timeout).await
    }
}

/// A DynamoDB that accepts every write, takes a while for each request, and holds nothing but the note that all forgotten
/// customers are counted, which a pass makes once.
struct Nothing {
    time: Duration,
    counted: Mutex<Option<Value>>,
}

impl Nothing {
    fn answer(&self, request: &Value) -> Value {
        let is_note = |item: &Value| item["pk"]["S"] == "forgets";
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if is_note(&request["Item"]) {
            *counted = Some(request["Item"].clone());
        }
        let mut answer = json!({});
        for (table, read) in request["RequestItems"].as_object().into_iter().flatten() {
            let mut keys = read["Keys"].as_array().into_iter().flatten();
            let item = counted.as_ref().filter(|_| keys.any(is_note));
            answer["Responses"][table] = item.cloned().into_iter().collect();
        }
        answer
    }
}

#[async_trait]
impl Transport for Nothing {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        tokio::time::sleep(self.time).await;
        // The stand-in's own work is measured too, so it parses small requests only.
        let body = Some(request.body()).filter(|body| body.len() < 1_024);
        let request = body.and_then(|body| serde_json::from_slice(body).ok());
        let answer = self.answer(&request.unwrap_or_default());
        Ok(http::Response::new(answer.to_string().into()))
    }
}

/// Runs in memory. Whatever is noted of one goes to the stand-in first, so that it takes its time and is counted.
struct Noted {
    inner: MemoryPasses,
    notes: DynamoDbPasses,
}

#[async_trait]
impl PassesLayer for Noted {
    type Inner = MemoryPasses;

    fn inner(&self) -> &MemoryPasses {
        &self.inner
    }

    async fn save(&self, run: &Run) -> Result<bool, StoreError> {
        self.notes.save(run).await?;
        self.inner.save(run).await
    }
}

/// The imports queue: somebody always takes everything at once.
struct Taker;

#[async_trait]
impl Queue<ImportRequest> for Taker {
    async fn send(&self, _: &[ImportRequest], _: Duration) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl QueueDepth for Taker {
    async fn depth(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Does a task and prints what each of its passes took, a line each.
pub(crate) async fn run(task: &Task) {
    let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new().expect("a client"));
    let requests = Arc::default();
    let mut pass = pass(task, &transport, &requests).await;
    let index = pass.key_index.clone();
    for number in 0..task.passes {
        pass.key_index = match (task.part, number) {
            (Part::FillIndex, 0) => Arc::new(MemoryMappings::default()),
            _ => index.clone(),
        };
        let (start, processor) = (Instant::now(), process_time());
        let (counts, cost) = match task.part {
            Part::Pass | Part::FillIndex => full_pass(&pass).await,
            part => (
                listing(task, &pass, &transport, part).await,
                Cost::default(),
            ),
        };
        let taken = Taken {
            elapsed: start.elapsed(),
            processor: process_time() - processor,
            peak_kib: peak_memory(),
            counts,
            cost,
            requests: std::mem::take(&mut requests.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        println!("{}", serde_json::to_string(&taken).expect("JSON"));
    }
}

async fn pass(
    task: &Task,
    transport: &Arc<dyn Transport>,
    requests: &Arc<Mutex<Requests>>,
) -> ErpFullPass {
    let fingerprints = FingerprintKey::new(FINGERPRINT_KEY.as_bytes());
    type Index = (Arc<dyn RecordMappings>, Arc<dyn KeyIndex>);
    let ((mappings, key_index), owed, passes): (Index, Arc<dyn OwedRecords>, Arc<dyn Passes>) =
        match &task.stores {
            Stores::Arithmetic { some_lack_codes } => {
                let mappings = Arc::new(Arithmetic {
                    some_lack_codes: *some_lack_codes,
                    fingerprints: fingerprints.clone(),
                    others: MemoryMappings::default(),
                });
                (
                    (mappings.clone(), mappings),
                    Arc::new(MemoryOwed::default()),
                    Arc::new(MemoryPasses::default()),
                )
            }
            Stores::Nothing { time, lists_keys } => {
                let requests = requests.clone();
                let inner = Arc::new(Nothing {
                    time: *time,
                    counted: Mutex::default(),
                });
                let aws = aws_over(Arc::new(Counting { inner, requests }));
                let key = fingerprints.clone();
                let mappings = Arc::new(DynamoDbMappings::new(&aws, "mappings", key));
                let index: Arc<dyn KeyIndex> = if *lists_keys {
                    mappings.clone()
                } else {
                    Arc::new(Arithmetic {
                        some_lack_codes: false,
                        fingerprints: fingerprints.clone(),
                        others: MemoryMappings::default(),
                    })
                };
                let noted = Noted {
                    inner: MemoryPasses::default(),
                    notes: DynamoDbPasses::new(&aws, "passes"),
                };
                let owed = Arc::new(MemoryOwed::default());
                ((mappings, index), owed, Arc::new(noted))
            }
            Stores::DynamoDb { table } => {
                let counting = Counting {
                    inner: transport.clone(),
                    requests: requests.clone(),
                };
                let aws = sdk::load(Arc::new(counting)).expect("the variables of a function");
                let mappings = Arc::new(DynamoDbMappings::new(&aws, table, fingerprints.clone()));
                (
                    (mappings.clone(), mappings),
                    Arc::new(DynamoDbOwed::new(&aws, format!("{table}{OWED}"))),
                    Arc::new(DynamoDbPasses::new(&aws, format!("{table}{PASSES}"))),
                )
            }
        };
    let resources = MemoryResources {
        mappings,
        key_index,
        owed,
        passes,
        ..MemoryResources::new(transport.clone())
    }
    .with_queue::<ImportRequest>("imports", Arc::new(Taker))
    .with_depth("imports", Arc::new(Taker))
    .with_queue::<ChangeMessage>("changes", Arc::new(MemoryQueue::fifo(REDRIVE)))
    .with_queue::<PassMessage>("passes", Arc::new(MemoryQueue::standard(REDRIVE)));
    let (server, customers) = (&task.server, task.customers);
    let configuration = environment(&[
        ("NORCE_BASE_URL", &format!("{server}/norce")),
        (
            "ERP_BASE_URL",
            &format!("{server}/v2.0/{customers}/prod/api/v2.0/"),
        ),
        ("ERP_TOKEN_URL", &format!("{server}/token")),
    ]);
    let configuration = Configuration::read(configuration).expect("a configuration");
    built(ErpFullPass::build(&configuration, &resources))
}

/// A full pass, from its start to its end, as many invocations as it takes.
async fn full_pass(pass: &ErpFullPass) -> (Counts, Cost) {
    let request = PassRequest {
        mode: PassMode::Full,
        kind: None,
        application: None,
        dry_run: false,
    };
    let started = pass.start(&request).await.expect("a start");
    let run = started.runs.first().expect("a run").run;
    let mut message = PassMessage::Start {
        run,
        scope: Scope::Client,
        mode: PassMode::Full,
        kind: None,
        dry_run: false,
    };
    loop {
        let received = Received {
            message,
            receive_count: 1,
        };
        let outcome = pass.handle(received, Deadline::after(INVOCATION)).await;
        assert_eq!(outcome, Outcome::Done);
        let run = pass.passes.run(run).await.expect("a store");
        let run = run.expect("a record of the run");
        if let Some(ended) = run.ended {
            assert_eq!(ended.failed, None);
            return (run.counts, run.cost);
        }
        message = PassMessage::Continue { run: run.id };
    }
}

/// The listing alone.
async fn listing(
    task: &Task,
    pass: &ErpFullPass,
    transport: &Arc<dyn Transport>,
    part: Part,
) -> Counts {
    let erp: &dyn Erp = pass.erps[&Scope::Client].as_ref();
    let deadline = Deadline::after(INVOCATION);
    let mut counts = Counts::default();
    if part == Part::Receive {
        let mut next = Some(format!(
            "{}/v2.0/{}/prod/api/v2.0/companies/customers?$select=id",
            task.server, task.customers
        ));
        while let Some(url) = next {
            let request = http::Request::get(&url)
                .body(Bytes::new())
                .expect("a request");
            let response = transport
                .send(request, INVOCATION)
                .await
                .expect("an answer");
            let body = response.body();
            // The link stands at the end; nothing else is read.
            let end = &body[body.len().saturating_sub(300)..];
            let end = String::from_utf8_lossy(end);
            next = end
                .split_once("nextLink\":\"")
                .map(|(_, link)| format!("{}{}", task.server, link.trim_end_matches("\"}")));
            counts.seen += 1;
        }
        return counts;
    }
    let listing = Listing {
        resource: Resource::Customer,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    };
    let mut cursor = None;
    loop {
        let page = erp.page(&listing, cursor.as_ref(), deadline).await;
        let page = page.expect("a page");
        counts.seen += page.records.len() as u64;
        cursor = page.next;
        if cursor.is_none() {
            return counts;
        }
    }
}

/// The most resident memory that this process has had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}
