use std::fmt;

use serde::{Serialize, Serializer};

use super::{
    OrganisationNumber, VatNumber,
    organisation_number::{around, is_digits, national},
    placeholder::is_filler,
};
use crate::domain::CountryCode;

/// The prefixes of VAT numbers (Directive 2006/112/EC, article 215; Norway and the United Kingdom alike), each with its
/// country: Greece writes EL, Northern Ireland XI.
const VAT_PREFIXES: [(&str, &str); 31] = [
    ("AT", "AT"),
    ("BE", "BE"),
    ("BG", "BG"),
    ("CH", "CH"),
    ("CY", "CY"),
    ("CZ", "CZ"),
    ("DE", "DE"),
    ("DK", "DK"),
    ("EE", "EE"),
    ("EL", "GR"),
    ("ES", "ES"),
    ("FI", "FI"),
    ("FR", "FR"),
    ("GB", "GB"),
    ("HR", "HR"),
    ("HU", "HU"),
    ("IE", "IE"),
    ("IT", "IT"),
    ("LT", "LT"),
    ("LU", "LU"),
    ("LV", "LV"),
    ("MT", "MT"),
    ("NL", "NL"),
    ("NO", "NO"),
    ("PL", "PL"),
    ("PT", "PT"),
    ("RO", "RO"),
    ("SE", "SE"),
    ("SI", "SI"),
    ("SK", "SK"),
    ("XI", "GB"),
];
/// Letters and digits of a number: the minimum is that of organisation registers, the maximum that of VAT numbers
/// (erp-apis §5; the longest are the twelve of Sweden and of the Netherlands).
const LENGTH: std::ops::RangeInclusive<usize> = 5..=14;
/// A text with fewer digits is not a register's number.
const MIN_DIGITS: usize = 4;

/// An organisation's number in its country's register. The same digits in another country are another organisation.
///
/// A Nordic VAT number contains the organisation number, so both give one key. In other countries VAT numbers have their
/// own register, and both numbers are keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganisationKey {
    country: CountryCode,
    number: String,
}

impl OrganisationKey {
    /// The keys of an organisation number and a VAT number, in this order. `country` is that of the organisation's
    /// address; a number's own prefix takes precedence.
    pub fn all(
        number: Option<&OrganisationNumber>,
        vat_number: Option<&VatNumber>,
        country: Option<CountryCode>,
    ) -> Vec<Self> {
        let of_number = number.and_then(|number| number.key(country));
        let of_vat = vat_number.and_then(|number| number.key(country));
        let mut keys: Vec<Self> = of_number.into_iter().chain(of_vat).collect();
        keys.dedup();
        keys
    }

    /// The key of a number in letters and digits; `None` if it is not plausible, or its country is unknown.
    fn of_text(text: &str, country: Option<CountryCode>) -> Option<Self> {
        let lettered = VAT_PREFIXES.iter().find_map(|(prefix, country)| {
            let rest = text.strip_prefix(prefix)?;
            let has_digits = rest.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS;
            has_digits.then_some((country, rest))
        });
        if let Some((country, rest)) = lettered {
            return Self::in_country(rest, country.parse().ok()?);
        }
        // The prefix that Greece itself does not use.
        let rest = text.strip_prefix("GR").filter(|rest| is_digits(rest));
        if let Some(rest) = rest {
            return Self::in_country(rest, "GR".parse().ok()?);
        }
        Self::in_country(text, country.or_else(|| country_of_form(text))?)
    }

    fn in_country(text: &str, country: CountryCode) -> Option<Self> {
        let is_nordic = [
            CountryCode::SE,
            CountryCode::NO,
            CountryCode::DK,
            CountryCode::FI,
        ]
        .contains(&country);
        let number = if is_nordic {
            national(text, country)?
        } else {
            &registered(text, country)
        };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let is_plausible =
            LENGTH.contains(&number.len()) && digits.len() >= MIN_DIGITS && !is_filler(&digits);
        is_plausible.then(|| Self {
            country,
            number: number.to_owned(),
        })
    }

    /// Whether the two are different numbers of one country: their holders are different organisations, whatever else
    /// they share (a VAT group has one VAT number).
    pub fn contradicts(&self, other: &Self) -> bool {
        self.country == other.country && self.number != other.number
    }

    /// The spellings in which a field for organisation or VAT numbers may hold the number, the likeliest first, all
    /// different when case is ignored. Separators in unusual places are left out: records of the ERP are also found
    /// through the key index, and Norce's normal form ([`Self::digits`]) has no separators.
    pub fn spellings(&self) -> Vec<String> {
        let (country, number) = (self.country.as_str(), self.number.as_str());
        let grouped = |sizes: &[usize], separator: &str| grouped(number, sizes, separator);
        let mut spellings = vec![around(number, self.country)];
        match self.country {
            CountryCode::SE => {
                let dashed = grouped(&[6, 4], "-");
                spellings.extend([
                    number.to_owned(),
                    dashed.clone(),
                    format!("SE {number} 01"),
                    format!("SE{dashed}01"),
                    format!("SE {dashed} 01"),
                    format!("SE{number}"),
                    format!("{number}01"),
                    format!("16{number}"),
                    format!("16{dashed}"),
                ]);
            }
            CountryCode::NO => {
                let spaced = grouped(&[3, 3, 3], " ");
                spellings.extend([
                    number.to_owned(),
                    spaced.clone(),
                    format!("NO{number}"),
                    format!("NO {number}"),
                    format!("NO {number} MVA"),
                    format!("NO {spaced} MVA"),
                    format!("NO {spaced}"),
                    format!("{number}MVA"),
                    format!("{number} MVA"),
                    format!("{spaced} MVA"),
                ]);
            }
            CountryCode::DK => {
                let spaced = grouped(&[2, 2, 2, 2], " ");
                spellings.extend([
                    number.to_owned(),
                    spaced.clone(),
                    format!("DK {number}"),
                    format!("DK-{number}"),
                    format!("DK {spaced}"),
                ]);
            }
            CountryCode::FI => {
                let dashed = grouped(&[7, 1], "-");
                spellings.extend([
                    number.to_owned(),
                    dashed.clone(),
                    format!("FI {number}"),
                    format!("FI-{number}"),
                    format!("FI{dashed}"),
                    format!("FI {dashed}"),
                ]);
            }
            _ if country == "CH" && number.starts_with('E') => spellings.extend(swiss(number)),
            _ => {
                spellings.push(number.to_owned());
                let older = older_form(number, self.country);
                spellings.extend(older.map(str::to_owned));
                let letters = VAT_PREFIXES.iter().filter(|(_, of)| *of == country);
                for letters in letters.map(|(letters, _)| letters) {
                    spellings.extend(older.map(|older| format!("{letters}{older}")));
                    spellings.extend([
                        format!("{letters}{number}"),
                        format!("{letters} {number}"),
                        format!("{letters}-{number}"),
                    ]);
                    if country == "BE" {
                        let dotted = grouped(&[4, 3, 3], ".");
                        spellings.extend([format!("{letters} {dotted}"), dotted]);
                    }
                    for sizes in [&[3, 4, 2][..], &[3, 3, 3], &[2, 3, 3]] {
                        if sizes.iter().sum::<usize>() == number.len() {
                            let spaced = grouped(sizes, " ");
                            spellings.extend([
                                format!("{letters}{spaced}"),
                                format!("{letters} {spaced}"),
                                spaced,
                            ]);
                        }
                    }
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        spellings.retain(|spelling| seen.insert(spelling.clone()));
        spellings
    }

    /// The digits of every spelling, which is what Norce's `NormalizedOrganizationNo` holds (norce-api §3.4).
    pub fn digits(&self) -> Vec<String> {
        let mut digits: Vec<String> = self
            .spellings()
            .into_iter()
            .map(|spelling| spelling.chars().filter(char::is_ascii_digit).collect())
            .collect();
        let mut seen = std::collections::HashSet::new();
        digits.retain(|digits: &String| seen.insert(digits.clone()));
        digits
    }

    /// The letters and digits that every spelling has in this order.
    pub fn number(&self) -> &str {
        let number = self.number.as_str();
        match self.country.as_str() {
            "CH" => number.strip_prefix('E').unwrap_or(number),
            _ => older_form(number, self.country).unwrap_or(number),
        }
    }
}

impl OrganisationNumber {
    /// The key, if the number is plausible and its country is known: from its prefix, else from the address.
    pub fn key(&self, country: Option<CountryCode>) -> Option<OrganisationKey> {
        OrganisationKey::of_text(self.expose(), country)
    }
}

impl VatNumber {
    /// The key, if the number is plausible and its country is known: from its prefix, else from the address.
    pub fn key(&self, country: Option<CountryCode>) -> Option<OrganisationKey> {
        OrganisationKey::of_text(self.expose(), country)
    }
}

/// The suffixes of a Swiss VAT number, one for each language, after the number of the register (python-stdnum, `ch/vat.py`).
const SWISS_SUFFIXES: [&str; 4] = ["MWST", "TVA", "IVA", "TPV"];

/// A number outside the Nordic countries in the one form in which it is compared (python-stdnum, `ch/uid.py`, `ch/vat.py`,
/// `be/vat.py`, `gr/vat.py`, `nl/btw.py`). `text`: without the two letters of the country.
fn registered(text: &str, country: CountryCode) -> String {
    let padded = |text: &str, short: usize, long: usize| {
        let is_older = is_digits(text) && text.len() == short;
        if is_older {
            format!("{text:0>long$}")
        } else {
            text.to_owned()
        }
    };
    match country.as_str() {
        // Without the E of CHE.
        "CH" => {
            let number = text.strip_prefix("CHE").or_else(|| text.strip_prefix('E'));
            let number = number.unwrap_or(text);
            let mut suffixes = SWISS_SUFFIXES.iter();
            let number = suffixes
                .find_map(|it| number.strip_suffix(it))
                .unwrap_or(number);
            if is_digits(number) && number.len() == 9 {
                format!("E{number}")
            } else {
                text.to_owned()
            }
        }
        "BE" => padded(text, 9, 10),
        "GR" => padded(text, 8, 9),
        "NL" => match text.rsplit_once('B') {
            Some((number, unit)) if is_digits(number) && is_digits(unit) && unit.len() == 2 => {
                format!("{number:0>9}B{unit}")
            }
            _ => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// The number without the zeros at its beginning, where some write it so.
fn older_form(number: &str, country: CountryCode) -> Option<&str> {
    match country.as_str() {
        "BE" | "GR" => number.strip_prefix('0'),
        "NL" => Some(number.trim_start_matches('0')).filter(|it| *it != number),
        _ => None,
    }
}

/// The spellings of a Swiss number of the register, `E` and nine digits.
fn swiss(number: &str) -> Vec<String> {
    let digits = number.strip_prefix('E').unwrap_or(number);
    let dotted = grouped(digits, &[3, 3, 3], ".");
    let mut spellings = vec![format!("CHE-{dotted}"), dotted.clone(), digits.to_owned()];
    for suffix in SWISS_SUFFIXES {
        spellings.extend([
            format!("CHE-{dotted} {suffix}"),
            format!("CHE{digits}{suffix}"),
            format!("CHE{digits} {suffix}"),
        ]);
    }
    spellings
}

/// The country of a number without a prefix, where only one country has numbers of its form: ten digits with a Swedish
/// check digit, the third of which cannot begin a month.
fn country_of_form(text: &str) -> Option<CountryCode> {
    let number = national(text, CountryCode::SE)?;
    (number.as_bytes().get(2) >= Some(&b'2')).then_some(CountryCode::SE)
}

fn grouped(number: &str, sizes: &[usize], separator: &str) -> String {
    let mut rest = number;
    let mut groups = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (group, later) = rest.split_at_checked(*size).unwrap_or((rest, ""));
        groups.push(group);
        rest = later;
    }
    groups.join(separator)
}

impl fmt::Debug for OrganisationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[organisation number]")
    }
}

impl Serialize for OrganisationKey {
    /// As a VAT number, of which version 0.2.0 made its fingerprints.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&around(&self.number, self.country))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of python-stdnum's own examples.
    #[test]
    fn a_number_has_one_key_and_every_spelling_of_it_is_asked_for() {
        for (country, spellings) in [
            (
                "CH",
                &[
                    "CHE-107.787.577",
                    "CHE-107.787.577 MWST",
                    "CHE-107.787.577 TVA",
                    "CHE-107.787.577 IVA",
                    "CHE-107.787.577 TPV",
                    "CHE107787577",
                    "CHE107787577MWST",
                    "107.787.577",
                ][..],
            ),
            (
                "BE",
                &[
                    "BE0403019261",
                    "BE403019261",
                    "0403019261",
                    "403019261",
                    "BE 0403.019.261",
                    "0403.019.261",
                ],
            ),
            (
                "GR",
                &["EL023456783", "GR023456783", "EL23456783", "023456783"],
            ),
            ("NL", &["NL004495445B01", "NL4495445B01", "004495445B01"]),
            ("AT", &["ATU13585627", "AT U13585627", "U13585627"]),
            ("NO", &["NO 923 609 016 MVA", "923609016MVA", "NO923609016"]),
        ] {
            let country: CountryCode = country.parse().unwrap();
            let key = |text: &str| VatNumber::parse(text).unwrap().key(Some(country)).unwrap();
            let first = key(spellings[0]);
            let asked = first.spellings();
            for spelling in spellings {
                assert_eq!(key(spelling).number, first.number, "{spelling}");
                assert!(asked.contains(&(*spelling).to_owned()), "{spelling}");
            }
            for spelling in &asked {
                assert_eq!(key(spelling).number, first.number, "{spelling}");
                let mut rest = spelling.as_str();
                for character in first.number().chars() {
                    let at = rest.find(character).unwrap();
                    rest = &rest[at + 1..];
                }
            }
        }
    }

    #[test]
    fn different_numbers_keep_different_keys() {
        let of = |text: &str, country: &str| {
            let number = VatNumber::parse(text).unwrap();
            number.key(country.parse().ok())
        };
        assert_ne!(of("BE0403019261", "BE"), of("BE0428759497", "BE"));
        assert_ne!(of("NL004495445B01", "NL"), of("NL004495445B02", "NL"));
        assert_ne!(of("403019261", "BE"), of("0403019261", "FR"));
        // Not a number of the present register.
        assert_ne!(of("CHE107787", "CH"), of("CHE107787577", "CH"));
    }
}
