//! Expressions, and writes.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure::AllOld,
        TransactWriteItem, Update,
    },
};

use super::item::{Item, KEY};

/// A write of one item, alone or in a transaction.
pub(crate) struct Write {
    pub(super) key: String,
    pub(super) action: Action,
    pub(super) condition: Expression,
}

pub(super) enum Action {
    Put(Item),
    Update(Expression),
    Delete,
    Check,
}

/// An expression of DynamoDB, with the names and values that it refers to.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(super) text: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// An expression. Attributes are written as `#name` and declared, since many words are reserved.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Declares an attribute: `#name` stands for `name`.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// Declares an attribute by another name: `#name` stands for `attribute`.
    pub(crate) fn rename(mut self, name: &str, attribute: &str) -> Self {
        self.names.insert(format!("#{name}"), attribute.to_owned());
        self
    }

    /// Declares a value: `:name` stands for `value`.
    pub(crate) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    /// There is no item with the key.
    pub(crate) fn nothing_there() -> Self {
        Self::new("attribute_not_exists(#pk)").name(KEY)
    }

    /// An update that sets the attributes with a value and removes the others.
    pub(crate) fn assign<'a>(
        attributes: impl IntoIterator<Item = (&'a str, Option<AttributeValue>)>,
    ) -> Self {
        let mut expression = Self::default();
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for (name, value) in attributes {
            expression = expression.name(name);
            match value {
                Some(value) => {
                    set.push(format!("#{name} = :{name}"));
                    expression = expression.value(name, value);
                }
                None => remove.push(format!("#{name}")),
            }
        }
        for (verb, parts) in [("SET", set), ("REMOVE", remove)] {
            if !parts.is_empty() {
                expression
                    .text
                    .push_str(&format!("{verb} {} ", parts.join(", ")));
            }
        }
        expression
    }

    /// Adds a clause to an update.
    pub(crate) fn and_set(mut self, assignment: &str) -> Self {
        self.text = match self.text.strip_prefix("SET ") {
            Some(rest) => format!("SET {assignment}, {rest}"),
            None => format!("SET {assignment} {}", self.text),
        };
        self
    }

    /// The expression, with the names and values of another one declared as well.
    pub(super) fn declaring(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.values.extend(other.values);
        self
    }

    /// The text of a condition, if there is one.
    pub(super) fn required(&self) -> Option<String> {
        (!self.text.is_empty()).then(|| self.text.clone())
    }

    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    pub(super) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

impl Write {
    /// Stores an item.
    pub(crate) fn put(key: impl Into<String>, item: Item) -> Self {
        Self::new(key, Action::Put(item))
    }

    /// Changes attributes.
    pub(crate) fn update(key: impl Into<String>, change: Expression) -> Self {
        Self::new(key, Action::Update(change))
    }

    /// Deletes an item.
    pub(crate) fn delete(key: impl Into<String>) -> Self {
        Self::new(key, Action::Delete)
    }

    /// Writes nothing; the transaction depends on the condition.
    pub(crate) fn check(key: impl Into<String>, condition: Expression) -> Self {
        Self::new(key, Action::Check).provided(condition)
    }

    /// Writes nothing; the transaction depends on there being no item.
    pub(crate) fn absent(key: impl Into<String>) -> Self {
        Self::check(key, Expression::nothing_there())
    }

    /// Writes only if a condition holds. In a transaction all writes depend on it.
    pub(crate) fn provided(mut self, condition: Expression) -> Self {
        self.condition = condition;
        self
    }

    fn new(key: impl Into<String>, action: Action) -> Self {
        Self {
            key: key.into(),
            action,
            condition: Expression::default(),
        }
    }

    pub(super) fn into_request(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let Self {
            key,
            action,
            condition,
        } = self;
        let text = condition.required();
        let (names, values) = (condition.names(), condition.values());
        let request = TransactWriteItem::builder();
        Ok(match action {
            Action::Put(mut item) => {
                item.insert(KEY.to_owned(), AttributeValue::S(key));
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.put(put.build()?)
            }
            Action::Update(change) => {
                let change = change.declaring(condition);
                let update = Update::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_expression_attribute_names(change.names())
                    .set_expression_attribute_values(change.values())
                    .update_expression(change.text)
                    .set_condition_expression(text)
                    .return_values_on_condition_check_failure(AllOld);
                request.update(update.build()?)
            }
            Action::Delete => {
                let delete = Delete::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.delete(delete.build()?)
            }
            Action::Check => {
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .key(KEY, AttributeValue::S(key))
                    .set_condition_expression(text)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                request.condition_check(check.build()?)
            }
        }
        .build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::dynamodb::number;

    #[test]
    fn an_update_sets_what_has_a_value_and_removes_the_rest() {
        let update = Expression::assign([("a", Some(number(1))), ("b", None)]).and_set("#c = :one");
        assert_eq!(update.text.trim(), "SET #c = :one, #a = :a REMOVE #b");
    }
}
