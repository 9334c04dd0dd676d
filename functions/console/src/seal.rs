//! Sealed texts, which a browser keeps for us and can neither read nor change.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// Separates the keys of this program from those of others with the same secret.
const SALT: &[u8] = b"norce-customer-sync console";

/// The purpose of a sealed text. A text does not open for another purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session.
    Session,
    /// A sign-in under way.
    SignIn,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"session 1",
            Self::SignIn => b"sign-in 1",
        }
    }
}

/// Nothing could be sealed: the machine gave no random numbers, or no key could be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a cookie could not be sealed: the system gave no random numbers")]
pub struct SealError;

/// A key made of a secret of the stack: texts sealed with one do not open with another.
#[derive(Clone)]
pub struct SealKey(SecretString);

impl SealKey {
    /// Derives the key from a secret.
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// Seals a text with AES-256-GCM: a random nonce, the encrypted text and its tag, in Base64 for cookies.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn seal(&self, purpose: Purpose, text: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| SealError)?;
        let mut sealed = text.to_vec();
        self.key(purpose)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.label()),
                &mut sealed,
            )
            .map_err(|_| SealError)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Opens a text that was sealed with this key for this purpose.
    pub fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let opened = self.key(purpose).ok()?.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(purpose.label()),
            &mut text,
        );
        Some(opened.ok()?.to_vec())
    }

    fn key(&self, purpose: Purpose) -> Result<LessSafeKey, SealError> {
        let label = [purpose.label()];
        let secret = self.0.expose_secret().as_bytes();
        let key = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let key = key.expand(&label, &AES_256_GCM).map_err(|_| SealError)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}
