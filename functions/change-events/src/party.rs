//! From the shop's terms to the ERP's.

use shared::{
    domain::{
        Address, AddressDetails, Company, Customer, DeliveryAddress, FieldGroup, FieldGroups,
        Personal, ShopField, ShopFields,
    },
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
        emptied: ShopFields::new(),
        unread: customer.unread.clone(),
        delivery_addresses: deliveries(&customer.delivery_addresses, erp),
        gln: gln(
            customer.invoice_address.as_ref(),
            &customer.invoice_details,
            erp,
        ),
    })
}

/// The GLN that goes with an invoice address: without a postal part there is no address that it could be of.
fn gln(
    address: Option<&Address>,
    details: &AddressDetails,
    erp: &Capabilities,
) -> Option<Personal> {
    let is_taken = erp.location_numbers && address.is_some();
    details.gln.clone().filter(|_| is_taken)
}

/// The delivery addresses with the details that the ERP may have fields for, where it takes any. The primary one is the
/// first.
fn deliveries(addresses: &[DeliveryAddress], erp: &Capabilities) -> Option<Vec<DeliveryAddress>> {
    let taken = |delivery: &DeliveryAddress| DeliveryAddress {
        details: AddressDetails {
            gln: delivery
                .details
                .gln
                .clone()
                .filter(|_| erp.location_numbers),
            phone: delivery.details.phone.clone(),
            ..AddressDetails::default()
        },
        ..delivery.clone()
    };
    erp.delivery_addresses
        .then(|| addresses.iter().map(taken).collect())
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
        emptied: ShopFields::new(),
        unread: company.unread.clone(),
        delivery_addresses: deliveries(&company.delivery_addresses, erp)
            .filter(|_| !company.unread.contains(&ShopField::AddressLines)),
        gln: gln(
            company.invoice_address.as_ref(),
            &company.invoice_details,
            erp,
        ),
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
        // The record's own country, because a VAT number is completed by it.
        let seen = seen.and_then(|seen| seen.image.address.as_ref()?.country);
        party.address = seen.map(|country| Address {
            country: Some(country),
            ..Address::default()
        });
        party.gln = None;
    }
    if owns.has(FieldGroup::OrganisationNumber) {
        party.organisation_number = None;
    }
    if owns.has(FieldGroup::VatNumber) {
        party.vat_number = None;
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

#[cfg(test)]
mod tests {
    use shared::domain::{CountryCode, OrganisationNumber, VatNumber};

    use super::*;

    fn text(text: &str) -> Option<Personal> {
        Personal::parse(text)
    }

    /// A party about which everything is known.
    fn party() -> Party {
        let address = Address {
            line1: text("Storgatan 1"),
            country: Some(CountryCode::SE),
            ..Address::default()
        };
        Party {
            kind: PartyKind::Company,
            name: text("Bolaget AB").unwrap(),
            email: text("info@bolaget.example"),
            phone: text("08-1"),
            mobile: text("070-1"),
            title: text("VD"),
            organisation_number: OrganisationNumber::parse("556036-0793"),
            vat_number: VatNumber::parse("SE556036079301"),
            address: Some(address.clone()),
            emptied: ShopFields::new(),
            unread: ShopFields::new(),
            delivery_addresses: Some(vec![DeliveryAddress {
                id: 1,
                address,
                details: AddressDetails::default(),
            }]),
            gln: text("7300000000001"),
        }
    }

    #[test]
    fn an_update_leaves_out_every_field_of_a_group_that_the_erp_owns_and_no_other() {
        let json = |party: &Party| serde_json::to_value(party).unwrap();
        let whole = json(&party());
        let fields = whole.as_object().unwrap();
        assert_eq!(
            fields.len(),
            11,
            "a new field belongs to a group, or to none"
        );
        for group in FieldGroup::ALL {
            let expected: &[&str] = match group {
                FieldGroup::Names => &["name"],
                FieldGroup::ContactDetails => &["email", "mobile", "phone"],
                FieldGroup::InvoiceAddress => &["address", "gln"],
                FieldGroup::DeliveryAddresses => &["delivery_addresses"],
                FieldGroup::OrganisationNumber => &["organisation_number"],
                FieldGroup::VatNumber => &["vat_number"],
                _ => &[],
            };
            let ours = without_erp_owned(&party(), FieldGroups::of(&[group]), None);
            let ours = json(&ours);
            let differs =
                |field: &&String| ours.get(field.as_str()) != Some(&whole[field.as_str()]);
            let mut left_out: Vec<&String> = fields.keys().filter(differs).collect();
            left_out.sort();
            assert_eq!(left_out, expected, "{group}");
        }
    }
}
