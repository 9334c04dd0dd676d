use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Personal;

/// An ISO 3166-1 alpha-2 country code, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode([u8; 2]);

/// A text is no country code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a two-letter country code")]
pub struct InvalidCountryCode(String);

impl CountryCode {
    /// Sweden.
    pub const SE: Self = Self(*b"SE");
    /// Norway.
    pub const NO: Self = Self(*b"NO");
    /// Denmark.
    pub const DK: Self = Self(*b"DK");
    /// Finland.
    pub const FI: Self = Self(*b"FI");

    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Only ASCII letters are ever stored.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for CountryCode {
    type Err = InvalidCountryCode;

    fn from_str(text: &str) -> Result<Self, InvalidCountryCode> {
        match text.trim().as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(InvalidCountryCode(text.to_owned())),
        }
    }
}

impl TryFrom<String> for CountryCode {
    type Error = InvalidCountryCode;

    fn try_from(text: String) -> Result<Self, InvalidCountryCode> {
        text.parse()
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> String {
        code.as_str().to_owned()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A postal address. Absent parts are `None`, never empty texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// "c/o".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub care_of: Option<Personal>,
    /// Street and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line1: Option<Personal>,
    /// Second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line2: Option<Personal>,
    /// Postal code, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<Personal>,
    /// Town.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<Personal>,
    /// State or county.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Personal>,
    /// Country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<CountryCode>,
}

impl Address {
    /// Whether nothing at all is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_code_is_two_letters_in_any_case() {
        assert_eq!(" se ".parse(), Ok(CountryCode::SE));
        for text in ["", "s", "s1", "1e", "swe", "åe", "s e"] {
            assert_eq!(
                text.parse::<CountryCode>(),
                Err(InvalidCountryCode(text.to_owned()))
            );
        }
    }
}
