//! Which entities are synchronized at all (`SYNC_KINDS`).

use shared::{
    domain::{Customer, EntityKind, EntityRef, PartyType, SyncKinds},
    http::Deadline,
    mappings::Mapping,
    norce::NorceQuery,
};

use crate::result::{Done, Failure};

/// The type of a customer: what it was bound as, else a contact if it belongs to a company.
pub(crate) fn customer_type(customer: &Customer, mapping: Option<&Mapping>) -> PartyType {
    match bound_type(customer.entity, mapping) {
        Some(of) => of,
        None if customer.main_company().is_some() => PartyType::Contact,
        None => PartyType::Person,
    }
}

/// The type that an entity was bound as.
fn bound_type(entity: EntityRef, mapping: Option<&Mapping>) -> Option<PartyType> {
    match mapping {
        Some(Mapping::Bound(binding)) => Some(PartyType::of(entity.kind, binding.erp_id.resource)),
        _ => None,
    }
}

/// Nothing is done about an entity of this type.
pub(crate) fn switched_off(of: PartyType) -> Done {
    Done {
        switched_off: Some(of),
        ..Done::nothing(format!(
            "nothing: {of} are switched off (SyncKinds); add `{of}` to that parameter to synchronize them"
        ))
    }
}

/// Whether an order is about an entity that is synchronized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// It is, or may be.
    On,
    /// It is not.
    Off,
    /// Norce has forgotten it: no data about it is sent anywhere (P12).
    Forgotten,
}

/// Tells which entities are switched off.
#[derive(Clone, Copy)]
pub(crate) struct KindSwitch<'a> {
    pub(crate) norce: &'a dyn NorceQuery,
    pub(crate) sync_kinds: SyncKinds,
    pub(crate) deadline: Deadline,
}

impl KindSwitch<'_> {
    /// Whether every entity of a kind is switched off.
    pub(crate) fn has_none_of(&self, kind: EntityKind) -> bool {
        self.sync_kinds.has_kind(kind) == Some(false)
    }

    /// Whether an entity is switched off. Norce is asked only about customers that are not bound, where some are off.
    pub(crate) async fn of(
        &self,
        entity: EntityRef,
        mapping: Option<&Mapping>,
    ) -> Result<Switch, Failure> {
        let switch = |is_on| if is_on { Switch::On } else { Switch::Off };
        let of_kind = self.sync_kinds.has_kind(entity.kind);
        if of_kind == Some(true) || entity.kind == EntityKind::Company {
            return Ok(switch(of_kind == Some(true)));
        }
        if let Some(of) = bound_type(entity, mapping) {
            return Ok(switch(self.sync_kinds.has(of)));
        }
        let customer = self.norce.customer(entity, self.deadline).await?;
        Ok(match (customer, of_kind) {
            (Some(customer), _) if customer.forgotten => Switch::Forgotten,
            (_, Some(is_on)) => switch(is_on),
            // The customer that stays may be of another type.
            (Some(customer), None) if customer.merged_into.is_none() => {
                switch(self.sync_kinds.has(customer_type(&customer, mapping)))
            }
            (_, None) => Switch::On,
        })
    }
}
