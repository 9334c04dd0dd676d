//! The fields that an update does not overwrite, because the two sides differed when the entity was bound to a record that
//! the ERP already had.
//!
//! The record in the ERP is older than its binding, and the shop's values are not necessarily the better ones. So the first
//! synchronization overwrites no value of the ERP: it stores the fields that differ, each with a keyed hash of the shop's
//! value. A field is written when the shop changes it, and is the shop's from then on. Empty fields of the ERP's record are
//! filled in.

use serde::Serialize;
use shared::{
    domain::{
        Address, AddressDetails, DeliveryAddress, FingerprintKey, FirstBindingWrites, KeptFields,
        PartyField, Personal,
    },
    erp::{ErpRecord, Party},
};

use crate::result::Failure;

/// The stored length of a keyed hash: 64 bits, so that one change of the shop in 10^19 is missed.
const HASH_CHARS: usize = 16;

/// The keyed hash of each value that the party has. An address is hashed by its postal parts alone, and delivery addresses in
/// the order of their ids, as earlier versions did: a different hash would let the shop overwrite an address that the
/// ERP keeps. The GLN and telephone of an address are kept and released together with it.
fn hashes(party: &Party, key: &FingerprintKey) -> Result<KeptFields, serde_json::Error> {
    fn hash(
        hashes: &mut KeptFields,
        key: &FingerprintKey,
        field: PartyField,
        value: Option<&impl Serialize>,
    ) -> Result<(), serde_json::Error> {
        if let Some(value) = value {
            let whole = key.of(&(field, value))?;
            let short = whole.as_str().get(..HASH_CHARS).unwrap_or_default();
            hashes.insert(field, short.to_owned().into());
        }
        Ok(())
    }
    let mut all = KeptFields::new();
    hash(&mut all, key, PartyField::Name, Some(&party.name))?;
    hash(&mut all, key, PartyField::Email, party.email.as_ref())?;
    hash(&mut all, key, PartyField::Phone, party.phone.as_ref())?;
    hash(&mut all, key, PartyField::Mobile, party.mobile.as_ref())?;
    hash(&mut all, key, PartyField::Title, party.title.as_ref())?;
    let number = party.organisation_number.as_ref();
    hash(&mut all, key, PartyField::OrganisationNumber, number)?;
    hash(
        &mut all,
        key,
        PartyField::VatNumber,
        party.vat_number.as_ref(),
    )?;
    hash(&mut all, key, PartyField::Address, party.address.as_ref())?;
    let deliveries = party.delivery_addresses.as_deref().map(postal);
    let deliveries = deliveries.as_ref();
    hash(&mut all, key, PartyField::DeliveryAddresses, deliveries)?;
    Ok(all)
}

/// The postal parts of delivery addresses, in the order of their ids.
fn postal(deliveries: &[DeliveryAddress]) -> Vec<DeliveryAddress> {
    let postal = |delivery: &DeliveryAddress| DeliveryAddress {
        details: AddressDetails::default(),
        ..delivery.clone()
    };
    let mut deliveries: Vec<DeliveryAddress> = deliveries.iter().map(postal).collect();
    deliveries.sort_by_key(|delivery| delivery.id);
    deliveries
}

/// Whether the ERP has a value that differs from the shop's.
fn differs(field: PartyField, party: &Party, seen: &ErpRecord) -> bool {
    fn other<T: PartialEq>(ours: Option<&T>, theirs: Option<&T>) -> bool {
        theirs.is_some() && ours != theirs
    }
    let fields = &seen.fields;
    match field {
        PartyField::Name => other(Some(&party.name), fields.name.as_ref()),
        PartyField::Email => other(party.email.as_ref(), fields.email.as_ref()),
        PartyField::Phone => other(party.phone.as_ref(), fields.phone.as_ref()),
        PartyField::Mobile => other(party.mobile.as_ref(), fields.mobile.as_ref()),
        PartyField::Title => other(party.title.as_ref(), fields.title.as_ref()),
        PartyField::OrganisationNumber => other(
            party.organisation_number.as_ref(),
            fields.organisation_number.as_ref(),
        ),
        PartyField::VatNumber => other(party.vat_number.as_ref(), fields.vat_number.as_ref()),
        PartyField::Address => {
            let theirs = fields.address.as_ref();
            let theirs = theirs.filter(|theirs| has_lines(theirs));
            other(party.address.as_ref(), theirs)
                || party.gln.is_some() && other(party.gln.as_ref(), fields.gln.value())
        }
        PartyField::DeliveryAddresses => {
            let ours = postal(party.delivery_addresses.as_deref().unwrap_or_default());
            let ours = ours.iter().map(|delivery| &delivery.address);
            let theirs = fields.delivery_addresses.iter();
            !fields.delivery_addresses.is_empty()
                && !ours.eq(theirs.map(|delivery| &delivery.address))
        }
    }
}

/// Whether an address is more than a country, which an ERP may set by itself.
fn has_lines(address: &Address) -> bool {
    *address
        != Address {
            country: address.country,
            ..Address::default()
        }
}

/// The party without the fields that the ERP keeps.
fn without(kept: &KeptFields, party: &Party, seen: &ErpRecord) -> Party {
    let mut party = party.clone();
    for field in kept.keys() {
        match field {
            PartyField::Name => {
                let name: Option<Personal> = seen.fields.name.clone();
                party.name = name.unwrap_or(party.name);
            }
            PartyField::Email => party.email = None,
            PartyField::Phone => party.phone = None,
            PartyField::Mobile => party.mobile = None,
            PartyField::Title => party.title = None,
            PartyField::OrganisationNumber => party.organisation_number = None,
            PartyField::VatNumber => party.vat_number = None,
            PartyField::Address => {
                let country = seen.fields.address.as_ref().and_then(|it| it.country);
                party.default_country = country.or(party.default_country);
                party.address = None;
                party.gln = None;
            }
            PartyField::DeliveryAddresses => party.delivery_addresses = None,
        }
    }
    party
}

/// What an update sends, and what the ERP keeps from now on. `first_writes`: the record was there before it was bound and
/// nothing has been sent to it yet; for these kinds of parties the shop's values are written at once.
pub(crate) fn keep(
    kept: &KeptFields,
    first_writes: Option<FirstBindingWrites>,
    party: &Party,
    seen: &ErpRecord,
    key: &FingerprintKey,
) -> Result<(Party, KeptFields), Failure> {
    let mut now = hashes(party, key)?;
    if let Some(writes) = first_writes {
        let writes = writes.0.has(party.kind.party_type());
        now.retain(|field, _| {
            let differs = match field {
                // An ERP with one telephone field would replace the number that it keeps with the mobile number.
                PartyField::Mobile if seen.fields.mobile.is_none() => {
                    differs(PartyField::Phone, party, seen)
                }
                field => differs(*field, party, seen),
            };
            !writes && differs
        });
    } else {
        now.retain(|field, hash| kept.get(field) == Some(hash));
    }
    Ok((without(&now, party, seen), now))
}

#[cfg(test)]
mod tests {
    use shared::domain::{CountryCode, ShopFields};

    use shared::erp::PartyKind;

    use super::*;

    fn text(text: &str) -> Option<Personal> {
        Personal::parse(text)
    }

    fn delivery(id: i64, line1: &str, details: AddressDetails) -> DeliveryAddress {
        let line1 = text(line1);
        DeliveryAddress {
            id,
            address: Address {
                line1,
                ..Address::default()
            },
            details,
        }
    }

    /// Version 0.2.0 stored these hashes: of the postal parts, and of deliveries in the order of their ids.
    #[test]
    fn an_address_has_the_hash_that_earlier_versions_stored_whatever_goes_with_it() {
        let details = AddressDetails {
            gln: text("7300000000001"),
            phone: text("08-1"),
            ..AddressDetails::default()
        };
        let party = |gln, details: &AddressDetails, ids: [i64; 2]| Party {
            kind: PartyKind::Person,
            name: text("Anna Ek").unwrap(),
            email: None,
            phone: None,
            mobile: None,
            title: None,
            organisation_number: None,
            vat_number: None,
            address: Some(Address {
                line1: text("Storgatan 1"),
                country: Some(CountryCode::SE),
                ..Address::default()
            }),
            delivery_addresses: Some(
                ids.map(|id| delivery(id, &format!("Lagret {id}"), details.clone()))
                    .to_vec(),
            ),
            gln,
            emptied: ShopFields::new(),
            unread: ShopFields::new(),
            default_country: None,
        };
        let key = FingerprintKey::new(b"k");
        for party in [
            party(None, &AddressDetails::default(), [1, 2]),
            party(text("7300000000001"), &details, [2, 1]),
        ] {
            let hashes = hashes(&party, &key).unwrap();
            let hash = |field| hashes[&field].as_str();
            assert_eq!(hash(PartyField::Address), "669a709ffd9c0c3c");
            assert_eq!(hash(PartyField::DeliveryAddresses), "f17c8fbd0d0dfa12");
        }
    }
}
