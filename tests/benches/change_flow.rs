//! `change-events` with simulators that answer at once, in one process: what an event costs, from the bytes that the
//! Runtime API hands over to the bytes that it gets back, log lines included. Stores and queues are in memory and there
//! are no sockets, so that the AWS SDK, TLS and HTTP itself are missing; `cold_start` has them.
//!
//! The simulators run in the same thread; their share is measured by itself and taken off.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

mod measurement;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lambda_events::sqs::SqsEvent;
use axum::{
    Router,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use http::Method;
use measurement::{log_to_nowhere, machine, median, micros, per_second, sqs_event, thread_time};
use shared::{
    domain::{ApplicationId, Cause, ChangeMessage, Clock, OrderKey},
    http::{Deadline, Transport, TransportError},
    runtime::batch,
};
use std::num::NonZeroUsize;
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::Entity,
    norce_simulator::EventType,
    samples::{order_of, resident},
};
use tower::ServiceExt;
use uuid::Uuid;

/// Few, because what is in memory and simulated is slower the more there is.
const CUSTOMERS: usize = 100;
const ROUNDS: usize = 31;
/// Messages of an invocation and records at the same time, as in the template.
const BATCH: usize = 10;
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(2).unwrap();
/// Longer than what `change-events` allows for clocks that differ.
const PAUSE: Duration = Duration::from_secs(10);

/// Reaches a simulator and adds up the processor time that it takes.
struct Metered {
    simulator: Router,
    spent: Arc<AtomicU64>,
}

#[async_trait]
impl Transport for Metered {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let mut work = pin!(async {
            let answer = self.simulator.clone().oneshot(request.map(Body::from));
            let (parts, body) = answer.await.expect("an answer").into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            http::Response::from_parts(parts, body)
        });
        let response = poll_fn(|context| {
            let start = thread_time();
            let poll = work.as_mut().poll(context);
            let spent = (thread_time() - start).as_nanos();
            self.spent
                .fetch_add(u64::try_from(spent).unwrap_or(u64::MAX), Ordering::Relaxed);
            poll
        });
        Ok(response.await)
    }
}

/// What an event took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    functions: Duration,
    simulators: Duration,
}

struct Shop {
    bundle: Bundle,
    spent: Arc<AtomicU64>,
    customers: Vec<i64>,
    orders: Vec<i64>,
}

impl Shop {
    /// A shop with customers that have ordered. With `events`, Norce posts them; without, they come by hand.
    fn open(events: bool) -> Self {
        let spent = Arc::new(AtomicU64::new(0));
        let bundle = Bundle::with_transport(&Options::default(), |simulator| {
            Arc::new(Metered {
                simulator,
                spent: spent.clone(),
            })
        });
        if !events {
            for event in [
                EventType::CustomerChanged,
                EventType::JobCompleted,
                EventType::OrderReceived,
            ] {
                bundle.norce.unsubscribe(event);
            }
        }
        let mut customers = Vec::new();
        let mut orders = Vec::new();
        for number in 0..CUSTOMERS {
            let id = bundle.norce.add_customer(resident(number));
            let order = bundle.norce.place_order(order_of(id));
            customers.push(id);
            orders.push(order.id);
        }
        Self {
            bundle,
            spent,
            customers,
            orders,
        }
    }

    fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    async fn measure(&self, work: impl Future<Output = ()>) -> Cost {
        let (start, spent) = (thread_time(), self.spent());
        work.await;
        let simulators = self.spent() - spent;
        let events = u32::try_from(CUSTOMERS).unwrap_or(u32::MAX);
        Cost {
            functions: (thread_time() - start).saturating_sub(simulators) / events,
            simulators: simulators / events,
        }
    }

    /// Hands messages to `change-events`.
    async fn change_events(&self, messages: Vec<ChangeMessage>) -> Cost {
        let invocations: Vec<Vec<u8>> = messages
            .chunks(BATCH)
            .map(|messages| sqs_event(messages, |message| Some(message.group())))
            .collect();
        self.measure(async {
            for bytes in invocations {
                let mut payload = serde_json::Deserializer::from_slice(&bytes);
                // `lambda_runtime` reads payloads like this.
                let event: SqsEvent =
                    serde_path_to_error::deserialize(&mut payload).expect("an event");
                let deadline = Deadline::after(Duration::from_secs(100));
                let inbox = self.bundle.changes.as_ref();
                let source = self.bundle.source("changes", inbox);
                let function = &self.bundle.change_events;
                let response = batch::handle(&event, source, CONCURRENCY, deadline, function).await;
                assert!(response.batch_item_failures.is_empty(), "{response:?}");
                serde_json::to_vec(&response).expect("a response");
            }
        })
        .await
    }

    fn messages(&self, cause: Cause, age: Duration) -> Vec<ChangeMessage> {
        let message = |id: &i64| ChangeMessage::Entity {
            entity: customer(*id),
            cause,
            received_at: self.bundle.clock.now() - age,
            ordered_at: None,
            correlation: Uuid::new_v4(),
        };
        self.customers.iter().map(message).collect()
    }

    fn order_messages(&self) -> Vec<ChangeMessage> {
        let message = |id: &i64| ChangeMessage::Order {
            order: OrderKey::Id(*id),
            application: ApplicationId::try_from(1).expect("an id"),
            received_at: self.bundle.clock.now(),
            correlation: Uuid::new_v4(),
        };
        self.orders.iter().map(message).collect()
    }

    fn erp_writes(&self, method: &Method) -> usize {
        self.bundle.erp.requests().count(method, Entity::Customers)
    }

    fn norce_reads(&self) -> u64 {
        self.bundle.norce.requests().values().sum()
    }
}

const NAMES: [&str; 6] = [
    "order: find the buyer",
    "first order: create",
    "changed: update",
    "echo: unchanged",
    "fetched since: skipped",
    "whole way, 4 functions",
];

async fn round() -> [Cost; 6] {
    let shop = Shop::open(false);
    // Tokens are fetched once and countries looked up once; that is not what is measured.
    shop.change_events(
        shop.messages(Cause::Changed, Duration::ZERO)
            .drain(..1)
            .collect(),
    )
    .await;
    let order = shop.change_events(shop.order_messages()).await;
    for message in shop.bundle.changes.receive(usize::MAX) {
        shop.bundle.changes.delete(&message.receipt);
    }
    let created_before = shop.erp_writes(&Method::POST);
    let create = shop
        .change_events(shop.messages(Cause::Ordered, Duration::ZERO))
        .await;
    let created = shop.erp_writes(&Method::POST) - created_before;
    assert!(created >= CUSTOMERS - 1, "{created} were created");
    shop.bundle.run_until_quiet().await;

    tokio::time::sleep(PAUSE).await;
    for id in &shop.customers {
        let changed = shop.bundle.norce.change_customer(*id, |record| {
            record.row.phone_number = Some("08-765 43 21".to_owned())
        });
        assert!(changed, "customer {id} was not changed");
    }
    let update = shop
        .change_events(shop.messages(Cause::Changed, Duration::ZERO))
        .await;
    assert_eq!(shop.erp_writes(&Method::PATCH), CUSTOMERS);

    tokio::time::sleep(PAUSE).await;
    let unchanged = shop
        .change_events(shop.messages(Cause::Changed, Duration::ZERO))
        .await;
    assert_eq!(shop.erp_writes(&Method::PATCH), CUSTOMERS);

    let reads = shop.norce_reads();
    let skipped = shop
        .change_events(shop.messages(Cause::Changed, PAUSE))
        .await;
    assert_eq!(shop.norce_reads(), reads);

    let shop = Shop::open(true);
    let whole = shop.measure(shop.bundle.run_until_quiet()).await;
    assert_eq!(
        shop.bundle.erp.customers(shop.bundle.erp_company()).len(),
        CUSTOMERS
    );
    [order, create, update, unchanged, skipped, whole]
}

fn main() {
    log_to_nowhere();
    println!(
        "change-events, simulators in the same thread ({})",
        machine()
    );
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        rounds.push(runtime.block_on(round()));
    }
    println!(
        "{:<24} {:>10} {:>12}   {:>12}",
        "", "processor", "one core", "simulators"
    );
    for (place, name) in NAMES.iter().enumerate() {
        let cost = median(rounds.iter().map(|round| round[place]).collect());
        println!(
            "{name:<24} {:>10} {:>12}   {:>12}",
            micros(cost.functions),
            per_second(cost.functions),
            micros(cost.simulators)
        );
    }
}
