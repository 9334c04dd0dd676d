//! Random organisation numbers with valid check digits, for the Nordic countries.

/// Organisation numbers of a country.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers(Country);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Country {
    Sweden,
    Norway,
    Denmark,
    Finland,
}

/// An organisation's numbers.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// As the register of companies writes it.
    pub(crate) organisation_number: String,
    /// With the country's prefix.
    pub(crate) vat_number: String,
}

/// A random global location number with its check digit (`shared/FACTS.md`, erp-apis §6).
pub(crate) fn gln() -> String {
    let mut digits = vec![7, 3];
    digits.resize_with(12, || fastrand::u32(0..10));
    let weighed = digits.iter().zip([1, 3].iter().cycle());
    let sum: u32 = weighed.map(|(digit, weight)| digit * weight).sum();
    digits.push((10 - sum % 10) % 10);
    digits.iter().map(u32::to_string).collect()
}

impl Numbers {
    /// Of a country by its ISO code; Sweden for one that is not known here.
    pub(crate) fn of(country: &str) -> Self {
        Self(match country {
            "NO" => Country::Norway,
            "DK" => Country::Denmark,
            "FI" => Country::Finland,
            _ => Country::Sweden,
        })
    }

    pub(crate) fn country(self) -> &'static str {
        match self.0 {
            Country::Sweden => "SE",
            Country::Norway => "NO",
            Country::Denmark => "DK",
            Country::Finland => "FI",
        }
    }

    pub(crate) fn city(self) -> &'static str {
        match self.0 {
            Country::Sweden => "Lund",
            Country::Norway => "Oslo",
            Country::Denmark => "Odense",
            Country::Finland => "Turku",
        }
    }

    pub(crate) fn postal_code(self) -> &'static str {
        match self.0 {
            Country::Sweden => "222 22",
            Country::Norway => "0150",
            Country::Denmark => "5000",
            Country::Finland => "20100",
        }
    }

    /// The numbers of a random organisation.
    pub(crate) fn next(self) -> Pair {
        loop {
            if let Some(pair) = self.with_digits(&mut || fastrand::u32(0..10)) {
                return pair;
            }
        }
    }

    /// `None`: for these digits there is no check digit. The rules are those of the countries' registers, as in
    /// `shared/FACTS.md`.
    fn with_digits(self, digit: &mut dyn FnMut() -> u32) -> Option<Pair> {
        let mut digits = |first: &[u32], length: usize| {
            let mut digits = first.to_vec();
            digits.resize_with(length, &mut *digit);
            digits
        };
        let weighed = |digits: &[u32], weights: &[u32]| -> u32 {
            digits.iter().zip(weights).map(|(d, w)| d * w).sum()
        };
        let (digits, check) = match self.0 {
            Country::Sweden => {
                let digits = digits(&[5, 5], 9);
                let sum: u32 = digits
                    .iter()
                    .enumerate()
                    .map(|(place, digit)| match place % 2 {
                        0 => digit * 2 / 10 + digit * 2 % 10,
                        _ => *digit,
                    })
                    .sum();
                (digits, (10 - sum % 10) % 10)
            }
            Country::Norway => {
                let digits = digits(&[9], 8);
                let check = 11 - weighed(&digits, &[3, 2, 7, 6, 5, 4, 3, 2]) % 11;
                (digits, check % 11)
            }
            Country::Denmark => {
                let digits = digits(&[1], 7);
                let check = 11 - weighed(&digits, &[2, 7, 6, 5, 4, 3, 2]) % 11;
                (digits, check % 11)
            }
            Country::Finland => {
                let digits = digits(&[2], 7);
                let check = 11 - weighed(&digits, &[7, 9, 10, 5, 8, 4, 2]) % 11;
                (digits, check % 11)
            }
        };
        if check > 9 {
            return None;
        }
        let mut text: String = digits.iter().map(u32::to_string).collect();
        text.push_str(&check.to_string());
        let vat_number = match self.0 {
            Country::Sweden => format!("SE{text}01"),
            Country::Norway => format!("NO{text}MVA"),
            Country::Denmark | Country::Finland => format!("{}{text}", self.country()),
        };
        match self.0 {
            Country::Sweden => text.insert(6, '-'),
            Country::Finland => text.insert(7, '-'),
            Country::Norway | Country::Denmark => {}
        }
        Some(Pair {
            organisation_number: text,
            vat_number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of `shared/FACTS.md`.
    #[test]
    fn numbers_have_the_check_digits_of_their_countries() {
        for (country, digits, organisation_number, vat_number) in [
            ("SE", "6036079", "556036-0793", "SE556036079301"),
            ("NO", "2360901", "923609016", "NO923609016MVA"),
            ("DK", "374813", "13748136", "DK13748136"),
            ("FI", "077474", "2077474-0", "FI20774740"),
        ] {
            let mut digits = digits.chars().filter_map(|digit| digit.to_digit(10));
            let pair = Numbers::of(country).with_digits(&mut || digits.next().unwrap_or_default());
            let pair = pair.map(|pair| (pair.organisation_number, pair.vat_number));
            let due = (organisation_number.to_owned(), vat_number.to_owned());
            assert_eq!(pair, Some(due), "{country}");
        }
    }
}
