use std::collections::HashMap;

use crate::domain::{EntityKind, EntityRef, NorceId, Scope};

/// The scopes of the entities to which a row refers by id.
pub(crate) struct Related {
    /// The scope of the row, and of every entity that is not in `elsewhere`.
    pub(crate) scope: Scope,
    /// The entities in other scopes.
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
