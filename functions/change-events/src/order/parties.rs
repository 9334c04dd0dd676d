//! The customers and companies of an order.

use chrono::{DateTime, Utc};
use shared::{
    domain::{ApplicationId, Cause, EmailKey, EntityRef, OrderKey, OrderParty, Scope},
    http::Deadline,
    norce::NorceQuery,
    orders::{Parties, Party},
    owed::Subject,
};
use uuid::Uuid;

use crate::{
    changes::ChangeSender,
    kinds::{KindSwitch, Switch},
    result::{Failure, WaitsFor},
};

/// A change message about an order.
pub(crate) struct OrderChange<'a> {
    pub(crate) key: &'a OrderKey,
    pub(crate) application: ApplicationId,
    /// When the event of the order was received.
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) correlation: Uuid,
    pub(crate) receive_count: u32,
}

impl OrderChange<'_> {
    /// The order, as the list of owed records names it.
    pub(crate) fn subject(&self) -> Subject {
        Subject::Order {
            order: self.key.clone(),
            application: self.application,
        }
    }
}

/// The customers and companies that were found for an order.
pub(crate) struct FoundParties {
    pub(crate) parties: Parties,
    /// The key of the order that more than one record of Norce has.
    ambiguous: Option<&'static str>,
}

impl FoundParties {
    pub(crate) const fn certain(parties: Parties) -> Self {
        Self {
            parties,
            ambiguous: None,
        }
    }

    /// Whether no key of the order belongs to several records.
    pub(crate) const fn is_certain(&self) -> bool {
        self.ambiguous.is_none()
    }
}

/// Finds the customers and companies of orders.
#[derive(Clone, Copy)]
pub(crate) struct PartyFinder<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) changes: ChangeSender<'a>,
    pub(crate) kinds: KindSwitch<'a>,
    pub(crate) deadline: Deadline,
}

impl PartyFinder<'_> {
    /// Finds the customers and companies of an order: by ids, else by exact organisation number or e-mail address.
    pub(crate) async fn find(
        &self,
        [buyer, payer]: [&OrderParty; 2],
        scope: Scope,
    ) -> Result<FoundParties, Failure> {
        let mut all = FoundParties::certain(Parties::default());
        let parties = &mut all.parties;
        for (party, found) in [(buyer, &mut parties.buyer), (payer, &mut parties.payer)] {
            let companies = match &party.company {
                Some(id) => vec![*id],
                None => {
                    let companies = self.norce.companies_of_party(scope, party, self.deadline);
                    companies.await?
                }
            };
            let customers = match (party.customer, EmailKey::of(party.email.as_ref())) {
                (Some(id), _) => vec![id],
                (None, Some(email)) => {
                    let customers = self.norce.customers_by_email(scope, &email, self.deadline);
                    customers.await?
                }
                (None, None) => Vec::new(),
            };
            for (hits, key) in [
                (&companies, "organisation or VAT number"),
                (&customers, "e-mail address"),
            ] {
                if hits.len() > 1 && !self.are_off(hits).await? {
                    all.ambiguous.get_or_insert(key);
                }
            }
            *found = Party {
                company: single(&companies),
                customer: single(&customers),
            };
        }
        Ok(all)
    }

    /// Whether all of these are switched off, so that it does not matter which of them an order means.
    async fn are_off(&self, entities: &[EntityRef]) -> Result<bool, Failure> {
        for entity in entities {
            if self.kinds.of(*entity, None).await? != Switch::Off {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a message about every customer and company of an order. If some are ambiguous, the order is owed, and the
    /// certain ones do not wait for that.
    pub(crate) async fn enqueue(
        &self,
        found: &FoundParties,
        change: &OrderChange<'_>,
    ) -> Result<Vec<EntityRef>, Failure> {
        let entities = found.parties.entities();
        let ordered_at = Some(change.received_at);
        self.changes
            .send(&entities, Cause::Ordered, ordered_at, change.correlation)
            .await?;
        match found.ambiguous {
            None => Ok(entities),
            Some(key) => Err(Failure::conflict(format!(
                "the order with {}: more than one record of Norce has the order's {key}, and none is chosen by guess: \
                 merge them in Norce, or set the buyer on the order",
                change.key
            ))),
        }
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
    Failure::missing_prerequisite(format!(
        "the order with {key} never appeared in Norce Query: look it up in Norce Admin"
    ))
}

/// The customers and companies of an order, by their ids, for a message.
pub(crate) fn names(entities: &[EntityRef]) -> String {
    if entities.is_empty() {
        return "no customer or company of Norce".to_owned();
    }
    let names: Vec<String> = entities.iter().map(ToString::to_string).collect();
    names.join(", ")
}
