//! Bindings whose ERP record was deleted.
//!
//! A binding is dead when the ERP, asked by the record's immutable id, does not have the record any more. A dead binding
//! decides nothing; the code in Norce does:
//!
//! | Norce has … | and the ERP has … | then |
//! |---|---|---|
//! | a code | exactly one record with it | the entity is bound to that record |
//! | a code | no such record | owed, until one of the two is corrected or the code is removed in Norce |
//! | no code | – | the entity starts over as if never seen: it is looked for in the ERP, and created on its next order |
//!
//! So a record that was made again with the same number, one that was made with another number, and two records that
//! were merged in the ERP (one of them is deleted) are the same case. As long as a binding is known to be dead, its code is
//! not handed on with orders.

use chrono::{DateTime, Utc};
use shared::{
    domain::{Code, EntityRef},
    erp::ErpRecord,
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping},
    owed::{Reason, Stage, Subject},
};

use crate::{
    ChangeEvents,
    create::Origin,
    entity::{HAND_OVER_AGAIN_AFTER, ShopRecord},
    failure::{Failure, WaitsFor},
};

/// What is known about an entity, as far as it still holds.
pub(crate) struct Standing {
    pub(crate) mapping: Option<Mapping>,
    /// The ERP record of the binding, where it had to be read.
    pub(crate) seen: Option<ErpRecord>,
    /// How the entity came to its record, where that was found out now.
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

impl ChangeEvents {
    /// What is known about an entity, verified where there is an occasion: the shop has changed, Norce has another code or
    /// has lost it, or the record was gone the last time. An unchanged entity costs no call to the ERP.
    pub(crate) async fn standing(
        &self,
        entity: EntityRef,
        record: &ShopRecord,
        mapping: Option<Mapping>,
        deadline: Deadline,
    ) -> Result<Standing, Failure> {
        let Some(Mapping::Bound(mut binding)) = mapping else {
            return Ok(Standing::of(mapping));
        };
        let case = self.erp(entity.scope)?.capabilities().code_case;
        let fingerprint = self.shop_fingerprint(&record.bound_as(binding.erp_id.resource))?;
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
        let erp = self.erp(entity.scope)?;
        let Some(seen) = erp.get(&binding.erp_id, deadline).await? else {
            return self.replace_dead(entity, record, binding, deadline).await;
        };
        binding.gone_at = None;
        Ok(Standing {
            seen: Some(seen),
            ..Standing::of(Some(Mapping::Bound(binding)))
        })
    }

    /// Follows what Norce and the ERP say now about an entity whose ERP record is gone.
    async fn replace_dead(
        &self,
        entity: EntityRef,
        record: &ShopRecord,
        mut dead: Binding,
        deadline: Deadline,
    ) -> Result<Standing, Failure> {
        let now = self.clock.now();
        // First, so that orders do not go out with the code meanwhile.
        if dead.gone_at.is_none() {
            dead.gone_at = Some(now);
            self.mappings.record_sync(entity, &dead).await?;
            tracing::warn!(%entity, code = %dead.code, "the ERP does not have the bound record any more");
        }
        let Some(code) = &record.code else {
            return self.drop_dead(entity, &dead, now).await;
        };
        let party = &record.party;
        let Some(hit) = self.with_code(entity, code, party, deadline).await? else {
            return Err(Failure::owed(
                Reason::Conflict,
                format!(
                    "the ERP record of {entity} with code {} is gone, and the ERP has no record with code {code}, which Norce has for it: make the record again in the ERP with code {code}, put the code of another record on it in Norce, or remove the code in Norce to start over without one",
                    dead.code
                ),
            ));
        };
        let replaced = (dead.code != hit.code).then(|| dead.code.clone());
        let binding = Binding {
            replaced_code: replaced.or_else(|| dead.replaced_code.clone()),
            ..Binding::new(hit.code, hit.id, CodeDelivery::Confirmed { at: now })
        };
        let rebound = self
            .mappings
            .rebind(entity, &dead.erp_id, binding.clone())
            .await?;
        self.accepted(entity, &binding.code, rebound).await?;
        Ok(Standing {
            how: Some(Origin::Bound),
            ..Standing::of(Some(Mapping::Bound(binding)))
        })
    }

    /// Removes a dead binding whose code Norce does not have (any more).
    async fn drop_dead(
        &self,
        entity: EntityRef,
        dead: &Binding,
        now: DateTime<Utc>,
    ) -> Result<Standing, Failure> {
        if let CodeDelivery::HandedOver { at } = dead.delivery
            && now < at + HAND_OVER_AGAIN_AFTER
        {
            // Otherwise Norce could get the dead code after the entity has another one.
            return Err(Failure::Later {
                waits_for: WaitsFor::Import,
                at_least: (at + HAND_OVER_AGAIN_AFTER - now).to_std().ok(),
                reason: format!(
                    "the ERP record with code {} is gone, and the import of the code may still be under way in Norce",
                    dead.code
                ),
            });
        }
        self.mappings.unbind(entity, &dead.erp_id).await?;
        self.forget_code_faults(entity).await?;
        Ok(Standing {
            dropped: Some(dead.code.clone()),
            ..Standing::of(None)
        })
    }

    /// Nothing is owed of the code of an entity that has none.
    pub(crate) async fn forget_code_faults(&self, entity: EntityRef) -> Result<(), Failure> {
        for stage in [Stage::CodeToNorce, Stage::FieldsToNorce] {
            self.owed.resolve(&Subject::Entity(entity), stage).await?;
        }
        Ok(())
    }

    /// Whether the code of a bound entity may go out with orders: it may not while the ERP does not have the record. The
    /// ERP is asked only about a binding that was found dead before.
    pub(crate) async fn is_alive(
        &self,
        entity: EntityRef,
        binding: &Binding,
        deadline: Deadline,
    ) -> Result<bool, Failure> {
        if binding.gone_at.is_none() {
            return Ok(true);
        }
        let erp = self.erp(entity.scope)?;
        Ok(erp.get(&binding.erp_id, deadline).await?.is_some())
    }
}
