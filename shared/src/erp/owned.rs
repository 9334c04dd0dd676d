//! The fields of a record that the ERP owns: the values that are sent to Norce, and their fingerprint.

use super::{ErpRecord, NaturalKey, email_field, organisation_keys, sent::short};
use crate::domain::{
    Address, CountryCode, EntityKind, ErpDelivery, FieldGroup, FieldGroups, Fingerprint,
    FingerprintKey, Names, NorceAddresses, NorceFields, OrganisationKey, PartyType, Personal,
    Resource,
};
use serde::Serialize;

impl ErpRecord {
    /// The kind of the record in Norce.
    pub const fn entity_kind(&self) -> EntityKind {
        if self.organisation && matches!(self.id.resource, Resource::Customer) {
            EntityKind::Company
        } else {
            EntityKind::Customer
        }
    }

    /// The type, for settings that differ between the types.
    pub const fn party_type(&self) -> PartyType {
        PartyType::of(self.entity_kind(), self.id.resource)
    }

    /// The keys by which the record can be found as an entity of this kind, the best first.
    pub fn keys(&self, kind: EntityKind) -> Vec<NaturalKey> {
        let fields = &self.fields;
        match kind {
            EntityKind::Company => organisation_keys(
                fields.organisation_number.as_ref(),
                fields.vat_number.as_ref(),
                self.country(),
            ),
            EntityKind::Customer => {
                let emails = fields.email.iter();
                let keys = emails.flat_map(|it| email_field::keys(it.expose()));
                keys.map(NaturalKey::Email).collect()
            }
        }
    }

    /// The key of the organisation number alone, without the VAT number.
    pub fn registered(&self) -> Option<OrganisationKey> {
        self.fields
            .organisation_number
            .as_ref()?
            .key(self.country())
    }

    /// The country of its numbers.
    pub fn country(&self) -> Option<CountryCode> {
        let address = self.fields.address.as_ref();
        let country = address.and_then(|address| address.country);
        country.or(self.fields.default_country)
    }

    /// The groups of an organisation's numbers that the record does not have: both for a person. An organisation does not
    /// lose its numbers, so that Norce keeps those that the ERP does not know.
    pub fn unknown_numbers(&self) -> FieldGroups {
        let fields = &self.fields;
        let mut unknown = FieldGroups::NONE;
        if self.entity_kind() == EntityKind::Customer {
            return FieldGroups::of(&[FieldGroup::OrganisationNumber, FieldGroup::VatNumber]);
        }
        if fields.organisation_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::OrganisationNumber]));
        }
        if fields.vat_number.is_none() {
            unknown = unknown.union(FieldGroups::of(&[FieldGroup::VatNumber]));
        }
        unknown
    }

    /// The record as one of this kind, whatever its type in the ERP: a match by code follows Norce, because old records of
    /// persons may have the type of organisations.
    #[must_use]
    pub const fn of_kind(mut self, kind: EntityKind) -> Self {
        self.organisation = matches!(kind, EntityKind::Company);
        self
    }

    /// The fingerprint of the groups that the ERP owns, each by itself (`price-lists:5f0c…,active:77ab…`), so that a
    /// comparison shows which of them have changed. The code is not among them; it is compared as it is.
    ///
    /// Groups with Norce's default value (active, no price lists, no company, no numbers) are left out, so that they need
    /// not be sent to Norce. `None`: no group is left.
    ///
    /// # Errors
    /// A value has no JSON form, which does not happen to values of a record.
    pub fn owned_fingerprint(
        &self,
        groups: FieldGroups,
        key: &FingerprintKey,
    ) -> Result<Option<Fingerprint>, serde_json::Error> {
        let fields = &self.fields;
        let mut text = String::new();
        for group in groups.iter() {
            let hash = match group {
                FieldGroup::Code => continue,
                FieldGroup::Active if !self.blocked => continue,
                FieldGroup::PriceLists if fields.price_lists.is_empty() => continue,
                FieldGroup::CompanyRelations if self.company.is_none() => continue,
                FieldGroup::OrganisationNumber if fields.organisation_number.is_none() => continue,
                FieldGroup::VatNumber if fields.vat_number.is_none() => continue,
                FieldGroup::OrganisationNumber => key.of(&fields.organisation_number)?,
                FieldGroup::VatNumber => key.of(&fields.vat_number)?,
                FieldGroup::Active => key.of(&self.blocked)?,
                FieldGroup::PriceLists => key.of(&fields.price_lists)?,
                FieldGroup::CompanyRelations => key.of(&self.company)?,
                FieldGroup::Names => key.of(&fields.name)?,
                FieldGroup::ContactDetails => {
                    key.of(&[&self.email(), &fields.phone, &fields.mobile])?
                }
                FieldGroup::InvoiceAddress => match fields.gln.value() {
                    None => key.of(&fields.address)?,
                    Some(gln) => key.of(&(&fields.address, gln))?,
                },
                FieldGroup::DeliveryAddresses => {
                    let deliveries = fields.delivery_addresses.iter();
                    key.of(&deliveries.map(HashedDelivery::of).collect::<Vec<_>>())?
                }
                FieldGroup::Flags => key.of(&fields.flags)?,
                FieldGroup::AdditionalInfo => key.of(&fields.additional_info)?,
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

    /// The one e-mail address that Norce gets. A text without a usable address goes as it is: Norce refuses it, and an empty
    /// one would take away the address that it has.
    fn email(&self) -> Option<Personal> {
        let field = self.fields.email.as_ref()?;
        email_field::first(field).or_else(|| Some(field.clone()))
    }

    /// The values of an import into Norce. `norces`: the addresses that the entity has in Norce now; an import that sets no
    /// address, or inserts the entity, needs none.
    pub fn norce_fields(&self, norces: &NorceAddresses) -> NorceFields {
        let fields = &self.fields;
        NorceFields {
            names: fields.name.as_ref().map(|name| match self.entity_kind() {
                EntityKind::Company => Names::Company(name.clone()),
                EntityKind::Customer => split(name),
            }),
            email: self.email(),
            phone: fields.phone.clone(),
            mobile: fields.mobile.clone(),
            invoice_address: norces.invoice_over(fields.address.as_ref(), &fields.gln),
            delivery_addresses: norces.deliveries_over(&fields.delivery_addresses),
            price_lists: fields.price_lists.clone(),
            active: !self.blocked,
            flags: fields.flags.clone(),
            additional_info: fields.additional_info.clone(),
            organisation_number: fields
                .organisation_number
                .clone()
                .or_else(|| fields.vat_number.as_ref()?.organisation_number()),
            vat_number: fields.vat_number.clone(),
        }
    }
}

/// The hashed form of a delivery address. An address with postal parts only has the same hash as in earlier versions.
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

/// Splits a name that the ERP has in one field: the last word is the last name.
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
        erp::{ErpFields, ErpRecord, changed_groups, resend_marker, sent::HASH_CHARS},
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
            fields: ErpFields {
                name: Personal::parse("Anna Maria Ek"),
                ..ErpFields::default()
            },
        }
    }

    #[test]
    fn a_fingerprint_tells_which_group_has_changed() {
        let key = FingerprintKey::new(b"k");
        let owns: FieldGroups = "code,names,price-lists,active".parse().unwrap();
        let of = |record: &ErpRecord| record.owned_fingerprint(owns, &key).unwrap();
        let sent = of(&record());
        let changed = |record: &ErpRecord| {
            changed_groups(sent.as_ref(), of(record).as_ref(), owns).to_string()
        };
        assert_eq!(changed(&record()), "");
        let mut priced = record();
        priced.fields.price_lists = vec!["VIP".to_owned()];
        assert_eq!(changed(&priced), "price-lists");
        priced.blocked = true;
        priced.fields.name = Personal::parse("Anna Berg");
        assert_eq!(changed(&priced), "names,price-lists,active");
        assert_eq!(
            changed_groups(of(&priced).as_ref(), sent.as_ref(), owns).to_string(),
            "names,price-lists,active"
        );
        assert_eq!(
            changed_groups(Some(&resend_marker(&[])), sent.as_ref(), owns).to_string(),
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
            record.fields.address = Some(address());
            record.fields.gln = gln;
            record.fields.delivery_addresses = vec![ErpDelivery {
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
    fn norce_gets_one_address_of_several_and_a_change_of_the_others_changes_nothing() {
        let key = FingerprintKey::new(b"k");
        let owns = FieldGroups::of(&[FieldGroup::ContactDetails]);
        let with = |email: &str| {
            let mut record = record();
            record.fields.email = Personal::parse(email);
            record
        };
        let sent = |email| with(email).norce_fields(&NorceAddresses::default()).email;
        let hash = |email| with(email).owned_fingerprint(owns, &key).unwrap();
        for several in [
            "anna@x.se;faktura@x.se",
            "anna@x.se, faktura@x.se",
            "\"Anna Ek\" <anna@x.se>",
        ] {
            assert_eq!(sent(several), Personal::parse("anna@x.se"), "{several}");
            assert_eq!(hash(several), hash("anna@x.se"), "{several}");
        }
        assert_eq!(sent("ring Anna"), Personal::parse("ring Anna"));
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
