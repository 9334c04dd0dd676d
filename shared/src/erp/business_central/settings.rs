//! What a company of Business Central is reached with, and what it is capable of.

use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use crate::{
    domain::{CodeCase, Countries, FieldGroup, FieldGroups},
    erp::{Capabilities, ExtraFields},
};

/// The gateway in front of Business Central gives up after 10 minutes, and the server itself after 8 (erp-apis §1.8):
/// a create that has not been carried out by then never will be.
const SETTLES_AFTER: Duration = Duration::from_secs(10 * 60);

/// The address of Business Central, the company, and the credentials.
#[derive(Debug, Clone)]
pub struct BusinessCentralSettings {
    /// The API root, such as `https://api.businesscentral.dynamics.com/v2.0/{tenant}/{environment}/api/v2.0`, or
    /// that of a custom API (`…/api/{publisher}/{group}/{version}`).
    pub api_root: Url,
    /// The id of the company.
    pub company: Uuid,
    /// The token endpoint, `https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token`.
    pub token_url: Url,
    /// The client id of the app registration.
    pub client_id: String,
    /// The secret of the app registration.
    pub client_secret: SecretString,
    /// Fields of `customers` that the merchant's own API page has.
    pub extra_fields: ExtraFields,
    /// The root of the custom API whose page `customers` has the extra fields; it is only read. None: the page of
    /// `api_root` has them.
    pub extra_root: Option<Url>,
    /// The company's own codes of countries ("Country/Region").
    pub countries: Countries,
}

/// An address cannot be an API root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidApiRoot {
    /// [`BusinessCentralSettings::api_root`].
    #[error(
        "ERP_BASE_URL is an address with a host and without a query, such as https://api.businesscentral.dynamics.com/v2.0/<tenant>/<environment>/api/v2.0"
    )]
    Standard,
    /// [`BusinessCentralSettings::extra_root`]: the token is sent there, so that it has to be on the same server.
    #[error(
        "ERP_EXTRA_BASE_URL is an address on the server of ERP_BASE_URL and without a query, such as https://api.businesscentral.dynamics.com/v2.0/<tenant>/<environment>/api/<publisher>/<group>/<version>"
    )]
    Extra,
}

/// The capabilities of a company with these extra fields and countries.
pub(super) fn capabilities(extra: &ExtraFields, countries: &Countries) -> Capabilities {
    Capabilities {
        organisation_number: false,
        delivery_addresses: false,
        // No page of the standard API has one (erp-apis §1.3).
        location_numbers: false,
        readable: readable(extra),
        code_case: CodeCase::Ignored,
        optimistic_concurrency: true,
        // Its only idempotency key is the requested code (erp-apis §1.11).
        creates_are_idempotent: false,
        home_country: countries.home,
        create_settles_after: SETTLES_AFTER,
    }
}

/// The standard API has no price lists, no delivery addresses and no flags (erp-apis §1.3).
fn readable(extra: &ExtraFields) -> FieldGroups {
    let has_number = extra.organisation_number.is_some();
    let extended = [
        (extra.price_list.is_some(), FieldGroup::PriceLists),
        (has_number, FieldGroup::OrganisationNumber),
        (!extra.flags.is_empty(), FieldGroup::Flags),
        (
            !extra.additional_info.is_empty(),
            FieldGroup::AdditionalInfo,
        ),
    ];
    let standard = FieldGroups::of(&[
        FieldGroup::Code,
        FieldGroup::Names,
        FieldGroup::ContactDetails,
        FieldGroup::InvoiceAddress,
        FieldGroup::Active,
        FieldGroup::CompanyRelations,
        FieldGroup::VatNumber,
    ]);
    extended
        .into_iter()
        .filter(|(is_configured, _)| *is_configured)
        .fold(standard, |readable, (_, group)| {
            readable.union(FieldGroups::of(&[group]))
        })
}
