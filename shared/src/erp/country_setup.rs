//! The countries of an ERP's company, as they are set up there.

use crate::domain::{CountryCode, CountryCodes};

/// The country of an ERP's company, and its codes of countries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountrySetup {
    /// The ERP's own code of the company's country. `None`: the company has none.
    pub company_code: Option<String>,
    /// The country behind it. `None`: the code stands for no country.
    pub company_country: Option<CountryCode>,
    /// Codes that stand for no country, although customers have them, or the company itself.
    pub without_country: Vec<String>,
    /// The configured codes.
    pub configured: CountryCodes,
    /// Configured codes that the ERP does not have.
    pub missing: Vec<String>,
}

impl CountrySetup {
    /// The value of `ErpCountries` that names every code. The code of the company is that of the home country; which country
    /// another code stands for, a person has to say.
    pub fn proposal(&self, home: Option<CountryCode>) -> String {
        let configured = self.configured.iter();
        let kept = configured
            .filter(|(_, code)| !self.missing.iter().any(|missing| missing == code))
            .map(|(country, code)| format!("{country}={code}"));
        let added = self.without_country.iter().map(|code| {
            let is_company = self.company_code.as_ref() == Some(code);
            match home.filter(|_| is_company) {
                Some(home) => format!("{home}={code}"),
                None => format!("<ISO code>={code}"),
            }
        });
        kept.chain(added).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proposal_keeps_what_is_right_and_names_the_company_by_the_home_country() {
        let setup = CountrySetup {
            company_code: Some("SVERIGE".to_owned()),
            without_country: vec!["HELLAS".to_owned(), "SVERIGE".to_owned()],
            configured: "NO=NORGE,DK=DANEMARK".parse().unwrap(),
            missing: vec!["DANEMARK".to_owned()],
            ..CountrySetup::default()
        };
        assert_eq!(
            setup.proposal(Some(CountryCode::SE)),
            "NO=NORGE,<ISO code>=HELLAS,SE=SVERIGE"
        );
        assert_eq!(
            setup.proposal(None),
            "NO=NORGE,<ISO code>=HELLAS,<ISO code>=SVERIGE"
        );
    }
}
