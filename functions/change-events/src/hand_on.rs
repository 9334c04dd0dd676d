//! Hands an order that Norce has posted (norce-api §10.1) on to the merchant's order integration, with the codes of its
//! buyer and payer.
//!
//! The order waits in its table until everybody that it leads to is in the ERP: a while in the queue, then owed. It is
//! sent before that is noted, so that a crash in between sends it once more rather than never; for five minutes SQS
//! recognises the second one by its deduplication id, and after that whoever reads it does, by `ClientOrderRef`.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{
        ChangeMessage, Code, CodeCase, EntityKind, EntityRef, OrderKey, OutgoingOrder, Scope,
    },
    http::Deadline,
    mappings::{Binding, Mapping},
    norce::order_request::{OrderRequest, Role, Slot},
    orders::{OrderRef, Orders, Parties, StoredOrder},
    owed::{Reason, Stage},
    queues::Queue,
};
use uuid::Uuid;

use crate::{
    ChangeEvents, Done,
    failure::{DELIVERIES_UNTIL_OWED, Failure, WaitsFor},
    order::{Leads, OrderChange, names, never_there, not_there_yet},
};

/// An order that names a customer unknown to Norce is a guest's. Whether a customer can be read as soon as its
/// order can is not documented (norce-api §10.3), so that the look is repeated for some twenty seconds.
const DELIVERIES_UNTIL_GUEST: u32 = 5;

/// What it takes to hand orders on.
pub struct HandOn {
    /// Where orders are kept.
    pub orders: Arc<dyn Orders>,
    /// To the merchant's order integration.
    pub outgoing: Arc<dyn Queue<OutgoingOrder>>,
}

/// The parties of an order, by what is known about them.
#[derive(Default)]
struct Known {
    bindings: Vec<(EntityRef, Binding)>,
    /// Not in the ERP (any more).
    missing: Vec<EntityRef>,
    /// The first one that is forgotten.
    forgotten: Option<EntityRef>,
}

/// A place for a code, and whose it is.
struct Place<'s> {
    slot: &'s Slot,
    entity: Option<EntityRef>,
}

impl ChangeEvents {
    pub(crate) async fn hand_on(
        &self,
        port: &HandOn,
        key: &OrderRef,
        stored: &StoredOrder,
        scope: Scope,
        change: &OrderChange<'_>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        // It was read when it was received.
        let order = OrderRequest::read(stored.order.expose())
            .map_err(|error| Failure::owed(Reason::RemoteFault, error.to_string()))?;
        let revision = stored.order.revision();
        let parties = match stored.parties {
            // Messages about them are sent. A retry of what is owed begins anew, because Norce may know better by now.
            Some(parties) if change.receive_count > 1 => parties,
            _ => {
                let leads = self
                    .leads_of_posted(&order, scope, change, deadline)
                    .await?;
                self.look_after_parties(&leads, change).await?;
                port.orders.lead(key, revision, &leads.parties).await?;
                leads.parties
            }
        };
        let mut parties = parties;
        let mut known = self.bindings(&parties.entities(), deadline).await?;
        // Not at the first look at a first order, where nearly everybody is missing and nobody was merged.
        if !known.missing.is_empty()
            && (change.receive_count > 1 || self.is_owed(change).await?)
            && let Some(followed) = self
                .merged_parties(parties, &known.missing, deadline)
                .await?
        {
            let leads = Leads::certain(followed);
            self.look_after_parties(&leads, change).await?;
            port.orders.lead(key, revision, &followed).await?;
            parties = followed;
            known = self.bindings(&parties.entities(), deadline).await?;
        }
        let entities = parties.entities();
        let Known {
            bindings,
            missing,
            forgotten: gone,
        } = known;
        if let Some(entity) = gone {
            let now = self.clock.now();
            port.orders.let_go(key, revision, now).await?;
            return Err(forgotten(entity));
        }
        if !missing.is_empty() {
            return Err(self.wait(port, key, &missing, change).await?);
        }
        let places = places(&order.slots, &parties);
        let case = self.erp(scope)?.capabilities().code_case;
        let codes = codes(&places, &bindings, case)?;
        let message = OutgoingOrder {
            order: order.with_codes(codes.iter().copied()),
            group: group(key, &parties),
            deduplication: format!("{key}/{revision}"),
        };
        port.outgoing.send(&[message], Duration::ZERO).await?;
        let now = self.clock.now();
        if !port.orders.hand_on(key, revision, now).await? {
            return Err(Failure::later(
                WaitsFor::OtherWriter,
                "the order was posted again while it was handed on",
            ));
        }
        let filled = codes.len();
        let guests = places
            .iter()
            .filter(|place| place.entity.is_none() && place.slot.given.is_none());
        let guests = guests.filter(|place| place.slot.means_somebody()).count();
        let words = format!(
            "handed on with {filled} code(s) filled in and {guests} left empty; it leads to {}",
            if entities.is_empty() {
                "nobody that Norce knows".to_owned()
            } else {
                names(&entities)
            }
        );
        Ok(Done::new("order", words))
    }

    /// What is known about the parties of an order.
    async fn bindings(&self, entities: &[EntityRef], deadline: Deadline) -> Result<Known, Failure> {
        let mut known = Known::default();
        for entity in entities {
            match self.mappings.get(*entity).await? {
                Some(Mapping::Bound(binding)) => {
                    if self.is_alive(*entity, &binding, deadline).await? {
                        known.bindings.push((*entity, binding));
                    } else {
                        known.missing.push(*entity);
                    }
                }
                Some(Mapping::Forgotten) => {
                    known.forgotten.get_or_insert(*entity);
                }
                Some(Mapping::Reserved(_)) | None => known.missing.push(*entity),
            }
        }
        Ok(known)
    }

    /// Finds the customers and companies of a posted order: by the codes that it has, else as Query has it, else by its own e-mail addresses.
    async fn leads_of_posted(
        &self,
        order: &OrderRequest<'_>,
        scope: Scope,
        change: &OrderChange<'_>,
        deadline: Deadline,
    ) -> Result<Leads, Failure> {
        let by_code = self.parties_by_code(order, scope).await?;
        let unknown = |parties: &Parties| {
            let places = places(&order.slots, parties);
            places.iter().any(|place| {
                place.slot.role != Role::ShipTo
                    && place.slot.means_somebody()
                    && place.entity.is_none()
            })
        };
        if !by_code.entities().is_empty() && !unknown(&by_code) {
            // Nobody needs to be asked.
            return Ok(Leads::certain(by_code));
        }
        let in_query = self
            .norce
            .order(change.key, change.application, deadline)
            .await?;
        let is_in_query = in_query.is_some();
        let (mut buyer, mut payer) = match in_query {
            Some(order) => (order.buyer, order.payer),
            None if change.receive_count < DELIVERIES_UNTIL_OWED => {
                return Err(not_there_yet(change.key));
            }
            None => Default::default(),
        };
        for (party, known, role) in [
            (&mut buyer, by_code.buyer, Role::SellTo),
            (&mut payer, by_code.payer, Role::BillTo),
        ] {
            party.company = party.company.or(known.company);
            party.customer = party.customer.or(known.customer);
            let mut emails = order.slots.iter().filter(|slot| slot.role == role);
            let email = emails.find_map(|slot| slot.email.clone());
            party.email = party.email.take().or(email);
            let mut companies = order
                .slots
                .iter()
                .filter(|slot| slot.role == role && slot.kind == EntityKind::Company);
            if let Some(company) = companies.next() {
                party.vat_number = company.vat_number.clone();
                party.company_name = company.name.clone();
            }
        }
        let leads = self.leads([&buyer, &payer], scope, deadline).await?;
        if !is_in_query && leads.parties.entities().is_empty() {
            return Err(never_there(change.key));
        }
        if leads.is_certain()
            && unknown(&leads.parties)
            && change.receive_count < DELIVERIES_UNTIL_GUEST
        {
            return Err(Failure::later(
                WaitsFor::NorceQuery,
                "the order names somebody that is not in Norce Query yet",
            ));
        }
        Ok(leads)
    }

    /// Everybody whose code the order has and we know.
    async fn parties_by_code(
        &self,
        order: &OrderRequest<'_>,
        scope: Scope,
    ) -> Result<Parties, Failure> {
        let mut parties = Parties::default();
        for slot in &order.slots {
            let party = match slot.role {
                Role::SellTo => &mut parties.buyer,
                Role::BillTo => &mut parties.payer,
                Role::ShipTo => continue,
            };
            let code = slot.given.as_deref().and_then(|code| code.parse().ok());
            let Some(code): Option<Code> = code else {
                continue;
            };
            let entity = self.with_known_code(slot.kind, scope, code).await?;
            match slot.kind {
                EntityKind::Company => party.company = entity,
                EntityKind::Customer => party.customer = entity,
            }
        }
        Ok(parties)
    }

    async fn with_known_code(
        &self,
        kind: EntityKind,
        scope: Scope,
        code: Code,
    ) -> Result<Option<EntityRef>, Failure> {
        for scope in self.shops.seen_from(scope) {
            let in_case = code.in_case(self.erp(scope)?.capabilities().code_case);
            let mut entity = self.mappings.by_code(kind, scope, &code).await?;
            if entity.is_none() && in_case != code {
                entity = self.mappings.by_code(kind, scope, &in_case).await?;
            }
            if entity.is_some() {
                return Ok(entity);
            }
        }
        Ok(None)
    }

    /// The order waits: a while in the queue, then owed; one that is owed already is not put off again, so that nothing
    /// about it stands in the queue when it can go on. It goes on when what it waits for is in the ERP, whatever brings
    /// that about.
    async fn wait(
        &self,
        port: &HandOn,
        key: &OrderRef,
        missing: &[EntityRef],
        change: &OrderChange<'_>,
    ) -> Result<Failure, Failure> {
        let names = names(missing);
        let is_put_off = change.receive_count < DELIVERIES_UNTIL_OWED
            && (change.receive_count > 1 || !self.is_owed(change).await?);
        if is_put_off {
            return Ok(Failure::later(
                WaitsFor::Parties,
                format!("the order waits for {names} to be in the ERP"),
            ));
        }
        let now = self.clock.now();
        for entity in missing {
            port.orders.wait_for(*entity, key, now).await?;
            // Whoever was bound before the note was there has told nobody.
            if let Some(Mapping::Bound(Binding { gone_at: None, .. })) =
                self.mappings.get(*entity).await?
            {
                return Ok(Failure::later(
                    WaitsFor::OtherWriter,
                    format!("the order waited for {entity}, which is in the ERP now"),
                ));
            }
        }
        Ok(Failure::owed(
            Reason::MissingPrerequisite,
            format!("it is held and waits for {names} to be in the ERP: see what is owed for that"),
        ))
    }

    async fn is_owed(&self, change: &OrderChange<'_>) -> Result<bool, Failure> {
        let owed = self.owed.get(&change.subject(), Stage::ToErp).await?;
        Ok(owed.is_some())
    }

    /// An entity is in the ERP, or never will be: orders that are owed because they waited for it go on.
    pub(crate) async fn release_orders(
        &self,
        entity: EntityRef,
        correlation: Uuid,
    ) -> Result<(), Failure> {
        let Some(port) = &self.orders else {
            return Ok(());
        };
        let waiting = port.orders.waiting_for(entity).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let received_at = self.clock.now();
        let messages: Vec<_> = waiting
            .iter()
            .map(|order| ChangeMessage::Order {
                order: OrderKey::ClientOrderRef(order.client_order_ref.clone()),
                application: order.application,
                received_at,
                correlation,
            })
            .collect();
        self.changes.send(&messages, Duration::ZERO).await?;
        Ok(port.orders.stop_waiting(entity, &waiting).await?)
    }
}

/// Whose code belongs where. Who gets the goods has no ids anywhere; it is somebody only where the order itself says that
/// it is the buyer or the payer.
fn places<'s>(slots: &'s [Slot], parties: &Parties) -> Vec<Place<'s>> {
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

/// The codes that are missing. A different one is never overwritten (P3), unless the ERP itself renamed it, or the entity was
/// bound to another record since.
fn codes<'s>(
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
                return Err(Failure::owed(
                    Reason::Conflict,
                    format!(
                        "the order's {} is another than the code {} of {entity}: correct the code in Norce and let it post the order again, or give the record that code in the ERP; the order is held and neither is overwritten",
                        place.slot.field(),
                        binding.code
                    ),
                ));
            }
            _ => codes.push((place.slot, &binding.code)),
        }
    }
    Ok(codes)
}

/// The orders of one buyer stay in order. A guest has only this order.
fn group(key: &OrderRef, parties: &Parties) -> String {
    match parties.buyer.company.or(parties.buyer.customer) {
        Some(buyer) => format!("app-{}/{buyer}", key.application),
        None => format!("order/{key}"),
    }
}

fn forgotten(entity: EntityRef) -> Failure {
    Failure::owed(
        Reason::Forgotten,
        format!(
            "{entity} is forgotten in Norce, so that the order is not handed on; its copy here goes a week after that was found: deliver it from Norce Admin if it is to be delivered"
        ),
    )
}

#[cfg(test)]
mod tests {
    use shared::{
        domain::{ErpId, NorceId, Resource},
        mappings::CodeDelivery,
    };

    use super::*;

    const ORDER: &str = r#"{"ClientOrderRef":"1","SellTo":{"Person":{"CustomerCode":"GIVEN"}}}"#;

    /// What is done about a person whose code in the order is GIVEN.
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
