//! Signatures of requests to a facade (RFC 9421 with `hmac-sha256`), and digests of their bodies (RFC 9530).

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{
    HeaderName, HeaderValue, Request, Response,
    header::{InvalidHeaderValue, ToStrError},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::settings::InvalidHttpErp;
use crate::{
    domain::Clock,
    http::{Transport, TransportError},
};

/// The least length of a key in characters. RFC 2104 §3 wants as many bytes as the hash has.
const LEAST_KEY: usize = 32;

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// The headers that affect what a request does. Those present are signed.
const SIGNED_HEADERS: [&str; 4] = [
    "content-digest",
    "idempotency-key",
    "if-match",
    "erp-company",
];

/// Signs requests with a key that is shared with the facade.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with this key, taken as UTF-8 bytes. `clock` provides the `created` time.
    ///
    /// # Errors
    /// [`InvalidHttpErp::SigningKey`]: the key is too short.
    pub fn new(key: &SecretString, clock: Arc<dyn Clock>) -> Result<Self, InvalidHttpErp> {
        let key = key.expose_secret();
        if key.chars().count() < LEAST_KEY {
            return Err(InvalidHttpErp::SigningKey);
        }
        let mac = Hmac::new_from_slice(key.as_bytes());
        let mac = mac.map_err(|_| InvalidHttpErp::SigningKey)?;
        Ok(Self { mac, clock })
    }

    /// Adds the headers of a signature, or replaces those of an earlier one.
    fn sign(&self, request: &mut Request<Bytes>) -> Result<(), NotSigned> {
        if !request.body().is_empty() {
            let digest = BASE64.encode(Sha256::digest(request.body()));
            let digest = HeaderValue::from_str(&format!("sha-256=:{digest}:"))?;
            request.headers_mut().insert(CONTENT_DIGEST, digest);
        }
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        let mut components = vec![("@method", method), ("@target-uri", uri.as_str())];
        for name in SIGNED_HEADERS {
            if let Some(value) = request.headers().get(name) {
                components.push((name, value.to_str()?.trim()));
            }
        }
        let created = self.clock.now().timestamp();
        let parameters = format!(r#";created={created};keyid="norce";alg="hmac-sha256""#);
        let (input, signature) = signature(&self.mac, &components, &parameters);
        let input = HeaderValue::from_str(&format!("norce={input}"))?;
        let signature = HeaderValue::from_str(&format!("norce=:{signature}:"))?;
        request.headers_mut().insert(SIGNATURE_INPUT, input);
        request.headers_mut().insert(SIGNATURE, signature);
        Ok(())
    }
}

/// The value of `Signature-Input`, and the signature of the signature base (RFC 9421 §2.5) in Base64. `components` are names with
/// values, and `parameters` begins with a semicolon.
fn signature(
    mac: &Hmac<Sha256>,
    components: &[(&str, &str)],
    parameters: &str,
) -> (String, String) {
    let names = components.iter().map(|(name, _)| format!(r#""{name}""#));
    let names: Vec<String> = names.collect();
    let input = format!("({}){parameters}", names.join(" "));
    let lines = components
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}\n"));
    let base = format!(
        "{}\"@signature-params\": {input}",
        lines.collect::<String>()
    );
    let mut mac = mac.clone();
    mac.update(base.as_bytes());
    (input, BASE64.encode(mac.finalize().into_bytes()))
}

/// A header value is not text and cannot be signed.
#[derive(Debug, Error)]
#[error("a header of the request cannot be signed")]
struct NotSigned;

impl From<ToStrError> for NotSigned {
    fn from(_: ToStrError) -> Self {
        Self
    }
}

impl From<InvalidHeaderValue> for NotSigned {
    fn from(_: InvalidHeaderValue) -> Self {
        Self
    }
}

/// Signs every request before it is sent.
///
/// It sits below the retries, so that each attempt is signed: a request repeated after `Retry-After`, or with a new token, would
/// otherwise arrive with an expired `created`. The `Idempotency-Key` stays the same.
pub(super) struct SigningTransport {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) signer: Signer,
}

#[async_trait]
impl Transport for SigningTransport {
    async fn send(
        &self,
        mut request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let signed = self.signer.sign(&mut request);
        signed.map_err(|error| TransportError::NotSent(error.to_string()))?;
        self.inner.send(request, timeout).await
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(self.0, 0).unwrap()
        }
    }

    /// RFC 9421, appendix B.2.5, with the key of B.1.5.
    #[test]
    fn the_example_of_the_rfc_has_its_signature() {
        let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let mac = Hmac::new_from_slice(&BASE64.decode(key).unwrap()).unwrap();
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
        ];
        let parameters = r#";created=1618884473;keyid="test-shared-secret""#;
        let (input, signature) = signature(&mac, &components, parameters);
        assert_eq!(
            input,
            r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#
        );
        assert_eq!(signature, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    }

    #[test]
    fn what_a_request_does_is_signed() {
        let signer = Signer::new(&"k".repeat(LEAST_KEY).into(), Arc::new(At(1_618_884_473)));
        let signer = signer.unwrap();
        let mut request = Request::post("https://erp.example:8443/norce/v1/customers?a=b%20c")
            .header("Idempotency-Key", "customer/client/1")
            .header("Erp-Company", "outlet")
            .header("Authorization", "Bearer key")
            .body(Bytes::from_static(br#"{"hello": "world"}"#))
            .unwrap();
        signer.sign(&mut request).unwrap();
        // Computed with Python's hashlib and base64.
        assert_eq!(
            request.headers()["content-digest"],
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
        );
        assert_eq!(
            request.headers()["signature-input"],
            r#"norce=("@method" "@target-uri" "content-digest" "idempotency-key" "erp-company");created=1618884473;keyid="norce";alg="hmac-sha256""#
        );
        let first = request.headers()["signature"].clone();
        let changes: [fn(&mut Request<Bytes>); 5] = [
            |request| *request.method_mut() = http::Method::PATCH,
            |request| {
                *request.uri_mut() = http::Uri::from_static("https://erp.example/v1/customers")
            },
            |request| *request.body_mut() = Bytes::from_static(b"{}"),
            |request| drop(request.headers_mut().remove("erp-company")),
            |request| {
                drop(
                    request
                        .headers_mut()
                        .insert("if-match", HeaderValue::from_static("1")),
                )
            },
        ];
        for change in changes {
            change(&mut request);
            let before = request.headers()["signature"].clone();
            signer.sign(&mut request).unwrap();
            assert_ne!(request.headers()["signature"], before);
            assert_ne!(request.headers()["signature"], first);
        }
        let mut read = Request::get("https://erp.example/v1/about")
            .body(Bytes::new())
            .unwrap();
        signer.sign(&mut read).unwrap();
        assert!(!read.headers().contains_key(CONTENT_DIGEST));
    }

    #[test]
    fn a_short_key_is_refused() {
        let short = Signer::new(&"k".repeat(LEAST_KEY - 1).into(), Arc::new(At(0)));
        assert!(matches!(short, Err(InvalidHttpErp::SigningKey)));
    }
}
