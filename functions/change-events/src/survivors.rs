//! The customers that stay when customers are merged in Norce (norce-api §5.4).

use shared::{
    domain::{Customer, EntityRef},
    http::Deadline,
    norce::NorceQuery,
    orders::Parties,
};

use crate::result::Failure;

/// The longest chain of merges that is followed. A shop merges the same customer twice or three times; a longer chain is
/// probably a circle that is too large to be worth the calls.
const MAX_MERGES_FOLLOWED: usize = 8;

/// Finds the survivors of merges.
#[derive(Clone, Copy)]
pub(crate) struct Survivors<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) deadline: Deadline,
}

impl Survivors<'_> {
    /// The customer that stays after all merges.
    pub(crate) async fn of(&self, merged: EntityRef, into: EntityRef) -> Result<Customer, Failure> {
        let mut seen = vec![merged];
        let mut next = into;
        while seen.len() <= MAX_MERGES_FOLLOWED {
            let entity = next;
            if seen.contains(&entity) {
                return Err(Failure::conflict(format!(
                    "{merged} was merged into {entity} in Norce, which was merged in a circle: correct `ReplacementCustomerId` there, so that one of them stays"
                )));
            }
            let Some(customer) = self.norce.customer(entity, self.deadline).await? else {
                return Err(Failure::missing_prerequisite(format!(
                    "{merged} was merged into {entity}, which Norce does not have: correct the merge in Norce"
                )));
            };
            match customer.merged_into {
                Some(into) if !customer.forgotten => {
                    seen.push(entity);
                    next = into;
                }
                _ => return Ok(customer),
            }
        }
        Err(Failure::conflict(format!(
            "{merged} was merged more than {MAX_MERGES_FOLLOWED} times in a row in Norce: let its merge name the customer that stays"
        )))
    }

    /// The parties of an order, with survivors in place of merged customers; `None`: nobody was merged.
    pub(crate) async fn of_parties(
        &self,
        parties: Parties,
        missing: &[EntityRef],
    ) -> Result<Option<Parties>, Failure> {
        let mut followed = parties;
        for party in [&mut followed.buyer, &mut followed.payer] {
            let Some(customer) = party.customer.filter(|it| missing.contains(it)) else {
                continue;
            };
            let in_norce = self.norce.customer(customer, self.deadline).await?;
            if let Some(into) = in_norce.and_then(|customer| customer.merged_into) {
                party.customer = Some(self.of(customer, into).await?.entity);
            }
        }
        Ok((followed != parties).then_some(followed))
    }
}
