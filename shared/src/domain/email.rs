use std::fmt;

use serde::{Deserialize, Serialize};

use super::Personal;

/// An e-mail address in the form in which two of them are compared: trimmed, in lower case, the domain in its ASCII
/// form. A matching key and never an identity: Norce and the ERPs allow duplicates. The original is what is displayed
/// and sent.
///
/// Dots and `+tag` stay: only the receiving host may give them a meaning (RFC 5321 §2.3.11).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailKey(String);

impl EmailKey {
    /// The key of an address; `None` when the text is no address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == ';' || c == ',')
        {
            return None;
        }
        let (local, domain) = text.rsplit_once('@')?;
        if local.is_empty() || domain.is_empty() {
            return None;
        }
        let domain = idna::domain_to_ascii(domain)
            .ok()
            .filter(|domain| !domain.is_empty())?;
        Some(Self(format!("{}@{}", local.to_lowercase(), domain)))
    }

    /// The key of a customer's address, if it is one.
    pub fn of(email: Option<&Personal>) -> Option<Self> {
        email.and_then(|email| Self::parse(email.expose()))
    }

    /// The key itself, personal data. Call this only to build a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[e-mail]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<String> {
        EmailKey::parse(text).map(|key| key.expose().to_owned())
    }

    #[test]
    fn case_white_space_and_the_form_of_the_domain_do_not_matter() {
        assert_eq!(
            key("  Anna.Ek+shop@Exämple.SE "),
            key("anna.ek+shop@xn--exmple-cua.se")
        );
        assert_ne!(key("anna.ek@example.com"), key("annaek@example.com"));
    }

    #[test]
    fn what_is_no_single_address_has_no_key() {
        for text in [
            "",
            "anna",
            "@example.com",
            "anna@",
            "a b@example.com",
            "a@example.com;b@example.com",
        ] {
            assert_eq!(key(text), None, "{text}");
        }
    }
}
