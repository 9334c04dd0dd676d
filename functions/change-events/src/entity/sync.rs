//! The synchronization of a customer or company with its ERP record.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use shared::{
    domain::{Cause, Clock, Code, EntityKind, EntityRef, ErpCodes, PartyType},
    erp::{Party, PartyKind},
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping, Mappings},
    matching::Conflict,
    norce::NorceQuery,
    runtime::configuration::{CreateInErp, SyncPolicy},
};

use super::{
    contacts,
    create::{Creator, Origin},
    deleted::{BindingCheck, Standing},
    delivery::CodeDeliveries,
    party::ShopRecord,
    update::Updater,
};
use crate::{
    binder::bind,
    candidates::Candidates,
    changes::{Change, ChangeSender, WaitingOrders},
    erps::Erps,
    owed_list::Listed,
    record_index::RecordIndex,
    result::{Done, Failure},
};

/// The result for an inactive entity that needs nothing.
pub(crate) const INACTIVE: &str = "nothing: it is inactive in Norce";

/// Synchronizes entities: finds or creates the ERP record, hands the code over, and updates the record.
#[derive(Clone, Copy)]
pub(crate) struct Sync<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) index: RecordIndex<'a>,
    pub(crate) candidates: Candidates<'a>,
    pub(crate) check: BindingCheck<'a>,
    pub(crate) creator: Creator<'a>,
    pub(crate) updater: Updater<'a>,
    pub(crate) deliveries: CodeDeliveries<'a>,
    pub(crate) changes: ChangeSender<'a>,
    pub(crate) waiting: WaitingOrders<'a>,
    pub(crate) policy: &'a SyncPolicy,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

impl Sync<'_> {
    /// Binds an entity to its ERP record, hands the code over, and updates what has changed.
    ///
    /// The time of the fetch is recorded last, so that an event whose handling was cut off anywhere before is handled again.
    pub(crate) async fn sync(
        &self,
        change: &Change,
        mut record: ShopRecord,
        mapping: Option<Mapping>,
        listed: &Listed,
        fetched_at: DateTime<Utc>,
    ) -> Result<Done, Failure> {
        let entity = change.entity;
        // Norce may have codes that are not the ERP's; the ERP's code replaces them.
        let foreign = record
            .code
            .take_if(|code| !self.policy.matching.erp_codes.may_be(code));
        let mut standing = self.check.standing(entity, &record, mapping).await?;
        let seen = standing.seen.take();
        let bound = self
            .find_or_create(change, &mut record, standing, foreign)
            .await?;
        let (mut binding, how) = match bound {
            ControlFlow::Continue(bound) => bound,
            ControlFlow::Break(done) => return Ok(done),
        };
        record.party = record.bound_as(binding.erp_id.resource);
        self.deliveries
            .deliver_code(change, &binding, record.code.as_ref(), listed)
            .await?;
        // Norce may be about to remove the data of inactive customers (norce-api §9). And a contact may have been found as a
        // customer of its own, which is a person from then on.
        let is_on = self.policy.sync_kinds.has(record.party.kind.party_type());
        let mut updated = false;
        if record.active && is_on {
            updated = self
                .updater
                .update(entity, &mut binding, &record.party, seen)
                .await?;
            let before = match &binding.contacts {
                // An earlier version did not store the contacts: a message is sent about each of them once.
                None if binding.fetched_at.is_some() => Some(&[][..]),
                before => before.as_deref(),
            };
            // While contacts are switched off, the mapping keeps those that were known before.
            if self.policy.sync_kinds.has(PartyType::Contact) {
                let contacts = &record.contacts;
                contacts::enqueue_contacts(self.mappings, self.changes, change, contacts, before)
                    .await?;
                if entity.kind == EntityKind::Company {
                    binding.contacts = contacts::stored(&record.contacts);
                }
            }
        }
        self.waiting.release(entity, change.correlation).await?;
        // The first update of an entity that was bound while it was inactive is still its first, which depends on this time.
        if record.active || binding.shop_fingerprint.is_some() {
            binding.fetched_at = Some(fetched_at);
        }
        if !self.mappings.record_sync(entity, &binding).await? {
            return Err(Failure::other_writer(format!(
                "the mapping of {entity} changed while it was synced"
            )));
        }
        let code = &binding.code;
        let outcome = how.map(Origin::outcome);
        Ok(match (how, updated) {
            _ if !record.active => Done::new(
                outcome.unwrap_or("nothing"),
                format!("nothing is written to the ERP: it is inactive in Norce, {code}"),
            ),
            (Some(how), false) => Done::new(how.outcome(), format!("{how} as {code}")),
            (Some(how), true) => Done::new(
                how.outcome(),
                format!("{how} as {code} and updated in the ERP"),
            ),
            (None, true) => Done::new("updated", format!("updated in the ERP, {code}")),
            (None, false) => Done::new("unchanged", format!("unchanged, {code}")),
        })
    }

    /// Finds the ERP record of an entity, or creates it if the entity is to have one; with it comes how the entity came to
    /// its record, if that was found out now. `foreign`: the code that Norce has and
    /// that is not the ERP's. A code of the record that the ERP's replaces is taken out of it.
    async fn find_or_create(
        &self,
        change: &Change,
        record: &mut ShopRecord,
        standing: Standing,
        foreign: Option<Code>,
    ) -> Result<ControlFlow<Done, (Binding, Option<Origin>)>, Failure> {
        let entity = change.entity;
        let case = self.erps.code_case(entity.scope).await?;
        let is = |code: &Code, other: Option<&Code>| other.is_some_and(|it| it.is(code, case));
        let Some(Mapping::Bound(binding)) = standing.mapping else {
            if let Some(code) = &record.code
                && let Some(binding) = self.bind_existing(entity, code, &record.party).await?
            {
                return Ok(ControlFlow::Continue((binding, Some(Origin::Bound))));
            }
            // A reservation stands for a decision that was made before, and has to be completed.
            if standing.mapping.is_none()
                && let Some(done) = self.reason_not_to_create(change, record).await?
            {
                return Ok(ControlFlow::Break(done));
            }
            let replaced = record.code.take().or(foreign).or(standing.dropped);
            // Boxed, so that the common paths do not carry the large future of a create.
            let created = Box::pin(self.creator.create(entity, &record.party, replaced));
            let (binding, how) = created.await?;
            return Ok(ControlFlow::Continue((binding, Some(how))));
        };
        let how = match &record.code {
            // The ERP's code differs from the one in Norce, and is on its way to Norce.
            Some(code) if is(code, binding.former_code.as_ref()) => {
                record.code = None;
                None
            }
            Some(code) if !is(code, Some(&binding.code)) => {
                return Err(Failure::conflict(format!(
                    "Norce has code {code} for {entity}, but it is bound to code {}, whose record the ERP still has, and neither is overwritten: correct the code in Norce, or bind it to the record with code {code} by the operator action `rebind`",
                    binding.code
                )));
            }
            _ => standing.how,
        };
        Ok(ControlFlow::Continue((binding, how)))
    }

    /// Binds an entity that has a code in Norce and no mapping. `None`: the ERP does not have the code,
    /// and `ERP_CODES` says that such a code counts as none.
    async fn bind_existing(
        &self,
        entity: EntityRef,
        code: &Code,
        party: &Party,
    ) -> Result<Option<Binding>, Failure> {
        let Some(hit) = self.candidates.with_code(entity, code, party).await? else {
            if self.policy.matching.erp_codes == ErpCodes::Known {
                return Ok(None);
            }
            let conflict = Conflict::UnknownCode { code: code.clone() };
            return Err(Failure::conflict(conflict.about(entity.kind, &entity)));
        };
        let delivery = CodeDelivery::Confirmed {
            at: self.clock.now(),
        };
        let binding = Binding::new(hit.code.clone(), hit.id.clone(), delivery);
        bind(self.mappings, entity, &binding).await?;
        self.index.list(entity.scope, &hit).await?;
        Ok(Some(binding))
    }

    async fn reason_not_to_create(
        &self,
        change: &Change,
        record: &ShopRecord,
    ) -> Result<Option<Done>, Failure> {
        if !record.active {
            return Ok(Some(Done::nothing(INACTIVE)));
        }
        if record.party.kind == (PartyKind::Contact { company: None }) {
            return Err(Failure::missing_prerequisite(format!(
                "the ERP does not have the contact {} any more, and none of its companies in Norce is in the ERP: relate it to one that is",
                change.entity
            )));
        }
        match self.policy.create_in_erp {
            CreateInErp::Always => Ok(None),
            CreateInErp::Never => Ok(Some(Done::nothing(
                "nothing: it has no code, and CREATE_IN_ERP is `never`",
            ))),
            CreateInErp::FirstOrder => {
                // The contacts of a company that is in the ERP are created with it, even without an order.
                let wanted = change.cause == Cause::Ordered
                    || record.has_ordered
                    || matches!(record.party.kind, PartyKind::Contact { .. })
                    || self.norce.has_order(change.entity, self.deadline).await?;
                Ok((!wanted).then(|| Done::nothing("nothing: it has no code and no order yet")))
            }
        }
    }
}
