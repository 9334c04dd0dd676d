use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::PartyField;

/// A field that the shop can have a value for, and lose it again. The parts of the invoice address are fields of their own;
/// its country is not among them, because an ERP needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShopField {
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
    /// "c/o", street and second line of the invoice address, as one value.
    AddressLines,
    /// Postal code of the invoice address.
    PostalCode,
    /// Town of the invoice address.
    City,
    /// State or county of the invoice address.
    Region,
    /// Global Location Number of the invoice address.
    Gln,
}

/// A set of fields.
pub type ShopFields = BTreeSet<ShopField>;

impl ShopField {
    /// All fields.
    pub const ALL: [Self; 11] = [
        Self::Email,
        Self::Phone,
        Self::Mobile,
        Self::Title,
        Self::OrganisationNumber,
        Self::VatNumber,
        Self::AddressLines,
        Self::PostalCode,
        Self::City,
        Self::Region,
        Self::Gln,
    ];

    /// What it is, or what it is a part of.
    pub const fn party_field(self) -> PartyField {
        match self {
            Self::Email => PartyField::Email,
            Self::Phone => PartyField::Phone,
            Self::Mobile => PartyField::Mobile,
            Self::Title => PartyField::Title,
            Self::OrganisationNumber => PartyField::OrganisationNumber,
            Self::VatNumber => PartyField::VatNumber,
            Self::AddressLines | Self::PostalCode | Self::City | Self::Region | Self::Gln => {
                PartyField::Address
            }
        }
    }
}

/// `KEPT_WHEN_EMPTIED`: fields that the ERP keeps when the shop empties them, because the ERP needs a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptWhenEmptied(BTreeSet<PartyField>);

impl KeptWhenEmptied {
    /// Nothing is kept.
    pub const fn nothing() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether the ERP keeps this field.
    pub fn keeps(&self, field: ShopField) -> bool {
        self.0.contains(&field.party_field())
    }
}

impl Default for KeptWhenEmptied {
    /// The numbers of an organisation: it does not lose them, and tax depends on them.
    fn default() -> Self {
        Self([PartyField::OrganisationNumber, PartyField::VatNumber].into())
    }
}

impl FromStr for KeptWhenEmptied {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: BTreeSet<PartyField> = ShopField::ALL.map(ShopField::party_field).into();
        let words = text.split(',').map(str::trim);
        let words = words.filter(|word| !word.is_empty() && *word != "nothing");
        let kept = words.map(|word| {
            let field = fields.iter().find(|field| field.to_string() == word);
            field.copied().ok_or_else(|| {
                let words: Vec<String> = fields.iter().map(PartyField::to_string).collect();
                format!("it is `nothing` or a list of: {}", words.join(", "))
            })
        });
        Ok(Self(kept.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for ShopField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.party_field().fmt(formatter)
    }
}
