//! What the console uses.

use std::{sync::Arc, time::Duration};

use shared::{domain::Clock, metrics::Metrics};

use crate::{
    addresses::AllowedAddresses, credentials::Credentials, operator::Operator, sign_in::Provider,
};

/// The use case with everything that it needs.
pub struct Console {
    /// Scheme and host, as browsers write them in `Origin`.
    pub origin: String,
    /// The stack's name, which the page shows.
    pub stack: String,
    /// The addresses from which the console may be used.
    pub allowed: AllowedAddresses,
    /// How long a session lasts.
    pub session: Duration,
    /// The secrets.
    pub credentials: Arc<dyn Credentials>,
    /// Signs people in.
    pub provider: Provider,
    /// Answers their requests.
    pub operator: Arc<dyn Operator>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The metrics of an invocation.
    pub metrics: Metrics,
}
