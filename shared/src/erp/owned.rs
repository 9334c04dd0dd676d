//! What the ERP owns of a record: what is sent to Norce when it changes, and its fingerprint.

use super::{ErpRecord, NaturalKey, organisation_keys, told::short};
use crate::domain::{
    Address, CountryCode, EmailKey, EntityKind, ErpDelivery, FieldGroup, FieldGroups, Fingerprint,
    FingerprintKey, Names, NorceAddresses, NorceFields, OrganisationKey, Personal, Resource,
};
use serde::Serialize;

impl ErpRecord {
    /// Customer or company, in Norce's terms.
    pub const fn entity_kind(&self) -> EntityKind {
        if self.organisation && matches!(self.id.resource, Resource::Customer) {
            EntityKind::Company
        } else {
            EntityKind::Customer
        }
    }

    /// The keys by which the record can be found as an entity of this kind, the best first.
    pub fn keys(&self, kind: EntityKind) -> Vec<NaturalKey> {
        let image = &self.image;
        match kind {
            EntityKind::Company => organisation_keys(
                image.organisation_number.as_ref(),
                image.vat_number.as_ref(),
                self.country(),
            ),
            EntityKind::Customer => {
                // Business Central may hold several addresses, separated by semicolons (erp-apis §1.2).
                let emails = image.email.iter().flat_map(|it| it.expose().split(';'));
                emails
                    .filter_map(EmailKey::parse)
                    .map(NaturalKey::Email)
                    .collect()
            }
        }
    }

    /// The key of its organisation number alone.
    pub fn registered(&self) -> Option<OrganisationKey> {
        self.image.organisation_number.as_ref()?.key(self.country())
    }

    /// The country of its address.
    pub fn country(&self) -> Option<CountryCode> {
        self.image
            .address
            .as_ref()
            .and_then(|address| address.country)
    }

    /// The groups of an organisation's numbers that the record does not have, which are both where it is a person. An organisation does not lose its numbers: what
    /// the ERP does not know is left as Norce has it.
    pub fn unknown_numbers(&self) -> FieldGroups {
        let image = &self.image;
        let mut unknown = FieldGroups::NONE;
        if self.entity_kind() == EntityKind::Customer {
            return FieldGroups::of(&[FieldGroup::OrganisationNumber, FieldGroup::VatNumber]);
        }
        if image.organisation_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::OrganisationNumber]));
        }
        if image.vat_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::VatNumber]));
        }
        unknown
    }

    /// The record as one of this kind, whatever the ERP calls it: a match by code follows Norce, because old registers
    /// have persons of the type that organisations have.
    #[must_use]
    pub const fn of_kind(mut self, kind: EntityKind) -> Self {
        self.organisation = matches!(kind, EntityKind::Company);
        self
    }

    /// The fingerprint of those groups that the ERP owns, each by itself (`price-lists:5f0c…,active:77ab…`), so that a
    /// comparison shows which of them has changed. The code is not among them; it is compared as it is.
    ///
    /// A record that is active and has no price lists leaves no trace of these two groups: Norce has that of a customer
    /// that nobody told it otherwise, so that it need not be told. `None`: there is no trace at all.
    ///
    /// # Errors
    /// When a value has no JSON form; none of the record's is like that.
    pub fn owned_fingerprint(
        &self,
        groups: FieldGroups,
        key: &FingerprintKey,
    ) -> Result<Option<Fingerprint>, serde_json::Error> {
        let image = &self.image;
        let mut text = String::new();
        for group in groups.iter() {
            let hash = match group {
                FieldGroup::Code => continue,
                FieldGroup::Active if !self.blocked => continue,
                FieldGroup::PriceLists if image.price_lists.is_empty() => continue,
                FieldGroup::CompanyRelations if self.company.is_none() => continue,
                FieldGroup::OrganisationNumber if image.organisation_number.is_none() => continue,
                FieldGroup::VatNumber if image.vat_number.is_none() => continue,
                FieldGroup::OrganisationNumber => key.of(&image.organisation_number)?,
                FieldGroup::VatNumber => key.of(&image.vat_number)?,
                FieldGroup::Active => key.of(&self.blocked)?,
                FieldGroup::PriceLists => key.of(&image.price_lists)?,
                FieldGroup::CompanyRelations => key.of(&self.company)?,
                FieldGroup::Names => key.of(&image.name)?,
                FieldGroup::ContactDetails => {
                    key.of(&[&image.email, &image.phone, &image.mobile])?
                }
                FieldGroup::InvoiceAddress => match image.gln.value() {
                    None => key.of(&image.address)?,
                    Some(gln) => key.of(&(&image.address, gln))?,
                },
                FieldGroup::DeliveryAddresses => {
                    let deliveries = image.delivery_addresses.iter();
                    key.of(&deliveries.map(HashedDelivery::of).collect::<Vec<_>>())?
                }
                FieldGroup::Flags => key.of(&image.flags)?,
                FieldGroup::AdditionalInfo => key.of(&image.additional_info)?,
            };
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(group.as_str());
            text.push(':');
            text.push_str(short(&hash));
        }
        Ok((!text.is_empty()).then(|| Fingerprint::from(text)))
    }

    /// The values of an import, in Norce's terms. `norces`: the addresses that the entity has in Norce now; an import that
    /// sets none of them, or inserts the entity, needs none.
    pub fn norce_fields(&self, norces: &NorceAddresses) -> NorceFields {
        let image = &self.image;
        NorceFields {
            names: image.name.as_ref().map(|name| match self.entity_kind() {
                EntityKind::Company => Names::Company(name.clone()),
                EntityKind::Customer => split(name),
            }),
            email: image.email.clone(),
            phone: image.phone.clone(),
            mobile: image.mobile.clone(),
            invoice_address: norces.invoice_over(image.address.as_ref(), &image.gln),
            delivery_addresses: norces.deliveries_over(&image.delivery_addresses),
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

/// A delivery address as it is hashed: the same as ever where the ERP has nothing but the postal parts.
#[derive(Serialize)]
struct HashedDelivery<'a> {
    #[serde(flatten)]
    address: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    gln: Option<&'a Personal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a Personal>,
}

impl<'a> HashedDelivery<'a> {
    const fn of(delivery: &'a ErpDelivery) -> Self {
        Self {
            address: &delivery.address,
            gln: delivery.gln.value(),
            phone: delivery.phone.value(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{ErpDetail, ErpId},
        erp::{ErpImage, ErpRecord, changed_groups, tell_again, told::HASH_CHARS},
    };

    fn record() -> ErpRecord {
        ErpRecord {
            id: ErpId {
                resource: Resource::Customer,
                id: "1".to_owned(),
            },
            code: "C1".parse().unwrap(),
            version: "1".to_owned(),
            modified: None,
            organisation: false,
            blocked: false,
            company: None,
            image: ErpImage {
                name: Personal::parse("Anna Maria Ek"),
                ..ErpImage::default()
            },
        }
    }

    #[test]
    fn a_fingerprint_tells_which_group_has_changed() {
        let key = FingerprintKey::new(b"k");
        let owns: FieldGroups = "code,names,price-lists,active".parse().unwrap();
        let of = |record: &ErpRecord| record.owned_fingerprint(owns, &key).unwrap();
        let told = of(&record());
        let changed = |record: &ErpRecord| {
            changed_groups(told.as_ref(), of(record).as_ref(), owns).to_string()
        };
        assert_eq!(changed(&record()), "");
        let mut priced = record();
        priced.image.price_lists = vec!["VIP".to_owned()];
        assert_eq!(changed(&priced), "price-lists");
        priced.blocked = true;
        priced.image.name = Personal::parse("Anna Berg");
        assert_eq!(changed(&priced), "names,price-lists,active");
        assert_eq!(
            changed_groups(of(&priced).as_ref(), told.as_ref(), owns).to_string(),
            "names,price-lists,active"
        );
        assert_eq!(
            changed_groups(Some(&tell_again(&[])), told.as_ref(), owns).to_string(),
            "names,price-lists,active"
        );
    }

    #[test]
    fn an_active_customer_without_price_lists_leaves_no_trace() {
        let key = FingerprintKey::new(b"k");
        let owns = FieldGroups::ERP_OWNS_BY_DEFAULT;
        assert_eq!(record().owned_fingerprint(owns, &key).unwrap(), None);
    }

    /// A change of what is hashed would tell Norce every address again.
    #[test]
    fn a_fingerprint_of_addresses_changes_for_records_with_a_gln_or_a_telephone_alone() {
        let key = FingerprintKey::new(b"k");
        let owns: FieldGroups = "invoice-address,delivery-addresses".parse().unwrap();
        let address = || Address {
            line1: Personal::parse("Storgatan 1"),
            country: Some(CountryCode::SE),
            ..Address::default()
        };
        let of = |gln: ErpDetail, [delivery_gln, phone]: [ErpDetail; 2]| {
            let mut record = record();
            record.image.address = Some(address());
            record.image.gln = gln;
            record.image.delivery_addresses = vec![ErpDelivery {
                id: "7".to_owned(),
                address: address(),
                gln: delivery_gln,
                phone,
            }];
            record.owned_fingerprint(owns, &key).unwrap().unwrap()
        };
        // As version 0.2.0 wrote it.
        let part = |hash: Fingerprint| hash.as_str()[..HASH_CHARS].to_owned();
        let before = Fingerprint::from(format!(
            "invoice-address:{},delivery-addresses:{}",
            part(key.of(&Some(address())).unwrap()),
            part(key.of(&vec![address()]).unwrap()),
        ));
        let nothing = || [ErpDetail::NoField, ErpDetail::NoField];
        let empty = || ErpDetail::Field(None);
        let value = || ErpDetail::Field(Personal::parse("1"));
        let changed =
            |now: Fingerprint| changed_groups(Some(&before), Some(&now), owns).to_string();
        assert_eq!(changed(of(ErpDetail::NoField, nothing())), "");
        assert_eq!(changed(of(empty(), [empty(), empty()])), "");
        assert_eq!(changed(of(value(), nothing())), "invoice-address");
        for details in [[value(), empty()], [empty(), value()]] {
            assert_eq!(changed(of(empty(), details)), "delivery-addresses");
        }
    }

    #[test]
    fn the_last_word_of_a_person_is_the_last_name() {
        let names = |text: &str| split(&Personal::parse(text).unwrap());
        assert_eq!(
            names("Anna Maria Ek"),
            Names::Customer {
                first: Personal::parse("Anna Maria"),
                last: Personal::parse("Ek").unwrap()
            }
        );
        assert_eq!(
            names("Ek"),
            Names::Customer {
                first: None,
                last: Personal::parse("Ek").unwrap()
            }
        );
    }
}
