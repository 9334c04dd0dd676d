//! The measured flows: the function, its events, and the expected answers.

use std::collections::HashMap;

use chrono::Utc;
use serde_json::{Value, json};
use shared::domain::{Cause, ChangeMessage};
use tests::{bundle::customer, lambda::runtime_api::FunctionProcess};
use uuid::Uuid;

use super::{
    measurement::{event_post, sqs_event},
    program::Program,
    stage::{EVENT_SECRET, Stage},
};

/// The path of an event through a function.
pub(crate) struct Flow {
    /// Its name on the command line.
    pub(crate) word: &'static str,
    pub(crate) title: &'static str,
    pub(crate) function: &'static str,
    /// The name of the twins' sources.
    pub(crate) twin: &'static str,
    /// Messages of an invocation; `None`: it is a post.
    batch: Option<usize>,
}

/// An event of Norce becomes a message on the changes queue.
pub(crate) const RECEIVE: Flow = Flow {
    word: "receive",
    title: "receive-events: an event of Norce becomes a message",
    function: "receive-events",
    twin: "receive",
    batch: None,
};

/// An unchanged customer, with one message in an invocation.
pub(crate) const ECHO: Flow = Flow {
    word: "echo",
    title: "change-events: an unchanged customer, one message an invocation",
    function: "change-events",
    twin: "echo",
    batch: Some(1),
};

/// The same with ten messages in an invocation.
pub(crate) const ECHO_OF_TEN: Flow = Flow {
    title: "change-events: an unchanged customer, ten messages an invocation",
    batch: Some(10),
    ..ECHO
};

impl Flow {
    /// Prepares the program for the flow.
    pub(crate) async fn prepare(
        &self,
        stage: &Stage,
        program: &Program,
        process: &mut FunctionProcess,
    ) {
        if self.batch.is_none() {
            return;
        }
        let all = stage.customers.len();
        // Creates the records, or stores the fingerprints.
        self.run_as(stage, program, process, all, Cause::Ordered)
            .await;
        if !program.is_ours() {
            return;
        }
        // Stands for the import of the codes.
        let records = stage.erp.customers(stage.erp.companies()[0]);
        let numbers: HashMap<String, String> = records
            .into_iter()
            .map(|record| (record.email, record.number))
            .collect();
        assert_eq!(numbers.len(), all, "every customer is in the ERP");
        for id in &stage.customers {
            stage.norce.change_customer(*id, |record| {
                let email = record.row.email_address.clone().unwrap_or_default();
                record.row.customer_code = numbers.get(&email).cloned();
            });
        }
        self.run_as(stage, program, process, all, Cause::Changed)
            .await;
    }

    /// Sends this many events.
    pub(crate) async fn run(
        &self,
        stage: &Stage,
        program: &Program,
        process: &mut FunctionProcess,
        events: usize,
    ) {
        self.run_as(stage, program, process, events, Cause::Changed)
            .await;
    }

    async fn run_as(
        &self,
        stage: &Stage,
        program: &Program,
        process: &mut FunctionProcess,
        events: usize,
        cause: Cause,
    ) {
        for first in (0..events).step_by(self.batch.unwrap_or(1)) {
            let customers = stage.customers.iter().cycle().skip(first);
            let customers = customers.take(self.batch.unwrap_or(1));
            let payload = match self.batch {
                None => post(stage.customers[first % stage.customers.len()]),
                Some(_) => changes(customers, cause),
            };
            let answered = process.invoke(payload).await;
            let answered = answered.unwrap_or_else(|error| panic!("{}: {error}", program.name));
            let answer = answered
                .answer
                .unwrap_or_else(|error| panic!("{}: {error}", program.name));
            assert!(self.is_well(&answer), "{}: {answer}", program.name);
            process.until_ready().await.expect("it asks for the next");
        }
    }

    fn is_well(&self, answer: &Value) -> bool {
        match self.batch {
            None => answer["statusCode"] == 202,
            Some(_) => answer["batchItemFailures"] == json!([]),
        }
    }
}

fn post(id: i64) -> Vec<u8> {
    let body = json!({ "ClientId": 1006, "CustomerId": id, "EntityChanged": "tClientCustomer" });
    event_post("/events/customer-changed", EVENT_SECRET, &body.to_string())
}

fn changes<'a>(ids: impl Iterator<Item = &'a i64>, cause: Cause) -> Vec<u8> {
    let messages: Vec<ChangeMessage> = ids
        .map(|id| ChangeMessage::Entity {
            entity: customer(*id),
            cause,
            received_at: Utc::now(),
            ordered_at: None,
            correlation: Uuid::new_v4(),
        })
        .collect();
    sqs_event(&messages, |message| Some(message.group()))
}
