//! Writes of a single item without a transaction, which would cost twice as much.
//!
//! The SDK repeats a request whose answer is lost, and the repeat may fail on a condition that its own first attempt has broken. The
//! item that is there shows whether that is so: it has the id of this put, or is gone where it was to be deleted.

use std::mem;

use aws_sdk_dynamodb::{
    Client,
    operation::{delete_item::DeleteItemError, put_item::PutItemError},
    types::ReturnValuesOnConditionCheckFailure::AllOld,
};
use uuid::Uuid;

use super::{
    conflicts::until_undisturbed,
    expression::{Action, Expression, Write},
    item::{Item, KEY, text},
};
use crate::aws::explain;

/// The attribute with the id of the put that stored an item.
const PUT_ID: &str = "put";

/// A write of one item whose result can be recognized, on a condition.
pub(super) struct Single {
    what: What,
    condition: Expression,
}

enum What {
    Put(Item),
    Delete { key: String },
}

impl Write {
    /// Takes the write out, unless it has to be a transaction.
    pub(super) fn take_single(&mut self) -> Option<Single> {
        let what = match &mut self.action {
            Action::Put(item) => {
                let mut item = mem::take(item);
                item.insert(KEY.to_owned(), text(&self.key));
                What::Put(item)
            }
            Action::Delete => What::Delete {
                key: mem::take(&mut self.key),
            },
            Action::Update(_) | Action::Check => return None,
        };
        let condition = self.condition.take().unwrap_or_default();
        Some(Single { what, condition })
    }
}

impl Single {
    /// Writes it. The item on which the condition failed, empty if there is none; `None` if it is written.
    pub(super) async fn write(self, client: &Client, table: &str) -> Result<Option<Item>, String> {
        let Self { what, condition } = self;
        match what {
            What::Put(item) => put(client, table, item, &condition).await,
            What::Delete { key } => delete(client, table, &key, &condition).await,
        }
    }
}

async fn put(
    client: &Client,
    table: &str,
    mut item: Item,
    condition: &Expression,
) -> Result<Option<Item>, String> {
    let id = text(Uuid::new_v4().to_string());
    if condition.required().is_some() {
        item.insert(PUT_ID.to_owned(), id.clone());
    }
    let put = || {
        client
            .put_item()
            .table_name(table)
            .set_item(Some(item.clone()))
            .set_condition_expression(condition.required())
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .return_values_on_condition_check_failure(AllOld)
            .send()
    };
    let Err(error) = until_undisturbed(put).await else {
        return Ok(None);
    };
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refused)) => {
            let there = refused.item.clone().unwrap_or_default();
            Ok((there.get(PUT_ID) != Some(&id)).then_some(there))
        }
        _ => Err(explain(&error)),
    }
}

async fn delete(
    client: &Client,
    table: &str,
    key: &str,
    condition: &Expression,
) -> Result<Option<Item>, String> {
    let delete = || {
        client
            .delete_item()
            .table_name(table)
            .key(KEY, text(key))
            .set_condition_expression(condition.required())
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .return_values_on_condition_check_failure(AllOld)
            .send()
    };
    let Err(error) = until_undisturbed(delete).await else {
        return Ok(None);
    };
    match error.as_service_error() {
        Some(DeleteItemError::ConditionalCheckFailedException(refused)) => Ok(refused.item.clone()),
        _ => Err(explain(&error)),
    }
}
