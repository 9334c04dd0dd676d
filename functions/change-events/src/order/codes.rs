//! The codes of an order: the owner of each place for a code, and the codes that are filled in.

use shared::{
    domain::{Code, CodeCase, EntityKind, EntityRef},
    mappings::Binding,
    norce::order_request::{Role, Slot},
    orders::Parties,
};

use crate::result::Failure;

/// A place for a code, and the customer or company that it belongs to.
pub(crate) struct Place<'s> {
    pub(crate) slot: &'s Slot,
    pub(crate) entity: Option<EntityRef>,
}

/// Finds the owner of each place for a code. The receiver of the goods has no id anywhere; its owner is known only if the
/// order itself says that it is the buyer or the payer.
pub(crate) fn places<'s>(slots: &'s [Slot], parties: &Parties) -> Vec<Place<'s>> {
    let entity = |slot: &Slot| {
        let party = match slot.role {
            Role::SellTo => &parties.buyer,
            Role::BillTo => &parties.payer,
            Role::ShipTo => return None,
        };
        match slot.kind {
            EntityKind::Company => party.company,
            EntityKind::Customer => party.customer,
        }
    };
    slots
        .iter()
        .map(|slot| Place {
            slot,
            entity: match slot.role {
                Role::SellTo | Role::BillTo => entity(slot),
                Role::ShipTo => slots
                    .iter()
                    .filter(|other| slot.is_same_as(other))
                    .find_map(entity),
            },
        })
        .collect()
}

/// The codes that are missing. A different code is never overwritten (P3), unless the ERP itself renamed it, or the entity was
/// bound to another record since.
pub(crate) fn codes<'s>(
    places: &[Place<'s>],
    bindings: &'s [(EntityRef, Binding)],
    case: CodeCase,
) -> Result<Vec<(&'s Slot, &'s Code)>, Failure> {
    let mut codes = Vec::new();
    for place in places {
        let binding = bindings
            .iter()
            .find(|(entity, _)| Some(*entity) == place.entity);
        let Some((entity, binding)) = binding else {
            continue;
        };
        let is = |given: &str, code: &Code| match given.parse::<Code>() {
            Ok(given) => given.is(code, case),
            Err(_) => false,
        };
        let outdated = [&binding.former_code, &binding.replaced_code];
        let is_outdated = |given: &str| outdated.into_iter().flatten().any(|code| is(given, code));
        match place.slot.given.as_deref() {
            Some(given) if is(given, &binding.code) => {}
            Some(given) if !is_outdated(given) => {
                return Err(Failure::conflict(format!(
                    "the order's {} is another than the code {} of {entity}: correct the code in Norce and let it post the order again, or give the record that code in the ERP; the order is held and neither is overwritten",
                    place.slot.field(),
                    binding.code
                )));
            }
            _ => codes.push((place.slot, &binding.code)),
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use shared::{
        domain::{ErpId, NorceId, Resource, Scope},
        mappings::CodeDelivery,
        norce::order_request::OrderRequest,
        owed::Reason,
    };

    use super::*;

    const ORDER: &str = r#"{"ClientOrderRef":"1","SellTo":{"Person":{"CustomerCode":"GIVEN"}}}"#;

    /// The codes that are filled in for a person whose code in the order is GIVEN.
    fn outcome(
        code: &str,
        former: Option<&str>,
        replaced: Option<&str>,
    ) -> Result<Vec<String>, Failure> {
        let entity = EntityRef::customer(Scope::Client, NorceId::try_from(5).unwrap());
        let parse = |code: Option<&str>| code.map(|code| code.parse().unwrap());
        let record = ErpId {
            resource: Resource::Customer,
            id: "id".to_owned(),
        };
        let binding = Binding {
            former_code: parse(former),
            replaced_code: parse(replaced),
            ..Binding::new(code.parse().unwrap(), record, CodeDelivery::Pending)
        };
        let order = OrderRequest::read(ORDER).unwrap();
        let mut parties = Parties::default();
        parties.buyer.customer = Some(entity);
        let places = places(&order.slots, &parties);
        let bindings = [(entity, binding)];
        let codes = codes(&places, &bindings, CodeCase::Exact)?;
        Ok(codes.iter().map(|(_, code)| code.to_string()).collect())
    }

    #[test]
    fn p3_only_a_code_that_the_erp_renamed_or_that_was_replaced_is_overwritten() {
        assert_eq!(outcome("GIVEN", None, None).unwrap(), [""; 0]);
        assert_eq!(outcome("NEW", Some("GIVEN"), None).unwrap(), ["NEW"]);
        assert_eq!(outcome("NEW", None, Some("GIVEN")).unwrap(), ["NEW"]);
        for other in [None, Some("OTHER")] {
            let Err(Failure::Owed { reason, detail }) = outcome("NEW", other, other) else {
                panic!("no conflict");
            };
            assert_eq!(reason, Reason::Conflict);
            assert!(detail.contains("SellTo.Person.CustomerCode"), "{detail}");
        }
    }
}
