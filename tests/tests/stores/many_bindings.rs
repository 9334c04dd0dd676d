//! Many bindings over DynamoDB: what comes in between their requests, and how many requests there are.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use bytes::Bytes;
use http::{Request, Response};
use shared::{
    domain::{FingerprintKey, Scope},
    erp::{ErpId, Resource},
    http::{ReqwestTransport, Transport, TransportError},
    mappings::{Binding, Bound, CodeDelivery, DynamoDbMappings, Mapping, Mappings, NewBinding},
};
use std::time::Duration;
use tests::local_aws::{LocalAws, aws_over};

use crate::{code, customer, local};

const PUT: &str = "PutItem";
const READ: &str = "BatchGetItem";
const SCAN: &str = "Scan";
const UPDATE: &str = "UpdateItem";
const WRITE: &str = "TransactWriteItems";

/// What happens before a request of an operation, counted from 0.
#[derive(Clone, Copy)]
enum Incident {
    /// Another function forgets this customer.
    Forget {
        number: i64,
        before: (&'static str, usize),
    },
    /// The function ends.
    CutOff { before: (&'static str, usize) },
    /// The first page of the table is empty, and there are others.
    EmptyPage,
}

/// The way to DynamoDB, on which something happens.
struct Road {
    inner: ReqwestTransport,
    others: DynamoDbMappings,
    incident: Option<Incident>,
    operations: Mutex<Vec<String>>,
    table: String,
    dynamodb: Client,
}

impl Road {
    fn operations(&self) -> Vec<String> {
        std::mem::take(&mut self.operations.lock().unwrap())
    }

    /// Leaves the tombstones as an earlier version did, which did not count them.
    async fn remove_count(&self) {
        let delete = self.dynamodb.delete_item().table_name(&self.table);
        let key = AttributeValue::S("forgets#client".to_owned());
        delete.key("pk", key).send().await.unwrap();
    }
}

#[async_trait]
impl Transport for Road {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = target.split('.').next_back().unwrap().to_owned();
        let count = {
            let mut operations = self.operations.lock().unwrap();
            let count = operations.iter().filter(|it| **it == operation).count();
            operations.push(operation.clone());
            count
        };
        match self.incident {
            Some(Incident::Forget { number, before }) if before == (&operation, count) => {
                self.others.forget(customer(number)).await.unwrap();
            }
            Some(Incident::CutOff { before: (at, from) }) if at == operation && count >= from => {
                return Err(TransportError::NotSent("cut off".to_owned()));
            }
            Some(Incident::EmptyPage) if operation == SCAN => {
                let page =
                    r#"{"Items":[],"LastEvaluatedKey":{"pk":{"S":"entity#customer#client#9"}}}"#;
                return Ok(Response::new(Bytes::from_static(page.as_bytes())));
            }
            _ => {}
        }
        self.inner.send(request, timeout).await
    }
}

/// A store of one table, and another one with an incident on its way.
async fn stores(incident: Option<Incident>) -> (DynamoDbMappings, DynamoDbMappings, Arc<Road>) {
    let key = FingerprintKey::new(b"a secret of the stack");
    let config = local::config().await;
    let table = local::table(&config).await;
    let others = DynamoDbMappings::new(&config, &table, key.clone());
    let road = Arc::new(Road {
        inner: ReqwestTransport::new().unwrap(),
        others: others.clone(),
        incident,
        operations: Mutex::default(),
        table: table.clone(),
        dynamodb: Client::new(&config),
    });
    let aws = LocalAws::shared().await.unwrap();
    let config = aws_over(road.clone()).into_builder();
    let config = config.endpoint_url(aws.endpoint()).build();
    (DynamoDbMappings::new(&config, &table, key), others, road)
}

fn bindings(numbers: RangeInclusive<i64>) -> Vec<NewBinding> {
    let new = |number| {
        let record = ErpId {
            resource: Resource::Customer,
            id: format!("id {number}"),
        };
        let code = code(&format!("C{number}"));
        NewBinding {
            entity: customer(number),
            binding: Binding::new(code, record, CodeDelivery::Pending),
        }
    };
    numbers.map(new).collect()
}

/// All but one are bound, and that one is forgotten.
async fn assert_forgotten_alone(store: &DynamoDbMappings, answers: &[Bound], forgotten: i64) {
    for (number, answer) in (1..).zip(answers) {
        let stored = store.get(customer(number)).await.unwrap();
        let (kind, code) = (customer(number).kind, code(&format!("C{number}")));
        let holder = store.by_code(kind, Scope::Client, &code);
        let holder = holder.await.unwrap();
        if number == forgotten {
            assert_eq!(*answer, Bound::Forgotten);
            assert_eq!((stored, holder), (Some(Mapping::Forgotten), None));
        } else {
            assert_eq!(*answer, Bound::Done);
            assert!(matches!(stored, Some(Mapping::Bound(_))));
            assert_eq!(holder, Some(customer(number)));
        }
    }
}

/// Before each request: the reads of the count and of the tombstones, the scan of the table, the note that everything is
/// counted, and the two transactions.
#[tokio::test]
async fn p12_a_customer_that_is_forgotten_in_the_middle_of_many_bindings_is_not_bound() {
    let begins = [(READ, 0), (SCAN, 0), (PUT, 0), (WRITE, 0), (WRITE, 1)];
    let has_begun = [(READ, 0), (WRITE, 0), (WRITE, 1)];
    let somebody_was_forgotten = [(READ, 0), (READ, 1), (WRITE, 0), (WRITE, 1)];
    // The last ones are bound first.
    let number = 20;
    for before in begins {
        let (store, others, _) = stores(Some(Incident::Forget { number, before })).await;
        let answers = store.bind_many(&bindings(1..=60)).await.unwrap();
        assert_forgotten_alone(&others, &answers, number).await;
    }
    for before in has_begun {
        let (store, others, _) = stores(Some(Incident::Forget { number, before })).await;
        others.bind_many(&bindings(101..=102)).await.unwrap();
        let answers = store.bind_many(&bindings(1..=60)).await.unwrap();
        assert_forgotten_alone(&others, &answers, number).await;
    }
    for before in somebody_was_forgotten {
        let (store, others, _) = stores(Some(Incident::Forget { number, before })).await;
        others.forget(customer(100)).await.unwrap();
        let answers = store.bind_many(&bindings(1..=60)).await.unwrap();
        assert_forgotten_alone(&others, &answers, number).await;
    }
}

#[tokio::test]
async fn p12_a_forget_that_is_cut_off_anywhere_is_seen_by_bindings_and_ends_when_it_is_repeated() {
    // Before the tombstones, and after them.
    for before in [(WRITE, 0), (UPDATE, 1)] {
        let (cut_off, store, _) = stores(Some(Incident::CutOff { before })).await;
        let entity = customer(2);
        cut_off.forget(entity).await.unwrap_err();
        let mut answers = store.bind_many(&bindings(1..=5)).await.unwrap();
        if before.0 == WRITE {
            // Nothing was forgotten yet.
            assert_eq!(answers, vec![Bound::Done; 5]);
        } else {
            assert_forgotten_alone(&store, &answers, 2).await;
        }
        store.forget(entity).await.unwrap();
        answers = store.bind_many(&bindings(1..=5)).await.unwrap();
        assert_forgotten_alone(&store, &answers, 2).await;
    }
}

/// The cost of one customer in a pass is a thirty-third of a transaction. Tombstones are read as soon as there are any.
#[tokio::test]
async fn many_bindings_take_a_transaction_for_33_of_them_and_no_tombstone_is_read_before_there_is_one()
 {
    let (store, _, road) = stores(None).await;
    let bind = async |numbers: RangeInclusive<i64>| {
        let answers = store.bind_many(&bindings(numbers)).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == Bound::Done));
        road.operations()
    };
    assert_eq!(bind(1..=66).await, [READ, SCAN, PUT, WRITE, WRITE]);
    assert_eq!(bind(67..=132).await, [READ, WRITE, WRITE]);
    store.forget(customer(1)).await.unwrap();
    road.operations();
    // Three tombstones for each of 66, a hundred in a request.
    assert_eq!(bind(133..=198).await, [READ, READ, READ, WRITE, WRITE]);
}

/// Version 0.2.0 and earlier left tombstones that are not counted.
#[tokio::test]
async fn p12_tombstones_of_an_earlier_version_are_found_where_nothing_was_counted_yet() {
    let (store, _, road) = stores(None).await;
    store.forget(customer(2)).await.unwrap();
    road.remove_count().await;
    for _ in 0..2 {
        let answers = store.bind_many(&bindings(1..=5)).await.unwrap();
        assert_forgotten_alone(&store, &answers, 2).await;
    }
}

/// A page without items may be followed by others.
#[tokio::test]
async fn p12_tombstones_are_read_where_only_the_first_page_of_the_table_is_empty() {
    let (store, _, road) = stores(Some(Incident::EmptyPage)).await;
    store.forget(customer(2)).await.unwrap();
    road.remove_count().await;
    let answers = store.bind_many(&bindings(1..=5)).await.unwrap();
    assert_forgotten_alone(&store, &answers, 2).await;
}
