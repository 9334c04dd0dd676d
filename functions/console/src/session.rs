//! The session of a person: a sealed cookie. The server stores nothing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    roles::Role,
    seal::{Purpose, SealError, SealKey},
};

/// The cookie's name. Browsers take one that begins with `__Host-` only over TLS, for the whole host and without a domain,
/// so that no neighbouring host can set it (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-session";

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The provider's identifier of the person, which it never reuses.
    pub subject: String,
    /// The name of the person on the page.
    pub name: String,
    /// The role of the person.
    pub role: Role,
    /// When the person has to sign in again.
    pub expires: DateTime<Utc>,
}

impl Session {
    /// The session in the cookies of a request. One that is altered, sealed with another key, or expired does not count.
    pub fn of(cookies: &[String], key: &SealKey, now: DateTime<Utc>) -> Option<Self> {
        let text = key.open(Purpose::Session, value(cookies, COOKIE)?)?;
        let session: Self = serde_json::from_slice(&text).ok()?;
        (session.expires > now).then_some(session)
    }

    /// The cookie with this session. It is not sent with requests that another site causes, and ends with the browser.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn cookie(&self, key: &SealKey) -> Result<String, SealError> {
        let text = serde_json::to_vec(self).map_err(|_| SealError)?;
        let sealed = key.seal(Purpose::Session, &text)?;
        Ok(format!(
            "{COOKIE}={sealed}; Secure; HttpOnly; SameSite=Strict; Path=/"
        ))
    }
}

/// The cookie that removes the session.
pub(crate) fn no_session() -> String {
    format!("{COOKIE}=; Max-Age=0; Secure; HttpOnly; SameSite=Strict; Path=/")
}

/// The value of a cookie. API Gateway passes each cookie as one text.
pub(crate) fn value<'a>(cookies: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = cookies.iter().filter_map(|cookie| cookie.split_once('='));
    let (_, value) = pairs.find(|(own, _)| own.trim() == name)?;
    Some(value.trim())
}
