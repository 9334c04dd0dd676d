use std::fmt;

use serde::{Deserialize, Serialize};

use super::keys::placeholder::is_invisible;

/// Text about a person: a name, an address line, an e-mail address, a telephone number, a personal number.
///
/// `Debug` never shows it, so that no log line or panic can (P11). It is written in full only where it is meant to
/// go: into a request to Norce or to the ERP.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal(String);

impl Personal {
    /// Wraps a text, trimmed; `None` when nothing that can be seen is left of it.
    pub fn parse(text: impl AsRef<str>) -> Option<Self> {
        let text = text.as_ref().trim();
        let is_seen = |c: char| !is_invisible(c) && !c.is_whitespace() && !c.is_control();
        text.chars().any(is_seen).then(|| Self(text.to_owned()))
    }

    /// The text itself. Call this only where the text leaves for Norce or the ERP.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[personal]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p11_debug_shows_nothing() {
        let name = Personal::parse(" Anna Ek ").unwrap();
        assert_eq!(format!("{name:?}"), "[personal]");
        assert_eq!(name.expose(), "Anna Ek");
        for nothing in ["  ", "\u{200b}", " \u{feff}\u{2060} ", "\u{0}"] {
            assert_eq!(Personal::parse(nothing), None);
        }
    }
}
