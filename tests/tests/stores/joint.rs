//! Reads of several stores that are made at the same moment.

use axum::{Router, body::Bytes, http::StatusCode};
use futures_util::{future::join_all, join};
use serde_json::{Value, json};
use shared::{
    aws::Database,
    domain::FingerprintKey,
    mappings::{DynamoDbMappings, Mappings},
    owed::{DynamoDbOwed, OwedRecords, Stage, Subject},
};

use crate::{
    customer,
    faults::{Script, serve},
};

fn stores(database: &Database) -> (DynamoDbMappings, DynamoDbOwed) {
    let key = FingerprintKey::new(b"key");
    let mappings = DynamoDbMappings::new(database.clone(), "mappings", key);
    (mappings, DynamoDbOwed::new(database.clone(), "owed"))
}

/// An owed record about the customer with this number.
fn owed(number: i64) -> Value {
    json!({"pk": {"S": format!("to-erp#customer/client/{number}")}})
}

fn keys(request: &Value, table: &str) -> usize {
    let keys = request["RequestItems"][table]["Keys"].as_array();
    keys.map_or(0, Vec::len)
}

#[tokio::test]
async fn the_mappings_and_owed_records_of_a_batch_are_one_request() {
    let found = json!({"Responses": {"mappings": [], "owed": [owed(3)]}, "UnprocessedKeys": {}});
    let (script, config) = Script::start([(200, found)]).await;
    let (mappings, list) = stores(&Database::new(&config));
    let listed = join_all((1..=10).map(async |number| {
        let (entity, subject) = (customer(number), Subject::Entity(customer(number)));
        let (mapping, listed) = join!(mappings.get(entity), list.is_listed(&subject, Stage::ToErp));
        assert_eq!(mapping.unwrap(), None);
        listed.unwrap()
    }));
    let listed: Vec<bool> = listed.await;
    assert_eq!(listed.iter().position(|listed| *listed), Some(2));
    assert_eq!(listed.iter().filter(|listed| **listed).count(), 1);
    let requests = script.requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    // An entry and a tombstone each.
    assert_eq!(
        (keys(&requests[0], "mappings"), keys(&requests[0], "owed")),
        (20, 10)
    );
    for table in ["mappings", "owed"] {
        assert_eq!(requests[0]["RequestItems"][table]["ConsistentRead"], true);
    }
}

#[tokio::test]
async fn more_keys_than_a_request_takes_are_several_requests() {
    let nothing = json!({"Responses": {}, "UnprocessedKeys": {}});
    let (script, config) = Script::start([(200, nothing)]).await;
    let (mappings, _) = stores(&Database::new(&config));
    let read = join_all((1..=70).map(|number| mappings.get(customer(number)))).await;
    assert!(read.into_iter().all(|mapping| mapping.unwrap().is_none()));
    let mut sizes: Vec<usize> = script
        .requests()
        .iter()
        .map(|request| keys(request, "mappings"))
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [40, 100]);
}

#[tokio::test]
async fn p6_a_table_that_cannot_be_read_fails_its_own_reads_alone() {
    let missing = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "message": "Requested resource not found",
    });
    let nothing = json!({"Responses": {}, "UnprocessedKeys": {}});
    let answer = async move |body: Bytes| {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let is_of_owed = request["TableName"] == "owed" || keys(&request, "owed") > 0;
        match is_of_owed {
            true => (StatusCode::BAD_REQUEST, missing.to_string()),
            false => (StatusCode::OK, nothing.to_string()),
        }
    };
    let config = serve(Router::new().fallback(answer)).await;
    let (mappings, list) = stores(&Database::new(&config));
    let subject = Subject::Entity(customer(1));
    let (mapping, listed) = join!(
        mappings.get(customer(1)),
        list.is_listed(&subject, Stage::ToErp)
    );
    assert_eq!(mapping.unwrap(), None);
    let error = listed.unwrap_err().to_string();
    assert!(
        error.contains("owed") && error.contains("ResourceNotFound"),
        "{error}"
    );
}
