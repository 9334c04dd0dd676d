//! The fixture files: `tests/fixtures/<version>/`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use serde_json::{Map, Value, json};
use shared::{
    breakers::DynamoDbBreakers, domain::FingerprintKey, import_jobs::DynamoDbImportJobs,
    mappings::DynamoDbMappings, orders::DynamoDbOrders, owed::DynamoDbOwed, passes::DynamoDbPasses,
};
use tests::local_aws::{LocalAws, create_table};
use uuid::Uuid;

/// The tables, by the names of their files.
pub(crate) const TABLES: [&str; 6] = [
    "mappings",
    "import-jobs",
    "passes",
    "owed",
    "orders",
    "breakers",
];

/// Where the fixtures of a version are.
pub(crate) fn directory(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(version)
}

/// The versions that have fixtures.
pub(crate) fn versions() -> Vec<String> {
    let entries = fs::read_dir(directory("")).unwrap();
    let mut versions: Vec<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    versions.sort();
    versions
}

/// A file of a version.
pub(crate) fn read(version: &str, file: &str) -> String {
    let path = directory(version).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of a version, as JSON.
pub(crate) fn read_json(version: &str, file: &str) -> Value {
    serde_json::from_str(&read(version, file)).unwrap()
}

/// The messages of a queue, by their names.
pub(crate) fn messages(version: &str, queue: &str) -> BTreeMap<String, Value> {
    let messages = read_json(version, &format!("messages/{queue}.json"));
    serde_json::from_value(messages).unwrap()
}

/// An item of DynamoDB.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Tables of the local AWS.
pub(crate) struct Tables {
    config: SdkConfig,
    names: BTreeMap<&'static str, String>,
}

impl Tables {
    /// Empty ones.
    pub(crate) async fn empty() -> Self {
        let config = LocalAws::shared().await.unwrap().aws_config();
        let mut names = BTreeMap::new();
        for table in TABLES {
            let name = format!("{table}-{}", Uuid::new_v4());
            create_table(&config, &name).await.unwrap();
            names.insert(table, name);
        }
        Self { config, names }
    }

    /// With the items of a version.
    pub(crate) async fn load(version: &str) -> Self {
        Self::load_with(version, &Item::new()).await
    }

    /// With the items of a version, to each of which these attributes are added.
    pub(crate) async fn load_with(version: &str, more: &Item) -> Self {
        let tables = Self::empty().await;
        let client = aws_sdk_dynamodb::Client::new(&tables.config);
        for (table, name) in &tables.names {
            let items = read_json(version, &format!("tables/{table}.json"));
            for item in items.as_array().unwrap() {
                let put = client.put_item().table_name(name);
                let mut item = item_of(item);
                item.extend(more.clone());
                put.set_item(Some(item)).send().await.unwrap();
            }
        }
        tables
    }

    /// Everything that a table holds, ordered by key.
    pub(crate) async fn dump(&self, table: &str) -> Value {
        let pages = aws_sdk_dynamodb::Client::new(&self.config)
            .scan()
            .table_name(&self.names[table])
            .into_paginator()
            .items()
            .send();
        let mut items: Vec<Item> = pages.try_collect().await.unwrap();
        items.sort_by_key(|item| item["pk"].as_s().unwrap().clone());
        // Random, and of no use to a reader.
        for item in &mut items {
            item.remove("put_id");
        }
        items.iter().map(json_of_item).collect()
    }

    pub(crate) fn mappings(&self) -> DynamoDbMappings {
        let key = FingerprintKey::new(b"key of the fixtures");
        DynamoDbMappings::new(&self.config, &self.names["mappings"], key)
    }

    pub(crate) fn import_jobs(&self) -> DynamoDbImportJobs {
        DynamoDbImportJobs::new(&self.config, &self.names["import-jobs"])
    }

    pub(crate) fn passes(&self) -> DynamoDbPasses {
        DynamoDbPasses::new(&self.config, &self.names["passes"])
    }

    pub(crate) fn owed(&self) -> DynamoDbOwed {
        DynamoDbOwed::new(&self.config, &self.names["owed"])
    }

    pub(crate) fn orders(&self) -> DynamoDbOrders {
        DynamoDbOrders::new(&self.config, &self.names["orders"])
    }

    pub(crate) fn breakers(&self) -> DynamoDbBreakers {
        DynamoDbBreakers::new(&self.config, &self.names["breakers"])
    }
}

/// An item in DynamoDB's own JSON, as `aws dynamodb get-item` writes it.
fn json_of_item(item: &Item) -> Value {
    let item = item
        .iter()
        .map(|(name, value)| (name.clone(), json_of(value)));
    Value::Object(item.collect::<Map<String, Value>>())
}

fn json_of(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(value) => json!({ "BOOL": value }),
        AttributeValue::Null(value) => json!({ "NULL": value }),
        AttributeValue::L(values) => {
            json!({ "L": values.iter().map(json_of).collect::<Vec<_>>() })
        }
        AttributeValue::M(item) => json!({ "M": json_of_item(item) }),
        other => panic!("no table has such an attribute: {other:?}"),
    }
}

fn item_of(json: &Value) -> Item {
    let attributes = json.as_object().unwrap().iter();
    attributes
        .map(|(name, value)| (name.clone(), attribute_of(value)))
        .collect()
}

fn attribute_of(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
        "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(value.as_bool().unwrap()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute_of).collect()),
        "M" => AttributeValue::M(item_of(value)),
        other => panic!("no table has such an attribute: {other}"),
    }
}
