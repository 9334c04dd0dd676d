//! From the shop's terms to the ERP's.

use shared::{
    domain::{Company, Customer, FieldGroup, FieldGroups, Personal},
    erp::{Capabilities, ErpRecord, Party, PartyKind},
    owed::Reason,
};

use crate::failure::Failure;

/// A customer as a person or, where `kind` says so, a contact.
pub(crate) fn of_customer(
    customer: &Customer,
    kind: PartyKind,
    erp: &Capabilities,
) -> Result<Party, Failure> {
    let name = customer
        .full_name()
        .ok_or_else(|| no_name(customer.entity))?;
    Ok(Party {
        kind,
        name,
        email: customer.email.clone(),
        phone: customer.phone.clone(),
        mobile: customer.mobile.clone(),
        title: customer.title.clone(),
        organisation_number: None,
        vat_number: None,
        address: customer.invoice_address.clone(),
        delivery_addresses: erp
            .delivery_addresses
            .then(|| customer.delivery_addresses.clone()),
    })
}

/// A company.
pub(crate) fn of_company(company: &Company, erp: &Capabilities) -> Result<Party, Failure> {
    let name = company
        .name
        .clone()
        .ok_or_else(|| no_name(company.entity))?;
    Ok(Party {
        kind: PartyKind::Company,
        name,
        email: company.email.clone(),
        phone: company.phone.clone(),
        mobile: None,
        title: None,
        organisation_number: company.organisation_number.clone(),
        vat_number: company.vat_number.clone(),
        address: company.invoice_address.clone(),
        delivery_addresses: erp
            .delivery_addresses
            .then(|| company.delivery_addresses.clone()),
    })
}

/// The party without what the ERP owns: an update leaves that as it was `seen`. A create does not go through here, because
/// an ERP wants a whole record to begin with.
pub(crate) fn without_erp_owned(
    party: &Party,
    owns: FieldGroups,
    seen: Option<&ErpRecord>,
) -> Party {
    let mut party = party.clone();
    if owns.has(FieldGroup::Names) {
        // A party always has a name: the record's own, or for a fingerprint any that is always the same.
        let name = seen.map_or_else(|| Personal::parse("-"), |seen| seen.image.name.clone());
        party.name = name.unwrap_or(party.name);
    }
    if owns.has(FieldGroup::ContactDetails) {
        party.email = None;
        party.phone = None;
        party.mobile = None;
    }
    if owns.has(FieldGroup::InvoiceAddress) {
        party.address = None;
    }
    if owns.has(FieldGroup::DeliveryAddresses) {
        party.delivery_addresses = None;
    }
    party
}

fn no_name(entity: shared::domain::EntityRef) -> Failure {
    Failure::owed(
        Reason::Validation,
        format!("{entity} has no name in Norce, and the ERP needs one: fill it in there"),
    )
}
