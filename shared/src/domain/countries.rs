use std::{collections::BTreeMap, str::FromStr};

use thiserror::Error;

use super::CountryCode;

/// Countries for which others use a code that is not the ISO code: Greece in VAT numbers, Northern Ireland in place of the
/// United Kingdom, and the United Kingdom in daily life.
const KNOWN: [(&str, &str); 3] = [("EL", "GR"), ("XI", "GB"), ("UK", "GB")];

/// `ERP_COUNTRIES` and `HOME_COUNTRY`: the ERP's own codes of countries, where they are not the ISO codes, and the country of
/// addresses that name none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Countries {
    /// The country of addresses without one.
    pub home: Option<CountryCode>,
    /// The configured codes.
    pub codes: CountryCodes,
}

/// `ERP_COUNTRIES`: `GR=EL,SE=SVERIGE`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountryCodes(BTreeMap<CountryCode, String>);

/// A text is not a valid value of `ERP_COUNTRIES`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidCountryCodes {
    /// A part has no form `GR=EL`.
    #[error("`{0}` is no pair of an ISO country code and the ERP's code, such as GR=EL")]
    Pair(String),
    /// A country or a code occurs twice.
    #[error("`{0}` occurs twice: every country has one code, and every code one country")]
    Twice(String),
}

impl FromStr for CountryCodes {
    type Err = InvalidCountryCodes;

    fn from_str(text: &str) -> Result<Self, InvalidCountryCodes> {
        let mut codes = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let invalid = || InvalidCountryCodes::Pair(pair.to_owned());
            let (country, code) = pair.split_once('=').ok_or_else(invalid)?;
            let country: CountryCode = country.parse().map_err(|_| invalid())?;
            if KNOWN.iter().any(|(other, _)| *other == country.as_str()) {
                return Err(invalid());
            }
            let code = code.trim().to_uppercase();
            if code.is_empty() {
                return Err(invalid());
            }
            let is_twice = codes.values().any(|it| *it == code);
            if is_twice || codes.insert(country, code).is_some() {
                return Err(InvalidCountryCodes::Twice(pair.to_owned()));
            }
        }
        Ok(Self(codes))
    }
}

impl CountryCodes {
    /// The countries and their codes.
    pub fn iter(&self) -> impl Iterator<Item = (CountryCode, &str)> {
        let codes = self.0.iter();
        codes.map(|(country, code)| (*country, code.as_str()))
    }
}

impl Countries {
    /// The country behind a code of the ERP. An empty code is the home country; a code that is neither configured, nor an
    /// ISO code, nor generally known is no country.
    pub fn country(&self, code: &str) -> Option<CountryCode> {
        let code = code.trim().to_uppercase();
        if code.is_empty() {
            return self.home;
        }
        let configured = self.codes.0.iter().find(|(_, it)| **it == code);
        if let Some((country, _)) = configured {
            return Some(*country);
        }
        let known = KNOWN.iter().find(|(other, _)| *other == code);
        known.map_or(code.as_str(), |(_, iso)| iso).parse().ok()
    }

    /// The configured code of a country.
    pub fn configured(&self, country: CountryCode) -> Option<&str> {
        self.codes.0.get(&country).map(String::as_str)
    }

    /// The codes other than the ISO code that an ERP may have for a country, the likely one first.
    pub fn alternatives(country: CountryCode) -> impl Iterator<Item = &'static str> {
        let known = KNOWN.iter();
        known.filter_map(move |(code, iso)| (*iso == country.as_str()).then_some(*code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn countries(codes: &str) -> Countries {
        Countries {
            home: Some(CountryCode::SE),
            codes: codes.parse().unwrap(),
        }
    }

    #[test]
    fn k13_a_code_of_the_erp_is_a_country_and_back() {
        let countries = countries("SE=SVERIGE, NO=no1");
        for (code, country) in [
            ("", Some("SE")),
            ("SVERIGE", Some("SE")),
            ("NO1", Some("NO")),
            ("EL", Some("GR")),
            ("GR", Some("GR")),
            ("xi", Some("GB")),
            ("UK", Some("GB")),
            ("DK", Some("DK")),
            ("NORDEN", None),
        ] {
            let expected = country.map(|it| it.parse().unwrap());
            assert_eq!(countries.country(code), expected, "{code}");
        }
        assert_eq!(countries.configured(CountryCode::SE), Some("SVERIGE"));
        assert_eq!(countries.configured(CountryCode::DK), None);
        let greece = "GR".parse().unwrap();
        assert_eq!(Countries::alternatives(greece).collect::<Vec<_>>(), ["EL"]);
    }

    #[test]
    fn what_is_no_map_is_refused_with_the_part_that_is_wrong() {
        for (text, expected) in [
            ("GR", "`GR` is no pair"),
            ("GRE=EL", "`GRE=EL` is no pair"),
            ("GR=", "`GR=` is no pair"),
            ("EL=GR", "`EL=GR` is no pair"),
            ("GR=EL,GR=G", "`GR=G` occurs twice"),
            ("GR=EL,CY=el", "`CY=el` occurs twice"),
        ] {
            let error = text.parse::<CountryCodes>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
