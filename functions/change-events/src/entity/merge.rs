//! Customers that were merged in Norce (norce-api §5.4): the merged customer names the one that stays, its survivor.
//!
//! A change of a merged customer is a change of its survivor. If only the merged customer is bound, the survivor takes
//! over its binding, so that the ERP keeps one record and Norce gets its code on the customer that stays. If both have an
//! ERP record, only a person can say which one stays: it is owed until one of the two is gone from the ERP.

use shared::{
    domain::{Code, Customer, EntityRef, Resource},
    mappings::{Binding, CodeDelivery, Mapping, Mappings},
};

use super::forget::Forgetting;
use crate::{
    changes::{Change, ChangeSender, WaitingOrders},
    erps::Erps,
    owed_list::OwedList,
    result::{Done, Failure, WaitsFor},
    survivors::Survivors,
};

/// Deliveries after which the wait for a survivor's own create is owed: about a quarter of an hour with the queue's
/// growing waits, and longer than a create can be under way.
const DELIVERIES_UNTIL_OWED: u32 = 8;

/// Follows merges.
#[derive(Clone, Copy)]
pub(crate) struct Merges<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) survivors: Survivors<'a>,
    pub(crate) forgetting: Forgetting<'a>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) changes: ChangeSender<'a>,
    pub(crate) waiting: WaitingOrders<'a>,
}

impl Merges<'_> {
    /// Moves what is known about a merged customer to its survivor, and sends a message about the survivor.
    pub(crate) async fn follow(
        &self,
        change: &Change,
        into: EntityRef,
        mapping: Option<Mapping>,
    ) -> Result<Done, Failure> {
        let merged = change.entity;
        let survivor = self.survivors.of(merged, into).await?;
        let to = survivor.entity;
        let known = self.mappings.get(to).await?;
        if survivor.forgotten || matches!(known, Some(Mapping::Forgotten)) {
            // They are one person (P12).
            return self.forgetting.forget(change, mapping.as_ref()).await;
        }
        let mut words = format!("nothing: it was merged into {to}");
        if let Some(Mapping::Bound(binding)) = &mapping {
            words = match known {
                Some(Mapping::Reserved(_)) => {
                    self.changes.send_after(change, &[to], change.cause).await?;
                    return Err(waits_for_create(to, change));
                }
                Some(Mapping::Bound(other)) => {
                    self.keep_one_of_two(merged, binding, &survivor, &other)
                        .await?
                }
                _ => {
                    self.refuse_two_records(merged, binding, &survivor).await?;
                    self.move_binding(merged, binding, &survivor, None).await?
                }
            };
            self.owed.resolve_code_faults(merged).await?;
        }
        self.changes.send_after(change, &[to], change.cause).await?;
        // Orders of the merged customer are the survivor's now.
        self.waiting.release(merged, change.correlation).await?;
        Ok(Done::nothing(words))
    }

    /// Whether a merged, bound customer is the same person as a forgotten customer (P12). A merge that a person has to
    /// correct does not matter for anything else.
    pub(crate) async fn is_forgotten(
        &self,
        merged: EntityRef,
        into: EntityRef,
        mapping: Option<&Mapping>,
    ) -> Result<bool, Failure> {
        if !matches!(mapping, Some(Mapping::Bound(_))) {
            return Ok(false);
        }
        let survivor = match self.survivors.of(merged, into).await {
            Ok(survivor) => survivor,
            Err(Failure::Owed { .. }) => return Ok(false),
            Err(later) => return Err(later),
        };
        let known = self.mappings.get(survivor.entity).await?;
        Ok(survivor.forgotten || matches!(known, Some(Mapping::Forgotten)))
    }

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
            return Err(Failure::other_writer(format!(
                "the mapping of {merged} or {to} changed while it was moved"
            )));
        }
        tracing::info!(entity = %merged, survivor = %to, code = %binding.code, "a binding was moved to the survivor of a merge");
        Ok(format!(
            "merged into {to}, which has code {} now",
            binding.code
        ))
    }

    /// Both are bound: the binding whose record the ERP still has stays.
    async fn keep_one_of_two(
        &self,
        merged: EntityRef,
        binding: &Binding,
        survivor: &Customer,
        other: &Binding,
    ) -> Result<String, Failure> {
        let (to, scope) = (survivor.entity, merged.scope);
        if self.erps.get(scope, &binding.erp_id).await?.is_none() {
            self.mappings.unbind(merged, &binding.erp_id).await?;
            return Ok(format!(
                "merged into {to}, and no longer bound to code {}, whose record is gone",
                binding.code
            ));
        }
        if self.erps.get(scope, &other.erp_id).await?.is_none() {
            self.mappings.unbind(to, &other.erp_id).await?;
            return self
                .move_binding(merged, binding, survivor, Some(other))
                .await;
        }
        Err(two_records(merged, binding, to, other.code.as_str()))
    }

    /// Refuses to give a second record to a survivor that is not bound, but has the code of another record of the ERP.
    async fn refuse_two_records(
        &self,
        merged: EntityRef,
        binding: &Binding,
        survivor: &Customer,
    ) -> Result<(), Failure> {
        let case = self.erps.code_case(merged.scope).await?;
        let is_another = |code: &&Code| !code.is(&binding.code, case);
        let Some(code) = survivor.code.as_ref().filter(is_another) else {
            return Ok(());
        };
        for resource in Resource::of(merged.kind) {
            let hits = self
                .erps
                .find_by_code(merged.scope, *resource, code)
                .await?;
            // The ERP may have renamed the record since it was bound.
            if hits.iter().any(|hit| hit.id != binding.erp_id) {
                return Err(two_records(merged, binding, survivor.entity, code.as_str()));
            }
        }
        Ok(())
    }
}

fn waits_for_create(to: EntityRef, change: &Change) -> Failure {
    let waits =
        format!("it was merged into {to}, and waits until the create of {to} in the ERP has ended");
    if change.receive_count < DELIVERIES_UNTIL_OWED {
        Failure::later(WaitsFor::CreateInErp, waits)
    } else {
        Failure::missing_prerequisite(format!("{waits}: see its owed record"))
    }
}

fn two_records(merged: EntityRef, binding: &Binding, to: EntityRef, other: &str) -> Failure {
    Failure::conflict(format!(
        "{merged} was merged into {to} in Norce, but the ERP has a record for each of them ({} and {other}): merge the two records in the ERP, or delete one of them; {to} gets the code of the one that stays",
        binding.code
    ))
}
