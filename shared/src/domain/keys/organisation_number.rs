use std::fmt;

use serde::{Deserialize, Serialize};

use super::placeholder::{is_filler, visible};
use crate::domain::{CountryCode, Personal};

/// An organisation number: letters in upper case and digits, without separators, without a label such as "Org.nr".
///
/// Norce compares only the digits (norce-api §3.4), which does not tell two countries' numbers apart. Comparisons here
/// use the [`OrganisationKey`](super::OrganisationKey), which includes the country.
///
/// A Swedish sole trader's number is a personal number: its third digit is 0 or 1, where an organisation's is 2 or more
/// (erp-apis §5). Customers may enter numbers of any form or country, so no rule can tell the two apart: every number is
/// treated as personal data.
///
/// Old registers contain numbers with a wrong check digit. They are values, but not keys, and no VAT number is derived
/// from them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrganisationNumber(String);

/// Labels that people write in front of a number.
const LABELS: [&str; 12] = [
    "ORGANISATIONSNUMMER",
    "ORGANISASJONSNUMMER",
    "ORGNUMMER",
    "ORGNR",
    "ORGNO",
    "ORG",
    "CVRNR",
    "CVR",
    "YTUNNUS",
    "MOMSNR",
    "VATNO",
    "VAT",
];

/// The letters and digits of a text, without its label. `None` if there is no digit, or the digits are a filler such as
/// `000000-0000`, also within the prefix and suffix of a country.
fn letters_and_digits(text: &str) -> Option<String> {
    let text: String = visible(text)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let text = LABELS
        .iter()
        .find_map(|label| text.strip_prefix(label))
        .unwrap_or(&text);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    // Twelve digits are a Swedish number with the prefix `16`, or with the suffix `01` of a VAT number.
    let swedish = Some(digits.as_str()).filter(|digits| digits.len() == 12);
    let inner = [
        Some(digits.as_str()),
        swedish.and_then(|digits| digits.strip_prefix("16")),
        swedish.and_then(|digits| digits.strip_suffix("01")),
    ];
    let is_empty = digits.is_empty() || inner.into_iter().flatten().any(is_filler);
    (!is_empty).then(|| text.to_owned())
}

impl OrganisationNumber {
    /// Parses a number; `None` if the text has none, or only a placeholder.
    pub fn parse(text: &str) -> Option<Self> {
        letters_and_digits(text).map(Self)
    }

    /// The letters and digits, possibly personal data. Call this only to build a request or a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the number has the length and the check digit of this Nordic country.
    pub fn is_valid(&self, country: CountryCode) -> bool {
        national(&self.0, country).is_some()
    }

    /// The VAT number of a valid organisation number of a Nordic country.
    pub fn vat_number(&self, country: CountryCode) -> Option<VatNumber> {
        let number = national(&self.0, country)?;
        Some(VatNumber(around(number, country)))
    }
}

impl fmt::Debug for OrganisationNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[organisation number]")
    }
}

/// A VAT number: letters in upper case and digits, no separators. Possibly personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VatNumber(String);

impl VatNumber {
    /// Parses a number; `None` if the text has none, or only a placeholder.
    pub fn parse(text: &str) -> Option<Self> {
        letters_and_digits(text).map(Self)
    }

    /// The number. Call this only to build a request or a look-up.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The organisation number in a Nordic VAT number, if its check digit is right and nothing else is in it.
    pub fn organisation_number(&self) -> Option<OrganisationNumber> {
        let country: CountryCode = self.0.get(..2)?.parse().ok()?;
        let number = national(&self.0, country)?;
        (around(number, country) == self.0).then(|| OrganisationNumber(number.to_owned()))
    }

    /// The VAT number, with its country's prefix and suffix added where the field holds a bare organisation number.
    pub fn completed(&self, country: Option<CountryCode>) -> Self {
        let is_bare = self.0.bytes().all(|byte| byte.is_ascii_digit());
        let number = country.filter(|_| is_bare);
        let completed =
            number.and_then(|country| Some(Self(around(national(&self.0, country)?, country))));
        completed.unwrap_or_else(|| self.clone())
    }

    /// The number as personal text, which it may be.
    pub fn to_personal(&self) -> Option<Personal> {
        Personal::parse(&self.0)
    }
}

impl fmt::Debug for VatNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[VAT number]")
    }
}

/// The number as a Nordic country's register has it, from any form in which it is written; `None` if it is not of that
/// country, or its check digit is wrong.
pub(super) fn national(text: &str, country: CountryCode) -> Option<&str> {
    let body = text.strip_prefix(country.as_str()).unwrap_or(text);
    match country {
        CountryCode::SE => {
            // Twelve digits are an organisation number with the prefix `16`, a personal number with its century, or a
            // VAT number with the suffix `01`.
            let century = match body.split_at_checked(2) {
                Some(("16" | "18" | "19" | "20", short)) if body.len() == 12 => Some(short),
                _ => None,
            };
            let of_vat = body.strip_suffix("01");
            let forms = if body.len() < text.len() {
                [of_vat, Some(body), century]
            } else {
                [Some(body), century, of_vat]
            };
            let mut forms = forms.into_iter().flatten();
            forms.find(|number| number.len() == 10 && is_digits(number) && luhn(number))
        }
        CountryCode::NO => {
            let number = body.strip_suffix("MVA").unwrap_or(body);
            let is_valid = number.len() == 9
                && is_digits(number)
                && weighted(number, &[3, 2, 7, 6, 5, 4, 3, 2, 1]);
            is_valid.then_some(number)
        }
        CountryCode::DK => {
            let is_valid = body.len() == 8
                && is_digits(body)
                && !body.starts_with('0')
                && weighted(body, &[2, 7, 6, 5, 4, 3, 2, 1]);
            is_valid.then_some(body)
        }
        CountryCode::FI => {
            let is_valid =
                body.len() == 8 && is_digits(body) && weighted(body, &[7, 9, 10, 5, 8, 4, 2, 1]);
            is_valid.then_some(body)
        }
        _ => None,
    }
}

/// A register's number as a VAT number of its country.
pub(super) fn around(number: &str, country: CountryCode) -> String {
    match country {
        CountryCode::SE => format!("SE{number}01"),
        CountryCode::NO => format!("NO{number}MVA"),
        _ => format!("{country}{number}"),
    }
}

pub(super) fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CountryCode, redact};

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
        assert!(valid("19850709-9805", CountryCode::SE), "a sole trader's");
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
    fn a_bare_organisation_number_in_a_vat_number_s_place_is_completed() {
        for (text, country, completed) in [
            ("556036-0793", Some(CountryCode::SE), "SE556036079301"),
            ("556036-0793", None, "5560360793"),
            ("556036-0794", Some(CountryCode::SE), "5560360794"),
            ("SE556036079301", Some(CountryCode::NO), "SE556036079301"),
        ] {
            let number = VatNumber::parse(text).unwrap();
            assert_eq!(number.completed(country).expose(), completed, "{text}");
        }
    }

    #[test]
    fn separators_and_case_do_not_matter_in_a_vat_number() {
        assert_eq!(
            VatNumber::parse("se 556036-0793 01"),
            VatNumber::parse("SE556036079301")
        );
        assert_eq!(VatNumber::parse(" -"), None);
    }

    const NORDIC: [(CountryCode, usize); 4] = [
        (CountryCode::SE, 10),
        (CountryCode::NO, 9),
        (CountryCode::DK, 8),
        (CountryCode::FI, 8),
    ];

    /// A country, and the digits of a number that is valid there.
    fn valid_number() -> impl Strategy<Value = (CountryCode, String)> {
        let number = (prop::sample::select(&NORDIC), any::<u64>());
        number.prop_filter_map("no check digit", |((country, length), number)| {
            let beginning = number % 10_u64.pow(u32::try_from(length).ok()? - 1);
            let numbers =
                (0..10).map(|digit| format!("{beginning:0width$}{digit}", width = length - 1));
            let number = numbers.into_iter().find(|number| valid(number, country))?;
            Some((country, number))
        })
    }

    /// A Swedish personal number as people write it.
    fn personal_number() -> impl Strategy<Value = String> {
        let parts = (
            "(18|19|20)?",
            "[0-9]{2}",
            1..=12_u8,
            1..=31_u8,
            "[-+ ]?",
            0..1_000_u16,
        );
        parts.prop_filter_map(
            "no check digit",
            |(century, year, month, day, sign, serial)| {
                let date = format!("{year}{month:02}{day:02}");
                let digit = (0..10).find(|digit| luhn(&format!("{date}{serial:03}{digit}")))?;
                Some(format!("{century}{date}{sign}{serial:03}{digit}"))
            },
        )
    }

    proptest! {
        #[test]
        fn the_normal_form_has_letters_and_digits_only_and_is_its_own(text in "\\PC{0,12}[0-9]{0,12}\\PC{0,4}") {
            let Some(number) = OrganisationNumber::parse(&text) else { return Ok(()) };
            let is_normal = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
            prop_assert!(number.expose().chars().all(is_normal));
            prop_assert!(number.expose().contains(|c: char| c.is_ascii_digit()));
            prop_assert_eq!(OrganisationNumber::parse(number.expose()), Some(number));
        }

        #[test]
        fn separators_do_not_matter(
            (country, number) in valid_number(),
            separators in prop::collection::vec("[ .,/:\u{2013}-]{0,2}", 10),
        ) {
            let spread = |text: &str| -> String {
                let separators = separators.iter().map(String::as_str).chain(std::iter::repeat(""));
                text.chars().zip(separators).map(|(c, separator)| format!("{separator}{c}")).collect()
            };
            let plain = OrganisationNumber::parse(&number);
            prop_assert_eq!(&OrganisationNumber::parse(&spread(&number)), &plain);
            let vat_number = plain.and_then(|number| number.vat_number(country)).unwrap();
            let written = spread(vat_number.expose()).to_lowercase();
            prop_assert_eq!(VatNumber::parse(&written), Some(vat_number));
        }

        #[test]
        fn a_valid_number_becomes_a_vat_number_and_comes_back((country, number) in valid_number()) {
            let number = OrganisationNumber::parse(&number).unwrap();
            let vat_number = number.vat_number(country).unwrap();
            prop_assert!(vat_number.expose().starts_with(country.as_str()));
            prop_assert_eq!(vat_number.organisation_number(), Some(number));
        }

        #[test]
        fn one_wrong_digit_is_noticed(
            (country, number) in valid_number(),
            place in any::<prop::sample::Index>(),
            other in 1..10_u8,
        ) {
            let place = place.index(number.len());
            let mut digits = number.into_bytes();
            digits[place] = b'0' + (digits[place] - b'0' + other) % 10;
            let wrong = String::from_utf8(digits).unwrap();
            prop_assert!(!valid(&wrong, country), "{}", wrong);
        }

        #[test]
        fn any_text_can_be_asked_for_its_numbers(text in any::<String>()) {
            if let Some(vat_number) = VatNumber::parse(&text) {
                let _ = vat_number.organisation_number();
                prop_assert_eq!(VatNumber::parse(vat_number.expose()), Some(vat_number));
            }
            if let Some(number) = OrganisationNumber::parse(&text) {
                for (country, _) in NORDIC {
                    prop_assert_eq!(number.vat_number(country).is_some(), number.is_valid(country));
                }
            }
        }

        /// Of a sole trader, whose organisation number it is.
        #[test]
        fn p11_a_personal_number_is_never_shown(text in personal_number()) {
            let number = OrganisationNumber::parse(&text).unwrap();
            prop_assert!(number.is_valid(CountryCode::SE), "{}", text);
            let vat_number = number.vat_number(CountryCode::SE).unwrap();
            let shown = format!("{number:?} {vat_number:?}");
            prop_assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{}", shown);
            for written in [&text, number.expose(), vat_number.expose()] {
                let said = redact(&format!("company {written} is refused"));
                prop_assert!(!said.contains(|c: char| c.is_ascii_digit()), "{}", said);
            }
        }
    }
}
