//! Norce's identity service (norce-api §2).

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use url::Url;

use super::{NorceError, api::resolve};
use crate::http::{ClientCredentials, TokenPolicy, TokenSource, Transport};

/// The token endpoint, below the base URL.
pub(crate) const TOKEN_PATH: &str = "identity/1.0/connect/token";

const POLICY: TokenPolicy = TokenPolicy {
    // Norce's own clients refresh 60 s before the end of the 3600 s.
    early: Duration::from_secs(60),
    // At most 3 requests a minute and IP address are served; whether a refusal carries `Retry-After` is not known.
    back_off: Duration::from_secs(20),
    timeout: Duration::from_secs(10),
};

/// The OAuth user of one tenant.
#[derive(Debug, Clone)]
pub struct NorceCredentials {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
    /// The environment, as Norce names it in a scope: `prod`, `stage`, `playground`.
    pub scope: String,
}

/// The source of tokens for all of Norce's APIs. Share one in a process: the rate limit is per IP address.
///
/// # Errors
/// [`NorceError::Configuration`] when the base URL cannot be one.
pub fn token_source(
    transport: Arc<dyn Transport>,
    base_url: &Url,
    credentials: NorceCredentials,
) -> Result<TokenSource, NorceError> {
    let credentials = ClientCredentials {
        token_url: resolve(base_url, TOKEN_PATH)?,
        client_id: credentials.client_id,
        client_secret: credentials.client_secret,
        scope: credentials.scope,
    };
    Ok(TokenSource::new(transport, credentials, POLICY))
}
