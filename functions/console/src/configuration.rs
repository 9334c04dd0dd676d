use std::time::Duration;

use shared::{
    read_fields,
    runtime::configuration::{ConfigurationError, Environment, RemoteUrl},
};

use crate::{addresses::AllowedAddresses, roles::RoleMap};

/// The default length of a session: half a working day.
pub const DEFAULT_SESSION_MINUTES: u32 = 240;
/// The claim of Entra ID's app roles.
const DEFAULT_ROLE_CLAIM: &str = "roles";

/// What `console` reads from its environment.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// `CONSOLE_URL`: scheme and host of the console, as browsers see them.
    pub url: RemoteUrl,
    /// `CONSOLE_ISSUER`: the OpenID provider, exactly as it names itself, with or without a slash at the end.
    pub issuer: String,
    /// `CONSOLE_CLIENT_SECRET_ARN`: `{"clientId","clientSecret"}` of the console at the provider.
    pub client_secret_arn: String,
    /// `CONSOLE_KEY_SECRET_ARN`: `{"key"}`, with which cookies are sealed.
    pub key_secret_arn: String,
    /// `CONSOLE_ROLE_CLAIM`: the claim of the ID token that gives the role.
    pub role_claim: String,
    /// `CONSOLE_ROLES`: the roles by the values of the claim.
    pub roles: RoleMap,
    /// `CONSOLE_ALLOWED_ADDRESSES`.
    pub allowed: AllowedAddresses,
    /// `CONSOLE_SESSION_MINUTES`.
    pub session: Duration,
    /// `OPERATOR_FUNCTION`: the name of the function `operator`.
    pub operator: String,
}

impl Configuration {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(environment: Environment<'_>) -> Result<Self, ConfigurationError> {
        environment.read(|environment| {
            read_fields!(Self {
                url: environment.required("CONSOLE_URL"),
                issuer: environment
                    .required::<RemoteUrl>("CONSOLE_ISSUER")
                    .and_then(|_| environment.optional("CONSOLE_ISSUER")),
                client_secret_arn: environment.required("CONSOLE_CLIENT_SECRET_ARN"),
                key_secret_arn: environment.required("CONSOLE_KEY_SECRET_ARN"),
                role_claim: environment
                    .or_default("CONSOLE_ROLE_CLAIM", DEFAULT_ROLE_CLAIM.to_owned()),
                roles: environment.or_default("CONSOLE_ROLES", RoleMap::default()),
                allowed: environment
                    .or_default("CONSOLE_ALLOWED_ADDRESSES", AllowedAddresses::default()),
                session: read_session(environment),
                operator: environment.required("OPERATOR_FUNCTION"),
            })
        })
    }
}

/// Reads `CONSOLE_SESSION_MINUTES`.
fn read_session(environment: &mut Environment<'_>) -> Option<Duration> {
    let minutes = environment.or_default("CONSOLE_SESSION_MINUTES", DEFAULT_SESSION_MINUTES)?;
    if minutes == 0 {
        environment.fault("CONSOLE_SESSION_MINUTES", "is not at least 1");
    }
    Some(Duration::from_secs(60 * u64::from(minutes)))
}
