//! The shared secret that Norce sends with every event.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::ExposeSecret;
use shared::runtime::secrets::{EventSecret, SecretError, Secrets};
use subtle::{Choice, ConstantTimeEq};
use tokio::{sync::Mutex, time::Instant};

/// How long a secret is used without reading it again.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How often a wrong secret may make us read it again: a guesser must not be able to run up a bill, and a rotated
/// secret must not wait long.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// Says which secrets are accepted.
#[async_trait]
pub trait EventSecrets: Send + Sync {
    /// The accepted secrets; with `renewed`, read anew unless that happened a moment ago.
    async fn accepted(&self, renewed: bool) -> Result<Arc<EventSecret>, SecretError>;
}

/// The secret from Secrets Manager, read on first use and kept for a while.
pub struct CachedEventSecret {
    secrets: Secrets,
    arn: String,
    cached: Mutex<Option<(Arc<EventSecret>, Instant)>>,
}

impl CachedEventSecret {
    /// The secret with this ARN.
    pub fn new(secrets: Secrets, arn: String) -> Self {
        Self {
            secrets,
            arn,
            cached: Mutex::new(None),
        }
    }
}

#[async_trait]
impl EventSecrets for CachedEventSecret {
    async fn accepted(&self, renewed: bool) -> Result<Arc<EventSecret>, SecretError> {
        // Held while reading, so that a burst of events reads once.
        let mut cached = self.cached.lock().await;
        let fresh_for = if renewed {
            RENEW_AT_MOST_EVERY
        } else {
            LIFETIME
        };
        if let Some((secret, read_at)) = cached.as_ref()
            && read_at.elapsed() < fresh_for
        {
            return Ok(secret.clone());
        }
        match (
            self.secrets.get::<EventSecret>(&self.arn).await,
            cached.as_ref(),
        ) {
            (Ok(secret), _) => {
                let secret = Arc::new(secret);
                *cached = Some((secret.clone(), Instant::now()));
                Ok(secret)
            }
            (Err(error), Some((secret, _))) => {
                tracing::warn!(%error, "the event secret could not be read anew; the old one goes on");
                Ok(secret.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Compares in a time that does not depend on where the texts differ, nor on which of the two secrets matches.
pub(crate) fn matches(secret: &EventSecret, presented: &[u8]) -> bool {
    // An empty secret would let everybody in.
    let equal = |accepted: &str| {
        accepted.as_bytes().ct_eq(presented) & Choice::from(u8::from(!accepted.is_empty()))
    };
    let current = equal(secret.current.expose_secret());
    let previous = secret
        .previous
        .as_ref()
        .map_or(Choice::from(0), |secret| equal(secret.expose_secret()));
    (current | previous).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_and_previous_are_accepted_and_nothing_else() {
        let secret = EventSecret {
            current: "new".into(),
            previous: Some("old".into()),
        };
        assert!(matches(&secret, b"new"));
        assert!(matches(&secret, b"old"));
        for wrong in [&b""[..], b"ne", b"news", b"NEW"] {
            assert!(!matches(&secret, wrong));
        }
        let empty = EventSecret {
            current: "".into(),
            previous: Some("".into()),
        };
        assert!(!matches(&empty, b""));
    }
}
