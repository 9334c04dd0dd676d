//! Connections to a facade: TLS, credentials, and reading answers.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use url::Url;

use crate::client::{Credentials, PATIENCE, Target, Unusable};

/// The most bytes of an answer that are read. A page of 500 records takes less than 1 MiB.
pub(crate) const LARGEST_ANSWER: usize = 32 << 20;
/// The least length of a signing key, in characters.
const LEAST_SIGNING_KEY: usize = 32;

/// Checks a target before anything is sent.
pub(crate) fn check(target: &Target) -> Result<(), Unusable> {
    let is_header = |value: &str| !value.is_empty() && HeaderValue::from_str(value).is_ok();
    if let Credentials::Key(key) = &target.credentials
        && !is_header(key)
    {
        let text =
            "the key cannot be sent: it is empty, or has a line break or letters beyond ASCII";
        return Err(Unusable::Option(text.to_owned()));
    }
    if target.company.as_deref().is_some_and(|it| !is_header(it)) {
        return Err(Unusable::Option("the company cannot be sent".to_owned()));
    }
    let signing_key = target.signing_key.as_deref();
    if signing_key.is_some_and(|key| key.chars().count() < LEAST_SIGNING_KEY) {
        let text = format!("a signing key has {LEAST_SIGNING_KEY} characters or more");
        return Err(Unusable::Option(text));
    }
    Ok(())
}

/// The body of an answer; `None`: it is too large.
pub(crate) async fn body_of(
    mut answer: reqwest::Response,
) -> Result<Option<String>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

/// What happened, and the cause. The URL is left out, because it is shown with the request.
pub(crate) fn without_url(error: reqwest::Error) -> String {
    let what = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it took too long",
        (_, true) => "no connection",
        _ => "the connection broke off",
    };
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{what} ({cause})")
}

/// A client with its own root certificates, so that the machine needs none.
pub(crate) fn http_client(authority: Option<&[u8]>) -> Result<reqwest::Client, Unusable> {
    let unusable = |error: &dyn std::error::Error| Unusable::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in CertificateDer::pem_slice_iter(authority.unwrap_or_default()) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!(
            "norce-customer-sync-conformance/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .map_err(|error| unusable(&error))
}

pub(crate) async fn authorization(
    http: &reqwest::Client,
    credentials: &Credentials,
) -> Result<String, Unusable> {
    match credentials {
        Credentials::Key(key) => Ok(format!("Bearer {key}")),
        Credentials::OAuth {
            token_url,
            client_id,
            client_secret,
        } => token(http, token_url, client_id, client_secret).await,
    }
}

/// The value of `Authorization`, by OAuth client credentials (RFC 6749 §4.4).
async fn token(
    http: &reqwest::Client,
    token_url: &Url,
    client_id: &str,
    client_secret: &str,
) -> Result<String, Unusable> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id)
        .append_pair("client_secret", client_secret)
        .finish();
    let answer = async {
        let request = http
            .post(token_url.clone())
            .timeout(PATIENCE)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
    };
    let (status, text) = answer
        .await
        .map_err(|error| Unusable::Token(without_url(error)))?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    match body["access_token"].as_str() {
        Some(token) => Ok(format!("Bearer {token}")),
        None => Err(Unusable::Token(format!("it answers {status}"))),
    }
}
