//! Secrets Manager.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::configuration::ResourceNames;
use crate::http::{CaBundle, CaBundleError};

/// A secret could not be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Secrets Manager did not give it.
    #[error("the secret {arn} cannot be read: {reason}")]
    Unavailable {
        /// Which one.
        arn: String,
        /// The service's words.
        reason: String,
    },
    /// It is not what it must be. Its content is not repeated here.
    #[error("the secret {arn} is not JSON of the form {expected}")]
    Malformed {
        /// Which one.
        arn: String,
        /// The form.
        expected: &'static str,
    },
    /// It is to be a PEM bundle and is not.
    #[error("the secret {arn} is not a PEM bundle of CA certificates: {reason}")]
    NoCaBundle {
        /// Which one.
        arn: String,
        /// What is wrong with it.
        reason: CaBundleError,
    },
}

/// `{"clientId","clientSecret"}`: Norce's and Business Central's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// OAuth client id.
    pub client_id: String,
    /// OAuth client secret.
    pub client_secret: SecretString,
}

/// `{"apiKey","database"?}`: Odoo's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySecret {
    /// The key of a user.
    pub api_key: SecretString,
    /// The database that the key belongs to; a server that has only one needs no name.
    #[serde(default)]
    pub database: Option<String>,
}

/// `{"current","previous"?}`: what Norce sends as the header `x-event-secret`. Both are accepted, so that it can be
/// rotated without losing an event.
#[derive(Debug, Clone, Deserialize)]
pub struct EventSecret {
    /// The one that Norce sends, or will send soon.
    pub current: SecretString,
    /// The one before.
    #[serde(default)]
    pub previous: Option<SecretString>,
}

/// `{"username","password","previousPassword"?}`: what Norce posts orders with (norce-api §10.1). Both passwords are
/// accepted, so that it can be rotated without losing an order.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSecret {
    /// The user name that is entered in Norce Admin.
    pub username: SecretString,
    /// The password that Norce sends, or will send soon.
    pub password: SecretString,
    /// The one before.
    #[serde(default)]
    pub previous_password: Option<SecretString>,
}

/// `{"key"}`: the key of the fingerprints. It is made with the stack and never rotated, because every fingerprint
/// would change with it.
#[derive(Debug, Clone, Deserialize)]
pub struct FingerprintSecret {
    /// Any text.
    pub key: SecretString,
}

/// A secret's form, for the message when it is another.
pub trait SecretForm: DeserializeOwned {
    /// The JSON that is expected.
    const FORM: &'static str;
}

impl SecretForm for ClientSecret {
    const FORM: &'static str = r#"{"clientId":"…","clientSecret":"…"}"#;
}

impl SecretForm for ApiKeySecret {
    const FORM: &'static str = r#"{"apiKey":"…"} or {"apiKey":"…","database":"…"}"#;
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

/// Reads secrets.
#[derive(Debug, Clone)]
pub struct Secrets(aws_sdk_secretsmanager::Client);

impl Secrets {
    /// Over the SDK's configuration.
    pub fn new(aws: &SdkConfig) -> Self {
        Self(aws_sdk_secretsmanager::Client::new(aws))
    }

    /// Reads a secret and parses it.
    ///
    /// # Errors
    /// When it cannot be read, or has another form.
    pub async fn get<T: SecretForm>(&self, arn: &str) -> Result<T, SecretError> {
        let text = self.text(arn).await?;
        text.and_then(|text| serde_json::from_str(text.expose_secret()).ok())
            .ok_or_else(|| SecretError::Malformed {
                arn: arn.to_owned(),
                expected: T::FORM,
            })
    }

    /// Reads a secret whose text is a PEM bundle of CA certificates.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub async fn ca_bundle(&self, arn: &str) -> Result<CaBundle, SecretError> {
        let bundle = match self.text(arn).await? {
            Some(text) => text.expose_secret().parse(),
            None => Err(CaBundleError::Empty),
        };
        bundle.map_err(|reason| SecretError::NoCaBundle {
            arn: arn.to_owned(),
            reason,
        })
    }

    /// Which version of a secret is the current one: another one after every change (aws §1). `None`: Secrets Manager does not say.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn version(&self, arn: &str) -> Result<Option<String>, SecretError> {
        Ok(self.value(arn).await?.version_id)
    }

    /// The text of a secret; `None`: it is binary.
    async fn text(&self, arn: &str) -> Result<Option<SecretString>, SecretError> {
        let answer = self.value(arn).await?;
        Ok(answer.secret_string.map(SecretString::from))
    }

    async fn value(&self, arn: &str) -> Result<GetSecretValueOutput, SecretError> {
        self.0
            .get_secret_value()
            .secret_id(arn)
            .send()
            .await
            .map_err(|error| SecretError::Unavailable {
                arn: arn.to_owned(),
                reason: aws_sdk_secretsmanager::error::DisplayErrorContext(error).to_string(),
            })
    }
}
