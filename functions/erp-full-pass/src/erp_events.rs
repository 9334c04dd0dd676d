//! Keeps the subscription to the events of an ERP company, for as long as `ErpEvents` is on. Nothing depends on it: the
//! schedule finds the same changes later, so that a failure only warns. A subscription that is no longer wanted is not
//! deleted: it ends by itself within three days (erp-apis §1.10).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::{
    domain::Scope,
    erp::{
        Erp, ErpError,
        events::{EventSubscriptions, Subscription},
    },
    http::Deadline,
    runtime::secrets::{EventSecret, SecretError, Secrets},
};
use thiserror::Error;

use crate::configuration::ErpEventSettings;

/// A subscription that ends within this time is renewed. One lasts for three days, so that two days of failures are in it.
const RENEW_BEFORE: TimeDelta = TimeDelta::hours(48);
/// The time that a pass spends on its subscription at most: a few requests, each of which the ERP may follow by one to the
/// events API.
const LONGEST: Duration = Duration::from_secs(20);

/// Keeps the subscriptions to the events of the ERP.
pub struct ErpEventKeeper {
    /// Where they are posted to, and the secret that they carry.
    pub settings: ErpEventSettings,
    /// The secrets.
    pub secrets: Secrets,
}

#[derive(Debug, Error)]
enum KeepError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Erp(#[from] ErpError),
}

impl ErpEventKeeper {
    /// Makes or renews the subscription to the events of an ERP company, where it is time for that.
    pub(crate) async fn keep(
        &self,
        erp: &dyn Erp,
        scope: Scope,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) {
        let Some(subscriptions) = erp.subscriptions() else {
            return;
        };
        let deadline = Deadline::after(LONGEST.min(deadline.remaining()));
        match self.kept(subscriptions, now, deadline).await {
            Ok(None) => {}
            Ok(Some(subscription)) => {
                tracing::info!(%scope, ends = %subscription.ends, "subscribed to the events of the ERP");
            }
            Err(error) => {
                tracing::warn!(%scope, %error, "cannot keep the subscription to the events of the ERP; passes find its changes all the same");
            }
        }
    }

    /// The subscription, if it is new or was renewed.
    async fn kept(
        &self,
        subscriptions: &dyn EventSubscriptions,
        now: DateTime<Utc>,
        deadline: Deadline,
    ) -> Result<Option<Subscription>, KeepError> {
        let ErpEventSettings { url, secret_arn } = &self.settings;
        let url = url.url();
        let secret = self.secrets.get::<EventSecret>(secret_arn).await?.current;
        let Some(found) = subscriptions.find(url, deadline).await? else {
            return Ok(Some(subscriptions.subscribe(url, &secret, deadline).await?));
        };
        let lasts = found.ends - now >= RENEW_BEFORE;
        if lasts && has_secret(&found, &secret) {
            return Ok(None);
        }
        let renewed = subscriptions.renew(&found, url, &secret, deadline).await?;
        Ok(Some(renewed))
    }
}

/// Whether its events carry this secret, as far as the ERP tells: where it was rotated, they carry the former one until the
/// subscription is renewed.
fn has_secret(subscription: &Subscription, secret: &SecretString) -> bool {
    subscription
        .secret
        .as_ref()
        .is_none_or(|known| known.expose_secret() == secret.expose_secret())
}
