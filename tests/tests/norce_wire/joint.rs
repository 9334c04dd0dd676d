//! Customers and companies that are read at the same moment.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::{
    domain::{Customer, EntityRef, Registers, Scope},
    norce::{
        NorceError, NorceQuery,
        query::{AddressTypes, QueryClient},
    },
};

use crate::{
    query::shops,
    script::{Answer, Script, app, id, minute, rows, status},
};

fn row(number: i64, application: Option<i64>) -> Value {
    json!({
        "Id": number, "FirstName": "Anna", "IsActive": true, "IsForgotten": false,
        "ApplicationId": application,
    })
}

fn customer(scope: Scope, number: i64) -> EntityRef {
    EntityRef::customer(scope, id(number))
}

/// The value of a line of a request.
fn line<'a>(request: &'a str, start: &str) -> &'a str {
    let mut lines = request.lines();
    let found = lines.find_map(|line| line.trim().strip_prefix(start));
    found.unwrap_or_else(|| panic!("no {start} in {request}"))
}

/// Reads customers at the same moment. The answer to a request depends on its filter.
async fn read(
    registers: Registers,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    wanted: &[EntityRef],
) -> (Arc<Script>, Vec<Result<Option<Customer>, NorceError>>) {
    let script = Script::answering(move |request| answer(line(request, "$filter=")));
    let client = QueryClient::new(script.api(), shops(registers), AddressTypes::default());
    // The messages of an invocation have one deadline.
    let deadline = minute();
    let read = wanted
        .iter()
        .map(|entity| client.customer(*entity, deadline));
    let read = join_all(read).await;
    (script, read)
}

#[tokio::test]
async fn p14_customers_read_at_the_same_moment_are_one_request_in_the_name_of_each_application() {
    let (one, two) = (Scope::Application(app(1)), Scope::Application(app(2)));
    // Number 7 is another application's, and number 9 does not exist.
    let wanted = [
        customer(one, 5),
        customer(one, 6),
        customer(one, 7),
        customer(one, 9),
        customer(two, 8),
    ];
    let answer = |filter: &str| match filter {
        "Id eq 8" => rows(json!([row(8, Some(2))])),
        _ => rows(json!([row(6, Some(1)), row(5, Some(1)), row(7, Some(2))])),
    };
    let (script, read) = read(Registers::Applications, answer, &wanted).await;
    let found = read
        .into_iter()
        .map(|read| read.unwrap().map(|customer| customer.entity));
    let expected = [
        Some(wanted[0]),
        Some(wanted[1]),
        None,
        None,
        Some(wanted[4]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let requests = script.requests();
    let mut requests: Vec<_> = requests
        .iter()
        .map(|request| (line(request, "application-id: "), line(request, "$filter=")))
        .collect();
    requests.sort_unstable();
    let expected = [
        ("1", "Id eq 5 or Id eq 6 or Id eq 7 or Id eq 9"),
        ("2", "Id eq 8"),
    ];
    assert_eq!(requests, expected);
}

#[tokio::test]
async fn p6_a_row_that_cannot_be_read_fails_its_own_customer_alone() {
    let answer = |filter: &str| {
        let illegible = json!({"Id": 6, "IsActive": "perhaps"});
        match filter {
            "Id eq 5" => rows(json!([row(5, None)])),
            "Id eq 6" => rows(json!([illegible])),
            _ => rows(json!([row(5, None), illegible])),
        }
    };
    let wanted = [5, 6].map(|number| customer(Scope::Client, number));
    let (script, read) = read(Registers::Client, answer, &wanted).await;
    assert_eq!(
        read[0].as_ref().unwrap().as_ref().unwrap().entity,
        wanted[0]
    );
    match &read[1] {
        Err(NorceError::Unreadable(reason)) => assert!(reason.contains("customer/client/6")),
        read => panic!("{read:?}"),
    }
    assert_eq!(script.requests().len(), 3);
}

#[tokio::test]
async fn p6_a_joint_request_that_norce_refuses_is_made_for_each_customer() {
    let answer = |filter: &str| match filter {
        "Id eq 5" => rows(json!([row(5, None)])),
        "Id eq 6" => rows(json!([row(6, None)])),
        _ => status(403),
    };
    let wanted = [5, 6].map(|number| customer(Scope::Client, number));
    let (_, read) = read(Registers::Client, answer, &wanted).await;
    assert!(read.into_iter().all(|read| read.unwrap().is_some()));
}
