//! The functions accept the samples in `tests/events`, so that these do not fall behind the code.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{fs, path::Path};

use aws_lambda_events::{apigw::ApiGatewayV2httpRequest, sqs::SqsEvent};
use operator::Request;
use receive_events::ORDERS_PATH;
use serde::de::DeserializeOwned;
use shared::{
    domain::{ChangeMessage, ImportRequest, JobMessage, PassRequest},
    norce::{
        events::{Event, EventType},
        order_request::OrderRequest,
    },
};

fn samples(function: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("events");
    let mut samples: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            name.starts_with(function)
                .then(|| (name, fs::read_to_string(&path).unwrap()))
        })
        .collect();
    samples.sort();
    assert!(!samples.is_empty(), "no sample for {function}");
    samples
}

fn assert_bodies_are<M: DeserializeOwned>(function: &str) {
    for (name, text) in samples(function) {
        let event: SqsEvent = serde_json::from_str(&text).unwrap();
        let poison = event
            .records
            .iter()
            .filter(|record| {
                serde_json::from_str::<M>(record.body.as_deref().unwrap_or_default()).is_err()
            })
            .count();
        let expected = usize::from(name.ends_with("-poison"));
        assert_eq!(poison, expected, "{name}");
    }
}

#[test]
fn the_samples_of_the_queues_hold_their_messages() {
    assert_bodies_are::<ChangeMessage>("change-events");
    assert_bodies_are::<ImportRequest>("submit-imports");
    assert_bodies_are::<JobMessage>("poll-jobs");
}

#[test]
fn the_samples_of_a_pass_are_requests_for_one() {
    for (name, text) in samples("erp-full-pass") {
        let request: PassRequest = serde_json::from_str(&text).unwrap();
        let is_plan = name.ends_with("-plan");
        assert_eq!(request.dry_run, is_plan, "{name}");
    }
}

#[test]
fn the_samples_of_the_operator_are_requests() {
    for (name, text) in samples("operator") {
        let request = Request::parse(serde_json::from_str(&text).unwrap());
        assert!(request.is_ok(), "{name}: {request:?}");
    }
}

#[test]
fn the_samples_of_the_event_url_are_right_or_wrong_as_their_names_say() {
    for (name, text) in samples("receive-events") {
        let request: ApiGatewayV2httpRequest = serde_json::from_str(&text).unwrap();
        let path = request.raw_path.unwrap();
        if path == ORDERS_PATH {
            let order = request.body.unwrap();
            let order = OrderRequest::read(&order).unwrap();
            assert!(order.application_key.is_some() && !order.slots.is_empty());
            continue;
        }
        let header = request.headers.get("x-norce-event-type");
        let event_type = match path.strip_prefix("/events/") {
            Some(event_type) => event_type.to_owned(),
            None => header.unwrap().to_str().unwrap().to_owned(),
        };
        let event = event_type
            .parse::<EventType>()
            .ok()
            .and_then(|kind| Event::parse(kind, request.body.unwrap().as_bytes()).ok());
        let is_wrong = ["-not-json", "-unknown-type"]
            .iter()
            .any(|end| name.ends_with(end));
        assert_eq!(event.is_none(), is_wrong, "{name}");
    }
}
