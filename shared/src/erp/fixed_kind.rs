//! Fixed values in the terms of the port.

use super::{ErpError, FixedKind, PartyKind, UnknownValue};

impl From<&PartyKind> for FixedKind {
    fn from(kind: &PartyKind) -> Self {
        match kind {
            PartyKind::Person => Self::Persons,
            PartyKind::Company => Self::Companies,
            PartyKind::Contact { .. } => Self::Contacts,
        }
    }
}

impl From<UnknownValue> for ErpError {
    fn from(unknown: UnknownValue) -> Self {
        Self::Refused {
            field: None,
            code: "unknown-fixed-value".to_owned(),
            message: unknown.to_string(),
        }
    }
}
