use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{NorceAddress, OrganisationNumber, Personal, VatNumber};

/// Fields that belong together and have one owner, Norce or the ERP: what the ERP owns is never sent from Norce to
/// the ERP, and the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum FieldGroup {
    /// `Code`.
    Code = 1,
    /// First, middle and last name of a customer, the name of a company.
    Names = 1 << 1,
    /// E-mail address and telephone numbers.
    ContactDetails = 1 << 2,
    /// The invoice address.
    InvoiceAddress = 1 << 3,
    /// The delivery addresses.
    DeliveryAddresses = 1 << 4,
    /// Which price lists apply.
    PriceLists = 1 << 5,
    /// Whether the customer or company is active.
    Active = 1 << 6,
    /// Flags: a yes or no that the merchant gives a meaning.
    Flags = 1 << 7,
    /// Additional info: a text that the merchant gives a meaning.
    AdditionalInfo = 1 << 8,
    /// Which customers belong to which companies.
    CompanyRelations = 1 << 9,
    /// Organisation number of a company.
    OrganisationNumber = 1 << 10,
    /// VAT number of a company.
    VatNumber = 1 << 11,
}

impl FieldGroup {
    /// All groups.
    pub const ALL: [Self; 12] = [
        Self::Code,
        Self::Names,
        Self::ContactDetails,
        Self::InvoiceAddress,
        Self::DeliveryAddresses,
        Self::PriceLists,
        Self::Active,
        Self::Flags,
        Self::AdditionalInfo,
        Self::CompanyRelations,
        Self::OrganisationNumber,
        Self::VatNumber,
    ];

    /// The word for configuration, messages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Names => "names",
            Self::ContactDetails => "contact-details",
            Self::InvoiceAddress => "invoice-address",
            Self::DeliveryAddresses => "delivery-addresses",
            Self::PriceLists => "price-lists",
            Self::Active => "active",
            Self::Flags => "flags",
            Self::AdditionalInfo => "additional-info",
            Self::CompanyRelations => "company-relations",
            Self::OrganisationNumber => "organisation-number",
            Self::VatNumber => "vat-number",
        }
    }
}

impl FromStr for FieldGroup {
    type Err = InvalidFieldGroup;

    fn from_str(text: &str) -> Result<Self, InvalidFieldGroup> {
        Self::ALL
            .into_iter()
            .find(|group| group.as_str() == text)
            .ok_or_else(|| InvalidFieldGroup(text.to_owned()))
    }
}

impl fmt::Display for FieldGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of field groups, written as `code,price-lists,active`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldGroups(u16);

/// A text is no set of field groups.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not one of: code, names, contact-details, invoice-address, delivery-addresses, price-lists, active, flags, additional-info, company-relations, organisation-number, vat-number"
)]
pub struct InvalidFieldGroup(String);

impl FieldGroups {
    /// No group.
    pub const NONE: Self = Self(0);
    /// The code alone: the bare minimum of an import.
    pub const CODE: Self = Self::of(&[FieldGroup::Code]);
    /// What the ERP owns unless configured otherwise. [`FieldGroup::Active`] is not among them: Norce removes the data of
    /// a customer that stays inactive (norce-api §9), and an ERP blocks customers for less.
    pub const ERP_OWNS_BY_DEFAULT: Self = Self::of(&[FieldGroup::Code, FieldGroup::PriceLists]);

    /// The set of these groups.
    pub const fn of(groups: &[FieldGroup]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < groups.len() {
            bits |= groups[index] as u16;
            index += 1;
        }
        Self(bits)
    }

    /// Whether a group is in the set.
    pub const fn has(self, group: FieldGroup) -> bool {
        self.0 & group as u16 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The groups of either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The groups of this set that are not in the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The groups of the set.
    pub fn iter(self) -> impl Iterator<Item = FieldGroup> {
        FieldGroup::ALL
            .into_iter()
            .filter(move |group| self.has(*group))
    }
}

impl fmt::Display for FieldGroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            formatter.write_str(group.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldGroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{self}}}")
    }
}

impl FromStr for FieldGroups {
    type Err = InvalidFieldGroup;

    fn from_str(text: &str) -> Result<Self, InvalidFieldGroup> {
        text.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .try_fold(Self::NONE, |groups, word| {
                Ok(groups.union(Self::of(&[word.parse()?])))
            })
    }
}

impl Serialize for FieldGroups {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldGroups {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The name of a customer or company in the parts that Norce has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// A customer. The middle name goes with the first: one text of the ERP does not tell them apart.
    Customer {
        /// Everything before the last word, if there is more than one.
        first: Option<Personal>,
        /// The last name: the last word.
        last: Personal,
    },
    /// A company.
    Company(Personal),
}

/// What an import can set besides the code: the values of the ERP in Norce's terms. Which of them are sent is for the
/// [`FieldGroups`] of the line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NorceFields {
    /// [`FieldGroup::Names`].
    pub names: Option<Names>,
    /// [`FieldGroup::ContactDetails`].
    pub email: Option<Personal>,
    /// [`FieldGroup::ContactDetails`].
    pub phone: Option<Personal>,
    /// [`FieldGroup::ContactDetails`]; of customers only.
    pub mobile: Option<Personal>,
    /// [`FieldGroup::InvoiceAddress`].
    pub invoice_address: NorceAddress,
    /// [`FieldGroup::DeliveryAddresses`].
    pub delivery_addresses: Vec<NorceAddress>,
    /// [`FieldGroup::PriceLists`]: codes of price lists in Norce.
    pub price_lists: Vec<String>,
    /// [`FieldGroup::Active`].
    pub active: bool,
    /// [`FieldGroup::Flags`]: code in Norce, and whether it is set.
    pub flags: Vec<(String, bool)>,
    /// [`FieldGroup::AdditionalInfo`]: code in Norce, and the text; `None`: empty in the ERP.
    pub additional_info: Vec<(String, Option<Personal>)>,
    /// [`FieldGroup::OrganisationNumber`], and of a company that is inserted.
    pub organisation_number: Option<OrganisationNumber>,
    /// [`FieldGroup::VatNumber`], and of a company that is inserted.
    pub vat_number: Option<VatNumber>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_survive_a_round_trip_and_refuse_nonsense() {
        let all: FieldGroups = FieldGroups::of(&FieldGroup::ALL);
        assert_eq!(all.to_string().parse::<FieldGroups>().unwrap(), all);
        assert_eq!(
            FieldGroups::ERP_OWNS_BY_DEFAULT.to_string(),
            "code,price-lists"
        );
        assert_eq!(
            " active , code "
                .parse::<FieldGroups>()
                .unwrap()
                .to_string(),
            "code,active"
        );
        assert_eq!("".parse::<FieldGroups>().unwrap(), FieldGroups::NONE);
        let error = "code,prices".parse::<FieldGroups>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`prices` is not one of: code, names")
        );
    }
}
