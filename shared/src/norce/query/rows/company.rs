use serde::Deserialize;

use super::{
    address::{AddressRow, Addresses},
    entity::EntityRow,
    related::Related,
    values::{FlagRow, code, norce_id, party_id, personal},
};
use crate::{
    domain::{Company, EntityKind, EntityRef, NorceId, OrganisationNumber, ShopFields, VatNumber},
    http::odata::Options,
    norce::{NorceError, query::sets::COMPANIES, serde_utils},
};

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CompanyRow {
    #[serde(deserialize_with = "serde_utils::id")]
    id: i64,
    company_code: Option<String>,
    name: Option<String>,
    organization_no: Option<String>,
    vat_no: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    is_active: bool,
    #[serde(default, deserialize_with = "serde_utils::reference")]
    application_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    addresses: Vec<AddressRow>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    customers: Vec<ContactRow>,
    #[serde(default, deserialize_with = "serde_utils::list")]
    flags: Vec<FlagRow>,
}

impl EntityRow for CompanyRow {
    type Entity = Company;

    const SET: &'static str = COMPANIES;

    fn id(&self) -> Result<NorceId, NorceError> {
        norce_id(self.id, Self::SET)
    }

    fn application_id(&self) -> Option<i64> {
        self.application_id
    }

    fn addresses(&self) -> &[AddressRow] {
        &self.addresses
    }

    /// The contacts.
    fn related(&self) -> Vec<(EntityKind, NorceId)> {
        let contacts = self.customers.iter().map(|row| row.customer_id);
        let contacts = contacts.filter_map(|id| party_id(Some(id)));
        contacts.map(|id| (EntityKind::Customer, id)).collect()
    }

    fn options() -> Options {
        Options::new()
            .select(&[
                "Id",
                "CompanyCode",
                "Name",
                "OrganizationNo",
                "VatNo",
                "EmailAddress",
                "PhoneNumber",
                "IsActive",
                "ApplicationId",
            ])
            // The fields of a company's flags are not documented: an unknown name would fail the whole call.
            .expand("Addresses", AddressRow::options(EntityKind::Company))
            .expand("Customers", Options::new().select(&["CustomerId"]))
            .expand("Flags", Options::new())
            .optionally(&["Addresses", "Flags"])
    }

    fn read(
        self,
        entity: EntityRef,
        addresses: Addresses,
        related: &Related,
        unread: ShopFields,
    ) -> Result<Company, NorceError> {
        let contacts = self
            .customers
            .iter()
            .map(|row| norce_id(row.customer_id, format_args!("{entity}: `CustomerId`")))
            .map(|id| Ok(related.entity(EntityKind::Customer, id?)))
            .collect::<Result<_, NorceError>>()?;
        Ok(Company {
            unread,
            entity,
            code: code(self.company_code, entity)?,
            name: personal(self.name),
            organisation_number: self
                .organization_no
                .as_deref()
                .and_then(OrganisationNumber::parse),
            vat_number: self.vat_no.as_deref().and_then(VatNumber::parse),
            email: personal(self.email_address),
            phone: personal(self.phone_number),
            invoice_address: addresses.invoice,
            invoice_details: addresses.invoice_details,
            delivery_addresses: addresses.deliveries,
            contacts,
            flags: self.flags.iter().filter_map(FlagRow::read).collect(),
            active: self.is_active,
        })
    }
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContactRow {
    #[serde(deserialize_with = "serde_utils::id")]
    customer_id: i64,
}
