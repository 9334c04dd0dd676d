//! From an order to its buyer and its payer.

use std::time::Duration;

use shared::{
    domain::{
        ApplicationId, Cause, ChangeMessage, EmailKey, EntityRef, NorceId, Order, OrderKey, Scope,
    },
    http::Deadline,
    owed::{Reason, Subject},
};
use uuid::Uuid;

use crate::{ChangeEvents, Done, failure::Failure};

/// Whether Query shows an order by the time its event comes is not documented (norce-api §6). With the growing waits of the queue this many deliveries are about
/// half an hour; an order that is not there then is owed.
const DELIVERIES_UNTIL_OWED: u32 = 12;

impl ChangeEvents {
    /// Sends a message for every customer and company that an order leads to.
    pub(crate) async fn order(
        &self,
        key: &OrderKey,
        application: ApplicationId,
        correlation: Uuid,
        receive_count: u32,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let subject = Subject::Order {
            order: key.clone(),
            application,
        };
        let result = match self.shops.scope(Some(application)) {
            None => Ok(format!("application {application} is not in NORCE_APPLICATIONS").into()),
            Some(scope) => match self.norce.order(key, application, deadline).await {
                Err(error) => Err(error.into()),
                Ok(Some(order)) => self.lead_on(&order, scope, correlation, deadline).await,
                Ok(None) if receive_count < DELIVERIES_UNTIL_OWED => {
                    return Err(Failure::later(format!(
                        "the order with {key} is not in Norce Query yet"
                    )));
                }
                Ok(None) => Err(Failure::owed(
                    Reason::MissingPrerequisite,
                    format!(
                        "the order with {key} never appeared in Norce Query: look it up in Norce Admin"
                    ),
                )),
            },
        };
        self.note_owed(subject, None, result, correlation).await
    }

    async fn lead_on(
        &self,
        order: &Order,
        scope: Scope,
        correlation: Uuid,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        // Companies first: a contact waits for its company.
        let mut entities = Vec::new();
        let mut ambiguous = Vec::new();
        for party in [&order.buyer, &order.payer] {
            let hits = match (&party.company, &party.organisation_number) {
                (Some(id), _) => vec![*id],
                (None, Some(number)) => {
                    self.norce
                        .companies_by_organisation_number(scope, number, deadline)
                        .await?
                }
                (None, None) => Vec::new(),
            };
            take(
                hits,
                |id| EntityRef::company(scope, id),
                "organisation number",
                &mut entities,
                &mut ambiguous,
            );
        }
        for party in [&order.buyer, &order.payer] {
            let hits = match (party.customer, EmailKey::of(party.email.as_ref())) {
                (Some(id), _) => vec![id],
                (None, Some(email)) => {
                    self.norce
                        .customers_by_email(scope, &email, deadline)
                        .await?
                }
                (None, None) => Vec::new(),
            };
            take(
                hits,
                |id| EntityRef::customer(scope, id),
                "e-mail address",
                &mut entities,
                &mut ambiguous,
            );
        }
        let messages: Vec<ChangeMessage> = entities
            .iter()
            .map(|entity| ChangeMessage::Entity {
                entity: *entity,
                cause: Cause::Ordered,
                received_at: self.clock.now(),
                correlation,
            })
            .collect();
        self.changes.send(&messages, Duration::ZERO).await?;
        if let Some(what) = ambiguous.first() {
            return Err(Failure::owed(
                Reason::Conflict,
                format!(
                    "order {}: more than one record of Norce has the order's {what}, and none is chosen by guess: \
                     merge them in Norce, or set the buyer on the order",
                    order.id
                ),
            ));
        }
        if messages.is_empty() {
            return Ok(format!(
                "order {} leads to no customer or company of Norce",
                order.id
            )
            .into());
        }
        let names: Vec<String> = entities.iter().map(ToString::to_string).collect();
        Ok(format!("order {} leads to {}", order.id, names.join(", ")).into())
    }
}

/// Takes a single hit; several are ambiguous (P3: matching never guesses).
fn take(
    hits: Vec<NorceId>,
    entity: impl Fn(NorceId) -> EntityRef,
    key: &'static str,
    entities: &mut Vec<EntityRef>,
    ambiguous: &mut Vec<&'static str>,
) {
    match hits.as_slice() {
        [] => {}
        [id] => {
            let entity = entity(*id);
            if !entities.contains(&entity) {
                entities.push(entity);
            }
        }
        _ => ambiguous.push(key),
    }
}
