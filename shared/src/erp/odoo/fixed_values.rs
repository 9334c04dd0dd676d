//! Looking up fixed values, and what a partner lacks of them (erp-apis §2.6).

use serde_json::{Map, Value, json};

use super::{
    partners::Partners,
    record::Row,
    references::{Reference, TAGS, reference, takes},
};
use crate::{
    erp::{ErpError, FixedField, FixedKind, FixedValue, Party, UnknownValue},
    http::Deadline,
};

/// The names of many models are translated; this is the language in which they are stored.
const SOURCE_LANGUAGE: &str = "en_US";
const PRICE_LISTS_GROUP: &str = "product.group_product_pricelist";

/// A value that Odoo does not have, and what can be done there.
struct Missing {
    problem: String,
    fix: String,
}

impl Missing {
    fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

/// The fields of a partner with fixed values.
#[derive(Default)]
pub(super) struct FixedFields(Map<String, Value>);

impl FixedFields {
    /// As columns of `load`, which takes database ids under `/.id`, several of them with commas.
    pub(super) fn columns(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().map(|(field, value)| match value {
            Value::Array(ids) => {
                let ids: Vec<String> = ids.iter().map(Value::to_string).collect();
                (format!("{field}/.id"), json!(ids.join(",")))
            }
            Value::Number(id) => (format!("{field}/.id"), json!(id.to_string())),
            value => (field, value),
        })
    }
}

impl Partners {
    /// The fixed values of a new partner.
    pub(super) async fn fixed_fields(
        &self,
        party: &Party,
        deadline: Deadline,
    ) -> Result<FixedFields, ErpError> {
        let kind = FixedKind::from(&party.kind);
        let country = party.address.as_ref().and_then(|address| address.country);
        let mut fields = FixedFields::default();
        for (field, fixed) in self.references.fixed.choose(kind, country) {
            if takes(&field, kind) {
                let (name, value) = self.fixed_field(&field, &fixed, deadline).await??;
                fields.0.insert(name.to_owned(), value);
            }
        }
        Ok(fields)
    }

    /// The fixed values that updates write and that a partner does not have. Tags are added to those that it has.
    pub(super) async fn fixed_changes(
        &self,
        row: &Row,
        party: &Party,
        deadline: Deadline,
    ) -> Result<Map<String, Value>, ErpError> {
        let mut changes = Map::new();
        let kind = FixedKind::from(&party.kind);
        if self.references.fixed.is_empty() {
            return Ok(changes);
        }
        let own = party.address.as_ref().and_then(|address| address.country);
        let country = match (own, row.reference("country_id")) {
            (None, Some(id)) => self.countries(deadline).await?.get(&id).copied(),
            _ => own,
        };
        let mut wanted = Map::new();
        for (field, fixed) in self.references.fixed.choose(kind, country) {
            if fixed.on_update && takes(&field, kind) {
                let (name, value) = self.fixed_field(&field, &fixed, deadline).await??;
                wanted.insert(name.to_owned(), value);
            }
        }
        if wanted.is_empty() {
            return Ok(changes);
        }
        let arguments = json!({
            "domain": [["id", "=", row.id()]],
            "fields": wanted.keys().collect::<Vec<_>>(),
            "context": { "active_test": false },
        });
        let there = self.client.search_read("res.partner", &arguments, deadline);
        let Some(there) = there.await?.into_iter().next() else {
            return Ok(changes);
        };
        for (name, value) in wanted {
            match value {
                Value::Array(ids) => {
                    let has = there.integers(&name);
                    let lacking = ids.iter().filter_map(Value::as_i64);
                    let lacking = lacking.filter(|id| !has.contains(id));
                    // "Link", in Odoo's language of commands for relations.
                    let links: Vec<Value> = lacking.map(|id| json!([4, id, 0])).collect();
                    if !links.is_empty() {
                        changes.insert(name, json!(links));
                    }
                }
                value if there.written(&name) == value => {}
                value => {
                    changes.insert(name, value);
                }
            }
        }
        Ok(changes)
    }

    /// The values of the parameter that this database does not have.
    pub(super) async fn unknown_fixed_values(
        &self,
        deadline: Deadline,
    ) -> Result<Vec<UnknownValue>, ErpError> {
        let mut unknown = Vec::new();
        for (field, fixed) in self.references.fixed.all() {
            if takes(field, FixedKind::Persons)
                && let Err(value) = self.fixed_field(field, fixed, deadline).await?
            {
                unknown.push(value);
            }
        }
        Ok(unknown)
    }

    /// The field of a partner and its value. Each is looked up once; one that does not exist is looked up again.
    async fn fixed_field(
        &self,
        field: &FixedField,
        fixed: &FixedValue,
        deadline: Deadline,
    ) -> Result<Result<(&'static str, Value), UnknownValue>, ErpError> {
        let mut values = Vec::with_capacity(fixed.values.len());
        for value in &fixed.values {
            match self.looked_up(field, value, deadline).await? {
                Ok(value) => values.push(value),
                Err(Missing { problem, fix }) => {
                    return Ok(Err(UnknownValue::new(field, fixed, value, problem, fix)));
                }
            }
        }
        let name = reference(field).map_or("lang", |reference| reference.field);
        let value = match name {
            TAGS => Value::Array(values),
            _ => values.pop().unwrap_or_default(),
        };
        Ok(Ok((name, value)))
    }

    async fn looked_up(
        &self,
        field: &FixedField,
        value: &str,
        deadline: Deadline,
    ) -> Result<Result<Value, Missing>, ErpError> {
        let key = (field.clone(), value.to_owned());
        if let Some(value) = self.references.known(&key) {
            return Ok(Ok(value));
        }
        let found = match reference(field) {
            None => self.language(value, deadline).await?,
            Some(reference) => self.referred(field, &reference, value, deadline).await?,
        };
        if let Ok(value) = &found {
            self.references.remember(key, value.clone());
        }
        Ok(found)
    }

    async fn language(
        &self,
        code: &str,
        deadline: Deadline,
    ) -> Result<Result<Value, Missing>, ErpError> {
        // Not cached: a missing language may have been activated since the last read.
        let languages = self.active_languages(deadline).await?;
        let found = languages.into_iter().find(|language| language == code);
        Ok(found.map(Value::String).ok_or_else(|| {
            Missing::new(
                "Odoo has no active language with this code",
                "activate it under Settings, Languages",
            )
        }))
    }

    async fn referred(
        &self,
        field: &FixedField,
        reference: &Reference,
        name: &str,
        deadline: Deadline,
    ) -> Result<Result<Value, Missing>, ErpError> {
        if !self.has_field(reference.field, deadline).await? {
            return Ok(Err(Missing::new(
                format!("Odoo has no {} in this database", reference.what),
                reference.install,
            )));
        }
        if *field == FixedField::PriceList && !self.has_price_lists(deadline).await? {
            return Ok(Err(Missing::new(
                "price lists are switched off in Odoo, which stores none",
                "switch them on under Settings, Sales, Pricing",
            )));
        }
        let source = [SOURCE_LANGUAGE.to_owned()];
        let languages = self.languages(deadline).await?.iter();
        for language in source.iter().chain(languages) {
            let ids = self.ids(reference, name, language, deadline).await?;
            match ids.as_slice() {
                [] => {}
                [id] => return Ok(Ok(json!(id))),
                _ => {
                    return Ok(Err(Missing::new(
                        format!("Odoo has several {} of this name", reference.what),
                        "rename the others",
                    )));
                }
            }
        }
        Ok(Err(Missing::new(
            format!("Odoo has no {} with this {}", reference.what, reference.key),
            "make it there",
        )))
    }

    /// The records with a name in a language, and no more than show that it is ambiguous.
    async fn ids(
        &self,
        reference: &Reference,
        name: &str,
        language: &str,
        deadline: Deadline,
    ) -> Result<Vec<i64>, ErpError> {
        let mut domain = vec![json!([reference.key, "=", name])];
        if let (true, Some(company)) = (reference.of_company, self.company) {
            domain.push(json!(["company_id", "in", [json!(company), json!(false)]]));
        }
        let arguments = json!({
            "domain": domain,
            "fields": ["id"],
            "limit": 2,
            "context": { "lang": language },
        });
        let rows = self
            .client
            .search_read(reference.model, &arguments, deadline);
        Ok(rows.await?.iter().filter_map(Row::id).collect())
    }

    async fn has_field(&self, field: &str, deadline: Deadline) -> Result<bool, ErpError> {
        let arguments = json!({ "allfields": [field], "attributes": ["type"] });
        let fields: Map<String, Value> = self
            .client
            .read("res.partner", "fields_get", &arguments, deadline)
            .await?;
        Ok(fields.contains_key(field))
    }

    /// Whether price lists are switched on. Where they are not, Odoo takes a partner's and stores nothing (erp-apis §2.4).
    async fn has_price_lists(&self, deadline: Deadline) -> Result<bool, ErpError> {
        let user: Map<String, Value> = self
            .client
            .read("res.users", "context_get", &json!({}), deadline)
            .await?;
        let arguments = json!({ "ids": [user.get("uid")], "group_ext_id": PRICE_LISTS_GROUP });
        let client = &self.client;
        client
            .read("res.users", "has_group", &arguments, deadline)
            .await
    }

    async fn languages(&self, deadline: Deadline) -> Result<&Vec<String>, ErpError> {
        let languages = &self.references.languages;
        languages
            .get_or_try_init(|| self.active_languages(deadline))
            .await
    }

    async fn active_languages(&self, deadline: Deadline) -> Result<Vec<String>, ErpError> {
        let arguments = json!({ "domain": [["active", "=", true]], "fields": ["code"] });
        let rows = self.client.search_read("res.lang", &arguments, deadline);
        let rows = rows.await?;
        let codes = rows.iter().filter_map(|row| row.text("code"));
        Ok(codes.map(str::to_owned).collect())
    }
}
