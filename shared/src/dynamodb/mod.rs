//! What the stores on DynamoDB have in common: a table with the partition key `pk`, items made of serde values, and
//! conditional writes.
//!
//! A conditional write is a transaction, also of one item: a repeat by the SDK after a lost answer carries the same
//! request token, so that it reports the first attempt's success instead of tripping over its own condition. Only a
//! change whose repeat meets the same condition again does without ([`Table::update_if`]): it costs half.

mod conflicts;
mod expression;
mod item;
mod lists;
mod table;

pub(crate) use conflicts::Refusals;
pub(crate) use expression::{Expression, Write};
pub(crate) use item::{Item, KEY, number, text};
pub use table::READ_AT_ONCE;
pub(crate) use table::{Table, Written};
