use std::fmt;

use serde::{Deserialize, Serialize};

use super::EntityKind;

/// Where a record lives in the ERP. A Norce customer is a customer there or, when it belongs to a company, a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// A debtor: a person or an organisation.
    Customer,
    /// A person at an organisation.
    Contact,
}

impl Resource {
    /// The word for keys, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Contact => "contact",
        }
    }

    /// Where the ERP record of such an entity can live.
    pub const fn of(kind: EntityKind) -> &'static [Self] {
        match kind {
            EntityKind::Customer => &[Self::Customer, Self::Contact],
            EntityKind::Company => &[Self::Customer],
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The ERP's own, immutable id of a record. Codes get renamed; this does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ErpId {
    /// Customer or contact.
    pub resource: Resource,
    /// The id as the ERP writes it.
    pub id: String,
}

impl fmt::Display for ErpId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.resource, self.id)
    }
}
