//! How countries are set up in a company of Business Central: its own country, and the table "Country/Region".

use serde::Deserialize;

use super::records::Records;
use crate::{
    domain::Countries,
    erp::{CountrySetup, ErpError, Resource},
    http::{
        Deadline,
        odata::{Filter, Options},
    },
};

/// The most codes without a country that are looked for among the customers. More are taken to be in use.
const MAX_LOOKED_FOR: usize = 10;

/// The row of `companyInformation`.
#[derive(Deserialize)]
struct CompanyInformation {
    #[serde(default)]
    country: String,
}

impl Records {
    /// The countries as the company has them. `None`: the address leads to a custom API without the two pages.
    pub(super) async fn country_setup(
        &self,
        deadline: Deadline,
    ) -> Result<Option<CountrySetup>, ErpError> {
        let read = async {
            let company_code = self.company_code(deadline).await?;
            Ok((company_code, self.country_table(deadline).await?))
        };
        let (company_code, table) = match read.await {
            Ok(read) => read,
            Err(ErpError::Refused { .. } | ErpError::Unreadable(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Countries { codes, .. } = &self.countries;
        let is_company = |code: &String| company_code.as_ref() == Some(code);
        let mut without_country = Vec::new();
        let unknown = table
            .iter()
            .filter(|code| self.countries.country(code).is_none());
        let mut looked_for = 0;
        for code in unknown {
            if !is_company(code) && looked_for < MAX_LOOKED_FOR {
                looked_for += 1;
                if !self.has_customer_in(code, deadline).await? {
                    continue;
                }
            }
            without_country.push(code.clone());
        }
        let missing = codes.iter().map(|(_, code)| code);
        let missing = missing.filter(|code| !table.contains(*code));
        Ok(Some(CountrySetup {
            company_country: company_code
                .as_deref()
                .and_then(|code| self.countries.country(code)),
            missing: missing.map(str::to_owned).collect(),
            configured: codes.clone(),
            company_code,
            without_country,
        }))
    }

    /// The code of the company's own country, which the page "Company Information" has.
    async fn company_code(&self, deadline: Deadline) -> Result<Option<String>, ErpError> {
        let options = Options::new().select(&["country"]);
        let url = options.apply(self.client.url("companyInformation"));
        let mut pages = self.client.list::<CompanyInformation>(url, &[], deadline);
        let company = pages.next().await?.and_then(|page| page.into_iter().next());
        let code = company.map(|company| company.country.trim().to_owned());
        Ok(code.filter(|code| !code.is_empty()))
    }

    async fn has_customer_in(&self, code: &str, deadline: Deadline) -> Result<bool, ErpError> {
        let options = Options::new().select(&["id"]).top(1);
        let url = self.url(
            Resource::Customer,
            options.filter(Filter::eq("country", code)),
        );
        let mut pages = self.client.list::<serde_json::Value>(url, &[], deadline);
        Ok(pages.next().await?.is_some_and(|page| !page.is_empty()))
    }
}
