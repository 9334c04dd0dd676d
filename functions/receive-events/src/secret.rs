//! The secrets that Norce shows: one with every event, another with every order.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use shared::{
    Since,
    runtime::secrets::{EventSecret, OrderSecret, SecretError, SecretForm, Secrets},
};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Mutex;

/// How long a secret is used without reading it again.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// How often a secret is read again at most, where a wrong one was shown or the last attempt failed: a guesser must not be
/// able to run up a bill, a failing Secrets Manager must not hold up every post, and a rotated secret must not wait long.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// How long a post waits for a secret to be read again, of the four seconds within which it is answered. A read takes tens of
/// milliseconds.
const LONGEST_RENEWAL: Duration = Duration::from_secs(1);

/// Says which secrets are accepted: of events ([`EventSecret`]) or of orders ([`OrderSecret`]).
#[async_trait]
pub trait Accepted<S>: Send + Sync {
    /// The accepted secrets; with `renewed`, read anew unless that happened a moment ago.
    async fn accepted(&self, renewed: bool) -> Result<Arc<S>, SecretError>;
}

/// The secret from Secrets Manager, read on first use and kept for a while.
pub struct CachedSecret<S> {
    secrets: Secrets,
    arn: String,
    cached: Mutex<Option<Cached<S>>>,
}

/// A secret that was read, perhaps many frozen hours ago.
struct Cached<S> {
    secret: Arc<S>,
    read_at: Since,
    /// The same, or later, where it could not be read again.
    tried_at: Since,
}

impl<S> CachedSecret<S> {
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
impl<S: SecretForm + Send + Sync> Accepted<S> for CachedSecret<S> {
    async fn accepted(&self, renewed: bool) -> Result<Arc<S>, SecretError> {
        // Held while reading, so that a burst of posts reads once.
        let mut cached = self.cached.lock().await;
        let Some(old) = cached.as_mut() else {
            let secret = Arc::new(self.secrets.get::<S>(&self.arn).await?);
            *cached = Some(Cached {
                secret: secret.clone(),
                read_at: Since::now(),
                tried_at: Since::now(),
            });
            return Ok(secret);
        };
        let is_recent = old.tried_at.elapsed() < RENEW_AT_MOST_EVERY;
        if is_recent || (!renewed && old.read_at.elapsed() < LIFETIME) {
            return Ok(old.secret.clone());
        }
        let read = tokio::time::timeout(LONGEST_RENEWAL, self.secrets.get::<S>(&self.arn));
        let failure = match read.await {
            Ok(Ok(secret)) => {
                old.secret = Arc::new(secret);
                old.read_at = Since::now();
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        old.tried_at = Since::now();
        if let Some(error) = failure {
            tracing::warn!(
                error,
                "a secret could not be read again; the old one stays in use"
            );
        }
        Ok(old.secret.clone())
    }
}

/// Whether what was shown lets in. A secret that was rotated a moment ago is read anew before anybody is refused.
pub(crate) async fn lets_in<S: Matches<Shown>, Shown: ?Sized>(
    secrets: &dyn Accepted<S>,
    shown: &Shown,
) -> Result<bool, SecretError> {
    Ok(secrets.accepted(false).await?.matches(shown)
        || secrets.accepted(true).await?.matches(shown))
}

/// A secret that is accepted. It is compared in a time that does not depend on where it differs from what was shown, nor
/// on which of the accepted ones matches.
pub(crate) trait Matches<Shown: ?Sized> {
    /// Whether what was shown lets in.
    fn matches(&self, shown: &Shown) -> bool;
}

impl Matches<[u8]> for EventSecret {
    fn matches(&self, shown: &[u8]) -> bool {
        either(&self.current, self.previous.as_ref(), shown).into()
    }
}

/// A user name and a password, as they were shown (Basic authentication, RFC 7617 §2).
pub(crate) struct Credentials {
    pub(crate) username: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Matches<Credentials> for OrderSecret {
    fn matches(&self, shown: &Credentials) -> bool {
        let username = equal(&self.username, &shown.username);
        let password = either(
            &self.password,
            self.previous_password.as_ref(),
            &shown.password,
        );
        (username & password).into()
    }
}

fn either(current: &SecretString, previous: Option<&SecretString>, shown: &[u8]) -> Choice {
    let previous = previous.map_or(Choice::from(0), |previous| equal(previous, shown));
    equal(current, shown) | previous
}

fn equal(accepted: &SecretString, shown: &[u8]) -> Choice {
    let accepted = accepted.expose_secret().as_bytes();
    // An empty secret would let everybody in.
    accepted.ct_eq(shown) & Choice::from(u8::from(!accepted.is_empty()))
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
        assert!(secret.matches(&b"new"[..]));
        assert!(secret.matches(&b"old"[..]));
        for wrong in [&b""[..], b"ne", b"news", b"NEW"] {
            assert!(!secret.matches(wrong));
        }
        let empty = EventSecret {
            current: "".into(),
            previous: Some("".into()),
        };
        assert!(!empty.matches(&b""[..]));
    }

    #[test]
    fn a_user_name_and_either_password_are_accepted_and_nothing_else() {
        let secret = OrderSecret {
            username: "norce".into(),
            password: "new".into(),
            previous_password: Some("old".into()),
        };
        let shown = |username: &str, password: &str| Credentials {
            username: username.into(),
            password: password.into(),
        };
        assert!(secret.matches(&shown("norce", "new")));
        assert!(secret.matches(&shown("norce", "old")));
        for (username, password) in [
            ("norce", ""),
            ("norce", "ol"),
            ("Norce", "new"),
            ("", "new"),
        ] {
            assert!(!secret.matches(&shown(username, password)));
        }
    }
}
