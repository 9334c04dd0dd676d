//! The two secrets of the console.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use shared::runtime::{
    Refreshing,
    secrets::{ClientSecret, SecretError, SecretForm, Secrets},
};

use crate::seal::SealKey;

/// `{"key"}`: the key with which cookies are sealed. A new key ends all sessions.
#[derive(Debug, Clone, Deserialize)]
struct KeySecret {
    /// Any text.
    key: SecretString,
}

impl SecretForm for KeySecret {
    const FORM: &'static str = r#"{"key":"…"}"#;
}

/// Gives the console's secrets.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The key with which cookies are sealed.
    ///
    /// # Errors
    /// When the secret cannot be read.
    async fn key(&self) -> Result<Arc<SealKey>, SecretError>;

    /// The credentials of the console at the provider.
    ///
    /// # Errors
    /// When the secret cannot be read.
    async fn client(&self) -> Result<Arc<ClientSecret>, SecretError>;
}

/// The secrets in Secrets Manager, read on first use and again after 15 minutes.
pub struct StoredCredentials {
    secrets: Secrets,
    key_arn: String,
    client_arn: String,
    key: Refreshing<SealKey>,
    client: Refreshing<ClientSecret>,
}

impl StoredCredentials {
    /// The secrets with these ARNs.
    pub fn new(secrets: Secrets, key_arn: String, client_arn: String) -> Self {
        Self {
            secrets,
            key_arn,
            client_arn,
            key: Refreshing::default(),
            client: Refreshing::default(),
        }
    }
}

#[async_trait]
impl Credentials for StoredCredentials {
    async fn key(&self) -> Result<Arc<SealKey>, SecretError> {
        let read = || async {
            let secret: KeySecret = self.secrets.get(&self.key_arn).await?;
            Ok(SealKey::new(secret.key))
        };
        self.key.get(read).await
    }

    async fn client(&self) -> Result<Arc<ClientSecret>, SecretError> {
        let read = || self.secrets.get(&self.client_arn);
        self.client.get(read).await
    }
}
