//! Records that a pass skips, whatever is known about them.

use shared::{
    domain::{EntityKind, PartyType},
    erp::{Unusable, UnusableRecord},
    owed::Reason,
};

use crate::action::{Action, Decision, Skipped};

/// Why a record of a kind that is not synchronized is left as it is.
pub(super) const fn switched_off(of: PartyType) -> &'static str {
    match of {
        PartyType::Person => "persons are switched off (SyncKinds)",
        PartyType::Company => "companies are switched off (SyncKinds)",
        PartyType::Contact => "contacts are switched off (SyncKinds)",
    }
}

/// A record that cannot be used. `kind`: the one that the run walks over.
pub(crate) fn unusable(kind: Option<EntityKind>, unusable: UnusableRecord) -> Decision {
    let kind = kind.unwrap_or(EntityKind::Customer);
    let skip = |reason, record| {
        Decision::Skip(Skipped {
            reason,
            kind,
            record,
            code: None,
        })
    };
    match (unusable.reason, unusable.id) {
        (Unusable::NoCode, record) => skip("no code in the ERP", record),
        (Unusable::Unreadable(_), None) => skip("cannot be read, nor which one it is", None),
        (Unusable::Unreadable(detail), Some(record)) => Decision::Act(Action::Owe {
            kind,
            record,
            code: None,
            reason: Reason::RemoteFault,
            detail: format!("the ERP's record cannot be read: {detail}"),
        }),
    }
}

/// A record that the ERP no longer has.
pub(crate) fn gone(kind: Option<EntityKind>) -> Decision {
    Decision::Skip(Skipped {
        reason: "gone from the ERP meanwhile",
        kind: kind.unwrap_or(EntityKind::Customer),
        record: None,
        code: None,
    })
}
