//! Many bindings over DynamoDB: what comes in between their requests, and how many requests there are.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use shared::{
    domain::{FingerprintKey, Scope},
    erp::{ErpId, Resource},
    http::{ReqwestTransport, Transport, TransportError},
    mappings::{
        Binding, Bound, CodeDelivery, DynamoDbMappings, Forgets, Mapping, Mappings, NewBinding,
    },
};
use std::time::Duration;
use tests::local_aws::{LocalAws, aws_over};

use crate::{code, customer, local};

const READ: &str = "BatchGetItem";
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
}

/// The way to DynamoDB, on which something happens.
struct Road {
    inner: ReqwestTransport,
    others: DynamoDbMappings,
    incident: Option<Incident>,
    operations: Mutex<Vec<String>>,
}

impl Road {
    fn operations(&self) -> Vec<String> {
        std::mem::take(&mut self.operations.lock().unwrap())
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
    });
    let aws = LocalAws::shared().await.unwrap();
    let config = aws_over(road.clone()).into_builder();
    let config = config.endpoint_url(aws.endpoint()).build();
    (DynamoDbMappings::new(&config, &table, key), others, road)
}

fn bindings(count: i64, forgets: Option<Forgets>) -> Vec<NewBinding> {
    let new = |number| {
        let record = ErpId {
            resource: Resource::Customer,
            id: format!("id {number}"),
        };
        let code = code(&format!("C{number}"));
        NewBinding {
            entity: customer(number),
            binding: Binding::new(code, record, CodeDelivery::Pending),
            forgets,
        }
    };
    (1..=count).map(new).collect()
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

/// Before each of the requests: for the count, for the tombstones, and the two transactions.
#[tokio::test]
async fn p12_a_customer_that_is_forgotten_in_the_middle_of_many_bindings_is_not_bound() {
    for before in [(READ, 0), (READ, 1), (WRITE, 0), (WRITE, 1)] {
        // The last ones are bound first.
        let number = 20;
        let (store, others, _) = stores(Some(Incident::Forget { number, before })).await;
        let answers = store.bind_many(&bindings(60, None)).await.unwrap();
        assert_forgotten_alone(&others, &answers, number).await;
    }
}

/// The same where the caller has read the tombstones itself.
#[tokio::test]
async fn p12_a_customer_that_is_forgotten_after_the_caller_has_read_is_not_bound() {
    let before = (WRITE, 0);
    let (store, others, _) = stores(Some(Incident::Forget { number: 3, before })).await;
    let forgets = store.forgets(Scope::Client).await.unwrap();
    let answers = store.bind_many(&bindings(10, forgets)).await.unwrap();
    assert_forgotten_alone(&others, &answers, 3).await;
}

#[tokio::test]
async fn p12_a_forget_that_is_cut_off_anywhere_is_seen_by_bindings_and_ends_when_it_is_repeated() {
    // Before the tombstones, and after them.
    for before in [(WRITE, 0), (UPDATE, 1)] {
        let (cut_off, store, _) = stores(Some(Incident::CutOff { before })).await;
        let entity = customer(2);
        cut_off.forget(entity).await.unwrap_err();
        assert_eq!(store.forgets(Scope::Client).await.unwrap(), None);
        let mut answers = store.bind_many(&bindings(5, None)).await.unwrap();
        if before.0 == WRITE {
            // Nothing was forgotten yet.
            assert_eq!(answers, vec![Bound::Done; 5]);
        } else {
            assert_forgotten_alone(&store, &answers, 2).await;
        }
        store.forget(entity).await.unwrap();
        assert!(store.forgets(Scope::Client).await.unwrap().is_some());
        answers = store.bind_many(&bindings(5, None)).await.unwrap();
        assert_forgotten_alone(&store, &answers, 2).await;
    }
}

/// The cost of one customer in a pass is a thirty-third of a transaction.
#[tokio::test]
async fn many_bindings_take_a_transaction_for_33_of_them_and_no_read_that_the_caller_has_made() {
    let (store, _, road) = stores(None).await;
    let forgets = store.forgets(Scope::Client).await.unwrap();
    road.operations();
    let answers = store.bind_many(&bindings(66, forgets)).await.unwrap();
    assert_eq!(answers, vec![Bound::Done; 66]);
    assert_eq!(road.operations(), [READ, WRITE, WRITE]);
}
