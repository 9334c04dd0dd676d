//! The times of what belongs to a customer or company: its addresses, its relations, its flags (norce-api §5.2).
//!
//! Whether `Updated` of a customer moves when one of its addresses changes is not documented, so that a sweep asks for the
//! children's times in the same request, by `any` (OData 4.0). Which of the relations have these times, and whether Norce
//! takes such a filter, is documented in part only. So a refused filter is asked again with fewer relations, and the client
//! remembers what was taken.

use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Utc};

use crate::{domain::EntityKind, http::odata::Filter, norce::NorceError};

/// How many of the relations are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Only the row's own times.
    Own,
    /// The relations whose times are documented.
    Documented,
    /// The relations that most likely have them as well.
    All,
}

impl Level {
    const LEVELS: [Self; 3] = [Self::Own, Self::Documented, Self::All];

    /// The relations, as an entity of this kind has them.
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

/// What was refused so far. A process begins with everything, so that a tenant that learns more is noticed.
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

    /// What is asked about now.
    pub(super) fn level(&self, kind: EntityKind) -> Level {
        let refused = usize::from(self.refused(kind).load(Ordering::Relaxed));
        let levels = Level::LEVELS.iter().rev();
        levels.copied().nth(refused).unwrap_or(Level::Own)
    }

    /// Whether the error says that Norce does not take the filter of this level; then the next one is lower.
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

/// Changed or made since then: `Updated` is null until the first change (norce-api §5.1).
pub(super) fn changed_since(since: DateTime<Utc>) -> Filter {
    Filter::ge("Updated", since).or(Filter::is_null("Updated").and(Filter::ge("Created", since)))
}
