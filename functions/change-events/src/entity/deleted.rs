//! Bindings whose ERP record was deleted.
//!
//! A binding is dead when the ERP, asked by the record's immutable id, does not have the record anymore. A dead binding
//! decides nothing; the code in Norce does:
//!
//! | Norce has … | and the ERP has … | then |
//! |---|---|---|
//! | a code | exactly one record with it | the entity is bound to that record |
//! | a code | no such record | owed, until one of the two is corrected or the code is removed in Norce |
//! | no code | – | the entity starts over: it is looked up in the ERP, and created on its next order |
//!
//! So a record that was created again with the same number, one that was created with another number, and two records that
//! were merged in the ERP (one of them is deleted) are the same case. As long as a binding is known to be dead, its code is
//! not sent out with orders.

use shared::{
    domain::{Clock, Code, EntityRef},
    erp::ErpRecord,
    mappings::{Binding, CodeDelivery, Mapping, Mappings},
};

use super::{
    create::Origin,
    delivery::HAND_OVER_AGAIN_AFTER,
    party::{ShopFingerprints, ShopRecord},
};
use crate::{
    binder::check_bound,
    candidates::Candidates,
    erps::Erps,
    owed_list::OwedList,
    result::{Failure, WaitsFor},
};

/// What is known about an entity and still holds.
pub(crate) struct Standing {
    pub(crate) mapping: Option<Mapping>,
    /// The ERP record of the binding, if it had to be read.
    pub(crate) seen: Option<ErpRecord>,
    /// How the entity came to its record, if that was found out now.
    pub(crate) how: Option<Origin>,
    /// The code of a binding that was dropped.
    pub(crate) dropped: Option<Code>,
}

impl Standing {
    const fn of(mapping: Option<Mapping>) -> Self {
        Self {
            mapping,
            seen: None,
            how: None,
            dropped: None,
        }
    }
}

/// Verifies bindings, and replaces the dead ones.
#[derive(Clone, Copy)]
pub(crate) struct BindingCheck<'a> {
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) candidates: Candidates<'a>,
    pub(crate) fingerprints: ShopFingerprints<'a>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) clock: &'a dyn Clock,
}

impl BindingCheck<'_> {
    /// What is known about an entity. It is verified if the shop has changed, Norce has another code or
    /// has lost it, or the record was missing the last time. An unchanged entity costs no call to the ERP.
    pub(crate) async fn standing(
        &self,
        entity: EntityRef,
        record: &ShopRecord,
        mapping: Option<Mapping>,
    ) -> Result<Standing, Failure> {
        let Some(Mapping::Bound(mut binding)) = mapping else {
            return Ok(Standing::of(mapping));
        };
        let case = self.erps.code_case(entity.scope).await?;
        let party = record.bound_as(binding.erp_id.resource);
        let fingerprint = self.fingerprints.of(&party)?;
        let is_as_it_was = binding.gone_at.is_none()
            && binding.shop_fingerprint.as_ref() == Some(&fingerprint)
            && match &record.code {
                Some(code) => [Some(&binding.code), binding.former_code.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|known| code.is(known, case)),
                None => !matches!(binding.delivery, CodeDelivery::Confirmed { .. }),
            };
        if is_as_it_was {
            return Ok(Standing::of(Some(Mapping::Bound(binding))));
        }
        let Some(seen) = self.erps.get(entity.scope, &binding.erp_id).await? else {
            return self.replace_dead(entity, record, binding).await;
        };
        binding.gone_at = None;
        Ok(Standing {
            seen: Some(seen),
            ..Standing::of(Some(Mapping::Bound(binding)))
        })
    }

    /// Replaces or drops the binding of an entity whose ERP record is gone.
    async fn replace_dead(
        &self,
        entity: EntityRef,
        record: &ShopRecord,
        mut dead: Binding,
    ) -> Result<Standing, Failure> {
        let now = self.clock.now();
        // First, so that no orders go out with the code meanwhile.
        if dead.gone_at.is_none() {
            dead.gone_at = Some(now);
            self.mappings.record_sync(entity, &dead).await?;
            tracing::warn!(%entity, code = %dead.code, "the ERP does not have the bound record anymore");
        }
        let Some(code) = &record.code else {
            return self.drop_dead(entity, &dead).await;
        };
        let hit = self
            .candidates
            .with_code(entity, code, &record.party)
            .await?;
        let Some(hit) = hit else {
            return Err(Failure::conflict(format!(
                "the ERP record of {entity} with code {} is gone, and the ERP has no record with code {code}, which Norce has for it: make the record again in the ERP with code {code}, put the code of another record on it in Norce, or remove the code in Norce to start over without one",
                dead.code
            )));
        };
        let replaced = (dead.code != hit.code).then(|| dead.code.clone());
        let binding = Binding {
            replaced_code: replaced.or_else(|| dead.replaced_code.clone()),
            ..Binding::new(hit.code, hit.id, CodeDelivery::Confirmed { at: now })
        };
        let rebound = self.mappings.rebind(entity, &dead.erp_id, binding.clone());
        check_bound(self.mappings, entity, &binding.code, rebound.await?).await?;
        Ok(Standing {
            how: Some(Origin::Bound),
            ..Standing::of(Some(Mapping::Bound(binding)))
        })
    }

    /// Removes a dead binding whose code Norce does not have.
    async fn drop_dead(&self, entity: EntityRef, dead: &Binding) -> Result<Standing, Failure> {
        let now = self.clock.now();
        if let CodeDelivery::HandedOver { at } = dead.delivery
            && now < at + HAND_OVER_AGAIN_AFTER
        {
            // Otherwise Norce could get the dead code after the entity has another one.
            return Err(Failure::later_after(
                WaitsFor::Import,
                at + HAND_OVER_AGAIN_AFTER - now,
                format!(
                    "the ERP record with code {} is gone, and the import of the code may still be under way in Norce",
                    dead.code
                ),
            ));
        }
        self.mappings.unbind(entity, &dead.erp_id).await?;
        self.owed.resolve_code_faults(entity).await?;
        Ok(Standing {
            dropped: Some(dead.code.clone()),
            ..Standing::of(None)
        })
    }
}
