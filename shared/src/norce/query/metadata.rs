//! Query's own description: `$metadata` of a namespace (norce-api §5.1), in the XML of OData 4.0 (CSDL 4.0, §3 and §8).

use std::collections::{BTreeSet, HashMap};

use roxmltree::{Document, Node};

use crate::http::odata::Options;

/// The media type of `$metadata`.
pub(super) const XML: &str = "application/xml";

/// An entity type, or a complex one.
#[derive(Debug, Default)]
struct Described {
    base: Option<String>,
    properties: BTreeSet<String>,
    /// Related rows, by name, with their type.
    navigations: HashMap<String, String>,
}

/// The entity sets of a namespace and their types.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    sets: HashMap<String, String>,
    types: HashMap<String, Described>,
}

/// The name without its namespace, and without `Collection(…)`.
fn bare(name: &str) -> String {
    let name = name.strip_prefix("Collection(").unwrap_or(name);
    let name = name.trim_end_matches(')');
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

impl Metadata {
    /// Reads a document; `None` if it describes no entity set.
    pub(super) fn read(text: &str) -> Option<Self> {
        let document = Document::parse(text).ok()?;
        let mut metadata = Self::default();
        for node in document.descendants().filter(Node::is_element) {
            let name = node.attribute("Name").unwrap_or_default().to_owned();
            match node.tag_name().name() {
                "EntityType" | "ComplexType" => {
                    metadata.types.insert(name, Described::read(node));
                }
                "EntitySet" => {
                    let of = node.attribute("EntityType").unwrap_or_default();
                    metadata.sets.insert(name, bare(of));
                }
                _ => {}
            }
        }
        (!metadata.sets.is_empty()).then_some(metadata)
    }

    /// The fields and related rows in a query that the set does not have, such as `Addresses/City`.
    pub(super) fn lacks(&self, set: &str, options: &Options) -> Vec<String> {
        match self.sets.get(set) {
            Some(of) => self.type_lacks(of, options),
            None => vec!["the set itself".to_owned()],
        }
    }

    fn type_lacks(&self, of: &str, options: &Options) -> Vec<String> {
        // The type is described elsewhere.
        if !self.types.contains_key(of) {
            return Vec::new();
        }
        let lineage =
            || std::iter::successors(self.types.get(of), |it| self.types.get(it.base.as_ref()?));
        let fields = options.selected();
        let missing = fields.filter(|field| !lineage().any(|it| it.properties.contains(*field)));
        let mut lacks: Vec<String> = missing.map(str::to_owned).collect();
        for (relation, options) in options.expanded() {
            match lineage().find_map(|it| it.navigations.get(relation)) {
                None => lacks.push(relation.to_owned()),
                Some(of) => {
                    let nested = self.type_lacks(of, options);
                    lacks.extend(
                        nested
                            .into_iter()
                            .map(|field| format!("{relation}/{field}")),
                    );
                }
            }
        }
        lacks
    }
}

impl Described {
    fn read(node: Node<'_, '_>) -> Self {
        let mut described = Self {
            base: node.attribute("BaseType").map(bare),
            ..Self::default()
        };
        for child in node.children() {
            let Some(name) = child.attribute("Name") else {
                continue;
            };
            match child.tag_name().name() {
                "Property" => {
                    described.properties.insert(name.to_owned());
                }
                "NavigationProperty" => {
                    let of = child.attribute("Type").unwrap_or_default();
                    described.navigations.insert(name.to_owned(), bare(of));
                }
                _ => {}
            }
        }
        described
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="Data.Models" xmlns="http://docs.oasis-open.org/odata/ns/edm">
  <EntityType Name="Row"><Property Name="Id" Type="Edm.Int32" Nullable="false"/></EntityType>
  <EntityType Name="Customer" BaseType="Data.Models.Row"><Property Name="Name" Type="Edm.String"/>
    <NavigationProperty Name="Addresses" Type="Collection(Data.Models.Address)"/>
    <NavigationProperty Name="Elsewhere" Type="Other.Thing"/></EntityType>
  <EntityType Name="Address"><Property Name="City" Type="Edm.String"/></EntityType>
</Schema>
<Schema Namespace="Default" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityContainer Name="Container">
  <EntitySet Name="Customers" EntityType="Data.Models.Customer"/></EntityContainer></Schema>
</edmx:DataServices></edmx:Edmx>"#;

    #[test]
    fn what_a_set_does_not_have_is_named_with_its_path() {
        let metadata = Metadata::read(DOCUMENT).unwrap();
        let options = Options::new()
            .select(&["Id", "Name", "Title"])
            .expand("Addresses", Options::new().select(&["City", "Gln"]))
            .expand("Flags", Options::new().select(&["Id"]))
            .expand("Elsewhere", Options::new().select(&["Anything"]));
        assert_eq!(
            metadata.lacks("Customers", &options),
            ["Title", "Addresses/Gln", "Flags"]
        );
        assert_eq!(metadata.lacks("Companies", &options), ["the set itself"]);
    }

    #[test]
    fn a_document_of_another_kind_describes_nothing() {
        for text in ["", "{}", "<html><body/></html>", "<Edmx>", "<Edmx/>"] {
            assert!(Metadata::read(text).is_none(), "{text}");
        }
    }
}
