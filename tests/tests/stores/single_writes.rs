//! Puts and deletes of single items without a transaction, towards a scripted server.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, http::StatusCode};
use serde_json::{Value, json};
use shared::{
    activity::{Activity, DynamoDbActivity},
    mappings::Mappings,
    passes::{DynamoDbPasses, Passes},
};
use uuid::Uuid;

use crate::{
    activity::entry,
    customer,
    faults::{Script, disturbed, mappings, reservation, serve},
    minute,
    passes::{ERP, lease, run},
};

/// What DynamoDB answers to a write on a condition, and the item that is there.
fn refused(there: Option<&Value>) -> (u16, Value) {
    let name = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let mut answer = json!({"__type": name, "message": "The conditional request failed"});
    if let Some(there) = there {
        answer["Item"] = there.clone();
    }
    (400, answer)
}

/// Makes a conditional put. The answer to the first attempt is lost, and the second attempt meets a transaction; `answer` gives the
/// answer to the third one for the item that was put. Returns whether the put succeeds.
async fn is_put(
    which: Put,
    answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + 'static,
) -> bool {
    let (answer, sent) = (Arc::new(answer), Arc::new(Mutex::<Vec<Value>>::default()));
    let router = Router::new().fallback(move |body: Bytes| {
        let (answer, sent) = (answer.clone(), sent.clone());
        async move {
            let request: Value = serde_json::from_slice(&body).unwrap();
            // A transaction of one item would cost twice as much.
            assert!(request["ConditionExpression"].is_string(), "{request}");
            let mut sent = sent.lock().unwrap();
            sent.push(request);
            let (status, body) = match &sent[..] {
                [_] => (500, json!({"__type": "InternalServerError"})),
                [_, _] => disturbed("TransactionConflictException"),
                [first, second, third] => {
                    assert!(first == second && second == third);
                    answer(&first["Item"])
                }
                _ => panic!("it is repeated too often"),
            };
            (StatusCode::from_u16(status).unwrap(), body.to_string())
        }
    });
    let config = serve(router).await;
    let passes = DynamoDbPasses::new(&config, "passes");
    match which {
        Put::Reservation => {
            let mappings = mappings(&config);
            let renewed = mappings.renew(customer(1), Uuid::nil(), reservation());
            renewed.await.unwrap()
        }
        Put::Run => passes.save(&run(1)).await.unwrap(),
        Put::Lease => {
            let taken = passes.lease(ERP, lease(1, 10, 5), minute(0)).await;
            taken.unwrap().is_ok()
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Put {
    Reservation,
    Run,
    Lease,
}

#[tokio::test]
async fn p2_a_put_whose_answer_was_lost_is_recognized() {
    for which in [Put::Reservation, Put::Run, Put::Lease] {
        assert!(is_put(which, |_| (200, json!({}))).await, "{which:?}");
        assert!(is_put(which, |put| refused(Some(put))).await, "{which:?}");
        // The same values from another put.
        let by_another = |put: &Value| {
            let mut there = put.clone();
            let id = there["put_id"]["S"].as_str().unwrap().replace('-', "");
            there["put_id"]["S"] = json!(id);
            refused(Some(&there))
        };
        assert!(!is_put(which, by_another).await, "{which:?}");
        // From a version that puts without an id.
        let without_id = |put: &Value| {
            let mut there = put.clone();
            there.as_object_mut().unwrap().remove("put_id");
            refused(Some(&there))
        };
        assert!(!is_put(which, without_id).await, "{which:?}");
    }
    for which in [Put::Reservation, Put::Run] {
        assert!(!is_put(which, |_| refused(None)).await, "{which:?}");
    }
}

/// There is no item any more, or another one, which does not meet the condition.
#[tokio::test]
async fn a_withdrawal_whose_answer_was_lost_is_no_error() {
    let other = json!({"token": {"S": Uuid::max().to_string()}});
    for there in [None, Some(&other)] {
        let broken = (500, json!({"__type": "InternalServerError"}));
        let (script, config) = Script::start([broken, refused(there)]).await;
        let mappings = mappings(&config);
        let released = mappings.release(customer(1), Uuid::nil());
        released.await.unwrap();
        let [first, second] = &script.requests()[..] else {
            panic!("two requests");
        };
        assert_eq!(first, second);
        let condition = &first["ExpressionAttributeValues"];
        assert_eq!(condition[":seen"]["S"], Uuid::nil().to_string());
    }
}

/// Without the condition, an attempt that arrives late would overwrite the outcome.
#[tokio::test]
async fn what_a_person_does_is_noted_once_only() {
    let (script, config) = Script::start([(200, json!({}))]).await;
    let activity = DynamoDbActivity::new(&config, "activity");
    activity.start(&entry(0)).await.unwrap();
    let condition = &script.requests()[0]["ConditionExpression"];
    assert_eq!(condition, "attribute_not_exists(#pk)");
}

/// Of a put that is no transaction.
#[tokio::test]
async fn p11_the_error_of_a_single_write_names_the_code_and_no_data() {
    let message = "One or more parameter values were invalid: anna@example.com";
    let invalid = json!({"__type": "ValidationException", "message": message});
    let (_script, config) = Script::start([(400, invalid)]).await;
    let mappings = mappings(&config);
    let renewed = mappings.renew(customer(1), Uuid::nil(), reservation());
    let error = renewed.await.unwrap_err().to_string();
    assert!(error.contains("ValidationException"), "{error}");
    assert!(!error.contains("anna"), "{error}");
}
