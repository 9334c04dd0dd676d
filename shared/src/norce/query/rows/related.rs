use std::collections::HashMap;

use crate::domain::{EntityKind, EntityRef, NorceId, Scope};

/// The registers of the entities that a row names by their ids alone.
pub(crate) struct Related {
    /// The register of the row itself, and of every entity that is not known to be elsewhere.
    pub(crate) scope: Scope,
    /// Those of another register.
    pub(crate) elsewhere: HashMap<(EntityKind, NorceId), Scope>,
}

impl Related {
    pub(super) fn entity(&self, kind: EntityKind, id: NorceId) -> EntityRef {
        let elsewhere = self.elsewhere.get(&(kind, id));
        EntityRef {
            kind,
            scope: elsewhere.copied().unwrap_or(self.scope),
            id,
        }
    }
}
