//! What the function is made of, and the time that it has.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{ChangeMessage, Clock, JobMessage, Shops},
    orders::Orders,
    queues::Queue,
    runtime::{
        metrics::Metrics,
        secrets::{EventSecret, OrderSecret},
    },
};

use crate::secret::Accepted;

/// A post is answered within this time, whatever is slow: the secret, the table and the queue together. Norce hangs up
/// after five seconds (norce-api §6; for orders it does not say, §10.1), of which a cold start and the way there and back
/// take some tenths. A single call of AWS gives up before that by itself, and two of them in a row do not.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Why a post is answered with 503 when that time is over.
pub(crate) const TOO_SLOW: &str = "the secret, the table or the queue took too long";

/// The use case with everything that it needs.
pub struct ReceiveEvents {
    /// Which secrets are accepted.
    pub secrets: Arc<dyn Accepted<EventSecret>>,
    /// Customers, companies and orders to look after.
    pub changes: Arc<dyn Queue<ChangeMessage>>,
    /// Jobs that have ended.
    pub jobs: Arc<dyn Queue<JobMessage>>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Which shops there are.
    pub shops: Shops,
    /// Takes orders; `None`: they are not for us (`ORDER_RECEIVER`).
    pub orders: Option<OrderReceiver>,
    /// What an invocation measures.
    pub metrics: Metrics,
}

/// What it takes to receive orders.
pub struct OrderReceiver {
    /// The credentials that are accepted.
    pub secrets: Arc<dyn Accepted<OrderSecret>>,
    /// Where orders are kept.
    pub orders: Arc<dyn Orders>,
}
