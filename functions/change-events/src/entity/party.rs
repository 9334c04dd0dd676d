//! From the shop's terms to the ERP's.

use shared::{
    domain::{
        Address, AddressDetails, Code, Company, Customer, DeliveryAddress, EntityRef, FieldGroup,
        FieldGroups, Fingerprint, FingerprintKey, OwnedFields, PartyType, Personal, ShopField,
        ShopFields,
    },
    erp::{Capabilities, ErpRecord, Party, PartyKind, Resource, same_company},
    mappings::{Mapping, Mappings},
    owed::Reason,
};

use crate::{erps::Erps, result::Failure};

/// A customer or company of the shop, in the ERP's terms.
pub(crate) struct ShopRecord {
    pub(crate) code: Option<Code>,
    pub(crate) party: Party,
    pub(crate) active: bool,
    /// Norce itself says that there was an order.
    pub(crate) has_ordered: bool,
    pub(crate) contacts: Vec<EntityRef>,
}

impl ShopRecord {
    /// The party, in the form in which it is bound: a contact may have been entered in the ERP as a customer of its own.
    pub(crate) fn bound_as(&self, resource: Resource) -> Party {
        let mut party = self.party.clone();
        if resource == Resource::Customer && party.kind.resource() == Resource::Contact {
            party.kind = PartyKind::Person;
        }
        party
    }
}

/// Fingerprints what the shop has to say about a party: what the ERP owns is not part of it.
#[derive(Clone, Copy)]
pub(crate) struct ShopFingerprints<'a> {
    pub(crate) erp_owns: OwnedFields,
    pub(crate) key: &'a FingerprintKey,
}

impl ShopFingerprints<'_> {
    pub(crate) fn of(&self, party: &Party) -> Result<Fingerprint, Failure> {
        let owns = self.erp_owns.of(party.kind.party_type());
        let ours = without_erp_owned(party, owns, None);
        Ok(self.key.of(&ours)?)
    }

    /// The mark in place of a fingerprint of a record that one of our creates has made, and that may lack what follows a
    /// create. It differs from every fingerprint, so that an update follows.
    pub(crate) fn of_incomplete(&self) -> Result<Fingerprint, Failure> {
        Ok(self.key.of(&"made by an earlier attempt")?)
    }
}

/// Finds out what customers are in the ERP.
#[derive(Clone, Copy)]
pub(crate) struct PartyKinds<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) erp_owns: OwnedFields,
}

impl PartyKinds<'_> {
    /// What a customer is in the ERP: what it was bound as, else a contact if it belongs to a company, else a
    /// person. `None`: a contact whose company is not in the ERP yet.
    pub(crate) async fn party_kind(
        &self,
        customer: &Customer,
        mapping: Option<&Mapping>,
    ) -> Result<Option<PartyKind>, Failure> {
        let bound_as = match mapping {
            Some(Mapping::Bound(binding)) => Some(binding.erp_id.resource),
            _ => None,
        };
        match (bound_as, customer.main_company()) {
            (Some(Resource::Customer), _) | (None, None) => Ok(Some(PartyKind::Person)),
            (Some(Resource::Contact), company)
                if self
                    .erp_owns
                    .of(PartyType::Contact)
                    .has(FieldGroup::CompanyRelations) =>
            {
                let mapping = match company {
                    Some(company) => self.mappings.get(company).await?,
                    None => None,
                };
                let company = match mapping {
                    Some(Mapping::Bound(binding)) => Some(binding.erp_id),
                    _ => None,
                };
                Ok(Some(PartyKind::Contact { company }))
            }
            // An update needs the record only: the contact stays where it is in the ERP.
            (Some(Resource::Contact), None) => Ok(Some(PartyKind::Contact { company: None })),
            (bound_as, Some(company)) => {
                self.check_same_erp_company(customer.entity, company)?;
                match self.mappings.get(company).await? {
                    Some(Mapping::Bound(binding)) => Ok(Some(PartyKind::Contact {
                        company: Some(binding.erp_id),
                    })),
                    _ => Ok(bound_as.map(|_| PartyKind::Contact { company: None })),
                }
            }
        }
    }

    /// A contact is kept in the ERP company of its company: for a company that all applications share, the one behind them.
    fn check_same_erp_company(
        &self,
        customer: EntityRef,
        company: EntityRef,
    ) -> Result<(), Failure> {
        if same_company(self.erps.of(customer.scope)?, self.erps.of(company.scope)?) {
            return Ok(());
        }
        Err(Failure::conflict(format!(
            "{customer} is a contact of {company}, which is kept in another ERP company: relate it to a company of its own application in Norce, or give its application no `erpCompany` of its own"
        )))
    }
}

/// A customer, as the kind of party that it is in the ERP.
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
        default_country: None,
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

/// The delivery addresses with the details for which the ERP may have fields, if it has delivery addresses. The primary one
/// is first.
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
        default_country: erp.home_country,
        delivery_addresses: deliveries(&company.delivery_addresses, erp)
            .filter(|_| !company.unread.contains(&ShopField::AddressLines)),
        gln: gln(
            company.invoice_address.as_ref(),
            &company.invoice_details,
            erp,
        ),
    })
}

/// The party without what the ERP owns, which an update leaves as it was `seen`. A create sends everything, because an ERP
/// needs a complete record to begin with.
pub(crate) fn without_erp_owned(
    party: &Party,
    owns: FieldGroups,
    seen: Option<&ErpRecord>,
) -> Party {
    let mut party = party.clone();
    if owns.has(FieldGroup::Names) {
        // A party always has a name: the record's own, or for a fingerprint a constant.
        let name = seen.map_or_else(|| Personal::parse("-"), |seen| seen.fields.name.clone());
        party.name = name.unwrap_or(party.name);
    }
    if owns.has(FieldGroup::ContactDetails) {
        party.email = None;
        party.phone = None;
        party.mobile = None;
    }
    if owns.has(FieldGroup::InvoiceAddress) {
        let seen = seen.and_then(|seen| seen.fields.address.as_ref()?.country);
        party.default_country = seen.or(party.default_country);
        party.address = None;
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

fn no_name(entity: EntityRef) -> Failure {
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

    /// A party with a value in every field.
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
            default_country: None,
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
