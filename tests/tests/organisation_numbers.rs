//! Organisation numbers and VAT numbers of the Nordic countries, compared with python-stdnum
//! (`tests/vectors/organisation_numbers.py` describes the vectors).

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use shared::domain::{CountryCode, OrganisationNumber, VatNumber};

const VECTORS: &str = include_str!("../vectors/organisation_numbers.txt");
const COUNT: usize = 10_000;

/// A beginning, how it is written, and the digit after it with which the number is valid.
struct Vector<'a> {
    country: CountryCode,
    form: &'a str,
    beginning: String,
    valid: Option<char>,
}

impl Vector<'_> {
    /// The number with each of the ten digits: digits only, as it is written, and whether it is valid.
    fn numbers(&self) -> impl Iterator<Item = (String, String, bool)> {
        ('0'..='9').map(|digit| {
            let digits = format!("{}{digit}", self.beginning);
            let mut remaining = digits.chars();
            let place = |place| match place {
                '#' => remaining.next().unwrap(),
                '_' => ' ',
                other => other,
            };
            let written = self.form.chars().map(place).collect();
            (digits, written, self.valid == Some(digit))
        })
    }
}

/// The n-th beginning of a number, as the script makes it.
fn beginning(number: usize, length: usize) -> String {
    let number = number as u64 * 7_919 * 10_007 + 104_729;
    let modulus = 10_u64.pow(u32::try_from(length).unwrap());
    format!("{:0length$}", number % modulus)
}

/// Every vector of a rule.
fn vectors(rule: &str) -> Vec<Vector<'static>> {
    let mut vectors = Vec::new();
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [of_rule, country, forms, digits] = words[..] else {
            unreachable!("{} words", words.len());
        };
        assert_eq!(digits.len(), COUNT);
        let forms: Vec<&str> = forms.split('|').collect();
        let of_line = digits.chars().enumerate().map(|(number, digit)| {
            let form = forms[number % forms.len()];
            Vector {
                country: country.parse().unwrap(),
                form,
                beginning: beginning(number, form.matches('#').count() - 1),
                valid: (digit != '-').then_some(digit),
            }
        });
        if of_rule == rule {
            vectors.extend(of_line);
        }
    }
    assert_eq!(vectors.len(), 4 * COUNT, "four countries");
    vectors
}

#[test]
fn organisation_numbers_are_valid_where_python_stdnum_says_so() {
    for vector in vectors("organisation") {
        let country = vector.country;
        for (digits, written, expected) in vector.numbers() {
            let number = OrganisationNumber::parse(&written).unwrap();
            assert_eq!(number.expose(), digits);
            assert_eq!(number.is_valid(country), expected, "{country} {written}");
            // A valid number becomes a VAT number and comes back from it; another one does not.
            let vat_number = number.vat_number(country);
            assert_eq!(vat_number.is_some(), expected, "{country} {written}");
            let back = vat_number.as_ref().and_then(VatNumber::organisation_number);
            assert_eq!(back, expected.then_some(number), "{country} {written}");
        }
    }
}

#[test]
fn vat_numbers_are_valid_where_python_stdnum_says_so() {
    for vector in vectors("vat") {
        let country = vector.country;
        for (digits, written, expected) in vector.numbers() {
            let number = VatNumber::parse(&written).unwrap().organisation_number();
            let digits = OrganisationNumber::parse(&digits).filter(|_| expected);
            assert_eq!(number, digits, "{country} {written}");
            // The one form that a target is given, however it was written.
            if let Some(number) = number {
                assert_eq!(
                    number.vat_number(country),
                    VatNumber::parse(&written),
                    "{country} {written}"
                );
            }
        }
    }
}
