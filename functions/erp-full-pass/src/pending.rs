//! Records about which more has to be asked, until there are enough of a kind for one look-up.

use std::collections::{BTreeMap, BTreeSet};

use shared::{domain::EntityKind, erp::ErpId};

use crate::decide::Asking;

/// They, by their kind. They are remembered by id in the record of the run, and read again where it goes on elsewhere.
pub(crate) type Pending = BTreeMap<EntityKind, Vec<Asking>>;

/// The ids of the records, each once, to find them again.
pub(crate) fn ids_of(pending: &Pending) -> Vec<ErpId> {
    let asking = pending.values().flatten();
    let ids: BTreeSet<&ErpId> = asking.map(|asking| &asking.record.id).collect();
    ids.into_iter().cloned().collect()
}
