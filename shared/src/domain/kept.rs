use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Fingerprint, PartyTypes};

/// A field of a person, a company or a contact, as far as the ERP may hold another value than the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyField {
    /// Its name.
    Name,
    /// E-mail address.
    Email,
    /// Telephone.
    Phone,
    /// Mobile telephone.
    Mobile,
    /// Title or role.
    Title,
    /// Organisation number.
    OrganisationNumber,
    /// VAT number.
    VatNumber,
    /// The invoice address as one value.
    Address,
    /// All delivery addresses as one value.
    DeliveryAddresses,
}

impl fmt::Display for PartyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Mobile => "mobile",
            Self::Title => "title",
            Self::OrganisationNumber => "organisation_number",
            Self::VatNumber => "vat_number",
            Self::Address => "address",
            Self::DeliveryAddresses => "delivery_addresses",
        })
    }
}

/// The fields that an update leaves as the ERP has them, with a keyed hash of the value that the shop had when the entity
/// was bound: as long as the shop has that value, the ERP keeps its own.
pub type KeptFields = BTreeMap<PartyField, Fingerprint>;

/// `FIRST_BINDING_WRITES`: the types of parties whose first binding to an existing ERP record writes the shop's values over
/// the ERP's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FirstBindingWrites(pub PartyTypes);

impl FromStr for FirstBindingWrites {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        PartyTypes::parse(words).map(Self).ok_or_else(|| {
            "it is a list of `persons`, `companies` and `contacts`, or empty".to_owned()
        })
    }
}
