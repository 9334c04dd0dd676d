//! The secrets in Norce's posts: one in every event, another in every order.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use shared::{
    Since,
    runtime::secrets::{EventSecret, OrderSecret, SecretError, SecretForm, Secrets},
};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Mutex;

/// The static header of every event of Norce, set in the subscription, and of a hint of the HTTP contract.
pub const SECRET_HEADER: &str = "x-event-secret";

/// How long a secret is used without reading it again.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// The shortest time between two reads of a secret, after a wrong one was presented or a read failed: guessing must not run up
/// a bill, a failing Secrets Manager must not delay every post, and a rotated secret must not wait long.
const SHORTEST_BETWEEN_READS: Duration = Duration::from_secs(10);
/// The longest that a post waits for a secret to be read again, of the four seconds within which it is answered. A read takes
/// tens of milliseconds.
const LONGEST_READ: Duration = Duration::from_secs(1);

/// The accepted secrets of events ([`EventSecret`]) or of orders ([`OrderSecret`]).
#[async_trait]
pub trait Accepted<S>: Send + Sync {
    /// The accepted secrets; with `renewed`, read again unless that happened a moment ago.
    async fn accepted(&self, renewed: bool) -> Result<Arc<S>, SecretError>;
}

/// The secret from Secrets Manager, read on first use and kept for a while.
pub struct CachedSecret<S> {
    secrets: Secrets,
    arn: String,
    cached: Mutex<Option<Cached<S>>>,
}

/// A secret as it was read; the process may have been frozen for hours since.
struct Cached<S> {
    secret: Arc<S>,
    read_at: Since,
    /// The time of the last attempt to read it again, also of a failed one.
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
        let is_recent = old.tried_at.elapsed() < SHORTEST_BETWEEN_READS;
        if is_recent || (!renewed && old.read_at.elapsed() < LIFETIME) {
            return Ok(old.secret.clone());
        }
        let read = tokio::time::timeout(LONGEST_READ, self.secrets.get::<S>(&self.arn));
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
            tracing::warn!(error, "secret refresh failed; using the cached secret");
        }
        Ok(old.secret.clone())
    }
}

/// Whether the presented secret is accepted. Before it is refused, the secret is read again, because it may have been rotated a
/// moment ago.
pub(crate) async fn verify<S: Matches<Presented>, Presented: ?Sized>(
    secrets: &dyn Accepted<S>,
    presented: &Presented,
) -> Result<bool, SecretError> {
    Ok(secrets.accepted(false).await?.matches(presented)
        || secrets.accepted(true).await?.matches(presented))
}

/// An accepted secret. The comparison takes the same time wherever the presented one differs, and whichever of the accepted ones
/// matches.
pub(crate) trait Matches<Presented: ?Sized> {
    /// Whether the presented secret is accepted.
    fn matches(&self, presented: &Presented) -> bool;
}

impl Matches<[u8]> for EventSecret {
    fn matches(&self, presented: &[u8]) -> bool {
        either(&self.current, self.previous.as_ref(), presented).into()
    }
}

/// A presented user name and password (Basic authentication, RFC 7617 §2).
pub(crate) struct Credentials {
    pub(crate) username: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

impl Matches<Credentials> for OrderSecret {
    fn matches(&self, presented: &Credentials) -> bool {
        let username = equal(&self.username, &presented.username);
        let password = either(
            &self.password,
            self.previous_password.as_ref(),
            &presented.password,
        );
        (username & password).into()
    }
}

fn either(current: &SecretString, previous: Option<&SecretString>, presented: &[u8]) -> Choice {
    let previous = previous.map_or(Choice::from(0), |previous| equal(previous, presented));
    equal(current, presented) | previous
}

fn equal(accepted: &SecretString, presented: &[u8]) -> Choice {
    let accepted = accepted.expose_secret().as_bytes();
    // An empty secret would accept every post.
    accepted.ct_eq(presented) & Choice::from(u8::from(!accepted.is_empty()))
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
        let presented = |username: &str, password: &str| Credentials {
            username: username.into(),
            password: password.into(),
        };
        assert!(secret.matches(&presented("norce", "new")));
        assert!(secret.matches(&presented("norce", "old")));
        for (username, password) in [
            ("norce", ""),
            ("norce", "ol"),
            ("Norce", "new"),
            ("", "new"),
        ] {
            assert!(!secret.matches(&presented(username, password)));
        }
    }
}
