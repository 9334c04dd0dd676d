//! Builds clients and stores from the configuration. Done once per start, or when secrets are read anew.

use std::{collections::HashMap, sync::Arc};

use aws_config::SdkConfig;
use bytes::Bytes;
use http::Request;
use secrecy::ExposeSecret;
use thiserror::Error;

use super::{
    aws,
    configuration::{
        Environment, ErpCompany, ErpKind, ErpSettings, InboxSettings, NorceSettings,
        RESOURCE_NAMES_SECRET_ARN, ResourceNames,
    },
    guard::{Guard, RateLimit, Remote},
    metrics::Metrics,
    secrets::{ApiKeySecret, ClientSecret, FingerprintSecret, SecretError, Secrets},
};
use crate::{
    breakers::DynamoDbBreakers,
    domain::{FingerprintKey, Scope, Shops, SystemClock},
    erp::{
        Erp,
        business_central::{BusinessCentral, BusinessCentralSettings},
        odoo::{Odoo, OdooSettings},
        under_rule,
    },
    http::{
        HttpClient, ReqwestTransport, RetryPolicy, TokenSource, Transport, TransportSetupError,
    },
    norce::{
        APPLICATION_HEADER, NorceApi, NorceError,
        connect::ConnectClient,
        identity::{self, NorceCredentials},
        query::QueryClient,
    },
    queues::SqsInbox,
};

/// Something could not be built.
#[derive(Debug, Error)]
pub enum WiringError {
    /// The HTTP client.
    #[error(transparent)]
    Transport(#[from] TransportSetupError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The clients of Norce.
    #[error(transparent)]
    Norce(#[from] NorceError),
    /// The client of the ERP.
    #[error("the ERP client cannot be built: {0}")]
    Erp(String),
}

/// What every function starts with.
pub struct Foundation {
    /// The SDK's configuration.
    pub aws: SdkConfig,
    /// Secrets Manager.
    pub secrets: Secrets,
    /// The HTTP client of the process; the SDK goes through it too.
    pub transport: Arc<dyn Transport>,
    /// What an invocation measures.
    pub metrics: Metrics,
    /// `STACK_NAME`: the name of the stack, which the metrics carry.
    pub stack: String,
}

impl Foundation {
    /// Reads the SDK's configuration from the environment; nothing is sent.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub async fn load() -> Result<Self, WiringError> {
        let transport: Arc<dyn Transport> = Arc::new(ReqwestTransport::new()?);
        let aws = aws::load(transport.clone()).await;
        let secrets = Secrets::new(&aws);
        Ok(Self {
            aws,
            secrets,
            transport,
            metrics: Metrics::default(),
            stack: std::env::var("STACK_NAME").unwrap_or_default(),
        })
    }

    /// The environment of this process with the names of the stack's resources.
    ///
    /// # Errors
    /// When the secret with the names cannot be read.
    pub async fn environment(&self) -> Result<Environment<'static>, WiringError> {
        let mut environment = Environment::of_process();
        let names = self.resource_names(&mut environment).await?;
        Ok(environment.with_names(names))
    }

    /// The names of the stack's resources; none where the variable that points to them is not set, because then they
    /// are variables themselves.
    ///
    /// # Errors
    /// When the secret cannot be read, or is not an object of texts.
    pub async fn resource_names(
        &self,
        environment: &mut Environment<'_>,
    ) -> Result<ResourceNames, WiringError> {
        match environment.optional::<String>(RESOURCE_NAMES_SECRET_ARN) {
            Some(arn) => Ok(self.names_in(&arn).await?),
            None => Ok(ResourceNames::default()),
        }
    }

    /// The secret with the names, asked for again where Secrets Manager does not answer: a function that cannot begin
    /// leaves the messages of its batch invisible for the queue's whole visibility time-out.
    async fn names_in(&self, arn: &str) -> Result<ResourceNames, SecretError> {
        for _ in 1..ATTEMPTS_AT_START {
            match self.secrets.get(arn).await {
                Err(SecretError::Unavailable { reason, .. }) => {
                    tracing::warn!(
                        reason,
                        "the secret with the names of resources cannot be read; reading it again"
                    );
                }
                read => return read,
            }
        }
        self.secrets.get(arn).await
    }

    /// The receiving end of a queue.
    pub fn inbox(&self, settings: &InboxSettings) -> SqsInbox {
        SqsInbox::new(
            &self.aws,
            &settings.queue_url,
            &settings.dead_letter_queue_url,
        )
    }

    /// The key of the fingerprints.
    ///
    /// # Errors
    /// When the secret cannot be read.
    pub async fn fingerprints(&self, secret_arn: &str) -> Result<FingerprintKey, WiringError> {
        let secret: FingerprintSecret = self.secrets.get(secret_arn).await?;
        Ok(FingerprintKey::new(secret.key.expose_secret().as_bytes()))
    }

    /// What leaves a remote alone while it is down.
    pub fn guard(&self, breakers_table: &str) -> Guard {
        let breakers = DynamoDbBreakers::new(&self.aws, breakers_table);
        Guard::new(
            Arc::new(breakers),
            Arc::new(SystemClock),
            self.metrics.clone(),
        )
    }

    /// The clients of Norce.
    ///
    /// # Errors
    /// When the secret cannot be read, or the address cannot be one.
    pub async fn norce(
        &self,
        guard: &Guard,
        settings: &NorceSettings,
        shops: &Shops,
    ) -> Result<NorceClients, WiringError> {
        let secret: ClientSecret = self.secrets.get(&settings.secret_arn).await?;
        Ok(norce(
            guard,
            self.transport.clone(),
            settings,
            secret,
            shops,
        )?)
    }

    /// The ERP company behind every register.
    ///
    /// # Errors
    /// When a secret cannot be read, or no company is configured.
    pub async fn erps(
        &self,
        guard: &Guard,
        settings: &ErpSettings,
        shops: &Shops,
    ) -> Result<HashMap<Scope, Arc<dyn Erp>>, WiringError> {
        let arn = &settings.secret_arn;
        let secret = match settings.kind {
            ErpKind::BusinessCentral => ErpSecret::BusinessCentral(self.secrets.get(arn).await?),
            ErpKind::Odoo => ErpSecret::Odoo(self.secrets.get(arn).await?),
        };
        let transport = match &settings.ca_secret_arn {
            Some(arn) => self.transport_trusting(arn).await?,
            None => self.transport.clone(),
        };
        erps(guard, &transport, settings, &secret, shops)
    }

    /// A client of its own for the ERP: what its private authority signs is trusted nowhere else.
    async fn transport_trusting(
        &self,
        ca_secret_arn: &str,
    ) -> Result<Arc<dyn Transport>, WiringError> {
        let bundle = self.secrets.ca_bundle(ca_secret_arn).await?;
        Ok(Arc::new(ReqwestTransport::trusting(&bundle)?))
    }
}

/// Calls of at most 3.5 seconds each. Lambda gives a function ten seconds to begin, and starts one that needs longer again
/// with its invocation, which has the function's own time-out (aws §1): a minute where there is a queue, of which this
/// leaves a half.
const ATTEMPTS_AT_START: u32 = 8;

/// Business Central takes 6,000 requests in five minutes from one app registration, and works on five at once (erp-apis
/// §1.8). Two busy processes, which is what the template allows `change-events`, stay below that: 600 at once and 8 a
/// second are 3,000 in five minutes.
const BUSINESS_CENTRAL: RateLimit = RateLimit {
    per_second: 8.0,
    burst: 600,
    at_once: 5,
};
/// Norce Identity takes three requests a minute from one address, after 20 more (norce-api §2). A process needs one in an
/// hour.
const NORCE_IDENTITY: RateLimit = RateLimit {
    per_second: 3.0 / 60.0,
    burst: 3,
    at_once: 1,
};

fn remote(name: String, limit: RateLimit) -> Remote {
    Remote { name, limit }
}

/// Which breaker and limit a request to Norce is under: one for each application, in whose name it is made (P14), and one
/// for the tokens of all. The limits of Query and Connect are not documented (norce-api §14): 429 is heeded.
fn norce_remote(request: &Request<Bytes>) -> Remote {
    if request.uri().path().ends_with(identity::TOKEN_PATH) {
        return remote("norce/identity".to_owned(), NORCE_IDENTITY);
    }
    let application = request.headers().get(APPLICATION_HEADER);
    let application = application.and_then(|id| id.to_str().ok());
    let name = match application {
        Some(id) => format!("norce/app-{id}"),
        None => "norce".to_owned(),
    };
    remote(name, RateLimit::NONE)
}

/// The two ends of Norce.
#[derive(Clone)]
pub struct NorceClients {
    /// Norce's identity service.
    pub tokens: Arc<TokenSource>,
    /// Reads.
    pub query: Arc<QueryClient>,
    /// Writes, and looks at jobs.
    pub connect: Arc<ConnectClient>,
}

/// The clients of Norce over any transport.
///
/// # Errors
/// When the address cannot be one.
pub fn norce(
    guard: &Guard,
    transport: Arc<dyn Transport>,
    settings: &NorceSettings,
    secret: ClientSecret,
    shops: &Shops,
) -> Result<NorceClients, NorceError> {
    let transport = guard.around(transport, norce_remote);
    let base_url = settings.base_url.url();
    let credentials = NorceCredentials {
        client_id: secret.client_id,
        client_secret: secret.client_secret,
        scope: settings.scope.clone(),
    };
    let tokens = Arc::new(identity::token_source(
        transport.clone(),
        base_url,
        credentials,
    )?);
    let api = NorceApi::new(
        base_url.clone(),
        HttpClient::new(transport, RetryPolicy::default()),
        tokens.clone(),
    );
    let applications = &shops.applications;
    Ok(NorceClients {
        tokens,
        query: Arc::new(QueryClient::new(
            api.clone(),
            shops.clone(),
            settings.address_types,
        )),
        connect: Arc::new(ConnectClient::new(
            api,
            settings.account_id,
            applications.clone(),
            settings.imports.clone(),
        )),
    })
}

/// What an ERP is entered with; which one it is for says which ERP is meant.
#[derive(Debug, Clone)]
pub enum ErpSecret {
    /// An app registration.
    BusinessCentral(ClientSecret),
    /// A user's key.
    Odoo(ApiKeySecret),
}

/// The ERP company behind every register, over any transport.
///
/// # Errors
/// When no company is configured for a register, or it cannot be one.
pub fn erps(
    guard: &Guard,
    transport: &Arc<dyn Transport>,
    settings: &ErpSettings,
    secret: &ErpSecret,
    shops: &Shops,
) -> Result<HashMap<Scope, Arc<dyn Erp>>, WiringError> {
    shops
        .scopes()
        .into_iter()
        .map(|scope| {
            let company = settings
                .company_of(shops, scope)
                .map_err(WiringError::Erp)?;
            let limit = match secret {
                ErpSecret::BusinessCentral(_) => BUSINESS_CENTRAL,
                // None is documented.
                ErpSecret::Odoo(_) => RateLimit::NONE,
            };
            let token_url = settings.token_url.as_ref().map(|url| url.url().path());
            let token_path = token_url.map(str::to_owned);
            let transport = guard.around(transport.clone(), move |request| {
                // The identity provider is another system, which can be down by itself.
                let is_token = Some(request.uri().path()) == token_path.as_deref();
                if is_token {
                    remote(format!("erp-identity/{scope}"), RateLimit::NONE)
                } else {
                    remote(format!("erp/{scope}"), limit)
                }
            });
            let erp: Arc<dyn Erp> = match (secret, company) {
                (
                    ErpSecret::BusinessCentral(secret),
                    Some(ErpCompany::BusinessCentral(company)),
                ) => {
                    let token_url = settings.token_url.as_ref();
                    let token_url = token_url
                        .ok_or_else(|| WiringError::Erp("ERP_TOKEN_URL is not set".to_owned()))?;
                    let settings = BusinessCentralSettings {
                        api_root: settings.base_url.url().clone(),
                        company,
                        token_url: token_url.url().clone(),
                        client_id: secret.client_id.clone(),
                        client_secret: secret.client_secret.clone(),
                        extra_fields: settings.extra_fields.clone(),
                    };
                    Arc::new(
                        BusinessCentral::new(settings, transport.clone())
                            .map_err(|error| WiringError::Erp(error.to_string()))?,
                    )
                }
                (ErpSecret::Odoo(secret), company) => {
                    let settings = OdooSettings {
                        base_url: settings.base_url.url().clone(),
                        database: secret.database.clone(),
                        company: match company {
                            Some(ErpCompany::Odoo(company)) => Some(company),
                            _ => None,
                        },
                        api_key: secret.api_key.clone(),
                        code_field: settings.code_field.clone(),
                        code_sequence: settings.code_sequence.clone(),
                        extra_fields: settings.extra_fields.clone(),
                    };
                    Arc::new(
                        Odoo::new(settings, transport.clone())
                            .map_err(|error| WiringError::Erp(error.to_string()))?,
                    )
                }
                (ErpSecret::BusinessCentral(_), _) => {
                    return Err(WiringError::Erp(format!(
                        "no ERP company for scope {scope}"
                    )));
                }
            };
            Ok((scope, under_rule(erp, settings.persons)))
        })
        .collect()
}
