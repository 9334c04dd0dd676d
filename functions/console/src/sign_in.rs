//! Signing in with an OpenID provider: the authorization code flow with PKCE, `state` and `nonce` (OpenID Connect Core 1.0
//! §3.1, RFC 7636).
//!
//! No token reaches the browser: of the ID token, the session keeps the person and the role only.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::{
    AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    CsrfToken, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IdToken, IdTokenClaims, IdTokenFields, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod,
        CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::{
    Since,
    domain::Clock,
    http::{Transport, TransportError},
};
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::Mutex;
use url::Url;

use crate::{
    credentials::Credentials,
    roles::{Role, RoleMap},
};

/// A provider answers in tenths of a second. A sign-in makes three calls at most, and all of them fit into the time of an
/// invocation.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the provider's metadata and keys are used, so that a withdrawn key is soon no longer accepted. A new key is read as
/// soon as a token names it.
const METADATA_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The accepted difference between the provider's clock and ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
/// The time to type a password and a code.
const LONGEST_SIGN_IN: TimeDelta = TimeDelta::minutes(10);

/// All claims beside the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OtherClaims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for OtherClaims {}

type Claims = IdTokenClaims<OtherClaims, CoreGenderClaim>;
type Token = IdToken<
    OtherClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type TokenFields = IdTokenFields<
    OtherClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<TokenFields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why a sign-in failed, by what the person does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignInError {
    /// Begin again: this sign-in has expired, was begun elsewhere, or its token is not valid for us.
    #[error("the sign-in was refused: {0}")]
    Refused(&'static str),
    /// Try again later.
    #[error("the sign-in provider cannot be reached: {0}")]
    Unavailable(String),
    /// An administrator has to correct the set-up first.
    #[error("the sign-in is not set up: {0}")]
    SetUp(String),
    /// Ask for a role.
    #[error("no claim of the person gives a role")]
    NoRole,
}

/// A sign-in under way. The browser keeps it, sealed, until the provider redirects back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    /// The address on our pages to return to.
    pub to: String,
    expires: DateTime<Utc>,
}

impl Pending {
    /// Checks that the provider's answer belongs to this sign-in.
    ///
    /// # Errors
    /// When it does not, or comes too late.
    pub fn check(&self, state: &str, now: DateTime<Utc>) -> Result<(), SignInError> {
        if !bool::from(self.state.as_bytes().ct_eq(state.as_bytes())) {
            return Err(SignInError::Refused("its state is another one"));
        }
        if self.expires <= now {
            return Err(SignInError::Refused("it took longer than ten minutes"));
        }
        Ok(())
    }

    /// The `state` that the provider returns.
    pub fn state(&self) -> &str {
        &self.state
    }
}

/// A person who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider's identifier of the person.
    pub subject: String,
    /// The name of the person.
    pub name: String,
    /// The role of the person.
    pub role: Role,
}

/// The provider's address, and the meaning of its claims.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The address to which the provider redirects.
    pub callback: String,
    /// The claim that gives the role.
    pub role_claim: String,
    /// The roles by the values of the claim.
    pub roles: RoleMap,
}

/// The OpenID provider.
pub struct Provider {
    settings: ProviderSettings,
    credentials: Arc<dyn Credentials>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    /// The provider's metadata and keys.
    metadata: Mutex<Option<(CoreProviderMetadata, Since)>>,
}

impl Provider {
    /// A provider over this transport. Nothing is sent yet.
    pub fn new(
        settings: ProviderSettings,
        credentials: Arc<dyn Credentials>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings,
            credentials,
            transport,
            clock,
            metadata: Mutex::new(None),
        }
    }

    /// Begins a sign-in. Returns the address for the browser, and what the browser keeps meanwhile. With `another`, the
    /// provider asks for an account even if one is signed in.
    ///
    /// # Errors
    /// When the provider cannot be reached, or the set-up is faulty.
    pub async fn begin(&self, to: String, another: bool) -> Result<(Url, Pending), SignInError> {
        let client = self.client(self.metadata(false).await?).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge)
            .add_scope(Scope::new("profile".to_owned()))
            .add_scope(Scope::new("email".to_owned()));
        if another {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, state, nonce) = request.url();
        let pending = Pending {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            to,
            expires: self.clock.now() + LONGEST_SIGN_IN,
        };
        Ok((url, pending))
    }

    /// Completes a sign-in with the provider's code: fetches the ID token, verifies it and reads the role.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn complete(&self, pending: &Pending, code: String) -> Result<Identity, SignInError> {
        let client = self.client(self.metadata(false).await?).await?;
        let transport = self.transport.clone();
        let http = move |request| call(transport.clone(), request);
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| SignInError::SetUp("the provider names no token endpoint".to_owned()))?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier.clone()))
            .request_async(&http)
            .await
            .map_err(of_token_request)?;
        let token = answer
            .extra_fields()
            .id_token()
            .ok_or(SignInError::Refused("there is no ID token"))?;
        let claims = match self.verify(&client, token, pending) {
            // The key may be new.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let client = self.client(self.metadata(true).await?).await?;
                self.verify(&client, token, pending).map_err(of_claims)?
            }
            verified => verified.map_err(of_claims)?,
        };
        self.identify(&claims)
    }

    /// Verifies signature, issuer, audience, expiry and nonce.
    fn verify(
        &self,
        client: &OidcClient,
        token: &Token,
        pending: &Pending,
    ) -> Result<Claims, ClaimsVerificationError> {
        let now = self.clock.now();
        let verifier = client
            .id_token_verifier()
            .set_time_fn(move || now - CLOCK_SKEW)
            .set_issue_time_verifier_fn(move |issued| {
                if issued <= now + CLOCK_SKEW {
                    Ok(())
                } else {
                    Err("issued in the future".to_owned())
                }
            });
        let nonce = Nonce::new(pending.nonce.clone());
        token.claims(&verifier, &nonce).cloned()
    }

    fn identify(&self, claims: &Claims) -> Result<Identity, SignInError> {
        let claim = claims
            .additional_claims()
            .all
            .get(&self.settings.role_claim);
        let role = self.settings.roles.role_of(claim);
        let subject = claims.subject().to_string();
        let name = claims.name().and_then(|name| name.get(None));
        let name = name
            .map(|name| name.to_string())
            .or_else(|| claims.preferred_username().map(|name| name.to_string()))
            .or_else(|| claims.email().map(|email| email.to_string()));
        Ok(Identity {
            name: match shortened(&name.unwrap_or_default()) {
                name if name.is_empty() => shortened(&subject),
                name => name,
            },
            subject,
            role: role.ok_or(SignInError::NoRole)?,
        })
    }

    /// The provider's metadata and keys, read again if they are old or a key is missing.
    async fn metadata(&self, is_outdated: bool) -> Result<CoreProviderMetadata, SignInError> {
        // Held while reading, so that a burst of sign-ins reads once.
        let mut known = self.metadata.lock().await;
        if let Some((metadata, read_at)) = known.as_ref()
            && !is_outdated
            && read_at.elapsed() < METADATA_LIFETIME
        {
            return Ok(metadata.clone());
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone())
            .map_err(|_| SignInError::SetUp("the issuer is no address".to_owned()))?;
        let transport = self.transport.clone();
        let http = move |request| call(transport.clone(), request);
        let metadata = CoreProviderMetadata::discover_async(issuer, &http)
            .await
            .map_err(of_discovery)?;
        *known = Some((metadata.clone(), Since::now()));
        Ok(metadata)
    }

    async fn client(&self, metadata: CoreProviderMetadata) -> Result<OidcClient, SignInError> {
        let secret = self.credentials.client().await;
        let secret = secret.map_err(|error| SignInError::SetUp(error.to_string()))?;
        let callback = RedirectUrl::new(self.settings.callback.clone())
            .map_err(|_| SignInError::SetUp("the console's own address is none".to_owned()))?;
        // A provider that lists no methods accepts Basic (OpenID Connect Discovery 1.0 §3).
        let methods = metadata.token_endpoint_auth_methods_supported();
        let is_basic = methods
            .is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let client = OidcClient::from_provider_metadata(
            metadata,
            ClientId::new(secret.client_id.clone()),
            Some(openidconnect::ClientSecret::new(
                secret.client_secret.expose_secret().to_owned(),
            )),
        );
        Ok(client
            .set_auth_type(if is_basic {
                AuthType::BasicAuth
            } else {
                AuthType::RequestBody
            })
            .set_redirect_uri(callback))
    }
}

/// The longest name. It is shown, and is part of every request; a longer one is a mistake.
const LONGEST_NAME: usize = 100;

fn shortened(name: &str) -> String {
    let visible = name.chars().filter(|sign| !sign.is_control());
    visible.take(LONGEST_NAME).collect()
}

async fn call(
    transport: Arc<dyn Transport>,
    request: HttpRequest,
) -> Result<HttpResponse, TransportError> {
    let response = transport
        .send(request.map(Bytes::from), CALL_TIMEOUT)
        .await?;
    Ok(response.map(Vec::from))
}

fn of_discovery(error: DiscoveryError<TransportError>) -> SignInError {
    match error {
        DiscoveryError::Request(error) => SignInError::Unavailable(error.to_string()),
        DiscoveryError::Response(status, ..) if status.is_client_error() => SignInError::SetUp(
            format!("the issuer has no OpenID configuration (status {status})"),
        ),
        DiscoveryError::Response(status, ..) if !status.is_success() => {
            SignInError::Unavailable(format!("status {status}"))
        }
        DiscoveryError::Validation(_) => SignInError::SetUp(
            "the issuer calls itself otherwise: set it exactly as its OpenID configuration has it"
                .to_owned(),
        ),
        // A page of a proxy, or a maintenance page.
        DiscoveryError::Response(..) | DiscoveryError::Parse(_) => {
            SignInError::Unavailable("its OpenID configuration cannot be read".to_owned())
        }
        _ => SignInError::SetUp("the issuer has no OpenID configuration".to_owned()),
    }
}

fn of_token_request(
    error: RequestTokenError<TransportError, StandardErrorResponse<CoreErrorResponseType>>,
) -> SignInError {
    match error {
        RequestTokenError::ServerResponse(response) => match response.error() {
            CoreErrorResponseType::InvalidGrant => {
                SignInError::Refused("the code was used before, or is too old")
            }
            error => SignInError::SetUp(format!(
                "the provider refuses the console's client ({}): compare client id, client secret and callback address",
                error.as_ref()
            )),
        },
        RequestTokenError::Request(error) => SignInError::Unavailable(error.to_string()),
        _ => {
            SignInError::Unavailable("its token endpoint gave no answer of the protocol".to_owned())
        }
    }
}

/// The reason without values, which are personal.
fn of_claims(error: ClaimsVerificationError) -> SignInError {
    SignInError::Refused(match error {
        ClaimsVerificationError::Expired(_) => "the ID token has expired",
        ClaimsVerificationError::InvalidAudience(_) => "the ID token is for another client",
        ClaimsVerificationError::InvalidIssuer(_) => "the ID token is of another issuer",
        ClaimsVerificationError::InvalidNonce(_) => "the ID token is of another sign-in",
        ClaimsVerificationError::SignatureVerification(_) => {
            "the signature of the ID token is not one of the provider"
        }
        _ => "the ID token cannot be used",
    })
}
