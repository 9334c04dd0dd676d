//! A put or a delete of one item without a transaction, which would cost twice as much.
//!
//! The SDK repeats a request whose answer is lost. The request token of a transaction lets DynamoDB recognize the repeat, and discard a
//! first attempt that arrives late. Neither is so here:
//!
//! - The repeat may fail on a condition that the first attempt has broken. The item that is there shows whether that is so: it has the
//!   id of this put, or is gone where it was to be deleted.
//! - A first attempt that arrives late is carried out if its condition holds again by then, as after a lease is released, or a batch or
//!   an insert withdrawn. The stores say there what follows from it.

use aws_sdk_dynamodb::{
    Client,
    operation::{delete_item::DeleteItemError, put_item::PutItemError},
    types::ReturnValuesOnConditionCheckFailure::AllOld,
};
use uuid::Uuid;

use super::{
    conflicts::until_undisturbed,
    expression::Expression,
    item::{Item, KEY, PUT_ID, text},
};
use crate::aws::explain;

/// Stores an item. Returns the item on which the condition failed, empty if there is none; `None` if it is stored.
pub(super) async fn put(
    client: &Client,
    table: &str,
    key: String,
    mut item: Item,
    condition: &Expression,
) -> Result<Option<Item>, String> {
    item.insert(KEY.to_owned(), text(key));
    // The same for every attempt. A put without a condition needs none: it is never refused.
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

/// Deletes an item. Returns the item on which the condition failed; `None` if there is no item any more.
pub(super) async fn delete(
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
