use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// A keyed hash (HMAC-SHA-256, hexadecimal) of what was sent or seen, kept instead of the data itself: mappings hold
/// no personal data (P11), and without the key nobody can test guesses against them.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The hash as hexadecimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Fingerprint {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a test's message.
        write!(formatter, "{}…", self.0.get(..8).unwrap_or(&self.0))
    }
}

/// The key of the fingerprints: a secret of the stack.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    /// A key from a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes a key of any length (RFC 2104 §2)"
        )]
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
        Self(mac)
    }

    /// The fingerprint of a value: of its JSON, which a struct always writes in the order of its fields.
    ///
    /// # Errors
    /// When the value has no JSON form (a map with keys that are no strings); none of the domain's types is like that.
    pub fn of(&self, value: &impl Serialize) -> Result<Fingerprint, serde_json::Error> {
        let mut mac = self.0.clone();
        mac.update(&serde_json::to_vec(value)?);
        let hash = mac.finalize().into_bytes();
        let mut text = String::with_capacity(hash.len() * 2);
        for byte in hash {
            use fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Fingerprint(text))
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_the_same_fingerprint_under_one_key_only() {
        let key = FingerprintKey::new(b"k1");
        assert_eq!(key.of(&("a", 1)).unwrap(), key.of(&("a", 1)).unwrap());
        assert_ne!(key.of(&("a", 1)).unwrap(), key.of(&("a", 2)).unwrap());
        assert_ne!(
            key.of(&("a", 1)).unwrap(),
            FingerprintKey::new(b"k2").of(&("a", 1)).unwrap()
        );
    }
}
