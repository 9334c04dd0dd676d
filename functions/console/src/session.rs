//! The session of a person: a sealed cookie, and nothing that the server keeps.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    roles::Role,
    seal::{Purpose, SealError, SealKey},
};

/// The cookie's name. Browsers take one that begins with `__Host-` only over TLS, for the whole host and without a domain,
/// so that no neighbouring host can plant it (RFC 6265bis §4.1.3.2).
pub const COOKIE: &str = "__Host-session";

/// Who has signed in, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The provider's own identifier of the person, which it never gives to anybody else.
    pub subject: String,
    /// What the person is called on the page.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// When the person has to sign in again.
    pub expires: DateTime<Utc>,
}

impl Session {
    /// The session that the cookies of a request hold. One that is altered, of another key or over is none.
    pub fn of(cookies: &[String], key: &SealKey, now: DateTime<Utc>) -> Option<Self> {
        let text = key.open(Purpose::Session, value(cookies, COOKIE)?)?;
        let session: Self = serde_json::from_slice(&text).ok()?;
        (session.expires > now).then_some(session)
    }

    /// The cookie that holds this session. It is not sent with a request that another site has caused, and ends with the
    /// browser.
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

/// The cookie that takes the session away.
pub(crate) fn no_session() -> String {
    format!("{COOKIE}=; Max-Age=0; Secure; HttpOnly; SameSite=Strict; Path=/")
}

/// The value of a cookie, as API Gateway hands cookies over: one text for each.
pub(crate) fn value<'a>(cookies: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = cookies.iter().filter_map(|cookie| cookie.split_once('='));
    let (_, value) = pairs.find(|(own, _)| own.trim() == name)?;
    Some(value.trim())
}
