//! Handles a change of a customer or company: fetches it, and decides whether it is synchronized, forgotten, followed to
//! another customer, or left as it is.

pub(crate) mod contacts;
pub(crate) mod create;
pub(crate) mod deleted;
pub(crate) mod delivery;
mod emptied;
pub(crate) mod forget;
mod kept;
pub(crate) mod merge;
pub(crate) mod party;
pub(crate) mod sync;
pub(crate) mod update;

use chrono::TimeDelta;
use futures_util::future::try_join;
use shared::{
    domain::{
        ApplicationSettings, Cause, Clock, Customer, EntityKind, EntityRef, FormerEmail,
        NaturalKey, PartyType, Scrambling, SyncKinds,
    },
    http::Deadline,
    mappings::{Mapping, Mappings},
    norce::NorceQuery,
    owed::{Reason, Subject},
    runtime::configuration::CreateInErp,
};

use self::{
    forget::Forgetting,
    merge::Merges,
    party::{PartyKinds, ShopRecord},
    sync::{INACTIVE, Sync},
};
use crate::{
    changes::{Change, ChangeSender, WaitingOrders},
    erps::Erps,
    kinds::{customer_type, switched_off},
    owed_list::{Listed, OwedList},
    result::{Done, Failure, WaitsFor},
};

/// The receiving and the fetching function run on different hosts, whose clocks may differ by this much. Within it an
/// event is fetched once more instead of being taken for handled.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(2);
/// Whether a change can be read by the time its event comes is not documented (norce-api §6), so that the fetch is
/// repeated. After this many deliveries a missing entity counts as deleted.
const DELIVERIES_UNTIL_GONE: u32 = 4;

/// Handles changes of customers and companies.
pub(crate) struct Entities<'a> {
    pub(crate) sync_kinds: SyncKinds,
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) erps: Erps<'a>,
    pub(crate) mappings: &'a dyn Mappings,
    pub(crate) kinds: PartyKinds<'a>,
    pub(crate) sync: Sync<'a>,
    pub(crate) merges: Merges<'a>,
    pub(crate) forgetting: Forgetting<'a>,
    pub(crate) waiting: WaitingOrders<'a>,
    pub(crate) owed: OwedList<'a>,
    pub(crate) changes: ChangeSender<'a>,
    pub(crate) shops: &'a ApplicationSettings,
    pub(crate) create_in_erp: CreateInErp,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) deadline: Deadline,
}

impl Entities<'_> {
    /// Handles a change message, and lists or clears the entity as owed.
    pub(crate) async fn handle_entity(&self, change: &Change) -> Result<Done, Failure> {
        let entity = change.entity;
        let (mapping, listed) = try_join(self.mappings.get(entity), self.owed.of(entity)).await?;
        match &mapping {
            Some(Mapping::Forgotten) => {
                // An earlier attempt may have been cut off after any of these steps, which can be repeated.
                self.forgetting.forget(change, mapping.as_ref()).await?;
                return Ok(Done::nothing("nothing: it is forgotten"));
            }
            Some(Mapping::Bound(binding))
                if binding
                    .fetched_at
                    .is_some_and(|at| change.received_at + CLOCK_SKEW < at) =>
            {
                return Ok(Done::nothing("nothing: it was fetched after this event"));
            }
            _ => {}
        }
        let result = match entity.kind {
            EntityKind::Customer => self.sync_customer(change, mapping, &listed).await,
            EntityKind::Company => self.sync_company(change, mapping, &listed).await,
        };
        let result = result.map_err(|failure| failure.bounded(change.receive_count));
        if result.is_ok() && !listed.to_erp {
            return result;
        }
        let (subject, cause) = (Subject::Entity(entity), Some(change.cause));
        self.owed
            .record_outcome(subject, cause, result, change.correlation)
            .await
    }

    /// Forgets a customer, whatever Norce says about it.
    pub(crate) async fn forget(&self, change: &Change) -> Result<Done, Failure> {
        let result = match self.mappings.get(change.entity).await {
            Ok(mapping) => self.forgetting.forget(change, mapping.as_ref()).await,
            Err(error) => Err(error.into()),
        };
        let subject = Subject::Entity(change.entity);
        self.owed
            .record_outcome(subject, None, result, change.correlation)
            .await
    }

    async fn sync_customer(
        &self,
        change: &Change,
        mapping: Option<Mapping>,
        listed: &Listed,
    ) -> Result<Done, Failure> {
        let fetched_at = self.clock.now();
        let entity = change.entity;
        let Some(customer) = self.norce.customer(entity, self.deadline).await? else {
            return self.handle_elsewhere(change).await;
        };
        if customer.forgotten {
            return self.forgetting.forget(change, mapping.as_ref()).await;
        }
        let of = customer_type(&customer, mapping.as_ref());
        if !self.sync_kinds.has(of) {
            if let Some(into) = customer.merged_into
                && self
                    .merges
                    .is_forgotten(entity, into, mapping.as_ref())
                    .await?
            {
                return self.forgetting.forget(change, mapping.as_ref()).await;
            }
            return self.leave(change, of).await;
        }
        if let Some(into) = customer.merged_into {
            return self.merges.follow(change, into, mapping).await;
        }
        let active = customer.is_active_at(fetched_at);
        if !active && mapping.is_none() && customer.code.is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        if self.looks_scrambled(&customer, mapping.as_ref()).await? {
            return Err(scrambled(entity));
        }
        if !active && customer.full_name().is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        let Some(kind) = self.kinds.party_kind(&customer, mapping.as_ref()).await? else {
            if !active {
                return Ok(Done::nothing(INACTIVE));
            }
            return self.wait_for_company(change, &customer).await;
        };
        let record = ShopRecord {
            party: party::of_customer(
                &customer,
                kind,
                self.erps.capabilities(entity.scope).await?,
            )?,
            code: customer.code,
            active,
            has_ordered: customer.last_order.is_some(),
            contacts: Vec::new(),
        };
        // Boxed: the future is large, and each of its callers would hold it once more.
        Box::pin(self.sync.sync(change, record, mapping, listed, fetched_at)).await
    }

    async fn sync_company(
        &self,
        change: &Change,
        mapping: Option<Mapping>,
        listed: &Listed,
    ) -> Result<Done, Failure> {
        if !self.sync_kinds.has(PartyType::Company) {
            return self.leave(change, PartyType::Company).await;
        }
        let fetched_at = self.clock.now();
        let entity = change.entity;
        let Some(company) = self.norce.company(entity, self.deadline).await? else {
            return self.handle_elsewhere(change).await;
        };
        if !company.active && company.name.is_none() {
            return Ok(Done::nothing(INACTIVE));
        }
        let record = ShopRecord {
            party: party::of_company(&company, self.erps.capabilities(entity.scope).await?)?,
            code: company.code,
            active: company.active,
            has_ordered: false,
            contacts: company.contacts,
        };
        Box::pin(self.sync.sync(change, record, mapping, listed, fetched_at)).await
    }

    /// Skips an entity whose type is not synchronized. Its mapping stays, its owed records are resolved, and no order waits
    /// for it.
    async fn leave(&self, change: &Change, of: PartyType) -> Result<Done, Failure> {
        self.waiting
            .release(change.entity, change.correlation)
            .await?;
        // The caller clears what is owed for the change itself.
        self.owed.resolve_code_faults(change.entity).await?;
        Ok(switched_off(of))
    }

    /// The scope that an event names does not have the entity: another scope that its application sees may have it, and
    /// gets a message then.
    async fn handle_elsewhere(&self, change: &Change) -> Result<Done, Failure> {
        for scope in self.shops.seen_from(change.entity.scope) {
            let entity = EntityRef {
                scope,
                ..change.entity
            };
            if entity == change.entity {
                continue;
            }
            let ids = [entity.id];
            let codes = self.norce.codes(entity.kind, scope, &ids, self.deadline);
            if !codes.await?.is_empty() {
                self.changes
                    .send_after(change, &[entity], change.cause)
                    .await?;
                return Ok(Done::nothing(format!(
                    "nothing: it is shared by all applications and processed as {entity}"
                )));
            }
        }
        missing_in_norce(change)
    }

    /// Whether the data of a customer look removed. If the data alone do not show it, the e-mail address is
    /// compared with the ERP's: we store only keyed hashes, of whole records.
    async fn looks_scrambled(
        &self,
        customer: &Customer,
        mapping: Option<&Mapping>,
    ) -> Result<bool, Failure> {
        let scrambling = Scrambling::of(customer);
        let former = match (scrambling, mapping) {
            (Scrambling::IfEmailChanged, Some(Mapping::Bound(binding))) => {
                let scope = customer.entity.scope;
                let record = self.erps.get(scope, &binding.erp_id).await?;
                let keys = record.map(|record| record.keys(EntityKind::Customer));
                let emails = keys.into_iter().flatten().filter_map(|key| match key {
                    NaturalKey::Email(email) => Some(email),
                    NaturalKey::Organisation(_) => None,
                });
                FormerEmail::compare(&emails.collect::<Vec<_>>(), customer)
            }
            _ => FormerEmail::Unknown,
        };
        Ok(scrambling.is_likely(former))
    }

    /// A contact whose company is not in the ERP: a message is sent about the company, whose synchronization sends one about
    /// the contact.
    async fn wait_for_company(
        &self,
        change: &Change,
        customer: &Customer,
    ) -> Result<Done, Failure> {
        let ordered = change.cause == Cause::Ordered
            || customer.last_order.is_some()
            || self.norce.has_order(customer.entity, self.deadline).await?;
        let wanted = customer.code.is_some()
            || match self.create_in_erp {
                CreateInErp::Always => true,
                CreateInErp::FirstOrder => ordered,
                CreateInErp::Never => false,
            };
        let (true, Some(company)) = (wanted, customer.main_company()) else {
            return Ok(Done::nothing(
                "nothing: its company is not in the ERP, and it has not ordered",
            ));
        };
        let cause = if ordered {
            Cause::Ordered
        } else {
            Cause::Changed
        };
        self.changes.send_after(change, &[company], cause).await?;
        Err(Failure::missing_prerequisite(format!(
            "it is a contact and waits for {company} to be in the ERP"
        )))
    }
}

/// Norce does not say that a customer is forgotten, but its data look so.
fn scrambled(entity: EntityRef) -> Failure {
    Failure::owed(
        Reason::Forgotten,
        format!(
            "the data of {entity} in Norce look removed, as those of a forgotten customer, but Norce does not say that it is forgotten (`IsForgotten`): nothing of it is written to the ERP. If it is to be forgotten, this ends when Norce says so, or with the operator action `forget`; if it is not, fill in its data in Norce again: name, e-mail address, telephone and address"
        ),
    )
}

fn missing_in_norce(change: &Change) -> Result<Done, Failure> {
    let entity = change.entity;
    if change.receive_count < DELIVERIES_UNTIL_GONE {
        return Err(Failure::later(
            WaitsFor::NorceQuery,
            format!("{entity} is not in Norce Query"),
        ));
    }
    Ok(Done::nothing(format!(
        "nothing: {entity} is not in Norce (any more)"
    )))
}
