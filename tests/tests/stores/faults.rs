//! Behaviour that the local AWS never shows: transactions that conflict, partial answers, refusals. A scripted server
//! shows it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_types::SdkConfig;
use axum::{Router, body::Bytes, extract::State, http::StatusCode};
use serde_json::{Value, json};
use shared::{
    Consistency,
    breakers::{Breakers, DynamoDbBreakers},
    domain::{
        EmailKey, ErpId, FingerprintKey, ImportLine, JobId, JobMessage, OrderText, Resource, Scope,
    },
    erp::NaturalKey,
    http::Deadline,
    import_jobs::{DynamoDbImportJobs, ImportJobs},
    mappings::{
        CodeDelivery, DynamoDbMappings, Mapping, Mappings, RecordMappings, Reservation, Reserved,
        key_index::{KeyIndex, RecordKeys},
    },
    orders::{DynamoDbOrders, OrderRef, Orders},
    owed::{DynamoDbOwed, OwedRecords, Stage, Subject, fold},
    passes::{DynamoDbPasses, LeaseKey, Passes},
    queues::{Queue, SqsQueue},
};
use tests::local_aws::aws_at;
use uuid::Uuid;

use crate::{application, code, customer, minute, norce_id};

const MINUTE: Duration = Duration::from_secs(60);

/// Answers from a script, the last answer again and again, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<(u16, Value)>>,
    requests: Mutex<Vec<Value>>,
}

impl Script {
    pub(crate) async fn start(
        answers: impl IntoIterator<Item = (u16, Value)>,
    ) -> (Arc<Self>, SdkConfig) {
        let script = Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            requests: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(script.clone());
        let config = serve(router).await;
        (script, config)
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

/// The configuration of clients that talk to this server instead of AWS.
pub(crate) async fn serve(router: Router) -> SdkConfig {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    aws_at(endpoint)
}

async fn answer(State(script): State<Arc<Script>>, body: Bytes) -> (StatusCode, String) {
    let request = serde_json::from_slice(&body).unwrap();
    script.requests.lock().unwrap().push(request);
    let mut answers = script.answers.lock().unwrap();
    let (status, body) = match answers.len() {
        1 => answers[0].clone(),
        _ => answers.pop_front().unwrap(),
    };
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

fn cancelled(reasons: Value) -> (u16, Value) {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": reasons,
    });
    (400, body)
}

fn conflict() -> (u16, Value) {
    cancelled(json!([{"Code": "TransactionConflict"}, {"Code": "None"}]))
}

pub(crate) fn reservation() -> Reservation {
    Reservation {
        token: Uuid::nil(),
        since: minute(0),
        until: minute(5),
        natural_key: None,
    }
}

pub(crate) fn mappings(config: &SdkConfig) -> DynamoDbMappings {
    DynamoDbMappings::new(config, "mappings", FingerprintKey::new(b"key"))
}

#[tokio::test]
async fn p2_transactions_that_meet_are_repeated_until_one_outcome_is_certain() {
    let earlier = json!({
        "pk": {"S": "entity#customer#client#1"},
        "token": {"S": Uuid::max().to_string()},
        "since": {"S": minute(1)},
        "until": {"S": minute(2)},
    });
    let refused = cancelled(json!([
        {"Code": "ConditionalCheckFailed", "Item": earlier},
        {"Code": "None"},
    ]));
    let (script, config) = Script::start([conflict(), conflict(), refused]).await;
    let outcome = mappings(&config).reserve(customer(1), reservation()).await;
    let Reserved::Earlier(earlier) = outcome.unwrap() else {
        panic!("not taken for an earlier one");
    };
    assert_eq!(earlier.token, Uuid::max());
    // A new attempt is a new transaction: under the old token DynamoDB would only repeat its answer.
    let tokens: Vec<_> = script
        .requests()
        .iter()
        .map(|request| request["ClientRequestToken"].clone())
        .collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
}

#[tokio::test]
async fn p2_a_repeat_after_a_lost_answer_is_the_same_transaction() {
    let broken = (500, json!({"__type": "InternalServerError"}));
    let (script, config) = Script::start([broken, (200, json!({}))]).await;
    let outcome = mappings(&config).reserve(customer(1), reservation()).await;
    assert_eq!(outcome.unwrap(), Reserved::New);
    let requests = script.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0]["ClientRequestToken"].is_string());
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn a_conflict_without_end_is_an_error() {
    let (script, config) = Script::start([conflict()]).await;
    let outcome = mappings(&config).reserve(customer(1), reservation()).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("TransactionConflict"), "{error}");
    assert_eq!(script.requests().len(), 10);
}

/// What DynamoDB answers to a write that is no transaction while one is at work on the same item.
pub(crate) fn disturbed(code: &str) -> (u16, Value) {
    let name = format!("com.amazonaws.dynamodb.v20120810#{code}");
    (400, json!({"__type": name, "message": "at work"}))
}

#[tokio::test]
async fn a_plain_write_that_meets_a_transaction_is_repeated() {
    let subject = Subject::Entity(customer(1));
    let there = json!({"Attributes": {"pk": {"S": "somewhere"}}});
    let found = json!({"pk": {"S": "to-erp#customer/client/1"}});
    let item = json!({"Responses": {"owed": [found]}});
    for code in [
        "TransactionConflictException",
        "ReplicatedWriteConflictException",
    ] {
        // Of a conditional update, a plain update, and a delete after the read that comes before it.
        let (script, config) =
            Script::start([disturbed(code), disturbed(code), (200, json!({}))]).await;
        let owed = DynamoDbOwed::new(&config, "owed");
        let noted = owed.note_retry(&subject, Stage::ToErp, minute(0)).await;
        assert!(noted.unwrap());
        assert_eq!(script.requests().len(), 3, "{code}");

        let (script, config) = Script::start([disturbed(code), (200, json!({}))]).await;
        let orders = DynamoDbOrders::new(&config, "orders");
        let order = OrderRef {
            application: application(1),
            client_order_ref: "1".to_owned(),
        };
        let noted = orders.wait_for(customer(1), &order, minute(0)).await;
        noted.unwrap();
        assert_eq!(script.requests().len(), 2, "{code}");

        let answers = [(200, item.clone()), disturbed(code), (200, there.clone())];
        let (script, config) = Script::start(answers).await;
        let owed = DynamoDbOwed::new(&config, "owed");
        assert!(owed.resolve(&subject, Stage::ToErp).await.unwrap());
        assert_eq!(script.requests().len(), 3, "{code}");
    }
}

#[tokio::test]
async fn a_plain_write_that_is_disturbed_without_end_is_an_error() {
    let (script, config) = Script::start([disturbed("TransactionConflictException")]).await;
    let owed = DynamoDbOwed::new(&config, "owed");
    let subject = Subject::Entity(customer(1));
    let noted = owed.note_retry(&subject, Stage::ToErp, minute(0)).await;
    let error = noted.unwrap_err().to_string();
    assert!(error.contains("TransactionConflictException"), "{error}");
    assert_eq!(script.requests().len(), 10);
}

#[tokio::test]
async fn a_line_that_does_not_fit_among_those_that_wait_is_refused_and_no_error() {
    let message = "Item size to update has exceeded the maximum allowed size";
    let full = json!({"__type": "ValidationException", "message": message});
    let (_, config) = Script::start([(400, full)]).await;
    let passes = DynamoDbPasses::new(&config, "passes");
    let line = ImportLine::code(norce_id(1), code("C1"), Uuid::nil());
    let company = contact();
    let noted = passes.wait_for_company(Scope::Client, &company, &line, minute(0));
    assert!(!noted.await.unwrap());
    let orders = DynamoDbOrders::new(&config, "orders");
    let order = OrderRef {
        application: application(1),
        client_order_ref: "1".to_owned(),
    };
    let noted = orders.wait_for(customer(1), &order, minute(0)).await;
    noted.unwrap();
}

/// What a request asks for in the way of consistency; `None`: it is no read.
fn consistency(request: &Value) -> Option<Consistency> {
    let batch = request["RequestItems"].as_object();
    let table = batch.and_then(|tables| tables.values().next());
    // A scan has neither a key nor anything to write.
    let is_write = ["UpdateExpression", "TransactItems", "ReturnValues"]
        .iter()
        .any(|name| request.get(name).is_some());
    let read = table.unwrap_or(request);
    (!is_write).then(|| match read["ConsistentRead"] == true {
        true => Consistency::Strong,
        false => Consistency::Eventual,
    })
}

/// A rule over every store: what is read decides something, and it may have been written a moment ago.
#[tokio::test]
async fn every_read_is_strongly_consistent_where_its_caller_did_not_choose_otherwise() {
    let (script, config) = Script::start([(200, json!({}))]).await;
    let (entity, record, code) = (customer(1), contact(), code("C1"));
    let subject = Subject::Entity(entity);
    let order = OrderRef {
        application: application(1),
        client_order_ref: "1".to_owned(),
    };
    let text = OrderText::new("{}".to_owned());
    let lease = LeaseKey {
        scope: Scope::Client,
        sweep: false,
    };
    let (id, job) = (Uuid::nil(), JobId(1));
    let confirmed = CodeDelivery::Confirmed { at: minute(0) };
    let refused = CodeDelivery::Refused { at: minute(0) };
    let mappings = mappings(&config);
    let owed = DynamoDbOwed::new(&config, "owed");
    let orders = DynamoDbOrders::new(&config, "orders");
    let jobs = DynamoDbImportJobs::new(&config, "jobs");
    let passes = DynamoDbPasses::new(&config, "passes");
    let breakers = DynamoDbBreakers::new(&config, "breakers");
    macro_rules! reads {
        ($consistency:ident: $($call:expr),+ $(,)?) => {$(
            script.requests.lock().unwrap().clear();
            $call.await.unwrap();
            let requests = script.requests();
            let reads: Vec<_> = requests.iter().filter_map(consistency).collect();
            assert!(!reads.is_empty(), "{} reads nothing", stringify!($call));
            let all = reads.iter().all(|it| *it == Consistency::$consistency);
            assert!(all, "{}: {reads:?}", stringify!($call));
        )+};
    }
    let scope = Scope::Client;
    reads! { Strong:
        mappings.get(entity),
        mappings.by_code(entity.kind, scope, &code),
        mappings.known(entity.kind, scope, &[(record.clone(), code.clone())]),
        mappings.get_many(&[entity]),
        mappings.records(scope, std::slice::from_ref(&record), Consistency::Strong),
        mappings.rename(entity, &record, &code, &code),
        mappings.forget(entity),
        mappings.record_delivery(entity, &code, confirmed),
        owed.get(&subject, Stage::ToErp),
        owed.resolve(&subject, Stage::ToErp),
        owed.page(None, Consistency::Strong),
        orders.get(&order),
        orders.waiting_for(entity),
        jobs.get(id),
        jobs.by_job(job),
        jobs.settle(id),
        jobs.open(),
        passes.run(id),
        passes.last_runs(),
        passes.watermark(lease, entity.kind),
        passes.waiting_for_company(scope, &record),
        breakers.get("erp/client"),
        breakers.list(),
    }
    reads! { Eventual:
        mappings.records(scope, std::slice::from_ref(&record), Consistency::Eventual),
        mappings.bound(None),
        owed.page(None, Consistency::Eventual),
    }
    // What these read, they read because a condition did not hold.
    let unmet = json!({"__type": "ConditionalCheckFailedException", "message": "unmet"});
    let answers = || [(400, unmet.clone()), (200, json!({}))];
    let (script, config) = Script::start(answers()).await;
    let orders = DynamoDbOrders::new(&config, "orders");
    orders.receive(&order, &text, minute(0)).await.unwrap();
    assert_eq!(
        consistency(&script.requests()[1]),
        Some(Consistency::Strong)
    );
    let (script, config) = Script::start(answers()).await;
    let mappings = self::mappings(&config);
    let noted = mappings.record_delivery(entity, &code, refused).await;
    assert!(!noted.unwrap());
    assert_eq!(
        consistency(&script.requests()[1]),
        Some(Consistency::Strong)
    );
}

fn contact() -> ErpId {
    ErpId {
        resource: Resource::Contact,
        id: "1".to_owned(),
    }
}

#[tokio::test]
async fn p11_errors_name_the_code_and_no_data() {
    let validation = cancelled(json!([
        {"Code": "ValidationError", "Message": "the value anna@example.com is wrong"},
        {"Code": "None"},
    ]));
    let denied = json!({"__type": "AccessDeniedException", "message": "not dynamodb:PutItem"});
    let (_, config) = Script::start([validation, (400, denied)]).await;
    let mappings = mappings(&config);
    for expected in [
        "ValidationError",
        "AccessDeniedException: not dynamodb:PutItem",
    ] {
        let outcome = mappings.reserve(customer(1), reservation()).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("anna"), "{error}");
    }
}

#[tokio::test]
async fn p12_a_read_that_is_answered_in_part_is_completed() {
    let keys = |request: &Value| request["RequestItems"]["mappings"]["Keys"].clone();
    let (script, config) = Script::start([(200, json!({}))]).await;
    mappings(&config).get(customer(1)).await.unwrap();
    let asked = keys(&script.requests()[0]);
    let (face, tombstone) = (asked[0].clone(), asked[1].clone());

    let rest = json!({"mappings": {"Keys": [tombstone], "ConsistentRead": true}});
    let (script, config) = Script::start([
        (
            200,
            json!({"Responses": {"mappings": []}, "UnprocessedKeys": rest}),
        ),
        (
            200,
            json!({"Responses": {"mappings": [tombstone]}, "UnprocessedKeys": {}}),
        ),
    ])
    .await;
    let mapping = mappings(&config).get(customer(1)).await.unwrap();
    assert_eq!(mapping, Some(Mapping::Forgotten));
    let requests = script.requests();
    assert_eq!(keys(&requests[0]), json!([face, tombstone]));
    assert_eq!(keys(&requests[1]), json!([tombstone]));
    assert_eq!(
        requests[0]["RequestItems"]["mappings"]["ConsistentRead"],
        true
    );
}

#[tokio::test]
async fn a_list_goes_through_all_pages() {
    let next = json!({"pk": {"S": "somewhere"}});
    let (script, config) = Script::start([
        (200, json!({"Items": [], "LastEvaluatedKey": next})),
        (200, json!({"Items": []})),
    ])
    .await;
    let owed = DynamoDbOwed::new(&config, "owed");
    let mut read = 0;
    let each = |_| read += 1;
    let (strong, deadline) = (Consistency::Strong, Deadline::after(MINUTE));
    let all = fold(&owed, strong, deadline, Duration::ZERO, each).await;
    assert!(all.unwrap());
    assert_eq!(read, 0);
    let requests = script.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1]["ExclusiveStartKey"], next);
}

fn jobs(count: i64) -> Vec<JobMessage> {
    (1..=count)
        .map(|job| JobMessage::Completed { job })
        .collect()
}

/// Takes all entries of a `SendMessageBatch` except those that `refuse` names: the n-th request, the places of the
/// entries in it, and whether that is the sender's fault. The ids in the answer are those of the request.
async fn refusing(
    refuse: impl Fn(usize) -> (Vec<usize>, bool) + Clone + Send + Sync + 'static,
) -> (Arc<Script>, SdkConfig) {
    let script = Arc::new(Script::default());
    let asked = script.clone();
    let router = Router::new().fallback(move |body: Bytes| async move {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let mut requests = asked.requests.lock().unwrap();
        let (refused, sender_fault) = refuse(requests.len());
        let refusal = |place| {
            let id = &request["Entries"][place]["Id"];
            json!({"Id": id, "SenderFault": sender_fault, "Code": "InternalError"})
        };
        let failed: Vec<Value> = refused.into_iter().map(refusal).collect();
        requests.push(request);
        json!({"Successful": [], "Failed": failed}).to_string()
    });
    (script, serve(router).await)
}

fn entry_ids(request: &Value) -> Vec<String> {
    let entries = request["Entries"].as_array().unwrap();
    let id = |entry: &Value| entry["Id"].as_str().unwrap().to_owned();
    entries.iter().map(id).collect()
}

#[tokio::test]
async fn p1_only_what_was_refused_is_sent_again() {
    let refuse = |n| if n == 0 { vec![1, 4] } else { vec![] };
    let (script, config) = refusing(move |n| (refuse(n), false)).await;
    let queue = SqsQueue::<JobMessage>::new(&config, "http://sqs/1/jobs");
    queue.send(&jobs(12), Duration::ZERO).await.unwrap();
    let requests: Vec<_> = script.requests().iter().map(entry_ids).collect();
    assert_eq!(requests.len(), 3);
    assert_eq!((requests[0].len(), requests[2].len()), (10, 2));
    assert_eq!(
        requests[1],
        [requests[0][1].clone(), requests[0][4].clone()]
    );
}

#[tokio::test]
async fn p1_a_refusal_without_end_is_an_error() {
    for (sender_fault, attempts) in [(false, 4), (true, 1)] {
        let (script, config) = refusing(move |_| (vec![0], sender_fault)).await;
        let queue = SqsQueue::<JobMessage>::new(&config, "http://sqs/1/jobs");
        let outcome = queue.send(&jobs(2), Duration::ZERO).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains("InternalError"), "{error}");
        assert_eq!(script.requests().len(), attempts);
    }
}

/// Between the read of a listing and its write the customer is forgotten: the write depends on the tombstone, and the
/// next read finds it there.
#[tokio::test]
async fn p12_a_listing_is_written_on_condition_that_the_record_is_not_forgotten() {
    let record = ErpId {
        resource: Resource::Customer,
        id: "C1".to_owned(),
    };
    let key = FingerprintKey::new(b"key");
    let email = NaturalKey::Email(EmailKey::parse("anna@example.com").unwrap());
    let keys = RecordKeys::new([email], &key).unwrap();
    let nothing = || (200, json!({"Responses": {}, "UnprocessedKeys": {}}));
    let done = || (200, json!({}));
    let (script, config) = Script::start([nothing(), done()]).await;
    let listed = mappings(&config);
    listed.set(Scope::Client, &record, &keys).await.unwrap();
    let requests = script.requests();
    let checks = requests[1]["TransactItems"].as_array().unwrap().iter();
    let checks: Vec<(usize, &Value)> = checks
        .map(|item| &item["ConditionCheck"])
        .enumerate()
        .filter(|(_, check)| !check.is_null())
        .collect();
    let [(place, check)] = checks.as_slice() else {
        panic!("{requests:#?}");
    };
    let tombstone = check["Key"]["pk"]["S"].as_str().unwrap();
    assert!(tombstone.starts_with("forgotten#"), "{check}");
    assert_eq!(check["ConditionExpression"], "attribute_not_exists(#pk)");

    let mut reasons = vec![json!({"Code": "None"}); place + 1];
    reasons[*place] = json!({"Code": "ConditionalCheckFailed", "Item": check["Key"]});
    let table = requests[0]["RequestItems"].as_object().unwrap().keys();
    let table = table.into_iter().next().unwrap();
    let there = json!({"Responses": {table: [check["Key"]]}, "UnprocessedKeys": {}});
    let answers = [nothing(), cancelled(json!(reasons)), (200, there)];
    let (script, config) = Script::start(answers).await;
    let listed = mappings(&config);
    listed.set(Scope::Client, &record, &keys).await.unwrap();
    assert_eq!(script.requests().len(), 3, "nothing more is written");
}
