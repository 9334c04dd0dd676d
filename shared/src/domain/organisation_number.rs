use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CountryCode, Personal};

/// An organisation number as it is compared: digits only, as in Norce's `NormalizedOrganizationNo` (norce-api §3.4).
///
/// A sole trader's is a personal number (erp-apis §5), so that every one is treated as personal data. Numbers with a
/// wrong check digit exist in old registers: they are carried across, but [`OrganisationNumber::is_valid`] is false
/// and no VAT number is derived from them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrganisationNumber(String);

impl OrganisationNumber {
    /// The digits of a text; `None` when there are none.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(Self(digits))
    }

    /// The digits, possibly personal data. Call this only to build a request or a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The ten digits of a Swedish number, without the century `16` of the twelve-digit form.
    fn swedish(&self) -> &str {
        match self.0.strip_prefix("16") {
            Some(short) if self.0.len() == 12 => short,
            _ => &self.0,
        }
    }

    /// Whether the number is one of this country: its length and its check digit are right.
    pub fn is_valid(&self, country: CountryCode) -> bool {
        match country {
            CountryCode::SE => self.swedish().len() == 10 && luhn(self.swedish()),
            CountryCode::NO => self.0.len() == 9 && weighted(&self.0, &[3, 2, 7, 6, 5, 4, 3, 2, 1]),
            CountryCode::DK => {
                self.0.len() == 8
                    && !self.0.starts_with('0')
                    && weighted(&self.0, &[2, 7, 6, 5, 4, 3, 2, 1])
            }
            CountryCode::FI => self.0.len() == 8 && weighted(&self.0, &[7, 9, 10, 5, 8, 4, 2, 1]),
            _ => false,
        }
    }

    /// The VAT number that follows from a valid organisation number of a Nordic country.
    pub fn vat_number(&self, country: CountryCode) -> Option<VatNumber> {
        if !self.is_valid(country) {
            return None;
        }
        let text = match country {
            CountryCode::SE => format!("SE{}01", self.swedish()),
            CountryCode::NO => format!("NO{}MVA", self.0),
            CountryCode::DK => format!("DK{}", self.0),
            CountryCode::FI => format!("FI{}", self.0),
            _ => return None,
        };
        Some(VatNumber(text))
    }
}

impl fmt::Debug for OrganisationNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[organisation number]")
    }
}

/// A VAT number as it is compared: letters in upper case and digits, no separators. Possibly personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VatNumber(String);

impl VatNumber {
    /// The letters and digits of a text; `None` when there are none.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        (!text.is_empty()).then_some(Self(text))
    }

    /// The number. Call this only to build a request or a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The organisation number that a Nordic VAT number holds, if its check digit is right.
    pub fn organisation_number(&self) -> Option<OrganisationNumber> {
        let (country, number) = self.0.split_at_checked(2)?;
        let country: CountryCode = country.parse().ok()?;
        let number = match country {
            CountryCode::SE => number.strip_suffix("01")?,
            CountryCode::NO => number.strip_suffix("MVA")?,
            _ => number,
        };
        OrganisationNumber::parse(number).filter(|number| number.is_valid(country))
    }

    /// As text about a person, which it may be.
    pub fn to_personal(&self) -> Option<Personal> {
        Personal::parse(&self.0)
    }
}

impl fmt::Debug for VatNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[VAT number]")
    }
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + '_ {
    text.chars().filter_map(|c| c.to_digit(10))
}

/// The Luhn sum over all digits, the check digit included (SE).
fn luhn(text: &str) -> bool {
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            if place % 2 == 0 {
                digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The weighted sum over all digits, the check digit with weight 1, is a multiple of 11 (NO, DK, FI).
fn weighted(text: &str, weights: &[u32]) -> bool {
    digits(text)
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum::<u32>()
        .is_multiple_of(11)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(number: &str, country: CountryCode) -> bool {
        OrganisationNumber::parse(number).unwrap().is_valid(country)
    }

    /// The samples of erp-apis §5.
    #[test]
    fn check_digits_of_the_nordic_countries_hold() {
        for (country, right, wrong) in [
            (CountryCode::SE, "556036-0793", "556036-0794"),
            (CountryCode::NO, "923609016", "923609017"),
            (CountryCode::DK, "13748136", "13748137"),
            (CountryCode::FI, "2077474-0", "2077474-1"),
        ] {
            assert!(valid(right, country), "{right}");
            assert!(!valid(wrong, country), "{wrong}");
        }
        assert!(valid("16556036-0793", CountryCode::SE));
        assert!(!valid("556036-0793", CountryCode::NO));
    }

    #[test]
    fn a_vat_number_follows_from_a_valid_number_only() {
        let vat = |number: &str, country| {
            OrganisationNumber::parse(number)
                .unwrap()
                .vat_number(country)
                .map(|vat| vat.expose().to_owned())
        };
        assert_eq!(
            vat("556036-0793", CountryCode::SE).as_deref(),
            Some("SE556036079301")
        );
        assert_eq!(
            vat("923 609 016", CountryCode::NO).as_deref(),
            Some("NO923609016MVA")
        );
        assert_eq!(
            vat("13748136", CountryCode::DK).as_deref(),
            Some("DK13748136")
        );
        assert_eq!(
            vat("2077474-0", CountryCode::FI).as_deref(),
            Some("FI20774740")
        );
        assert_eq!(vat("556036-0794", CountryCode::SE), None);
    }

    #[test]
    fn separators_and_case_do_not_matter_in_a_vat_number() {
        assert_eq!(
            VatNumber::parse("se 556036-0793 01"),
            VatNumber::parse("SE556036079301")
        );
        assert_eq!(VatNumber::parse(" -"), None);
    }
}
