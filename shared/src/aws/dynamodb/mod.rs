//! Tables of DynamoDB with the partition key `pk`, items made of serde values, and conditional writes.
//!
//! A conditional write is a transaction, even of one item: a repeat by the SDK after a lost answer has the same request
//! token, so it reports the success of the first attempt instead of failing on its own condition. A change that does not
//! break its own condition needs no transaction ([`Table::update_if`]), at half the cost.

mod conflicts;
mod database;
mod expression;
mod item;
mod lists;
mod table;

pub(crate) use conflicts::Refusals;
pub use database::{Database, READ_BATCH_SIZE};
pub(crate) use expression::{Expression, Write};
pub(crate) use item::{Item, KEY, number, text};
pub(crate) use table::{MAX_TRANSACTION_ITEMS, Table, Written};
