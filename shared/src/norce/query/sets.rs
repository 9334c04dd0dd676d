//! The entity sets that are read.

use crate::domain::EntityKind;

pub(super) const QUERY: &str = "commerce/query/2.0";
pub(super) const CUSTOMERS: &str = "Customers/Customers";
pub(super) const COMPANIES: &str = "Customers/Companies";
pub(super) const ORDERS: &str = "Orders/Orders";
pub(super) const APPLICATIONS: &str = "Core/Applications";
pub(super) const COUNTRIES: &str = "Core/Countries";

pub(super) fn set_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Customer => CUSTOMERS,
        EntityKind::Company => COMPANIES,
    }
}
