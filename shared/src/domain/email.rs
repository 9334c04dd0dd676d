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
        // A character that is taken apart may leave a space or a semicolon, which no host name has.
        let in_host_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let domain = idna::domain_to_ascii(domain)
            .ok()
            .filter(|domain| !domain.is_empty() && domain.chars().all(in_host_name))?;
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
    use proptest::prelude::*;

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
            "a@exa\u{384}mple.com",
            "a@example.com\u{37e}",
        ] {
            assert_eq!(key(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_key_that_is_its_own_or_none(text in any::<String>()) {
            if let Some(key) = EmailKey::parse(&text) {
                prop_assert_eq!(EmailKey::parse(key.expose()), Some(key));
            }
        }

        #[test]
        fn what_looks_like_an_address_has_a_key_that_is_its_own(text in "[ \t]?\\PC{1,12}@\\PC{1,12}(\\.\\PC{2})?") {
            if let Some(key) = EmailKey::parse(&text) {
                prop_assert!(!key.expose().contains(char::is_whitespace));
                prop_assert_eq!(EmailKey::parse(key.expose()), Some(key));
            }
        }

        #[test]
        fn case_and_white_space_around_it_do_not_matter(
            local in "[A-Za-zÅÄÖåäöÆØæøÉé0-9.+_'-]{1,20}",
            domain in "[a-zåäöæø]{1,10}(\\.[a-z]{2,5}){1,2}",
            before in "[ \t\n]{0,3}",
            after in "[ \t\r\n]{0,3}",
        ) {
            let address = format!("{local}@{domain}");
            let key = EmailKey::parse(&address);
            prop_assert!(key.is_some());
            for written in [address.to_uppercase(), address.to_lowercase(), address] {
                prop_assert_eq!(&EmailKey::parse(&format!("{before}{written}{after}")), &key);
            }
        }

        #[test]
        fn a_domain_is_the_same_in_either_form(label in "[a-z]{1,5}[åäöæøéü][a-zåäö]{0,5}") {
            let domain = format!("{label}.se");
            let ascii = idna::domain_to_ascii(&domain).unwrap();
            prop_assert!(ascii.starts_with("xn--"));
            let key = |domain: &str| EmailKey::parse(&format!("anna@{domain}"));
            prop_assert_eq!(key(&domain), key(&ascii));
        }

        #[test]
        fn nothing_but_case_is_taken_away(local in "[a-z0-9]{1,8}", mark in "[.+_-]", more in "[a-z0-9]{1,8}") {
            let key = |local: &str| EmailKey::parse(&format!("{local}@example.com"));
            prop_assert_ne!(key(&format!("{local}{mark}{more}")), key(&local));
            prop_assert_ne!(key(&format!("{local}{mark}{more}")), key(&format!("{local}{more}")));
        }

        #[test]
        fn p11_debug_shows_nothing_of_it(local in "[a-z]{3,10}") {
            let key = EmailKey::parse(&format!("{local}@example.com")).unwrap();
            prop_assert_eq!(format!("{key:?}"), "[e-mail]");
        }
    }
}
