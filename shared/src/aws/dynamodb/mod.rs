//! Tables of DynamoDB with the partition key `pk`, items made of serde values, and conditional writes.
//!
//! A conditional update of one item is a transaction where it breaks its own condition: a repeat by the SDK after a lost answer
//! has the same request token, so it reports the success of the first attempt instead of failing on its own condition. Whatever
//! needs no transaction is none, at half the cost: a change that keeps its own condition ([`Table::update_if`]), and a put or a
//! delete of one item, whose outcome can be recognized.

mod conflicts;
mod database;
mod expression;
mod item;
mod lists;
mod single;
mod table;

pub(crate) use conflicts::Refusals;
pub use database::{Database, READ_BATCH_SIZE};
pub(crate) use expression::{Expression, Write};
pub(crate) use item::{Item, KEY, number, text};
pub(crate) use table::{MAX_TRANSACTION_ITEMS, Table, Written};
