//! The fields that the shop has emptied since the last synchronization.
//!
//! A field without a value in the shop usually means that the shop does not ask for it, so the ERP's value stays. Only
//! a field that had a value in the shop and has none anymore is emptied in the ERP. The binding stores which fields have
//! values, but not the values.

use std::collections::BTreeSet;

use shared::{
    domain::{Address, FieldGroup, FieldGroups, KeptFields, ShopField, ShopFields},
    erp::{ErpError, Party},
    owed::Reason,
    runtime::configuration::SyncPolicy,
};

use crate::result::Failure;

/// The fields that a party has values for.
pub(crate) fn filled(party: &Party) -> ShopFields {
    let address = party.address.as_ref();
    let has = |part: fn(&Address) -> bool| address.is_some_and(part);
    let is_filled = |field: &ShopField| match field {
        ShopField::Email => party.email.is_some(),
        ShopField::Phone => party.phone.is_some(),
        ShopField::Mobile => party.mobile.is_some(),
        ShopField::Title => party.title.is_some(),
        ShopField::OrganisationNumber => party.organisation_number.is_some(),
        ShopField::VatNumber => party.vat_number.is_some(),
        ShopField::AddressLines => {
            has(|it| it.care_of.is_some() || it.line1.is_some() || it.line2.is_some())
        }
        ShopField::PostalCode => has(|it| it.postal_code.is_some()),
        ShopField::City => has(|it| it.city.is_some()),
        ShopField::Region => has(|it| it.region.is_some()),
        ShopField::Gln => party.gln.is_some(),
    };
    ShopField::ALL.into_iter().filter(is_filled).collect()
}

/// The group of a field, of which the ERP may be the owner.
const fn group(field: ShopField) -> Option<FieldGroup> {
    match field {
        ShopField::Email | ShopField::Phone | ShopField::Mobile => Some(FieldGroup::ContactDetails),
        ShopField::AddressLines
        | ShopField::PostalCode
        | ShopField::City
        | ShopField::Region
        | ShopField::Gln => Some(FieldGroup::InvoiceAddress),
        ShopField::OrganisationNumber => Some(FieldGroup::OrganisationNumber),
        ShopField::VatNumber => Some(FieldGroup::VatNumber),
        ShopField::Title => None,
    }
}

fn is_owned(field: ShopField, owns: FieldGroups) -> bool {
    group(field).is_some_and(|group| owns.has(group))
}

/// The failure of an update. If the ERP refuses it, the reason may be that it needs one of the fields that are emptied.
pub(crate) fn refused(error: ErpError, emptied: &ShopFields) -> Failure {
    let words: BTreeSet<String> = emptied.iter().map(ToString::to_string).collect();
    match error {
        ErpError::Refused { .. } if !words.is_empty() => Failure::owed(
            Reason::Validation,
            format!(
                "{error}; the update empties what the shop has emptied: {}. If the ERP needs a value, fill it in in Norce, or name the field in KeptWhenEmptied",
                words.into_iter().collect::<Vec<_>>().join(", ")
            ),
        ),
        error => error.into(),
    }
}

/// The fields that an update empties in the ERP: those that had values at the last one and have none `now`. The values that
/// the ERP keeps from before the binding were never the shop's. `owns`: what the ERP owns of the party.
pub(crate) fn emptied(
    policy: &SyncPolicy,
    owns: FieldGroups,
    before: Option<&ShopFields>,
    now: &ShopFields,
    kept: &KeptFields,
) -> ShopFields {
    let is_emptied = |field: &ShopField| {
        !is_owned(*field, owns)
            && !policy.kept_when_emptied.keeps(*field)
            && !kept.contains_key(&field.party_field())
    };
    let gone = before.into_iter().flat_map(|before| before.difference(now));
    gone.copied().filter(is_emptied).collect()
}
