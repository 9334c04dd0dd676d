use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{EntityKind, NorceId};

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

    /// Whether an ERP that compares codes like this takes both for the same code.
    pub fn is(&self, other: &Self, case: CodeCase) -> bool {
        self == other || self.in_case(case) == other.in_case(case)
    }

    /// The form in which an ERP that compares codes like this compares this one.
    pub fn in_case(&self, case: CodeCase) -> Self {
        match case {
            CodeCase::Exact => self.clone(),
            CodeCase::Ignored => Self(self.0.to_uppercase()),
        }
    }
}

/// How an ERP compares the codes of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCase {
    /// `k1` and `K1` are two codes: a text of PostgreSQL, such as Odoo's `ref`.
    Exact,
    /// `k1` and `K1` are one code: a `Code` of Business Central, which keeps it in upper case (erp-apis §1.2).
    Ignored,
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

/// `ERP_CODES`: which of the codes that Norce has are the ERP's. Norce can generate codes, and people can make them up in
/// its Admin (norce-api §5.2): such a code leads to no record, and gives way to the ERP's when there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ErpCodes {
    /// Every code: one that the ERP does not have is a mistake, which a person corrects.
    #[default]
    All,
    /// Those that the ERP has; any other counts as none.
    Known,
    /// Those of one of these forms, in which `*` stands for any text and `#` for a digit; any other counts as none.
    Forms(Vec<String>),
}

impl ErpCodes {
    /// Whether a code has the form of the ERP's. With [`Self::Known`] only the ERP can tell, and every code may be.
    pub fn may_be(&self, code: &Code) -> bool {
        match self {
            Self::All | Self::Known => true,
            Self::Forms(forms) => {
                let code: Vec<char> = code.as_str().to_uppercase().chars().collect();
                forms.iter().any(|form| {
                    let form: Vec<char> = form.to_uppercase().chars().collect();
                    has_form(&code, &form)
                })
            }
        }
    }
}

fn has_form(code: &[char], form: &[char]) -> bool {
    match (code, form) {
        ([], []) => true,
        (_, ['*', form @ ..]) => {
            (0..=code.len()).any(|from| code.get(from..).is_some_and(|code| has_form(code, form)))
        }
        ([digit, code @ ..], ['#', form @ ..]) => digit.is_ascii_digit() && has_form(code, form),
        ([one, code @ ..], [other, form @ ..]) => one == other && has_form(code, form),
        _ => false,
    }
}

/// A text is no value of `ERP_CODES`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is neither `all` nor `known` nor a list of forms such as `K*` or `1#####`, in which `*` stands for any text and `#` for a digit"
)]
pub struct InvalidErpCodes(String);

impl FromStr for ErpCodes {
    type Err = InvalidErpCodes;

    fn from_str(text: &str) -> Result<Self, InvalidErpCodes> {
        let invalid = || InvalidErpCodes(text.to_owned());
        match text.trim() {
            "all" => Ok(Self::All),
            "known" => Ok(Self::Known),
            forms => {
                let forms: Vec<String> = forms.split(',').map(|it| it.trim().to_owned()).collect();
                // Two stars in a row mean what one does, and would be tried once for each place.
                let is_form = |form: &String| {
                    !form.is_empty()
                        && form.chars().count() <= Code::MAX_CHARS
                        && form.matches('*').count() <= 2
                        && !form.contains("**")
                };
                forms
                    .iter()
                    .all(is_form)
                    .then_some(Self::Forms(forms))
                    .ok_or_else(invalid)
            }
        }
    }
}

/// The code that is asked for at creation where the ERP lets the client choose, such as `N{id}` or `{kind}{id}`.
///
/// With a pattern a create is idempotent by itself: a second one is refused by the ERP as a duplicate. `{id}` is
/// Norce's id. Norce counts customers and companies apart, so that both can have an id 5; where the ERP keeps them in
/// one list, `{kind}` tells them apart: `P` for a person, `C` for a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePattern(String);

/// A text cannot be a code pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a code pattern: it holds `{{id}}` once and `{{kind}}` at most once, as in `N{{id}}` or `{{kind}}{{id}}`, and gives a code of at most 20 characters"
)]
pub struct InvalidCodePattern(String);

impl CodePattern {
    const ID: &str = "{id}";
    const KIND: &str = "{kind}";
    /// Business Central's "No." is a Code\[20\] (erp-apis §1.2), the shortest of the supported ERPs.
    const MAX_CHARS: usize = 20;

    /// The code for an entity.
    ///
    /// # Errors
    /// None for a pattern that was accepted: the longest id fits.
    pub fn code(&self, kind: EntityKind, id: NorceId) -> Result<Code, InvalidCode> {
        self.fill(kind, &id.to_string()).parse()
    }

    fn fill(&self, kind: EntityKind, id: &str) -> String {
        let letter = match kind {
            EntityKind::Customer => "P",
            EntityKind::Company => "C",
        };
        self.0.replace(Self::KIND, letter).replace(Self::ID, id)
    }
}

impl FromStr for CodePattern {
    type Err = InvalidCodePattern;

    fn from_str(text: &str) -> Result<Self, InvalidCodePattern> {
        let text = text.trim();
        let pattern = Self(text.to_owned());
        let longest = pattern.fill(EntityKind::Customer, &i32::MAX.to_string());
        let is_right = text.matches(Self::ID).count() == 1
            && text.matches(Self::KIND).count() <= 1
            && !longest.contains(['{', '}'])
            && !longest.chars().any(char::is_control)
            && longest.chars().count() <= Self::MAX_CHARS;
        if is_right {
            Ok(pattern)
        } else {
            Err(InvalidCodePattern(text.to_owned()))
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
    fn codes_of_the_erp_are_all_known_or_of_a_form() {
        let of = |text: &str, code: &str| {
            text.parse::<ErpCodes>()
                .unwrap()
                .may_be(&code.parse().unwrap())
        };
        for (text, code, expected) in [
            ("all", "anything", true),
            ("known", "anything", true),
            ("K*", "k1001", true),
            ("K*", "1001K", false),
            ("*", "x", true),
            ("1#####", "123456", true),
            ("1#####", "1234567", false),
            ("1#####", "12345x", false),
            ("K*,C-#*", "C-7x", true),
            ("K*,C-#*", "C-x", false),
            ("all*", "ALL1", true),
        ] {
            assert_eq!(of(text, code), expected, "{text} {code}");
        }
        for text in ["", ",", "K*,", "**", "*a*b*", &"x".repeat(51)] {
            assert!(text.parse::<ErpCodes>().is_err(), "{text}");
        }
    }

    #[test]
    fn codes_are_compared_as_the_erp_compares_them() {
        let code = |text: &str| text.parse::<Code>().unwrap();
        assert!(code("k1001").is(&code("K1001"), CodeCase::Ignored));
        assert!(code("å1").is(&code("Å1"), CodeCase::Ignored));
        assert!(!code("k1001").is(&code("K1001"), CodeCase::Exact));
        assert!(!code("k1001").is(&code("K1002"), CodeCase::Ignored));
    }

    #[test]
    fn a_pattern_names_the_id_exactly_once() {
        let code = |pattern: &str, kind| {
            let pattern: CodePattern = pattern.parse().unwrap();
            pattern
                .code(kind, NorceId::try_from(123).unwrap())
                .unwrap()
                .as_str()
                .to_owned()
        };
        assert_eq!(code("N{id}", EntityKind::Customer), "N123");
        assert_eq!(code("{kind}-{id}", EntityKind::Customer), "P-123");
        assert_eq!(code("{kind}-{id}", EntityKind::Company), "C-123");
        for nonsense in [
            "",
            "N",
            "{kind}",
            "{id}{id}",
            "N{ID}",
            "{kind}{kind}{id}",
            "TOO-LONG-PREFIX{id}",
        ] {
            assert!(nonsense.parse::<CodePattern>().is_err(), "{nonsense}");
        }
    }
}
