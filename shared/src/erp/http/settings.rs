//! The address of a facade, the company, and the credentials.

use secrecy::SecretString;
use thiserror::Error;
use url::Url;

use crate::domain::CountryCode;

/// The address of a facade, and the credentials.
#[derive(Debug, Clone)]
pub struct HttpErpSettings {
    /// The address that `/v1` follows, such as `https://erp.example.com/norce`.
    pub base_url: Url,
    /// The company, where the facade has several.
    pub company: Option<String>,
    /// How the integration signs in.
    pub credentials: HttpErpCredentials,
    /// The country of addresses and numbers that name none. It goes before what the facade states.
    pub home_country: Option<CountryCode>,
}

/// How the integration signs in at a facade.
#[derive(Debug, Clone)]
pub enum HttpErpCredentials {
    /// A static key, sent as a bearer token.
    Key(SecretString),
    /// OAuth client credentials.
    OAuth {
        /// The token endpoint.
        token_url: Url,
        /// The client id.
        client_id: String,
        /// The client's secret.
        client_secret: SecretString,
    },
}

/// A setting of a facade cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidHttpErp {
    /// [`HttpErpSettings::base_url`].
    #[error(
        "ERP_BASE_URL is the address of the facade without a query, such as https://erp.example.com/norce; /v1 follows it"
    )]
    BaseUrl,
    /// [`HttpErpSettings::company`].
    #[error("ERP_COMPANY has characters that a header cannot carry")]
    Company,
    /// [`HttpErpCredentials::Key`].
    #[error("the `apiKey` behind ERP_SECRET_ARN has characters that a header cannot carry")]
    Key,
    /// The key of a [`Signer`](super::Signer).
    #[error("the `signingKey` behind ERP_SECRET_ARN has fewer than 32 characters")]
    SigningKey,
}
