//! Handles an order: an order that was posted to us is forwarded with its codes, and of any other order every customer and
//! company gets a message.

mod codes;
pub(crate) mod forward;
pub(crate) mod parties;

use shared::{
    domain::{ApplicationSettings, OrderKey},
    http::Deadline,
    norce::NorceQuery,
    orders::OrderRef,
};

use self::{
    forward::Forwarder,
    parties::{OrderChange, PartyFinder, names, never_there, not_there_yet},
};
use crate::{
    owed_list::OwedList,
    result::{DELIVERIES_UNTIL_OWED, Done, Failure},
};

/// Handles orders.
pub(crate) struct OrderHandler<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) parties: PartyFinder<'a>,
    /// `None`: orders are not received.
    pub(crate) forwarder: Option<Forwarder<'a>>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) shops: &'a ApplicationSettings,
    pub(crate) deadline: Deadline,
}

impl OrderHandler<'_> {
    /// Handles a change message, and lists or clears the order as owed.
    pub(crate) async fn handle_order(&self, change: &OrderChange<'_>) -> Result<Done, Failure> {
        let result = self.forward_or_enqueue_parties(change).await;
        let result = result.map_err(|failure| failure.bounded(change.receive_count));
        self.owed
            .record_outcome(change.subject(), None, result, change.correlation)
            .await
    }

    async fn forward_or_enqueue_parties(&self, change: &OrderChange<'_>) -> Result<Done, Failure> {
        let OrderChange {
            key, application, ..
        } = *change;
        let Some(scope) = self.shops.scope(Some(application)) else {
            return Ok(Done::nothing(format!(
                "application {application} is not in NORCE_APPLICATIONS"
            )));
        };
        if let (Some(forwarder), OrderKey::ClientOrderRef(reference)) = (&self.forwarder, key) {
            let posted = OrderRef {
                application,
                client_order_ref: reference.clone(),
            };
            match forwarder.forwarding.orders.get(&posted).await? {
                // All its customers and companies are in the ERP.
                Some(stored) if stored.forwarded_at.is_some() => {
                    return Ok(Done::nothing("nothing: the order was already forwarded"));
                }
                Some(stored) => return forwarder.forward(&posted, &stored, scope, change).await,
                None => {}
            }
        }
        let Some(order) = self.norce.order(key, application, self.deadline).await? else {
            return Err(match change.receive_count < DELIVERIES_UNTIL_OWED {
                true => not_there_yet(key),
                false => never_there(key),
            });
        };
        let found = self
            .parties
            .find([&order.buyer, &order.payer], scope)
            .await?;
        let entities = self.parties.enqueue(&found, change).await?;
        let words = format!("order {} leads to {}", order.id, names(&entities));
        Ok(Done::new("order", words))
    }
}
