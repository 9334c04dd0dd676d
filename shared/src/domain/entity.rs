use std::{fmt, num::NonZeroI32, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A customer is a person (also a contact of companies), a company is an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityKind {
    /// A person.
    Customer,
    /// An organisation.
    Company,
}

impl EntityKind {
    /// The word that stands for the kind in keys, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Company => "company",
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An id was not a positive 32-bit number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is not an id: ids are whole numbers from 1 to 2147483647")]
pub struct InvalidId(pub i64);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(NonZeroI32);

        impl $name {
            /// The number.
            pub const fn get(self) -> i32 {
                self.0.get()
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(value: i64) -> Result<Self, InvalidId> {
                i32::try_from(value)
                    .ok()
                    .filter(|id| *id > 0)
                    .and_then(NonZeroI32::new)
                    .map(Self)
                    .ok_or(InvalidId(value))
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.get().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.get().fmt(formatter)
            }
        }
    };
}

id! {
    /// Norce's internal id of a customer or a company (`Id` in Query, an int32). Used only to match back.
    NorceId
}

id! {
    /// Norce's id of an application (a shop).
    ApplicationId
}

/// The register that an entity belongs to: the whole client's, or one application's where Norce's client setting
/// "Customers by application" is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One register shared by all applications: everybody, or in application-unique set-ups those without an application.
    Client,
    /// A register of this application only (P14).
    Application(ApplicationId),
}

impl Scope {
    /// The application, where the register belongs to one.
    pub const fn application(self) -> Option<ApplicationId> {
        match self {
            Self::Client => None,
            Self::Application(application) => Some(application),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => formatter.write_str("client"),
            Self::Application(application) => write!(formatter, "app-{application}"),
        }
    }
}

/// A text was not a scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a scope: expected `client` or `app-<application id>`")]
pub struct InvalidScope(String);

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let invalid = || InvalidScope(text.to_owned());
        match text.strip_prefix("app-") {
            None if text == "client" => Ok(Self::Client),
            None => Err(invalid()),
            Some(id) => id
                .parse::<i64>()
                .ok()
                .and_then(|id| ApplicationId::try_from(id).ok())
                .map(Self::Application)
                .ok_or_else(invalid),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One customer or company of Norce, the way every part of the product names it: `customer/client/123`.
/// It carries no personal data and may stand in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityRef {
    /// Customer or company.
    pub kind: EntityKind,
    /// The register that it belongs to.
    pub scope: Scope,
    /// Norce's id.
    pub id: NorceId,
}

impl EntityRef {
    /// A customer.
    pub const fn customer(scope: Scope, id: NorceId) -> Self {
        Self {
            kind: EntityKind::Customer,
            scope,
            id,
        }
    }

    /// A company.
    pub const fn company(scope: Scope, id: NorceId) -> Self {
        Self {
            kind: EntityKind::Company,
            scope,
            id,
        }
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.kind, self.scope, self.id)
    }
}

/// A text was not the name of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it is no entity: expected `customer/client/<id>`, or `company/app-<application id>/<id>`")]
pub struct InvalidEntity;

impl FromStr for EntityRef {
    type Err = InvalidEntity;

    /// The form in which logs and owed records name an entity.
    fn from_str(text: &str) -> Result<Self, InvalidEntity> {
        let mut parts = text.split('/');
        let (Some(kind), Some(scope), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidEntity);
        };
        let kind = [EntityKind::Customer, EntityKind::Company]
            .into_iter()
            .find(|known| known.as_str() == kind);
        let id = id
            .parse::<i64>()
            .ok()
            .and_then(|id| NorceId::try_from(id).ok());
        Ok(Self {
            kind: kind.ok_or(InvalidEntity)?,
            scope: scope.parse().map_err(|_| InvalidEntity)?,
            id: id.ok_or(InvalidEntity)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive() {
        assert!(NorceId::try_from(0).is_err());
        assert!(NorceId::try_from(-4).is_err());
        assert!(NorceId::try_from(i64::from(i32::MAX) + 1).is_err());
        assert_eq!(NorceId::try_from(7).unwrap().get(), 7);
    }

    #[test]
    fn an_entity_is_read_as_it_is_written_and_nonsense_is_not() {
        for text in ["customer/client/123", "company/app-2/7"] {
            assert_eq!(text.parse::<EntityRef>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "customer/123",
            "person/client/1",
            "customer/client/0",
            "customer/client/1/2",
        ] {
            assert!(text.parse::<EntityRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn scopes_survive_a_round_trip_and_refuse_nonsense() {
        for text in ["client", "app-12"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for text in ["", "app-", "app-0", "app--1", "12", "Client"] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }
}
