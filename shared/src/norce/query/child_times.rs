//! The times of the related rows of a customer or company: addresses, relations and flags (norce-api §5.2).
//!
//! It is not documented whether `Updated` of a customer changes with one of its addresses, so a sweep filters by the times of
//! related rows as well, with `any` (OData 4.0). Which relations have these times, and whether Norce accepts such a filter,
//! is documented in part only: a refused filter is repeated with fewer relations, and the client remembers what was accepted.

use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};

use crate::{domain::EntityKind, http::odata::Filter, norce::NorceError};

/// The relations in the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// None: only the row's own times.
    Own,
    /// The relations with documented times.
    Documented,
    /// Also the relations that most likely have them.
    All,
}

impl Level {
    const LEVELS: [Self; 3] = [Self::Own, Self::Documented, Self::All];

    /// The relations of an entity of this kind.
    pub(super) const fn children(self, kind: EntityKind) -> &'static [&'static str] {
        match (self, kind) {
            (Self::Own, _) => &[],
            (Self::Documented, EntityKind::Customer) => &["Addresses", "Companies"],
            (Self::All, EntityKind::Customer) => &["Addresses", "Companies", "Flags"],
            (Self::Documented, EntityKind::Company) => &["Customers"],
            (Self::All, EntityKind::Company) => &["Customers", "Addresses", "Flags"],
        }
    }
}

/// The levels that were refused so far. A process starts with all relations, so that an update of the tenant takes effect.
#[derive(Debug, Default)]
pub(super) struct ChildTimes {
    refused_of_customers: AtomicU8,
    refused_of_companies: AtomicU8,
}

impl ChildTimes {
    fn refused(&self, kind: EntityKind) -> &AtomicU8 {
        match kind {
            EntityKind::Customer => &self.refused_of_customers,
            EntityKind::Company => &self.refused_of_companies,
        }
    }

    /// The current level.
    pub(super) fn level(&self, kind: EntityKind) -> Level {
        let refused = usize::from(self.refused(kind).load(Ordering::Relaxed));
        let levels = Level::LEVELS.iter().rev();
        levels.copied().nth(refused).unwrap_or(Level::Own)
    }

    /// Whether the error means that Norce does not accept the filter of this level; the next level is lower then.
    pub(super) fn is_refused(&self, kind: EntityKind, level: Level, error: &NorceError) -> bool {
        let NorceError::Refused {
            status: 400 | 404 | 405 | 501,
            reason,
        } = error
        else {
            return false;
        };
        let refused = Level::LEVELS.iter().rev().position(|it| *it == level);
        let refused = refused.and_then(|place| u8::try_from(place + 1).ok());
        self.refused(kind)
            .fetch_max(refused.unwrap_or(u8::MAX), Ordering::Relaxed);
        tracing::warn!(
            %kind,
            relations = level.children(kind).join(","),
            reason,
            "Norce Query refuses to filter by the times of these relations; a sweep asks about fewer, and lost changes of the others alone are not found"
        );
        true
    }
}

/// Rows changed or created since then: `Updated` is null until the first change (norce-api §5.1).
pub(super) fn changed_since(since: DateTime<Utc>) -> Filter {
    Filter::ge("Updated", since).or(Filter::is_null("Updated").and(Filter::ge("Created", since)))
}
