use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::NorceId;

/// The ERP's identifier of a customer, a company or a contact, as Norce stores it in `Code`.
///
/// At most 50 characters, the length of Norce's `CustomerCode` and `CompanyCode` (norce-api §5.2). It identifies a
/// record and is no personal data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code(String);

/// A text cannot be a code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidCode {
    /// Nothing, or only white space.
    #[error("a code is not empty")]
    Empty,
    /// Longer than Norce can hold.
    #[error("the code has {0} characters; Norce holds at most {max}", max = Code::MAX_CHARS)]
    TooLong(usize),
    /// Line breaks and the like.
    #[error("a code has no control characters")]
    ControlCharacter,
}

impl Code {
    /// The length of Norce's `CustomerCode` and `CompanyCode`.
    pub const MAX_CHARS: usize = 50;

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Code {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            Err(InvalidCode::Empty)
        } else if chars > Self::MAX_CHARS {
            Err(InvalidCode::TooLong(chars))
        } else if text.chars().any(char::is_control) {
            Err(InvalidCode::ControlCharacter)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Code {
    type Error = InvalidCode;

    fn try_from(text: String) -> Result<Self, InvalidCode> {
        text.parse()
    }
}

impl From<Code> for String {
    fn from(code: Code) -> String {
        code.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The code that is asked for at creation where the ERP lets the client choose, such as `N{id}`.
///
/// With a pattern a create is idempotent by itself: a second one is refused by the ERP as a duplicate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePattern {
    before: String,
    after: String,
}

/// A text cannot be a code pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a code pattern: it holds `{{id}}` exactly once, as in `N{{id}}`, and gives a code of at most 20 characters"
)]
pub struct InvalidCodePattern(String);

impl CodePattern {
    /// Business Central's "No." is a Code[20] (erp-apis §1.2), the shortest of the supported ERPs.
    const MAX_CHARS: usize = 20;
    /// Digits of the largest int32.
    const MAX_ID_CHARS: usize = 10;

    /// The code for a Norce id.
    pub fn code(&self, id: NorceId) -> Result<Code, InvalidCode> {
        format!("{}{}{}", self.before, id, self.after).parse()
    }
}

impl FromStr for CodePattern {
    type Err = InvalidCodePattern;

    fn from_str(text: &str) -> Result<Self, InvalidCodePattern> {
        let invalid = || InvalidCodePattern(text.to_owned());
        let (before, after) = text.trim().split_once("{id}").ok_or_else(invalid)?;
        let fixed = before.chars().count() + after.chars().count();
        let plain = |part: &str| !part.contains(['{', '}']) && !part.chars().any(char::is_control);
        if plain(before) && plain(after) && fixed + Self::MAX_ID_CHARS <= Self::MAX_CHARS {
            Ok(Self {
                before: before.to_owned(),
                after: after.to_owned(),
            })
        } else {
            Err(invalid())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_trimmed_and_bounded() {
        assert_eq!(" C00012 ".parse::<Code>().unwrap().as_str(), "C00012");
        assert_eq!("  ".parse::<Code>(), Err(InvalidCode::Empty));
        assert_eq!(
            "x".repeat(51).parse::<Code>(),
            Err(InvalidCode::TooLong(51))
        );
        assert_eq!("a\nb".parse::<Code>(), Err(InvalidCode::ControlCharacter));
    }

    #[test]
    fn a_pattern_names_the_id_exactly_once() {
        let pattern: CodePattern = "N{id}".parse().unwrap();
        assert_eq!(
            pattern
                .code(NorceId::try_from(123).unwrap())
                .unwrap()
                .as_str(),
            "N123"
        );
        for nonsense in ["", "N", "{id}{id}", "N{ID}", "TOO-LONG-PREFIX{id}"] {
            assert!(nonsense.parse::<CodePattern>().is_err(), "{nonsense}");
        }
    }
}
