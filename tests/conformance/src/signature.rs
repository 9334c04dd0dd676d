//! Signatures of requests (`signature` in `openapi.yaml`): RFC 9421 with `hmac-sha256`, and RFC 9530.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The headers of a signature, for a request with these headers and this body. `created` is in seconds of Unix time.
pub(crate) fn headers(
    key: &str,
    method: &str,
    url: &str,
    headers: &[(&'static str, String)],
    body: &str,
    created: i64,
) -> Option<Vec<(&'static str, String)>> {
    let mut signature = Vec::new();
    if !body.is_empty() {
        let digest = BASE64.encode(Sha256::digest(body));
        signature.push(("Content-Digest", format!("sha-256=:{digest}:")));
    }
    let mut components = vec![
        ("@method".to_owned(), method),
        ("@target-uri".to_owned(), url),
    ];
    for (name, value) in signature.iter().chain(headers) {
        components.push((name.to_lowercase(), value));
    }
    let names: Vec<String> = components
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    let names = names.join(" ");
    let input = format!("({names});created={created};keyid=\"norce\";alg=\"hmac-sha256\"");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    for (name, value) in components {
        mac.update(format!("\"{name}\": {value}\n").as_bytes());
    }
    mac.update(format!("\"@signature-params\": {input}").as_bytes());
    let signed = BASE64.encode(mac.finalize().into_bytes());
    signature.push(("Signature-Input", format!("norce={input}")));
    signature.push(("Signature", format!("norce=:{signed}:")));
    Some(signature)
}
