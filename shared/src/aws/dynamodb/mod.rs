//! Tables of DynamoDB with the partition key `pk`, items made of serde values, and conditional writes.
//!
//! A conditional update that breaks its own condition is a transaction, even of one item: when the SDK repeats it after a lost
//! answer, the request token is the same, so that DynamoDB reports the success of the first attempt. Everything else avoids
//! transactions of one item, at half the cost: a change that keeps its own condition ([`Table::update_if`]), and a put or a delete,
//! whose result can be recognized (`single.rs`). A put on a condition adds an attribute, `put_id`, to its item.

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
