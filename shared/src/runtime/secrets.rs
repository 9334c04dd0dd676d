//! The stack's secrets and their forms.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::configuration::ResourceNames;
use crate::{
    aws::{LazyClient, explain},
    http::{CaBundle, CaBundleError},
};

/// Why a secret cannot be used.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The store did not return it.
    #[error("the secret {arn} cannot be read: {reason}")]
    Unavailable {
        /// The ARN of the secret.
        arn: String,
        /// The service's error.
        reason: String,
    },
    /// It has another form than expected. Its content is not repeated here.
    #[error("the secret {arn} is not JSON of the form {expected}")]
    Malformed {
        /// The ARN of the secret.
        arn: String,
        /// The expected form.
        expected: &'static str,
    },
    /// It is not a PEM bundle.
    #[error("the secret {arn} is not a PEM bundle of CA certificates: {reason}")]
    NoCaBundle {
        /// The ARN of the secret.
        arn: String,
        /// The fault of the bundle.
        reason: CaBundleError,
    },
}

/// `{"clientId","clientSecret"}`: the OAuth client for Norce or Business Central.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
}

/// `{"apiKey","database"?}`: the credentials for Odoo.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecret {
    /// The key of a user.
    pub api_key: SecretString,
    /// The database that the key belongs to; a server that has only one needs no name.
    #[serde(default)]
    pub database: Option<String>,
}

/// `{"apiKey","signingKey"?}`: the static key of a facade.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacadeKeySecret {
    /// The key, sent as a bearer token.
    pub api_key: SecretString,
    /// The key by which requests are signed; `None`: they are not signed.
    #[serde(default)]
    pub signing_key: Option<SecretString>,
}

/// `{"clientId","clientSecret","signingKey"?}`: the OAuth client for a facade.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacadeClientSecret {
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
    /// The key by which requests are signed; `None`: they are not signed.
    #[serde(default)]
    pub signing_key: Option<SecretString>,
}

/// `{"current","previous"?}`: the value of the header `x-event-secret` in Norce's posts. Both are accepted, so that it can
/// be rotated without losing an event.
#[derive(Debug, Clone, Deserialize)]
pub struct EventSecret {
    /// The value that Norce sends, or will send soon.
    pub current: SecretString,
    /// The value before that.
    #[serde(default)]
    pub previous: Option<SecretString>,
}

/// `{"username","password","previousPassword"?}`: the credentials of Norce's order posts (norce-api §10.1). Both passwords
/// are accepted, so that they can be rotated without losing an order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSecret {
    /// The user name in Norce Admin.
    pub username: SecretString,
    /// The password that Norce sends, or will send soon.
    pub password: SecretString,
    /// The value before that.
    #[serde(default)]
    pub previous_password: Option<SecretString>,
}

/// `{"key"}`: the key of the fingerprints. It is created with the stack and never rotated, because every fingerprint would
/// change with it.
#[derive(Debug, Clone, Deserialize)]
pub struct FingerprintSecret {
    /// The key: any text.
    pub key: SecretString,
}

/// A secret in JSON.
pub trait SecretForm: DeserializeOwned {
    /// The expected JSON, for the error when a secret has another form.
    const FORM: &'static str;
}

impl SecretForm for ClientSecret {
    const FORM: &'static str = r#"{"clientId":"…","clientSecret":"…"}"#;
}

impl SecretForm for ApiKeySecret {
    const FORM: &'static str = r#"{"apiKey":"…"} or {"apiKey":"…","database":"…"}"#;
}

impl SecretForm for FacadeKeySecret {
    const FORM: &'static str = r#"{"apiKey":"…"} or {"apiKey":"…","signingKey":"…"}"#;
}

impl SecretForm for FacadeClientSecret {
    const FORM: &'static str = r#"{"clientId":"…","clientSecret":"…"} or {"clientId":"…","clientSecret":"…","signingKey":"…"}"#;
}

impl SecretForm for EventSecret {
    const FORM: &'static str = r#"{"current":"…"} or {"current":"…","previous":"…"}"#;
}

impl SecretForm for OrderSecret {
    const FORM: &'static str = r#"{"username":"…","password":"…"} or {"username":"…","password":"…","previousPassword":"…"}"#;
}

impl SecretForm for FingerprintSecret {
    const FORM: &'static str = r#"{"key":"…"}"#;
}

impl SecretForm for ResourceNames {
    const FORM: &'static str = r#"{"CHANGES_QUEUE_URL":"…",…}"#;
}

/// The current version of a secret.
#[derive(Debug, Clone, Default)]
pub struct SecretValue {
    /// Its text; `None`: it is binary.
    pub text: Option<SecretString>,
    /// Its id, which changes with every new version (aws §1); `None`: the service does not say.
    pub version: Option<String>,
}

/// A store of secrets: Secrets Manager, or one in memory for tests.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Reads the current version of a secret.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`].
    async fn current(&self, arn: &str) -> Result<SecretValue, SecretError>;
}

struct SecretsManager(LazyClient<Client>);

#[async_trait]
impl SecretStore for SecretsManager {
    async fn current(&self, arn: &str) -> Result<SecretValue, SecretError> {
        let value = self.0.get_secret_value().secret_id(arn).send().await;
        let value = value.map_err(|error| SecretError::Unavailable {
            arn: arn.to_owned(),
            reason: explain(&error),
        })?;
        Ok(SecretValue {
            text: value.secret_string.map(SecretString::from),
            version: value.version_id,
        })
    }
}

/// Reads and parses secrets.
#[derive(Clone)]
pub struct Secrets(Arc<dyn SecretStore>);

impl Secrets {
    /// The secrets of Secrets Manager.
    pub fn new(aws: &SdkConfig) -> Self {
        Self::of(SecretsManager(LazyClient::new(aws, Client::new)))
    }

    /// The secrets of a store.
    pub fn of(store: impl SecretStore + 'static) -> Self {
        Self(Arc::new(store))
    }

    /// Reads a secret and parses it.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`], or [`SecretError::Malformed`] where it has another form.
    pub async fn get<T: SecretForm>(&self, arn: &str) -> Result<T, SecretError> {
        let text = self.0.current(arn).await?.text;
        text.and_then(|text| serde_json::from_str(text.expose_secret()).ok())
            .ok_or_else(|| SecretError::Malformed {
                arn: arn.to_owned(),
                expected: T::FORM,
            })
    }

    /// Reads a secret whose text is a PEM bundle of CA certificates.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`], or [`SecretError::NoCaBundle`] where it is something else.
    pub async fn ca_bundle(&self, arn: &str) -> Result<CaBundle, SecretError> {
        let bundle = match self.0.current(arn).await?.text {
            Some(text) => text.expose_secret().parse(),
            None => Err(CaBundleError::Empty),
        };
        bundle.map_err(|reason| SecretError::NoCaBundle {
            arn: arn.to_owned(),
            reason,
        })
    }

    /// The id of a secret's current version. `None`: the service does not say.
    ///
    /// # Errors
    /// [`SecretError::Unavailable`].
    pub async fn version(&self, arn: &str) -> Result<Option<String>, SecretError> {
        Ok(self.0.current(arn).await?.version)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{
        aws::sdk,
        http::{Transport, TransportError},
    };

    const MARKER: &str = "hunter2";

    /// Answers every request in the same way.
    struct Answers(u16, String);

    #[async_trait]
    impl Transport for Answers {
        async fn send(
            &self,
            _: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, TransportError> {
            let response = http::Response::builder().status(self.0);
            Ok(response.body(Bytes::from(self.1.clone())).unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p11_no_error_repeats_what_the_store_has_answered() {
        let bodies = [
            // No JSON, broken off, and of another form.
            MARKER.to_owned(),
            format!(r#"{{"SecretString":"{{\"clientSecret\":\"{MARKER}"#),
            format!(r#"{{"SecretString":["{MARKER}"]}}"#),
            format!(r#"{{"SecretString":"{MARKER}"}}"#),
        ];
        for (status, body) in [200, 400, 500].into_iter().flat_map(|status| {
            let bodies = bodies.clone().into_iter();
            bodies.map(move |body| (status, body))
        }) {
            let transport = Arc::new(Answers(status, body.clone()));
            let variable = |name: &str| {
                let is_address = name.starts_with("AWS_ENDPOINT_URL");
                (!is_address).then(|| "eu-north-1".to_owned())
            };
            let secrets = Secrets::new(&sdk::configure(transport, variable).unwrap());
            let error = secrets.get::<ClientSecret>("arn").await.unwrap_err();
            let (for_people, for_us) = (error.to_string(), format!("{error:?}"));
            for text in [for_people, for_us] {
                assert!(!text.contains(MARKER), "{status} {body}: {text}");
            }
        }
    }
}
