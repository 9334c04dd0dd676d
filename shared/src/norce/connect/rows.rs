//! The rows of an import (norce-api §3.3–§3.5).

use serde::Serialize;
use uuid::Uuid;

use super::fields::groups_set;
use crate::{
    domain::{
        Code, CountryCode, EntityKind, FieldGroup, ImportLine, Names, NorceAddress, NorceFields,
        NorceId, OrganisationNumber, Personal, VatNumber,
    },
    norce::{ImportRow, ImportShape, Relation},
};

/// Settings of imports that neither side's data determine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// `ACCOUNT_ROLES`: codes of the roles that a new account gets. Norce must have them (norce-api §3.5).
    pub account_roles: Vec<String>,
    /// `PRICE_LISTS_EXCLUSIVE`: whether a customer's price list alone determines its prices and assortment, over all other
    /// lists. Without the setting, Norce treats a list as not exclusive (norce-api §3.5).
    pub exclusive_price_lists: bool,
}

/// A customer or a company: the key it is matched by, and the fields that are set. A field without a value in the ERP is
/// written as empty, as a listed field that is missing would be (norce-api §3.3, inferred).
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row<'a> {
    /// 1 a customer, 2 a contact of a company (norce-api §3.5).
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    kind: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) application_key: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<NorceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vat_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    middle_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cell_phone_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_address: Option<AddressRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_addresses: Option<Vec<AddressRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_lists: Option<Vec<PriceListRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<FlagRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_info: Option<Vec<InfoRow<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_company_list_delta: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    companies: Option<Vec<RelatedRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_customer_list_delta: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customers: Option<Vec<RelatedRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<AccountRow<'a>>>,
}

/// A company of a customer, or a customer of a company.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RelatedRow {
    id: NorceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_primary: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PriceListRow<'a> {
    code: &'a str,
    is_exclusive: bool,
}

/// A flag of a customer or company, or a role of an account.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FlagRow<'a> {
    code: &'a str,
    is_active: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InfoRow<'a> {
    code: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountRow<'a> {
    application_key: Uuid,
    login_name: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<FlagRow<'a>>,
}

/// Norce replaces an address as a whole: what the ERP's address lacks is written as empty. An `IsPrimary` that is left out
/// changes nothing (norce-api §3.3).
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressRow<'a> {
    care_of: &'a str,
    address_line1: &'a str,
    address_line2: &'a str,
    zip_code: &'a str,
    city: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<CountryCode>,
    gln: &'a str,
    shipping_phone_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_primary: Option<bool>,
}

/// `Type` of a customer (norce-api §3.5).
const PERSON: u8 = 1;
/// `Type` of a contact of a company.
const COMPANY_CONTACT: u8 = 2;

fn text(value: Option<&Personal>) -> &str {
    value.map(Personal::expose).unwrap_or_default()
}

impl<'a> AddressRow<'a> {
    fn of(NorceAddress { address, details }: &'a NorceAddress) -> Self {
        Self {
            care_of: text(address.care_of.as_ref()),
            address_line1: text(address.line1.as_ref()),
            address_line2: text(address.line2.as_ref()),
            zip_code: text(address.postal_code.as_ref()),
            city: text(address.city.as_ref()),
            region: text(address.region.as_ref()),
            country_code: address.country,
            gln: text(details.gln.as_ref()),
            shipping_phone_number: text(details.phone.as_ref()),
            code: details.code.as_ref().map(Personal::expose),
            is_primary: details.primary,
        }
    }
}

/// The row of a line. `accounts`: the keys of the applications in which it gets a login.
pub(super) fn row_of<'a>(
    kind: EntityKind,
    shape: ImportShape,
    ImportRow {
        line,
        values,
        relations,
    }: &'a ImportRow,
    accounts: &[Uuid],
    options: &'a ImportOptions,
) -> Row<'a> {
    let mut row = Row {
        id: line.id,
        ..row_of_values(kind, shape, &line.code, values, options)
    };
    if kind == EntityKind::Customer && shape.insert {
        let contact = shape.relations.then_some(COMPANY_CONTACT);
        row.kind = Some(contact.unwrap_or(PERSON));
    }
    // Without the mark Norce deactivates every relation that the row does not name (norce-api §3.3).
    match kind {
        _ if !shape.relations => {}
        EntityKind::Customer => {
            row.is_company_list_delta = Some(line.former_companies.is_empty());
            row.companies = Some(companies(shape, line, relations));
        }
        EntityKind::Company => {
            let related = |id: &NorceId| RelatedRow {
                id: *id,
                is_primary: None,
            };
            row.is_customer_list_delta = Some(true);
            row.customers = Some(line.contacts.iter().map(related).collect());
        }
    }
    if shape.accounts {
        let roles = options.account_roles.iter().map(|code| FlagRow {
            code,
            is_active: true,
        });
        let accounts = accounts.iter().map(|application_key| AccountRow {
            application_key: *application_key,
            login_name: text(values.email.as_ref()),
            status: "Active",
            roles: roles.clone().collect(),
        });
        row.accounts = Some(accounts.collect());
    }
    row
}

/// The values of the groups that the rows set.
fn row_of_values<'a>(
    kind: EntityKind,
    shape: ImportShape,
    code: &'a Code,
    values: &'a NorceFields,
    options: &'a ImportOptions,
) -> Row<'a> {
    let customer = kind == EntityKind::Customer;
    let groups = groups_set(shape);
    let has = |group| groups.has(group);
    let mut row = Row {
        code: has(FieldGroup::Code).then_some(code),
        is_active: has(FieldGroup::Active).then_some(values.active),
        ..Row::default()
    };
    if has(FieldGroup::Names) {
        match &values.names {
            Some(Names::Customer { first, last }) if customer => {
                row.first_name = Some(text(first.as_ref()));
                // The ERP has one text, which includes what Norce had as the middle name.
                row.middle_name = Some("");
                row.last_name = Some(last.expose());
            }
            Some(Names::Company(name)) if !customer => row.name = Some(name.expose()),
            _ => {}
        }
    }
    if !customer && (shape.insert || has(FieldGroup::OrganisationNumber)) {
        let number = values.organisation_number.as_ref();
        row.organization_no = number.map(OrganisationNumber::expose);
    }
    if !customer && (shape.insert || has(FieldGroup::VatNumber)) {
        row.vat_no = values.vat_number.as_ref().map(VatNumber::expose);
    }
    if has(FieldGroup::ContactDetails) {
        row.email_address = Some(text(values.email.as_ref()));
        row.phone_number = Some(text(values.phone.as_ref()));
        row.cell_phone_number = customer.then(|| text(values.mobile.as_ref()));
    }
    if has(FieldGroup::InvoiceAddress) {
        row.invoice_address = Some(AddressRow::of(&values.invoice_address));
    }
    if has(FieldGroup::DeliveryAddresses) {
        let addresses = values.delivery_addresses.iter();
        row.delivery_addresses = Some(addresses.map(AddressRow::of).collect());
    }
    if has(FieldGroup::PriceLists) {
        let codes = values.price_lists.iter();
        let is_exclusive = options.exclusive_price_lists;
        let lists = codes.map(|code| PriceListRow { code, is_exclusive });
        row.price_lists = Some(lists.collect());
    }
    if has(FieldGroup::Flags) {
        let flags = values.flags.iter().map(|(code, is_active)| FlagRow {
            code,
            is_active: *is_active,
        });
        row.flags = Some(flags.collect());
    }
    if has(FieldGroup::AdditionalInfo) {
        // Norce requires a value (norce-api §3.5), so an entry that is empty in the ERP cannot be sent.
        let infos = values.additional_info.iter().filter_map(|(code, value)| {
            let value = value.as_ref()?.expose();
            Some(InfoRow { code, value })
        });
        row.additional_info = Some(infos.collect());
    }
    row
}

/// The companies of a customer. With a former company all relations are named, because an import ends only those that it
/// does not name.
fn companies(shape: ImportShape, line: &ImportLine, relations: &[Relation]) -> Vec<RelatedRow> {
    let former = |id: NorceId| line.former_companies.contains(&id);
    // A customer's first company is the primary one, and so is the one that replaces the primary one. Otherwise the shop
    // has chosen.
    let replaces_primary = relations
        .iter()
        .any(|it| it.is_primary && former(it.company));
    let company = line.company.map(|id| RelatedRow {
        id,
        is_primary: (shape.insert || replaces_primary).then_some(true),
    });
    let others = relations
        .iter()
        .filter(|it| !former(it.company) && Some(it.company) != line.company)
        .map(|it| RelatedRow {
            id: it.company,
            is_primary: it.is_primary.then_some(true),
        });
    company.into_iter().chain(others).collect()
}
