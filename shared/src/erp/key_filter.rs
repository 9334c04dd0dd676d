//! What a filter on a key does in an ERP.

use std::fmt;

/// A field with natural keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyField {
    /// E-mail address.
    Email,
    /// VAT number.
    VatNumber,
}

impl KeyField {
    /// All fields.
    pub const ALL: [Self; 2] = [Self::Email, Self::VatNumber];
}

impl fmt::Display for KeyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Email => "e-mail address",
            Self::VatNumber => "VAT number",
        })
    }
}

/// The observed effect of a filter on a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterProof {
    /// It returns the records that have the value, and no others.
    Filters,
    /// The ERP refuses the filter.
    Refused,
    /// It returns records that do not have the value.
    Ignored,
    /// It does not return a record that has the value.
    MatchesNothing,
    /// No record has a value to try it with.
    Unknown,
}

impl FilterProof {
    /// The effect as the rest of a sentence: "Business Central refuses a filter on it".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Filters => "filters by it",
            Self::Refused => "refuses a filter on it",
            Self::Ignored => "ignores a filter on it",
            Self::MatchesNothing => "finds nothing by a filter on it",
            Self::Unknown => "has shown no record with one by which its filter could be tried",
        }
    }
}
