//! From an order to its buyer and its payer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::{
    domain::{
        ApplicationId, Cause, ChangeMessage, EmailKey, EntityRef, Order, OrderKey, OrderParty,
        Scope,
    },
    http::Deadline,
    orders::{OrderRef, Parties, Party},
    owed::{Reason, Subject},
};
use uuid::Uuid;

use crate::{
    ChangeEvents, Done,
    failure::{DELIVERIES_UNTIL_OWED, Failure, WaitsFor},
};

/// An order, and how often its message was delivered.
pub(crate) struct OrderChange<'a> {
    pub(crate) key: &'a OrderKey,
    pub(crate) application: ApplicationId,
    /// When its event was received.
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) correlation: Uuid,
    pub(crate) receive_count: u32,
}

impl OrderChange<'_> {
    /// What is owed when it cannot be looked after.
    pub(crate) fn subject(&self) -> Subject {
        Subject::Order {
            order: self.key.clone(),
            application: self.application,
        }
    }
}

/// The customers and companies of an order, and the keys by which it names several.
pub(crate) struct Leads {
    pub(crate) parties: Parties,
    /// More than one record of Norce has this.
    ambiguous: Option<&'static str>,
}

impl Leads {
    /// To these and nobody else.
    pub(crate) const fn certain(parties: Parties) -> Self {
        Self {
            parties,
            ambiguous: None,
        }
    }

    /// Whether it leads to one of a kind everywhere.
    pub(crate) const fn is_certain(&self) -> bool {
        self.ambiguous.is_none()
    }
}

impl ChangeEvents {
    /// Looks after an order, and keeps the list of what is owed true.
    pub(crate) async fn order(
        &self,
        change: &OrderChange<'_>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let result = self.look_after_order(change, deadline).await;
        let result = result.map_err(|failure| failure.bounded(change.receive_count));
        self.note_owed(change.subject(), None, result, change.correlation)
            .await
    }

    /// An order that was posted to us is handed on with its codes; of any other, every customer and company that it leads
    /// to is looked after.
    async fn look_after_order(
        &self,
        change: &OrderChange<'_>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let OrderChange {
            key, application, ..
        } = *change;
        let Some(scope) = self.shops.scope(Some(application)) else {
            return Ok(Done::nothing(format!(
                "application {application} is not in NORCE_APPLICATIONS"
            )));
        };
        if let (Some(hand_on), OrderKey::ClientOrderRef(reference)) = (&self.orders, key) {
            let posted = OrderRef {
                application,
                client_order_ref: reference.clone(),
            };
            match hand_on.orders.get(&posted).await? {
                // Everybody that it leads to is in the ERP.
                Some(stored) if stored.handed_on.is_some() => {
                    return Ok(Done::nothing("nothing: the order was handed on"));
                }
                Some(stored) => {
                    return self
                        .hand_on(hand_on, &posted, &stored, scope, change, deadline)
                        .await;
                }
                None => {}
            }
        }
        let order = self.norce.order(key, application, deadline).await?;
        match order {
            Some(order) => self.lead_on(&order, scope, change, deadline).await,
            None if change.receive_count < DELIVERIES_UNTIL_OWED => Err(not_there_yet(key)),
            None => Err(never_there(key)),
        }
    }

    async fn lead_on(
        &self,
        order: &Order,
        scope: Scope,
        change: &OrderChange<'_>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let leads = self
            .leads([&order.buyer, &order.payer], scope, deadline)
            .await?;
        let entities = self.look_after_parties(&leads, change).await?;
        if entities.is_empty() {
            return Ok(Done::new(
                "order",
                format!(
                    "order {} leads to no customer or company of Norce",
                    order.id
                ),
            ));
        }
        Ok(Done::new(
            "order",
            format!("order {} leads to {}", order.id, names(&entities)),
        ))
    }

    /// Sends a message for every customer and company that an order leads to, also where it leads to several of a kind:
    /// those that are certain do not wait for the others.
    pub(crate) async fn look_after_parties(
        &self,
        leads: &Leads,
        change: &OrderChange<'_>,
    ) -> Result<Vec<EntityRef>, Failure> {
        let entities = leads.parties.entities();
        let messages: Vec<ChangeMessage> = entities
            .iter()
            .map(|entity| ChangeMessage::Entity {
                entity: *entity,
                cause: Cause::Ordered,
                received_at: self.clock.now(),
                ordered_at: Some(change.received_at),
                correlation: change.correlation,
            })
            .collect();
        self.changes.send(&messages, Duration::ZERO).await?;
        match leads.ambiguous {
            None => Ok(entities),
            Some(what) => Err(Failure::owed(
                Reason::Conflict,
                format!(
                    "the order with {}: more than one record of Norce has the order's {what}, and none is chosen by guess: \
                     merge them in Norce, or set the buyer on the order",
                    change.key
                ),
            )),
        }
    }

    /// Finds the customers and companies of an order: by ids, else by exact organisation number or e-mail address.
    pub(crate) async fn leads(
        &self,
        [buyer, payer]: [&OrderParty; 2],
        scope: Scope,
        deadline: Deadline,
    ) -> Result<Leads, Failure> {
        let mut leads = Leads::certain(Parties::default());
        let parties = &mut leads.parties;
        for (party, found) in [(buyer, &mut parties.buyer), (payer, &mut parties.payer)] {
            let companies = match &party.company {
                Some(id) => vec![*id],
                None => {
                    self.norce
                        .companies_of_party(scope, party, deadline)
                        .await?
                }
            };
            let customers = match (party.customer, EmailKey::of(party.email.as_ref())) {
                (Some(id), _) => vec![id],
                (None, Some(email)) => {
                    self.norce
                        .customers_by_email(scope, &email, deadline)
                        .await?
                }
                (None, None) => Vec::new(),
            };
            let mut only = |hits: &[EntityRef], what| {
                if hits.len() > 1 {
                    leads.ambiguous.get_or_insert(what);
                }
                single(hits)
            };
            let company = only(&companies, "organisation or VAT number");
            let customer = only(&customers, "e-mail address");
            *found = Party { company, customer };
        }
        Ok(leads)
    }
}

/// The only hit; several are ambiguous (P3: matching never guesses).
fn single(hits: &[EntityRef]) -> Option<EntityRef> {
    match hits {
        [entity] => Some(*entity),
        _ => None,
    }
}

pub(crate) fn not_there_yet(key: &OrderKey) -> Failure {
    Failure::later(
        WaitsFor::NorceQuery,
        format!("the order with {key} is not in Norce Query yet"),
    )
}

pub(crate) fn never_there(key: &OrderKey) -> Failure {
    Failure::owed(
        Reason::MissingPrerequisite,
        format!("the order with {key} never appeared in Norce Query: look it up in Norce Admin"),
    )
}

pub(crate) fn names(entities: &[EntityRef]) -> String {
    let names: Vec<String> = entities.iter().map(ToString::to_string).collect();
    names.join(", ")
}
