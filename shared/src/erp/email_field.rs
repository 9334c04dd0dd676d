//! An ERP's field for an e-mail address, which may hold several: Business Central separates them by semicolons
//! (erp-apis §1.2), Odoo by commas, and Odoo also takes `"Anna Ek" <anna@example.com>` (erp-apis §2.4). A record is found
//! by each of them. Norce has room for one (norce-api §3.5).

use crate::domain::{EmailKey, Personal};

/// The addresses in a field, without the names beside them, in their order.
fn addresses(field: &str) -> impl Iterator<Item = &str> {
    let parts = field.split([';', ',']).map(|part| {
        let address = part.rsplit_once('<').map_or(part, |(_, address)| address);
        let address = address.split_once('>').map_or(address, |(it, _)| it);
        address.trim()
    });
    // A comma may also stand in a name.
    parts.filter(|part| part.contains('@'))
}

/// The keys of the addresses in a field.
pub(super) fn keys(field: &str) -> impl Iterator<Item = EmailKey> {
    addresses(field).filter_map(EmailKey::parse)
}

/// The first address in a field that identifies somebody.
pub(super) fn first(field: &Personal) -> Option<Personal> {
    let mut addresses = addresses(field.expose());
    let address = addresses.find(|address| EmailKey::parse(address).is_some())?;
    Personal::parse(address)
}

/// Whether a field stays as it is although the shop has this address, or none. The shop's is one of those that are there,
/// and the others belong to the finance department; or the shop has none, and it is unknown which of several it had.
pub(super) fn stays(field: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return addresses(field).nth(1).is_some();
    }
    let is_one_address = EmailKey::parse(field).is_some();
    let wanted = EmailKey::parse(wanted);
    !is_one_address && wanted.is_some_and(|wanted| keys(field).any(|key| key == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_field_is_a_key_and_norce_gets_the_first() {
        for (field, expected) in [
            ("anna@x.se", &["anna@x.se"][..]),
            ("Anna@x.se ; faktura@x.se;", &["anna@x.se", "faktura@x.se"]),
            ("anna@x.se, faktura@x.se", &["anna@x.se", "faktura@x.se"]),
            ("\"Anna Ek\" <anna@x.se>", &["anna@x.se"]),
            ("\"Ek, Anna\" <anna@x.se>", &["anna@x.se"]),
            ("anna@x.se <anna@x.se>", &["anna@x.se"]),
            (
                "\"Anna Ek\" <anna@x.se,faktura@x.se>",
                &["anna@x.se", "faktura@x.se"],
            ),
            ("saknas@saknas.se; anna@x.se", &["anna@x.se"]),
            ("ring Anna; anna@x", &[]),
        ] {
            let keys: Vec<_> = keys(field).map(|key| key.expose().to_owned()).collect();
            assert_eq!(keys, expected, "{field}");
            let first = Personal::parse(field).as_ref().and_then(first);
            let first = first.map(|it| it.expose().to_lowercase());
            assert_eq!(first.as_deref(), expected.first().copied(), "{field}");
        }
    }

    #[test]
    fn a_field_stays_where_the_shops_address_is_one_of_several() {
        for (field, wanted, expected) in [
            ("anna@x.se;faktura@x.se", "Anna@x.se", true),
            ("faktura@x.se, anna@x.se", "anna@x.se", true),
            ("\"Anna Ek\" <anna@x.se>", "anna@x.se", true),
            ("anna@x.se, faktura@x.se", "ny@x.se", false),
            ("anna@x.se, faktura@x.se", "", true),
            ("\"Ek, Anna\" <anna@x.se>", "", false),
            ("anna@x.se", "", false),
            // The shop's spelling of its only address is written.
            ("anna@x.se", "Anna@x.se", false),
        ] {
            assert_eq!(stays(field, wanted), expected, "{field} {wanted}");
        }
    }
}
