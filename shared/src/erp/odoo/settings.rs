//! What an Odoo database is reached with, and what it is capable of.

use std::{num::NonZeroU32, time::Duration};

use secrecy::SecretString;
use thiserror::Error;
use url::Url;

use crate::{
    domain::{CodeCase, CountryCode, FieldGroup, FieldGroups},
    erp::{Capabilities, ExtraFields},
};

/// A request may take two minutes (erp-apis §2.5); a create that has not been carried out by then never will be. A
/// repeat would find its record by the external id anyway.
const SETTLES_AFTER: Duration = Duration::from_secs(150);

/// The address of Odoo, the database, the company, and the credentials.
#[derive(Debug, Clone)]
pub struct OdooSettings {
    /// The server, such as `https://erp.example.com`.
    pub base_url: Url,
    /// The database, where the server has several.
    pub database: Option<String>,
    /// The id of the company: only its partners are visible, and new ones belong to it. `None`: all partners that the
    /// user may read are visible, and new ones belong to no company, which is Odoo's default.
    pub company: Option<NonZeroU32>,
    /// An API key of a user with rights to contacts.
    pub api_key: SecretString,
    /// The field of a partner that holds its code; Odoo's own is `ref`.
    pub code_field: String,
    /// The code of the `ir.sequence` that new codes are drawn from.
    pub code_sequence: Option<String>,
    /// `priceList`: `specific_property_product_pricelist`, where price lists are switched on. `gln`: where the GLN is in
    /// another field than Odoo's own.
    pub extra_fields: ExtraFields,
    /// The country of addresses and numbers that name none.
    pub home_country: Option<CountryCode>,
}

/// The address cannot be a server's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "ERP_BASE_URL is the address of the Odoo server without a path or query, such as https://erp.example.com, and the `database` of its secret a plain name"
)]
pub struct InvalidBaseUrl;

/// The capabilities of a database, with or without price lists.
pub(super) const fn capabilities(
    price_lists: bool,
    home_country: Option<CountryCode>,
) -> Capabilities {
    let standard = FieldGroups::of(&[
        FieldGroup::Code,
        FieldGroup::Names,
        FieldGroup::ContactDetails,
        FieldGroup::InvoiceAddress,
        FieldGroup::DeliveryAddresses,
        FieldGroup::Active,
        FieldGroup::CompanyRelations,
        FieldGroup::OrganisationNumber,
        FieldGroup::VatNumber,
    ]);
    Capabilities {
        organisation_number: true,
        delivery_addresses: true,
        location_numbers: true,
        readable: if price_lists {
            standard.union(FieldGroups::of(&[FieldGroup::PriceLists]))
        } else {
            standard
        },
        // A text of PostgreSQL.
        code_case: CodeCase::Exact,
        optimistic_concurrency: false,
        // By the external id, which is unique (erp-apis §2.4).
        creates_are_idempotent: true,
        home_country,
        create_settles_after: SETTLES_AFTER,
    }
}
