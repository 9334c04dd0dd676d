//! Forwards an order that Norce has posted (norce-api §10.1) to the merchant's order integration, with the codes of its
//! buyer and payer.
//!
//! The order waits in its table until all its customers and companies are in the ERP: for some time in the queue, then owed.
//! It is sent before that is recorded, so that a crash in between sends it twice rather than never; for five minutes SQS
//! recognizes the second message by its deduplication id, and after that its reader does, by `ClientOrderRef`.

use std::{sync::Arc, time::Duration};

use shared::{
    domain::{ApplicationSettings, Clock, Code, EntityKind, EntityRef, OutgoingOrder, Scope},
    http::Deadline,
    mappings::{Binding, Mapping, Mappings},
    norce::{
        NorceQuery,
        order_request::{OrderRequest, Role},
    },
    orders::{OrderRef, Orders, Parties, StoredOrder},
    owed::Reason,
    queues::Queue,
};

use super::{
    codes::{Place, codes, places},
    parties::{FoundParties, OrderChange, PartyFinder, names, never_there, not_there_yet},
};
use crate::{
    erps::Erps,
    kinds::{KindSwitch, Switch},
    owed_list::OwedList,
    result::{DELIVERIES_UNTIL_OWED, Done, Failure, WaitsFor},
    survivors::Survivors,
};

/// An order that names a customer unknown to Norce is a guest's. Whether a customer can be read as soon as its
/// order can is not documented (norce-api §10.3), so that the look-up is repeated for some twenty seconds.
const DELIVERIES_UNTIL_GUEST: u32 = 5;

/// The stored orders, and the queue that they are forwarded to.
#[derive(Clone)]
pub struct OrderForwarding {
    /// The orders that Norce has posted.
    pub orders: Arc<dyn Orders>,
    /// The queue to the merchant's order integration.
    pub outgoing: Arc<dyn Queue<OutgoingOrder>>,
}

/// Forwards orders.
#[derive(Clone, Copy)]
pub(crate) struct Forwarder<'a> {
    pub(crate) forwarding: &'a OrderForwarding,
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) parties: PartyFinder<'a>,
    pub(crate) kinds: KindSwitch<'a>,
    pub(crate) survivors: Survivors<'a>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) shops: &'a ApplicationSettings,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

/// The parties of an order, by what is known about them.
#[derive(Default)]
struct Known {
    bindings: Vec<(EntityRef, Binding)>,
    /// Not in the ERP.
    missing: Vec<EntityRef>,
    /// The first one that is forgotten.
    forgotten: Option<EntityRef>,
}

impl Forwarder<'_> {
    /// Forwards a posted order, or lets it wait for its customers and companies.
    pub(crate) async fn forward(
        &self,
        key: &OrderRef,
        stored: &StoredOrder,
        scope: Scope,
        change: &OrderChange<'_>,
    ) -> Result<Done, Failure> {
        let OrderForwarding { orders, outgoing } = self.forwarding;
        // It could be read when it was received.
        let order = OrderRequest::read(stored.order.expose())
            .map_err(|error| Failure::owed(Reason::RemoteFault, error.to_string()))?;
        let revision = stored.order.revision();
        let mut parties = match stored.parties {
            // The messages about them are sent. A retry of an owed order looks them up again, because Norce may have changed.
            Some(parties) if change.receive_count > 1 => parties,
            _ => {
                let found = self.find_parties(&order, scope, change).await?;
                self.parties.enqueue(&found, change).await?;
                orders.set_parties(key, revision, &found.parties).await?;
                found.parties
            }
        };
        let mut known = self.bindings(&parties.entities()).await?;
        // Not on the first delivery of a first order, when most parties are missing and none was merged.
        if !known.missing.is_empty()
            && (change.receive_count > 1 || self.owed.has(&change.subject()).await?)
            && let Some(followed) = self.survivors.of_parties(parties, &known.missing).await?
        {
            let found = FoundParties::certain(followed);
            self.parties.enqueue(&found, change).await?;
            orders.set_parties(key, revision, &followed).await?;
            parties = followed;
            known = self.bindings(&parties.entities()).await?;
        }
        if let Some(entity) = known.forgotten {
            orders.discard(key, revision, self.clock.now()).await?;
            return Err(forgotten(entity));
        }
        if !known.missing.is_empty() {
            return Err(self.wait(key, &known.missing, change).await?);
        }
        let places = places(&order.slots, &parties);
        let codes = codes(&places, &known.bindings, self.erps.code_case(scope).await?)?;
        let message = OutgoingOrder {
            order: order.with_codes(codes.iter().copied()),
            group: group(key, &parties),
            deduplication: format!("{key}/{revision}"),
        };
        outgoing.send(&[message], Duration::ZERO).await?;
        let now = self.clock.now();
        if !orders.set_forwarded(key, revision, now).await? {
            return Err(Failure::other_writer(
                "the order was posted again while it was being forwarded",
            ));
        }
        let is_guest = |place: &&Place<'_>| {
            place.entity.is_none() && place.slot.given.is_none() && place.slot.means_somebody()
        };
        let guests = places.iter().filter(is_guest).count();
        let words = format!(
            "forwarded with {} codes filled in and {guests} left empty, for {}",
            codes.len(),
            names(&parties.entities())
        );
        Ok(Done::new("order", words))
    }

    async fn bindings(&self, entities: &[EntityRef]) -> Result<Known, Failure> {
        let mut known = Known::default();
        for entity in entities {
            let mapping = self.mappings.get(*entity).await?;
            let switch = match &mapping {
                Some(Mapping::Forgotten) => Switch::Forgotten,
                mapping => self.kinds.of(*entity, mapping.as_ref()).await?,
            };
            match switch {
                Switch::On => {}
                // Its code is neither waited for, nor filled in or compared.
                Switch::Off => continue,
                Switch::Forgotten => {
                    known.forgotten.get_or_insert(*entity);
                    continue;
                }
            }
            match mapping {
                Some(Mapping::Bound(binding)) => {
                    if self.erps.is_alive(entity.scope, &binding).await? {
                        known.bindings.push((*entity, binding));
                    } else {
                        known.missing.push(*entity);
                    }
                }
                Some(Mapping::Reserved(_) | Mapping::Forgotten) | None => {
                    known.missing.push(*entity);
                }
            }
        }
        Ok(known)
    }

    /// Finds the customers and companies of a posted order: by the codes that it has, else as Query has it, else by its own
    /// e-mail addresses.
    async fn find_parties(
        &self,
        order: &OrderRequest<'_>,
        scope: Scope,
        change: &OrderChange<'_>,
    ) -> Result<FoundParties, Failure> {
        let by_code = self.parties_by_code(order, scope).await?;
        let unknown = |parties: &Parties| {
            let places = places(&order.slots, parties);
            places.iter().any(|place| {
                place.slot.role != Role::ShipTo
                    && place.slot.means_somebody()
                    && place.entity.is_none()
                    && !self.kinds.has_none_of(place.slot.kind)
            })
        };
        if !by_code.entities().is_empty() && !unknown(&by_code) {
            // No look-up is needed.
            return Ok(FoundParties::certain(by_code));
        }
        let in_query = self
            .norce
            .order(change.key, change.application, self.deadline)
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
        let found = self.parties.find([&buyer, &payer], scope).await?;
        if !is_in_query && found.parties.entities().is_empty() {
            return Err(never_there(change.key));
        }
        if found.is_certain()
            && unknown(&found.parties)
            && change.receive_count < DELIVERIES_UNTIL_GUEST
        {
            return Err(Failure::later(
                WaitsFor::NorceQuery,
                "the order names a customer or company that is not in Norce Query yet",
            ));
        }
        Ok(found)
    }

    /// The customers and companies that are bound to a code of the order.
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
            let in_case = code.in_case(self.erps.code_case(scope).await?);
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

    /// Lets an order wait: for some time in the queue, then owed. An order that is owed does not wait in the queue again,
    /// so that no message about it is delayed there when it can be forwarded. It is forwarded as soon as the entities that it
    /// waits for are in the ERP.
    async fn wait(
        &self,
        key: &OrderRef,
        missing: &[EntityRef],
        change: &OrderChange<'_>,
    ) -> Result<Failure, Failure> {
        let names = names(missing);
        let is_delayed = change.receive_count < DELIVERIES_UNTIL_OWED
            && (change.receive_count > 1 || !self.owed.has(&change.subject()).await?);
        if is_delayed {
            return Ok(Failure::later(
                WaitsFor::Parties,
                format!("the order waits for {names} to be in the ERP"),
            ));
        }
        let (orders, now) = (&self.forwarding.orders, self.clock.now());
        for entity in missing {
            orders.wait_for(*entity, key, now).await?;
            // A binding that was made before the note was stored has not released the order.
            if let Some(Mapping::Bound(Binding { gone_at: None, .. })) =
                self.mappings.get(*entity).await?
            {
                return Ok(Failure::other_writer(format!(
                    "the order waited for {entity}, which is in the ERP now"
                )));
            }
        }
        Ok(Failure::missing_prerequisite(format!(
            "it is held and waits for {names} to be in the ERP: see their owed records"
        )))
    }
}

/// The message group: the orders of one buyer stay in order, and a guest has only this order.
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
            "{entity} is forgotten in Norce, so that the order is not forwarded; its copy here goes a week after that was found: deliver it from Norce Admin if it is to be delivered"
        ),
    )
}
