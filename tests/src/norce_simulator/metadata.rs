//! `$metadata` of a namespace (norce-api §5.1): CSDL 4.0 of the sets.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use axum::response::{IntoResponse, Response};
use http::header;

use super::{
    Settings,
    query::SETS,
    register::{EntityType, Kind},
};

/// The namespace whose description a path below `commerce/query/2.0/` asks for.
pub(super) fn namespace(path: &str) -> Option<&'static str> {
    let (namespace, rest) = path.split_once('/')?;
    if rest != "$metadata" {
        return None;
    }
    let mut namespaces = SETS.into_iter().map(|set| set.namespace());
    namespaces.find(|it: &&str| it.eq_ignore_ascii_case(namespace))
}

pub(super) fn answer(settings: &Settings, namespace: &str) -> Response {
    let mut text = String::new();
    match write(&mut text, settings, namespace) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/xml")], text).into_response(),
        Err(fmt::Error) => unreachable!("a text takes everything"),
    }
}

fn write(text: &mut String, settings: &Settings, namespace: &str) -> fmt::Result {
    text.push_str(
        r#"<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices><Schema Namespace="Query.Model" xmlns="http://docs.oasis-open.org/odata/ns/edm">"#,
    );
    let sets = || SETS.into_iter().filter(|set| set.namespace() == namespace);
    let mut types: BTreeSet<EntityType> = BTreeSet::new();
    let mut new: Vec<EntityType> = sets().map(|set| set.of()).collect();
    while let Some(of) = new.pop() {
        if types.insert(of) {
            new.extend(of.navigations().iter().map(|it| it.target));
        }
    }
    for of in types {
        let kind = format!("{of:?}");
        let has = |name: &str| !settings.query_lacks.contains(&(kind.as_str(), name));
        write!(text, r#"<EntityType Name="{kind}">"#)?;
        for property in of.properties() {
            let name = of.name_of(property);
            let edm = match property.kind {
                Kind::Text => "String",
                Kind::Integer => "Int64",
                Kind::Number => "Decimal",
                Kind::Boolean => "Boolean",
                Kind::Guid => "Guid",
                Kind::Time => "DateTimeOffset",
            };
            if has(name) {
                let nullable = property.nullable;
                write!(
                    text,
                    r#"<Property Name="{name}" Type="Edm.{edm}" Nullable="{nullable}"/>"#
                )?;
            }
        }
        for navigation in of.navigations().iter().filter(|it| has(it.name)) {
            let (name, target) = (navigation.name, navigation.target);
            let of = match navigation.many {
                true => format!("Collection(Query.Model.{target:?})"),
                false => format!("Query.Model.{target:?}"),
            };
            write!(text, r#"<NavigationProperty Name="{name}" Type="{of}"/>"#)?;
        }
        text.push_str("</EntityType>");
    }
    text.push_str(r#"<EntityContainer Name="Container">"#);
    for set in sets() {
        let (name, of) = (set.name(), set.of());
        write!(
            text,
            r#"<EntitySet Name="{name}" EntityType="Query.Model.{of:?}"/>"#
        )?;
    }
    text.push_str("</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>");
    Ok(())
}
