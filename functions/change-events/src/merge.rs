//! Customers that were merged in Norce (norce-api §5.4): the merged one names the one that stays, its survivor.
//!
//! Whatever is said about a merged customer is about its survivor. Where only the merged one is bound, the survivor takes
//! over its binding, so that the ERP keeps one record and Norce gets its code on the customer that stays. Where both have an
//! ERP record, nobody but a person can say which one stays: it is owed until one of the two is gone from the ERP.

use shared::{
    domain::{Customer, EntityRef, Resource},
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping},
    orders::Parties,
    owed::Reason,
};

use crate::{
    ChangeEvents, Done,
    entity::Change,
    failure::{Failure, WaitsFor},
};

/// Merges that are followed one after the other. A shop merges the same customer twice or three times; more is taken for
/// a circle that is too large to be worth the calls.
const MERGES_FOLLOWED: usize = 8;
/// Deliveries until it is owed that a survivor's own create is not done: about a quarter of an hour with the queue's
/// growing waits, and longer than a create can be under way.
const DELIVERIES_UNTIL_OWED: u32 = 8;

impl ChangeEvents {
    /// The customer that stays after all merges.
    async fn survivor(
        &self,
        merged: EntityRef,
        into: EntityRef,
        deadline: Deadline,
    ) -> Result<Customer, Failure> {
        let mut seen = vec![merged];
        let mut next = into;
        while seen.len() <= MERGES_FOLLOWED {
            let entity = next;
            if seen.contains(&entity) {
                return Err(Failure::owed(
                    Reason::Conflict,
                    format!(
                        "{merged} was merged into {entity} in Norce, which was merged in a circle: correct `ReplacementCustomerId` there, so that one of them stays"
                    ),
                ));
            }
            let Some(customer) = self.norce.customer(entity, deadline).await? else {
                return Err(Failure::owed(
                    Reason::MissingPrerequisite,
                    format!(
                        "{merged} was merged into {entity}, which Norce does not have: correct the merge in Norce"
                    ),
                ));
            };
            match customer.merged_into {
                Some(into) if !customer.forgotten => {
                    seen.push(entity);
                    next = into;
                }
                _ => return Ok(customer),
            }
        }
        Err(Failure::owed(
            Reason::Conflict,
            format!(
                "{merged} was merged more than {MERGES_FOLLOWED} times in a row in Norce: let its merge name the customer that stays"
            ),
        ))
    }

    /// A merged customer: its survivor takes over what it has, and is looked at in its place.
    pub(crate) async fn follow_merge(
        &self,
        change: &Change,
        into: EntityRef,
        mapping: Option<Mapping>,
        deadline: Deadline,
    ) -> Result<Done, Failure> {
        let merged = change.entity;
        let survivor = self.survivor(merged, into, deadline).await?;
        let to = survivor.entity;
        let known = self.mappings.get(to).await?;
        if survivor.forgotten || matches!(known, Some(Mapping::Forgotten)) {
            // They are one person (P12).
            return self.forget(change, mapping.as_ref(), deadline).await;
        }
        let mut words = format!("nothing: it was merged into {to}");
        if let Some(Mapping::Bound(binding)) = &mapping {
            words = match known {
                Some(Mapping::Reserved(_)) => {
                    self.send_change(&[to], change.cause, change).await?;
                    return Err(create_of(to, change));
                }
                Some(Mapping::Bound(other)) => {
                    self.take_one_of_two(merged, binding, &survivor, &other, deadline)
                        .await?
                }
                _ => {
                    self.refuse_two_records(merged, binding, &survivor, deadline)
                        .await?;
                    self.move_binding(merged, binding, &survivor, None).await?
                }
            };
            self.forget_code_faults(merged).await?;
        }
        self.send_change(&[to], change.cause, change).await?;
        // They lead to the survivor now.
        self.release_orders(merged, change.correlation).await?;
        Ok(Done::nothing(words))
    }

    /// Moves the binding of a merged customer to its survivor.
    async fn move_binding(
        &self,
        merged: EntityRef,
        binding: &Binding,
        survivor: &Customer,
        replaced: Option<&Binding>,
    ) -> Result<String, Failure> {
        let to = survivor.entity;
        let is_new = |code: &&_| **code != binding.code;
        let moved = Binding {
            delivery: CodeDelivery::Pending,
            former_code: survivor.code.as_ref().filter(is_new).cloned(),
            fetched_at: None,
            replaced_code: replaced
                .map(|replaced| &replaced.code)
                .filter(is_new)
                .cloned(),
            ..binding.clone()
        };
        if !self.mappings.take_over(merged, to, moved).await? {
            return Err(Failure::later(
                WaitsFor::OtherWriter,
                format!("the mapping of {merged} or {to} changed while it was moved"),
            ));
        }
        tracing::info!(entity = %merged, survivor = %to, code = %binding.code, "a binding was moved to the survivor of a merge");
        Ok(format!(
            "merged into {to}, which has code {} now",
            binding.code
        ))
    }

    /// Both are bound: the one whose record the ERP still has counts.
    async fn take_one_of_two(
        &self,
        merged: EntityRef,
        binding: &Binding,
        survivor: &Customer,
        other: &Binding,
        deadline: Deadline,
    ) -> Result<String, Failure> {
        let erp = self.erp(merged.scope)?;
        let to = survivor.entity;
        if erp.get(&binding.erp_id, deadline).await?.is_none() {
            self.mappings.unbind(merged, &binding.erp_id).await?;
            return Ok(format!(
                "merged into {to}, and no longer bound to code {}, whose record is gone",
                binding.code
            ));
        }
        if erp.get(&other.erp_id, deadline).await?.is_none() {
            self.mappings.unbind(to, &other.erp_id).await?;
            return self
                .move_binding(merged, binding, survivor, Some(other))
                .await;
        }
        Err(two_records(merged, binding, to, other.code.as_str()))
    }

    /// A survivor that is not bound, but has the code of another record of the ERP, is not given a second one.
    async fn refuse_two_records(
        &self,
        merged: EntityRef,
        binding: &Binding,
        survivor: &Customer,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let Some(code) = survivor.code.as_ref().filter(|code| **code != binding.code) else {
            return Ok(());
        };
        let erp = self.erp(merged.scope)?;
        for resource in Resource::of(merged.kind) {
            if !erp
                .find_by_code(*resource, code, deadline)
                .await?
                .is_empty()
            {
                return Err(two_records(merged, binding, survivor.entity, code.as_str()));
            }
        }
        Ok(())
    }

    /// The parties of an order with the survivors of those that were merged; `None`: nobody was.
    pub(crate) async fn merged_parties(
        &self,
        parties: Parties,
        missing: &[EntityRef],
        deadline: Deadline,
    ) -> Result<Option<Parties>, Failure> {
        let mut followed = parties;
        for party in [&mut followed.buyer, &mut followed.payer] {
            let Some(customer) = party.customer.filter(|it| missing.contains(it)) else {
                continue;
            };
            let in_norce = self.norce.customer(customer, deadline).await?;
            if let Some(into) = in_norce.and_then(|customer| customer.merged_into) {
                party.customer = Some(self.survivor(customer, into, deadline).await?.entity);
            }
        }
        Ok((followed != parties).then_some(followed))
    }
}

fn create_of(to: EntityRef, change: &Change) -> Failure {
    let waits =
        format!("it was merged into {to}, and waits until the create of {to} in the ERP has ended");
    if change.receive_count < DELIVERIES_UNTIL_OWED {
        Failure::later(WaitsFor::CreateInErp, waits)
    } else {
        Failure::owed(
            Reason::MissingPrerequisite,
            format!("{waits}: see what is owed for that"),
        )
    }
}

fn two_records(merged: EntityRef, binding: &Binding, to: EntityRef, other: &str) -> Failure {
    Failure::owed(
        Reason::Conflict,
        format!(
            "{merged} was merged into {to} in Norce, but the ERP has a record for each of them ({} and {other}): merge the two records in the ERP, or delete one of them; {to} gets the code of the one that stays",
            binding.code
        ),
    )
}
