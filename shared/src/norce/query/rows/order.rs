use serde::Deserialize;

use super::{
    related::Related,
    values::{party_id, personal},
};
use crate::{
    domain::{CountryCode, EntityKind, NorceId, Order, OrderKey, OrderParty, OrganisationNumber},
    http::odata::Options,
    norce::{NorceError, serde_utils},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OrderRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    #[serde(deserialize_with = "serde_utils::id")]
    application_id: i64,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    buyer_customer_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    buyer_company_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    payer_customer_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    payer_company_id: Option<i64>,
    buyer: Option<PartyRow>,
    payer: Option<PartyRow>,
}

/// An order's copy of an address. `OrganizationNo` is not documented; it is read if a tenant has it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PartyRow {
    email_address: Option<String>,
    organization_no: Option<String>,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    country_id: Option<i64>,
}

impl OrderRow {
    pub(crate) fn options() -> Options {
        Options::new()
            .select(&[
                "Id",
                "ApplicationId",
                "BuyerCustomerId",
                "BuyerCompanyId",
                "PayerCustomerId",
                "PayerCompanyId",
            ])
            .expand("Buyer", Options::new())
            .expand("Payer", Options::new())
            .optionally(&["Buyer", "Payer"])
    }

    /// The ids of the countries of the parties' addresses.
    pub(crate) fn country_ids(&self) -> impl Iterator<Item = i64> {
        let parties = [&self.buyer, &self.payer];
        parties
            .into_iter()
            .flatten()
            .filter_map(|party| party.country_id)
    }

    /// The customers and companies of the order.
    pub(crate) fn parties(&self) -> impl Iterator<Item = (EntityKind, NorceId)> {
        let customers = [self.buyer_customer_id, self.payer_customer_id];
        let companies = [self.buyer_company_id, self.payer_company_id];
        let customers = customers.into_iter().filter_map(party_id);
        let companies = companies.into_iter().filter_map(party_id);
        let customers = customers.map(|id| (EntityKind::Customer, id));
        customers.chain(companies.map(|id| (EntityKind::Company, id)))
    }

    /// Translates the row; `country` returns the code of a country's id.
    pub(crate) fn read(
        self,
        order: &OrderKey,
        country: impl Fn(i64) -> Option<CountryCode>,
        related: &Related,
    ) -> Result<Order, NorceError> {
        let party = |customer: Option<i64>, company: Option<i64>, row: Option<PartyRow>| {
            let entity = |kind, id| party_id(id).map(|id| related.entity(kind, id));
            let row = row.unwrap_or_default();
            OrderParty {
                customer: entity(EntityKind::Customer, customer),
                company: entity(EntityKind::Company, company),
                email: personal(row.email_address),
                organisation_number: row
                    .organization_no
                    .as_deref()
                    .and_then(OrganisationNumber::parse),
                vat_number: None,
                company_name: None,
                country: row.country_id.and_then(&country),
            }
        };
        Ok(Order {
            id: self.id,
            application: self.application_id.try_into().map_err(|error| {
                NorceError::Unreadable(format!("order {order}: `ApplicationId`: {error}"))
            })?,
            buyer: party(self.buyer_customer_id, self.buyer_company_id, self.buyer),
            payer: party(self.payer_customer_id, self.payer_company_id, self.payer),
        })
    }
}
