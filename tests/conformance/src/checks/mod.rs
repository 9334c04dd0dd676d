//! The checks. Each creates its own records, so that it can run alone.

mod answers;
mod blocks;
mod changes;
mod creates;
mod facade;
mod listings;
mod outages;
mod records;
mod removals;
mod searches;

use futures_util::future::BoxFuture;

use crate::{
    stage::Stage,
    verdict::{Outcome, Part},
};

/// A check.
pub(crate) struct Check {
    pub(crate) part: Part,
    /// The name of its function.
    pub(crate) name: &'static str,
    /// What the contract promises.
    pub(crate) promise: &'static str,
    /// The capabilities that it covers, as `about` names them.
    pub(crate) capabilities: &'static [&'static str],
    pub(crate) run: for<'a> fn(&'a Stage) -> BoxFuture<'a, Outcome>,
}

/// All checks, in the order in which a facade is built. Those of all answers come last.
pub(crate) fn all() -> impl Iterator<Item = &'static Check> {
    [
        facade::CHECKS,
        records::CHECKS,
        creates::CHECKS,
        changes::CHECKS,
        listings::CHECKS,
        searches::CHECKS,
        blocks::CHECKS,
        removals::CHECKS,
        outages::CHECKS,
        answers::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// The checks of a part: `function: "promise"`, or `function("capability"): "promise"`.
macro_rules! checks {
    ($part:ident, $($check:ident $(($capability:literal))?: $promise:literal),+ $(,)?) => {
        pub(super) const CHECKS: &[super::Check] = &[
            $(super::Check {
                part: crate::verdict::Part::$part,
                name: stringify!($check),
                promise: $promise,
                capabilities: &[$($capability)?],
                run: |stage| Box::pin($check(stage)),
            }),+
        ];
    };
}
use checks;
