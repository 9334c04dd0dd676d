//! Organisation numbers of the Nordic countries, against what python-stdnum says about them
//! (`tests/vectors/organisation_numbers.py`).

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use shared::domain::{CountryCode, OrganisationNumber, VatNumber};

const VECTORS: &str = include_str!("../vectors/organisation_numbers.txt");
const COUNT: usize = 10_000;

/// The n-th beginning of a number, as the script makes it.
fn beginning(number: usize, length: u32) -> String {
    let number = number as u64 * 7_919 * 10_007 + 104_729;
    format!(
        "{:0width$}",
        number % 10_u64.pow(length),
        width = length as usize
    )
}

#[test]
fn the_check_digits_are_those_of_python_stdnum() {
    let mut countries = 0;
    for line in VECTORS.lines() {
        let (country, digits) = line.split_once(' ').unwrap();
        let country: CountryCode = country.parse().unwrap();
        let length = match country {
            CountryCode::SE => 9,
            CountryCode::NO => 8,
            _ => 7,
        };
        assert_eq!(digits.len(), COUNT);
        for (place, expected) in digits.chars().enumerate() {
            for digit in '0'..='9' {
                let text = format!("{}{digit}", beginning(place, length));
                let number = OrganisationNumber::parse(&text).unwrap();
                let is_valid = number.is_valid(country);
                assert_eq!(is_valid, digit == expected, "{country} {text}");
                // A valid number becomes a VAT number and comes back from it; another one does not.
                let vat_number = number.vat_number(country);
                assert_eq!(vat_number.is_some(), is_valid, "{country} {text}");
                let back = vat_number.as_ref().and_then(VatNumber::organisation_number);
                assert_eq!(back.is_some(), is_valid, "{country} {text}");
                if let Some(back) = back {
                    assert_eq!(back.expose(), text);
                }
            }
        }
        countries += 1;
    }
    assert_eq!(countries, 4);
}
