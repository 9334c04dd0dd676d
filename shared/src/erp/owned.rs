//! What the ERP owns of a record: what Norce is told when it changes.

use serde::Serialize;

use super::{CompanyKey, ErpRecord};
use crate::domain::{
    Address, EntityKind, FieldGroup, FieldGroups, Names, NorceFields, Personal, Resource,
};

/// The fields of a record that the ERP owns; the code is not among them. This is what is fingerprinted: the order of
/// the fields is part of the fingerprint, and a group that the ERP does not own leaves no trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnedImage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a Personal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact_details: Option<[Option<&'a Personal>; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_address: Option<Option<&'a Address>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_addresses: Option<&'a [Address]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_lists: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<&'a [(String, bool)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_info: Option<&'a [(String, Option<Personal>)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    company: Option<Option<&'a CompanyKey>>,
}

impl ErpRecord {
    /// Customer or company, in Norce's terms.
    pub const fn entity_kind(&self) -> EntityKind {
        if self.organisation && matches!(self.id.resource, Resource::Customer) {
            EntityKind::Company
        } else {
            EntityKind::Customer
        }
    }

    /// What the ERP owns of it, when these are the groups that the ERP owns.
    pub fn owned(&self, groups: FieldGroups) -> OwnedImage<'_> {
        let image = &self.image;
        OwnedImage {
            name: image
                .name
                .as_ref()
                .filter(|_| groups.has(FieldGroup::Names)),
            contact_details: groups
                .has(FieldGroup::ContactDetails)
                .then(|| [&image.email, &image.phone, &image.mobile].map(Option::as_ref)),
            invoice_address: groups
                .has(FieldGroup::InvoiceAddress)
                .then_some(image.address.as_ref()),
            delivery_addresses: groups
                .has(FieldGroup::DeliveryAddresses)
                .then_some(image.delivery_addresses.as_slice()),
            price_lists: groups
                .has(FieldGroup::PriceLists)
                .then_some(image.price_lists.as_slice()),
            active: groups.has(FieldGroup::Active).then_some(!self.blocked),
            flags: groups
                .has(FieldGroup::Flags)
                .then_some(image.flags.as_slice()),
            additional_info: groups
                .has(FieldGroup::AdditionalInfo)
                .then_some(image.additional_info.as_slice()),
            company: (groups.has(FieldGroup::CompanyRelations)
                && self.id.resource == Resource::Contact)
                .then_some(self.company.as_ref()),
        }
    }

    /// The values of an import, in Norce's terms.
    pub fn norce_fields(&self) -> NorceFields {
        let image = &self.image;
        NorceFields {
            names: image.name.as_ref().map(|name| match self.entity_kind() {
                EntityKind::Company => Names::Company(name.clone()),
                EntityKind::Customer => split(name),
            }),
            email: image.email.clone(),
            phone: image.phone.clone(),
            mobile: image.mobile.clone(),
            invoice_address: image.address.clone(),
            delivery_addresses: image.delivery_addresses.clone(),
            price_lists: image.price_lists.clone(),
            active: !self.blocked,
            flags: image.flags.clone(),
            additional_info: image.additional_info.clone(),
            organisation_number: image
                .organisation_number
                .clone()
                .or_else(|| image.vat_number.as_ref()?.organisation_number()),
            vat_number: image.vat_number.clone(),
        }
    }
}

impl OwnedImage<'_> {
    /// Whether this is what every record is that nothing was ever said about: active and without price lists. Norce
    /// has that of a customer that nobody told it otherwise, so that it need not be told.
    pub fn is_unremarkable(&self) -> bool {
        self.active != Some(false)
            && self.price_lists.is_none_or(<[String]>::is_empty)
            && self.name.is_none()
            && self.contact_details.is_none()
            && self.invoice_address.is_none()
            && self.delivery_addresses.is_none()
            && self.flags.is_none()
            && self.additional_info.is_none()
            && self.company.is_none()
    }
}

/// The ERP has a name in one text: its last word is the last name.
fn split(name: &Personal) -> Names {
    let (first, last) = match name.expose().rsplit_once(char::is_whitespace) {
        Some((first, last)) => (Personal::parse(first), Personal::parse(last)),
        None => (None, None),
    };
    Names::Customer {
        first,
        last: last.unwrap_or_else(|| name.clone()),
    }
}
