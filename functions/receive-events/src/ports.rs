//! The ports of the function, and its time.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{ApplicationSettings, ChangeMessage, Clock, JobMessage, PassMessage},
    metrics::Metrics,
    orders::Orders,
    queues::Queue,
    runtime::{
        resources::Resources,
        secrets::{EventSecret, OrderSecret},
    },
};

use crate::{
    configuration::Configuration,
    secret::{Accepted, CachedSecret},
};

/// A post is answered within this time, whatever is slow: the secret, the table and the queue together. Norce hangs up
/// after five seconds (norce-api §6; for orders it does not say, §10.1), of which a cold start and the way there and back
/// take some tenths. A single call of AWS gives up before that by itself, and two of them in a row do not.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Why a post is answered with 503 when that time is over.
pub(crate) const TOO_SLOW: &str = "the secret, the table or the queue took too long";

/// The use case with its ports.
pub struct ReceiveEvents {
    /// The accepted secrets of events.
    pub secrets: Arc<dyn Accepted<EventSecret>>,
    /// Takes the customers, companies and orders to sync.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// Takes the jobs that have ended.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The applications and their scopes.
    pub shops: ApplicationSettings,
    /// Receives orders; `None`: orders are not received (`ORDER_RECEIVER`).
    pub orders: Option<OrderReceiver>,
    /// Receives the ERP's events; `None`: they are not received (`ERP_EVENTS`).
    pub erp_events: Option<ErpEventReceiver>,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}

impl ReceiveEvents {
    /// Builds the function. Its secrets are read with the first post, so that a cold start waits for nothing.
    pub fn build(configuration: Configuration, resources: &impl Resources) -> Self {
        let secrets = resources.secrets();
        Self {
            secrets: Arc::new(CachedSecret::new(
                secrets.clone(),
                configuration.event_secret_arn,
            )),
            changes: resources.queue(&configuration.changes_queue_url),
            jobs: resources.queue(&configuration.jobs_queue_url),
            clock: resources.clock(),
            shops: configuration.shops,
            orders: configuration.orders.map(|orders| OrderReceiver {
                secrets: Arc::new(CachedSecret::new(secrets.clone(), orders.secret_arn)),
                orders: resources.orders(&orders.table),
            }),
            erp_events: configuration.erp_events.map(|events| ErpEventReceiver {
                secrets: Arc::new(CachedSecret::new(secrets.clone(), events.secret_arn)),
                passes: resources.queue(&events.passes_queue_url),
            }),
            metrics: resources.metrics().clone(),
        }
    }
}

/// The ports for receiving orders.
pub struct OrderReceiver {
    /// The accepted credentials.
    pub secrets: Arc<dyn Accepted<OrderSecret>>,
    /// The received orders.
    pub orders: Arc<dyn Orders>,
}

/// The ports for receiving the ERP's events.
pub struct ErpEventReceiver {
    /// The accepted secrets.
    pub secrets: Arc<dyn Accepted<EventSecret>>,
    /// Takes what may have changed or gone.
    pub passes: Arc<dyn Queue<PassMessage>>,
}
