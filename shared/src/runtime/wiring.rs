//! Builds the clients of Norce and of the ERP from the configuration. Done once per start, and again when secrets may have been
//! rotated.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::Request;
use secrecy::ExposeSecret;
use thiserror::Error;

use super::{
    configuration::{CommonSettings, ErpCompany, ErpKind, ErpSettings, NorceSettings},
    resources::Resources,
    secrets::{
        ApiKeySecret, ClientSecret, FacadeClientSecret, FacadeKeySecret, FingerprintSecret,
        SecretError, Secrets,
    },
};
use crate::{
    aws::sdk::MissingVariable,
    breakers::{Breakers, Guard, RateLimit, Remote},
    domain::{ApplicationSettings, Clock, FingerprintKey, Scope},
    erp::{
        Erp, FixedValues,
        business_central::{BusinessCentral, BusinessCentralSettings},
        http::{HttpErp, HttpErpCredentials, HttpErpSettings, Signer},
        odoo::{Odoo, OdooSettings},
        under_rule,
    },
    http::{
        HttpClient, ReqwestTransport, RetryPolicy, TokenSource, Transport, TransportSetupError,
    },
    mappings::{RecordMappings, key_index::KeyIndex},
    norce::{
        APPLICATION_HEADER, NorceApi, NorceError,
        connect::ConnectClient,
        identity::{self, NorceCredentials},
        query::QueryClient,
    },
    owed::OwedRecords,
};

/// Why a function cannot be built.
#[derive(Debug, Error)]
pub enum WiringError {
    /// The HTTP client.
    #[error(transparent)]
    Transport(#[from] TransportSetupError),
    /// The region or the credentials of the function.
    #[error(transparent)]
    Environment(#[from] MissingVariable),
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

/// The stores and clients of every function that uses the code mappings.
pub struct Common<'a> {
    /// The way to the ERP.
    pub connections: Connections<'a>,
    /// The clients of Norce.
    pub norce: NorceClients,
    /// The state of the remotes.
    pub breakers: Arc<dyn Breakers>,
    /// The key of the fingerprints.
    pub fingerprints: FingerprintKey,
    /// The code mappings.
    pub mappings: Arc<dyn RecordMappings>,
    /// The index of the ERP's natural keys.
    pub key_index: Arc<dyn KeyIndex>,
    /// The records that cannot be synced.
    pub owed: Arc<dyn OwedRecords>,
}

impl<'a> Common<'a> {
    /// Opens the stores and builds the clients.
    ///
    /// # Errors
    /// If a secret cannot be read, or a client cannot be built.
    pub async fn build(
        settings: &CommonSettings,
        resources: &'a impl Resources,
    ) -> Result<Self, WiringError> {
        let breakers = resources.breakers(&settings.breakers_table);
        let connections = Connections::new(resources, breakers.clone());
        let fingerprints = &settings.fingerprint_secret_arn;
        let fingerprints = connections.fingerprints(fingerprints).await?;
        let (mappings, key_index) =
            resources.mappings(&settings.code_mappings_table, &fingerprints);
        Ok(Self {
            norce: connections.norce(&settings.norce, &settings.shops).await?,
            connections,
            breakers,
            fingerprints,
            mappings,
            key_index,
            owed: resources.owed(&settings.owed_table),
        })
    }
}

/// Connects a function to Norce and to the ERP.
pub struct Connections<'a> {
    secrets: &'a Secrets,
    transport: Arc<dyn Transport>,
    guard: Guard,
    clock: Arc<dyn Clock>,
}

impl<'a> Connections<'a> {
    /// Connections whose calls are paused while a remote is down, which these breakers remember.
    pub fn new(resources: &'a impl Resources, breakers: Arc<dyn Breakers>) -> Self {
        Self {
            secrets: resources.secrets(),
            transport: resources.transport(),
            guard: Guard::new(breakers, resources.clock(), resources.metrics().clone()),
            clock: resources.clock(),
        }
    }

    /// The key of the fingerprints.
    ///
    /// # Errors
    /// When the secret cannot be read.
    pub async fn fingerprints(&self, secret_arn: &str) -> Result<FingerprintKey, WiringError> {
        let secret: FingerprintSecret = self.secrets.get(secret_arn).await?;
        Ok(FingerprintKey::new(secret.key.expose_secret().as_bytes()))
    }

    /// The clients of Norce.
    ///
    /// # Errors
    /// When the secret cannot be read, or the base URL is unusable.
    pub async fn norce(
        &self,
        settings: &NorceSettings,
        shops: &ApplicationSettings,
    ) -> Result<NorceClients, WiringError> {
        let secret: ClientSecret = self.secrets.get(&settings.secret_arn).await?;
        let transport = self.guard.around(self.transport.clone(), norce_remote);
        Ok(norce(transport, settings, secret, shops)?)
    }

    /// The ERP company behind each scope.
    ///
    /// # Errors
    /// When a secret cannot be read, or no company is configured for a scope.
    pub async fn erps(
        &self,
        settings: &ErpSettings,
        shops: &ApplicationSettings,
    ) -> Result<HashMap<Scope, Arc<dyn Erp>>, WiringError> {
        let arn = &settings.secret_arn;
        let secret = match settings.kind {
            ErpKind::BusinessCentral => ErpSecret::BusinessCentral(self.secrets.get(arn).await?),
            ErpKind::Odoo => ErpSecret::Odoo(self.secrets.get(arn).await?),
            ErpKind::Http => self.facade_secret(settings).await?,
        };
        let transport = match &settings.ca_secret_arn {
            // A client of its own: a private authority of the ERP is trusted nowhere else.
            Some(arn) => {
                let bundle = self.secrets.ca_bundle(arn).await?;
                Arc::new(ReqwestTransport::trusting(&bundle)?)
            }
            None => self.transport.clone(),
        };
        let scopes = shops.scopes().into_iter();
        let erps = scopes.map(|scope| {
            let company = settings.company_of(shops, scope);
            let company = company.map_err(WiringError::Erp)?;
            let transport = self.around_erp(&transport, settings, scope);
            let fixed = settings.fixed_values.of_application(scope.application());
            let erp = erp(transport, settings, &secret, company, fixed)?;
            Ok((scope, under_rule(erp, settings.persons)))
        });
        erps.collect()
    }

    async fn facade_secret(&self, settings: &ErpSettings) -> Result<ErpSecret, WiringError> {
        let arn = &settings.secret_arn;
        let (credentials, signing_key) = match &settings.token_url {
            Some(url) => {
                let secret: FacadeClientSecret = self.secrets.get(arn).await?;
                let client = HttpErpCredentials::OAuth {
                    token_url: url.url().clone(),
                    client_id: secret.client_id,
                    client_secret: secret.client_secret,
                };
                (client, secret.signing_key)
            }
            None => {
                let secret: FacadeKeySecret = self.secrets.get(arn).await?;
                (HttpErpCredentials::Key(secret.api_key), secret.signing_key)
            }
        };
        let signer = signing_key.map(|key| Signer::new(&key, self.clock.clone()));
        let signer = signer.transpose();
        let signer = signer.map_err(|error| WiringError::Erp(error.to_string()))?;
        Ok(ErpSecret::Http(Box::new((credentials, signer))))
    }

    /// The transport to the ERP company of a scope. The identity provider is another system, which can be down by itself.
    fn around_erp(
        &self,
        transport: &Arc<dyn Transport>,
        settings: &ErpSettings,
        scope: Scope,
    ) -> Arc<dyn Transport> {
        let limit = match settings.kind {
            ErpKind::BusinessCentral => BUSINESS_CENTRAL,
            ErpKind::Odoo | ErpKind::Http => OTHER_ERPS,
        };
        let token_url = settings.token_url.as_ref().map(|url| url.url().path());
        let token_path = token_url.map(str::to_owned);
        self.guard.around(transport.clone(), move |request| {
            if Some(request.uri().path()) == token_path.as_deref() {
                remote(format!("erp-identity/{scope}"), RateLimit::NONE)
            } else {
                remote(format!("erp/{scope}"), limit)
            }
        })
    }
}

/// Business Central takes 6,000 requests in five minutes from one app registration, works on five at once and queues 95 more
/// (erp-apis §1.8). Two busy processes, which is what the template allows `change-events`, stay below that: 600 in a burst
/// and 8 a second are 3,000 in five minutes.
const BUSINESS_CENTRAL: RateLimit = RateLimit {
    per_second: 8.0,
    burst: 600,
    at_once: 5,
};
/// No limit is documented for Odoo, and a facade refuses with 429. A merchant's Odoo typically has a handful of worker processes.
const OTHER_ERPS: RateLimit = RateLimit {
    at_once: 5,
    ..RateLimit::NONE
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

/// The breaker and limit of a request to Norce: one for each application, in whose name it is made (P14), and one for the
/// tokens of all. The limits of Query and Connect are not documented (norce-api §14): 429 is heeded.
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

/// The clients of Norce's services.
#[derive(Clone)]
pub struct NorceClients {
    /// Access tokens of Norce Identity.
    pub tokens: Arc<TokenSource>,
    /// Norce Query, which reads.
    pub query: Arc<QueryClient>,
    /// Norce Connect, which imports and tells the status of jobs.
    pub connect: Arc<ConnectClient>,
}

fn norce(
    transport: Arc<dyn Transport>,
    settings: &NorceSettings,
    secret: ClientSecret,
    shops: &ApplicationSettings,
) -> Result<NorceClients, NorceError> {
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
        query: Arc::new(
            QueryClient::new(api.clone(), shops.clone(), settings.address_types)
                .at_home_in(settings.home_country),
        ),
        connect: Arc::new(ConnectClient::new(
            api,
            settings.account_id,
            applications.clone(),
            settings.imports.clone(),
        )),
    })
}

/// The credentials of an ERP, in the form of its kind.
enum ErpSecret {
    /// An app registration.
    BusinessCentral(ClientSecret),
    /// A user's key.
    Odoo(ApiKeySecret),
    /// The credentials for a facade, and what signs the requests to it.
    Http(Box<(HttpErpCredentials, Option<Signer>)>),
}

fn erp(
    transport: Arc<dyn Transport>,
    settings: &ErpSettings,
    secret: &ErpSecret,
    company: Option<ErpCompany>,
    fixed: FixedValues,
) -> Result<Arc<dyn Erp>, WiringError> {
    match (secret, company) {
        (ErpSecret::BusinessCentral(secret), Some(ErpCompany::BusinessCentral(company))) => {
            let token_url = settings.token_url.as_ref();
            let token_url =
                token_url.ok_or_else(|| WiringError::Erp("ERP_TOKEN_URL is not set".to_owned()))?;
            let settings = BusinessCentralSettings {
                api_root: settings.base_url.url().clone(),
                company,
                token_url: token_url.url().clone(),
                client_id: secret.client_id.clone(),
                client_secret: secret.client_secret.clone(),
                extra_fields: settings.extra_fields.clone(),
                extra_root: settings
                    .extra_base_url
                    .as_ref()
                    .map(|root| root.url().clone()),
                countries: settings.countries.clone(),
            };
            let erp = BusinessCentral::new(settings, transport);
            let erp = erp.map_err(|error| WiringError::Erp(error.to_string()))?;
            Ok(Arc::new(erp.with_fixed_values(fixed)))
        }
        (ErpSecret::BusinessCentral(_), _) => Err(WiringError::Erp(
            "Business Central needs a company".to_owned(),
        )),
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
                home_country: settings.countries.home,
            };
            let erp = Odoo::new(settings, transport);
            let erp = erp.map_err(|error| WiringError::Erp(error.to_string()))?;
            Ok(Arc::new(erp.with_fixed_values(fixed)))
        }
        (ErpSecret::Http(facade), company) => {
            let (credentials, signer) = facade.as_ref();
            let settings = HttpErpSettings {
                base_url: settings.base_url.url().clone(),
                company: match company {
                    Some(ErpCompany::Http(company)) => Some(company),
                    _ => None,
                },
                credentials: credentials.clone(),
                home_country: settings.countries.home,
            };
            let erp = HttpErp::with_signer(settings, transport, signer.clone());
            let erp = erp.map_err(|error| WiringError::Erp(error.to_string()))?;
            Ok(Arc::new(erp))
        }
    }
}
