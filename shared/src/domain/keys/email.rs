use std::fmt;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use serde::{Deserialize, Serialize};

use super::placeholder::{is_placeholder, visible};
use crate::domain::Personal;

/// Top-level names that lead nowhere (RFC 2606, RFC 6761, RFC 6762): an address there identifies nobody.
const NOWHERE: [&str; 4] = ["invalid", "local", "localhost", "test"];

/// An e-mail address in the form in which two of them are compared: trimmed, without invisible characters, in lower
/// case, the local part composed (NFC), the domain in its ASCII form. A matching key and never an identity: Norce and
/// the ERPs allow duplicates. The original is what is displayed and sent.
///
/// Dots and `+tag` stay: only the receiving host may give them a meaning (RFC 5321 §2.3.11).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailKey(String);

impl EmailKey {
    /// The key of an address; `None` when the text is no address, or only stands for one (`saknas@saknas.se`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = visible(text);
        let text = text.trim();
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == ';' || c == ',')
        {
            return None;
        }
        let (local, domain) = text.rsplit_once('@')?;
        if is_placeholder(local) {
            return None;
        }
        // A character that is taken apart may leave a space or a semicolon, which no host name has.
        let in_host_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let domain = idna::domain_to_ascii(domain)
            .ok()
            .filter(|domain| domain.chars().all(in_host_name))?;
        let (name, top) = domain.rsplit_once('.')?;
        if name.split('.').any(str::is_empty) || top.len() < 2 || NOWHERE.contains(&top) {
            return None;
        }
        let local = ComposingNormalizerBorrowed::new_nfc().normalize(local);
        // The case mapping may leave what is not composed.
        let local = local.to_lowercase();
        let local = ComposingNormalizerBorrowed::new_nfc().normalize(&local);
        Some(Self(format!("{local}@{domain}")))
    }

    /// The key of a customer's address, if it is one.
    pub fn of(email: Option<&Personal>) -> Option<Self> {
        email.and_then(|email| Self::parse(email.expose()))
    }

    /// The key itself, personal data. Call this only to build a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Every way in which an address with this key may be stored, as far as a comparison that ignores case tells them
    /// apart: the domain in its ASCII form and in its own letters, the local part composed and decomposed.
    pub fn spellings(&self) -> Vec<String> {
        let Some((local, domain)) = self.0.rsplit_once('@') else {
            return vec![self.0.clone()];
        };
        let mut domains = vec![domain.to_owned()];
        let (letters, valid) = idna::domain_to_unicode(domain);
        if valid.is_ok() && letters != domain {
            domains.push(letters);
        }
        let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(local);
        let mut locals = vec![local];
        if decomposed != local {
            locals.push(&decomposed);
        }
        locals
            .iter()
            .flat_map(|local| {
                domains
                    .iter()
                    .map(move |domain| format!("{local}@{domain}"))
            })
            .collect()
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
            local in "[A-Za-zÅÄÖåäöÆØæøÉé0-9][A-Za-zÅÄÖåäöÆØæøÉé0-9.+_'-]{0,20}",
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
