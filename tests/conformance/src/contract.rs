//! The published contract, and validation of requests and answers against its schemas.

use chrono::DateTime;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};
use thiserror::Error;

/// The contract as it is published.
const PUBLISHED: &str = include_str!("../../../shared/src/erp/http/openapi.yaml");

/// A contract cannot be read.
#[derive(Debug, Error)]
#[error("the contract cannot be read: {0}")]
pub struct UnreadableContract(String);

/// An OpenAPI document.
#[derive(Debug, Clone)]
pub struct Contract(Value);

/// An operation of the contract.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    contract: &'a Contract,
    path: &'a str,
    method: &'a str,
    value: &'a Value,
}

/// The body of a request or of an answer, as an operation describes it.
#[derive(Debug, Clone)]
pub struct Body<'a> {
    /// Where it stands, such as `get /v1/about 200`.
    pub place: String,
    /// Its schema and its examples, as OpenAPI has them.
    pub media: &'a Value,
}

impl Contract {
    /// The published contract.
    ///
    /// # Errors
    /// When it is not a single YAML document that can be converted to JSON.
    pub fn published() -> Result<Self, UnreadableContract> {
        let documents = Yaml::load_from_str(PUBLISHED);
        let documents = documents.map_err(|error| UnreadableContract(error.to_string()))?;
        match documents.as_slice() {
            [document] => json(document).map(Self),
            _ => Err(UnreadableContract("it is not one document".to_owned())),
        }
    }

    /// All operations that a facade offers.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let of_path = move |(path, item)| {
            let operations = members(item).filter(|(_, value)| value.is_object());
            operations.map(move |(method, value)| Operation {
                contract: self,
                path,
                method,
                value,
            })
        };
        members(&self.0["paths"]).flat_map(of_path)
    }

    /// The operation of a request. `method` in any case of letters, `path` from `/v1` on and without a query.
    pub fn operation(&self, method: &str, path: &str) -> Option<Operation<'_>> {
        let mut operations = self.operations();
        operations.find(|operation| {
            operation.method.eq_ignore_ascii_case(method) && is_of(path, operation.path)
        })
    }

    /// The misfits of a value with a schema, each with its place. Only the JSON Schema keywords that the contract uses are supported;
    /// any other is reported as a misfit, so that no rule of the contract is overlooked.
    pub fn misfits(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let mut misfits = Vec::new();
        self.compare(schema, value, place, &mut misfits);
        misfits
    }

    fn compare(&self, schema: &Value, value: &Value, place: &str, misfits: &mut Vec<String>) {
        for (keyword, rule) in members(schema) {
            let text = value.as_str();
            let length = text.map_or(0, |text| text.chars().count() as u64);
            let fits = match keyword {
                "$ref" => {
                    self.compare(self.resolved(schema), value, place, misfits);
                    true
                }
                "allOf" => {
                    for schema in items(rule) {
                        self.compare(schema, value, place, misfits);
                    }
                    true
                }
                "properties" => {
                    for (name, schema) in members(rule) {
                        if let Some(value) = value.get(name) {
                            self.compare(schema, value, &format!("{place}/{name}"), misfits);
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    for (name, value) in members(value) {
                        if schema["properties"].get(name).is_none() {
                            self.compare(rule, value, &format!("{place}/{name}"), misfits);
                        }
                    }
                    true
                }
                "items" => {
                    for (index, item) in items(value).enumerate() {
                        self.compare(rule, item, &format!("{place}/{index}"), misfits);
                    }
                    true
                }
                // Of these schemas exactly one has the properties, or the type.
                "oneOf" => items(rule).filter(|one| self.suits(one, value)).count() == 1,
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|name| is_a(value, name)),
                    name => is_a(value, name),
                },
                "enum" => items(rule).any(|allowed| allowed == value),
                "required" => has_all(value, rule),
                "pattern" => text.is_none_or(|text| fits_pattern(rule, text)),
                "format" => text.is_none_or(|text| DateTime::parse_from_rfc3339(text).is_ok()),
                "minLength" => text.is_none() || Some(length) >= rule.as_u64(),
                "maxLength" => text.is_none() || Some(length) <= rule.as_u64(),
                "minItems" => Some(items(value).count() as u64) >= rule.as_u64(),
                "maxItems" => Some(items(value).count() as u64) <= rule.as_u64(),
                "minProperties" => Some(members(value).count() as u64) >= rule.as_u64(),
                "minimum" => value.as_i64().is_none() || value.as_i64() >= rule.as_i64(),
                "maximum" => value.as_i64().is_none() || value.as_i64() <= rule.as_i64(),
                "description" | "default" => true,
                _ => false,
            };
            if !fits {
                misfits.push(format!("{place}: {keyword} {rule} does not hold"));
            }
        }
    }

    fn suits(&self, schema: &Value, value: &Value) -> bool {
        let resolved = self.resolved(schema);
        has_all(value, &schema["required"])
            && (resolved["type"].is_null() || is_a(value, &resolved["type"]))
    }

    /// The target of a reference, or the value itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
        target.map_or(value, |pointer| {
            self.0.pointer(pointer).unwrap_or(&Value::Null)
        })
    }
}

impl<'a> Operation<'a> {
    /// The bodies of its request and of its answers; an answer without one is left out.
    pub fn bodies(&self) -> Vec<Body<'a>> {
        let request = ("request", &self.value["requestBody"]);
        let answers = members(&self.value["responses"]);
        std::iter::once(request)
            .chain(answers)
            .filter_map(|(which, described)| {
                let media = &self.contract.resolved(described)["content"]["application/json"];
                let place = format!("{} {} {which}", self.method, self.path);
                media.is_object().then_some(Body { place, media })
            })
            .collect()
    }

    /// The misfits of a request's body.
    pub fn misfits_of_request(&self, body: &Value) -> Vec<String> {
        self.misfits("request", body)
    }

    /// The misfits of an answer's body.
    pub fn misfits_of_answer(&self, status: u16, body: &Value) -> Vec<String> {
        let status = status.to_string();
        let described = self.value["responses"].get(&status).is_some();
        self.misfits(if described { &status } else { "default" }, body)
    }

    fn misfits(&self, which: &str, body: &Value) -> Vec<String> {
        let place = format!("{} {} {which}", self.method, self.path);
        let mut bodies = self.bodies().into_iter();
        match bodies.find(|described| described.place == place) {
            Some(described) => self
                .contract
                .misfits(&described.media["schema"], body, &place),
            None if body.is_null() => Vec::new(),
            None => vec![format!("{place}: a body where the contract has none")],
        }
    }
}

/// YAML as JSON.
fn json(node: &Yaml<'_>) -> Result<Value, UnreadableContract> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect::<Result<_, _>>()?,
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (name, value) in members {
                let name = json(name)?;
                let name = name.as_str().unwrap_or_default().to_owned();
                object.insert(name, json(value)?);
            }
            Value::Object(object)
        }
        other => return Err(UnreadableContract(format!("it has {other:?}"))),
    })
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether a path of a request matches a path with placeholders.
fn is_of(address: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fits = address.split('/').all(|given| {
        let segment = segments.next();
        segment.is_some_and(|segment| segment == given || segment.starts_with('{'))
    });
    fits && segments.next().is_none()
}

fn has_all(value: &Value, names: &Value) -> bool {
    let mut names = items(names).filter_map(Value::as_str);
    !value.is_object() || names.all(|name| value.get(name).is_some())
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

/// The patterns of the contract: one class of characters, and how many.
fn fits_pattern(pattern: &Value, text: &str) -> bool {
    let pattern = pattern.as_str().unwrap_or_default();
    let inner = pattern
        .strip_prefix("^[")
        .and_then(|it| it.strip_suffix('$'));
    let Some((class, count)) = inner.and_then(|inner| inner.split_once(']')) else {
        return false;
    };
    let class: Vec<char> = class.chars().collect();
    let has = |c: char| {
        let in_range = |range: &[char]| range[1] == '-' && (range[0]..=range[2]).contains(&c);
        class.windows(3).any(in_range)
            || class.contains(&c) && (c != '-' || class.last() == Some(&'-'))
    };
    let length = text.chars().count();
    let is_long_enough = match count {
        "+" => length > 0,
        "{2}" => length == 2,
        _ => false,
    };
    is_long_enough && text.chars().all(has)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misfit_is_named_with_its_place() {
        let contract = Contract::published().unwrap();
        let create = contract.operation("POST", "/v1/customers").unwrap();
        let fits = |body: &Value| create.misfits_of_request(body).is_empty();
        assert!(fits(&json!({ "kind": "person", "name": "Anna Ek" })));
        for (body, place) in [
            (json!({ "kind": "person" }), "required"),
            (json!({ "kind": "robot", "name": "R2" }), "/kind: enum"),
            (json!({ "kind": "person", "name": "" }), "/name: minLength"),
            (json!({ "kind": "person", "name": 7 }), "/name: type"),
            (
                json!({ "kind": "person", "name": "A", "address": { "country": "swe" } }),
                "/address/country: pattern",
            ),
            (json!([]), "type"),
        ] {
            let misfits = create.misfits_of_request(&body).join("\n");
            assert!(misfits.contains(place), "{body}: {misfits}");
        }
        let search = contract.operation("post", "/v1/search").unwrap();
        let two = json!({ "resource": "customers", "ids": ["1"], "codes": ["2"] });
        assert!(search.misfits_of_request(&two)[0].contains("oneOf"));
        let page = contract.operation("get", "/v1/contacts").unwrap();
        let answer = json!({ "records": [{ "id": "1" }], "next": null });
        let misfits = page.misfits_of_answer(200, &answer);
        assert!(misfits[0].contains("/records/0: required"), "{misfits:?}");
        assert_eq!(page.misfits_of_answer(503, &json!({})).len(), 1);
        assert!(contract.operation("get", "/v1/customers/1/2").is_none());
    }
}
