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

/// A postal address. Absent parts are `None`, never empty texts. Hashes of it are stored, so that it gets no further parts:
/// what Norce keeps with an address besides is in [`AddressDetails`].
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

    /// Whether it is the same address, whichever lines the parts stand in: an ERP has no field for "c/o" or a region.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let lines = |address: &Self| {
            let lines = [&address.care_of, &address.line1, &address.line2];
            let lines = lines.into_iter().flatten().map(Personal::expose);
            lines.collect::<Vec<_>>().join(", ").to_lowercase()
        };
        let place = |address: &Self| {
            let place = [&address.postal_code, &address.city];
            place.map(|part| part.as_ref().map(|part| part.expose().to_lowercase()))
        };
        lines(self) == lines(other) && place(self) == place(other) && self.country == other.country
    }
}

/// What Norce keeps with an address besides its postal parts (norce-api §3.5). By itself it is no address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressDetails {
    /// Global Location Number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<Personal>,
    /// `ShippingPhoneNumber`: telephone of whoever receives the goods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<Personal>,
    /// Id of the address that is none of Norce's own, such as the ERP's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Personal>,
    /// Whether it is the first choice among the addresses of its type. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
}

impl AddressDetails {
    /// Whether nothing at all is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an ERP says of a detail of an address, for which not every ERP has a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ErpDetail {
    /// It has no field for it, or none that was read.
    #[default]
    NoField,
    /// What the field holds.
    Field(Option<Personal>),
}

impl ErpDetail {
    /// The value, if there is one.
    pub const fn value(&self) -> Option<&Personal> {
        match self {
            Self::NoField => None,
            Self::Field(value) => value.as_ref(),
        }
    }

    /// What Norce is to have, which has `norces` now: that stays where the ERP has no field.
    fn over(&self, norces: Option<&Personal>) -> Option<Personal> {
        match self {
            Self::NoField => norces.cloned(),
            Self::Field(value) => value.clone(),
        }
    }
}

/// A delivery address of an ERP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErpDelivery {
    /// The ERP's id of it.
    pub id: String,
    /// The postal parts.
    pub address: Address,
    /// Its GLN.
    pub gln: ErpDetail,
    /// Telephone of whoever receives the goods.
    pub phone: ErpDetail,
}

/// An address of a customer or company in Norce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NorceAddress {
    /// The postal parts.
    pub address: Address,
    /// The details beside the postal address.
    pub details: AddressDetails,
}

/// The addresses that a customer or company has in Norce, each of the type that it has there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NorceAddresses {
    /// The invoice address, if there is one.
    pub invoice: Option<NorceAddress>,
    /// The delivery addresses, the oldest first.
    pub deliveries: Vec<NorceAddress>,
}

impl NorceAddresses {
    /// The invoice address of the ERP with the details that Norce has: an import that leaves one out empties it (norce-api
    /// §3.3).
    pub fn invoice_over(&self, address: Option<&Address>, gln: &ErpDetail) -> NorceAddress {
        let norces = self.invoice.as_ref().map(|invoice| &invoice.details);
        let details = norces.cloned().unwrap_or_default();
        NorceAddress {
            address: address.cloned().unwrap_or_default(),
            details: AddressDetails {
                gln: gln.over(details.gln.as_ref()),
                ..details
            },
        }
    }

    /// The delivery addresses of the ERP, each with the details of the same address in Norce: the one that has the ERP's id
    /// as its code, else one at the same place. The ERP's id becomes the code where there is none, so that the address is
    /// known again when it changes.
    pub fn deliveries_over(&self, deliveries: &[ErpDelivery]) -> Vec<NorceAddress> {
        let mut norces: Vec<Option<&NorceAddress>> = self.deliveries.iter().map(Some).collect();
        let mut take = |is: &dyn Fn(&NorceAddress) -> bool| {
            let found = norces.iter_mut().find(|it| it.is_some_and(is));
            found.and_then(Option::take)
        };
        let has_code = |norces: &NorceAddress, delivery: &ErpDelivery| {
            let code = norces.details.code.as_ref();
            code.is_some_and(|code| code.expose() == delivery.id)
        };
        // All codes before any place: two addresses may be at one.
        let by_code: Vec<_> = deliveries
            .iter()
            .map(|delivery| take(&|norces| has_code(norces, delivery)))
            .collect();
        deliveries
            .iter()
            .zip(by_code)
            .map(|(delivery, by_code)| {
                let same = by_code
                    .or_else(|| take(&|norces| norces.address.is_same_place(&delivery.address)));
                let details = same.map(|same| same.details.clone()).unwrap_or_default();
                NorceAddress {
                    address: delivery.address.clone(),
                    details: AddressDetails {
                        gln: delivery.gln.over(details.gln.as_ref()),
                        phone: delivery.phone.over(details.phone.as_ref()),
                        code: details.code.or_else(|| Personal::parse(&delivery.id)),
                        primary: details.primary,
                    },
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_is_known_whichever_lines_its_parts_stand_in() {
        let address = |parts: [&str; 6], country| {
            let [care_of, line1, line2, postal_code, city, region] = parts.map(Personal::parse);
            Address {
                care_of,
                line1,
                line2,
                postal_code,
                city,
                region,
                country,
            }
        };
        let se = Some(CountryCode::SE);
        let norces = ["c/o Ek", "Storgatan 1", "Lgh 2", "114 55", "Stockholm", ""];
        let norces = address(norces, se);
        for same in [
            [
                "",
                "c/o Ek",
                "Storgatan 1, Lgh 2",
                "114 55",
                "Stockholm",
                "",
            ],
            [
                "",
                "C/O EK, Storgatan 1",
                "lgh 2",
                "114 55",
                "STOCKHOLM",
                "AB",
            ],
        ] {
            assert!(norces.is_same_place(&address(same, se)), "{same:?}");
        }
        for other in [
            [
                "",
                "c/o Ek",
                "Storgatan 2, Lgh 2",
                "114 55",
                "Stockholm",
                "",
            ],
            [
                "",
                "c/o Ek",
                "Storgatan 1, Lgh 2",
                "114 56",
                "Stockholm",
                "",
            ],
            ["", "c/o Ek", "Storgatan 1, Lgh 2", "114 55", "", ""],
        ] {
            assert!(!norces.is_same_place(&address(other, se)), "{other:?}");
        }
        let abroad = Address {
            country: Some(CountryCode::NO),
            ..norces.clone()
        };
        assert!(!norces.is_same_place(&abroad));
    }

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
