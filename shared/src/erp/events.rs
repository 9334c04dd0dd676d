//! Events of an ERP: it posts which records may have changed, to an address that it has a subscription for. An event is a
//! hint and never the truth: what it is about is read from the ERP.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use super::error::ErpError;
use crate::{domain::ErpId, http::Deadline};

/// What an event says: something of this company may have changed or gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErpChange {
    /// The ERP company, as the port of the ERP names it; `None`: any.
    pub company: Option<String>,
    /// The record; `None`: there are too many to name them.
    pub record: Option<ErpId>,
}

/// A subscription to the events of one ERP company.
#[derive(Clone)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Its version, on which a renewal is conditional.
    pub version: String,
    /// When it ends, unless it is renewed before.
    pub ends: DateTime<Utc>,
    /// The secret that its posts carry; `None`: the ERP does not tell.
    pub secret: Option<SecretString>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Subscription")
            .field("id", &self.id)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// The subscriptions to the events of one ERP company. The ERP checks an address by a request to it, so that a subscription
/// is made and renewed only while the events API answers.
#[async_trait]
pub trait EventSubscriptions: Send + Sync {
    /// The subscription whose events are posted to this address: of several, the one that lasts longest.
    async fn find(
        &self,
        address: &Url,
        deadline: Deadline,
    ) -> Result<Option<Subscription>, ErpError>;

    /// Subscribes. The events carry the secret.
    async fn subscribe(
        &self,
        address: &Url,
        secret: &SecretString,
        deadline: Deadline,
    ) -> Result<Subscription, ErpError>;

    /// Lets a subscription last as long as a new one, with this secret.
    async fn renew(
        &self,
        subscription: &Subscription,
        address: &Url,
        secret: &SecretString,
        deadline: Deadline,
    ) -> Result<Subscription, ErpError>;
}
