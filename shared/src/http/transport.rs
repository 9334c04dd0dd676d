use std::{str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use thiserror::Error;

/// Sends one request and brings back one answer: no retries, no redirects, no interpretation of a status.
///
/// The product's is [`ReqwestTransport`]; tests put a simulator in its place, in the same process.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request and reads the whole answer, within `timeout`.
    ///
    /// # Errors
    /// [`TransportError`] tells whether the remote can have seen the request.
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError>;
}

/// There was no answer. What matters is whether the remote may have acted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// The request never left: no connection, or no time. A repeat is safe.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The request was not sent because calls to the remote are paused. A repeat is safe after this time.
    #[error("the request was not sent: calls to the remote are paused for another {} s", after.as_secs())]
    CircuitOpen {
        /// The rest of the pause.
        after: Duration,
    },
    /// The request may have been carried out, but the answer was lost. A repeat may do it twice.
    #[error("the answer was lost: {0}")]
    AnswerLost(String),
}

impl TransportError {
    /// How long to wait at least before a repeat, where that is known.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { after } => Some(*after),
            Self::NotSent(_) | Self::AnswerLost(_) => None,
        }
    }
}

/// The transport of the product: reqwest over rustls with the web-PKI roots compiled in, so that building it does not
/// scan a disk. Redirects are not followed: a token must not travel to where a redirect points.
pub struct ReqwestTransport(reqwest::Client);

/// A new connection to a host that is up takes far less; so that a host that is down is soon told from a slow one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle time-outs of the usual load balancers (60 s and more), so that a connection which the other
/// side has closed is rarely picked.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The client could not be built: a fault of the build, not of the surroundings.
#[derive(Debug, Error)]
#[error("the HTTP client cannot be built: {0}")]
pub struct TransportSetupError(String);

/// Certificates of certificate authorities that are in no public list, such as a company's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

/// A text is not a PEM bundle of certificates. The text is not repeated: somebody may have put a key there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CaBundleError {
    /// There is no certificate in it.
    #[error("it holds no certificate: expected at least one block -----BEGIN CERTIFICATE-----")]
    Empty,
    /// A block is cut off or is not a certificate.
    #[error("certificate {number} cannot be read: copy the PEM file again, unchanged")]
    Unreadable {
        /// Which one, from 1.
        number: usize,
    },
}

impl FromStr for CaBundle {
    type Err = CaBundleError;

    /// Reads the blocks `CERTIFICATE` of a PEM text (RFC 7468) and passes over others.
    fn from_str(text: &str) -> Result<Self, CaBundleError> {
        let mut certificates = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(text.as_bytes()).enumerate() {
            let unreadable = CaBundleError::Unreadable { number: index + 1 };
            let certificate = certificate.map_err(|_| unreadable.clone())?;
            let mut roots = RootCertStore::empty();
            roots
                .add(certificate.clone())
                .map_err(|_| unreadable.clone())?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(CaBundleError::Empty);
        }
        Ok(Self(certificates))
    }
}

impl ReqwestTransport {
    /// Builds the client. Do it once at start.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, TransportSetupError> {
        Self::build(None)
    }

    /// Builds a client that also trusts servers with a certificate of these authorities.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn trusting(bundle: &CaBundle) -> Result<Self, TransportSetupError> {
        Self::build(Some(bundle))
    }

    fn build(bundle: Option<&CaBundle>) -> Result<Self, TransportSetupError> {
        let setup = |error: &dyn std::error::Error| TransportSetupError(error.to_string());
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for certificate in bundle.into_iter().flat_map(|bundle| &bundle.0) {
            roots
                .add(certificate.clone())
                .map_err(|error| setup(&error))?;
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent(concat!("norce-customer-sync/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| setup(&error))
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let mut request = reqwest::Request::try_from(request).map_err(|error| not_sent(&error))?;
        *request.timeout_mut() = Some(timeout);
        let mut answer = self.0.execute(request).await.map_err(|error| {
            if error.is_connect() || error.is_builder() {
                not_sent(&error)
            } else {
                lost(&error)
            }
        })?;
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        *response.body_mut() = answer.bytes().await.map_err(|error| lost(&error))?;
        Ok(response)
    }
}

/// The reason without the URL: a query can hold an e-mail address (P11).
fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "time-out"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_body() || error.is_decode() {
        "the body broke off"
    } else {
        "the connection failed"
    };
    what.to_owned()
}

fn not_sent(error: &reqwest::Error) -> TransportError {
    TransportError::NotSent(reason(error))
}

fn lost(error: &reqwest::Error) -> TransportError {
    TransportError::AnswerLost(reason(error))
}
