//! The measured flows: the function, its events, and the expected answers.

use std::{collections::HashMap, slice, time::Duration};

use chrono::Utc;
use http::Method;
use serde_json::{Value, json};
use shared::domain::{ApplicationId, Cause, ChangeMessage, OrderKey, PassMode};
use tests::{
    bundle::customer,
    lambda::{
        fake_aws::{Request, messages_to},
        payloads::sqs_bodies,
        runtime_api::FunctionProcess,
    },
    samples::order_of,
};
use uuid::Uuid;

use super::{
    measurement::{event_post, sqs_event},
    program::{Program, built},
    stage::{Calls, EVENT_SECRET, Stage},
};

/// Customers that a flow uses in turn. Few, because the simulators slow down with more.
const CUSTOMERS: usize = 100;
/// Messages of an invocation of `submit-imports` here, which become one job.
const LINES: usize = 10;
/// Records of the pass over unchanged ones.
const RECORDS: usize = 1_000;

/// The path of an event through a function.
pub(crate) struct Flow {
    /// Its name on the command line.
    pub(crate) word: &'static str,
    pub(crate) title: &'static str,
    pub(crate) function: &'static str,
    /// A function that makes the same calls, and does nothing else.
    pub(crate) calls_alone: Option<&'static str>,
    /// The twins: what their names add to that of the language, and the names of their sources.
    pub(crate) twins: &'static [(&'static str, &'static str)],
    /// Events of an invocation; for a pass, which takes several invocations, its records.
    pub(crate) batch: usize,
    /// Events of a program in a round.
    pub(crate) events: usize,
    work: Work,
}

/// What happens to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Post,
    Echo,
    Create,
    Update,
    Order,
    Submit,
    Poll,
    Pass(PassMode),
}

const RECEIVE: Flow = Flow {
    word: "receive",
    title: "receive-events: an event of Norce becomes a message",
    function: "receive-events",
    calls_alone: Some("one-call-function"),
    twins: &[("", "receive")],
    batch: 1,
    events: 200,
    work: Work::Post,
};

const ECHO: Flow = Flow {
    word: "echo",
    title: "change-events: an unchanged customer, one message an invocation",
    function: "change-events",
    calls_alone: None,
    twins: &[("", "echo"), (", fewest calls", "echo_fewest")],
    work: Work::Echo,
    ..RECEIVE
};

const ECHO_OF_TEN: Flow = Flow {
    title: "change-events: an unchanged customer, ten messages an invocation",
    batch: 10,
    ..ECHO
};

const CREATE: Flow = Flow {
    word: "create",
    title: "change-events: a first order, the customer is created in the ERP",
    function: "change-events",
    calls_alone: None,
    twins: &[],
    batch: 1,
    events: CUSTOMERS,
    work: Work::Create,
};

const UPDATE: Flow = Flow {
    word: "update",
    title: "change-events: a changed customer is updated in the ERP",
    work: Work::Update,
    ..CREATE
};

const ORDER: Flow = Flow {
    word: "order",
    title: "change-events: an order leads to its buyer",
    work: Work::Order,
    ..CREATE
};

const SUBMIT: Flow = Flow {
    word: "submit",
    title: "submit-imports: a code, ten in an invocation and in a job",
    function: "submit-imports",
    batch: LINES,
    work: Work::Submit,
    ..CREATE
};

const POLL: Flow = Flow {
    word: "poll",
    title: "poll-jobs: a code of a job of ten that has finished, confirmed",
    function: "poll-jobs",
    work: Work::Poll,
    ..SUBMIT
};

const DELTA: Flow = Flow {
    word: "pass",
    title: "erp-full-pass: a delta pass that finds nothing",
    function: "erp-full-pass",
    events: 10,
    work: Work::Pass(PassMode::Delta),
    ..CREATE
};

const FULL: Flow = Flow {
    title: "erp-full-pass: a record in a full pass over 1,000 unchanged ones",
    batch: RECORDS,
    events: RECORDS,
    work: Work::Pass(PassMode::Full),
    ..DELTA
};

/// All flows.
pub(crate) const FLOWS: [Flow; 10] = [
    RECEIVE,
    ECHO,
    ECHO_OF_TEN,
    CREATE,
    UPDATE,
    ORDER,
    SUBMIT,
    POLL,
    DELTA,
    FULL,
];

impl Flow {
    /// Whether it can be measured with TLS. The simulated ERP gives the address of a next page without TLS.
    pub(crate) fn has_tls(&self) -> bool {
        !matches!(self.work, Work::Pass(_))
    }

    /// Whether the function calls the ERP.
    pub(crate) fn calls_erp(&self) -> bool {
        matches!(self.work, Work::Create | Work::Update | Work::Pass(_))
    }
}

/// What events took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) processor: Duration,
    pub(crate) calls: Calls,
}

/// A flow at work.
pub(crate) struct Scene<'a> {
    flow: &'a Flow,
    stage: &'a Stage,
    customers: Vec<i64>,
    /// How often the customers were changed.
    changes: usize,
    orders: Vec<i64>,
    /// `change-events`, and `submit-imports`: what they send is what the flow begins with.
    before: Option<(FunctionProcess, FunctionProcess)>,
}

impl<'a> Scene<'a> {
    /// Prepares the flow, once for all programs.
    pub(crate) async fn open(flow: &'a Flow, stage: &'a Stage) -> Self {
        let mut scene = Self {
            flow,
            stage,
            customers: Vec::new(),
            changes: 0,
            orders: Vec::new(),
            before: None,
        };
        match flow.work {
            Work::Post | Work::Echo | Work::Update => {
                scene.customers = stage.add_customers(CUSTOMERS);
            }
            Work::Create => {}
            Work::Order => {
                let norce = &stage.remotes.norce;
                let customers = stage.add_customers(CUSTOMERS);
                let orders = customers.iter().map(|id| norce.place_order(order_of(*id)));
                scene.orders = orders.map(|order| order.id).collect();
            }
            Work::Submit | Work::Poll => {
                let mut started = Vec::with_capacity(2);
                for function in ["change-events", "submit-imports"] {
                    let program = Program::ours("a function before", &built(), function);
                    let mut process = program.start(stage).await;
                    process.until_ready().await.expect("it is ready");
                    started.push(process);
                }
                scene.before = started
                    .pop()
                    .and_then(|submit| Some((started.pop()?, submit)));
            }
            Work::Pass(_) => stage.add_known_customers(RECORDS),
        }
        scene
    }

    pub(crate) fn flow(&self) -> &'a Flow {
        self.flow
    }

    /// Prepares the program for the flow.
    pub(crate) async fn prepare(&mut self, program: &Program, process: &mut FunctionProcess) {
        match self.flow.work {
            Work::Echo | Work::Update => self.make_known(program, process).await,
            // The first one makes the mappings, the second one lists their keys.
            Work::Pass(_) => {
                for _ in 0..2 {
                    let full = json!({ "mode": "full" }).to_string().into_bytes();
                    self.invoke(program, process, full).await;
                }
            }
            Work::Post | Work::Create | Work::Order | Work::Submit | Work::Poll => {}
        }
    }

    /// Creates the records, or, of a twin, stores the fingerprints.
    async fn make_known(&self, program: &Program, process: &mut FunctionProcess) {
        for customers in self.customers.chunks(self.flow.batch) {
            let payload = changes(customers, Cause::Ordered);
            self.invoke(program, process, payload).await;
        }
        if !program.is_ours() {
            return;
        }
        // Stands for the import of the codes.
        let erp = &self.stage.remotes.erp;
        let records = erp.customers(erp.companies()[0]);
        let numbers: HashMap<String, String> = records
            .into_iter()
            .map(|record| (record.email, record.number))
            .collect();
        assert_eq!(numbers.len(), CUSTOMERS, "every customer is in the ERP");
        for id in &self.customers {
            self.stage.remotes.norce.change_customer(*id, |record| {
                let email = record.row.email_address.clone().unwrap_or_default();
                record.row.customer_code = numbers.get(&email).cloned();
            });
        }
        for customers in self.customers.chunks(self.flow.batch) {
            let payload = changes(customers, Cause::Changed);
            self.invoke(program, process, payload).await;
        }
    }

    /// Sends this many events. What is done to prepare them is not in the cost.
    pub(crate) async fn run(
        &mut self,
        program: &Program,
        process: &mut FunctionProcess,
        events: usize,
    ) -> Cost {
        let mut cost = Cost::default();
        // A customer is changed once in each part.
        let part = CUSTOMERS.max(self.flow.batch);
        for first in (0..events).step_by(part) {
            let part = part.min(events - first);
            let payloads = self.payloads(part).await;
            let invocations = payloads.len();
            let records = self.stage.erp_records();
            let counted = self.stage.count();
            let before = process.processor_time_of_threads().expect("it runs");
            let mut sent = Vec::new();
            for payload in payloads {
                sent.extend(self.invoke(program, process, payload).await);
            }
            let after = process.processor_time_of_threads().expect("it runs");
            cost.processor += after.saturating_sub(before);
            let mut calls = counted.until_now(self.stage);
            calls.aws = sent.len();
            let made = self.stage.erp_records() - records;
            self.assert_done(&sent, calls, (part, invocations), made);
            cost.calls.add(calls);
        }
        cost
    }

    /// The payloads of this many events.
    async fn payloads(&mut self, events: usize) -> Vec<Vec<u8>> {
        let batch = self.flow.batch;
        match self.flow.work {
            Work::Post => self.some_customers(events).iter().map(post).collect(),
            Work::Echo => {
                let customers = self.some_customers(events);
                let batches = customers.chunks(batch);
                batches.map(|ids| changes(ids, Cause::Changed)).collect()
            }
            Work::Create => {
                let customers = self.stage.add_customers(events);
                let batches = customers.chunks(batch);
                batches.map(|ids| changes(ids, Cause::Ordered)).collect()
            }
            Work::Update => {
                self.changes += 1;
                let phone = format!("08-{:07}", self.changes);
                let customers = self.some_customers(events);
                for id in &customers {
                    self.stage.remotes.norce.change_customer(*id, |record| {
                        record.row.phone_number = Some(phone.clone());
                    });
                }
                let batches = customers.chunks(batch);
                batches.map(|ids| changes(ids, Cause::Changed)).collect()
            }
            Work::Order => {
                let orders = self.orders.iter().cycle().take(events);
                orders.map(|id| order(*id)).collect()
            }
            Work::Submit => {
                let lines = self.lines(events).await;
                lines.chunks(batch).map(messages).collect()
            }
            Work::Poll => {
                let jobs = self.jobs(events).await;
                jobs.iter()
                    .map(|job| messages(slice::from_ref(job)))
                    .collect()
            }
            Work::Pass(mode) => {
                let pass = json!({ "mode": mode.as_str() }).to_string().into_bytes();
                vec![pass; events.div_ceil(batch)]
            }
        }
    }

    fn some_customers(&self, count: usize) -> Vec<i64> {
        self.customers.iter().copied().cycle().take(count).collect()
    }

    /// The messages to `submit-imports` about this many new customers.
    async fn lines(&mut self, count: usize) -> Vec<String> {
        let customers = self.stage.add_customers(count);
        let (change, _) = self.before.as_mut().expect("it was started");
        let mut sent = Vec::with_capacity(count);
        for customers in customers.chunks(LINES) {
            let payload = changes(customers, Cause::Ordered);
            let requests = answered("change-events", change, self.stage, payload).await;
            sent.extend(messages_to(&requests, "imports"));
        }
        assert_eq!(sent.len(), count, "every customer was created");
        sent
    }

    /// The messages to `poll-jobs` about jobs with this many lines, which have ended.
    async fn jobs(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines(count).await;
        let (_, submit) = self.before.as_mut().expect("it was started");
        let mut sent = Vec::with_capacity(count / LINES);
        for lines in lines.chunks(LINES) {
            let payload = messages(lines);
            let requests = answered("submit-imports", submit, self.stage, payload).await;
            sent.extend(messages_to(&requests, "jobs"));
        }
        self.stage.remotes.norce.settled().await;
        sent
    }

    /// Invokes the function, and then with the messages that it sends to itself. Returns the requests to AWS.
    async fn invoke(
        &self,
        program: &Program,
        process: &mut FunctionProcess,
        payload: Vec<u8>,
    ) -> Vec<Request> {
        let mut requests = answered(&program.name, process, self.stage, payload).await;
        if matches!(self.flow.work, Work::Pass(_)) {
            let mut waiting = messages_to(&requests, "passes");
            while !waiting.is_empty() {
                let payload = messages(&waiting);
                let more = answered(&program.name, process, self.stage, payload).await;
                waiting = messages_to(&more, "passes");
                requests.extend(more);
            }
        }
        requests
    }

    /// Fails where the events did not lead to what is measured.
    fn assert_done(
        &self,
        sent: &[Request],
        calls: Calls,
        (events, invocations): (usize, usize),
        made: usize,
    ) {
        let of_queue = |queue| messages_to(sent, queue).len();
        let title = self.flow.title;
        match self.flow.work {
            Work::Post => {}
            Work::Echo => assert_eq!(made, 0, "{title}"),
            Work::Create => {
                assert_eq!((made, of_queue("imports")), (events, events), "{title}");
            }
            Work::Update => {
                let requests = self.stage.remotes.erp.requests();
                let updates = requests.carried_out();
                let updates = updates.filter(|write| write.method == Method::PATCH);
                assert_eq!(updates.count(), events, "{title}");
            }
            Work::Order => assert_eq!(of_queue("changes.fifo"), events, "{title}"),
            Work::Submit => assert_eq!(of_queue("jobs"), invocations, "{title}"),
            Work::Poll => assert_eq!(of_queue("jobs"), 0, "{title}: a job has to be polled again"),
            // Unchanged records cause no request to Norce.
            Work::Pass(_) => assert_eq!((of_queue("imports"), calls.norce), (0, 0), "{title}"),
        }
    }
}

/// Invokes a function once, and returns its requests to AWS.
async fn answered(
    name: &str,
    process: &mut FunctionProcess,
    stage: &Stage,
    payload: Vec<u8>,
) -> Vec<Request> {
    stage.aws.take_requests();
    let answered = process.invoke(payload).await;
    let answered = answered.unwrap_or_else(|error| panic!("{name}: {error}"));
    let answer = answered.answer;
    let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(is_well(&answer), "{name}: {answer}");
    process.until_ready().await.expect("it asks for the next");
    stage.aws.take_requests()
}

/// Whether a post was accepted, every message handled, or a pass started.
fn is_well(answer: &Value) -> bool {
    answer["statusCode"] == 202
        || answer["batchItemFailures"] == json!([])
        || answer["runs"]
            .as_array()
            .is_some_and(|runs| runs.len() == 1)
}

fn post(id: &i64) -> Vec<u8> {
    let body = json!({ "ClientId": 1006, "CustomerId": id, "EntityChanged": "tClientCustomer" });
    event_post("/events/customer-changed", EVENT_SECRET, &body.to_string())
}

fn changes(ids: &[i64], cause: Cause) -> Vec<u8> {
    let messages: Vec<ChangeMessage> = ids
        .iter()
        .map(|id| ChangeMessage::Entity {
            entity: customer(*id),
            cause,
            received_at: Utc::now(),
            ordered_at: (cause == Cause::Ordered).then(Utc::now),
            correlation: Uuid::new_v4(),
        })
        .collect();
    sqs_event(&messages, |message| Some(message.group()))
}

fn order(id: i64) -> Vec<u8> {
    let message = ChangeMessage::Order {
        order: OrderKey::Id(id),
        application: ApplicationId::try_from(1).expect("an id"),
        received_at: Utc::now(),
        correlation: Uuid::new_v4(),
    };
    sqs_event(&[message], |message| Some(message.group()))
}

/// An invocation with messages of these bodies, of a queue without groups.
fn messages(bodies: &[String]) -> Vec<u8> {
    let bodies: Vec<(String, Option<String>)> =
        bodies.iter().map(|body| (body.clone(), None)).collect();
    sqs_bodies(&bodies)
}
